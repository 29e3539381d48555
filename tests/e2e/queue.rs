//! Asynchronous calls: accepted, seen at every moment, and run whatever happens to the server.

use std::collections::BTreeSet;
use std::time::Duration;

use hearth_datastore::{Node, Terms, Verdict};
use hearth_models::{InstanceId, Reason, ServerId, Timestamp};
use rustix::process::Signal;
use serde_json::Value;

use crate::support::{APP, Options, PATIENCE, Reply, Server, eventually};

async fn deploy(server: &Server) {
    for format in ["http", "json", "default"] {
        server.route(&format!("/{format}")).format(format).with("type", "async").create().await;
    }
}

/// The id that a 202 gives.
fn accepted(reply: &Reply) -> String {
    assert_eq!(reply.status, 202, "{reply:?}");
    let id = reply.json()["call_id"].as_str().unwrap().to_owned();
    assert_eq!(reply.call_id(), id);
    id
}

async fn call(server: &Server, id: &str) -> Value {
    let reply = server.get(&format!("/v1/apps/{APP}/calls/{id}")).send().await;
    assert_eq!(reply.status, 200, "a call that was accepted can be read: {reply:?}");
    reply.json()["call"].clone()
}

async fn until(server: &Server, id: &str, status: &str) -> Value {
    eventually(PATIENCE, status, async || {
        let call = call(server, id).await;
        if call["status"] == status { Ok(call) } else { Err(call) }
    })
    .await
}

