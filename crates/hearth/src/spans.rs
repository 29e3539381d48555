//! Durations of requests to the engine, under the contract's names (B.9.2).

use std::time::Duration;

use hearth_drivers::docker::{Observer, Operation, Outcome};
use prometheus::{Histogram, HistogramOpts, Registry};

const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// One histogram per operation.
#[derive(Debug)]
pub(crate) struct EngineSpans(Vec<(Operation, Histogram)>);

impl EngineSpans {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let histogram = |operation: Operation| {
            let name = operation.name();
            let help = format!("Span {name} duration, by span name");
            let options = HistogramOpts::new(format!("fn_span_{name}_duration_seconds"), help);
            let histogram = Histogram::with_opts(options.buckets(BUCKETS.to_vec()))?;
            registry.register(Box::new(histogram.clone()))?;
            Ok((operation, histogram))
        };
        Operation::ALL.into_iter().map(histogram).collect::<prometheus::Result<_>>().map(Self)
    }
}

impl Observer for EngineSpans {
    fn engine_call(&self, operation: Operation, _outcome: Outcome, took: Duration) {
        if let Some((_, histogram)) = self.0.iter().find(|(of, _)| *of == operation) {
            histogram.observe(took.as_secs_f64());
        }
    }
}
