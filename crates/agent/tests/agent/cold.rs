//! Cold calls: a container each, whose exit code is part of the answer.

use std::time::Duration;

use bytes::Bytes;
use hearth_drivers::Exit;
use hearth_drivers::scripted::Program;
use hearth_drivers::scripted::programs::cat;
use hearth_models::{Error, Reason, Status};
use http_body_util::BodyExt;

use crate::support::TestAgent;

/// Writes each piece to stdout a while after the one before, then exits.
fn prints(pieces: &'static [&'static str], every: Duration, code: i64) -> Program {
    Program::new(move |io| async move {
        for piece in pieces {
            io.stdout(*piece).await;
            tokio::time::sleep(every).await;
        }
        Exit::Code(code)
    })
}

#[tokio::test(start_paused = true)]
async fn each_call_has_a_container_of_its_own() {
    let test = TestAgent::new(cat());
    let function = test.function("{}");
    for n in 0..3 {
        let body = Bytes::from(vec![n; 500_000]);
        assert_eq!(test.call(&function, body.clone()).await.answer().await, (200, body));
    }
    assert_eq!(test.driver.ledger().created, 3);
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_function_that_prints_and_then_fails_is_a_clean_error() {
    let test = TestAgent::new(prints(&["partial output"], Duration::ZERO, 3));
    let function = test.function("{}");
    let outcome = test.call(&function, "x").await;
    assert_eq!(outcome.error(), Error::ExitCode(3));
    let call = test.record(outcome.id).await;
    assert_eq!((call.status(), call.reason()), (Status::Error, Some(Reason::BadExit)));
    assert_eq!(call.error(), Some("container exit code 3"));
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_fails_late_is_aborted_and_nothing_is_appended() {
    let test = TestAgent::new(prints(&["one ", "two "], Duration::from_secs(1), 3));
    let function = test.function("{}");
    let outcome = test.call(&function, "x").await;
    let mut body = outcome.result.unwrap().body;
    let mut seen = Vec::new();
    let end = loop {
        match body.frame().await {
            Some(Ok(frame)) => seen.extend_from_slice(&frame.into_data().unwrap()),
            other => break other,
        }
    };
    assert_eq!(seen, b"one two ");
    assert_eq!(end.unwrap().unwrap_err().0, Error::ExitCode(3));
    assert_eq!(test.record(outcome.id).await.status(), Status::Error);
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn an_empty_answer_is_an_answer() {
    let test = TestAgent::new(prints(&[], Duration::ZERO, 0));
    let function = test.function("{}");
    assert_eq!(test.call(&function, "x").await.answer().await, (200, Bytes::new()));
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn the_environment_tells_the_call() {
    let program = Program::new(|io| async move {
        let names = ["FN_CALL_ID", "FN_METHOD", "FN_HEADER_X_Given", "FN_FORMAT"];
        for name in names {
            io.stdout(format!("{}\n", io.env(name).unwrap_or("-"))).await;
        }
        Exit::Code(0)
    });
    let test = TestAgent::new(program);
    let function = test.function("{}");
    let change = |request: &mut hearth_agent::Request| drop(request.headers.insert("x-given", "v".parse().unwrap()));
    let outcome = test.call_with(&function, hearth_agent::empty_body(), change).await;
    let id = outcome.id;
    assert_eq!(outcome.answer().await.1, format!("{id}\nPOST\nv\ndefault\n"));
    test.ends_clean().await;
}
