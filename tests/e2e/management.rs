//! Apps and routes change while functions run: what is called next is what stands there now.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{APP, FIXTURE, PATIENCE, Server, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_change_shows_in_the_next_call() {
    let server = Server::start().await;
    let app = format!("/v1/apps/{APP}");
    let route = format!("{app}/routes/f");
    server.route("/f").config("WHAT", "first").create().await;
    let env = async |line: &str| {
        let reply = server.run("/f", "env").await;
        assert!(reply.text().lines().any(|have| have == line), "{line} in {}", reply.text());
    };
    env("WHAT=first").await;
    server.manage("PATCH", &route, &json!({ "route": { "config": { "WHAT": "second" } } })).await;
    env("WHAT=second").await;
    server.manage("PATCH", &app, &json!({ "app": { "config": { "WHAT": "of the app", "MORE": "x" } } })).await;
    env("MORE=x").await;
    env("WHAT=second").await;
    server.manage("PATCH", &route, &json!({ "route": { "config": { "WHAT": "" } } })).await;
    env("WHAT=of the app").await;
    server.manage("PATCH", &route, &json!({ "route": { "memory": 96 } })).await;
    env("FN_MEMORY=96").await;
    server.manage("PATCH", &route, &json!({ "route": { "headers": { "X-New": ["1"] } } })).await;
    assert_eq!(server.run("/f", "body x").await.value("x-new"), "1");
    server.manage("PATCH", &route, &json!({ "route": { "timeout": 8 } })).await;
    server.run("/f", "hang").await.is_call_error(504, "Timed out");
    server.manage("PATCH", &route, &json!({ "route": { "format": "default" } })).await;
    env("FN_FORMAT=default").await;
    // None of the containers of earlier definitions idles on.
    server.has_containers(0).await;
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_route_is_gone_at_once_and_its_calls_end_well() {
    let server = Server::start().await;
    server.route("/f").create().await;
    server.route("/g").create().await;
    server.run("/g", "body g").await.is_answer("g");
    let (running, ()) = tokio::join!(server.run("/f", "sleep 1000; body f"), async {
        server.until_running("/f", 1).await;
        server.manage("DELETE", &format!("/v1/apps/{APP}/routes/f"), &Value::Null).await;
        let gone = server.run("/f", "body f").await;
        gone.is_error(404, "Route not found");
        assert!(gone.values("fn_call_id").is_empty());
    });
    running.is_answer("f");
    server.record(&running).await.is_success();
    server.has_containers(1).await;
    // The same with a call that still waits for its container.
    server.route("/h").create().await;
    let (waiting, ()) = tokio::join!(server.run("/h", "body h"), async {
        server.until_waiting("/h", 1).await;
        server.manage("DELETE", &format!("/v1/apps/{APP}/routes/h"), &Value::Null).await;
    });
    waiting.is_answer("h");
    server.has_containers(1).await;
    server.run("/g", "body g").await.is_answer("g");
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_app_takes_its_calls_along_and_frees_its_name() {
    let server = Server::start().await;
    server.route("/f").create().await;
    server.route("/f").app("other").create().await;
    let reply = server.run("/f", "stderr x; body x").await;
    let call = format!("/v1/apps/{APP}/calls/{}", reply.call_id());
    server.record(&reply).await.is_success();
    server.post("/r/other/f").script("body o").send().await.is_answer("o");
    server.manage("DELETE", &format!("/v1/apps/{APP}"), &Value::Null).await;
    server.call("/f").send().await.is_error(404, "App not found");
    server.get(&call).send().await.is_error(404, "Call not found");
    server.get(&format!("{call}/log")).send().await.is_error(404, "Call log not found");
    server.get(&format!("/v1/apps/{APP}/calls")).send().await.is_error(404, "App not found");
    server.has_containers(1).await;
    server.route("/f").create().await;
    let list = server.get(&format!("/v1/apps/{APP}/calls")).send().await.json();
    assert_eq!(list["calls"], json!([]), "a new app of the same name begins afresh");
    server.run("/f", "body new").await.is_answer("new");
    server.post("/r/other/f").script("body o").send().await.is_answer("o");
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_listed_page_by_page_newest_first() {
    let server = Server::start().await;
    server.route("/a").create().await;
    server.route("/b").create().await;
    let mut ids = Vec::new();
    for number in 0..23 {
        let (path, script) = if number % 4 == 3 { ("/b", "exit 1") } else { ("/a", "body x") };
        ids.push(server.run(path, script).await.call_id().to_owned());
    }
    ids.reverse();
    let list = async |query: &str| {
        let reply = server.get(&format!("/v1/apps/{APP}/calls?{query}")).send().await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let list = reply.json();
        let ids = list["calls"].as_array().unwrap().iter().map(|call| call["id"].as_str().unwrap().to_owned());
        (ids.collect::<Vec<_>>(), list["next_cursor"].as_str().unwrap().to_owned())
    };
    assert_eq!(list("").await, (ids.clone(), String::new()));
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let (page, next) = list(&format!("per_page=10&cursor={cursor}")).await;
        assert!(page.len() == 10 || next.is_empty());
        seen.extend(page);
        if next.is_empty() {
            break;
        }
        assert_eq!(Some(&next), seen.last());
        cursor = next;
    }
    assert_eq!(seen, ids);
    for query in ["path=/b", "status=error", "reason=bad_exit", "path=%2Fb&status=error"] {
        assert_eq!(list(query).await.0.len(), 5, "{query}");
    }
    assert_eq!(list("path=/b&status=success").await.0, [""; 0]);
    assert_eq!(list("from_time=4000000000").await.0, [""; 0]);
    assert_eq!(list("from_time=1&to_time=4000000000&per_page=2").await.0, ids[..2]);
    server.finish().await;
}

/// Whoever has the answer can read the record and the log at once, complete.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_can_be_read_as_soon_as_the_answer_is_here() {
    let server = Server::start().await;
    for format in ["default", "http", "json"] {
        server.route(&format!("/{format}")).format(format).create().await;
    }
    let clients = (0..6).map(async |client| {
        let (path, calls) = match client {
            0 | 1 => ("/http", 40),
            2 | 3 => ("/json", 40),
            _ => ("/default", 4),
        };
        for number in 0..calls {
            let line = format!("client {client} call {number}");
            let reply = server.run(path, &format!("stderr {line}; body {number}")).await;
            reply.is_answer(&number.to_string());
            let record = server.record(&reply).await;
            record.is_success();
            assert_eq!(record.log, format!("{line}\n"), "{path}");
            let list = server.get(&format!("/v1/apps/{APP}/calls?path={path}&per_page=100")).send().await.json();
            let listed = list["calls"].as_array().unwrap().iter().find(|call| call["id"] == record.call["id"]);
            assert_eq!(listed, Some(&record.call));
        }
    });
    join_all(clients).await;
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_nobody_needs_leaves() {
    let server = Server::start().await;
    server.route("/f").image(FIXTURE).idle_timeout(1).create().await;
    server.run("/f", "body x").await.is_answer("x");
    server.has_containers(1).await;
    server.is_empty().await;
    server.run("/f", "body again").await.is_answer("again");
    // A call that can be seen from the moment it is accepted.
    let (reply, ()) = tokio::join!(server.run("/f", "sleep 1500; body x"), async {
        server.until_running("/f", 1).await;
        eventually(PATIENCE, "the call is listed", async || {
            let list = server.get(&format!("/v1/apps/{APP}/calls?status=running")).send().await.json();
            if list["calls"].as_array().is_some_and(|calls| calls.len() == 1) { Ok(()) } else { Err(list) }
        })
        .await;
    });
    reply.is_answer("x");
    server.finish().await;
}
