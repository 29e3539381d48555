//! Asynchronous calls at the door.

use hearth_drivers::scripted::Program;
use hearth_drivers::scripted::programs::{hang, http, http_echo, response};
use http::Request;
use http_body_util::Full;
use serde_json::Value;

use crate::client::Reply;
use crate::test_app::{Options, TestApp};

async fn serving(program: Program) -> TestApp {
    let app = Options::default().image("image", program).start().await;
    app.create_app("app").await;
    let route = r#""path":"/f","image":"image","type":"async","format":"http","headers":{"X-Route":["yes"]}"#;
    app.create_route(route).await;
    app
}

async fn submit(app: &TestApp, headers: &[(&str, &str)], body: &'static [u8]) -> Reply {
    let mut request = Request::post("/r/app/f");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    app.request(request.body(Full::from(body)).unwrap()).await
}

fn json(reply: &Reply) -> Value {
    serde_json::from_str(&reply.text()).unwrap()
}

/// The id in a 202, which is the same in body and header.
fn accepted(reply: &Reply) -> String {
    assert_eq!(reply.status.as_u16(), 202, "{}", reply.text());
    assert_eq!(reply.values("content-type"), ["application/json; charset=utf-8"]);
    let id = json(reply)["call_id"].as_str().unwrap().to_owned();
    assert_eq!(reply.text(), format!(r#"{{"call_id":"{id}"}}"#));
    id
}

async fn until(app: &TestApp, id: &str, status: &str) -> Value {
    let path = format!("/v1/apps/app/calls/{id}");
    let reply = app.until(&path, |reply| json(reply)["call"]["status"] == status).await;
    json(&reply)["call"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asynchronous_call_is_accepted_and_runs() {
    let tells =
        http(|request| async move { response(201, format!("{}\n{:?}", request.head, request.body).as_bytes()) });
    let app = serving(tells).await;
    let reply = submit(&app, &[("x-mine", "1"), ("content-type", "text/x")], b"\0\xff").await;
    let id = accepted(&reply);
    assert_eq!(reply.values("fn_call_id"), [id.as_str()]);
    assert_eq!(reply.values("x-route"), ["yes"]);
    assert!(reply.values("xxx-fxlb-wait").is_empty());
    let call = until(&app, &id, "success").await;
    assert_eq!((call["type"].as_str(), call["path"].as_str(), call.get("attempts")), (Some("async"), Some("/f"), None));
    let log = json(&app.get(&format!("/v1/apps/app/calls/{id}/log")).await)["log"]["log"].clone();
    let log = log.as_str().unwrap();
    assert!(log.starts_with("HTTP/1.1 201 Created\r\n"), "{log}");
    for line in ["POST /r/app/f HTTP/1.1", "X-Mine: 1", "Content-Type: text/x", "Content-Length: 2", "[0, 255]"] {
        assert!(log.contains(line), "{line} in {log}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_says_of_its_place_in_the_queue_is_checked_and_kept() {
    let app = serving(http_echo()).await;
    submit(&app, &[("fn-priority", "3")], b"").await.is_error(400, "Fn-Priority is not 0, 1 or 2");
    let delay = "Fn-Delay is not a whole number of seconds from 0 to 604800";
    submit(&app, &[("fn-delay", "soon")], b"").await.is_error(400, delay);
    let id = accepted(&submit(&app, &[("fn-delay", "3600"), ("fn-priority", "2")], b"").await);
    until(&app, &id, "delayed").await;
    let listed = json(&app.get("/v1/apps/app/calls?status=delayed").await);
    assert_eq!(listed["calls"].as_array().unwrap().len(), 1);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_cancelled_wherever_it_is_and_once() {
    let app = serving(hang()).await;
    let running = accepted(&submit(&app, &[], b"").await);
    until(&app, &running, "running").await;
    let delayed = accepted(&submit(&app, &[("fn-delay", "60")], b"").await);
    for id in [&running, &delayed] {
        let path = format!("/v1/apps/app/calls/{id}");
        let reply = app.send("DELETE", &path, "").await;
        assert_eq!(reply.text(), r#"{"message":"Successfully cancelled call"}"#);
        assert_eq!(reply.status.as_u16(), 200);
        let call = until(&app, id, "cancelled").await;
        assert_eq!(call["reason"], "api_request");
        app.send("DELETE", &path, "").await.is_error(409, "Call has ended already");
    }
    for path in ["/v1/apps/app/calls/x", "/v1/apps/app/calls/01M7ZQN1PR4HN0600000000000", "/v1/apps/no/calls/x"] {
        app.send("DELETE", path, "").await.is_error(404, "Call not found");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_has_a_bound_of_queued_calls() {
    let app = serving(http_echo()).await;
    for _ in 0..3 {
        accepted(&submit(&app, &[("fn-delay", "60")], b"").await);
    }
    let refused = submit(&app, &[("fn-delay", "60")], b"").await;
    refused.is_error(429, "too many calls of this app are queued, max 3");
    assert_eq!(refused.values("retry-after"), ["15"]);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_queued_is_refused_and_leaves_nothing() {
    let app = Options::default().server(|settings| settings.max_body = 4).start().await;
    app.create_app("app").await;
    app.create_route(r#""path":"/f","image":"image","type":"async""#).await;
    submit(&app, &[], b"12345").await.is_error(413, "Content-Length too large for this server, 5 > max 4");
    assert_eq!(json(&app.get("/v1/apps/app/calls").await)["calls"].as_array().unwrap().len(), 0);
    app.datastore.close().await;
    submit(&app, &[], b"1234").await.is_error(503, "database unavailable");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_were_given_up_are_listed() {
    let app = serving(http_echo()).await;
    let reply = app.get("/v1/apps/app/dead-calls").await;
    let none = r#"{"message":"Successfully listed dead calls","next_cursor":"","calls":[]}"#;
    assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, none));
    app.get("/v1/apps/no/dead-calls").await.is_error(404, "App not found");
    let id = accepted(&submit(&app, &[], b"").await);
    until(&app, &id, "success").await;
    let redrive = format!("/v1/apps/app/dead-calls/{id}/redrive");
    app.post(&redrive, "").await.is_error(404, "Call not found");
    app.get(&redrive).await.is_error(404, "Path not found");
    app.stop().await;
}
