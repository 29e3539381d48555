//! One call of the queue after the other, from its lease to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use hearth_datastore::{DefinitionStore, Resolved, Verdict};
use hearth_models::{Call, Error, FnId, Reason, Status, StoredState, v2};
use hearth_queue::{Delivery, Queue};
use http::HeaderName;
use http_body_util::BodyExt;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::gate::{Ask, Gate, View, Waiting};
use super::{Attempt, Ended, request};
use crate::slots::Demand;
use crate::{Agent, Invocation, Timing};

#[derive(Debug)]
pub(super) struct Runner {
    agent: Agent,
    pub(super) queue: Queue,
    definitions: Arc<dyn DefinitionStore>,
    store: Arc<dyn DefinitionStore>,
    pub(super) gate: Arc<Gate>,
    /// The last attempt found no engine: more of them would only use up those that calls have.
    no_engine: AtomicBool,
}

/// Tells a function how often its call was begun, this time included.
const ATTEMPT: HeaderName = HeaderName::from_static("fn-attempt");

/// Why a call of the queue cannot be run.
enum Unfit {
    /// What it was for is gone.
    Gone,
    /// The store is away, so nobody knows.
    NotNow,
    /// It never can.
    Failed(Error),
}

impl Runner {
    pub(super) fn new(
        agent: Agent,
        queue: Queue,
        definitions: Arc<dyn DefinitionStore>,
        store: Arc<dyn DefinitionStore>,
    ) -> Self {
        let settings = agent.settings();
        let gate = Arc::new(Gate::new(settings.cpus, settings.max_containers_per_function));
        Self { agent, queue, definitions, store, gate, no_engine: AtomicBool::new(false) }
    }

    /// Whether the engine is there. Asks only if there is reason to.
    pub(super) async fn has_engine(&self) -> bool {
        if self.no_engine.load(Ordering::Relaxed) && self.agent.has_engine().await {
            self.no_engine.store(false, Ordering::Relaxed);
        }
        !self.no_engine.load(Ordering::Relaxed)
    }

    /// What to ask the queue for now, if anything.
    pub(super) fn ask(&self) -> Option<Ask> {
        if !self.agent.recorder().has_room() {
            return None;
        }
        self.gate.ask(&self.view(|function| self.gate.knows(function)))
    }

    fn view(&self, of: impl Fn(FnId) -> bool) -> View {
        let (node, containers) = self.agent.containers(of);
        View { node, containers }
    }

    /// Takes what was asked for and begins with what finds a slot. Returns what is left, if that is all there is.
    pub(super) async fn take(
        self: &Arc<Self>,
        ask: &Ask,
        calls: &mut JoinSet<Option<Delivery>>,
        stopping: &CancellationToken,
    ) -> Option<Vec<FnId>> {
        let reserved = match self.queue.reserve(ask.at_most, &ask.except).await {
            Ok(reserved) => reserved,
            Err(error) => {
                tracing::warn!(error = error.chain(), "queued calls cannot be had yet");
                return Some(ask.except.clone());
            }
        };
        let found = reserved.len();
        let invocations = join_all(reserved.iter().map(|delivery| self.invocation(delivery))).await;
        if stopping.is_cancelled() {
            self.give_back(reserved).await;
            return None;
        }
        let view = self.view(|function| {
            self.gate.knows(function) || reserved.iter().any(|delivery| delivery.leased().call.fn_id == function)
        });
        let (mut back, mut left) = (Vec::new(), ask.except.clone());
        for (delivery, invocation) in reserved.into_iter().zip(invocations) {
            let function = delivery.leased().call.fn_id;
            let this = Arc::clone(self);
            match invocation {
                Ok(invocation) => match Gate::admit(&self.gate, function, demand(&invocation), &view) {
                    Some(waiting) => {
                        drop(calls.spawn(this.run(delivery, invocation, waiting, stopping.clone())));
                    }
                    None => {
                        left.push(function);
                        back.push(delivery);
                    }
                },
                Err(Unfit::NotNow) => {
                    self.gate.rest(function);
                    left.push(function);
                    back.push(delivery);
                }
                Err(Unfit::Gone) => drop(calls.spawn(async move { this.give_up(delivery).await })),
                Err(Unfit::Failed(error)) => drop(calls.spawn(async move {
                    this.failed(delivery, &error).await;
                    None
                })),
            }
        }
        self.give_back(back).await;
        (found < ask.at_most).then_some(left)
    }

