//! No byte of one call reaches another, whatever functions and callers do.

use std::time::Duration;

use futures_util::future::join_all;
use hearth_drivers::Exit;
use hearth_drivers::scripted::Program;
use hearth_drivers::scripted::programs::response;
use hearth_models::Status;
use proptest::prelude::*;
use tokio::io::AsyncReadExt;

use crate::support::TestAgent;

/// What a function does with one request; the request's body is `<behaviour>:<nonce>`.
const BEHAVIOURS: [&str; 9] = ["good", "slow", "late-log", "surplus", "half", "hang", "exit", "late-answer", "close"];

/// Reads a request's body and misbehaves as it says. Every byte it writes carries the nonce.
fn moody() -> Program {
    Program::new(|mut io| async move {
        let mut unread = String::new();
        loop {
            let mut buffer = vec![0; 4096];
            match io.stdin.read(&mut buffer).await {
                Ok(n @ 1..) => unread.push_str(&String::from_utf8_lossy(&buffer[..n])),
                _ => return Exit::Code(0),
            }
            let Some((_, body)) = unread.split_once("\r\n\r\n") else { continue };
            let Some((mood, nonce)) = body.split_once(':') else { continue };
            if nonce.len() < 8 {
                continue;
            }
            let (mood, nonce) = (mood.to_owned(), nonce.to_owned());
            unread.clear();
            io.stderr(format!("log {nonce}\n")).await;
            let answer = response(200, nonce.as_bytes());
            match mood.as_str() {
                "slow" => tokio::time::sleep(Duration::from_millis(300)).await,
                "surplus" => io.stdout([&answer[..], &answer[..]].concat()).await,
                "half" => io.stdout(answer[..answer.len() - 3].to_vec()).await,
                "exit" => return Exit::Code(1),
                "late-answer" => tokio::time::sleep(Duration::from_secs(5)).await,
                "close" => {
                    io.close_output();
                    continue;
                }
                _ => {}
            }
            match mood.as_str() {
                "surplus" => {}
                "half" | "hang" => std::future::pending().await,
                _ => io.stdout(answer).await,
            }
            if mood == "late-log" {
                io.stderr(format!("late {nonce}\n")).await;
            }
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_answer_and_every_log_is_the_callers_own(
        calls in proptest::collection::vec((0..BEHAVIOURS.len(), 0u64..3_000, proptest::option::of(0u64..3_000)), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let test = TestAgent::new(moody());
            let function = test.function(r#"{"format":"http","timeout":4}"#);
            let one = |n: usize, (mood, after, patience): (usize, u64, Option<u64>)| {
                let (test, function) = (&test, &function);
                async move {
                    tokio::time::sleep(Duration::from_millis(after)).await;
                    let nonce = format!("{n:08}");
                    let body = format!("{}:{nonce}", BEHAVIOURS[mood]);
                    let invocation = function.invocation(|request| {
                        request.headers.insert("content-length", body.len().into());
                    });
                    let id = invocation.id;
                    let call = async {
                        let answer = test.agent.submit(invocation, hearth_agent::full_body(body)).await.ok()?;
                        let body = http_body_util::BodyExt::collect(answer.body).await.ok()?.to_bytes();
                        Some(String::from_utf8(body.to_vec()).unwrap())
                    };
                    let patience = Duration::from_millis(patience.unwrap_or(60_000));
                    let answer = tokio::time::timeout(patience, call).await.ok().flatten();
                    (id, nonce, answer)
                }
            };
            let ended = join_all(calls.iter().enumerate().map(|(n, call)| one(n, *call))).await;
            for (id, nonce, answer) in ended {
                if let Some(answer) = &answer {
                    assert_eq!(*answer, nonce, "another call's answer");
                }
                let call = test.record(id).await;
                assert!(answer.is_none() || call.status() == Status::Success, "{:?}", call.error());
                let log = String::from_utf8(test.log(id).await.to_vec()).unwrap();
                assert!(log.lines().all(|line| line.ends_with(&nonce)), "foreign lines in {log:?}");
            }
            test.ends_clean().await;
        });
    }
}
