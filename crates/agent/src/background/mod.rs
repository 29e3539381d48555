//! Calls nobody waits for: taken from the queue when the node has room for them, run like every other, and ended in
//! the queue together with their record.
//!
//! They come second. Nothing is reserved while a caller waits for a slot, while less than a quarter of the memory is
//! free, or while as many as the node can start in a moment are reserved already. What a function answers goes to the
//! call's log. A failure of the function is the call's result; a failure of the platform is not, and the call goes back
//! into the queue ([`is_result`]).

mod gate;
mod request;
mod transcript;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hearth_datastore::{DefinitionStore, Verdict};
use hearth_models::{Call, Error, Reason, Status, StoredState};
use hearth_queue::{Delivery, Queue};
use http::HeaderName;
use http_body_util::BodyExt;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{Agent, Invocation};

pub(crate) use gate::{Gate, Waiting};
pub use request::submission;
pub(crate) use transcript::Transcript;

/// Tells a function how often its call was begun, this time included.
const ATTEMPT: HeaderName = HeaderName::from_static("fn-attempt");
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

/// While the engine is away, it is asked again so often.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Runs the calls of a queue on an agent.
#[derive(Debug)]
pub struct Background {
    runner: Arc<Runner>,
}

#[derive(Debug)]
struct Runner {
    agent: Agent,
    queue: Queue,
    definitions: Arc<dyn DefinitionStore>,
    gate: Arc<Gate>,
    /// The last attempt found no engine: more of them would only use up those that calls have.
    no_engine: AtomicBool,
}

/// Why a call of the queue cannot be run.
enum Unfit {
    /// What it was for is gone.
    Gone,
    /// Not now.
    Failed(Error),
}

impl Background {
    /// Runs the calls of `queue` on `agent`, with the functions that `definitions` has at that time.
    #[must_use]
    pub fn new(agent: Agent, queue: Queue, definitions: Arc<dyn DefinitionStore>) -> Self {
        let gate = Arc::new(Gate::new(agent.cpus()));
        let no_engine = AtomicBool::new(false);
        Self { runner: Arc::new(Runner { agent, queue, definitions, gate, no_engine }) }
    }

    /// Works until `cancel`; then gives back what has not begun and waits for what has.
    pub async fn run(self, cancel: CancellationToken) {
        let mut calls = JoinSet::new();
        while !cancel.is_cancelled() {
            let unbegun: Vec<Delivery> = std::iter::from_fn(|| calls.try_join_next()).filter_map(report).collect();
            self.runner.give_back(unbegun).await;
            if !self.runner.has_engine().await {
                cancel.run_until_cancelled(sleep(ASK_AGAIN)).await;
                continue;
            }
            let room = self.runner.room();
            let reserved = self.runner.reserve(room).await;
            if cancel.is_cancelled() {
                self.runner.give_back(reserved).await;
                break;
            }
            for delivery in reserved {
                calls.spawn(Arc::clone(&self.runner).run(delivery, cancel.clone()));
            }
            let next = async {
                if room > 0 {
                    self.runner.queue.wait().await;
                } else {
                    drop(tokio::time::timeout(LOOK_AGAIN, self.runner.gate.changed()).await);
                }
            };
            cancel.run_until_cancelled(next).await;
        }
        // What has not begun comes back at once and together; what has, at its end.
        while let Some(ended) = calls.join_next().await {
            let mut unbegun: Vec<Delivery> = report(ended).into_iter().collect();
            while let Some(ended) = calls.try_join_next() {
                unbegun.extend(report(ended));
            }
            self.runner.give_back(unbegun).await;
        }
    }
}

/// What the task of an attempt leaves to be given back.
fn report(ended: Result<Option<Delivery>, tokio::task::JoinError>) -> Option<Delivery> {
    ended.unwrap_or_else(|error| {
        tracing::error!(%error, "an attempt at a queued call ended badly; its lease will lapse");
        None
    })
}

impl Runner {
    fn room(&self) -> usize {
        if self.agent.recorder().has_room() { self.gate.room(&self.agent.occupancy()) } else { 0 }
    }

    /// Asks only if there is reason to.
    async fn has_engine(&self) -> bool {
        if self.no_engine.load(Ordering::Relaxed) && self.agent.has_engine().await {
            self.no_engine.store(false, Ordering::Relaxed);
        }
        !self.no_engine.load(Ordering::Relaxed)
    }

    async fn reserve(&self, at_most: usize) -> Vec<Delivery> {
        match self.queue.reserve(at_most).await {
            Ok(deliveries) => deliveries,
            Err(error) => {
                tracing::warn!(error = error.chain(), "queued calls cannot be had yet");
                Vec::new()
            }
        }
    }

