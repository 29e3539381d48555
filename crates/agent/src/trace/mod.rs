//! The trace of a call: one tree of spans with a phase each, from the head of its request to its record.
//!
//! A call is a state machine that knows its own times ([`Timeline`]), so its trace is written down once, when it has
//! ended; while it runs, tracing costs a few times and no lock. Where nobody takes traces, it costs nothing.
//!
//! ```text
//! call
//! ├─ queued          of a call of the queue: since it was accepted
//! ├─ accept          from the head of the request until the call was accepted
//! ├─ body            reading the beginning of its body
//! ├─ image           looking its image up
//! │   └─ pull
//! ├─ wait            for a container
//! │   └─ launch      of the container, if it is the first call in it
//! │       ├─ create, attach, start, ready
//! ├─ exec            the function's own span, which it is told in its request
//! ├─ drain           for late lines of its log
//! └─ record          until the record is stored
//! ```
//!
//! Spans say which call of what it was and how it ended; nothing of its request, its answer or its configuration.

mod call;
mod context;

use std::collections::hash_map::Entry;
use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hearth_datastore::Record;
use hearth_models::CallId;
use http::HeaderMap;
use rustc_hash::FxHashMap;
use tokio::time::Instant;

pub(crate) use call::CallTrace;
pub(crate) use context::of_trace;
pub use context::{SpanId, TraceId};

/// Traces that wait for their records to be stored. Those beyond go without their last span.
const MAX_WAITING: usize = 10_000;

/// One call's spans.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Its name.
    pub id: TraceId,
    /// Its spans, the root first.
    pub spans: Vec<Span>,
}

/// A part of a call.
#[derive(Clone, Debug)]
pub struct Span {
    /// What it was.
    pub name: &'static str,
    /// Its name.
    pub id: SpanId,
    /// The span it is a part of: of the root the client's, if it has one.
    pub parent: Option<SpanId>,
    /// When it began, in microseconds since 1970.
    pub began: u64,
    /// When it ended.
    pub ended: u64,
    /// What is known of it.
    pub attributes: Vec<(&'static str, String)>,
    /// Why it failed.
    pub error: Option<String>,
    /// It answers a request; others are inside of it.
    pub is_server: bool,
}

/// Takes the traces of calls that have ended. Runs on the path of the call: it may not wait.
pub trait TraceSink: Debug + Send + Sync + 'static {
    /// A call has ended, and so has its record.
    fn take(&self, trace: Trace);
}

/// Traces calls. Clones are handles of the same one.
#[derive(Clone, Debug)]
pub struct Tracer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    sink: Arc<dyn TraceSink>,
    /// The share of calls that are traced, of those whose clients do not say.
    share: f64,
    /// Traces of calls that have ended and are not stored.
    waiting: Mutex<FxHashMap<CallId, Waiting>>,
    /// How many they are, so that looking for none takes no lock.
    count: AtomicUsize,
}

#[derive(Debug)]
struct Waiting {
    trace: Trace,
    since: Instant,
}

impl Tracer {
    /// A tracer of `share` of the calls, 0 to 1, whose traces go to `sink`. A client that says whether its own trace is
    /// recorded decides for its calls.
    #[must_use]
    pub fn new(sink: Arc<dyn TraceSink>, share: f64) -> Self {
        Self { shared: Arc::new(Shared { sink, share, waiting: Mutex::default(), count: AtomicUsize::new(0) }) }
    }

    /// Begins the trace of a call, if it is to have one, and tells its function.
    pub(crate) fn begin(&self, headers: &mut HeaderMap, arrived: Instant) -> Option<CallTrace> {
        let incoming = context::read(headers);
        let sampled = incoming.sampled.unwrap_or_else(|| fastrand::f64() < self.shared.share);
        if !sampled && incoming.parent.is_some() {
            // The client's own context passes, which says the same.
            return None;
        }
        let (trace, parent) = match incoming.parent {
            Some((trace, span)) => (trace, Some(span)),
            None => (TraceId::random(), None),
        };
        let function = SpanId::random();
        context::write(headers, trace, function, sampled);
        sampled.then(|| CallTrace::new(self.clone(), (trace, parent), function, arrived))
    }

    /// Keeps a trace until its record is stored, which [`settled`](Self::settled) tells.
    fn wait_for_record(&self, call: CallId, trace: Trace, since: Instant) {
        let mut waiting = self.waiting();
        let full = waiting.len() >= MAX_WAITING;
        match waiting.entry(call) {
            Entry::Vacant(place) if !full => {
                place.insert(Waiting { trace, since });
                self.shared.count.fetch_add(1, Ordering::Release);
            }
            _ => {
                drop(waiting);
                self.shared.sink.take(trace);
            }
        }
    }

    /// These records are stored, or never will be: their traces are complete.
    pub fn settled(&self, records: &[Arc<Record>]) {
        if self.shared.count.load(Ordering::Acquire) == 0 {
            return;
        }
        for record in records {
            let waiting = self.waiting().remove(&record.call.id);
            if let Some(Waiting { mut trace, since }) = waiting {
                self.shared.count.fetch_sub(1, Ordering::Release);
                call::add_record(&mut trace, since.elapsed());
                self.shared.sink.take(trace);
            }
        }
    }

    /// The map is whole at every moment, so poison is no reason to stop.
    fn waiting(&self) -> MutexGuard<'_, FxHashMap<CallId, Waiting>> {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
