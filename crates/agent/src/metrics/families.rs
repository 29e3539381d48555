//! The agent's metrics by name, as they are registered. Names and labels of the contract stand in B.9.1, B.9.2, B.9.4.

use hearth_models::{Error, Reason};
use prometheus::core::Collector;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, exponential_buckets,
};

const PATH: &[&str] = &["path"];
const APP_AND_PATH: &[&str] = &["fn_appname", "fn_path"];
const FUNCTION: &[&str] = &["app", "function"];

/// Bounds of the contract's span histograms, in seconds.
const SPAN_BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// A hot call takes a fraction of a millisecond, a slow one minutes.
const CALL_BUCKETS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 120.0];

/// A phase of a call or of a container that the contract has a histogram for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    /// The door's: it is counted where it was found out which way a request took.
    ServeHttp,
    Submit,
    GetSlot,
    CallStart,
    CallEnd,
    ColdExec,
    HotExec,
    RunHot,
    CollectStats,
    Stats,
}

impl Span {
    pub(super) const ALL: [Self; 10] = [
        Self::ServeHttp,
        Self::Submit,
        Self::GetSlot,
        Self::CallStart,
        Self::CallEnd,
        Self::ColdExec,
        Self::HotExec,
        Self::RunHot,
        Self::CollectStats,
        Self::Stats,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::ServeHttp => "serve_http",
            Self::Submit => "agent_submit",
            Self::GetSlot => "agent_get_slot",
            Self::CallStart => "agent_call_start",
            Self::CallEnd => "agent_call_end",
            Self::ColdExec => "agent_cold_exec",
            Self::HotExec => "agent_hot_exec",
            Self::RunHot => "docker_run_hot",
            Self::CollectStats => "docker_collect_stats",
            Self::Stats => "docker_stats",
        }
    }
}

/// All of them. Which labels they have is seen in [`Series`](super::Series).
#[derive(Debug)]
pub(super) struct Families {
    pub(super) queued: IntGaugeVec,
    pub(super) running: IntGaugeVec,
    pub(super) completed: IntCounterVec,
    pub(super) failed: IntCounterVec,
    pub(super) total: Totals,
    /// In the order of [`Span::ALL`].
    pub(super) spans: Vec<HistogramVec>,
    /// One per measure, in the order of [`hearth_models::Metrics::named`].
    pub(super) measures: Vec<HistogramVec>,
    pub(super) wait: HistogramVec,
    pub(super) exec: HistogramVec,
    pub(super) launches: IntCounterVec,
    pub(super) launch_phases: HistogramVec,
}

/// How a call ended, as it is counted: what its record says of that in one of a few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Answered,
    TimedOut,
    Cancelled,
    /// There was no room for it.
    Busy,
    Failed,
}

impl End {
    pub(crate) const fn of(result: Result<(), &Error>) -> Self {
        let Err(error) = result else { return Self::Answered };
        match error.reason() {
            Reason::Timeout => Self::TimedOut,
            Reason::ClientRequest => Self::Cancelled,
            Reason::NoCapacity => Self::Busy,
            _ => Self::Failed,
        }
    }
}

/// The same of all calls, under the names of API v2 (v2 contract B.8.1). What is removed is still in them.
#[derive(Debug)]
pub(super) struct Totals {
    pub(super) queued: IntGauge,
    pub(super) running: IntGauge,
    pub(super) calls: IntCounter,
    /// One for each [`End`], in their order.
    ended: [IntCounter; 5],
}

impl Totals {
    fn new() -> prometheus::Result<Self> {
        Ok(Self {
            queued: IntGauge::new("fn_queued", "Calls that wait for a container")?,
            running: IntGauge::new("fn_running", "Calls in a container")?,
            calls: IntCounter::new("fn_calls", "Calls that were accepted")?,
            ended: [
                IntCounter::new("fn_completed", "Calls that ended with an answer")?,
                IntCounter::new("fn_timeouts", "Calls that exceeded their function's timeout")?,
                IntCounter::new("fn_canceled", "Calls that their clients gave up")?,
                IntCounter::new("fn_server_busy", "Calls that there was no room for")?,
                IntCounter::new("fn_errors", "Calls that ended otherwise")?,
            ],
        })
    }

    pub(super) fn ended(&self, end: End) -> &IntCounter {
        &self.ended[end as usize]
    }
}

