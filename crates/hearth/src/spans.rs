//! Durations of what the engine and the store were asked, under the contract's names (B.9.2).

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use hearth_agent::Tracer;
use hearth_datastore::{Record, StoreObserver, StoreOperation};
use hearth_drivers::docker::{Observer, Operation, Outcome};
use prometheus::{Histogram, HistogramOpts, IntCounterVec, Opts, Registry};

const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// One histogram per operation of the engine, and its answers by what they were.
#[derive(Debug)]
pub(crate) struct EngineSpans {
    histograms: Vec<(Operation, Histogram)>,
    requests: IntCounterVec,
    agent: Arc<hearth_agent::Metrics>,
}

/// One histogram per operation of the store.
#[derive(Debug)]
pub(crate) struct StoreSpans {
    histograms: Vec<(StoreOperation, Histogram)>,
    flushes: Histogram,
    /// Waits for records.
    tracer: Option<Tracer>,
}

fn span(registry: &Registry, name: &str) -> prometheus::Result<Histogram> {
    let help = format!("Span {name} duration, by span name");
    histogram(registry, &format!("fn_span_{name}_duration_seconds"), &help)
}

fn histogram(registry: &Registry, name: &str, help: &str) -> prometheus::Result<Histogram> {
    let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(BUCKETS.to_vec()))?;
    registry.register(Box::new(histogram.clone()))?;
    Ok(histogram)
}

impl EngineSpans {
    /// Pulls are told to `agent` too, which has no other way to know how long they take.
    pub(crate) fn register(registry: &Registry, agent: Arc<hearth_agent::Metrics>) -> prometheus::Result<Self> {
        let of = |operation: Operation| Ok((operation, span(registry, operation.name())?));
        let histograms = Operation::ALL.into_iter().map(of).collect::<prometheus::Result<_>>()?;
        let options = Opts::new("hearth_docker_requests_total", "Requests to the engine by what came of them");
        let requests = IntCounterVec::new(options, &["operation", "outcome"])?;
        registry.register(Box::new(requests.clone()))?;
        Ok(Self { histograms, requests, agent })
    }
}

impl Observer for EngineSpans {
    fn engine_call(&self, operation: Operation, outcome: Outcome, took: Duration) {
        if let Some((_, histogram)) = self.histograms.iter().find(|(of, _)| *of == operation) {
            histogram.observe(took.as_secs_f64());
        }
        let name = operation.name();
        let outcome = match outcome {
            Outcome::Done => "done",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
        };
        self.requests.with_label_values(&[name.strip_prefix("docker_").unwrap_or(name), outcome]).inc();
        if operation == Operation::PullImage {
            self.agent.pulled(outcome == "done", took);
        }
    }
}

impl StoreSpans {
    pub(crate) fn register(registry: &Registry, tracer: Option<Tracer>) -> prometheus::Result<Self> {
        let of = |operation: StoreOperation| Ok((operation, span(registry, operation.name())?));
        Ok(Self {
            histograms: StoreOperation::ALL.into_iter().map(of).collect::<prometheus::Result<_>>()?,
            flushes: histogram(registry, "hearth_record_flush_seconds", "Time to write a group of records")?,
            tracer,
        })
    }
}

impl StoreObserver for StoreSpans {
    fn asked(&self, operation: StoreOperation, took: Duration) {
        if let Some((_, histogram)) = self.histograms.iter().find(|(of, _)| *of == operation) {
            histogram.observe(took.as_secs_f64());
        }
    }

    fn flushed(&self, took: Duration) {
        self.flushes.observe(took.as_secs_f64());
    }

    fn settled(&self, records: &[Arc<Record>]) {
        if let Some(tracer) = &self.tracer {
            tracer.settled(records);
        }
    }
}
