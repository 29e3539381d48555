//! A call from accept to record: whoever holds a [`LiveCall`] owes it an end.

use std::sync::Arc;

use bytes::Bytes;
use hearth_datastore::{Record, Recorder};
use hearth_models::{Call, Error, MAX_POINTS, Stat, decimate};
use tokio::time::Instant;

use crate::Invocation;
use crate::background::{Attempt, Ended, is_result};
use crate::log::CallLog;
use crate::metrics::{Metrics, Names};

/// The record of a call in the making. It is handed from the waiting call to the container that executes it, and
/// ends exactly once: with [`end`](Self::end), or, when it is dropped because its caller left, as cancelled.
#[derive(Debug)]
pub(crate) struct LiveCall {
    call: Call,
    /// Of a call of the queue.
    attempt: Option<Attempt>,
    names: Names,
    log: CallLog,
    samples: Vec<Stat>,
    accepted: Instant,
    started: Option<Instant>,
    ended: bool,
    recorder: Recorder,
    metrics: Arc<Metrics>,
}

impl LiveCall {
    pub(crate) fn begin(invocation: &Invocation, max_log: usize, recorder: Recorder, metrics: Arc<Metrics>) -> Self {
        let function = &invocation.function;
        let mut call = Call::accept(invocation.app.id, function.id, function.call_type);
        call.id = invocation.id;
        if let Some(trigger) = &invocation.trigger {
            call.trigger_id = Some(trigger.id);
            call.path.clone_from(&trigger.source);
        }
        Self::of(call, None, invocation, max_log, recorder, metrics)
    }

    /// A call of the queue begins another attempt.
    pub(crate) fn resume(
        (call, attempt): (Call, Attempt),
        invocation: &Invocation,
        max_log: usize,
        recorder: Recorder,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self::of(call, Some(attempt), invocation, max_log, recorder, metrics)
    }

    fn of(
        call: Call,
        attempt: Option<Attempt>,
        invocation: &Invocation,
        max_log: usize,
        recorder: Recorder,
        metrics: Arc<Metrics>,
    ) -> Self {
        let names = Names::of(invocation);
        recorder.begin(&call);
        metrics.queued(&names);
        Self {
            call,
            attempt,
            names,
            log: CallLog::new(max_log),
            samples: Vec::new(),
            accepted: Instant::now(),
            started: None,
            ended: false,
            recorder,
            metrics,
        }
    }

    pub(crate) fn accepted(&self) -> Instant {
        self.accepted
    }

    /// How long it waited for its execution, or waits already.
    pub(crate) fn waited(&self) -> std::time::Duration {
        self.started.unwrap_or_else(Instant::now) - self.accepted
    }

    /// Its execution begins.
    pub(crate) fn start(&mut self) {
        if let Err(error) = self.call.start() {
            tracing::error!(call.id = %self.call.id, %error, "a call was to be started");
            return;
        }
        self.started = Some(Instant::now());
        if let Some(attempt) = &mut self.attempt {
            attempt.waiting = None;
        }
        self.recorder.update(&self.call);
        self.metrics.started(&self.names);
    }

    pub(crate) fn log(&mut self, bytes: &[u8]) {
        self.log.push(bytes);
    }

    pub(crate) fn sample(&mut self, stat: Stat) {
        self.samples.push(stat);
    }

    /// Its caller is about to have the answer; its end follows when its log is complete.
    pub(crate) fn answered(&self) {
        self.recorder.answered(self.call.id);
    }

    /// It ended: with the function's answer, or with an error that its record keeps as reason and sentence.
    pub(crate) fn end(mut self, result: Result<(), &Error>) {
        self.finish(result);
    }

    fn finish(&mut self, result: Result<(), &Error>) {
        self.ended = true;
        let attempt = match (self.attempt.take(), result) {
            (Some(attempt), Err(error)) if !is_result(error) => return self.hand_back(attempt, error),
            (attempt, _) => attempt,
        };
        let ended = match result {
            Ok(()) => self.call.succeed(),
            Err(error) => self.call.fail(error.reason(), error.to_string()),
        };
        if let Err(error) = ended {
            tracing::error!(call.id = %self.call.id, %error, "a call was to be ended");
        }
        self.metrics.ended(&self.names, self.started.is_some(), result.is_ok());
        self.call.stats = decimate(std::mem::take(&mut self.samples), MAX_POINTS);
        tracing::debug!(
            call.id = %self.call.id, app = %self.names.app, route = %self.names.path,
            status = %self.call.status(), error = self.call.error(), "call ended"
        );
        let log: Bytes = self.log.take();
        self.recorder.accept(Record { call: self.call.clone(), log: Some(log) });
        if let Some(attempt) = attempt {
            // Whoever waits for it keeps its lease until the record is stored.
            drop(attempt.ended.send(Ended::Recorded));
        }
    }

    /// The platform failed, which is no end of a call of the queue.
    fn hand_back(&mut self, attempt: Attempt, error: &Error) {
        let started = self.started.is_some();
        self.metrics.ended(&self.names, started, false);
        self.recorder.forget(self.call.id);
        drop(attempt.ended.send(Ended::Failed { error: error.clone(), started }));
    }
}

impl Drop for LiveCall {
    fn drop(&mut self) {
        if !self.ended {
            let error = if std::thread::panicking() { Error::Internal } else { Error::ClientGone };
            self.finish(Err(&error));
        }
    }
}
