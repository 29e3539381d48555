//! How a server ends, well and badly, and what the next one finds.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::Signal;
use tokio::time::{Instant, timeout};

use crate::support::{APP, Options, PATIENCE, Server, eventually};

/// Calls that work for so long that the server ends in the middle of them.
async fn under_load(server: &Server, script: &str) -> Vec<reqwest::Result<crate::support::Reply>> {
    let calls = (0..8).map(|number| {
        let path = ["/http", "/json", "/default", "/http2"][number % 4];
        server.call(path).script(&format!("stderr {number}; {script}")).try_send()
    });
    join_all(calls).await
}

async fn deploy(server: &Server) {
    for path in ["/http", "/json", "/default", "/http2"] {
        server.route(path).format(path[1..].trim_end_matches('2')).create().await;
    }
    let warm = server.run("/http", "body warm").await;
    warm.is_answer("warm");
    // Counted as running until its log is complete.
    server.record(&warm).await.is_success();
}

async fn until_accepted(server: &Server, calls: u64) {
    eventually(PATIENCE, "calls are accepted", async || {
        let stats = server.get("/stats").send().await.json();
        let accepted = stats["Queue"].as_u64().unwrap() + stats["Running"].as_u64().unwrap();
        if accepted >= calls { Ok(()) } else { Err(stats) }
    })
    .await;
}

async fn until_running_in_all(server: &Server) {
    for path in ["/http", "/json", "/default", "/http2"] {
        server.until_running(path, 1).await;
    }
}

