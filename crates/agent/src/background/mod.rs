//! Calls nobody waits for: taken from the queue when the node has room for them, run like every other, and ended in
//! the queue together with their record.
//!
//! They come second. Nothing is reserved while a caller waits for a slot, or while less than a quarter of the memory is
//! free; and of each function no more than will begin in a moment ([`gate`]). What finds no slot after all is given
//! back, which uses no attempt. What a function answers goes to the call's log. A failure of the function is the call's
//! result; a failure of the platform is not, and the call goes back into the queue ([`is_result`]).

mod gate;
mod request;
mod runner;
mod transcript;

use std::sync::Arc;
use std::time::Duration;

use hearth_datastore::DefinitionStore;
use hearth_models::{Error, FnId, Reason};
use hearth_queue::{Delivery, Queue};
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::Agent;
use gate::{Ask, Waiting};
use runner::Runner;

pub use request::submission;
pub(crate) use transcript::Transcript;

/// Nobody tells when memory is freed or the last caller has left the line, so it is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// An attempt at a call of the queue, as its record knows it.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// Told when it has ended.
    pub(crate) ended: oneshot::Sender<Ended>,
    /// Its place among those that have not begun.
    pub(crate) waiting: Option<Waiting>,
}

/// How an attempt ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// With a result, which is on its way to the store.
    Recorded,
    /// With none: the platform failed.
    Failed { error: Error, started: bool },
}

/// To look past the calls of functions without room may be to look at all that waits. So it takes no more than one part in
/// so many of the time, whatever is queued meanwhile.
const PAUSE: u32 = 10;
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// While the engine is away, it is asked again so often.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Runs the calls of a queue on an agent.
#[derive(Debug)]
pub struct Background {
    runner: Arc<Runner>,
}

impl Background {
    /// Runs the calls of `queue` on `agent`, with the functions that `definitions` has at that time. That something is
    /// not there is believed of `store` alone, which remembers nothing.
    #[must_use]
    pub fn new(
        agent: Agent,
        queue: Queue,
        definitions: Arc<dyn DefinitionStore>,
        store: Arc<dyn DefinitionStore>,
    ) -> Self {
        Self { runner: Arc::new(Runner::new(agent, queue, definitions, store)) }
    }

    /// Works until `cancel`; then gives back what has not begun and waits for what has.
    pub async fn run(self, cancel: CancellationToken) {
        let Self { runner } = self;
        let mut calls = JoinSet::new();
        // What the last look into the queue left out, if it found less than it asked for: there is nothing else.
        let mut left: Option<Vec<FnId>> = None;
        // Kept over all turns, or it would begin to wait anew with each of them.
        let mut news = Box::pin(news(&runner.queue, Instant::now()));
        while !cancel.is_cancelled() {
            runner.give_back(std::iter::from_fn(|| calls.try_join_next()).filter_map(unbegun).collect()).await;
            if !runner.has_engine().await {
                cancel.run_until_cancelled(sleep(ASK_AGAIN)).await;
                continue;
            }
            let ask = runner.ask();
            if let Some(ask) = ask.as_ref().filter(|ask| is_worth(ask, left.as_deref())) {
                let begun = Instant::now();
                left = runner.take(ask, &mut calls, &cancel).await;
                let pause = if ask.except.is_empty() { Duration::ZERO } else { PAUSE * begun.elapsed() };
                news.set(self::news(&runner.queue, Instant::now() + pause.min(LONGEST_PAUSE)));
                continue;
            }
            let may_change = ask.is_none() || left.as_ref().is_some_and(|left| !left.is_empty());
            tokio::select! {
                () = cancel.cancelled() => {}
                () = &mut news, if left.is_some() => left = None,
                () = runner.gate.changed() => {}
                () = sleep(LOOK_AGAIN), if may_change => {}
            }
        }
        // What has not begun comes back at once and together; what has, at its end.
        while let Some(ended) = calls.join_next().await {
            let mut back: Vec<Delivery> = unbegun(ended).into_iter().collect();
            back.extend(std::iter::from_fn(|| calls.try_join_next()).filter_map(unbegun));
            runner.give_back(back).await;
        }
    }
}

/// Returns when there may be something new in the queue, not before `from`.
async fn news(queue: &Queue, from: Instant) {
    sleep_until(from).await;
    queue.wait().await;
}

/// Whether the queue may have something to answer that it had not when all but the calls of `left` were taken.
fn is_worth(ask: &Ask, left: Option<&[FnId]>) -> bool {
    left.is_none_or(|left| left.iter().any(|function| !ask.except.contains(function)))
}

/// What the task of an attempt leaves to be given back.
fn unbegun(ended: Result<Option<Delivery>, JoinError>) -> Option<Delivery> {
    ended.unwrap_or_else(|error| {
        tracing::error!(%error, "an attempt at a queued call ended badly; its lease will lapse");
        None
    })
}

/// Whether an error is what the call came to, rather than a reason to try again: it is the function's, or would be the
/// same the next time.
pub(crate) const fn is_result(error: &Error) -> bool {
    match error {
        Error::Busy
        | Error::NoCapacity(_)
        | Error::EngineUnavailable
        | Error::EngineFailed(_)
        | Error::StoreUnavailable
        | Error::ShuttingDown
        // Not by the function, nor for its memory: by an engine that stops, or by somebody.
        | Error::Killed
        | Error::NotReceived(Reason::Killed)
        | Error::InitFailed(Reason::Killed)
        | Error::Vanished
        | Error::ClientGone
        | Error::Internal => false,
        // The registry is away, rather than the image.
        Error::PullFailed { status, .. } => *status < 500,
        // Nor need a syslog server stay away.
        Error::PullTimedOut | Error::SyslogUnavailable => false,
        _ => true,
    }
}
