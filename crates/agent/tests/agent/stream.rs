//! Functions that listen on a socket: how they become ready, how they are spoken to, how they fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use hearth_agent::{Invocation, Timing, Via, empty_body, full_body};
use hearth_drivers::scripted::programs::{http, response, serve, stream, stream_echo};
use hearth_drivers::scripted::{Program, Script, Step};
use hearth_drivers::{Exit, SocketError};
use hearth_models::{Error, Reason, Status};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::support::{TestAgent, TestFunction};

fn function(test: &TestAgent) -> TestFunction {
    test.function(r#"{"format":"http-stream","timeout":10}"#)
}

/// An answer whose own status is this.
fn raw(status: u16) -> Vec<u8> {
    response(status, b"x")
}

#[tokio::test(start_paused = true)]
async fn calls_share_a_container_and_its_connection() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let test = TestAgent::new(Program::new(move |mut io| {
        let connections = Arc::clone(&counted);
        async move {
            io.listen();
            while let Some(mut connection) = io.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let io = &io;
                serve(&mut connection, &|request| async move {
                    io.stdout("out\n").await;
                    io.stderr("err\n").await;
                    response(200, &request.body)
                })
                .await;
            }
            Exit::Code(0)
        }
    }));
    let function = function(&test);
    for n in 0..5 {
        let outcome = test.call(&function, format!("hello {n}")).await;
        let id = outcome.id;
        assert_eq!(outcome.answer().await, (200, format!("hello {n}").into()));
        assert_eq!(test.record(id).await.status(), Status::Success);
        assert_eq!(test.log(id).await, "out\nerr\n");
    }
    assert_eq!((test.driver.ledger().created, connections.load(Ordering::SeqCst)), (1, 1));
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn both_doors_are_served_by_the_same_containers() {
    let test = TestAgent::new(stream(|request| async move {
        let framed = request.head.contains("Fn-Intent: httprequest");
        let status = if framed { "Fn-Http-Status: 201\r\nFn-Http-H-X-Own: framed\r\n" } else { "X-Own: direct\r\n" };
        format!("HTTP/1.1 200 OK\r\n{status}Content-Length: 1\r\n\r\nx").into_bytes()
    }));
    let function = function(&test);
    for (via, trigger, status, own) in
        [(Via::Http, Some(Arc::clone(&function.trigger)), 201, "framed"), (Via::Direct, None, 200, "direct")]
    {
        let invocation = function.invocation(|request| request.via = via);
        let fn_path = if trigger.is_some() { invocation.fn_path.clone() } else { "".into() };
        let invocation = Invocation { trigger, fn_path, timing: Timing::FromSlot, ..invocation };
        let answer = test.agent.submit(invocation, empty_body()).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.headers["x-own"].to_str().unwrap()), (status, own));
    }
    assert_eq!(test.driver.ledger().created, 1);
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn all_who_wait_hear_why_it_did_not_become_ready() {
    let never = Program::new(|io| async move {
        io.stderr("thinking\n").await;
        std::future::pending::<()>().await;
        Exit::Code(0)
    });
    let exits = Program::new(|io| async move {
        io.stderr("no module\n").await;
        Exit::Code(0)
    });
    let eats = Program::new(|_io| async { Exit::OutOfMemory });
    let links = Program::new(|io| async move {
        io.listen_badly(SocketError::BadLink);
        std::future::pending::<Exit>().await
    });
    let deaf = Program::new(|mut io| async move {
        io.listen();
        io.stop_listening();
        std::future::pending::<Exit>().await
    });
    for (program, error, said, after) in [
        (never, Error::InitTimedOut, "thinking\n", Duration::from_secs(5)),
        (exits, Error::InitFailed(Reason::BadExit), "no module\n", Duration::ZERO),
        (eats, Error::InitFailed(Reason::OutOfMemory), "", Duration::ZERO),
        (links, Error::InitFailed(Reason::BadOutput), "", Duration::ZERO),
        (deaf, Error::NotReceived(Reason::BadExit), "", Duration::from_millis(500)),
    ] {
        let test = TestAgent::new(program);
        let function = test.function(r#"{"format":"http-stream","timeout":30}"#);
        let begun = Instant::now();
        // While one takes its time, others may be started for those who wait.
        let callers = if after.is_zero() { 3 } else { 1 };
        let outcomes = join_all((0..callers).map(|_| test.call(&function, "x"))).await;
        let took = begun.elapsed();
        assert!((after..after + Duration::from_millis(20)).contains(&took), "{error:?}: {took:?}");
        for outcome in outcomes {
            assert_eq!(outcome.error(), error);
            let call = test.record(outcome.id).await;
            assert_eq!((call.status(), call.reason(), call.started_at()), (Status::Error, Some(error.reason()), None));
            assert_eq!(test.log(outcome.id).await, said, "the reason is where it is looked for");
        }
        assert_eq!(test.driver.ledger().created, 1, "{error:?}");
        test.ends_clean().await;
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_function_that_never_becomes_ready_is_told_in_the_time_of_one_start() {
    let never = Program::new(|io| async move {
        let _open = io;
        std::future::pending::<Exit>().await
    });
    let test = TestAgent::new(never);
    let function = test.function(r#"{"format":"http-stream","timeout":30}"#);
    let begun = Instant::now();
    let callers = [0, 0, 0, 0, 0, 0, 0, 0, 700, 3_000, 4_990, 5_100].map(|after| {
        let (test, function) = (&test, &function);
        async move {
            tokio::time::sleep(Duration::from_millis(after)).await;
            let came = Instant::now();
            let error = test.call(function, "x").await.error();
            (after, error, came.elapsed())
        }
    });
    for (after, error, waited) in join_all(callers).await {
        assert_eq!(error, Error::InitTimedOut);
        // Its own start, or one that was under way, and the moment until that was due.
        assert!(waited <= Duration::from_millis(5_900), "{after}: {waited:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(7));
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn the_time_to_become_ready_counts_from_the_start_of_the_container() {
    let slow = Program::new(|mut io| async move {
        tokio::time::sleep(Duration::from_millis(4_900)).await;
        io.listen();
        while let Some(mut connection) = io.accept().await {
            serve(&mut connection, &|request| async move { response(200, &request.body) }).await;
        }
        Exit::Code(0)
    });
    let test = TestAgent::with(Script::new(slow).start(Step::takes(Duration::from_secs(3))), |_| {});
    let function = test.function(r#"{"format":"http-stream","timeout":30}"#);
    assert_eq!(test.call(&function, "x").await.answer().await.0, 200);
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_function_says_of_itself_keeps_its_container_and_nonsense_does_not() {
    for (answer, error, created) in [
        (raw(502), Error::FunctionFailed, 1),
        (raw(504), Error::TimedOut, 1),
        (raw(500), Error::InvalidResponse, 2),
        (b"HTTP/1.1 200 OK\r\nFn-Http-Status: 42\r\nContent-Length: 0\r\n\r\n".to_vec(), Error::InvalidResponse, 2),
        (b"nonsense".to_vec(), Error::NotReceived(Reason::BadOutput), 2),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\n".to_vec(), Error::ResponseBodyTooLarge, 2),
    ] {
        let test = TestAgent::new(stream(move |request| {
            let answer = if request.body == b"bad" { answer.clone() } else { response(200, &request.body) };
            async move { answer }
        }));
        let function = function(&test);
        let outcome = test.call(&function, "bad").await;
        assert_eq!(outcome.error(), error);
        assert_eq!(test.record(outcome.id).await.reason(), Some(error.reason()));
        assert_eq!(test.call(&function, "good").await.answer().await, (200, "good".into()), "{error:?}");
        assert_eq!(test.driver.ledger().created, created, "{error:?}");
        test.ends_clean().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_has_a_limit_that_can_be_set() {
    let head = |size: usize| format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 1\r\n\r\nx", "x".repeat(size));
    for (limit, size, format, answered) in [
        (2 << 10, 1 << 10, "http-stream", Ok(200)),
        (2 << 10, 3 << 10, "http-stream", Err(Error::ResponseHeaderTooLarge)),
        (2 << 10, 3 << 10, "http", Err(Error::BadOutput("http: head too long".to_owned()))),
        (1 << 20, 1 << 19, "http-stream", Ok(200)),
    ] {
        let answer = head(size).into_bytes();
        let program = match format {
            "http" => http(move |_| {
                let answer = answer.clone();
                async move { answer }
            }),
            _ => stream(move |_| {
                let answer = answer.clone();
                async move { answer }
            }),
        };
        let test = TestAgent::with(Script::new(program), |settings| settings.max_response_head = limit);
        let function = test.function(&format!(r#"{{"format":"{format}"}}"#));
        let result = test.call(&function, "x").await.result;
        match answered {
            Ok(status) => assert_eq!(result.unwrap().status.as_u16(), status),
            Err(error) => assert_eq!(result.unwrap_err().error.status(), error.status(), "{error}"),
        }
        test.ends_clean().await;
    }
}

/// What a function does with a connection on which it has had one request.
async fn hangs_up(how: &'static str) -> (Error, Option<Reason>) {
    let test = TestAgent::new(Program::new(move |mut io| async move {
        io.listen();
        while let Some(mut connection) = io.accept().await {
            let mut buffer = vec![0; 4096];
            let Ok(1..) = connection.read(&mut buffer).await else { continue };
            match how {
                "before" => {}
                "within" => drop(connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx").await),
                "exits" => return Exit::Code(3),
                "killed" => return Exit::Code(137),
                _ => return Exit::OutOfMemory,
            }
        }
        Exit::Code(0)
    }));
    let function = function(&test);
    let outcome = test.call(&function, "x").await;
    let reason = test.record(outcome.id).await.reason();
    let error = outcome.error();
    test.ends_clean().await;
    (error, reason)
}

#[tokio::test(start_paused = true)]
async fn a_function_that_hangs_up_is_told_from_one_that_died() {
    for (how, reason) in [
        ("before", Reason::BadOutput),
        ("within", Reason::BadOutput),
        ("exits", Reason::BadExit),
        ("killed", Reason::Killed),
        ("eats", Reason::OutOfMemory),
    ] {
        let (error, recorded) = hangs_up(how).await;
        assert_eq!(
            (error.to_string().as_str(), recorded),
            ("error receiving function response", Some(reason)),
            "{how}"
        );
    }
}

/// Answers one request a connection, and says whether it will close that.
fn one_at_a_time(announced: bool) -> Program {
    Program::new(move |mut io| async move {
        io.listen();
        while let Some(mut connection) = io.accept().await {
            let mut buffer = vec![0; 4096];
            let Ok(1..) = connection.read(&mut buffer).await else { continue };
            let close = if announced { "Connection: close\r\n" } else { "" };
            let answer = format!("HTTP/1.1 200 OK\r\n{close}Content-Length: 1\r\n\r\nx");
            connection.write_all(answer.as_bytes()).await.ok();
        }
        Exit::Code(0)
    })
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_closed_between_calls_costs_nothing() {
    for announced in [true, false] {
        let test = TestAgent::new(one_at_a_time(announced));
        let function = function(&test);
        for pause in [0, 1, 50, 2_000] {
            let outcome = test.call(&function, "x").await;
            let id = outcome.id;
            assert_eq!(outcome.answer().await, (200, "x".into()), "{announced}");
            // Then its container idles.
            test.record(id).await;
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        assert_eq!(test.driver.ledger().created, 1, "{announced}");
        test.ends_clean().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_that_takes_no_more_connections_is_replaced_and_costs_no_call() {
    let test = TestAgent::new(Program::new(|mut io| async move {
        io.listen();
        let mut connection = io.accept().await.unwrap();
        let mut buffer = vec![0; 4096];
        assert!(connection.read(&mut buffer).await.is_ok_and(|read| read > 0));
        io.stop_listening();
        connection.write_all(&response(200, b"once")).await.ok();
        drop(connection);
        std::future::pending::<Exit>().await
    }));
    let function = function(&test);
    for created in 1..4 {
        assert_eq!(test.call(&function, "x").await.answer().await, (200, "once".into()));
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(test.driver.ledger().created, created);
    }
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_missed_deadline_costs_the_container_and_a_client_that_leaves_does_not() {
    let test = TestAgent::new(stream(|request| async move {
        let millis = String::from_utf8(request.body).unwrap().parse().unwrap();
        tokio::time::sleep(Duration::from_millis(millis)).await;
        response(200, b"done")
    }));
    let function = function(&test);
    assert_eq!(test.call(&function, "0").await.answer().await.0, 200);
    let left = test.agent.submit(function.invocation(|_| {}), full_body("3000"));
    assert!(tokio::time::timeout(Duration::from_secs(1), left).await.is_err());
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(test.call(&function, "0").await.answer().await.0, 200);
    assert_eq!(test.driver.ledger().created, 1, "its container went on");
    let late = test.call(&function, "60000").await;
    assert_eq!(late.error(), Error::TimedOut);
    assert_eq!(test.record(late.id).await.status(), Status::Timeout);
    assert_eq!(test.call(&function, "0").await.answer().await.0, 200);
    assert_eq!(test.driver.ledger().created, 2);
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_between_calls_costs_the_container() {
    let test = TestAgent::new(Program::new(|mut io| async move {
        io.listen();
        let mut connection = io.accept().await.unwrap();
        let mut buffer = vec![0; 4096];
        assert!(connection.read(&mut buffer).await.is_ok_and(|read| read > 0));
        connection.write_all(&response(200, b"x")).await.ok();
        tokio::time::sleep(Duration::from_secs(1)).await;
        connection.write_all(&response(200, b"of nobody")).await.ok();
        std::future::pending::<Exit>().await
    }));
    let function = function(&test);
    for _ in 0..2 {
        assert_eq!(test.call(&function, "x").await.answer().await, (200, "x".into()));
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    assert_eq!(test.driver.ledger().created, 2);
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn ten_megabytes_go_both_ways() {
    let test = TestAgent::new(stream_echo());
    let function = function(&test);
    let body: Vec<u8> = (0..=255).cycle().take(10 << 20).collect();
    let (status, answer) = test.call(&function, body.clone()).await.answer().await;
    assert!(status == 200 && answer == body, "{} bytes", answer.len());
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn little_of_an_answer_is_under_way_to_a_client_that_does_not_read() {
    const LENGTH: usize = 10 << 20;
    static WRITTEN: AtomicUsize = AtomicUsize::new(0);
    let test = TestAgent::new(Program::new(|mut io| async move {
        io.listen();
        let mut connection = io.accept().await.unwrap();
        let _request = connection.read(&mut [0; 4096]).await;
        connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n").await.unwrap();
        while WRITTEN.fetch_add(4096, Ordering::Relaxed) < LENGTH {
            connection.write_all(&[b'x'; 4096]).await.unwrap();
        }
        std::future::pending().await
    }));
    let answer = test.call(&function(&test), "").await.result.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    // What was held until it was known to be worth streaming, six pieces, and what the pipe holds.
    assert!(WRITTEN.load(Ordering::Relaxed) <= (64 + 6 * 32 + 64) * 1024, "{WRITTEN:?}");
    assert_eq!(answer.body.collect().await.unwrap().to_bytes().len(), LENGTH);
    test.ends_clean().await;
}
