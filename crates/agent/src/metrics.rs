//! What the agent counts. Names and labels of the contract (B.9.1, B.9.4); label values come from stored apps and
//! routes only, never from what a client sends.

use std::collections::BTreeMap;
use std::sync::Arc;

use hearth_models::Stat;
use prometheus::core::Collector;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};
use serde::Serialize;

use crate::Invocation;

const PATH: &[&str] = &["path"];
const APP_AND_PATH: &[&str] = &["fn_appname", "fn_path"];

/// Whose call or container something is.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) app: Arc<str>,
    pub(crate) path: Arc<str>,
}

impl Names {
    pub(crate) fn of(invocation: &Invocation) -> Self {
        let path = match &invocation.trigger {
            Some(trigger) => trigger.source.as_str().into(),
            None => Arc::clone(&invocation.fn_path),
        };
        Self { app: invocation.app.name.as_str().into(), path }
    }
}

/// The agent's metrics.
#[derive(Debug)]
pub struct Metrics {
    queued: IntGaugeVec,
    running: IntGaugeVec,
    completed: IntCounterVec,
    failed: IntCounterVec,
    /// One per measure, in the order of [`hearth_models::Metrics::named`].
    container: Vec<HistogramVec>,
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

impl Metrics {
    /// Makes the metrics and registers them.
    ///
    /// # Errors
    /// When `registry` has some of these names already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name, help| IntGaugeVec::new(Opts::new(name, help), PATH);
        let counter = |name, help| IntCounterVec::new(Opts::new(name, help), PATH);
        let this = Self {
            queued: gauge("fn_api_queued", "Queued requests by path")?,
            running: gauge("fn_api_running", "Running requests by path")?,
            completed: counter("fn_api_completed", "Completed requests by path")?,
            failed: counter("fn_api_failed", "Failed requests by path")?,
            container: hearth_models::Metrics::default()
                .named()
                .iter()
                .map(|(key, _)| container_histogram(key))
                .collect::<prometheus::Result<_>>()?,
        };
        registry.register(Box::new(this.queued.clone()))?;
        registry.register(Box::new(this.running.clone()))?;
        registry.register(Box::new(this.completed.clone()))?;
        registry.register(Box::new(this.failed.clone()))?;
        for histogram in &this.container {
            registry.register(Box::new(histogram.clone()))?;
        }
        Ok(this)
    }

    pub(crate) fn queued(&self, names: &Names) {
        self.queued.with_label_values(&[&names.path]).inc();
    }

    pub(crate) fn started(&self, names: &Names) {
        self.queued.with_label_values(&[&names.path]).dec();
        self.running.with_label_values(&[&names.path]).inc();
    }

    /// A call ended. One that never ran only leaves the queue.
    pub(crate) fn ended(&self, names: &Names, started: bool, success: bool) {
        if !started {
            self.queued.with_label_values(&[&names.path]).dec();
            return;
        }
        self.running.with_label_values(&[&names.path]).dec();
        let counter = if success { &self.completed } else { &self.failed };
        counter.with_label_values(&[&names.path]).inc();
    }

    /// A sample of a container, whether a call holds it or not.
    pub(crate) fn sampled(&self, names: &Names, stat: &Stat) {
        for (histogram, (_, value)) in self.container.iter().zip(stat.metrics.named()) {
            #[expect(clippy::cast_precision_loss, reason = "a histogram's sum is a float anyway")]
            histogram.with_label_values(&[&names.app, &names.path]).observe(value as f64);
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
        add(&self.queued, |counts, n| counts.queue = n);
        add(&self.running, |counts, n| counts.running = n);
        add(&self.completed, |counts, n| counts.complete = n);
        add(&self.failed, |counts, n| counts.failed = n);
        counts
    }
}

fn container_histogram(key: &str) -> prometheus::Result<HistogramVec> {
    let buckets = if key.starts_with("cpu") {
        vec![1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 200.0, 400.0, 800.0]
    } else {
        // 16 KiB to 16 GiB.
        prometheus::exponential_buckets(16.0 * 1024.0, 4.0, 11)?
    };
    let options = HistogramOpts::new(format!("fn_docker_stats_{key}"), format!("docker_stats metric {key}"));
    HistogramVec::new(options.buckets(buckets), APP_AND_PATH)
}
