//! The series of one way to a function: found once per call by its ids, so that nothing on the way of a call looks labels
//! up by their text.

use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

use hearth_models::{FnId, Stat, TriggerId};
use prometheus::{Histogram, IntCounter, IntGauge};

use super::families::{End, Families, Span, Totals};
use super::{LaunchOutcome, Metrics};

/// A function, and the trigger by which it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The function.
    pub function: FnId,
    /// The trigger; none for what concerns the function alone.
    pub trigger: Option<TriggerId>,
}

/// What the labels of a [`Series`] say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// The app.
    pub app: Arc<str>,
    /// The path of the route, or the function's name where no path leads to it.
    pub path: Arc<str>,
    /// The function's name.
    pub function: Arc<str>,
}

/// What is counted of one way to a function. A series begins with what is first counted in it.
#[derive(Debug)]
pub struct Series {
    pub(super) labels: Labels,
    families: Arc<Families>,
    /// Whether the function is still there: what is gone begins no series any more. Held while one begins.
    pub(super) present: RwLock<bool>,
    /// In the order of [`Span::ALL`].
    spans: [OnceLock<Histogram>; Span::ALL.len()],
    measures: OnceLock<Vec<Histogram>>,
    wait: OnceLock<Histogram>,
    exec: OnceLock<Histogram>,
    calls: OnceLock<Calls>,
}

/// The counts of calls.
#[derive(Debug)]
struct Calls {
    queued: IntGauge,
    running: IntGauge,
    completed: IntCounter,
    failed: IntCounter,
}

impl Series {
    pub(super) fn new(labels: Labels, families: Arc<Families>) -> Self {
        Self {
            labels,
            families,
            present: RwLock::new(true),
            spans: [const { OnceLock::new() }; Span::ALL.len()],
            measures: OnceLock::new(),
            wait: OnceLock::new(),
            exec: OnceLock::new(),
            calls: OnceLock::new(),
        }
    }

    pub(crate) const fn labels(&self) -> &Labels {
        &self.labels
    }

    /// The app's name.
    #[must_use]
    pub fn app(&self) -> &str {
        &self.labels.app
    }

    /// The path of the route, or the function's name where no path leads to it.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.labels.path
    }

    pub(crate) fn queued(&self) {
        self.families.total.calls.inc();
        self.families.total.queued.inc();
        self.count(|calls| calls.queued.inc());
    }

    pub(crate) fn started(&self) {
        self.families.total.queued.dec();
        self.families.total.running.inc();
        self.count(|calls| {
            calls.queued.dec();
            calls.running.inc();
        });
    }

    /// A call ended. One that never ran only leaves the queue.
    pub(crate) fn ended(&self, started: bool, end: End) {
        let total @ Totals { queued, running, .. } = &self.families.total;
        let place = if started { running } else { queued };
        place.dec();
        total.ended(end).inc();
        self.count(|calls| {
            if !started {
                calls.queued.dec();
                return;
            }
            calls.running.dec();
            let counter = if end == End::Answered { &calls.completed } else { &calls.failed };
            counter.inc();
        });
    }

    /// A request was answered after so long, from its head to the head of its answer.
    pub fn served(&self, time: Duration) {
        self.took(Span::ServeHttp, time);
    }

    /// A phase took so long.
    pub(crate) fn took(&self, span: Span, time: Duration) {
        let at = span as usize;
        let begin = || self.families.spans[at].with_label_values(&[self.app(), self.path()]);
        self.observe(&self.spans[at], time, begin);
    }

    /// A call was taken into a container after so long.
    pub(crate) fn waited(&self, time: Duration) {
        self.observe(&self.wait, time, || self.families.wait.with_label_values(&self.function()));
    }

    /// A call was executed in so long.
    pub(crate) fn executed(&self, time: Duration) {
        self.observe(&self.exec, time, || self.families.exec.with_label_values(&self.function()));
    }

    /// A sample of a container, whether a call holds it or not.
    pub(crate) fn sampled(&self, stat: &Stat) {
        let begin = || {
            let measures = self.families.measures.iter();
            measures.map(|measure| measure.with_label_values(&[self.app(), self.path()])).collect()
        };
        let Some(measures) = self.begun(&self.measures, begin) else { return };
        for (histogram, (_, value)) in measures.iter().zip(stat.metrics.named()) {
            #[expect(clippy::cast_precision_loss, reason = "a histogram's sum is a float anyway")]
            histogram.observe(value as f64);
        }
    }

    /// A start ended. They are rare enough to be looked up.
    pub(crate) fn launched(&self, outcome: LaunchOutcome) {
        let [app, function] = self.function();
        if *Metrics::read(&self.present) {
            self.families.launches.with_label_values(&[app, function, outcome.name()]).inc();
        }
    }

    fn function(&self) -> [&str; 2] {
        [&self.labels.app, &self.labels.function]
    }

    fn count(&self, count: impl FnOnce(&Calls)) {
        let path = [self.path()];
        let Families { queued, running, completed, failed, .. } = &*self.families;
        let begin = || Calls {
            queued: queued.with_label_values(&path),
            running: running.with_label_values(&path),
            completed: completed.with_label_values(&path),
            failed: failed.with_label_values(&path),
        };
        if let Some(calls) = self.begun(&self.calls, begin) {
            count(calls);
        }
    }

    fn observe(&self, cell: &OnceLock<Histogram>, time: Duration, begin: impl FnOnce() -> Histogram) {
        if let Some(histogram) = self.begun(cell, begin) {
            histogram.observe(time.as_secs_f64());
        }
    }

    /// What a series is counted in; none if it would begin after the function is gone.
    fn begun<'a, T>(&self, cell: &'a OnceLock<T>, begin: impl FnOnce() -> T) -> Option<&'a T> {
        if let Some(begun) = cell.get() {
            return Some(begun);
        }
        let present = Metrics::read(&self.present);
        present.then(|| cell.get_or_init(begin))
    }
}
