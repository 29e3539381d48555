//! Idle containers that are frozen, and thawed for their next call.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hearth_agent::empty_body;
use hearth_drivers::scripted::programs::{http, http_echo, json_echo, response, serve, stream, stream_echo};
use hearth_drivers::scripted::{Program, Script, Stats, Step};
use hearth_drivers::{Error as DriverError, Exit};
use hearth_models::{Reason, Status};
use tokio::time::{Instant, sleep, timeout};

use crate::support::TestAgent;

const HTTP: &str = r#"{"format":"http"}"#;
const STREAM: &str = r#"{"format":"http-stream"}"#;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// An agent that freezes containers after so many milliseconds.
fn freezing(script: Script, millis: u64) -> TestAgent {
    TestAgent::with(script, |settings| settings.freeze_idle = Some(ms(millis)))
}

fn broken() -> Step {
    Step::fails(DriverError::Engine { operation: "thaw", message: "it is too cold".to_owned(), source: None })
}

impl TestAgent {
    async fn until_frozen(&self) {
        let frozen = self.driver.until(|ledger| ledger.frozen() == 1);
        timeout(Duration::from_secs(60), frozen).await.expect("it is not frozen");
    }
}

#[tokio::test(start_paused = true)]
async fn no_container_is_frozen_unless_that_is_set() {
    let test = TestAgent::new(http_echo());
    let function = test.function(HTTP);
    for _ in 0..3 {
        assert_eq!(test.call(&function, "x").await.answer().await.0, 200);
        sleep(Duration::from_secs(10)).await;
    }
    let ledger = test.driver.ledger();
    assert_eq!((ledger.created, ledger.freezes, ledger.thaws), (1, 0, 0));
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_container_is_frozen_after_its_time_and_thawed_before_its_next_request() {
    for (format, program) in [("http", http_echo()), ("json", json_echo()), ("http-stream", stream_echo())] {
        let test = freezing(Script::new(program).thaw(Step::takes(ms(30))), 100);
        let function = test.function(&format!(r#"{{"format":"{format}"}}"#));
        for n in 0..3 {
            let answer = test.call(&function, "x").await.result.unwrap();
            // Its execution had not begun before.
            assert_eq!(answer.waited, ms(if n == 0 { 0 } else { 30 }), "{format}");
            drop(answer);
            sleep(ms(90)).await;
            assert_eq!(test.driver.ledger().frozen(), 0, "{format}");
            sleep(ms(30)).await;
            assert_eq!(test.driver.ledger().frozen(), 1, "{format}");
        }
        let ledger = test.driver.ledger();
        assert_eq!((ledger.created, ledger.freezes, ledger.thaws), (1, 3, 2), "{format}");
        test.ends_clean().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_container_that_is_busy_or_soon_busy_again_is_not_frozen() {
    let slow = http(|_| async move {
        sleep(ms(150)).await;
        response(200, b"done")
    });
    let test = freezing(Script::new(slow), 100);
    let function = test.function(HTTP);
    for _ in 0..5 {
        test.call(&function, "x").await.answer().await;
        sleep(ms(80)).await;
    }
    assert_eq!(test.driver.ledger().freezes, 0);
    test.until_frozen().await;
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn the_log_of_the_last_call_is_whole_before_its_container_is_frozen() {
    let program = Program::new(|mut io| async move {
        io.listen();
        while let Some(mut connection) = io.accept().await {
            let io = &io;
            serve(&mut connection, &|request| async move {
                io.stderr("a line\n").await;
                response(200, &request.body)
            })
            .await;
        }
        Exit::Code(0)
    });
    let test = freezing(Script::new(program).output_takes(ms(300)), 0);
    let function = test.function(STREAM);
    // Until it is known not to write after its answers its log is waited for, and later it follows.
    for n in 0..80 {
        let begun = Instant::now();
        let outcome = test.call(&function, "x").await;
        let id = outcome.id;
        outcome.answer().await;
        test.until_frozen().await;
        assert!(begun.elapsed() >= ms(300), "call {n}: {:?}", begun.elapsed());
        assert_eq!(test.log(id).await, "a line\n", "call {n}");
    }
    assert_eq!(test.driver.ledger().created, 1);
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_comes_while_its_container_is_being_frozen_waits_for_that() {
    let test = freezing(Script::new(http_echo()).freeze(Step::takes(ms(50))).thaw(Step::takes(ms(10))), 100);
    let function = test.function(HTTP);
    test.call(&function, "x").await.answer().await;
    sleep(ms(120)).await;
    let begun = Instant::now();
    assert_eq!(test.call(&function, "y").await.answer().await, (200, "y".into()));
    assert!(begun.elapsed() >= ms(30), "{:?}", begun.elapsed());
    let ledger = test.driver.ledger();
    assert_eq!((ledger.created, ledger.freezes, ledger.thaws), (1, 1, 1));
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_thaw_that_fails_costs_the_container_and_not_the_call() {
    let test = freezing(Script::new(http_echo()).thaw(broken().after(ms(20))), 100);
    let function = test.function(HTTP);
    for n in 1..=3 {
        assert_eq!(test.call(&function, format!("{n}")).await.answer().await, (200, format!("{n}").into()));
        test.until_frozen().await;
        let ledger = test.driver.ledger();
        assert_eq!((ledger.created, ledger.existing(), ledger.freezes, ledger.thaws), (n, 1, n, 0));
    }
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_freeze_that_fails_costs_the_container() {
    let test = freezing(Script::new(http_echo()).freeze(broken().after(ms(20)).times(2)), 100);
    let function = test.function(HTTP);
    test.call(&function, "x").await.answer().await;
    test.driver.until(|ledger| ledger.removed == 1).await;
    assert_eq!(test.agent.occupancy().memory_reserved, 0);

    // A call is given it just then.
    test.call(&function, "x").await.answer().await;
    sleep(ms(110)).await;
    assert_eq!(test.call(&function, "y").await.answer().await, (200, "y".into()));
    test.until_frozen().await;
    let ledger = test.driver.ledger();
    assert_eq!((ledger.created, ledger.existing(), ledger.freezes), (3, 1, 1));
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_frozen_container_goes_after_its_idle_timeout() {
    let test = freezing(Script::new(http_echo()), 1_500);
    let function = test.function(r#"{"format":"http","idle_timeout":2}"#);
    test.call(&function, "x").await.answer().await;
    let begun = Instant::now();
    test.until_frozen().await;
    test.driver.until(|ledger| ledger.is_clean()).await;
    assert!((ms(1_990)..ms(2_100)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    assert_eq!(test.agent.occupancy().memory_reserved, 0);
    assert_eq!(test.call(&function, "y").await.answer().await.0, 200);
    assert_eq!(test.driver.ledger().thaws, 0);
    test.ends_clean().await;

    // It is gone before it would be frozen.
    let test = freezing(Script::new(http_echo()), 5_000);
    let function = test.function(r#"{"format":"http","idle_timeout":2}"#);
    test.call(&function, "x").await.answer().await;
    test.driver.until(|ledger| ledger.is_clean()).await;
    assert_eq!(test.driver.ledger().freezes, 0);
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_frozen_container_goes_when_its_function_changes_or_another_needs_its_memory() {
    let test = TestAgent::with(Script::new(http_echo()), |settings| {
        settings.freeze_idle = Some(Duration::ZERO);
        settings.memory = 128 << 20;
    });
    let function = test.function(HTTP);
    test.call(&function, "x").await.answer().await;
    test.until_frozen().await;
    test.agent.function_changed(function.function.id);
    test.driver.until(|ledger| ledger.is_clean()).await;

    test.call(&function, "x").await.answer().await;
    test.until_frozen().await;
    let other = test.function(r#"{"format":"http","path":"/other"}"#);
    assert_eq!(test.call(&other, "y").await.answer().await, (200, "y".into()));
    let ledger = test.driver.ledger();
    assert_eq!((ledger.created, ledger.removed, ledger.thaws), (3, 2, 0));
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_stops_while_containers_are_frozen_or_on_their_way() {
    let frozen = freezing(Script::new(stream_echo()), 0);
    frozen.call(&frozen.function(STREAM), "x").await.answer().await;
    frozen.until_frozen().await;
    let begun = Instant::now();
    frozen.ends_clean().await;
    assert!(begun.elapsed() < ms(100), "{:?}", begun.elapsed());

    let never = Duration::from_secs(3_600);
    let freezing_for_ever = freezing(Script::new(http_echo()).freeze(Step::takes(never)), 0);
    freezing_for_ever.call(&freezing_for_ever.function(HTTP), "x").await.answer().await;
    sleep(ms(10)).await;
    freezing_for_ever.ends_clean().await;

    let thawing = freezing(Script::new(http_echo()).thaw(Step::takes(never)), 0);
    let function = thawing.function(r#"{"format":"http","timeout":60}"#);
    thawing.call(&function, "x").await.answer().await;
    thawing.until_frozen().await;
    let call = async {
        let outcome = thawing.call(&function, "y").await;
        assert_eq!(outcome.result.as_ref().unwrap_err().error, hearth_models::Error::ShuttingDown);
        assert_eq!(thawing.record(outcome.id).await.reason(), Some(Reason::Platform));
    };
    tokio::join!(call, async {
        sleep(ms(10)).await;
        thawing.agent.shutdown(ms(100)).await;
    });
    thawing.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_while_its_container_is_thawed_costs_no_container() {
    let test = freezing(Script::new(http_echo()).thaw(Step::takes(ms(100))), 50);
    let function = test.function(HTTP);
    test.call(&function, "x").await.answer().await;
    test.until_frozen().await;
    let invocation = function.invocation(|_| {});
    let id = invocation.id;
    assert!(timeout(ms(20), test.agent.submit(invocation, empty_body())).await.is_err());
    let call = test.record(id).await;
    assert_eq!((call.status(), call.reason()), (Status::Cancelled, Some(Reason::ClientRequest)));
    assert_eq!(test.call(&function, "y").await.answer().await, (200, "y".into()));
    assert_eq!(test.driver.ledger().created, 1);
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_function_that_closes_idle_connections_answers_as_soon_as_it_is_thawed() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let program = Program::new(move |mut io| {
        let connections = Arc::clone(&counted);
        async move {
            io.listen();
            while let Some(mut connection) = io.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                // Its time is over when it is thawed, and it looks at its clock first.
                tokio::select! {
                    biased;
                    () = sleep(Duration::from_secs(5)) => {}
                    () = serve(&mut connection, &|request| async move { response(200, &request.body) }) => {}
                }
            }
            Exit::Code(0)
        }
    });
    let test = freezing(Script::new(program), 100);
    let function = test.function(STREAM);
    for n in 1..=3 {
        assert_eq!(test.call(&function, "x").await.answer().await, (200, "x".into()));
        test.until_frozen().await;
        sleep(Duration::from_secs(10)).await;
        assert_eq!((test.driver.ledger().created, connections.load(Ordering::SeqCst)), (1, n));
    }
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_sampled_while_it_was_frozen_is_no_calls() {
    let slow = stream(|request| async move {
        sleep(ms(if request.body == b"slow" { 3_100 } else { 10 })).await;
        response(200, b"done")
    });
    for (stats, samples) in [(Stats::Direct, 5), (Stats::Stream(Duration::from_secs(1)), 3)] {
        let test = freezing(Script::new(slow.clone()).stats(stats), 0);
        let function = test.function(STREAM);
        test.call(&function, "fast").await.answer().await;
        test.until_frozen().await;
        sleep(Duration::from_secs(20)).await;
        let outcome = test.call(&function, "slow").await;
        let id = outcome.id;
        outcome.answer().await;
        assert_eq!(test.record(id).await.stats.len(), samples);
        assert_eq!(test.driver.ledger().created, 1);
        test.ends_clean().await;
    }
}
