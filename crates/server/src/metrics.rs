//! What the server counts, with the contract's names (B.9.2). Label values come from stored apps and routes only,
//! never from what a client sends; a request that leads to none has empty ones.

use std::time::Duration;

use hearth_agent::Occupancy;
use prometheus::core::Collector;
use prometheus::{HistogramOpts, HistogramVec, IntGauge, IntGaugeVec, Opts, Registry};

/// Seconds from the head of a request to the head of its response.
const SERVE_HTTP: &str = "fn_span_serve_http_duration_seconds";
const SERVE_HTTP_HELP: &str = "Span serve_http duration, by span name";
const LABELS: &[&str] = &["fn_appname", "fn_path"];
const BUCKETS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The server's metrics.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    serve_http: HistogramVec,
    /// Set when they are asked for.
    occupancy: Gauges,
}

/// What the agent holds at the moment.
#[derive(Clone, Debug)]
struct Gauges {
    waiting: IntGauge,
    containers: IntGaugeVec,
    memory_reserved: IntGauge,
    memory_capacity: IntGauge,
}

/// The stored route that a request led to, left on its response.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) app: String,
    pub(crate) path: String,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let options = HistogramOpts::new(SERVE_HTTP, SERVE_HTTP_HELP).buckets(BUCKETS.to_vec());
        let serve_http = HistogramVec::new(options, LABELS)?;
        registry.register(Box::new(serve_http.clone()))?;
        Ok(Self { serve_http, occupancy: Gauges::register(registry)? })
    }

    pub(crate) fn occupied(&self, occupancy: &Occupancy) {
        self.occupancy.set(occupancy);
    }

    pub(crate) fn served(&self, served: Option<&Served>, took: Duration) {
        let (app, path) = served.map_or(("", ""), |served| (&served.app, &served.path));
        self.serve_http.with_label_values(&[app, path]).observe(took.as_secs_f64());
    }

    /// A route is gone, and its series with it. A call that still runs begins a new one when it is answered.
    pub(crate) fn forget_route(&self, app: &str, path: &str) {
        // Without one there was no call.
        self.serve_http.remove_label_values(&[app, path]).unwrap_or_default();
    }

    /// The same for all routes of an app.
    pub(crate) fn forget_app(&self, app: &str) {
        for family in self.serve_http.collect() {
            for metric in family.get_metric() {
                let label = |name| metric.get_label().iter().find(|label| label.name() == name);
                if label(LABELS[0]).is_some_and(|label| label.value() == app) {
                    self.forget_route(app, label(LABELS[1]).map_or("", |label| label.value()));
                }
            }
        }
    }
}

// === impl Gauges ===

impl Gauges {
    fn register(registry: &Registry) -> prometheus::Result<Self> {
        let containers = Opts::new("hearth_containers", "Containers by what they do");
        let this = Self {
            waiting: IntGauge::new("hearth_calls_waiting", "Calls that wait for a container")?,
            containers: IntGaugeVec::new(containers, &["state"])?,
            memory_reserved: IntGauge::new("hearth_memory_reserved_bytes", "Memory that containers have reserved")?,
            memory_capacity: IntGauge::new("hearth_memory_capacity_bytes", "Memory that containers may reserve")?,
        };
        registry.register(Box::new(this.waiting.clone()))?;
        registry.register(Box::new(this.containers.clone()))?;
        registry.register(Box::new(this.memory_reserved.clone()))?;
        registry.register(Box::new(this.memory_capacity.clone()))?;
        Ok(this)
    }

    fn set(&self, occupancy: &Occupancy) {
        let Occupancy { waiting, starting, busy, idle, memory_reserved, memory_capacity, .. } = *occupancy;
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.waiting.set(count(waiting));
        for (state, containers) in [("starting", starting), ("busy", busy), ("idle", idle)] {
            self.containers.with_label_values(&[state]).set(count(containers));
        }
        self.memory_reserved.set(bytes(memory_reserved));
        self.memory_capacity.set(bytes(memory_capacity));
    }
}
