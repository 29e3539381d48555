//! What the server counts, with the contract's names (B.9.2). Label values come from stored apps and routes only,
//! never from what a client sends; a request that leads to none has empty ones.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{HistogramOpts, HistogramVec, Registry};

/// Seconds from the head of a request to the head of its response.
const SERVE_HTTP: &str = "fn_span_serve_http_duration_seconds";
const SERVE_HTTP_HELP: &str = "Span serve_http duration, by span name";
const LABELS: &[&str] = &["fn_appname", "fn_path"];
const BUCKETS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The server's metrics.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    serve_http: HistogramVec,
}

/// The stored route that a request led to, left on its response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Served {
    pub(crate) app: String,
    pub(crate) path: String,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let options = HistogramOpts::new(SERVE_HTTP, SERVE_HTTP_HELP).buckets(BUCKETS.to_vec());
        let serve_http = HistogramVec::new(options, LABELS)?;
        registry.register(Box::new(serve_http.clone()))?;
        Ok(Self { serve_http })
    }

    pub(crate) fn served(&self, served: Option<&Served>, took: Duration) {
        let (app, path) = served.map_or(("", ""), |served| (&served.app, &served.path));
        self.serve_http.with_label_values(&[app, path]).observe(took.as_secs_f64());
    }

    /// A route is gone, and its series with it. A call that still runs begins a new one when it is answered, until the
    /// next sweep.
    pub(crate) fn forget_route(&self, app: &str, path: &str) {
        // Without one there was no call.
        self.serve_http.remove_label_values(&[app, path]).unwrap_or_default();
    }

    /// The same for all routes of an app.
    pub(crate) fn forget_app(&self, app: &str) {
        for served in self.routes().iter().filter(|served| served.app == app) {
            self.forget_route(app, &served.path);
        }
    }

    /// The routes that there are series of.
    pub(crate) fn routes(&self) -> Vec<Served> {
        let families = self.serve_http.collect();
        let metrics = families.iter().flat_map(|family| family.get_metric());
        let served = metrics.map(|metric| {
            let label = |name| metric.get_label().iter().find(|label| label.name() == name);
            let text = |name| label(name).map_or_else(String::new, |label| label.value().to_owned());
            Served { app: text(LABELS[0]), path: text(LABELS[1]) }
        });
        served.filter(|served| !served.app.is_empty()).collect()
    }
}
