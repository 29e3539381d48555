//! The life of an asynchronous call as its client sees it: what it waits for, how it is stopped, what it is run with, and
//! what becomes of one that was given up.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hearth_drivers::Exit;
use hearth_drivers::scripted::programs::{http, response};
use hearth_drivers::scripted::{Program, ScriptIo};
use hearth_queue::RetryPolicy;
use http::Request;
use http_body_util::Full;
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;

use crate::client::{PATIENCE, Reply, raw};
use crate::test_app::{Options, TestApp};

const CALLS: &str = "/v1/apps/app/calls";
const DEAD: &str = "/v1/apps/app/dead-calls";

async fn start(options: Options) -> TestApp {
    let app = options.start().await;
    app.create_app("app").await;
    app.create_route(r#""path":"/f","image":"image","type":"async","format":"http""#).await;
    app
}

/// One container at a time, and no attempt after the first unless a test wants more.
fn options(program: Program, attempts: u32) -> Options {
    let retry = RetryPolicy {
        first: Duration::from_millis(1),
        longest: Duration::from_millis(1),
        attempts: NonZeroU32::new(attempts).unwrap(),
    };
    Options::default().image("image", program).retry(retry).agent(|settings| settings.max_containers_per_function = 1)
}

async fn submit(app: &TestApp, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Reply {
    let mut request = Request::post("/r/app/f");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    app.request(request.body(Full::new(body.into())).unwrap()).await
}

#[track_caller]
fn accepted(reply: &Reply) -> String {
    assert_eq!(reply.status.as_u16(), 202, "{}", reply.text());
    reply.json()["call_id"].as_str().unwrap().to_owned()
}

async fn until(app: &TestApp, id: &str, status: &str) -> Value {
    let reply = app.until(&format!("{CALLS}/{id}"), |reply| reply.json()["call"]["status"] == status).await;
    reply.json()["call"].clone()
}

/// The ids of a list.
async fn listed(app: &TestApp, path: &str) -> Vec<String> {
    let reply = app.get(path).await;
    assert_eq!(reply.status.as_u16(), 200, "{}", reply.text());
    reply.json()["calls"].as_array().unwrap().iter().map(|call| call["id"].as_str().unwrap().to_owned()).collect()
}

/// Answers a request when a permit is there for it, and keeps what it got.
fn held_back(permits: &Arc<Semaphore>, seen: &Arc<Mutex<Vec<Vec<u8>>>>) -> Program {
    let (permits, seen) = (Arc::clone(permits), Arc::clone(seen));
    http(move |request| {
        let (permits, seen) = (Arc::clone(&permits), Arc::clone(&seen));
        async move {
            seen.lock().unwrap().push(request.body);
            permits.acquire().await.unwrap().forget();
            response(200, b"done")
        }
    })
}

/// Is killed from outside, as Docker reports it, as soon as it has begun with a request, so often; then answers.
fn killed(times: usize) -> Program {
    let left = Arc::new(AtomicUsize::new(times));
    Program::new(move |mut io: ScriptIo| {
        let left = Arc::clone(&left);
        async move {
            let mut unread = [0; 1024];
            while let Ok(1..) = io.stdin.read(&mut unread).await {
                let kill = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
                if kill {
                    return Exit::Code(137);
                }
                io.stdout(response(200, b"done")).await;
            }
            Exit::Code(0)
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_seen_delayed_queued_running_and_ended() {
    let (permits, seen) = (Arc::new(Semaphore::new(0)), Arc::default());
    let app = start(options(held_back(&permits, &seen), 1)).await;
    let first = accepted(&submit(&app, &[], "first").await);
    let running = until(&app, &first, "running").await;
    assert_eq!(running["completed_at"], "0001-01-01T00:00:00.000Z", "{running}");
    // The only container is taken.
    let second = accepted(&submit(&app, &[], "second").await);
    let third = accepted(&submit(&app, &[("fn-delay", "3600")], "third").await);
    until(&app, &second, "queued").await;
    until(&app, &third, "delayed").await;
    app.until(&format!("{CALLS}?status=queued"), |reply| reply.json()["calls"][0]["id"] == second.as_str()).await;
    assert_eq!(listed(&app, &format!("{CALLS}?status=running")).await, [first.as_str()]);
    assert_eq!(listed(&app, &format!("{CALLS}?status=delayed")).await, [third.as_str()]);
    permits.add_permits(2);
    for id in [&first, &second] {
        let call = until(&app, id, "success").await;
        assert_eq!(call.get("attempts"), None, "begun once: {call}");
        assert_ne!(call["completed_at"], "0001-01-01T00:00:00.000Z");
    }
    assert_eq!(*seen.lock().unwrap(), [b"first".to_vec(), b"second".to_vec()]);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_are_counted_for_all_to_see() {
    let app = start(options(killed(2), 5)).await;
    let id = accepted(&submit(&app, &[], "x").await);
    let call = until(&app, &id, "success").await;
    assert_eq!(call["attempts"], 3, "{call}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_call_that_is_cancelled_never_begins() {
    let (permits, seen) = (Arc::new(Semaphore::new(0)), Arc::default());
    let app = start(options(held_back(&permits, &seen), 1)).await;
    let first = accepted(&submit(&app, &[], "first").await);
    until(&app, &first, "running").await;
    let (second, third) = (accepted(&submit(&app, &[], "second").await), accepted(&submit(&app, &[], "third").await));
    let path = format!("{CALLS}/{second}");
    app.send("DELETE", &path, "").await.is_ok(r#"{"message":"Successfully cancelled call"}"#);
    let call = until(&app, &second, "cancelled").await;
    assert_eq!(
        (call["reason"].as_str(), call["error"].as_str()),
        (Some("api_request"), Some("cancelled by a request"))
    );
    app.get(&format!("{path}/log")).await.is_ok(&format!(
        r#"{{"message":"Successfully loaded log","log":{{"call_id":"{second}","log":"","app_name":"app"}}}}"#
    ));
    permits.add_permits(2);
    until(&app, &third, "success").await;
    assert_eq!(*seen.lock().unwrap(), [b"first".to_vec(), b"third".to_vec()]);
    app.send("DELETE", &format!("{CALLS}/{third}"), "").await.is_error(409, "Call has ended already");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_given_up_is_listed_and_redriven_with_its_request() {
    // Only the first container is killed: the call that comes of the redrive finds another.
    let app = start(options(killed(1), 1)).await;
    let dead = accepted(&submit(&app, &[("fn-priority", "2"), ("x-mine", "1")], "kept").await);
    let call = until(&app, &dead, "error").await;
    assert_eq!(call["error"], "given up after 1 attempts: container killed", "{call}");
    assert_eq!(listed(&app, DEAD).await, [dead.as_str()]);
    app.send("DELETE", &format!("{CALLS}/{dead}"), "").await.is_error(409, "Call has ended already");

    let path = format!("{DEAD}/{dead}/redrive");
    let again = accepted(&app.post(&path, "").await);
    assert_ne!(again, dead);
    let call = until(&app, &again, "success").await;
    assert_eq!((call["path"].as_str(), call["type"].as_str()), (Some("/f"), Some("async")));
    assert_eq!(until(&app, &dead, "error").await["id"], dead.as_str(), "it stays as it ended");
    assert_eq!(listed(&app, DEAD).await, [""; 0]);
    app.post(&path, "").await.is_error(404, "Call not found");
    app.post(&format!("{DEAD}/{again}/redrive"), "").await.is_error(404, "Call not found");
    app.post(&format!("/v1/apps/no/dead-calls/{dead}/redrive"), "").await.is_error(404, "Call not found");
    app.stop().await;
}

/// Tells two bodies of one length apart.
fn digest(body: &[u8]) -> u64 {
    body.iter().fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_byte_of_a_payload_is_kept() {
    let tells = http(|request| async move {
        response(200, format!("{} bytes, {}", request.body.len(), digest(&request.body)).as_bytes())
    });
    let app = start(options(tells, 1)).await;
    let binary: Vec<u8> = (0..=255).rev().collect();
    let large: Vec<u8> = (0..8_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for body in [Vec::new(), binary, large] {
        let expected = format!("{} bytes, {}", body.len(), digest(&body));
        let id = accepted(&submit(&app, &[], body).await);
        until(&app, &id, "success").await;
        let log = app.get(&format!("{CALLS}/{id}/log")).await.json()["log"]["log"].as_str().unwrap().to_owned();
        assert!(log.ends_with(&expected), "{expected} in {log}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_not_stored() {
    let app = start(options(killed(0), 1).server(|settings| settings.max_body = 10)).await;
    submit(&app, &[], "eleven byte").await.is_error(413, "Content-Length too large for this server, 11 > max 10");
    let head = "POST /r/app/f HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = raw(app.address, format!("{head}b\r\neleven byte\r\n0\r\n\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("request body too large for this server, max 10 bytes"), "{answer}");
    let answer = raw(app.address, format!("{head}zz\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("Invalid payload"), "{answer}");
    submit(&app, &[("fn-priority", "urgent")], "x").await.is_error(400, "Fn-Priority is not 0, 1 or 2");
    let delay = "Fn-Delay is not a whole number of seconds from 0 to 604800";
    submit(&app, &[("fn-delay", "604801")], "x").await.is_error(400, delay);
    assert_eq!(listed(&app, CALLS).await, [""; 0]);
    let kept = accepted(&submit(&app, &[("fn-delay", "60")], "0123456789").await);

    app.datastore.close().await;
    let away = submit(&app, &[], "x").await;
    away.is_error(503, "database unavailable");
    assert_eq!(away.values("retry-after"), ["2"]);
    let store = hearth_datastore::open(&app.url).await.unwrap();
    let id = store.app("app").await.unwrap().id;
    let stored = store.calls(id, &hearth_models::CallFilter::default()).await.unwrap();
    assert_eq!(stored.iter().map(|call| call.id.to_string()).collect::<Vec<_>>(), [kept]);
    let depth = Arc::clone(&store).queue().depth().await.unwrap();
    assert_eq!((depth.delayed, depth.ready, depth.leased, depth.dead), (1, 0, 0, 0));
    store.close().await;
    tokio::time::timeout(PATIENCE, app.stop()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bound_of_an_app_is_its_own_and_gives_way() {
    let app = start(options(killed(0), 1)).await;
    app.create_app("other").await;
    let route = r#"{"route":{"path":"/f","image":"image","type":"async","format":"http"}}"#;
    assert_eq!(app.post("/v1/apps/other/routes", route).await.status.as_u16(), 200);
    let delay = [("fn-delay", "60")];
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(accepted(&submit(&app, &delay, "").await));
    }
    submit(&app, &delay, "").await.is_error(429, "too many calls of this app are queued, max 3");
    let other = Request::post("/r/other/f").header("fn-delay", "60").body(Full::default()).unwrap();
    accepted(&app.request(other).await);
    assert_eq!(app.send("DELETE", &format!("{CALLS}/{}", ids[0]), "").await.status.as_u16(), 200);
    // The bound is counted anew within a second.
    let again = async {
        loop {
            let reply = submit(&app, &delay, "").await;
            if reply.status.as_u16() == 202 {
                return;
            }
            reply.is_error(429, "too many calls of this app are queued, max 3");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("there is room again");
    app.stop().await;
}
