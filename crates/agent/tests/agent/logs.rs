//! Whose log a line goes to that a function with a socket writes, however long it is under way.

use std::sync::Arc;
use std::time::Duration;

use hearth_drivers::Exit;
use hearth_drivers::scripted::programs::{Request, response, serve};
use hearth_drivers::scripted::{Program, Script, Taps};
use hearth_models::App;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use crate::support::{TestAgent, TestFunction};

/// Longer than any window in which a container has to be silent.
const SLOW: Duration = Duration::from_millis(30);

/// Long after the end of a call.
const LATER: Duration = Duration::from_secs(1);

/// Says that it starts, and then writes what it is sent to its log before it answers with it.
fn talks() -> Program {
    Program::new(|mut io| async move {
        io.stderr("starting\n").await;
        io.listen();
        while let Some(mut connection) = io.accept().await {
            let io = &io;
            serve(&mut connection, &|request| async move {
                let body = String::from_utf8(request.body.to_vec()).unwrap();
                if body != "silent" {
                    io.stdout(format!("before {body}\n")).await;
                }
                response(200, body.as_bytes())
            })
            .await;
        }
        Exit::Code(0)
    })
}

fn function(test: &TestAgent) -> TestFunction {
    test.function(r#"{"format":"http-stream","timeout":10}"#)
}

async fn logged(test: &TestAgent, function: &TestFunction, body: &'static str) -> String {
    let outcome = test.call(function, body).await;
    let id = outcome.id;
    assert_eq!(outcome.answer().await, (200, body.into()));
    test.record(id).await;
    String::from_utf8(test.log(id).await.to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_line_written_before_its_answer_is_the_calls_however_long_it_takes() {
    let test = TestAgent::with(Script::new(talks()).output_takes(SLOW), |_| {});
    let function = function(&test);
    for body in ["one", "two", "silent", "three"] {
        let expected = if body == "silent" { String::new() } else { format!("before {body}\n") };
        assert_eq!(logged(&test, &function, body).await, expected);
    }
    assert_eq!(test.driver.ledger().created, 1);
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_line_that_overtakes_what_was_written_before_its_call_is_the_calls() {
    let hasty = Program::new(|mut io| async move {
        io.stdout("starting\n").await;
        io.listen();
        while let Some(mut connection) = io.accept().await {
            let io = &io;
            serve(&mut connection, &|request: Request| async move {
                io.stderr("of a call\n").await;
                response(200, &request.body)
            })
            .await;
        }
        Exit::Code(0)
    });
    let test = TestAgent::with(Script::new(hasty).stdout_lags(SLOW), |_| {});
    let function = function(&test);
    for _ in 0..3 {
        assert_eq!(logged(&test, &function, "x").await, "of a call\n");
    }
    assert_eq!(test.driver.ledger().created, 1);
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_line_written_between_two_calls_is_in_neithers_log() {
    let chatters = Program::new(|mut io| async move {
        io.listen();
        while let Some(mut connection) = io.accept().await {
            let (io, (answered, mut answers)) = (&io, mpsc::unbounded_channel());
            let answer = |request: Request| {
                let answered = answered.clone();
                async move {
                    io.stderr("of a call\n").await;
                    answered.send(()).unwrap();
                    response(200, &request.body)
                }
            };
            let calls = serve(&mut connection, &answer);
            let chats = async {
                while let Some(()) = answers.recv().await {
                    sleep(LATER).await;
                    io.stderr("of none\n").await;
                }
            };
            tokio::select! { () = calls => {}, () = chats => {} }
        }
        Exit::Code(0)
    });
    let test = TestAgent::with(Script::new(chatters).output_takes(SLOW), |_| {});
    let function = function(&test);
    for _ in 0..3 {
        let begun = Instant::now();
        assert_eq!(logged(&test, &function, "x").await, "of a call\n");
        // A line is under way when the next call begins.
        sleep_until(begun + LATER + SLOW / 2).await;
    }
    assert_eq!(test.driver.ledger().created, 1);
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_function_that_writes_after_its_answers_loses_no_line_at_any_call() {
    let dawdles = Program::new(|mut io| async move {
        io.listen();
        while let Some(mut connection) = io.accept().await {
            let (answered, mut answers) = mpsc::unbounded_channel();
            let answer = |request: Request| {
                answered.send(request.body.clone()).unwrap();
                async move { response(200, &request.body) }
            };
            let calls = serve(&mut connection, &answer);
            let dawdling = async {
                while let Some(body) = answers.recv().await {
                    sleep(Duration::from_millis(1)).await;
                    io.stderr(body).await;
                }
            };
            tokio::select! { () = calls => {}, () = dawdling => {} }
        }
        Exit::Code(0)
    });
    let test = TestAgent::with(Script::new(dawdles), |settings| settings.drain = Duration::from_millis(10));
    let function = function(&test);
    // More than there are calls in which it would be given up that it does.
    for _ in 0..100 {
        for body in ["one", "two"] {
            assert_eq!(logged(&test, &function, body).await, body);
        }
    }
    assert_eq!(test.driver.ledger().created, 1);
    test.ends_clean().await;
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_seen_or_no_mark_comes_a_container_has_to_be_silent_for_a_while() {
    for taps in [Taps::None, Taps::Unmarked] {
        let test = TestAgent::with(Script::new(talks()).taps(taps), |_| {});
        let function = function(&test);
        for body in ["one", "silent", "two"] {
            let expected = if body == "silent" { String::new() } else { format!("before {body}\n") };
            assert_eq!(logged(&test, &function, body).await, expected, "{taps:?}");
        }
        assert_eq!(test.driver.ledger().created, 1);
        test.ends_clean().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_goes_to_a_syslog_server_has_to_pass_by_the_engine_as_it_is() {
    let tells = Program::new(|mut io| async move {
        io.listen();
        while let Some(mut connection) = io.accept().await {
            let io = &io;
            serve(&mut connection, &|_| async move {
                let syslog = io.spec.syslog.as_ref().map(|syslog| format!("{} {}", syslog.address, syslog.tag));
                io.stderr("a line\n").await;
                response(200, format!("{syslog:?}, tapped: {}", io.spec.has_tap()).as_bytes())
            })
            .await;
        }
        Exit::Code(0)
    });
    let test = TestAgent::new(tells);
    let mut function = function(&test);
    let tag = format!("app_id={},fn_id={}", function.app.id, function.function.id);
    // The last has the slot key of the first.
    for (url, address) in [
        (None, None),
        (Some(" udp://one:1\n"), Some("udp://one:1")),
        (Some("tcp://two:2"), Some("tcp://two:2")),
        (Some(" "), None),
    ] {
        function.app = Arc::new(App { syslog_url: url.map(str::to_owned), ..(*test.app).clone() });
        let syslog = address.map(|address| format!("{address} {tag}"));
        let expected = format!("{syslog:?}, tapped: {}", address.is_none());
        for _ in 0..2 {
            let outcome = test.call(&function, "x").await;
            let id = outcome.id;
            assert_eq!(outcome.answer().await, (200, expected.clone().into()));
            test.record(id).await;
            assert_eq!(test.log(id).await, "a line\n");
        }
    }
    assert_eq!(test.driver.ledger().created, 3, "blanks are as good as none");
    test.ends_clean().await;
}
