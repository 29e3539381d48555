//! Whatever bytes come as path, query or body: an answer below 500, in time, and the server goes on.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Handle;

use crate::client::{Reply, raw, request};
use crate::test_app::TestApp;
use crate::v2::make_app;

/// Cases that a busy two-core machine gets through in a few seconds.
const CASES: u32 = 200;

/// Runs a property whose test is async, on the runtime of the test that calls it.
fn property<S: Strategy>(strategy: &S, test: impl AsyncFn(S::Value) -> Result<(), TestCaseError>) {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(CASES) });
    let outcome = tokio::task::block_in_place(|| runner.run(strategy, |value| Handle::current().block_on(test(value))));
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

fn is_documented(reply: &Reply) -> Result<(), TestCaseError> {
    prop_assert!(reply.status.as_u16() < 500, "{} {:?}", reply.status, reply.body);
    prop_assert!(reply.complete);
    Ok(())
}

fn method() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "FOO"])
}

fn path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "v1", "v2", "apps", "fns", "triggers", "r", "t", "invoke", "routes", "calls", "log", "app", "a", "..", ".",
            "",
        ])
        .prop_map(str::to_owned),
        "[!-~&&[^#?/]]{0,12}".prop_map(|text| text),
        prop::num::u8::ANY.prop_map(|byte| format!("%{byte:02X}")),
    ];
    prop::collection::vec(piece, 0..7).prop_map(|pieces| format!("/{}", pieces.join("/")))
}

fn query() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "cursor",
        "per_page",
        "from_time",
        "to_time",
        "status",
        "reason",
        "path",
        "name",
        "app_id",
        "fn_id",
        "x",
    ]);
    let value = prop_oneof![
        "[!-~&&[^#]]{0,20}".prop_map(|text| text),
        any::<i128>().prop_map(|number| number.to_string()),
        prop::collection::vec(prop::num::u8::ANY, 0..8)
            .prop_map(|bytes| bytes.iter().map(|byte| format!("%{byte:02x}")).collect()),
    ];
    prop::collection::vec((name, value), 0..4)
        .prop_map(|pairs| pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&"))
}

