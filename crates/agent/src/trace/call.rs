//! What a traced call keeps until its end, and the tree that becomes of it.

use std::time::Duration;

use hearth_drivers::Phase;
use hearth_models::{Call, Timestamp};
use tokio::time::Instant;

use super::{Span, SpanId, Trace, TraceId, Tracer};
use crate::metrics::Series;
use crate::timeline::Timeline;

/// The trace of one call in the making.
#[derive(Debug)]
pub(crate) struct CallTrace {
    tracer: Tracer,
    id: TraceId,
    /// The client's span.
    parent: Option<SpanId>,
    /// The function's.
    function: SpanId,
    clock: WallClock,
    arrived: Instant,
    /// When a call of the queue was accepted.
    queued_at: Option<Timestamp>,
    pub(crate) pulled: Option<Phase>,
    /// The start of its container, if it is the first call in it.
    pub(crate) launch: Vec<Phase>,
}

/// What the monotonic clock of a process means elsewhere.
#[derive(Clone, Copy, Debug)]
struct WallClock {
    /// Microseconds since 1970 at that moment.
    wall: u64,
    moment: Instant,
}

/// A tree in the making: spans get their ids and parents here.
struct Tree {
    clock: WallClock,
    spans: Vec<Span>,
}

impl CallTrace {
    pub(super) fn new(
        tracer: Tracer,
        (id, parent): (TraceId, Option<SpanId>),
        function: SpanId,
        arrived: Instant,
    ) -> Self {
        let clock = WallClock { wall: Timestamp::micros_now(), moment: Instant::now() };
        Self { tracer, id, parent, function, clock, arrived, queued_at: None, pulled: None, launch: Vec::new() }
    }

    /// It is a call of the queue that was accepted then.
    pub(crate) fn was_queued(&mut self, at: Timestamp) {
        self.queued_at = Some(at);
    }

    pub(crate) const fn id(&self) -> TraceId {
        self.id
    }

    /// The call has ended, and its record is about to be handed over, or there will be none.
    pub(crate) fn end(self, call: &Call, series: &Series, timeline: &Timeline, now: Instant, recorded: bool) {
        let tracer = self.tracer.clone();
        let trace = self.tree(call, series, timeline, now);
        if recorded {
            tracer.wait_for_record(call.id, trace, now);
        } else {
            tracer.shared.sink.take(trace);
        }
    }

    fn tree(self, call: &Call, series: &Series, timeline: &Timeline, now: Instant) -> Trace {
        let Timeline { accepted, body, image, started, executed } = *timeline;
        let mut tree = Tree { clock: self.clock, spans: Vec::with_capacity(12) };
        let root = tree.add("call", self.parent, self.arrived, now);
        tree.spans[0].is_server = true;
        tree.spans[0].attributes = attributes(call, series);
        tree.spans[0].error = call.error().map(str::to_owned);
        if let Some(at) = self.queued_at {
            let queued = tree.add("queued", Some(root), self.arrived, self.arrived);
            let began = u64::try_from(at.as_millis()).unwrap_or_default().saturating_mul(1000);
            for span in &mut tree.spans {
                span.began = span.began.min(began);
            }
            tree.get(queued).attributes.push(("attempt", call.attempts.to_string()));
        } else {
            tree.add("accept", Some(root), self.arrived, accepted);
        }
        // Each phase begins where the one before it ended; the last one that was reached lasts until the end.
        tree.add("body", Some(root), accepted, body.unwrap_or(now));
        if let Some(body) = body {
            let looked_up = tree.add("image", Some(root), body, image.unwrap_or(now));
            tree.add_phases(looked_up, self.pulled.as_slice());
        }
        if let Some(image) = image {
            let wait = tree.add("wait", Some(root), image, started.unwrap_or(now));
            if let [first, .., last] = *self.launch {
                let launch = tree.add("launch", Some(wait), first.began, last.ended);
                tree.add_phases(launch, &self.launch);
            }
        }
        if let Some(started) = started {
            let exec = tree.add("exec", Some(root), started, executed.unwrap_or(now));
            tree.get(exec).id = self.function;
        }
        if let Some(executed) = executed {
            tree.add("drain", Some(root), executed, now);
        }
        Trace { id: self.id, spans: tree.spans }
    }
}

/// Its record was stored so long after the call's end.
pub(super) fn add_record(trace: &mut Trace, after: Duration) {
    let Some(root) = trace.spans.first_mut() else { return };
    let began = root.ended;
    root.ended += u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
    let record = Span {
        name: "record",
        id: SpanId::random(),
        parent: Some(root.id),
        began,
        ended: root.ended,
        attributes: Vec::new(),
        error: None,
        is_server: false,
    };
    trace.spans.push(record);
}

fn attributes(call: &Call, series: &Series) -> Vec<(&'static str, String)> {
    let mut attributes = vec![
        ("call.id", call.id.to_string()),
        ("fn.app", series.app().to_owned()),
        ("fn.route", series.path().to_owned()),
        ("fn.name", series.labels().function.to_string()),
        ("call.status", call.status().to_string()),
    ];
    attributes.extend(call.reason().map(|reason| ("call.reason", reason.to_string())));
    attributes
}

impl Tree {
    fn add(&mut self, name: &'static str, parent: Option<SpanId>, began: Instant, ended: Instant) -> SpanId {
        let id = SpanId::random();
        let (began, ended) = (self.clock.micros(began), self.clock.micros(ended));
        let (attributes, error) = (Vec::new(), None);
        self.spans.push(Span { name, id, parent, began, ended, attributes, error, is_server: false });
        id
    }

    fn add_phases(&mut self, parent: SpanId, phases: &[Phase]) {
        for Phase { name, began, ended } in phases {
            self.add(name, Some(parent), *began, *ended);
        }
    }

    /// The span that was added last.
    fn get(&mut self, id: SpanId) -> &mut Span {
        let at = self.spans.iter().rposition(|span| span.id == id).unwrap_or_default();
        &mut self.spans[at]
    }
}

impl WallClock {
    fn micros(&self, moment: Instant) -> u64 {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        match moment.checked_duration_since(self.moment) {
            Some(after) => self.wall.saturating_add(micros(after)),
            None => self.wall.saturating_sub(micros(self.moment - moment)),
        }
    }
}