/// Calls again and again until there is nobody to connect to. Every call until then has to be answered.
async fn call_until_refused(server: &Server, path: &str, keeps_connection: bool, answered: &AtomicUsize) {
    loop {
        let call = server.call(path).script("sleep 20; body x");
        let call = if keeps_connection { call } else { call.header("Connection", "close") };
        match call.try_send().await {
            Ok(reply) => reply.is_answer("x"),
            Err(error) if error.is_connect() => return,
            Err(error) => panic!("a call failed: {error:?}"),
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_under_load_fails_no_call_and_records_every_one() {
    let server = Server::start().await;
    server.route("/pipes").create().await;
    server.route("/socket").format("http-stream").create().await;
    let answered = AtomicUsize::new(0);
    let clients = join_all((0..12).map(|number| {
        let path = if number < 6 { "/pipes" } else { "/socket" };
        call_until_refused(&server, path, number % 2 == 0, &answered)
    }));
    let stopping = async {
        eventually(PATIENCE, "the load is on", async || {
            let answered = answered.load(Ordering::Relaxed);
            if answered > 200 { Ok(()) } else { Err(answered) }
        })
        .await;
        server.signal(Signal::TERM);
    };
    timeout(2 * PATIENCE, async { tokio::join!(clients, stopping) }).await.expect("the listener closes");
    let (ended, options) = server.ended().await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    assert_eq!(options.containers().await, [""; 0], "no container is left");

    let server = options.start().await;
    let (mut recorded, mut cursor) = (0, String::new());
    loop {
        let path = format!("/v1/apps/{APP}/calls?status=success&per_page=100&cursor={cursor}");
        let page = server.get(&path).send().await.json();
        recorded += page["calls"].as_array().unwrap().len();
        cursor = page["next_cursor"].as_str().unwrap().to_owned();
        if cursor.is_empty() {
            break;
        }
    }
    let answered = answered.into_inner();
    assert_eq!(recorded, answered);
    println!("{answered} calls of 12 clients up to the SIGTERM and beyond: none failed, all are recorded");
    server.finish().await;
}

/// Calls `url` again and again until `over`, and tries again when there is nobody to connect to. Every other failure is
/// one. The status and the body of each answer, between which there is a pause.
async fn call_and_try_again(url: String, pause: Duration, over: &AtomicBool) -> Vec<(u16, String)> {
    let client = reqwest::Client::new();
    let mut answers = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let request = client.post(&url).header("Hearth-Script", "sleep 10; body x").send();
        match timeout(PATIENCE, request).await.expect("it is answered or refused") {
            Ok(response) => {
                let status = response.status().as_u16();
                answers.push((status, response.text().await.expect("the answer is whole")));
                tokio::time::sleep(pause).await;
            }
            Err(error) if error.is_connect() => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(error) => panic!("a call of {url} failed: {error:?}"),
        }
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_under_load_fails_no_call_of_a_client_that_tries_again() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Options::new().await.setting("FN_PORT", &port.to_string()).start().await;
    for format in ["http", "json", "default", "http-stream"] {
        server.route(&format!("/{format}")).format(format).create().await;
    }
    server.route("/queued").with("type", "async").create().await;
    let (over, base) = (AtomicBool::new(false), format!("http://127.0.0.1:{port}/r/{APP}"));
    let paths = ["/http", "/http", "/json", "/default", "/http-stream", "/http-stream", "/queued", "/queued"];
    let clients = join_all(paths.map(|path| {
        // What is queued has to be run as well, before the test is over.
        let pause = if path == "/queued" { Duration::from_millis(200) } else { Duration::ZERO };
        call_and_try_again(format!("{base}{path}"), pause, &over)
    }));
    let restarting = async {
        server.until_completed("/http", 50).await;
        server.until_completed("/http-stream", 50).await;
        let (ended, options) = server.stop(Signal::TERM).await;
        assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
        assert_eq!(options.containers().await, [""; 0], "no container is left");
        let server = options.start().await;
        server.until_completed("/http", 50).await;
        server.until_completed("/http-stream", 50).await;
        over.store(true, Ordering::Relaxed);
        server
    };
    let (answers, server) = tokio::join!(clients, restarting);
    let mut queued = Vec::new();
    for (path, answers) in paths.iter().zip(&answers) {
        for (status, body) in answers {
            if *path == "/queued" {
                let told: serde_json::Value = serde_json::from_str(body).unwrap();
                assert_eq!(*status, 202, "{body}");
                queued.push(told["call_id"].as_str().unwrap().to_owned());
            } else {
                assert_eq!((*status, body.as_str()), (200, "x"), "{path}");
            }
        }
    }
    eventually(PATIENCE, "every queued call has run", async || {
        for id in &queued {
            let call = server.get(&format!("/v1/apps/{APP}/calls/{id}")).send().await.json();
            if call["call"]["status"] != "success" {
                return Err(call);
            }
        }
        Ok(())
    })
    .await;
    let answered: usize = answers.iter().map(Vec::len).sum();
    println!("{answered} calls over a restart, {} of them queued: none failed", queued.len());
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_is_cleaned_up_after_by_the_next_and_by_nobody_else() {
    let other = Server::start().await;
    other.route("/f").create().await;
    let nonce = other.run("/f", "instance").await.instance().0.to_owned();
    let server = Server::start().await;
    deploy(&server).await;
    let finished = server.run("/http", "stderr kept; body x").await;
    let kept = server.record(&finished).await;
    let server_id = server.id();
    let (calls, options) = {
        let load = under_load(&server, "sleep 30000");
        let mut load = std::pin::pin!(load);
        let running = async {
            until_running_in_all(&server).await;
            // Calls are written down as running once they are older than a second.
            eventually(PATIENCE, "they are in the store", async || {
                let list = server.get(&format!("/v1/apps/{APP}/calls?status=running")).send().await.json();
                let old = list["calls"].as_array().is_some_and(|calls| calls.len() >= 4);
                if old { Ok(()) } else { Err(list) }
            })
            .await;
            tokio::time::sleep(Duration::from_millis(2_500)).await;
        };
        tokio::select! {
            _ = &mut load => panic!("thirty seconds are over"),
            () = running => {}
        }
        server.signal(Signal::KILL);
        (timeout(PATIENCE, load).await.expect("connections are reset"), ())
    };
    let () = options;
    assert!(calls.iter().all(|call| call.as_ref().is_ok_and(|reply| !reply.complete) || call.is_err()), "{calls:?}");
    let (ended, options) = server.ended().await;
    assert_eq!(ended.status.code(), None, "killed");
    assert!(!options.containers().await.is_empty(), "there is something to clean up");

    let server = options.start().await;
    assert_eq!(server.id(), server_id);
    assert_eq!(server.containers().await, [""; 0], "ready means cleaned up");
    let list = server.get(&format!("/v1/apps/{APP}/calls")).send().await.json();
    let (mut interrupted, mut successes) = (0, 0);
    for call in list["calls"].as_array().unwrap() {
        match call["status"].as_str().unwrap() {
            "error" => {
                interrupted += 1;
                assert_eq!(call["reason"], "platform", "{call}");
                assert!(!call["error"].as_str().unwrap().is_empty(), "{call}");
                assert_ne!(call["completed_at"], "0001-01-01T00:00:00.000Z", "{call}");
            }
            "success" => successes += 1,
            other => panic!("{other}: {call}"),
        }
    }
    assert!(interrupted >= 4, "running calls are closed: {list}");
    assert_eq!(successes, 2);
    let again = server.record_of(APP, finished.call_id()).await;
    assert_eq!((again.call, again.log.as_str()), (kept.call, "kept\n"), "what was stored is as it was");
    server.run("/http", "body well").await.is_answer("well");
    // The other server has kept its container through all of this.
    assert_eq!(other.run("/f", "instance").await.instance(), (nonce.as_str(), 2));
    server.finish().await;
    other.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_a_directory_is_refused_and_harms_nothing() {
    let server = Server::start().await;
    server.route("/f").create().await;
    let nonce = server.run("/f", "instance").await.instance().0.to_owned();
    let refused = server.start_another().await;
    assert_eq!(refused.status.code(), Some(1), "{}", refused.log);
    let expected = format!(
        "hearth: another hearth (process {}) uses the data directory data; stop it, or choose another with --data-dir",
        server.pid()
    );
    assert_eq!(refused.log.lines().last(), Some(expected.as_str()));
    assert_eq!(server.run("/f", "instance").await.instance(), (nonce.as_str(), 2));
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_load_lets_accepted_calls_end() {
    let server = Server::start().await;
    deploy(&server).await;
    // Also those that still wait for a container.
    let (calls, ()) = tokio::join!(under_load(&server, "sleep 2500; body done"), async {
        until_accepted(&server, 8).await;
        server.signal(Signal::TERM);
        eventually(PATIENCE, "it accepts no more connections", async || {
            match tokio::net::TcpStream::connect(server.address()).await {
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    });
    let mut ids = Vec::new();
    let mut told_to_close = 0;
    for (number, call) in calls.into_iter().enumerate() {
        let reply = call.unwrap();
        reply.is_answer("done");
        // On a busy machine some may have ended before the signal came.
        told_to_close += usize::from(reply.headers.get("connection").is_some_and(|value| value == "close"));
        ids.push((number, reply.call_id().to_owned()));
    }
    assert!(told_to_close > 0);
    let (ended, options) = server.ended().await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    assert_eq!(options.containers().await, [""; 0]);
    // All of it is in the store.
    let server = options.start().await;
    for (number, id) in ids {
        let record = server.record_of(APP, &id).await;
        record.is_success();
        assert_eq!(record.log, format!("{number}\n"));
    }
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_beyond_the_drain_deadline_is_stopped_and_recorded() {
    let server = Options::new().await.setting("FN_DRAIN_TIMEOUT", "1s").start().await;
    server.route("/f").create().await;
    let (reply, ()) = tokio::join!(server.run("/f", "stderr at work; hang"), async {
        server.until_running("/f", 1).await;
        server.signal(Signal::TERM);
    });
    reply.is_error(503, "server is shutting down");
    assert_eq!(reply.value("retry-after"), "2");
    let id = reply.call_id().to_owned();
    let (ended, options) = server.ended().await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    assert_eq!(options.containers().await, [""; 0]);
    let server = options.start().await;
    let record = server.record_of(APP, &id).await;
    record.is_failure("error", "platform", "server is shutting down");
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let server = Server::start().await;
    server.route("/f").create().await;
    let (call, took) = tokio::join!(server.call("/f").script("sleep 20000").try_send(), async {
        server.until_running("/f", 1).await;
        server.signal(Signal::TERM);
        eventually(PATIENCE, "it stops", async || match tokio::net::TcpStream::connect(server.address()).await {
            Ok(_) => Err("it listens"),
            Err(_) => Ok(()),
        })
        .await;
        server.signal(Signal::INT);
        Instant::now()
    });
    assert!(call.is_err() || !call.unwrap().complete);
    let (ended, options) = server.ended().await;
    assert_eq!(ended.status.code(), Some(130), "{}", ended.log);
    assert!(took.elapsed() < Duration::from_secs(19));
    // What it left is the next one's to clean up.
    let server = options.start().await;
    assert_eq!(server.containers().await, [""; 0]);
    server.finish().await;
}