    /// What to run: the function as it is now.
    async fn invocation(&self, delivery: &Delivery) -> Result<Invocation, Unfit> {
        let leased = delivery.leased();
        let (app_name, mut request) = request::decode(&leased.payload.head).map_err(|error| {
            tracing::error!(call.id = %leased.call.id, %error, "the request of a queued call cannot be read");
            Unfit::Failed(Error::Internal)
        })?;
        let resolved = match resolve(&*self.definitions, &app_name, &leased.call).await {
            // What is known from memory may be out of date; an accepted call is not ended because of that.
            Err(Unfit::Gone) => resolve(&*self.store, &app_name, &leased.call).await?,
            other => other?,
        };
        request.headers.insert(ATTEMPT, leased.call.attempts.into());
        Ok(Invocation {
            id: leased.call.id,
            app: Arc::clone(&resolved.app),
            function: Arc::clone(&resolved.function),
            trigger: resolved.trigger.clone(),
            fn_path: Arc::clone(&resolved.fn_path),
            timing: Timing::FromSlot,
            arrived: Instant::now(),
            request,
        })
    }

    /// Runs a call. Its delivery comes back if the server stops and the call has not begun.
    async fn run(
        self: Arc<Self>,
        delivery: Delivery,
        invocation: Invocation,
        waiting: Waiting,
        stopping: CancellationToken,
    ) -> Option<Delivery> {
        let (call, needs) = (&delivery.leased().call, demand(&invocation).memory);
        let (id, function) = (call.id, call.fn_id);
        let ended = self.execute(&delivery, invocation, waiting, &stopping).await;
        self.gate.ended(function);
        match ended {
            Ended::Recorded => {
                let recorder = self.agent.recorder().clone();
                delivery.recorded(move || recorder.is_pending(id));
            }
            // Whoever has it now ends it, or has.
            Ended::Failed { .. } if delivery.lost().is_cancelled() => {}
            Ended::Failed { started: false, .. } if stopping.is_cancelled() => return Some(delivery),
            Ended::Failed { started: false, error } if self.found_no_slot(&error, needs) => {
                self.gate.rest(function);
                self.give_back(vec![delivery]).await;
            }
            Ended::Failed { error, .. } => self.failed(delivery, &error).await,
        }
        None
    }

    /// Whether a call only came at a bad time, which is no failure of anything.
    fn found_no_slot(&self, error: &Error, needs: u64) -> bool {
        match error {
            Error::Busy => true,
            Error::NoCapacity(_) => needs <= self.agent.settings().memory,
            _ => false,
        }
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

    /// The route or function it was for is gone, and the call with it.
    async fn give_up(&self, delivery: Delivery) -> Option<Delivery> {
        let call = &delivery.leased().call;
        let (id, route, gone) = (call.id, call.path.clone(), gone(call));
        match self.queue.discard(delivery, Verdict { reason: Reason::ApiRequest, error: gone.to_owned() }).await {
            Ok(ended) => tracing::warn!(call.id = %id, route, ended, "the route of a queued call was deleted"),
            Err(error) => {
                tracing::warn!(call.id = %id, error = error.chain(), "a queued call could not be cancelled yet");
            }
        }
        None
    }

    pub(super) async fn give_back(&self, unbegun: Vec<Delivery>) {
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

/// The error of a call that there is nothing to run for any more.
const fn gone(call: &Call) -> &'static str {
    if is_direct(call) { "its function was deleted" } else { "its route was deleted" }
}

/// Whether a call was accepted for a function, and not for a route that leads to it.
const fn is_direct(call: &Call) -> bool {
    call.trigger_id.is_none() && call.path.is_empty()
}

/// What `definitions` has for a call. A route that was made anew is not the one that the call was accepted for.
async fn resolve(definitions: &dyn DefinitionStore, app: &str, call: &Call) -> Result<Arc<Resolved>, Unfit> {
    let found = if is_direct(call) {
        definitions.resolve_function(call.fn_id).await
    } else {
        definitions.resolve(app, &call.path).await
    };
    match found {
        Ok(found) if found.app.id == call.app_id && found.function.id == call.fn_id => Ok(found),
        Ok(_) => Err(Unfit::Gone),
        Err(error) => Err(match error.to_model() {
            Error::AppNotFound | Error::RouteNotFound | Error::V2(v2::Error::FnNotFound) => Unfit::Gone,
            Error::StoreUnavailable => Unfit::NotNow,
            other => Unfit::Failed(other),
        }),
    }
}

fn demand(invocation: &Invocation) -> Demand {
    let function = &invocation.function;
    Demand { memory: function.limits.memory_bytes(), cold: !function.format.is_hot() }
}

/// The leased call as its execution finds it: it has not begun. Its attempts are those of the lease from the beginning,
/// because only a result with that number is stored.
fn before(call: &Call) -> Call {
    let state = StoredState { status: Status::Queued, reason: None, error: None, started_at: None, completed_at: None };
    call.clone().restore(state)
}
