//! What functions get and what clients get back, in all formats.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;

use crate::support::{APP, Options, PATIENCE, Server};

/// What the fixture's `digest` says of `bytes`.
fn digest(bytes: &[u8]) -> String {
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{} {hash:016x}", bytes.len())
}

/// All values of a byte, over and over.
fn binary(length: usize) -> Vec<u8> {
    (0..=255).cycle().take(length).collect()
}

async fn all_formats(server: &Server) -> [(&'static str, &'static str); 4] {
    for format in ["default", "http", "http-stream", "json"] {
        server.route(&format!("/{format}")).format(format).create().await;
    }
    [("default", "/default"), ("http", "/http"), ("http-stream", "/http-stream"), ("json", "/json")]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_says_status_headers_and_body() {
    let server = Server::start().await;
    for format in ["http", "json", "http-stream"] {
        let path = format!("/{format}");
        let headers = json!({ "X-Route": ["a", "b"], "Content-Type": ["text/css"] });
        server.route(&path).format(format).with("headers", headers).create().await;
        let reply = server.run(&path, "status 418; header X-Tea yes; header X-Tea no; body short and stout").await;
        assert_eq!((reply.status, reply.text()), (418, "short and stout"));
        assert_eq!(reply.values("x-tea"), ["yes", "no"], "{format}");
        assert_eq!(reply.values("x-route"), ["a", "b"], "{format}");
        assert_eq!(reply.value("content-type"), "text/css", "{format}");
        server.record(&reply).await.is_success();
        let typed = server.run(&path, "header Content-Type image/x; body p").await;
        assert_eq!(typed.value("content-type"), "image/x", "{format}");
    }
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_come_through_as_they_are() {
    let server = Server::start().await;
    let body = binary(70_000);
    for (format, path) in all_formats(&server).await {
        let reply = server.call(path).script("digest").body(body.clone()).send().await;
        if format == "json" {
            // Bodies of this format are text: what is no UTF-8 arrives as U+FFFD.
            let text = String::from_utf8_lossy(&body).into_owned();
            reply.is_answer(&format!("{}\n", digest(text.as_bytes())));
        } else {
            reply.is_answer(&format!("{}\n", digest(&body)));
            let echo = server.call(path).script("echo").body(body.clone()).send().await;
            assert!(echo.complete && echo.body == body, "{format}");
        }
        let nothing = server.call(path).script("echo").send().await;
        nothing.is_answer("");
        assert_eq!(nothing.value("content-length"), "0", "{format}");
    }
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_megabytes_go_both_ways() {
    const SIZE: usize = 10 << 20;
    let server = Server::start().await;
    let text: Vec<u8> = (b'a'..=b'z').cycle().take(SIZE).collect();
    for (format, path) in all_formats(&server).await {
        let taken = server.call(path).script("digest").body(text.clone()).send().await;
        taken.is_answer(&format!("{}\n", digest(&text)));
        let given = server.run(path, "big 10m").await;
        assert!(given.complete && given.body == text, "{format}: {} bytes", given.body.len());
        let both = server.call(path).script("echo").body(text.clone()).send().await;
        assert!(both.complete && both.body == text, "{format}: {} bytes", both.body.len());
        for reply in [taken, given, both] {
            server.record(&reply).await.is_success();
        }
    }
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chunked_uploads_and_heads_keep_the_connection_in_step() {
    let server = Server::start().await;
    for (format, path) in all_formats(&server).await {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        let request = format!(
            "POST /r/{APP}{path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
             5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n\
             HEAD /r/{APP}{path} HTTP/1.1\r\nHost: h\r\nHearth-Script: body four\r\n\r\n\
             GET /version HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answers = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answers)).await.unwrap().unwrap();
        let answers: Vec<_> = answers.split("HTTP/1.1 ").skip(1).collect();
        assert_eq!(answers.len(), 3, "{format}: {answers:#?}");
        // An answer that takes its time comes in chunks.
        let whole = ["\r\n\r\nhello world", "\r\n\r\nB\r\nhello world\r\n0\r\n\r\n"];
        let is_whole = whole.iter().any(|whole| answers[0].ends_with(whole));
        assert!(answers[0].starts_with("200 OK\r\n") && is_whole, "{answers:#?}");
        // The length of what a GET would get, where the format tells it, and no body.
        assert!(answers[1].starts_with("200 OK\r\n") && answers[1].ends_with("\r\n\r\n"), "{format}: {answers:#?}");
        assert!(answers[2].ends_with("\r\n\r\n{\"version\":\"0.1.0\"}"), "{answers:#?}");
    }
    server.finish().await;
}

/// Nothing here depends on time: the client sends the next piece only when it has seen the one before.
#[tokio::test(flavor = "multi_thread")]
async fn pieces_stream_through_a_function_both_ways() {
    let server = Options::new().await.setting("FN_PREREAD", "1").start().await;
    for format in ["http", "http-stream", "default"] {
        let path = format!("/{format}");
        server.route(&path).format(format).config("HEARTH_SCRIPT", "relay").create().await;
        let (pieces, body) = mpsc::channel::<std::io::Result<String>>(1);
        pieces.send(Ok("piece 0".to_owned())).await.unwrap();
        let call = server.call(&path).body(reqwest::Body::wrap_stream(ReceiverStream::new(body))).open();
        let response = timeout(PATIENCE, call).await.expect("an answer begins before the request ended");
        assert_eq!(response.status(), 200);
        let id = response.headers()["fn_call_id"].to_str().unwrap().to_owned();
        let mut answer = response.bytes_stream();
        for number in 0..5 {
            let piece = timeout(PATIENCE, answer.next()).await.expect("a piece comes back at once").unwrap().unwrap();
            assert_eq!(piece, format!("piece {number}"), "{format}");
            if number < 4 {
                pieces.send(Ok(format!("piece {}", number + 1))).await.unwrap();
            }
        }
        let running = server.get(&format!("/v1/apps/{APP}/calls/{id}")).send().await.json();
        assert_eq!(running["call"]["status"], "running", "{format}");
        drop(pieces);
        assert!(timeout(PATIENCE, answer.next()).await.unwrap().is_none(), "{format}");
        server.record_of(APP, &id).await.is_success();
    }
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn config_reaches_the_environment_and_secrets_no_header() {
    let server = Server::start().await;
    let config = json!({ "SECRET": "from the app", "app-key": "a", "FN_PATH": "forged", "fn_call_id": "forged" });
    server.manage("POST", "/v1/apps", &json!({ "app": { "name": APP, "config": config } })).await;
    for format in ["default", "http", "json"] {
        let path = format!("/{format}");
        server.route(&path).format(format).config("SECRET", "s3cr3t").config("r.key", "").create().await;
        let call = server.call(&format!("{path}?q=1")).header("X-Own", "v").header("Fn-Path", "x").script("env");
        let env = call.send().await;
        assert_eq!(env.status, 200, "{env:?}");
        let has = |line: &str| env.text().lines().any(|have| have == line);
        for line in [
            "SECRET=s3cr3t",
            "app_key=a",
            "r.key=",
            "FN_APP_NAME=app",
            &format!("FN_PATH={path}"),
            &format!("FN_FORMAT={format}"),
            "FN_MEMORY=64",
            "FN_TYPE=sync",
        ] {
            assert!(has(line), "{format}: {line} in {}", env.text());
        }
        assert!(!env.text().contains("forged"), "{format}: {}", env.text());
        if format == "default" {
            let url = format!("FN_REQUEST_URL=http://{}/r/{APP}{path}?q=1", server.address());
            for line in [&format!("FN_CALL_ID={}", env.call_id()), "FN_METHOD=POST", &url, "FN_HEADER_X_Own=v"] {
                assert!(has(line), "{line} in {}", env.text());
            }
        } else {
            let request = server.call(&path).script("request").send().await;
            assert!(!request.text().contains("s3cr3t") && !request.text().contains("from the app"), "{request:?}");
            assert!(request.text().contains(request.call_id()), "{format}: {request:?}");
        }
    }
    // Nor does a secret leave by another door.
    let log = std::fs::read_to_string(server.directory().join("log.1")).unwrap();
    assert!(!log.contains("s3cr3t"), "{log}");
    server.finish().await;
}

/// The facts of a call, as each format conveys them.
#[tokio::test(flavor = "multi_thread")]
async fn a_json_function_gets_the_contracts_object() {
    let server = Server::start().await;
    server.route("/json").format("json").create().await;
    let call =
        server.request("PUT", &format!("/r/{APP}/json?a=b%20c")).header("Content-Type", "text/x").script("request");
    let reply = call.body("a\"<\n").send().await;
    let request: Value = reply.json();
    let keys: Vec<_> = request.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["body", "call_id", "content_type", "protocol"]);
    assert_eq!(request["call_id"], reply.call_id());
    assert_eq!((request["body"].as_str(), request["content_type"].as_str()), (Some("a\"<\n"), Some("text/x")));
    assert_eq!(request["protocol"]["type"], "sync");
    assert_eq!(request["protocol"]["request_url"], format!("/r/{APP}/json?a=b%20c"));
    assert_eq!(request["protocol"]["headers"]["Fn_method"], json!(["PUT"]));
    assert!(reply.text().contains(r#""a\"\u003c\n""#), "{reply:?}");
    server.finish().await;
}

/// The first bytes go out while the function still works on the rest. Not so in `json`, where the status may come last.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_function_flushes_is_on_its_way() {
    let server = Server::start().await;
    for (format, path) in &all_formats(&server).await[..3] {
        let mut response = server.call(path).script("partial begun; sleep 2000; partial , done").open().await;
        assert_eq!(response.chunk().await.unwrap().unwrap(), "begun", "{format}");
        let begun = Instant::now();
        assert_eq!(response.text().await.unwrap(), ", done", "{format}");
        assert!(begun.elapsed() > Duration::from_secs(1), "{format}: {:?}", begun.elapsed());
    }
    server.finish().await;
}
