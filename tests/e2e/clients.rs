//! Clients that go away, at every stage of their call.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::support::{APP, Options, PATIENCE, Record, Server, eventually};

/// What containers call the machine that they run on, unless its engine was told otherwise.
const MACHINE: &str = "172.17.0.1";

/// Begins a request by hand, so that it can be left at any point.
async fn begin(server: &Server, path: &str, script: &str, rest: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let head = format!("POST /r/{APP}{path} HTTP/1.1\r\nHost: h\r\nHearth-Script: {script}\r\n{rest}");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// The record of the only call of `path`, once it has ended.
async fn record(server: &Server, path: &str) -> Record {
    eventually(PATIENCE, "the call has ended", async || {
        let list = server.get(&format!("/v1/apps/{APP}/calls?path={path}&status=cancelled")).send().await.json();
        if list["calls"].as_array().is_some_and(|calls| !calls.is_empty()) { Ok(()) } else { Err(list) }
    })
    .await;
    server.last_record(path).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_waits_leaves_the_line_at_once() {
    let server = Options::new().await.setting("FN_MEMORY", "64MiB").start().await;
    server.route("/holder").create().await;
    server.route("/waits").create().await;
    let (held, ()) = tokio::join!(server.run("/holder", "sleep 3000; body x"), async {
        server.until_running("/holder", 1).await;
        let client = begin(&server, "/waits", "body x", "Content-Length: 0\r\n\r\n").await;
        server.until_waiting("/waits", 1).await;
        drop(client);
        server.until_waiting("/waits", 0).await;
        record(&server, "/waits").await.never_ran("cancelled", "client_request", "client went away");
        server.until_running("/holder", 1).await;
    });
    held.is_answer("x");
    server.run("/waits", "instance").await.instance();
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_uploads_holds_no_container_until_it_has_sent_enough() {
    let server = Server::start().await;
    for format in ["default", "http", "json"] {
        let path = format!("/{format}");
        server.route(&path).format(format).create().await;
        let client = begin(&server, &path, "digest", "Content-Length: 100\r\n\r\nonly a part").await;
        server.until_waiting(&path, 1).await;
        assert_eq!(server.containers().await, [""; 0], "{format}");
        drop(client);
        record(&server, &path).await.never_ran("cancelled", "client_request", "Invalid payload");
        server.is_empty().await;
    }
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_leaves_in_the_middle_of_a_large_upload_spoils_the_container() {
    let server = Options::new().await.setting("FN_PREREAD", "1KiB").start().await;
    for format in ["http", "default"] {
        let path = format!("/{format}");
        server.route(&path).format(format).create().await;
        let length = "Content-Length: 1000000\r\n\r\n";
        let mut client = begin(&server, &path, "stderr reading; digest", length).await;
        client.write_all(&[b'a'; 100_000]).await.unwrap();
        server.until_running(&path, 1).await;
        drop(client);
        let record = record(&server, &path).await;
        record.is_failure("cancelled", "client_request", "Invalid payload");
        server.is_empty().await;
        let next = server.run(&path, "instance").await;
        assert_eq!(next.instance().1, 1, "{format}");
        server.manage("DELETE", &format!("/v1/apps/{APP}/routes{path}"), &Value::Null).await;
    }
    server.finish().await;
}

/// The end of its input is all that tells a `default` function that it has the whole of a request.
#[tokio::test(flavor = "multi_thread")]
async fn half_a_request_is_never_taken_for_a_whole_one() {
    let server = Options::new().await.setting("FN_PREREAD", "1KiB").start().await;
    server.route("/cold").format("default").timeout(6).create().await;
    let witness = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = witness.local_addr().unwrap().port();
    let script = format!("tell {MACHINE}:{port} all-of-it; body x");
    let heard = async { witness.accept().await.unwrap().0.write_all(b".").await.unwrap() };
    let (reply, heard) = tokio::join!(server.run("/cold", &script), timeout(PATIENCE, heard));
    heard.unwrap();
    reply.is_answer("x");
    for leaves in [false, true] {
        let mut client = begin(&server, "/cold", &script, "Content-Length: 100000\r\n\r\n").await;
        client.write_all(&[b'a'; 50_000]).await.unwrap();
        server.until_running("/cold", 1).await;
        if leaves {
            drop(client);
        } else {
            // It is held until its time is up.
            let mut answer = [0; 12];
            client.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 504");
        }
        server.is_empty().await;
        // Whoever came before this comes first.
        let own = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (_, from) = witness.accept().await.unwrap();
        assert_eq!(from, own.local_addr().unwrap(), "a part passed for the whole; its client left: {leaves}");
    }
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_leaves_while_its_function_works_costs_no_container() {
    let server = Server::start().await;
    for format in ["http", "json"] {
        let path = format!("/{format}");
        server.route(&path).format(format).create().await;
        let first = server.run(&path, "instance").await;
        let nonce = first.instance().0;
        server.record(&first).await.is_success();
        let script = "stderr begun; sleep 1500; stderr done; body x";
        let client = begin(&server, &path, script, "Content-Length: 0\r\n\r\n").await;
        server.until_running(&path, 1).await;
        drop(client);
        let record = record(&server, &path).await;
        record.is_failure("cancelled", "client_request", "client went away");
        assert_eq!(record.log, "begun\ndone\n", "the function went on to its end");
        record.has_curve(2, 64);
        assert_eq!(server.run(&path, "instance").await.instance(), (nonce, 3), "{format}");
    }
    // A container of its own goes with the call.
    server.route("/cold").format("default").create().await;
    let client = begin(&server, "/cold", "sleep 1000; stderr done", "Content-Length: 0\r\n\r\n").await;
    server.until_running("/cold", 1).await;
    drop(client);
    let cold = record(&server, "/cold").await;
    cold.is_failure("cancelled", "client_request", "client went away");
    assert_eq!(cold.log, "done\n");
    server.has_containers(2).await;
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_leaves_during_the_answer_costs_no_container() {
    let server = Server::start().await;
    server.route("/f").create().await;
    let first = server.run("/f", "instance").await;
    let nonce = first.instance().0;
    let mut client = begin(&server, "/f", "big 20m", "Content-Length: 0\r\n\r\n").await;
    let mut begun = vec![0; 1000];
    timeout(PATIENCE, client.read_exact(&mut begun)).await.unwrap().unwrap();
    assert!(begun.starts_with(b"HTTP/1.1 200 OK\r\n"));
    drop(client);
    record(&server, "/f").await.is_failure("cancelled", "client_request", "client went away");
    let next = server.run("/f", "instance").await;
    assert_eq!(next.instance(), (nonce, 3));
    server.finish().await;
}

/// Nobody waits for ever for a client that takes nothing, and others are served meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_read_holds_its_own_call_only() {
    let server = Options::new().await.setting("FN_DRAIN_TIMEOUT", "2s").start().await;
    server.route("/f").timeout(16).create().await;
    let lazy = begin(&server, "/f", "big 60m", "Content-Length: 0\r\n\r\n").await;
    server.until_running("/f", 1).await;
    server.run("/f", "body quick").await.is_answer("quick");
    eventually(PATIENCE, "its deadline ends it", async || {
        let list = server.get(&format!("/v1/apps/{APP}/calls?status=timeout")).send().await.json();
        if list["calls"].as_array().is_some_and(|calls| calls.len() == 1) { Ok(()) } else { Err(list) }
    })
    .await;
    server.run("/f", "body well").await.is_answer("well");
    // Nor does it hold up the end of the server for longer than the drain allows.
    server.signal(Signal::TERM);
    let (ended, options) = timeout(Duration::from_secs(50), server.ended()).await.unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    assert_eq!(options.containers().await, [""; 0]);
    drop(lazy);
}
