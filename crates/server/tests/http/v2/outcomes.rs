//! How calls end (v2 contract B.1.12, B.3.3, B.3.5): every row with status, exact message and record, at `/invoke` and at
//! `/t`; and what is answered to requests that never come to be calls.

use std::time::Duration;

use futures_util::future::join_all;
use hearth_drivers::scripted::programs::{cat, exit, hang, response, serve, stream, stream_echo};
use hearth_drivers::scripted::{Program, Script, Step};
use hearth_drivers::{Error as DriverError, Exit, SocketError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{make_app, make_fn, make_trigger, text};
use crate::client::{self, Reply, raw, request};
use crate::test_app::{Options, TestApp};

const INIT_FAILED: &str =
    "Container failed to initialize, please ensure you are using the latest fdk and check the logs";
const INIT_TIMED_OUT: &str =
    "Container initialization timed out, please ensure you are using the latest fdk and check the logs";
const NOT_RECEIVED: &str = "error receiving function response";
const INVALID: &str = "invalid function response";
const HEAD_TOO_LARGE: &str = "function response header too large";
const BODY_TOO_LARGE: &str = "function response body too large";

/// An image, what calls of it are answered with, and what their records say: status and reason.
struct Row {
    image: Script,
    status: u16,
    message: &'static str,
    record: [&'static str; 2],
}

fn row(image: Script, status: u16, message: &'static str, record: [&'static str; 2]) -> Row {
    Row { image, status, message, record }
}

fn function(program: Program, status: u16, message: &'static str, record: [&'static str; 2]) -> Row {
    row(Script::new(program), status, message, record)
}

/// A function that answers with its own status.
fn says(status: u16) -> Program {
    stream(move |_| async move { response(status, b"x") })
}

/// A function that answers with these bytes.
fn answers(bytes: impl Into<Vec<u8>>) -> Program {
    let bytes = bytes.into();
    stream(move |_| {
        let bytes = bytes.clone();
        async move { bytes }
    })
}

/// A function that takes a request, answers with these bytes, and ends.
fn answers_and_exits(bytes: &'static [u8], code: i64) -> Program {
    Program::new(move |mut io| async move {
        io.listen();
        if let Some(mut connection) = io.accept().await {
            connection.read_u8().await.unwrap();
            connection.write_all(bytes).await.unwrap();
        }
        Exit::Code(code)
    })
}

/// A function that hangs up on whoever asks, and goes on.
fn hangs_up(bytes: &'static [u8]) -> Program {
    Program::new(move |mut io| async move {
        io.listen();
        while let Some(mut connection) = io.accept().await {
            connection.read_u8().await.unwrap();
            connection.write_all(bytes).await.unwrap();
        }
        Exit::Code(0)
    })
}

/// A function that answers nothing.
fn listens_and_hangs() -> Program {
    Program::new(|mut io| async move {
        io.listen();
        while let Some(mut connection) = io.accept().await {
            serve(&mut connection, &|_| std::future::pending()).await;
        }
        Exit::Code(0)
    })
}

fn opens_something_else(what: SocketError) -> Program {
    Program::new(move |io| {
        let what = what.clone();
        async move {
            io.listen_badly(what);
            std::future::pending().await
        }
    })
}

/// A function whose socket takes no connection.
fn deaf() -> Program {
    Program::new(|mut io| async move {
        // In this order: whoever waits for the socket connects at once.
        io.stop_listening();
        io.listen();
        std::future::pending().await
    })
}

fn refuses(step: DriverError) -> Script {
    Script::new(cat()).pull(Step::fails(step))
}