impl Families {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name, help| IntGaugeVec::new(Opts::new(name, help), PATH);
        let counter = |name, help| IntCounterVec::new(Opts::new(name, help), PATH);
        let histogram = |name, help, buckets: &[f64], labels| {
            HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)
        };
        let launches = Opts::new("hearth_launches_total", "Starts of containers by how they ended");
        let this = Self {
            queued: gauge("fn_api_queued", "Queued requests by path")?,
            running: gauge("fn_api_running", "Running requests by path")?,
            completed: counter("fn_api_completed", "Completed requests by path")?,
            failed: counter("fn_api_failed", "Failed requests by path")?,
            total: Totals::new()?,
            spans: Span::ALL.into_iter().map(span).collect::<prometheus::Result<_>>()?,
            measures: hearth_models::Metrics::default()
                .named()
                .iter()
                .map(|(key, _)| measure(key))
                .collect::<prometheus::Result<_>>()?,
            wait: histogram(
                "hearth_call_wait_seconds",
                "From the acceptance of a call to its execution",
                &CALL_BUCKETS,
                FUNCTION,
            )?,
            exec: histogram(
                "hearth_call_exec_seconds",
                "Execution of a call in its container",
                &CALL_BUCKETS,
                FUNCTION,
            )?,
            launches: IntCounterVec::new(launches, &["app", "function", "outcome"])?,
            launch_phases: histogram(
                "hearth_launch_phase_seconds",
                "Phases of the start of a container",
                &SPAN_BUCKETS,
                &["phase", "outcome"],
            )?,
        };
        for collector in this.all() {
            registry.register(collector)?;
        }
        Ok(this)
    }

    fn all(&self) -> Vec<Box<dyn Collector>> {
        let gauges = [&self.queued, &self.running].into_iter().map(boxed);
        let counters = [&self.completed, &self.failed, &self.launches].into_iter().map(boxed);
        let single = [&self.wait, &self.exec, &self.launch_phases];
        let histograms = self.spans.iter().chain(&self.measures).chain(single).map(boxed);
        let Totals { queued, running, calls, ended } = &self.total;
        let totals = [boxed(queued), boxed(running), boxed(calls)].into_iter().chain(ended.iter().map(boxed));
        gauges.chain(counters).chain(histograms).chain(totals).collect()
    }

    /// Nothing is left of an app's path.
    pub(super) fn forget_path(&self, app: &str, path: &str) {
        for histogram in self.spans.iter().chain(&self.measures) {
            // What was never counted has no series.
            histogram.remove_label_values(&[app, path]).unwrap_or_default();
        }
    }

    /// Nothing is left of a path, in whatever app.
    pub(super) fn forget_path_everywhere(&self, path: &str) {
        for gauge in [&self.queued, &self.running] {
            gauge.remove_label_values(&[path]).unwrap_or_default();
        }
        for counter in [&self.completed, &self.failed] {
            counter.remove_label_values(&[path]).unwrap_or_default();
        }
    }

    /// Nothing is left of a function.
    pub(super) fn forget_function(&self, app: &str, function: &str) {
        for histogram in [&self.wait, &self.exec] {
            histogram.remove_label_values(&[app, function]).unwrap_or_default();
        }
        for outcome in super::LaunchOutcome::ALL {
            self.launches.remove_label_values(&[app, function, outcome.name()]).unwrap_or_default();
        }
    }
}

fn boxed<C: Collector + Clone + 'static>(collector: &C) -> Box<dyn Collector> {
    Box::new(collector.clone())
}

fn span(span: Span) -> prometheus::Result<HistogramVec> {
    let name = span.name();
    let help = format!("Span {name} duration, by span name");
    let options = HistogramOpts::new(format!("fn_span_{name}_duration_seconds"), help);
    HistogramVec::new(options.buckets(SPAN_BUCKETS.to_vec()), APP_AND_PATH)
}

fn measure(key: &str) -> prometheus::Result<HistogramVec> {
    let buckets = if key.starts_with("cpu") {
        vec![1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 200.0, 400.0, 800.0]
    } else {
        // 16 KiB to 16 GiB.
        exponential_buckets(16.0 * 1024.0, 4.0, 11)?
    };
    let options = HistogramOpts::new(format!("fn_docker_stats_{key}"), format!("docker_stats metric {key}"));
    HistogramVec::new(options.buckets(buckets), APP_AND_PATH)
}
