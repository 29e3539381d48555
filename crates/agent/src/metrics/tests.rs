use std::sync::Arc;

use hearth_models::{Error, Format};
use prometheus::TextEncoder;

use super::*;
use crate::env::tests::captured;

fn text(registry: &Registry) -> String {
    TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
}

const TOTALS: [&str; 8] = [
    "fn_calls",
    "fn_queued",
    "fn_running",
    "fn_completed",
    "fn_errors",
    "fn_timeouts",
    "fn_canceled",
    "fn_server_busy",
];

/// The same without what is counted of all calls, which is never taken away.
fn of_functions(registry: &Registry) -> String {
    let total = |family: &prometheus::proto::MetricFamily| TOTALS.contains(&family.name());
    let families: Vec<_> = registry.gather().into_iter().filter(|family| !total(family)).collect();
    TextEncoder::new().encode_to_string(&families).unwrap()
}

/// A call of a function of its own, of this app and path.
fn call(app: &str, path: &str) -> Invocation {
    let mut invocation = captured(Format::Http);
    let mut of = App::clone(&invocation.app);
    of.name = app.to_owned();
    invocation.app = Arc::new(of);
    invocation.fn_path = path.into();
    invocation
}

fn count(series: &Series) {
    series.queued();
    series.started();
    series.waited(Duration::from_millis(1));
    series.executed(Duration::from_millis(2));
    series.took(Span::Submit, Duration::from_millis(3));
    series.sampled(&hearth_models::Stat { timestamp: hearth_models::Timestamp::now(), metrics: Default::default() });
    series.launched(LaunchOutcome::Ready);
    series.ended(true, End::Failed);
}

#[test]
fn the_series_of_a_way_are_found_again_and_follow_a_new_name() {
    let metrics = Metrics::register(&Registry::new()).unwrap();
    let mut invocation = call("app", "/a");
    let first = metrics.of_call(&invocation);
    assert!(Arc::ptr_eq(&first, &metrics.of_call(&invocation)));
    assert_eq!((first.app(), first.path()), ("app", "/a"));
    invocation.fn_path = "/b".into();
    let second = metrics.of_call(&invocation);
    assert_eq!((second.path(), metrics.known().len()), ("/b", 1));
    invocation.fn_path = "".into();
    assert_eq!(metrics.of_call(&invocation).path(), "f", "the name of a function that no path leads to");
}

#[test]
fn nothing_is_left_of_what_was_removed() {
    let registry = Registry::new();
    let metrics = Metrics::register(&registry).unwrap();
    let empty = of_functions(&registry);
    let series = metrics.of_call(&call("app", "/a"));
    count(&series);
    assert!(text(&registry).contains("fn_api_failed{path=\"/a\"} 1\n"));
    metrics.forget(|_, labels| &*labels.app == "app");
    assert_eq!(of_functions(&registry), empty);
    // A call that ran meanwhile brings none of them back, nor does what it is the first to count.
    count(&series);
    series.took(Span::HotExec, Duration::from_millis(1));
    assert_eq!(of_functions(&registry), empty);
    assert_eq!(metrics.known(), []);
}

#[test]
fn what_is_removed_takes_no_series_of_others_along() {
    let registry = Registry::new();
    let metrics = Metrics::register(&registry).unwrap();
    let (one, other) = (call("one", "/same"), call("other", "/same"));
    count(&metrics.of_call(&one));
    count(&metrics.of_call(&other));
    metrics.forget(|_, labels| &*labels.app == "one");
    let text = text(&registry);
    assert!(text.contains("fn_api_failed{path=\"/same\"} 2\n"), "{text}");
    assert!(text.contains("fn_span_agent_submit_duration_seconds_count{fn_appname=\"other\",fn_path=\"/same\"} 1\n"));
    assert!(text.contains("hearth_call_exec_seconds_count{app=\"other\",function=\"f\"} 1\n"));
    assert!(!text.contains("\"one\""), "{text}");
}

/// The counts of [`TOTALS`].
fn hold(registry: &Registry, counts: [u64; 8]) {
    let text = text(registry);
    for (name, count) in TOTALS.into_iter().zip(counts) {
        assert!(text.contains(&format!("\n{name} {count}\n")), "{name} {count}: {text}");
    }
}

/// What dashboards of API v2 ask for.
#[test]
fn all_calls_are_counted_together_and_stay_so() {
    let registry = Registry::new();
    let metrics = Metrics::register(&registry).unwrap();
    let (one, other) = (metrics.of_call(&call("one", "/a")), metrics.of_call(&call("other", "/b")));
    for series in [&one, &other, &one, &one] {
        series.queued();
    }
    let holds = |counts| hold(&registry, counts);
    holds([4, 4, 0, 0, 0, 0, 0, 0]);
    one.started();
    other.started();
    holds([4, 2, 2, 0, 0, 0, 0, 0]);
    one.ended(true, End::of(Ok(())));
    one.ended(false, End::of(Err(&Error::EngineUnavailable)));
    metrics.forget(|_, _| true);
    holds([4, 1, 1, 1, 1, 0, 0, 0]);
    // They end all the same.
    other.ended(true, End::of(Err(&Error::FunctionFailed)));
    one.ended(false, End::of(Err(&Error::Internal)));
    holds([4, 0, 0, 1, 3, 0, 0, 0]);
}

/// Each call is counted in one of them.
#[test]
fn what_a_call_ended_with_is_counted_as_its_record_has_it() {
    let registry = Registry::new();
    let metrics = Metrics::register(&registry).unwrap();
    let series = metrics.of_call(&call("one", "/a"));
    let ends = |error: Error, started: bool| {
        series.queued();
        if started {
            series.started();
        }
        series.ended(started, End::of(Err(&error)));
    };
    ends(Error::TimedOut, true);
    hold(&registry, [1, 0, 0, 0, 0, 1, 0, 0]);
    ends(Error::ClientGone, true);
    ends(Error::BodyTimeout, false);
    hold(&registry, [3, 0, 0, 0, 0, 1, 2, 0]);
    ends(Error::Busy, false);
    ends(Error::NoCapacity("too many calls wait".to_owned()), false);
    hold(&registry, [5, 0, 0, 0, 0, 1, 2, 2]);
    // Records call these errors.
    ends(Error::InitTimedOut, false);
    ends(Error::PullTimedOut, false);
    ends(Error::ShuttingDown, false);
    hold(&registry, [8, 0, 0, 0, 3, 1, 2, 2]);
}
