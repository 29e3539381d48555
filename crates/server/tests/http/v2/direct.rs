//! `/invoke/:fn_id` and `/t/:app[/...]`.

use hearth_drivers::scripted::Program;
use hearth_drivers::scripted::programs::{exit, hang, http, http_echo, response};
use http::{HeaderValue, Request};
use http_body_util::Full;

use super::{make_app, make_fn, make_trigger, text};
use crate::client::{Reply, request};
use crate::test_app::{Options, TestApp};

/// A server with an app `app`, a function of `program` and a trigger `/f` of it; and the ids of app and function.
async fn serving(program: Program) -> (TestApp, String, String) {
    let app = Options::default().image("image", program).start().await;
    let app_id = make_app(&app, "app").await;
    let fn_id = make_fn(&app, &app_id, "f", r#""image":"image","format":"http""#).await;
    make_trigger(&app, &app_id, &fn_id, "t", "/f").await;
    (app, app_id, fn_id)
}

fn tells() -> Program {
    http(|request| async move { response(200, format!("{}\n{:?}", request.head, request.body).as_bytes()) })
}

async fn post(app: &TestApp, path: &str, headers: &[(&str, &str)], body: &'static [u8]) -> Reply {
    let mut request = Request::post(path).header("host", "hearth.test");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    app.request(request.body(Full::from(body)).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_invocation_gets_headers_and_body_and_no_path() {
    let (app, _, fn_id) = serving(tells()).await;
    let headers = [("x-mine", "1"), ("content-type", "text/x"), ("fn-invoke-type", "DETACHED")];
    let reply = post(&app, &format!("/invoke/{fn_id}?a=b"), &headers, b"in").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.values("fn-call-id")[0].len(), 26);
    assert!(reply.values("fn_call_id").is_empty() && reply.values("xxx-fxlb-wait").is_empty());
    let told = reply.text();
    for line in ["POST / HTTP/1.1", "X-Mine: 1", "Content-Type: text/x", "Content-Length: 2", "[105, 110]"] {
        assert!(told.lines().any(|have| have == line), "{line} in {told}");
    }
    assert!(!told.contains("a=b") && !told.contains("invoke/"), "{told}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_has_the_say_about_what_is_the_connections() {
    let answer = "HTTP/1.1 418 Teapot\r\nContent-Length: 3\r\nX-Own: 1\r\nX-Own: 2\r\nFn-Call-Id: forged\r\n\
        Proxy-Authenticate: x\r\nConnection: close\r\n\r\n<p>";
    let (app, _, fn_id) = serving(http(move |_| async move { answer.as_bytes().to_vec() })).await;
    for path in [format!("/invoke/{fn_id}"), "/t/app/f".to_owned()] {
        let reply = app.post(&path, "").await;
        assert_eq!((reply.status.as_u16(), reply.text().as_str()), (418, "<p>"));
        assert_eq!(
            (reply.values("x-own"), reply.values("content-length")),
            (vec!["1".into(), "2".into()], vec!["3".into()])
        );
        assert_eq!(reply.values("content-type"), ["text/html; charset=utf-8"]);
        let ids = reply.values("fn-call-id");
        assert!(ids.len() == 1 && ids[0] != "forged", "{ids:?}");
        assert!(reply.values("proxy-authenticate").is_empty());
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_is_found_by_its_exact_source_with_any_method() {
    let (app, app_id, fn_id) = serving(tells()).await;
    for (name, source) in [("root", "/"), ("slash", "/f/"), ("odd", "//b/../c d")] {
        make_trigger(&app, &app_id, &fn_id, name, source).await;
    }
    for (path, found) in [
        ("/t/app", true),
        ("/t/app/", true),
        ("/t/app/f", true),
        ("/t/app/f/", true),
        ("/t/app//b/../c%20d", true),
        ("/t/app/F", false),
        ("/t/app/f/x", false),
        ("/t/app//f", false),
    ] {
        let reply = app.get(path).await;
        if found {
            assert_eq!(reply.status, 200, "{path}: {}", reply.text());
            assert!(reply.text().contains(&format!("GET {path} HTTP/1.1")), "{}", reply.text());
        } else {
            reply.is_v2_error(404, "Trigger not found");
            assert!(reply.values("fn-call-id").is_empty());
        }
    }
    app.get("/t/none/f").await.is_v2_error(404, "App not found");
    for method in ["GET", "POST", "PUT", "PATCH", "HEAD", "OPTIONS", "DELETE", "TRACE"] {
        let body = if method == "TRACE" { "" } else { "x" };
        let reply = app.request(request(method, "/t/app/f?q=1", body.to_owned())).await;
        assert_eq!(reply.status, 200, "{method}");
        let line = format!("{method} /t/app/f?q=1 HTTP/1.1");
        assert!(method == "HEAD" || reply.text().contains(&line), "{method}: {}", reply.text());
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_of_every_v1_format_answer_at_both_doors() {
    let json = hearth_drivers::scripted::programs::json_echo();
    let app = Options::default()
        .image("http", http_echo())
        .image("json", json)
        .image("default", hearth_drivers::scripted::programs::cat())
        .start()
        .await;
    let app_id = make_app(&app, "app").await;
    for format in ["http", "json", "default"] {
        let fields = format!(r#""image":"{format}","format":"{format}""#);
        let fn_id = make_fn(&app, &app_id, format, &fields).await;
        make_trigger(&app, &app_id, &fn_id, format, &format!("/{format}")).await;
        for path in [format!("/invoke/{fn_id}"), format!("/t/app/{format}"), format!("/r/app/{format}")] {
            let reply = app.post(&path, "hello").await;
            assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, "hello"), "{path}");
        }
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_have_the_form_of_this_api_and_the_id_of_their_call() {
    let app = Options::default().image("exit", exit(3)).image("hang", hang()).start().await;
    let app_id = make_app(&app, "app").await;
    let exits = make_fn(&app, &app_id, "exit", r#""image":"exit","format":"default""#).await;
    let hangs = make_fn(&app, &app_id, "hang", r#""image":"hang","format":"http","timeout":1"#).await;
    let missing = make_fn(&app, &app_id, "missing", r#""image":"missing","format":"http""#).await;
    for (id, status) in [(&exits, 502), (&hangs, 504)] {
        let message = if status == 502 { "container exit code 3" } else { "Timed out" };
        let reply = app.post(&format!("/invoke/{id}"), "").await;
        reply.is_v2_error(status, message);
        let call = text(&app.get(&format!("/v2/fns/{id}/calls")).await.json()["items"][0], "id");
        assert_eq!(reply.values("fn-call-id"), [call]);
    }
    let reply = app.post(&format!("/invoke/{missing}"), "").await;
    assert!(reply.text().starts_with(r#"{"message":"Failed to pull image 'missing'"#), "{}", reply.text());
    app.post("/invoke/no-id", "").await.is_v2_error(404, "Fn not found");
    app.post("/invoke/01M7ZQCHB2R00040GZK8000001", "").await.is_v2_error(404, "Fn not found");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_is_larger_than_the_node_is_refused_at_once() {
    let app = Options::default().image("image", http_echo()).agent(|agent| agent.memory = 64 << 20).start().await;
    let app_id = make_app(&app, "app").await;
    let fn_id = make_fn(&app, &app_id, "f", r#""image":"image","format":"http""#).await;
    make_trigger(&app, &app_id, &fn_id, "t", "/f").await;
    for (path, detached) in
        [(format!("/invoke/{fn_id}"), "no"), (format!("/invoke/{fn_id}"), "detached"), ("/t/app/f".into(), "")]
    {
        let reply = post(&app, &path, &[("fn-invoke-type", detached)], b"").await;
        reply.is_v2_error(400, "Requested CPU/Memory cannot be allocated");
        assert!(reply.values("fn-call-id").is_empty());
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_node_says_when_to_come_again() {
    let app = Options::default()
        .image("image", hang())
        .agent(|agent| agent.memory = 128 << 20)
        .agent(|agent| agent.max_waiting_per_function = 1)
        .start()
        .await;
    let app_id = make_app(&app, "app").await;
    let fn_id = make_fn(&app, &app_id, "f", r#""image":"image","format":"http","timeout":2"#).await;
    let path = format!("/invoke/{fn_id}");
    let replies = futures_util::future::join_all((0..4).map(|_| app.post(&path, ""))).await;
    let refused: Vec<&Reply> = replies.iter().filter(|reply| reply.status == 503).collect();
    assert!(!refused.is_empty());
    for reply in refused {
        reply.is_v2_error(503, "too many calls of this function are waiting");
        assert_eq!(reply.values("retry-after"), ["15"]);
        assert_eq!(reply.values("fn-call-id").len(), 1);
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_its_limit_is_refused() {
    let app = Options::default().image("image", http_echo()).server(|settings| settings.max_body = 10).start().await;
    let app_id = make_app(&app, "app").await;
    let fn_id = make_fn(&app, &app_id, "f", r#""image":"image","format":"http""#).await;
    let reply = app.post(&format!("/invoke/{fn_id}"), "01234567890").await;
    reply.is_v2_error(413, "Content-Length too large for this server, 11 > max 10");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_detached_call_is_accepted_runs_and_is_recorded() {
    let (app, app_id, fn_id) = serving(tells()).await;
    let headers = [("fn-invoke-type", "detached"), ("x-mine", "1")];
    let reply = post(&app, &format!("/invoke/{fn_id}"), &headers, b"in").await;
    assert_eq!((reply.status.as_u16(), reply.text().as_str()), (202, ""));
    assert_eq!(reply.values("content-length"), ["0"]);
    let id = reply.values("fn-call-id").remove(0);
    let path = format!("/v2/fns/{fn_id}/calls/{id}");
    let call = app.until(&path, |reply| reply.json()["status"] == "success").await.json();
    assert_eq!((call.get("trigger_id"), call["attempts"].as_u64()), (None, Some(1)));
    let log = app.get(&format!("/v2/apps/{app_id}/calls/{id}/log")).await;
    for line in ["POST / HTTP/1.1", "X-Mine: 1", "Content-Length: 2", "Fn-Attempt: 1"] {
        assert!(log.text().contains(line), "{line} in {}", log.text());
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_detached_call_says_of_its_place_in_the_queue_is_checked() {
    let (app, _, fn_id) = serving(tells()).await;
    let path = format!("/invoke/{fn_id}");
    let reply = post(&app, &path, &[("fn-invoke-type", "detached"), ("fn-priority", "3")], b"").await;
    reply.is_v2_error(400, "Fn-Priority is not 0, 1 or 2");
    for delay in ["", "-1", "1.5", "604801", "soon"] {
        let reply = post(&app, &path, &[("fn-invoke-type", "detached"), ("fn-delay", delay)], b"").await;
        reply.is_v2_error(400, "Fn-Delay is not a whole number of seconds from 0 to 604800");
    }
    for _ in 0..3 {
        let headers = [("fn-invoke-type", "detached"), ("fn-delay", "600")];
        assert_eq!(post(&app, &path, &headers, b"").await.status, 202);
    }
    let reply = post(&app, &path, &[("fn-invoke-type", "detached")], b"").await;
    reply.is_v2_error(429, "too many calls of this app are queued, max 3");
    // A trigger's caller always waits.
    let reply = post(&app, "/t/app/f", &[("fn-invoke-type", "detached")], b"").await;
    assert_eq!(reply.status, 200);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_for_a_deleted_function_is_cancelled() {
    let (app, app_id, fn_id) = serving(tells()).await;
    let headers = [("fn-invoke-type", "detached"), ("fn-delay", "1")];
    let reply = post(&app, &format!("/invoke/{fn_id}"), &headers, b"").await;
    let id = reply.values("fn-call-id").remove(0);
    app.send("DELETE", &format!("/v2/fns/{fn_id}"), "").await.is_done();
    let path = format!("/v2/apps/{app_id}/calls/{id}");
    let call = app.until(&path, |reply| reply.json()["status"] == "cancelled").await.json();
    assert_eq!(
        (call["reason"].as_str(), call["error"].as_str()),
        (Some("api_request"), Some("its function was deleted"))
    );
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_retires_warm_containers_and_shows_at_once() {
    let app = Options::default().image("one", says("one")).image("two", says("two")).start().await;
    let app_id = make_app(&app, "app").await;
    let fn_id = make_fn(&app, &app_id, "f", r#""image":"one","format":"http""#).await;
    let (invoke, path) = (format!("/invoke/{fn_id}"), format!("/v2/fns/{fn_id}"));
    assert_eq!(app.post(&invoke, "").await.text(), "one");
    app.send("PUT", &path, r#"{"annotations":{"a":1}}"#).await;
    assert_eq!(app.post(&invoke, "").await.text(), "one");
    assert_eq!(app.driver.ledger().started, 1, "a note is no reason for another container");
    app.send("PUT", &path, r#"{"image":"two"}"#).await;
    assert_eq!(app.post(&invoke, "").await.text(), "two");
    app.send("PUT", &format!("/v2/apps/{app_id}"), r#"{"config":{"K":"v"}}"#).await;
    assert_eq!(app.post(&invoke, "").await.text(), "two");
    assert_eq!(app.driver.ledger().started, 3);
    app.stop().await;
}

fn says(word: &'static str) -> Program {
    http(move |_| async move { response(200, word.as_bytes()) })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_request_to_a_trigger_has_no_body() {
    let (app, _, _) = serving(says("four")).await;
    let mut head = request("HEAD", "/t/app/f", "");
    head.headers_mut().insert("accept", HeaderValue::from_static("*/*"));
    let reply = app.request(head).await;
    assert_eq!((reply.status.as_u16(), reply.body.len()), (200, 0));
    app.stop().await;
}