/// Calls a function of each image at both doors, and holds answers and records to the rows; how many there are.
async fn hold(rows: Vec<Row>) -> usize {
    let mut options = Options::default().agent(|agent| {
        agent.socket_patience = Duration::from_millis(1_500);
        (agent.max_response, agent.max_response_head) = (10_000, 4_096);
    });
    let mut expected = Vec::new();
    for (number, Row { image, status, message, record }) in rows.into_iter().enumerate() {
        options.driver = options.driver.with(format!("image-{number}"), image);
        expected.push((number, status, message, record));
    }
    let (running, rows) = (options.start().await, expected.len());
    let (app, app_id) = (&running, &make_app(&running, "app").await);
    for (number, status, message, record) in expected {
        let doors = ["invoke", "t"].map(|door| async move {
            // Each a function of its own: one that has failed to start is not started again at once.
            let name = format!("{door}-{number}");
            let fields = format!(r#""image":"image-{number}","timeout":3"#);
            let fn_id = make_fn(app, app_id, &name, &fields).await;
            make_trigger(app, app_id, &fn_id, &name, &format!("/{name}")).await;
            let path = if door == "t" { format!("/t/app/{name}") } else { format!("/invoke/{fn_id}") };
            let reply = app.post(&path, "in").await;
            assert_eq!(reply.status, status, "{number}: {path} {message}: {}", reply.text());
            reply.is_v2_error(status, message);
            is_recorded(app, &fn_id, &reply, record, message).await;
        });
        join_all(doors).await;
    }
    running.stop().await;
    rows
}

async fn is_recorded(app: &TestApp, fn_id: &str, reply: &Reply, record: [&str; 2], message: &str) {
    let ids = reply.values("fn-call-id");
    assert_eq!(ids.len(), 1, "{ids:?}");
    let path = format!("/v2/fns/{fn_id}/calls/{}", ids[0]);
    // Whether a function that hung up died is looked at for a second, and a reader of its record waits for two.
    let call = app.until(&path, |reply| reply.json()["status"] != "running").await.json();
    assert_eq!([text(&call, "status"), text(&call, "reason"), text(&call, "error")], [record[0], record[1], message]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_what_a_function_answers() {
    let bad_output = ["error", "bad_output"];
    let mut rows = vec![
        function(says(502), 502, "function failed", ["error", "bad_exit"]),
        function(says(504), 504, "Timed out", ["timeout", "timeout"]),
    ];
    rows.extend([201, 204, 302, 404, 500, 503].map(|status| function(says(status), 502, INVALID, bad_output)));
    rows.extend([
        function(answers(*b"nonsense\r\n\r\n"), 502, NOT_RECEIVED, bad_output),
        function(answers(*b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\ny"), 502, NOT_RECEIVED, bad_output),
        function(answers(*b"HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n"), 502, NOT_RECEIVED, bad_output),
        function(answers(*b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx"), 502, NOT_RECEIVED, bad_output),
        function(hangs_up(b""), 502, NOT_RECEIVED, bad_output),
        function(hangs_up(b"HTTP/1.1 200 OK\r\n"), 502, NOT_RECEIVED, bad_output),
        function(hangs_up(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"), 502, NOT_RECEIVED, bad_output),
        function(
            answers(format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 0\r\n\r\n", "x".repeat(5_000))),
            502,
            HEAD_TOO_LARGE,
            bad_output,
        ),
        function(answers(response(200, &[b'x'; 10_001])), 502, BODY_TOO_LARGE, bad_output),
    ]);
    println!("answers: {} rows hold at two doors", hold(rows).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_how_a_function_ends() {
    let bad_exit = ["error", "bad_exit"];
    let rows = vec![
        function(answers_and_exits(b"", 3), 502, NOT_RECEIVED, bad_exit),
        function(answers_and_exits(b"", 0), 502, NOT_RECEIVED, bad_exit),
        function(answers_and_exits(b"HTTP/1.1 200 OK\r\n", 1), 502, NOT_RECEIVED, bad_exit),
        function(listens_and_hangs(), 504, "Timed out", ["timeout", "timeout"]),
        function(exit(0), 502, INIT_FAILED, bad_exit),
        function(exit(1), 502, INIT_FAILED, bad_exit),
        function(opens_something_else(SocketError::BadLink), 502, INIT_FAILED, ["error", "bad_output"]),
        function(opens_something_else(SocketError::NotASocket), 502, INIT_FAILED, ["error", "bad_output"]),
        function(deaf(), 502, NOT_RECEIVED, bad_exit),
        function(hang(), 504, INIT_TIMED_OUT, ["error", "image"]),
    ];
    println!("ends: {} rows hold at two doors", hold(rows).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_an_image_that_cannot_be_had_or_started() {
    let image = || "acme/f".to_owned();
    let image_is_it = ["error", "image"];
    let refused = DriverError::ImageRefused { image: image(), status: 403, message: "denied".to_owned() };
    let missing = DriverError::ImageRefused { image: image(), status: 404, message: "no such image".to_owned() };
    let unreachable = DriverError::ImageUnreachable { image: image(), message: "no route to host".to_owned() };
    let invalid = DriverError::InvalidReference { reference: image(), why: "too long" };
    let slow = DriverError::PullTimedOut { image: image(), limit: Duration::from_secs(1) };
    let start = |step| Script::new(cat()).create(Step::fails(step));
    let rows = vec![
        row(refuses(refused), 403, "Failed to pull image 'acme/f': denied", image_is_it),
        row(refuses(missing), 404, "Failed to pull image 'acme/f': no such image", image_is_it),
        row(refuses(unreachable), 502, "Failed to pull image 'acme/f': no route to host", image_is_it),
        row(refuses(invalid), 400, "Failed to pull image 'acme/f': too long", image_is_it),
        row(Script::new(stream_echo()).with_volume(), 400, "image has Volume definition", image_is_it),
        row(refuses(slow), 504, "Image pull timed out", image_is_it),
        row(
            start(DriverError::Create { message: "no command specified".to_owned() }),
            502,
            "container could not be started: no command specified",
            image_is_it,
        ),
        row(start(DriverError::Log { message: "refused".to_owned() }), 500, "Syslog Unavailable", image_is_it),
    ];
    println!("images: {} rows hold at two doors", hold(rows).await);
}

/// In the formats of API v1 a function may write to its file system anyway.
#[tokio::test(flavor = "multi_thread")]
async fn volumes_of_an_image_are_refused_for_functions_with_a_socket_alone_and_may_be_allowed() {
    let options = || {
        let image = |program| Script::new(program).with_volume();
        let mut options = Options::default();
        options.driver = options.driver.with("stream", image(stream_echo())).with("cold", image(cat()));
        options
    };
    let app = options().start().await;
    let app_id = make_app(&app, "app").await;
    let cold = make_fn(&app, &app_id, "cold", r#""image":"cold","format":"default""#).await;
    app.create_route(r#""path":"/cold","image":"cold""#).await;
    for path in [format!("/invoke/{cold}"), "/r/app/cold".to_owned()] {
        let reply = app.post(&path, "in").await;
        assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, "in"), "{path}");
    }
    app.stop().await;
    let app = options().agent(|agent| agent.allows_volumes = true).start().await;
    let app_id = make_app(&app, "app").await;
    let stream = make_fn(&app, &app_id, "stream", r#""image":"stream""#).await;
    assert_eq!(app.post(&format!("/invoke/{stream}"), "in").await.text(), "in");
    app.stop().await;
}

/// A status that a function frames is the answer to a request. An invocation has none.
#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_a_framed_status() {
    for (framed, status) in [
        ("418", 418),
        ("999", 999),
        ("teapot", 200),
        ("", 200),
        ("0", 502),
        ("-1", 502),
        ("99", 502),
        ("1000", 502),
        ("100", 502),
        ("101", 502),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\nFn-Http-Status: {framed}\r\nContent-Length: 1\r\n\r\nx");
        let app = Options::default().image("image", answers(answer)).start().await;
        let app_id = make_app(&app, "app").await;
        let fn_id = make_fn(&app, &app_id, "f", r#""image":"image""#).await;
        make_trigger(&app, &app_id, &fn_id, "t", "/f").await;
        let reply = app.post("/t/app/f", "").await;
        if status == 502 {
            reply.is_v2_error(502, INVALID);
            is_recorded(&app, &fn_id, &reply, ["error", "bad_output"], INVALID).await;
        } else {
            assert_eq!((reply.status.as_u16(), reply.text().as_str()), (status, "x"), "{framed}");
            assert!(reply.values("fn-http-status").is_empty());
        }
        let direct = app.post(&format!("/invoke/{fn_id}"), "").await;
        assert_eq!((direct.status.as_u16(), direct.values("fn-http-status")), (200, vec![framed.to_owned()]));
        app.stop().await;
    }
}

/// A server with a function of this image and a trigger; and the paths that lead to it.
async fn doors(options: Options) -> (TestApp, [String; 2]) {
    let app = options.start().await;
    let app_id = make_app(&app, "app").await;
    let fn_id = make_fn(&app, &app_id, "f", r#""image":"image","timeout":20"#).await;
    make_trigger(&app, &app_id, &fn_id, "t", "/f").await;
    (app, [format!("/invoke/{fn_id}"), "/t/app/f".to_owned()])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_away_is_told_of() {
    let (app, paths) = doors(Options::default().image("image", stream_echo())).await;
    app.driver.set_away(true);
    for path in &paths {
        let reply = app.post(path, "").await;
        reply.is_v2_error(503, "container engine unavailable");
        assert_eq!(reply.values("retry-after"), ["2"]);
        assert_eq!(reply.values("fn-call-id").len(), 1);
    }
    app.driver.set_away(false);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_a_body_that_does_not_come_as_it_should() {
    let options = Options::default().image("image", stream_echo()).server(|server| {
        (server.max_body, server.max_api_body, server.body_timeout) = (200, 200, Duration::from_millis(200));
    });
    let (app, paths) = doors(options).await;
    let (chunked, long) = &("Transfer-Encoding: chunked\r\n\r\n", "x".repeat(201));
    let (address, paths) =
        (app.address, paths.iter().map(String::as_str).chain(["/v2/apps", "/v2/fns", "/v2/triggers"]));
    let held = paths.map(|path| async move {
        for (rest, status, message) in [
            (
                format!("Content-Length: 201\r\n\r\n{long}"),
                413,
                "Content-Length too large for this server, 201 \\u003e max 200",
            ),
            (
                format!("{chunked}c9\r\n{long}\r\n0\r\n\r\n"),
                413,
                "request body too large for this server, max 200 bytes",
            ),
            ("Content-Length: 9\r\n\r\nfive.".to_owned(), 408, "Timed out reading the request body"),
            (format!("{chunked}zz\r\n"), 400, "Invalid payload"),
        ] {
            let head = format!("POST {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{rest}");
            let answer = raw(address, head.as_bytes()).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path} {rest:.60}: {answer}");
            let body = format!("\r\n\r\n{{\"message\":\"{message}\"}}\n");
            assert!(answer.ends_with(&body), "{path} {rest:.60}: {answer}");
        }
    });
    join_all(held).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_over_its_limit_is_refused_at_every_path() {
    let (app, paths) = doors(Options::default().image("image", stream_echo())).await;
    let long = "x".repeat(70 * 1024);
    for path in paths.iter().map(String::as_str).chain(["/v2/apps"]) {
        let head = format!("POST {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX: {long}\r\n\r\n");
        let answer = raw(app.address, head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{path}: {answer}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_an_internal_error_that_tells_nothing() {
    let mut options = Options::default();
    options.extensions.middleware(|request, next| async move {
        assert!(!request.headers().contains_key("x-panic"), "a secret");
        next.run(request).await
    });
    let app = options.start().await;
    for path in ["/v2/apps", "/invoke/x", "/t/app/f"] {
        let mut asked = request("POST", path, "{}");
        asked.headers_mut().insert("x-panic", http::HeaderValue::from_static("1"));
        let reply = client::exchange(app.address, asked).await;
        reply.is_v2_error(500, "internal server error");
        assert_eq!(reply.values("fn_request_id")[0].len(), 26);
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_is_recorded_and_costs_no_container() {
    let slow = stream(|request| async move {
        if request.body == b"slow" {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        response(200, b"done")
    });
    let (app, paths) = doors(Options::default().image("image", slow)).await;
    let fn_id = paths[0].rsplit('/').next().unwrap();
    let calls = format!("/v2/fns/{fn_id}/calls");
    for path in &paths {
        let left = tokio::time::timeout(Duration::from_millis(150), app.post(path, "slow")).await;
        assert!(left.is_err(), "{path}: it leaves before there is an answer");
        let seen = app.until(&format!("{calls}?per_page=1"), |reply| reply.text().contains("\"cancelled\"")).await;
        let call = seen.json()["items"][0].clone();
        assert_eq!([text(&call, "reason"), text(&call, "error")], ["client_request", "client went away"]);
        assert_eq!(app.post(path, "").await.text(), "done");
    }
    assert_eq!(app.driver.ledger().created, 1);
    app.stop().await;
}
