//! What callers and records say when something breaks, and that nothing is left behind.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use hearth_agent::{BodyError, RequestBody};
use hearth_drivers::scripted::programs::{exit_after, flood, garbage, hang, http, http_echo, response};
use hearth_drivers::scripted::{Program, Script, Step};
use hearth_drivers::{Error as DriverError, Exit};
use hearth_models::{Error, Reason, Status};
use http_body_util::{BodyExt, StreamBody};
use tokio::io::AsyncReadExt;
use tokio::sync::Notify;

use crate::support::{HOT, TestAgent};

/// Calls once and says what the client and the record say.
async fn outcome(program: Program, route: &str) -> (Error, Status, Reason) {
    let test = TestAgent::new(program);
    let function = test.function(route);
    let outcome = test.call(&function, "x").await;
    let error = outcome.error();
    let call = test.record(outcome.id).await;
    assert_eq!(call.error(), Some(error.to_string().as_str()));
    test.ends_clean().await;
    (error, call.status(), call.reason().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_function_that_hangs_is_stopped_at_its_deadline() {
    for format in ["default", "http", "json"] {
        let route = format!(r#"{{"format":"{format}","timeout":7}}"#);
        let begun = tokio::time::Instant::now();
        let seen = outcome(hang(), &route).await;
        assert_eq!(seen, (Error::TimedOut, Status::Timeout, Reason::Timeout), "{format}");
        assert!(begun.elapsed() >= Duration::from_secs(7));
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_that_ends_without_an_answer_is_told_at_once() {
    for format in HOT {
        let route = format!(r#"{{"format":"{format}","timeout":60}}"#);
        for (exit, error, reason) in [
            (Exit::Code(0), Error::NoResponse, Reason::BadExit),
            (Exit::Code(3), Error::ExitCode(3), Reason::BadExit),
            (Exit::Code(137), Error::Killed, Reason::Killed),
            (Exit::OutOfMemory, Error::OutOfMemory, Reason::OutOfMemory),
            (Exit::Vanished, Error::Vanished, Reason::Killed),
        ] {
            let begun = tokio::time::Instant::now();
            let program = ends_during_a_call(exit);
            assert_eq!(outcome(program, &route).await, (error, Status::Error, reason), "{format} {exit:?}");
            assert!(begun.elapsed() < Duration::from_secs(5), "{format} {exit:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn output_that_ends_because_the_engine_died_is_no_answer() {
    for format in ["default", "http", "json"] {
        let (asked, away) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (tell, wait) = (Arc::clone(&asked), Arc::clone(&away));
        let program = Program::new(move |mut io| {
            let (asked, away) = (Arc::clone(&tell), Arc::clone(&wait));
            async move {
                io.stdin.read_u8().await.ok();
                asked.notify_one();
                away.notified().await;
                io.close_output();
                std::future::pending().await
            }
        });
        let test = TestAgent::new(program);
        let function = test.function(&format!(r#"{{"format":"{format}","timeout":60}}"#));
        let dying = async {
            asked.notified().await;
            test.driver.set_away(true);
            away.notify_one();
        };
        let (outcome, ()) = tokio::join!(test.call(&function, "x"), dying);
        assert_eq!(outcome.error(), Error::Vanished, "{format}");
        test.driver.set_away(false);
        test.ends_clean().await;
    }
}

fn ends_during_a_call(exit: Exit) -> Program {
    Program::new(move |io| async move {
        let mut io = io;
        io.stdin.read_u8().await.ok();
        tokio::time::sleep(Duration::from_millis(100)).await;
        exit
    })
}

#[tokio::test(start_paused = true)]
async fn output_that_breaks_the_format_is_named_and_the_next_call_is_clean() {
    for format in HOT {
        let test = TestAgent::new(garbage());
        let function = test.function(&format!(r#"{{"format":"{format}"}}"#));
        let outcome = test.call(&function, "x").await;
        let error = outcome.error();
        assert_eq!((error.status(), error.reason()), (502, Reason::BadOutput));
        assert!(error.to_string().contains(format.as_str()), "{error}");
        let reason = test.record(outcome.id).await.reason();
        assert_eq!(reason, Some(Reason::BadOutput));
        test.call(&function, "x").await;
        assert_eq!(test.driver.ledger().created, 2, "the container was not used again");
        test.ends_clean().await;
    }
}

#[tokio::test(start_paused = true)]
async fn output_without_end_is_cut_at_the_limit() {
    let test = TestAgent::with(Script::new(flood()), |settings| settings.max_response = 1024 * 1024);
    let function = test.function("{}");
    let mut body = test.call(&function, "x").await.result.unwrap().body;
    let mut seen = 0;
    let error = loop {
        match body.frame().await.unwrap() {
            Ok(frame) => seen += frame.into_data().unwrap().len(),
            Err(aborted) => break aborted.0,
        }
    };
    assert!(seen <= 1024 * 1024);
    assert_eq!(error, Error::ResponseTooLarge { max: 1024 * 1024 });
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_log_is_cut_and_does_not_disturb_the_function() {
    let program = http(|_| async { response(200, b"ok") });
    let noisy = Program::new(move |mut io| {
        let _quiet = &program;
        async move {
            let mut buffer = vec![0; 4096];
            while let Ok(1..) = io.stdin.read(&mut buffer).await {
                for _ in 0..300 {
                    io.stderr(vec![b'x'; 10_000]).await;
                }
                io.stdout(response(200, b"ok")).await;
            }
            Exit::Code(0)
        }
    });
    let test = TestAgent::new(noisy);
    let function = test.function(r#"{"format":"http"}"#);
    let outcome = test.call(&function, "x").await;
    let id = outcome.id;
    assert_eq!(outcome.answer().await, (200, "ok".into()));
    assert_eq!(test.log(id).await.len(), 1_048_639);
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_container_that_writes_when_nobody_asked_serves_no_call() {
    let stray = Program::new(|io| async move {
        io.stderr("unasked\n").await;
        io.stdout("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil").await;
        std::future::pending::<()>().await;
        Exit::Code(0)
    });
    let test = TestAgent::with(Script::new(stray), |_| {});
    let function = test.function(r#"{"format":"http","timeout":4}"#);
    for call in 0..5 {
        let outcome = test.call(&function, "x").await;
        if call == 0 {
            assert_eq!(test.log(outcome.id).await, "unasked\n", "who waited for it sees what it said");
        }
        assert_eq!(outcome.error(), Error::BadOutput("http: output before the first request".to_owned()));
    }
    assert!(test.driver.ledger().created < 5, "the key backed off");
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn surplus_after_an_answer_costs_the_container_and_no_call() {
    let surplus = Program::new(|mut io| async move {
        let mut buffer = vec![0; 4096];
        while let Ok(1..) = io.stdin.read(&mut buffer).await {
            let mut bytes = response(200, b"ok");
            bytes.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
            io.stdout(bytes).await;
        }
        Exit::Code(0)
    });
    let test = TestAgent::new(surplus);
    let function = test.function(r#"{"format":"http"}"#);
    for created in 1..=3 {
        assert_eq!(test.call(&function, "x").await.answer().await, (200, "ok".into()));
        assert_eq!(test.driver.ledger().created, created);
    }
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_container_that_never_reads_its_large_request_is_not_used_again() {
    let early = Program::new(|io| async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        io.stdout(response(200, b"early")).await;
        std::future::pending::<()>().await;
        Exit::Code(0)
    });
    let test = TestAgent::new(early);
    let function = test.function(r#"{"format":"http"}"#);
    for created in 1..=2 {
        assert_eq!(test.call(&function, vec![b'x'; 1_000_000]).await.answer().await, (200, "early".into()));
        test.driver.until(|ledger| ledger.removed == created).await;
    }
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn failures_to_start_are_told_to_every_caller_with_their_reason() {
    let image = |status| DriverError::ImageRefused { image: "image".into(), status, message: "denied".into() };
    let unreachable = DriverError::ImageUnreachable { image: "image".into(), message: "no route".into() };
    let late = DriverError::PullTimedOut { image: "image".into(), limit: Duration::from_mins(10) };
    let pull = |step| Script::new(http_echo()).pull(step);
    let start = |step| Script::new(http_echo()).start(step);
    let failed = |status, detail: &str| Error::PullFailed { status, image: "image".into(), detail: detail.into() };
    for (script, error, reason) in [
        (pull(Step::fails(image(404))), failed(404, "denied"), Reason::Image),
        (pull(Step::fails(image(401))), failed(401, "denied"), Reason::Image),
        (pull(Step::fails(unreachable)), failed(502, "no route"), Reason::Image),
        (pull(Step::fails(late)), Error::PullTimedOut, Reason::Image),
        (start(Step::fails(DriverError::Unhealthy)), Error::Unhealthy, Reason::BadExit),
        (
            start(Step::fails(DriverError::Start { message: "no such file".into() })),
            Error::StartFailed("no such file".into()),
            Reason::Image,
        ),
        (start(Step::fails(DriverError::Log { message: "refused".into() })), Error::SyslogUnavailable, Reason::Image),
    ] {
        let test = TestAgent::with(script, |_| {});
        for route in [r#"{"format":"http"}"#, r#"{"path":"/cold"}"#] {
            let function = test.function(route);
            let calls = join_all((0..5).map(|_| test.call(&function, "x"))).await;
            for outcome in calls {
                assert_eq!(outcome.error(), error, "{route}");
                assert_eq!(test.record(outcome.id).await.reason(), Some(reason));
            }
        }
        test.ends_clean().await;
    }
}

#[tokio::test(start_paused = true)]
async fn calls_are_refused_while_the_engine_is_away_and_served_when_it_is_back() {
    let test = TestAgent::new(http_echo());
    let function = test.function(r#"{"format":"http"}"#);
    test.driver.set_away(true);
    for _ in 0..3 {
        let outcome = test.call(&function, "x").await;
        assert_eq!((outcome.error(), outcome.error().status()), (Error::EngineUnavailable, 503));
    }
    test.driver.set_away(false);
    assert_eq!(test.call(&function, "x").await.answer().await.0, 200);
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_container_killed_from_outside_fails_its_call_only() {
    let slow = http(|request| async move {
        if request.body == b"slow" {
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        response(200, &request.body)
    });
    let test = TestAgent::new(slow);
    let function = test.function(r#"{"format":"http"}"#);
    let killer = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        test.driver.kill_all(Exit::Code(137));
    };
    let (outcome, ()) = tokio::join!(test.call(&function, "slow"), killer);
    assert_eq!(outcome.error(), Error::Killed);
    assert_eq!(test.call(&function, "x").await.answer().await, (200, "x".into()));
    // Idle ones are noticed before a call can get them.
    test.driver.kill_all(Exit::Code(137));
    assert_eq!(test.call(&function, "y").await.answer().await, (200, "y".into()));
    test.ends_clean().await;
}

/// A body that gives `pieces`, one each second.
fn body(pieces: Vec<Result<&'static str, BodyError>>) -> RequestBody {
    let stream = futures_util::stream::unfold(pieces.into_iter(), |mut pieces| async {
        let piece = pieces.next()?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        Some((piece.map(|piece| http_body::Frame::data(Bytes::from(piece))), pieces))
    });
    BodyExt::boxed_unsync(StreamBody::new(stream))
}

#[tokio::test(start_paused = true)]
async fn a_slow_uploader_holds_no_container() {
    let test = TestAgent::new(http_echo());
    let function = test.function(r#"{"format":"http"}"#);
    let chunked = |request: &mut hearth_agent::Request| {
        request.headers.insert("transfer-encoding", "chunked".parse().unwrap());
    };
    let uploading = test.call_with(&function, body(vec![Ok("a"), Ok("b"), Ok("c")]), chunked);
    let look = async {
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        test.driver.ledger().created
    };
    let (outcome, created) = tokio::join!(uploading, look);
    assert_eq!(created, 0);
    assert_eq!(outcome.answer().await, (200, "abc".into()));
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_ends_the_call() {
    let test = TestAgent::with(Script::new(http_echo()), |settings| settings.preread = 1);
    let function = test.function(r#"{"format":"http"}"#);
    let chunked = |request: &mut hearth_agent::Request| {
        request.headers.insert("transfer-encoding", "chunked".parse().unwrap());
    };
    for (error, told) in [
        (BodyError::BrokeOff, Error::InvalidPayload),
        (BodyError::TooSlow, Error::BodyTimeout),
        (BodyError::TooLarge { max: 9 }, Error::BodyTooLarge { max: 9 }),
    ] {
        for pieces in [vec![Err(error.clone())], vec![Ok("abc"), Err(error.clone())]] {
            let outcome = test.call_with(&function, body(pieces), chunked).await;
            assert_eq!(outcome.error(), told);
            let call = test.record(outcome.id).await;
            assert_eq!((call.status(), call.reason()), (Status::Cancelled, Some(Reason::ClientRequest)));
        }
    }
    assert_eq!(test.call(&function, "x").await.answer().await, (200, "x".into()));
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_container_that_dies_while_starting_is_told() {
    for after in [0, 10] {
        let test = TestAgent::new(exit_after(Duration::from_millis(after), Exit::Code(1)));
        let function = test.function(r#"{"format":"http","timeout":4}"#);
        let outcome = test.call(&function, "x").await;
        assert_eq!(outcome.error(), Error::ExitCode(1));
        test.ends_clean().await;
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_outlast_the_drain_are_told_and_recorded_as_stopped_by_the_server() {
    for route in [r#"{"format":"http"}"#, "{}"] {
        let test = TestAgent::new(hang());
        let function = test.function(route);
        let stopped = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            test.agent.shutdown(Duration::from_secs(1)).await;
        };
        let (outcome, ()) = tokio::join!(test.call(&function, "x"), stopped);
        assert_eq!(outcome.error(), Error::ShuttingDown, "{route}");
        let call = test.record(outcome.id).await;
        assert_eq!((call.status(), call.reason()), (Status::Error, Some(Reason::Platform)), "{route}");
        test.ends_clean().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_pull_counts_once_however_many_waited_for_it() {
    let unreachable = DriverError::ImageUnreachable { image: "image".into(), message: "no route".into() };
    let pull = Step::fails(unreachable).after(Duration::from_secs(1)).times(1);
    let test = TestAgent::with(Script::new(http_echo()).pull(pull), |_| {});
    let function = test.function(r#"{"format":"http"}"#);
    let failed = join_all((0..10).map(|_| test.call(&function, "x"))).await;
    assert!(failed.iter().any(|outcome| outcome.result.is_err()));
    assert_eq!(test.call(&function, "x").await.answer().await.0, 200, "the registry is back");
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_answer_is_still_being_read_shows_as_running_without_delay() {
    let program = Program::new(|mut io| async move {
        let mut buffer = vec![0; 4096];
        while let Ok(1..) = io.stdin.read(&mut buffer).await {
            io.stdout("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n").await;
            io.stdout(vec![b'x'; 1_000_000]).await;
        }
        Exit::Code(0)
    });
    let test = TestAgent::new(program);
    let function = test.function(r#"{"format":"http"}"#);
    let outcome = test.call(&function, "x").await;
    let body = outcome.result.unwrap().body;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = tokio::time::Instant::now();
    let call = test.recorder.call(test.app.id, outcome.id).await.unwrap();
    assert_eq!((call.status(), begun.elapsed()), (Status::Running, Duration::ZERO));
    assert_eq!(body.collect().await.unwrap().to_bytes().len(), 1_000_000);
    assert_eq!(test.record(outcome.id).await.status(), Status::Success);
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn bodies_that_wait_are_bounded_together() {
    let test = TestAgent::with(Script::new(hang()), |settings| settings.max_held_bodies = 1_000_000);
    let function = test.function(r#"{"format":"json","timeout":4}"#);
    let calls = join_all((0..10).map(|_| test.call(&function, vec![b'x'; 200_000]))).await;
    let refused = calls.iter().filter(|outcome| matches!(outcome.error(), Error::NoCapacity(_))).count();
    assert_eq!(refused, 5);
    assert_eq!(test.call(&function, vec![b'x'; 900_000]).await.error(), Error::TimedOut, "room again");
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_container_that_never_gets_ready_is_given_up_and_told() {
    let test = TestAgent::with(Script::new(http_echo()).start(Step::takes(Duration::from_secs(3600))), |_| {});
    let function = test.function(r#"{"format":"http","timeout":120}"#);
    let error = test.call(&function, "x").await.error();
    assert_eq!(error, Error::Busy, "half its timeout is shorter");
    let slow = test.function(r#"{"format":"http","timeout":30}"#);
    test.call(&slow, "x").await;
    test.driver.until(|ledger| ledger.is_clean()).await;
    test.ends_clean().await;
}