/// Bytes that look like a request of the API more or less, and bytes that do not.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let json = (any::<i64>(), "\\PC{0,20}", 0..3).prop_map(|(number, text, which)| {
        let value = if which == 2 {
            serde_json::json!({"name": text, "app_id": text, "fn_id": text, "image": text, "memory": number,
                "timeout": number, "config": {&text: text}, "annotations": {&text: {&text: number}}, "type": "http",
                "source": text, "syslog_url": text, "shape": text})
        } else if which == 1 {
            serde_json::json!({"app": {"name": text, "config": {"a": number.to_string(), &text: null}}})
        } else {
            serde_json::json!({"route": {"path": text, "image": text, "memory": number, "timeout": number,
                "headers": {&text: [text]}}})
        };
        value.to_string().into_bytes()
    });
    prop_oneof![json, prop::collection::vec(prop::num::u8::ANY, 0..200)]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_query_or_body_breaks_the_server() {
    let app = TestApp::start().await;
    app.create_app("app").await;
    property(&(method(), path(), query(), body()), async |(method, path, query, body)| {
        let target = format!("{path}?{query}");
        prop_assume!(target.parse::<http::Uri>().is_ok());
        is_documented(&app.request(request(method, &target, body)).await)
    });
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_query_breaks_a_list() {
    let app = TestApp::start().await;
    let id = make_app(&app, "app").await;
    property(&query(), async |query| {
        let fns = format!("/v2/fns?app_id={id}");
        let triggers = format!("/v2/triggers?app_id={id}");
        let calls = format!("/v2/apps/{id}/calls?");
        for list in [
            "/v1/apps?",
            "/v1/apps/app/routes?",
            "/v1/apps/app/calls?",
            "/v2/apps?",
            "/v2/fns?",
            &fns,
            &triggers,
            &calls,
        ] {
            let target = format!("{list}&{query}");
            prop_assume!(target.parse::<http::Uri>().is_ok());
            is_documented(&app.get(&target).await)?;
        }
        Ok(())
    });
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_bytes_on_a_connection_break_the_server() {
    let app = TestApp::start().await;
    property(&prop::collection::vec(prop::num::u8::ANY, 1..300), async |mut bytes: Vec<u8>| {
        bytes.extend_from_slice(b"\r\n\r\n");
        let answer = raw(app.address, &bytes).await;
        prop_assert!(!answer.starts_with("HTTP/1.1 5"), "{}", answer);
        Ok(())
    });
    assert_eq!(app.get("/version").await.status, 200);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_that_is_almost_right_is_invalid_and_never_a_failure() {
    let app = TestApp::start().await;
    let deep = "[".repeat(50_000);
    let nested = format!("{{\"app\":{}", "{\"app\":".repeat(50_000));
    for body in [
        &b"\xff\xfe"[..],
        b"\xef\xbb\xbf{\"app\":{\"name\":\"x\"}}",
        b"{\"app\":{\"name\":\"\xff\"}}",
        b"{\"app\":{\"name\":\"\\ud800\"}}",
        b"{\"app\":{\"name\":\"a\",\"name\":\"b\"}}",
        b"{\"app\":{},\"app\":{}}",
        b"{\"app\":{\"name\":'x'}}",
        b"{\"app\":{\"name\":\"x\",}}",
        b"{app:{}}",
        b"{\"app\":{\"name\":\"x\"}}{",
        b"{\"app\":{\"name\":NaN}}",
        b"nul",
        b"true",
        b"0",
        b"\"app\"",
        b"{\"app\":{\"config\":[]}}",
        b"{\"app\":{\"config\":{\"a\":{}}}}",
        deep.as_bytes(),
        nested.as_bytes(),
    ] {
        let reply = app.request(request("POST", "/v1/apps", body.to_vec())).await;
        reply.is_error(400, "Invalid JSON");
    }
    app.stop().await;
}

/// The members of the three objects of API v2, with what cannot be their values.
#[tokio::test(flavor = "multi_thread")]
async fn json_that_is_almost_right_is_invalid_at_api_v2_too() {
    let app = TestApp::start().await;
    let deep = "[".repeat(50_000);
    let nested = format!("{{\"annotations\":{{\"a\":{}", "{\"b\":".repeat(50_000));
    let unasked = format!("{{\"more\":{deep}");
    for body in [
        &b"\xff\xfe"[..],
        b"\xef\xbb\xbf{\"name\":\"x\"}",
        b"{\"name\":\"\xff\"}",
        b"{\"name\":\"\\ud800\"}",
        b"{\"name\":\"a\\u0000b\"}",
        b"{\"name\":'x'}",
        b"{\"name\":\"x\",}",
        b"{name:\"x\"}",
        b"{\"name\":[\"x\"]}",
        b"{\"name\":{}}",
        b"{\"name\":NaN}",
        b"{\"config\":[]}",
        b"{\"config\":{\"a\":1}}",
        b"{\"config\":{\"a\":{}}}",
        b"{\"annotations\":\"x\"}",
        b"{\"annotations\":{\"a\":}}",
        b"{\"created_at\":1}",
        b"{\"updated_at\":\"2026-13-01T00:00:00Z\"}",
        b"{\"updated_at\":\"2026-01-01\"}",
        b"nul",
        b"true",
        b"0",
        b"\"app\"",
        deep.as_bytes(),
        nested.as_bytes(),
        unasked.as_bytes(),
    ] {
        for path in ["/v2/apps", "/v2/fns", "/v2/triggers"] {
            // A trigger has no configuration, and what nobody knows is not looked at.
            let reply = app.request(request("POST", path, body.to_vec())).await;
            if path == "/v2/triggers" && body.starts_with(b"{\"config") {
                reply.is_v2_error(400, "Missing App ID on Trigger");
            } else {
                reply.is_v2_error(400, "Invalid JSON");
            }
        }
    }
    for body in
        ["{\"memory\":-1}", "{\"memory\":1.5}", "{\"memory\":\"1\"}", "{\"timeout\":2147483648}", "{\"timeout\":1e1}"]
    {
        app.post("/v2/fns", body).await.is_v2_error(400, "Invalid JSON");
    }
    app.stop().await;
}
