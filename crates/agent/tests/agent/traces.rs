//! The trace of a call: the phases that it reached, and no others.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hearth_agent::{Trace, TraceSink, Tracer};
use hearth_datastore::Record;
use hearth_drivers::scripted::programs::{exit, http_echo};
use hearth_drivers::scripted::{Script, Step};

use crate::support::{Outcome, TestAgent, TestFunction};

#[derive(Debug, Default)]
struct Taken(Mutex<Vec<Trace>>);

impl TraceSink for Taken {
    fn take(&self, trace: Trace) {
        self.0.lock().unwrap().push(trace);
    }
}

struct Stand {
    test: TestAgent,
    function: TestFunction,
    tracer: Tracer,
    taken: Arc<Taken>,
}

impl Stand {
    fn of(script: Script, change: impl FnOnce(&mut hearth_agent::Settings)) -> Self {
        let taken = Arc::new(Taken::default());
        let tracer = Tracer::new(Arc::clone(&taken) as _, 1.0);
        let test = TestAgent::with(script, |settings| {
            settings.tracer = Some(tracer.clone());
            change(settings);
        });
        let function = test.function(r#"{"format":"http","timeout":10}"#);
        Self { test, function, tracer, taken }
    }

    /// Every span of a call's trace as the names from the root to it.
    async fn paths(&self, outcome: &Outcome) -> Vec<String> {
        let call = self.test.record(outcome.id).await;
        assert!(self.taken.0.lock().unwrap().is_empty(), "it waits for its record");
        self.tracer.settled(&[Arc::new(Record { call, log: None })]);
        let trace = self.taken.0.lock().unwrap().pop().expect("the call is traced");
        let path = |span: &hearth_agent::Span| {
            let (mut path, mut parent) = (span.name.to_owned(), span.parent);
            while let Some(above) = trace.spans.iter().find(|other| Some(other.id) == parent) {
                (path, parent) = (format!("{}/{path}", above.name), above.parent);
            }
            path
        };
        assert!(trace.spans.iter().all(|span| span.began <= span.ended), "{trace:?}");
        trace.spans.iter().map(path).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_in_a_new_container_has_its_start_and_the_next_one_has_not() {
    let stand = Stand::of(Script::new(http_echo()), |_| {});
    let first = stand.test.call(&stand.function, "x").await;
    let phases = ["call/accept", "call/body", "call/image", "call/wait"];
    let launch = ["call/wait/launch", "call/wait/launch/create", "call/wait/launch/start"];
    let rest = ["call/exec", "call/drain", "call/record"];
    let paths = stand.paths(&first).await;
    assert_eq!(paths, [&["call"][..], &phases, &launch, &rest].concat());
    let second = stand.test.call(&stand.function, "x").await;
    assert_eq!(stand.paths(&second).await, [&["call"][..], &phases, &rest].concat());
    stand.test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_ran_has_the_phases_that_it_reached() {
    let stand = Stand::of(Script::new(http_echo()), |settings| settings.max_held_bodies = 0);
    let refused = stand.test.call(&stand.function, "x").await;
    assert_eq!(stand.paths(&refused).await, ["call", "call/accept", "call/body", "call/record"]);

    let nowhere = stand.test.function(r#"{"path":"/nowhere","image":"nowhere","format":"http"}"#);
    let missing = stand.test.call(&nowhere, "").await;
    assert_eq!(stand.paths(&missing).await, ["call", "call/accept", "call/body", "call/image", "call/record"]);

    let slow = Script::new(exit(0)).create(Step::takes(Duration::from_secs(60)));
    let stand = Stand::of(slow, |_| {});
    let late = stand.test.call(&stand.function, "").await;
    let reached = ["call", "call/accept", "call/body", "call/image", "call/wait", "call/record"];
    assert_eq!(stand.paths(&late).await, reached);
}
