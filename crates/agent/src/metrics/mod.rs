//! What the agent counts. Label values come from stored apps, routes and functions only, never from what a client sends;
//! the series of what was removed go with it.

mod families;
mod occupancy;
mod series;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use hearth_datastore::Resolved;
use hearth_drivers::Phase;
use hearth_models::{App, Function, Trigger};
use prometheus::core::Collector;
use prometheus::{Histogram, Registry};
use rustc_hash::FxHashMap;
use serde::Serialize;

use crate::{Invocation, ListenerFailures};
use families::Families;

pub(crate) use families::{End, Span};
pub use occupancy::register_occupancy;
pub(crate) use occupancy::{Held, Owner};
pub use series::{Key, Labels, Series};

/// The outcome of a phase after which the start went on.
const DONE: &str = "done";

/// The agent's metrics.
#[derive(Debug)]
pub struct Metrics {
    families: Arc<Families>,
    /// Requests that led to no function.
    elsewhere: Histogram,
    listener_failures: ListenerFailures,
    series: RwLock<FxHashMap<Key, Arc<Series>>>,
}

/// Counts of calls, as `/stats` shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CallCounts {
    /// Waiting for a slot.
    pub queue: u64,
    /// In a container.
    pub running: u64,
    /// Ended with an answer, since the server started.
    pub complete: u64,
    /// Executed and ended without one.
    pub failed: u64,
}

/// How the start of a container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LaunchOutcome {
    Ready,
    /// It cannot be started, or is of no use.
    Failed,
    /// It was not ready in time.
    TimedOut,
    /// The engine was away, or cut it off.
    EngineFailed,
    /// The server stops.
    Stopped,
    /// It was ready, and over before its first call.
    Useless,
}

impl LaunchOutcome {
    const ALL: [Self; 6] =
        [Self::Ready, Self::Failed, Self::TimedOut, Self::EngineFailed, Self::Stopped, Self::Useless];

    const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::EngineFailed => "engine_failed",
            Self::Stopped => "stopped",
            Self::Useless => "useless",
        }
    }
}

