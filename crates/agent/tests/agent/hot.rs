//! Hot containers: shared by calls, one at a time, and let go in time.

use std::time::Duration;

use futures_util::future::join_all;
use hearth_agent::{Invocation, Timing, empty_body, full_body};
use hearth_drivers::Exit;
use hearth_drivers::scripted::programs::{http, http_echo, json_echo, json_with, response};
use hearth_drivers::scripted::{Script, Stats, Step};
use hearth_models::{Error, Reason, Status};

use crate::support::TestAgent;

#[tokio::test(start_paused = true)]
async fn calls_one_after_the_other_share_a_container_and_each_has_its_record() {
    for (format, program) in [("http", http_echo()), ("json", json_echo())] {
        let test = TestAgent::new(program);
        let function = test.function(&format!(r#"{{"format":"{format}"}}"#));
        for n in 0..5 {
            let outcome = test.call(&function, format!("hello {n}")).await;
            let id = outcome.id;
            assert_eq!(outcome.answer().await, (200, format!("hello {n}").into()), "{format}");
            let call = test.record(id).await;
            assert_eq!((call.status(), call.reason(), call.attempts), (Status::Success, None, 1));
            assert!(call.started_at().unwrap() >= call.created_at);
            assert_eq!(test.log(id).await, "");
        }
        assert_eq!(test.driver.ledger().created, 1, "{format}");
        test.ends_clean().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_line_written_before_or_just_after_the_answer_belongs_to_the_call() {
    let program = hearth_drivers::scripted::Program::new(|mut io| async move {
        let mut n = 0;
        let mut buffer = vec![0; 4096];
        while let Ok(1..) = tokio::io::AsyncReadExt::read(&mut io.stdin, &mut buffer).await {
            n += 1;
            io.stderr(format!("before {n}\n")).await;
            io.stdout(response(200, b"ok")).await;
            io.stderr(format!("after {n}\n")).await;
        }
        Exit::Code(0)
    });
    let test = TestAgent::new(program);
    let function = test.function(r#"{"format":"http"}"#);
    for n in 1..=3 {
        let id = test.call(&function, "x").await.id;
        assert_eq!(test.log(id).await, format!("before {n}\nafter {n}\n"));
    }
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_of_three_seconds_has_its_own_points_and_a_short_one_none() {
    let slow = http(|request| async move {
        tokio::time::sleep(Duration::from_millis(if request.body == b"slow" { 3_100 } else { 10 })).await;
        response(200, b"done")
    });
    let test = TestAgent::new(slow.clone());
    let function = test.function(r#"{"format":"http"}"#);
    test.call(&function, "fast").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let slow_id = test.call(&function, "slow").await.id;
    let fast_id = test.call(&function, "fast").await.id;
    let call = test.record(slow_id).await;
    // At 50 ms, after each second, and at the end.
    assert_eq!(call.stats.len(), 5);
    assert!(test.record(fast_id).await.stats.is_empty());
    test.ends_clean().await;

    let streamed = TestAgent::with(Script::new(slow).stats(Stats::Stream(Duration::from_secs(1))), |_| {});
    let function = streamed.function(r#"{"format":"http"}"#);
    let id = streamed.call(&function, "slow").await.id;
    assert_eq!(streamed.record(id).await.stats.len(), 3);
    streamed.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn many_callers_of_a_slow_function_get_a_container_each_and_all_answers() {
    let slow = http(|request| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        response(200, &request.body)
    });
    let script = Script::new(slow).start(Step::takes(Duration::from_millis(200)));
    let test = TestAgent::with(script, |settings| settings.memory = 64 * 128 * 1024 * 1024);
    let function = test.function(r#"{"format":"http"}"#);
    let calls = (0..32).map(|n| {
        let (test, function) = (&test, &function);
        async move { test.call(function, format!("{n}")).await.answer().await }
    });
    for (n, answer) in join_all(calls).await.into_iter().enumerate() {
        assert_eq!(answer, (200, format!("{n}").into()));
    }
    let started = test.driver.ledger().created;
    assert!((8..=32).contains(&started), "{started}");
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_container_goes_after_its_idle_timeout() {
    let test = TestAgent::new(http_echo());
    let function = test.function(r#"{"format":"http","idle_timeout":2}"#);
    test.call(&function, "x").await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    test.call(&function, "x").await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(test.driver.ledger().live(), 1, "its idle time began anew");
    test.driver.until(|ledger| ledger.is_clean()).await;
    assert_eq!(test.agent.occupancy().memory_reserved, 0);
    assert_eq!(test.call(&function, "y").await.answer().await.0, 200);
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_changed_function_runs_in_a_new_container() {
    let test = TestAgent::new(http_echo());
    let function = test.function(r#"{"format":"http"}"#);
    test.call(&function, "x").await;
    test.agent.function_changed(function.function.id);
    test.driver.until(|ledger| ledger.is_clean()).await;
    assert_eq!(test.call(&function, "x").await.answer().await.0, 200);
    assert_eq!(test.driver.ledger().created, 2);
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn an_image_rebuilt_under_its_tag_is_used_by_the_next_call() {
    let test = TestAgent::new(http_echo());
    let function = test.function(r#"{"format":"http"}"#);
    assert_eq!(test.call(&function, "x").await.answer().await.1, "x");
    test.driver.script("image", Script::new(http(|_| async { response(200, b"new") })).with_image_id("sha256:new"));
    assert_eq!(test.call(&function, "x").await.answer().await.1, "new");
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn status_and_headers_are_the_functions() {
    let program = json_with(|request| async move {
        let id = request["call_id"].clone();
        serde_json::json!({"body": "", "protocol": {"status_code": 418, "headers": {"x-id": [id], "X-Two": ["a", "b"]}}})
    });
    let test = TestAgent::new(program);
    let function = test.function(r#"{"format":"json"}"#);
    let outcome = test.call(&function, "{}").await;
    let answer = outcome.result.unwrap();
    assert_eq!(answer.status, 418);
    assert_eq!(answer.headers["x-id"], outcome.id.to_string());
    assert_eq!(answer.headers.get_all("x-two").iter().collect::<Vec<_>>(), ["a", "b"]);
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_arrives_as_it_is_made() {
    let program = hearth_drivers::scripted::Program::new(|mut io| async move {
        let mut buffer = vec![0; 4096];
        while let Ok(1..) = tokio::io::AsyncReadExt::read(&mut io.stdin, &mut buffer).await {
            io.stdout("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            for n in 0..3 {
                io.stdout(format!("2\r\n{n};\r\n")).await;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            io.stdout("0\r\n\r\n").await;
        }
        Exit::Code(0)
    });
    let test = TestAgent::new(program);
    let function = test.function(r#"{"format":"http"}"#);
    let begun = tokio::time::Instant::now();
    let mut body = test.call(&function, "x").await.result.unwrap().body;
    assert!(begun.elapsed() < Duration::from_millis(100), "the head came early");
    let mut pieces = Vec::new();
    while let Some(frame) = http_body_util::BodyExt::frame(&mut body).await {
        pieces.push((frame.unwrap().into_data().unwrap(), begun.elapsed().as_secs()));
    }
    assert_eq!(pieces, [("0;".into(), 0), ("1;".into(), 1), ("2;".into(), 2)]);
    test.ends_clean().await;
}

/// HTTP servers let a body go with the last byte of its declared length, and do not ask for its end.
#[tokio::test(start_paused = true)]
async fn a_caller_that_has_the_declared_length_has_the_answer() {
    const PIECE: usize = 16 * 1024;
    const PIECES: usize = 9;
    let program = hearth_drivers::scripted::Program::new(|mut io| async move {
        let mut buffer = vec![0; 4096];
        while let Ok(1..) = tokio::io::AsyncReadExt::read(&mut io.stdin, &mut buffer).await {
            io.stdout(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", PIECES * PIECE)).await;
            for _ in 0..PIECES {
                io.stdout(vec![b'x'; PIECE]).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        Exit::Code(0)
    });
    let test = TestAgent::new(program);
    let function = test.function(r#"{"format":"http"}"#);
    let outcome = test.call(&function, "x").await;
    let mut body = outcome.result.unwrap().body;
    let mut received = 0;
    while received < PIECES * PIECE {
        let frame = http_body_util::BodyExt::frame(&mut body).await.unwrap();
        received += frame.unwrap().into_data().unwrap().len();
        // As long as there is more than fits between container and client, so that at last only the end does not fit.
        if received <= 5 * PIECE {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    drop(body);
    let call = test.record(outcome.id).await;
    assert_eq!((call.status(), call.reason()), (Status::Success, None), "{call:?}");
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_costs_no_container_and_is_recorded_as_cancelled() {
    let slow = http(|request| async move {
        tokio::time::sleep(Duration::from_secs(2)).await;
        response(200, &request.body)
    });
    let test = TestAgent::new(slow);
    let function = test.function(r#"{"format":"http"}"#);
    test.call(&function, "warm").await;

    let invocation = function.invocation(|_| {});
    let running = invocation.id;
    let left = test.agent.submit(invocation, empty_body());
    assert!(tokio::time::timeout(Duration::from_secs(1), left).await.is_err());

    let call = test.record(running).await;
    assert_eq!((call.status(), call.reason()), (Status::Cancelled, Some(Reason::ClientRequest)));
    let created = test.driver.ledger().created;
    assert_eq!(test.call(&function, "next").await.answer().await, (200, "next".into()));
    assert_eq!((created, test.driver.ledger().created), (1, 1), "the container stayed warm");
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_waiting_caller_that_leaves_leaves_the_line() {
    let test = TestAgent::with(Script::new(http_echo()).start(Step::takes(Duration::from_secs(5))), |_| {});
    let function = test.function(r#"{"format":"http"}"#);
    let invocation = function.invocation(|_| {});
    let id = invocation.id;
    let waiting = test.agent.submit(invocation, empty_body());
    assert!(tokio::time::timeout(Duration::from_secs(1), waiting).await.is_err());
    assert_eq!(test.agent.occupancy().waiting, 0);
    let call = test.record(id).await;
    assert_eq!((call.status(), call.started_at()), (Status::Cancelled, None));
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_cannot_start_within_half_its_timeout_is_refused() {
    let test = TestAgent::with(Script::new(http_echo()).start(Step::takes(Duration::from_secs(60))), |_| {});
    let function = test.function(r#"{"format":"http","timeout":10}"#);
    let outcome = test.call(&function, "x").await;
    let failure = outcome.result.unwrap_err();
    assert_eq!((failure.error.status(), failure.error.retry_after()), (503, Some(15)));
    assert_eq!(failure.waited, Duration::from_secs(5));
    let call = test.record(outcome.id).await;
    assert_eq!((call.status(), call.reason()), (Status::Error, Some(Reason::NoCapacity)));
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn time_that_counts_from_the_slot_leaves_the_execution_its_full_timeout() {
    let slow = http(|request| async move {
        tokio::time::sleep(Duration::from_millis(String::from_utf8(request.body).unwrap().parse().unwrap())).await;
        response(200, b"done")
    });
    let test = TestAgent::with(Script::new(slow).start(Step::takes(Duration::from_secs(29))), |_| {});
    let function = test.function(r#"{"format":"http","timeout":2}"#);
    let call = |millis: &'static str| {
        let invocation = Invocation { timing: Timing::FromSlot, ..function.invocation(|_| {}) };
        test.agent.submit(invocation, full_body(millis))
    };
    let answer = call("1900").await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.waited), (200, Duration::from_secs(29)));
    let failure = call("2100").await.unwrap_err();
    assert_eq!(failure.error, Error::TimedOut);
    test.ends_clean().await;

    // A pull is no wait for a container.
    let script = Script::new(http_echo()).pull(Step::takes(Duration::from_secs(100)));
    let test = TestAgent::with(script.start(Step::takes(Duration::from_secs(29))), |_| {});
    let function = test.function(r#"{"format":"http","timeout":2}"#);
    let invocation = Invocation { timing: Timing::FromSlot, ..function.invocation(|_| {}) };
    let answer = test.agent.submit(invocation, empty_body()).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.waited), (200, Duration::from_secs(129)));
    drop(answer);
    test.ends_clean().await;

    let test = TestAgent::with(Script::new(http_echo()).start(Step::takes(Duration::from_secs(50))), |_| {});
    for (timeout, waited) in [(2, 30), (40, 40)] {
        let function = test.function(&format!(r#"{{"format":"http","timeout":{timeout}}}"#));
        let invocation = Invocation { timing: Timing::FromSlot, ..function.invocation(|_| {}) };
        let failure = test.agent.submit(invocation, empty_body()).await.unwrap_err();
        assert_eq!((failure.error, failure.waited), (Error::Busy, Duration::from_secs(waited)));
    }
    test.ends_clean().await;
}
