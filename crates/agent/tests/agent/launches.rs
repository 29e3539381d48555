//! How starts of containers are counted: as a whole, and by the phase in which one that failed was.

use std::time::Duration;

use hearth_drivers::Error as DriverError;
use hearth_drivers::scripted::programs::{cat, hang, http_echo, stream_echo};
use hearth_drivers::scripted::{Script, Step};
use hearth_models::Error;
use prometheus::TextEncoder;

use crate::support::TestAgent;

impl TestAgent {
    /// What was counted under this name, by labels.
    fn counted(&self, name: &str) -> Vec<String> {
        let text = TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap();
        text.lines().filter_map(|line| line.strip_prefix(name)).map(str::to_owned).collect()
    }

    fn phases(&self) -> Vec<String> {
        self.counted("hearth_launch_phase_seconds_count")
    }

    fn launches(&self) -> Vec<String> {
        self.counted("hearth_launches_total")
    }
}

fn phase(name: &str, outcome: &str) -> String {
    format!("{{outcome=\"{outcome}\",phase=\"{name}\"}} 1")
}

fn launch(outcome: &str) -> String {
    format!("{{app=\"app\",function=\"f\",outcome=\"{outcome}\"}} 1")
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_is_counted_where_it_failed() {
    let refused = || DriverError::Create { message: "no".to_owned() };
    let away = || DriverError::EngineAway { source: None };
    let slow = Step::takes(Duration::from_secs(3600));
    for (script, outcome, phases) in [
        (Script::new(cat()), "ready", vec![phase("create", "done"), phase("start", "done")]),
        (Script::new(cat()).create(Step::fails(refused())), "failed", vec![phase("create", "failed")]),
        (
            Script::new(cat()).start(Step::fails(DriverError::Unhealthy)),
            "failed",
            vec![phase("create", "done"), phase("start", "failed")],
        ),
        (
            Script::new(cat()).start(Step::fails(away())),
            "engine_failed",
            vec![phase("create", "done"), phase("start", "engine_failed")],
        ),
        (Script::new(cat()).create(slow), "timed_out", vec![phase("create", "timed_out")]),
    ] {
        let test = TestAgent::with(script, |_| {});
        let function = test.function(r#"{"timeout":30}"#);
        let outcome_of_call = test.call(&function, "x").await;
        assert_eq!(outcome_of_call.result.is_ok(), outcome == "ready", "{outcome}");
        test.record(outcome_of_call.id).await;
        assert_eq!((test.launches(), test.phases()), (vec![launch(outcome)], phases));
        test.ends_clean().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_with_a_socket_is_started_once_it_takes_connections() {
    for (program, outcome, listened) in [(stream_echo(), "ready", "done"), (hang(), "timed_out", "timed_out")] {
        let test = TestAgent::new(program);
        let function = test.function(r#"{"format":"http-stream","timeout":30}"#);
        let call = test.call(&function, "x").await;
        assert_eq!(call.result.is_ok(), outcome == "ready");
        test.record(call.id).await;
        let phases = [phase("create", "done"), phase("listen", listened), phase("start", "done")];
        let mut counted = test.phases();
        counted.sort_by_key(|line| line.split("phase").nth(1).map(str::to_owned));
        assert_eq!((test.launches(), counted), (vec![launch(outcome)], phases.to_vec()));
        test.ends_clean().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_the_server_s_end_cuts_off_is_counted_as_that() {
    let test = TestAgent::with(Script::new(http_echo()).start(Step::takes(Duration::from_secs(3600))), |_| {});
    let function = test.function(r#"{"format":"http","timeout":120}"#);
    let (registry, driver) = (test.registry.clone(), test.driver.clone());
    let stop = async {
        driver.until(|ledger| ledger.created == 1).await;
        test.agent.shutdown(Duration::ZERO).await;
    };
    let (call, ()) = tokio::join!(test.call(&function, "x"), stop);
    assert_eq!(call.error(), Error::ShuttingDown);
    let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    for line in [format!("hearth_launches_total{}", launch("stopped")), phase("start", "stopped")] {
        assert!(text.contains(&line), "{line} in {text}");
    }
    test.ends_clean().await;
}
