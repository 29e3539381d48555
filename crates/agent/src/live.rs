//! A call from accept to record: whoever holds a [`LiveCall`] owes it an end.

use std::sync::Arc;

use bytes::Bytes;
use hearth_datastore::{Record, Recorder};
use hearth_models::{Call, CallId, Error, MAX_POINTS, Stat, decimate};
use tokio::time::Instant;
use tracing::field::{self, Empty};

use crate::Invocation;
use crate::background::{Attempt, Ended, is_result};
use crate::listen::Line;
use crate::log::CallLog;
use crate::metrics::{End, Metrics, Series, Span};
use crate::timeline::Timeline;
use crate::trace::CallTrace;

/// The record of a call in the making. It is handed from the waiting call to the container that executes it, and
/// ends exactly once: with [`end`](Self::end), or, when it is dropped because its caller left, as cancelled.
#[derive(Debug)]
pub(crate) struct LiveCall {
    call: Call,
    /// Of a call of the queue.
    attempt: Option<Attempt>,
    series: Arc<Series>,
    log: CallLog,
    samples: Vec<Stat>,
    timeline: Timeline,
    /// It has a container of its own.
    cold: bool,
    ended: bool,
    recorder: Recorder,
    trace: Option<Box<CallTrace>>,
    /// Who is told of its end.
    listeners: Option<Line>,
    /// What log lines say of it.
    span: tracing::Span,
}

impl LiveCall {
    pub(crate) fn begin(invocation: &Invocation, max_log: usize, recorder: Recorder, metrics: &Metrics) -> Self {
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
        metrics: &Metrics,
    ) -> Self {
        Self::of(call, Some(attempt), invocation, max_log, recorder, metrics)
    }

    fn of(
        call: Call,
        attempt: Option<Attempt>,
        invocation: &Invocation,
        max_log: usize,
        recorder: Recorder,
        metrics: &Metrics,
    ) -> Self {
        let series = metrics.of_call(invocation);
        recorder.begin(&call);
        series.queued();
        let (app, route) = (series.app(), series.path());
        // At other levels nobody should pay for it: the few lines that may be said of a call say themselves whose they are.
        let span = tracing::debug_span!("call", call.id = %call.id, app, route, attempt = Empty, trace.id = Empty);
        if attempt.is_some() {
            span.record("attempt", call.attempts);
        }
        Self {
            call,
            attempt,
            series,
            log: CallLog::new(max_log),
            samples: Vec::new(),
            timeline: Timeline::begin(),
            cold: !invocation.function.format.is_hot(),
            ended: false,
            recorder,
            trace: None,
            listeners: None,
            span,
        }
    }

    /// It is traced from now on.
    pub(crate) fn trace(&mut self, trace: CallTrace) {
        self.span.record("trace.id", field::display(trace.id()));
        self.trace = Some(Box::new(trace));
    }

    /// Its end is told there.
    pub(crate) fn tell(&mut self, listeners: Option<Line>) {
        self.listeners = listeners;
    }

    /// Its trace, if it has one.
    pub(crate) fn traced(&mut self) -> Option<&mut CallTrace> {
        self.trace.as_deref_mut()
    }

    pub(crate) fn accepted(&self) -> Instant {
        self.timeline.accepted
    }

    /// Whose lines in the log are, by id, app and route.
    pub(crate) fn whose(&self) -> (CallId, &str, &str) {
        (self.call.id, self.series.app(), self.series.path())
    }

    /// What is logged in there is this call's.
    pub(crate) fn span(&self) -> tracing::Span {
        self.span.clone()
    }

    pub(crate) fn timeline(&mut self) -> &mut Timeline {
        &mut self.timeline
    }

    /// How long it waited for its execution, or waits already.
    pub(crate) fn waited(&self) -> std::time::Duration {
        self.timeline.started.unwrap_or_else(Instant::now) - self.timeline.accepted
    }

    /// Its execution begins.
    pub(crate) fn start(&mut self) {
        if let Err(error) = self.call.start() {
            tracing::error!(call.id = %self.call.id, %error, "a call was to be started");
            return;
        }
        let now = Instant::now();
        self.timeline.started = Some(now);
        if let Some(attempt) = &mut self.attempt {
            attempt.waiting = None;
        }
        self.recorder.update(&self.call);
        self.series.started();
        self.series.took(Span::CallStart, now.elapsed());
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
        let now = Instant::now();
        self.timeline.observe(&self.series, self.cold, now);
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
        self.series.ended(self.timeline.started.is_some(), End::of(result));
        self.call.stats = decimate(std::mem::take(&mut self.samples), MAX_POINTS);
        tracing::debug!(
            call.id = %self.call.id, app = self.series.app(), route = self.series.path(),
            status = %self.call.status(), error = self.call.error(), "call ended"
        );
        if let Some(listeners) = &self.listeners {
            listeners.tell(&self.call);
        }
        let log: Bytes = self.log.take();
        self.end_trace(now, true);
        self.recorder.accept(Record { call: self.call.clone(), log: Some(log) });
        if let Some(attempt) = attempt {
            // Whoever waits for it keeps its lease until the record is stored.
            drop(attempt.ended.send(Ended::Recorded));
        }
        self.series.took(Span::CallEnd, now.elapsed());
    }

    fn end_trace(&mut self, now: Instant, recorded: bool) {
        if let Some(trace) = self.trace.take() {
            trace.end(&self.call, &self.series, &self.timeline, now, recorded);
        }
    }

    /// The platform failed, which is no end of a call of the queue.
    fn hand_back(&mut self, attempt: Attempt, error: &Error) {
        let started = self.timeline.started.is_some();
        self.series.ended(started, End::of(Err(error)));
        self.end_trace(Instant::now(), false);
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