    /// Runs a call. Its delivery comes back if the call has not begun and did not use its attempt.
    async fn run(self: Arc<Self>, delivery: Delivery, stopping: CancellationToken) -> Option<Delivery> {
        let waiting = Gate::enter(&self.gate);
        let leased = delivery.leased();
        let invocation = match self.invocation(&delivery).await {
            Ok(invocation) => invocation,
            Err(Unfit::Gone) => {
                self.give_up(&delivery).await;
                return None;
            }
            Err(Unfit::Failed(_)) if stopping.is_cancelled() => return Some(delivery),
            Err(Unfit::Failed(error)) => {
                self.failed(delivery, &error).await;
                return None;
            }
        };
        let span = tracing::info_span!(
            "call", call.id = %leased.call.id, app = %invocation.app.name, route = %leased.call.path,
            attempt = leased.call.attempts
        );
        let ended = self.execute(&delivery, invocation, waiting, &stopping).instrument(span).await;
        self.gate.ended();
        match ended {
            Ended::Recorded => delivery.recorded(),
            // Whoever has it now ends it, or has.
            Ended::Failed { .. } if delivery.lost().is_cancelled() => {}
            Ended::Failed { started: false, .. } if stopping.is_cancelled() => return Some(delivery),
            Ended::Failed { error, .. } => self.failed(delivery, &error).await,
        }
        None
    }

    async fn execute(
        &self,
        delivery: &Delivery,
        invocation: Invocation,
        waiting: Waiting,
        stopping: &CancellationToken,
    ) -> Ended {
        let leased = delivery.leased();
        let (ended, end) = oneshot::channel();
        let attempt = Attempt { ended, waiting: Some(waiting) };
        let body = leased.payload.body.clone();
        let answered = async {
            let answer = self.agent.resume(invocation, body, before(&leased.call), attempt, delivery.lost().clone());
            if let Ok(answer) = answer.await {
                // It is in the log already; who reads it keeps it flowing.
                let mut body = answer.body;
                while let Some(Ok(_)) = body.frame().await {}
            }
        };
        tokio::select! {
            biased;
            // First, so that the call always has a record that owes it an end.
            () = answered => {}
            // Dropped, it leaves the line; what runs goes on to its end, or is stopped when the lease is lost.
            () = delivery.lost().cancelled() => {}
            () = stopping.cancelled() => {}
        }
        // Whoever had it is gone without a word.
        end.await.unwrap_or(Ended::Failed { error: Error::Internal, started: true })
    }

    /// What to run: the function as it is now.
    async fn invocation(&self, delivery: &Delivery) -> Result<Invocation, Unfit> {
        let leased = delivery.leased();
        let (app_name, mut request) = request::decode(&leased.payload.head).map_err(|error| {
            tracing::error!(call.id = %leased.call.id, %error, "the request of a queued call cannot be read");
            Unfit::Failed(Error::Internal)
        })?;
        let resolved = match self.definitions.resolve(&app_name, &leased.call.path).await {
            Ok(resolved) => resolved,
            Err(error) => {
                return Err(match error.to_model() {
                    Error::AppNotFound | Error::RouteNotFound => Unfit::Gone,
                    other => Unfit::Failed(other),
                });
            }
        };
        if resolved.app.id != leased.call.app_id || resolved.function.id != leased.call.fn_id {
            return Err(Unfit::Gone);
        }
        request.headers.insert(ATTEMPT, leased.call.attempts.into());
        Ok(Invocation {
            id: leased.call.id,
            app: Arc::clone(&resolved.app),
            function: Arc::clone(&resolved.function),
            trigger: Some(Arc::clone(&resolved.trigger)),
            fn_path: Arc::clone(&resolved.fn_path),
            request,
        })
    }

    /// The route it was for is gone, and the call with it.
    async fn give_up(&self, delivery: &Delivery) {
        let call = &delivery.leased().call;
        tracing::warn!(call.id = %call.id, route = call.path, "the route of a queued call is gone; it is cancelled");
        if let Err(error) = self.queue.cancel(call.app_id, call.id).await {
            tracing::warn!(call.id = %call.id, error = error.chain(), "a queued call could not be cancelled yet");
        }
    }

    async fn give_back(&self, unbegun: Vec<Delivery>) {
        let calls = unbegun.len();
        if let Err(error) = self.queue.give_back(unbegun).await {
            tracing::warn!(calls, error = error.chain(), "calls were not given back; their leases will lapse");
        }
    }

    async fn failed(&self, delivery: Delivery, error: &Error) {
        let call = &delivery.leased().call;
        let (id, attempt) = (call.id, call.attempts);
        if *error == Error::EngineUnavailable {
            self.no_engine.store(true, Ordering::Relaxed);
        }
        let reason = match error.reason() {
            Reason::ClientRequest => Reason::Platform,
            reason => reason,
        };
        match self.queue.failed(delivery, Verdict { reason, error: error.to_string() }).await {
            Ok(outcome) => {
                tracing::warn!(call.id = %id, attempt, %error, ?outcome, "an attempt at a queued call failed")
            }
            Err(away) => {
                tracing::warn!(call.id = %id, attempt, %error, away = away.chain(), "an attempt failed; its lease will lapse");
            }
        }
    }
}

/// The leased call as it was before it was leased: to whoever asks this node it runs from the moment it is executed. Its
/// attempts are those of the lease from the beginning, because only a result with that number is stored.
fn before(call: &Call) -> Call {
    let state = StoredState { status: Status::Queued, reason: None, error: None, started_at: None, completed_at: None };
    call.clone().restore(state)
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
        | Error::Vanished
        | Error::ClientGone
        | Error::Internal => false,
        // The registry is away, rather than the image.
        Error::PullFailed { status, .. } => *status < 500,
        _ => true,
    }
}
