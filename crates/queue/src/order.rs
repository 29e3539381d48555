//! The order of ready calls where a [`Broker`] keeps it, and what happens while that is away.
//!
//! Nothing depends on it. Nobody waits until it has heard of a call: what is ready is noted here, and a task of the
//! service passes it on. Once the broker has failed, calls are taken from the store in its own order until the broker
//! answers again; what it did not hear of meanwhile is brought back to it by the reconciler.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hearth_datastore::Standing;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::{Broker, BrokerError};

/// A broker that is away is looked for so often.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Calls that are noted here at most. The reconciler knows of all of them.
const MOST: usize = 10_000;
/// Calls that the broker is told of at a time.
const TOLD: usize = 1000;

#[derive(Debug)]
pub(crate) struct Order {
    broker: Arc<dyn Broker>,
    state: Mutex<State>,
    /// Whose turn it is to tell the broker what was noted: who comes next finds that it has heard.
    telling: tokio::sync::Mutex<()>,
    noted: Notify,
    gone: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The broker has failed and not answered since.
    away: bool,
    /// What it is to hear of.
    ready: Vec<Standing>,
}

impl Order {
    pub(crate) fn new(broker: Arc<dyn Broker>) -> Self {
        Self { broker, state: Mutex::default(), telling: Default::default(), noted: Notify::new(), gone: Notify::new() }
    }

    /// These calls are ready.
    pub(crate) fn note(&self, ready: &[Standing]) {
        let mut state = self.lock();
        let room = MOST.saturating_sub(state.ready.len());
        state.ready.extend(&ready[..ready.len().min(room)]);
        drop(state);
        self.noted.notify_one();
    }

    /// What is next. None: the broker is away.
    pub(crate) async fn take(&self, at_most: usize) -> Option<Vec<Standing>> {
        if self.is_away() || !self.tell().await {
            return None;
        }
        match self.broker.take(at_most).await {
            Ok(taken) => Some(taken),
            Err(error) => {
                self.has_failed(&error);
                None
            }
        }
    }

    /// Tells the broker what was noted, and `told` that there is something to take. Never ends.
    pub(crate) async fn pass_on(&self, told: impl Fn()) {
        loop {
            self.noted.notified().await;
            // Where it does not hear, calls are taken from the store.
            let _heard = self.tell().await;
            told();
        }
    }

    /// Tells the broker what was noted. Whether it heard.
    async fn tell(&self) -> bool {
        let _turn = self.telling.lock().await;
        let ready = std::mem::take(&mut self.lock().ready);
        for part in ready.chunks(TOLD) {
            if self.is_away() || !self.push(part).await {
                return false;
            }
        }
        true
    }

    /// Tells the broker of these calls. Whether it heard.
    pub(crate) async fn push(&self, calls: &[Standing]) -> bool {
        if calls.is_empty() {
            return true;
        }
        let heard = self.broker.push(calls).await;
        heard.inspect_err(|error| self.has_failed(error)).is_ok()
    }

    /// Returns when the broker has been away and is back: it lacks what became ready meanwhile.
    pub(crate) async fn is_back(&self) {
        loop {
            if !self.is_away() {
                self.gone.notified().await;
            }
            sleep(LOOK_AGAIN).await;
            if self.is_away() && self.broker.ping().await.is_ok() {
                tracing::info!("the queue's broker is back");
                self.lock().away = false;
                return;
            }
        }
    }

    fn is_away(&self) -> bool {
        self.lock().away
    }

    fn has_failed(&self, error: &BrokerError) {
        if !std::mem::replace(&mut self.lock().away, true) {
            let error = error as &dyn std::error::Error;
            tracing::warn!(error, "the queue's broker is away: calls are taken in the order of the database");
        }
        self.gone.notify_one();
    }

    /// Every change under the lock is complete before anything can panic, so poison is no reason to stop.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
