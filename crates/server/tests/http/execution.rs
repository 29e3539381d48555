//! `/r/:app[/...]`: what functions get, what clients get back, and every outcome's status and message.

use std::time::Duration;

use hearth_drivers::Exit;
use hearth_drivers::scripted::{Program, Script, ScriptedDriver, Step, programs};
use http::{HeaderName, HeaderValue};

use crate::client::{Reply, raw, request};
use crate::test_app::{Options, TestApp};

/// A function of the `http` format that answers everyone with these bytes.
fn says(answer: &'static str) -> Program {
    programs::http(move |_| async move { answer.as_bytes().to_vec() })
}

/// A server with one app and a route `/f` of `program`.
async fn serving(program: Program, fields: &str) -> TestApp {
    let app = Options::default().image("f", program).start().await;
    app.create_app("app").await;
    app.create_route(&format!(r#""path":"/f","image":"f",{fields}"#)).await;
    app
}

fn has_call_facts(reply: &Reply) {
    assert_eq!(reply.values("fn_call_id")[0].len(), 26);
    assert_eq!(reply.values("xxx-fxlb-wait").len(), 1, "one value");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_answers_with_its_status_headers_and_body() {
    let answer = "HTTP/1.1 418 Teapot\r\nContent-Length: 3\r\nX-Own: 1\r\nX-Own: 2\r\nFn_call_id: forged\r\n\
        XXX-FXLB-WAIT: forged\r\nConnection: close\r\n\r\n<p>";
    let app = serving(says(answer), r#""format":"http","headers":{"X-Route":["a","b"],"X-Own":["0"]}"#).await;
    let reply = app.post("/r/app/f", "in").await;
    assert_eq!((reply.status.as_u16(), reply.text().as_str()), (418, "<p>"));
    assert_eq!(reply.values("x-own"), ["0", "1", "2"]);
    assert_eq!(reply.values("x-route"), ["a", "b"]);
    assert_eq!(reply.values("content-type"), ["text/html; charset=utf-8"]);
    assert_eq!(reply.values("content-length"), ["3"]);
    has_call_facts(&reply);
    assert!(!reply.values("xxx-fxlb-wait")[0].contains("forged"));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_sees_the_request_as_the_client_wrote_it() {
    let head = programs::http(|request| async move { programs::response(200, request.head.as_bytes()) });
    let app = serving(head, r#""format":"http""#).await;
    let mut request = request("PATCH", "/r/app//x/..%2Ff/?a=b%20c&d", "body");
    request.headers_mut().insert("x-own", HeaderValue::from_static("v"));
    let head = app.request(request).await.text();
    for line in [
        "PATCH /r/app//x/..%2Ff/?a=b%20c&d HTTP/1.1",
        "Host: hearth.test",
        "X-Own: v",
        "Content-Length: 4",
        "Fn_request_url: http://hearth.test/r/app//x/..%2Ff/?a=b%20c&d",
        "Fn_param_app: app",
        "Fn_param_route: //x/../f/",
        "Fn_path: /f",
        "Fn_method: PATCH",
    ] {
        assert!(head.lines().any(|have| have == line), "{line} in {head}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_standard_method_calls_a_function() {
    let app = serving(programs::http_echo(), r#""format":"http""#).await;
    for method in ["GET", "POST", "PUT", "PATCH", "OPTIONS", "DELETE", "TRACE"] {
        let reply = app.send(method, "/r/app/f", "in").await;
        assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, "in"), "{method}");
    }
    let reply = app.send("HEAD", "/r/app/f", "").await;
    assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, ""));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_route_is_reached_with_and_without_its_slash() {
    let app = Options::default().image("f", programs::cat()).start().await;
    app.create_app("app").await;
    app.create_route(r#""path":"/","image":"f""#).await;
    for path in ["/r/app", "/r/app/", "/r/app//", "/r/app/x/.."] {
        assert_eq!(app.post(path, "in").await.text(), "in", "{path}");
    }
    app.get("/r/app/x").await.is_error(404, "Route not found");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_routes_content_type_beats_sniffing_and_not_the_functions() {
    let app = Options::default()
        .image("plain", says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))
        .image("typed", says("HTTP/1.1 200 OK\r\nContent-Type: image/x\r\nContent-Length: 2\r\n\r\nhi"))
        .start()
        .await;
    app.create_app("app").await;
    app.create_route(r#""path":"/sniffed","image":"plain","format":"http""#).await;
    let headers = r#""headers":{"content-type":["text/css","more"]}"#;
    app.create_route(&format!(r#""path":"/plain","image":"plain","format":"http",{headers}"#)).await;
    app.create_route(&format!(r#""path":"/typed","image":"typed","format":"http",{headers}"#)).await;
    for (path, content_type) in [("sniffed", "text/plain; charset=utf-8"), ("plain", "text/css"), ("typed", "image/x")]
    {
        assert_eq!(app.get(&format!("/r/app/{path}")).await.values("content-type"), [content_type], "{path}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_failure_of_a_function_has_its_status_and_message() {
    const OOM: &str = "container out of memory, you may want to raise route.memory for this route (default: 128MB)";
    let oom = programs::exit_after(Duration::ZERO, Exit::OutOfMemory);
    for (program, format, status, message) in [
        (programs::exit(3), "default", 502, "container exit code 3"),
        (programs::exit(3), "http", 502, "container exit code 3"),
        (programs::exit(0), "http", 502, "container exited without a response"),
        (programs::exit(0), "json", 502, "container exited without a response"),
        (oom, "default", 502, OOM),
        (programs::exit(137), "default", 502, "container killed"),
        (programs::hang(), "default", 504, "Timed out"),
        (programs::hang(), "http", 504, "Timed out"),
    ] {
        let headers = r#""headers":{"Content-Type":["text/css"],"X-R":["1"]}"#;
        let app = serving(program, &format!(r#""format":"{format}","timeout":1,{headers}"#)).await;
        let reply = app.post("/r/app/f", "in").await;
        reply.is_error(status, message);
        assert_eq!(reply.values("x-r"), ["1"], "route headers are on errors too");
        has_call_facts(&reply);
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_a_bad_gateway_that_names_the_format() {
    for format in ["http", "json"] {
        let app = serving(programs::garbage(), &format!(r#""format":"{format}""#)).await;
        let reply = app.post("/r/app/f", "in").await;
        assert_eq!(reply.status, 502);
        let message = reply.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with("invalid function response: ") && message.contains(format), "{message}");
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_is_refused_has_the_engines_status_and_message() {
    let refused = hearth_drivers::Error::ImageRefused {
        image: "private/f".to_owned(),
        status: 403,
        message: "denied".to_owned(),
    };
    let script = Script::new(programs::cat()).pull(Step::fails(refused));
    let driver = ScriptedDriver::new().with("private/f", script);
    let app = Options { driver, ..Options::default() }.start().await;
    app.create_app("app").await;
    app.create_route(r#""path":"/p","image":"private/f""#).await;
    app.create_route(r#""path":"/q","image":"missing""#).await;
    app.get("/r/app/p").await.is_error(403, "Failed to pull image 'private/f': denied");
    app.get("/r/app/q").await.is_error(404, "Failed to pull image 'missing': no such image");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_away_is_503_with_retry_after() {
    let app = serving(programs::cat(), r#""format":"default""#).await;
    app.driver.set_away(true);
    let reply = app.get("/r/app/f").await;
    reply.is_error(503, "container engine unavailable");
    assert_eq!(reply.values("retry-after"), ["2"]);
    app.driver.set_away(false);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_gets_no_slot_in_time_is_503_with_retry_after() {
    let options = Options::default().image("hog", programs::hang()).image("f", programs::cat());
    let app = options.agent(|settings| settings.memory = 128 << 20).start().await;
    app.create_app("app").await;
    app.create_route(r#""path":"/hog","image":"hog","timeout":4"#).await;
    app.create_route(r#""path":"/f","image":"f","timeout":1"#).await;
    let (hog, refused) = tokio::join!(app.get("/r/app/hog"), async {
        app.driver.until(|ledger| ledger.live() == 1).await;
        app.get("/r/app/f").await
    });
    refused.is_error(503, "Timed out - server too busy");
    assert_eq!(refused.values("retry-after"), ["15"]);
    assert!(refused.values("xxx-fxlb-wait")[0].ends_with("ms"), "{:?}", refused.values("xxx-fxlb-wait"));
    hog.is_error(504, "Timed out");
    let record = app.get("/v1/apps/app/calls?path=/f").await.json();
    assert_eq!(record["calls"][0]["reason"], "no_capacity");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_is_seen_as_incomplete_and_nothing_is_appended() {
    let breaks = Program::new(|io| async move {
        io.stdout(vec![b'x'; 100_000]).await;
        Exit::Code(3)
    });
    let app = serving(breaks, r#""format":"default""#).await;
    let reply = app.get("/r/app/f").await;
    assert_eq!((reply.status.as_u16(), reply.complete), (200, false));
    assert!(reply.body.iter().all(|byte| *byte == b'x'));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_route_runs_in_a_new_container_at_once() {
    let image = programs::http(|request| async move { programs::response(200, request.head.as_bytes()) });
    let app = Options::default().image("one", image.clone()).image("two", programs::http_echo()).start().await;
    app.create_app("app").await;
    app.create_route(r#""path":"/f","image":"one","format":"http""#).await;
    assert!(app.post("/r/app/f", "in").await.text().contains("Fn_path: /f"));
    app.send("PATCH", "/v1/apps/app/routes/f", r#"{"route":{"image":"two"}}"#).await;
    assert_eq!(app.post("/r/app/f", "in").await.text(), "in");
    app.driver.until(|ledger| ledger.existing() == 1).await;
    app.send("DELETE", "/v1/apps/app", "").await;
    app.get("/r/app/f").await.is_error(404, "App not found");
    app.driver.until(|ledger| ledger.is_clean()).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_body_over_the_limit_is_refused_before_it_is_read() {
    let app = Options::default().image("f", programs::cat()).server(|settings| settings.max_body = 10).start().await;
    app.create_app("app").await;
    app.create_route(r#""path":"/f","image":"f""#).await;
    app.post("/r/app/f", "eleven byte").await.is_error(413, "Content-Length too large for this server, 11 > max 10");
    assert_eq!(app.post("/r/app/f", "ten bytes.").await.text(), "ten bytes.");
    let head =
        "POST /r/app/f HTTP/1.1\r\nHost: h\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 99\r\n\r\n";
    let answer = raw(app.address, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "no 100 Continue: {answer}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undeclared_body_over_the_limit_is_refused_when_it_gets_there() {
    let app = Options::default().image("f", programs::cat()).server(|settings| settings.max_body = 10).start().await;
    app.create_app("app").await;
    app.create_route(r#""path":"/f","image":"f""#).await;
    let head = "POST /r/app/f HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = raw(app.address, format!("{head}b\r\neleven byte\r\n0\r\n\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("request body too large for this server, max 10 bytes"), "{answer}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_transfer_coding_is_an_invalid_payload() {
    let app = serving(programs::cat(), r#""format":"default""#).await;
    let head = "POST /r/app/f HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = raw(app.address, format!("{head}zz\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("Invalid payload"), "{answer}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_go_out_in_the_casing_that_clients_know() {
    let app = serving(programs::cat(), r#""headers":{"x-oWN":["1"]}"#).await;
    let answer = raw(app.address, b"GET /r/app/f HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
    for name in ["\r\nFn_call_id: ", "\r\nXxx-Fxlb-Wait: ", "\r\nX-Own: 1\r\n", "\r\nContent-Length: 0\r\n"] {
        assert!(answer.contains(name), "{name} in {answer}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_header_that_would_break_framing_is_left_out() {
    let headers =
        r#""headers":{"Content-Length":["1"],"Transfer-Encoding":["chunked"],"bad name":["x"],"X-Bad":["a\nb"]}"#;
    let app = serving(programs::cat(), headers).await;
    let reply = app.post("/r/app/f", "whole").await;
    assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, "whole"));
    assert!(!reply.headers.contains_key(HeaderName::from_static("x-bad")));
    app.stop().await;
}