async fn log(server: &Server, id: &str) -> String {
    let reply = server.get(&format!("/v1/apps/{APP}/calls/{id}/log")).send().await.json();
    reply["log"]["log"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_gets_the_whole_request_and_leaves_its_answer_in_the_log() {
    let server = Server::start().await;
    deploy(&server).await;
    let body: Vec<u8> = (0..=255u8).cycle().take(100_000).collect();
    server.route("/sync").create().await;
    let expected = server.call("/sync").script("digest").body(body.clone()).send().await.text().to_owned();
    for path in ["/http", "/default"] {
        let script = "stderr to the log; digest";
        let reply = server.call(path).script(script).body(body.clone()).send().await;
        let id = accepted(&reply);
        let record = until(&server, &id, "success").await;
        assert_eq!(record["type"], "async");
        let log = log(&server, &id).await;
        assert!(log.contains("to the log"), "{log}");
        assert!(log.contains(expected.trim_end()), "{expected} in {log}");
    }
    let id = accepted(&server.call("/json").script("body hello").body("text").send().await);
    until(&server, &id, "success").await;
    let log = log(&server, &id).await;
    assert!(log.contains(r#""body":"hello""#), "{log}");
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delayed_calls_wait_and_cancelled_ones_stop() {
    let server = Server::start().await;
    deploy(&server).await;
    let late = accepted(&server.call("/http").header("Fn-Delay", "3600").script("body x").send().await);
    assert_eq!(call(&server, &late).await["status"], "delayed");
    let soon = accepted(&server.call("/http").header("Fn-Delay", "1").script("body x").send().await);
    until(&server, &soon, "success").await;
    let runs = accepted(&server.call("/http").script("sleep 100000").send().await);
    until(&server, &runs, "running").await;
    server.until_running("/http", 1).await;
    for id in [&late, &runs] {
        let reply = server.request("DELETE", &format!("/v1/apps/{APP}/calls/{id}")).send().await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(until(&server, id, "cancelled").await["reason"], "api_request");
    }
    // What ran is stopped, not left to its deadline.
    eventually(PATIENCE, "nothing runs", async || {
        let stats = server.get("/stats").send().await.json();
        if stats["Running"] == 0 { Ok(()) } else { Err(stats) }
    })
    .await;
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_fails_has_failed() {
    let server = Server::start().await;
    deploy(&server).await;
    let id = accepted(&server.call("/default").script("exit 3").send().await);
    let record = until(&server, &id, "error").await;
    assert_eq!((record["reason"].as_str(), record.get("attempts")), (Some("bad_exit"), None), "{record}");
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_accepted_call_is_lost_when_the_server_is_killed() {
    for mq in [None, Some("memory://")] {
        let mut options = Options::new().await;
        if let Some(url) = mq {
            options = options.setting("MQ_URL", url);
        }
        let server = options.start().await;
        deploy(&server).await;
        let mut ids = BTreeSet::new();
        for number in 0..60u32 {
            let path = match number % 10 {
                0 => "/default",
                1 => "/json",
                _ => "/http",
            };
            ids.insert(accepted(&server.call(path).script("sleep 50; body x").send().await));
        }
        server.signal(Signal::KILL);
        let (_, options) = server.ended().await;
        let server = options.start().await;
        let mut repeated = 0;
        for id in &ids {
            let record = until(&server, id, "success").await;
            repeated += u32::from(record.get("attempts").is_some());
        }
        println!("{mq:?}: {} calls, {repeated} of them were begun twice", ids.len());
        server.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_good_order_loses_nothing_and_repeats_nothing() {
    let server = Server::start().await;
    deploy(&server).await;
    let mut ids = Vec::new();
    for _ in 0..40 {
        ids.push(accepted(&server.call("/http").script("sleep 100; body x").send().await));
    }
    until(&server, &ids[0], "success").await;
    server.signal(Signal::TERM);
    let (ended, options) = server.ended().await;
    assert!(ended.status.success(), "{}", ended.log);
    assert_eq!(options.containers().await, [""; 0]);
    let server = options.start().await;
    for id in &ids {
        let record = until(&server, id, "success").await;
        assert!(record.get("attempts").is_none(), "begun twice: {record}");
    }
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_given_up_runs_with_its_own_request_once_it_is_redriven() {
    let server = Server::start().await;
    deploy(&server).await;
    server.route("/sync").create().await;
    let body: Vec<u8> = (0..=255u8).rev().cycle().take(70_000).collect();
    let expected = server.call("/sync").script("digest").body(body.clone()).send().await.text().to_owned();
    let late = server.call("/http").header("Fn-Delay", "3600").script("stderr seen; digest").body(body);
    let dead = accepted(&late.send().await);
    let (_, options) = server.stop(Signal::TERM).await;
    give_up(&format!("sqlite3://{}/data/hearth.db", options.directory().display())).await;

    let server = options.start().await;
    let record = call(&server, &dead).await;
    assert_eq!((record["status"].as_str(), record["error"].as_str()), (Some("error"), Some("the tenth time")));
    let listed = server.get(&format!("/v1/apps/{APP}/dead-calls")).send().await.json();
    assert_eq!((listed["calls"][0]["id"].as_str(), listed["calls"].as_array().unwrap().len()), (Some(&*dead), 1));
    let redrive = format!("/v1/apps/{APP}/dead-calls/{dead}/redrive");
    let reply = server.post(&redrive).send().await;
    assert_eq!(reply.status, 202, "{reply:?}");
    let again = reply.json()["call_id"].as_str().unwrap().to_owned();
    let record = until(&server, &again, "success").await;
    assert_eq!((record["path"].as_str(), record.get("attempts")), (Some("/http"), None), "{record}");
    let log = log(&server, &again).await;
    assert!(log.contains("seen") && log.contains(expected.trim_end()), "{expected} in {log}");
    assert_eq!(server.post(&redrive).send().await.status, 404, "once");
    let metrics = server.metrics().await;
    assert_eq!((metrics.value("hearth_queue_redriven_total"), metrics.value("hearth_queue_leases_held")), (1.0, 0.0));
    server.finish().await;
}

/// Lets the only call of this queue be given up, as if another server had failed to run it.
async fn give_up(url: &str) {
    let store = hearth_datastore::open(url).await.unwrap();
    let queue = std::sync::Arc::clone(&store).queue();
    let later = Timestamp::now().after(Duration::from_secs(7200));
    assert_eq!(queue.advance_delays(later).await.unwrap().due.len(), 1);
    let node = Node { server_id: ServerId::generate(), instance_id: InstanceId::generate() };
    let terms = Terms { node, except: &[], now: later, until: later.after(Duration::from_secs(30)) };
    let leased = queue.reserve(terms, 9).await.unwrap();
    assert_eq!(leased.len(), 1);
    let verdict = Verdict { reason: Reason::Platform, error: "the tenth time".to_owned() };
    assert!(queue.bury(leased[0].lease(), &verdict, Timestamp::now()).await.unwrap());
    store.close().await;
}