impl Metrics {
    /// Makes the metrics and registers them.
    ///
    /// # Errors
    /// When `registry` has some of these names already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let families = Arc::new(Families::register(registry)?);
        Ok(Self {
            elsewhere: families.spans[Span::ServeHttp as usize].with_label_values(&["", ""]),
            families,
            listener_failures: ListenerFailures::register(registry)?,
            series: RwLock::default(),
        })
    }

    /// What listeners failed at.
    #[must_use]
    pub const fn listener_failures(&self) -> &ListenerFailures {
        &self.listener_failures
    }

    /// A request that led to no function was answered after so long.
    pub fn served_elsewhere(&self, time: Duration) {
        self.elsewhere.observe(time.as_secs_f64());
    }

    /// The series of the way that was found.
    #[must_use]
    pub fn of(&self, resolved: &Resolved) -> Arc<Series> {
        let Resolved { app, function, trigger, fn_path } = resolved;
        self.of_way(app, function, trigger.as_deref(), fn_path)
    }

    /// The series of a call's way to its function.
    pub(crate) fn of_call(&self, invocation: &Invocation) -> Arc<Series> {
        let Invocation { app, function, trigger, fn_path, .. } = invocation;
        self.of_way(app, function, trigger.as_deref(), fn_path)
    }

    fn of_way(&self, app: &App, function: &Function, trigger: Option<&Trigger>, fn_path: &str) -> Arc<Series> {
        let path = trigger.map_or(fn_path, |trigger| trigger.source.as_str());
        let key = Key { function: function.id, trigger: trigger.map(|trigger| trigger.id) };
        self.series(key, &app.name, path, &function.name)
    }

    /// The series of a function's containers, whatever way their calls come.
    pub(crate) fn of_containers(&self, invocation: &Invocation) -> Arc<Series> {
        let Invocation { app, function, fn_path, .. } = invocation;
        self.series(Key { function: function.id, trigger: None }, &app.name, fn_path, &function.name)
    }

    fn series(&self, key: Key, app: &str, path: &str, function: &str) -> Arc<Series> {
        let path = if path.is_empty() { function } else { path };
        let is_current = |series: &Series| {
            let Labels { app: known_app, path: known_path, function: known_function } = &series.labels;
            (&**known_app, &**known_path, &**known_function) == (app, path, function)
        };
        let known = Self::read(&self.series).get(&key).cloned();
        if let Some(known) = known.filter(|series| is_current(series)) {
            return known;
        }
        let mut all = self.write();
        let labels = Labels { app: app.into(), path: path.into(), function: function.into() };
        match all.get(&key) {
            Some(known) if is_current(known) => return Arc::clone(known),
            // It was renamed.
            Some(_) => self.forget_among(&mut all, |other, _| *other == key),
            None => {}
        }
        let series = Arc::new(Series::new(labels, Arc::clone(&self.families)));
        all.insert(key, Arc::clone(&series));
        series
    }

    /// A phase of the start of a container: done, or what ended the start in it.
    pub(crate) fn launch_phase(&self, Phase { name, began, ended }: Phase, outcome: LaunchOutcome) {
        let outcome = if outcome == LaunchOutcome::Ready { DONE } else { outcome.name() };
        self.phase(name, outcome, ended - began);
    }

    /// An image was pulled, or was not, which took so long.
    pub fn pulled(&self, done: bool, took: Duration) {
        self.phase("pull", if done { DONE } else { LaunchOutcome::Failed.name() }, took);
    }

    /// Phases are a few per start, and their names a few: they are looked up.
    fn phase(&self, name: &str, outcome: &str, took: Duration) {
        self.families.launch_phases.with_label_values(&[name, outcome]).observe(took.as_secs_f64());
    }

    /// What there are series of.
    #[must_use]
    pub fn known(&self) -> Vec<(Key, Labels)> {
        Self::read(&self.series).iter().map(|(key, series)| (*key, series.labels.clone())).collect()
    }

    /// Takes the series away for which `is_gone` says so. A call that still runs counts no more.
    pub fn forget(&self, is_gone: impl Fn(&Key, &Labels) -> bool) {
        self.forget_among(&mut self.write(), |key, series| is_gone(key, &series.labels));
    }

    fn forget_among(&self, all: &mut FxHashMap<Key, Arc<Series>>, is_gone: impl Fn(&Key, &Series) -> bool) {
        let gone: Vec<Arc<Series>> = all.extract_if(|key, series| is_gone(key, series)).map(|(_, gone)| gone).collect();
        for series in gone {
            *series.present.write().unwrap_or_else(PoisonError::into_inner) = false;
            let Labels { app, path, function } = &series.labels;
            // What shares a label keeps its series.
            let left = |same: fn(&Labels, &Labels) -> bool| all.values().any(|left| same(&left.labels, &series.labels));
            if !left(|a, b| (&a.app, &a.path) == (&b.app, &b.path)) {
                self.families.forget_path(app, path);
            }
            if !left(|a, b| a.path == b.path) {
                self.families.forget_path_everywhere(path);
            }
            if !left(|a, b| (&a.app, &a.function) == (&b.app, &b.function)) {
                self.families.forget_function(app, function);
            }
        }
    }

    /// The counts of calls by path; equal paths of different apps are summed, as the contract has it.
    #[must_use]
    pub fn calls(&self) -> BTreeMap<String, CallCounts> {
        let mut counts: BTreeMap<String, CallCounts> = BTreeMap::new();
        let mut add = |collector: &dyn Collector, put: fn(&mut CallCounts, u64)| {
            for metric in collector.collect().iter().flat_map(prometheus::proto::MetricFamily::get_metric) {
                let path = metric.get_label().first().map(|label| label.value().to_owned()).unwrap_or_default();
                let value = metric.get_gauge().get_value() + metric.get_counter().get_value();
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and not negative")]
                put(counts.entry(path).or_default(), value.max(0.0) as u64);
            }
        };
        let Families { queued, running, completed, failed, .. } = &*self.families;
        add(queued, |counts, n| counts.queue = n);
        add(running, |counts, n| counts.running = n);
        add(completed, |counts, n| counts.complete = n);
        add(failed, |counts, n| counts.failed = n);
        counts
    }

    /// Nothing is left half changed by panicking, so poison is no reason to stop.
    fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
        lock.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, FxHashMap<Key, Arc<Series>>> {
        self.series.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
