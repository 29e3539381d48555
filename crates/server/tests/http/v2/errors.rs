//! The error tables (v2 contract B.1.3 to B.1.7): every row, with status, exact message and type, in the order in which
//! rules are checked.

use super::{make_app, make_fn, make_trigger};
use crate::test_app::{Options, TestApp};

/// A request, its status and its message.
type Row<'a> = (&'a str, String, String, u16, String);

const JSON: &str = "Invalid JSON";
const KEY: &str = "Invalid annotation key, annotation keys must be non-empty ascii strings excluding whitespace";
const KEY_LENGTH: &str = "Invalid annotation key length, annotation keys may not be larger than 128 bytes";
const VALUE: &str =
    "Invalid annotation value, annotation values may only be non-empty strings, numbers, objects, or arrays";
const VALUE_LENGTH: &str =
    "Invalid annotation value length, annotation values may not be larger than 512 bytes when serialized as JSON";
const COUNT: &str = "Invalid annotation change, new key(s) exceed maximum permitted number of annotations keys (100)";
const TIMEOUT: &str = "timeout value is out of range, must be between 0 and 300";
const IDLE_TIMEOUT: &str = "idle_timeout value is out of range, must be between 0 and 3600";
const MEMORY: &str = "memory value is out of range. It should be between 0 and 8192";
/// An id of nothing.
const NONE: &str = "01M7ZQCHB2R00040GZK8000001";

/// Sends every row and holds its answer to it.
async fn hold(app: &TestApp, rows: &[Row<'_>]) {
    for (method, path, body, status, message) in rows {
        let reply = app.send(method, path, body).await;
        assert_eq!(reply.status, *status, "{method} {path} {body:.200}: {}", reply.text());
        reply.is_v2_error(*status, message);
    }
}

fn row<'a>(method: &'a str, path: &str, body: impl Into<String>, status: u16, message: &str) -> Row<'a> {
    (method, path.to_owned(), body.into(), status, message.to_owned())
}

/// Bodies that no request may have.
fn undecodable(method: &'static str, path: &str) -> Vec<Row<'static>> {
    let bodies =
        ["", " ", "{", "[]", "1", "x", r#"{"name":1}"#, r#"{"annotations":[]}"#, r#"{"created_at":"yesterday"}"#];
    bodies.into_iter().map(|body| row(method, path, body, 400, JSON)).collect()
}

/// Annotations that no object may have, beside what `rest` says.
fn annotations(method: &'static str, path: &str, rest: &str) -> Vec<Row<'static>> {
    let with = |annotations: &str| format!(r#"{{{rest}"annotations":{{{annotations}}}}}"#);
    let many: Vec<String> = (0..101).map(|n| format!(r#""k{n}":{n}"#)).collect();
    vec![
        row(method, path, with(r#""":1"#), 400, KEY),
        row(method, path, with(r#""a b":1"#), 400, KEY),
        row(method, path, with(r#""é":1"#), 400, KEY),
        row(method, path, with(&format!(r#""{}":1"#, "k".repeat(129))), 400, KEY_LENGTH),
        row(method, path, with(&format!(r#""k":"{}""#, "v".repeat(511))), 400, VALUE_LENGTH),
        row(method, path, with(&many.join(",")), 400, COUNT),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_apps() {
    let app = TestApp::start().await;
    let id = make_app(&app, "taken").await;
    let (all, one, none) = ("/v2/apps", format!("/v2/apps/{id}"), format!("/v2/apps/{NONE}"));
    let schemes = "invalid scheme, only [tcp, udp, unix, unixgram, tcp+tls] are supported";
    let mut rows = undecodable("POST", all);
    rows.extend([
        row("POST", all, r#"{"id":"x","name":""}"#, 400, "App ID cannot be supplied on create"),
        row("POST", all, "null", 400, "Missing Name"),
        row("POST", all, "{} garbage", 400, "Missing Name"),
        row("POST", all, r#"{"name":""}"#, 400, "Missing Name"),
        row(
            "POST",
            all,
            format!(r#"{{"name":"{}"}}"#, "/".repeat(256)),
            400,
            "App name must be 255 characters or less",
        ),
        row(
            "POST",
            all,
            format!(r#"{{"name":"{}"}}"#, "é".repeat(128)),
            400,
            "App name must be 255 characters or less",
        ),
        row("POST", all, r#"{"name":"a.b","annotations":{"":1}}"#, 400, "Invalid app name"),
        row("POST", all, r#"{"name":"a","annotations":{"k":""},"syslog_url":"x"}"#, 400, VALUE),
        row("POST", all, r#"{"name":"a","annotations":{"k":null}}"#, 400, VALUE),
        row(
            "POST",
            all,
            r#"{"name":"a","syslog_url":"tls://h:1","shape":"x"}"#,
            400,
            &format!(r#"invalid syslog url: "tls://h:1" {schemes}"#),
        ),
        row(
            "POST",
            all,
            r#"{"name":"a","syslog_url":"%zz"}"#,
            400,
            r#"invalid syslog url: "%zz" parse "%zz": invalid URL escape "%zz""#,
        ),
        row("POST", all, r#"{"name":"taken","shape":"x"}"#, 400, "Invalid app shape"),
        row("POST", all, r#"{"name":"taken"}"#, 409, "App already exists"),
        row("GET", &none, "", 404, "App not found"),
        row("GET", "/v2/apps/no-id", "", 404, "App not found"),
        row("DELETE", &none, "", 404, "App not found"),
        row("DELETE", "/v2/apps/no-id", "", 404, "App not found"),
    ]);
    rows.extend(annotations("POST", all, r#""name":"a","#));
    rows.extend(undecodable("PUT", &one));
    rows.extend([
        row("PUT", &none, r#"{"id":"x"}"#, 400, "App ID in path does not match ID in body"),
        row("PUT", &one, format!(r#"{{"id":"{NONE}"}}"#), 400, "App ID in path does not match ID in body"),
        row("PUT", &none, r#"{"name":"x"}"#, 404, "App not found"),
        row("PUT", "/v2/apps/no-id", "{}", 404, "App not found"),
        row("PUT", &one, r#"{"name":"x","annotations":{"":1}}"#, 409, "Could not update - name is immutable"),
        row("PUT", &one, r#"{"syslog_url":"http://h"}"#, 400, &format!(r#"invalid syslog url: "http://h" {schemes}"#)),
        row("GET", "/v2/apps?cursor=!", "", 400, "Invalid cursor"),
    ]);
    rows.extend(annotations("PUT", &one, ""));
    hold(&app, &rows).await;
    println!("apps: {} rows hold", rows.len());
    assert_eq!(app.get(&one).await.json()["updated_at"], app.get(&one).await.json()["created_at"]);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_functions() {
    let app = TestApp::start().await;
    let app_id = make_app(&app, "app").await;
    let id = make_fn(&app, &app_id, "taken", r#""image":"i""#).await;
    let (all, one, none) = ("/v2/fns", format!("/v2/fns/{id}"), format!("/v2/fns/{NONE}"));
    let of = |rest: &str| format!(r#"{{"app_id":"{app_id}",{rest}}}"#);
    let mut rows = undecodable("POST", all);
    rows.extend([
        row("POST", all, r#"{"app_id":"a","name":"f","image":"i","memory":-1}"#, 400, JSON),
        row("POST", all, r#"{"app_id":"a","name":"f","image":"a\u0000b"}"#, 400, JSON),
        row("POST", all, r#"{"id":"x"}"#, 400, "ID cannot be provided for Fn creation"),
        row("POST", all, r#"{"name":""}"#, 400, "Missing AppID on Fn"),
        row("POST", all, of(r#""name":"""#), 400, "Missing Fn name"),
        row(
            "POST",
            all,
            of(&format!(r#""name":"{}""#, "/".repeat(256))),
            400,
            "Fn name must be 255 characters or less",
        ),
    ]);
    for name in ["a b", "a/b", "a%20", "é", "a;b", "a,b", "a?b"] {
        rows.push(row("POST", all, of(&format!(r#""name":"{name}""#)), 400, "name must be a valid string"));
    }
    let new = r#""name":"f","image":"i""#;
    rows.extend([
        row("POST", all, of(r#""name":"f","timeout":301"#), 400, "Missing image on Fn"),
        row("POST", all, of(r#""name":"f","image":"","timeout":301"#), 400, "Missing image on Fn"),
        row("POST", all, of(&format!(r#"{new},"timeout":301,"idle_timeout":3601"#)), 400, TIMEOUT),
        row("POST", all, of(&format!(r#"{new},"timeout":-1"#)), 400, TIMEOUT),
        row("POST", all, of(&format!(r#"{new},"idle_timeout":3601,"memory":8193"#)), 400, IDLE_TIMEOUT),
        row("POST", all, of(&format!(r#"{new},"idle_timeout":-1"#)), 400, IDLE_TIMEOUT),
        row("POST", all, of(&format!(r#"{new},"memory":8193,"format":"x""#)), 400, MEMORY),
        row("POST", all, of(&format!(r#"{new},"format":"x","annotations":{{"":1}}"#)), 400, "Invalid Fn format"),
        row("POST", all, of(&format!(r#"{new},"annotations":{{"k":""}}"#)), 400, VALUE),
        row("POST", all, format!(r#"{{"app_id":"{NONE}",{new},"annotations":{{"k":null}}}}"#), 400, VALUE),
        row("POST", all, format!(r#"{{"app_id":"{NONE}",{new}}}"#), 404, "App not found"),
        row("POST", all, format!(r#"{{"app_id":"no-id",{new}}}"#), 404, "App not found"),
        row("POST", all, of(r#""name":"taken","image":"i""#), 409, "Fn with specified name already exists"),
        row("GET", &none, "", 404, "Fn not found"),
        row("GET", "/v2/fns/no-id", "", 404, "Fn not found"),
        row("DELETE", &none, "", 404, "Fn not found"),
        row("PUT", &none, r#"{"id":"x"}"#, 400, "Fn ID in path does not match that in body"),
        row("PUT", &none, "{}", 404, "Fn not found"),
        row("PUT", &one, r#"{"timeout":301,"idle_timeout":3601}"#, 400, TIMEOUT),
        row("PUT", &one, r#"{"idle_timeout":-1,"memory":9000}"#, 400, IDLE_TIMEOUT),
        row("PUT", &one, r#"{"memory":8193,"format":"x"}"#, 400, MEMORY),
        row("PUT", &one, r#"{"format":"x","annotations":{"":1}}"#, 400, "Invalid Fn format"),
        row("GET", all, "", 400, "Missing AppID on Fn"),
        row("GET", "/v2/fns?cursor=!", "", 400, "Missing AppID on Fn"),
        row("GET", "/v2/fns?app_id=x&cursor=!", "", 400, "Invalid cursor"),
    ]);
    rows.extend(annotations("POST", all, &format!(r#""app_id":"{app_id}",{new},"#)));
    rows.extend(undecodable("PUT", &one));
    rows.extend(annotations("PUT", &one, ""));
    hold(&app, &rows).await;
    println!("functions: {} rows hold", rows.len());
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_triggers() {
    let app = TestApp::start().await;
    let (app_id, other_app) = (make_app(&app, "app").await, make_app(&app, "other").await);
    let fn_id = make_fn(&app, &app_id, "f", r#""image":"i""#).await;
    let of_other = make_fn(&app, &other_app, "f", r#""image":"i""#).await;
    make_trigger(&app, &app_id, &fn_id, "taken", "/taken").await;
    let id = make_trigger(&app, &app_id, &fn_id, "t", "/t").await;
    let (all, one, none) = ("/v2/triggers", format!("/v2/triggers/{id}"), format!("/v2/triggers/{NONE}"));
    let of = |rest: &str| format!(r#"{{"app_id":"{app_id}",{rest}}}"#);
    let new = |app_id: &str, fn_id: &str, rest: &str| {
        format!(r#"{{"app_id":"{app_id}","fn_id":"{fn_id}","type":"http",{rest}}}"#)
    };
    let exists = "Trigger with the same type and source exists on this app";
    let foreign = "Invalid Fn ID - not owned by specified app";
    let mut rows = undecodable("POST", all);
    rows.extend([
        row("POST", all, r#"{"id":"x","created_at":""}"#, 400, "ID cannot be provided for Trigger creation"),
        row("POST", all, r#"{"created_at":"2026-01-01T00:00:00Z"}"#, 400, "Trigger Created At Provided for Create"),
        row("POST", all, r#"{"created_at":"","updated_at":""}"#, 400, "Trigger Created At Provided for Create"),
        row("POST", all, r#"{"updated_at":"2026-01-01T00:00:00.123Z"}"#, 400, "Trigger ID Provided for Create"),
        row("POST", all, r#"{"created_at":"0001-01-01T00:00:00.000Z"}"#, 400, "Missing App ID on Trigger"),
        row("POST", all, "null", 400, "Missing App ID on Trigger"),
        row("POST", all, r#"{"app_id":"x"}"#, 400, "Missing name on Trigger"),
        row(
            "POST",
            all,
            of(&format!(r#""name":"{}""#, "/".repeat(256))),
            400,
            "Trigger name must be 255 characters or less",
        ),
        row("POST", all, of(r#""name":"a.b""#), 400, "Invalid name for Trigger"),
        row("POST", all, of(r#""name":"n""#), 400, "Missing Fn ID on Trigger"),
        row("POST", all, of(r#""name":"n","fn_id":"x""#), 400, "Trigger Type Not Supported"),
        row("POST", all, of(r#""name":"n","fn_id":"x","type":"schedule""#), 400, "Trigger Type Not Supported"),
        row("POST", all, of(r#""name":"n","fn_id":"x","type":"http""#), 400, "Missing Trigger Source"),
        row("POST", all, new("x", "x", r#""name":"n","source":"s""#), 400, "Missing Trigger Source Prefix '/'"),
        row("POST", all, new("x", "x", r#""name":"n","source":"/s","annotations":{"k":""}"#), 400, VALUE),
        row("POST", all, new("x", "x", r#""name":"n","source":"/s""#), 404, "App not found"),
        row("POST", all, new(NONE, "x", r#""name":"n","source":"/s""#), 404, "App not found"),
        row("POST", all, new(&app_id, "x", r#""name":"n","source":"/s""#), 404, "Fn not found"),
        row("POST", all, new(&app_id, NONE, r#""name":"n","source":"/s""#), 404, "Fn not found"),
        row("POST", all, new(&app_id, &of_other, r#""name":"taken","source":"/taken""#), 400, foreign),
        row("POST", all, new(&app_id, &fn_id, r#""name":"taken","source":"/taken""#), 409, exists),
        row("POST", all, new(&app_id, &fn_id, r#""name":"taken","source":"/s""#), 409, "Trigger already exists"),
        row("GET", &none, "", 404, "Trigger not found"),
        row("GET", "/v2/triggers/no-id", "", 404, "Trigger not found"),
        row("DELETE", &none, "", 404, "Trigger not found"),
        row("PUT", &none, r#"{"id":"x"}"#, 400, "ID in path does not match ID in body"),
        row("PUT", &none, r#"{"name":"a.b"}"#, 404, "Trigger not found"),
        row(
            "PUT",
            &one,
            format!(r#"{{"name":"{}"}}"#, "x".repeat(256)),
            400,
            "Trigger name must be 255 characters or less",
        ),
        row("PUT", &one, r#"{"name":"a.b","source":"x"}"#, 400, "Invalid name for Trigger"),
        row("PUT", &one, r#"{"source":"x","annotations":{"":1}}"#, 400, "Missing Trigger Source Prefix '/'"),
        row("PUT", &one, r#"{"fn_id":"x","annotations":{"":1}}"#, 400, KEY),
        row("PUT", &one, r#"{"fn_id":"x"}"#, 404, "Fn not found"),
        row("PUT", &one, format!(r#"{{"fn_id":"{of_other}"}}"#), 400, foreign),
        row("PUT", &one, r#"{"name":"taken","source":"/taken"}"#, 409, exists),
        row("PUT", &one, r#"{"name":"taken"}"#, 409, "Trigger already exists"),
        row("GET", all, "", 400, "Missing App ID on Trigger"),
        row("GET", "/v2/triggers?app_id=x&cursor=!", "", 400, "Invalid cursor"),
        row("GET", "/v2/triggers?app_id=x&cursor=YS9i", "", 400, "Invalid cursor"),
    ]);
    rows.extend(annotations(
        "POST",
        all,
        &format!(r#""app_id":"{app_id}","fn_id":"{fn_id}","name":"n","type":"http","source":"/s","#),
    ));
    rows.extend(undecodable("PUT", &one));
    rows.extend(annotations("PUT", &one, ""));
    hold(&app, &rows).await;
    println!("triggers: {} rows hold", rows.len());
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_calls() {
    let app = TestApp::start().await;
    let app_id = make_app(&app, "app").await;
    let fn_id = make_fn(&app, &app_id, "f", r#""image":"i""#).await;
    let mut rows = Vec::new();
    for (of, id, missing) in [("apps", &app_id, "App not found"), ("fns", &fn_id, "Fn not found")] {
        let (calls, none) = (format!("/v2/{of}/{id}/calls"), format!("/v2/{of}/{NONE}/calls"));
        let status = "status is not one of delayed, queued, running, success, error, timeout, cancelled";
        rows.extend([
            row("GET", &none, "", 404, missing),
            row("GET", &format!("{none}/{NONE}"), "", 404, missing),
            row("GET", &format!("{none}/{NONE}/log"), "", 404, missing),
            row("DELETE", &format!("{none}/{NONE}"), "", 404, missing),
            row("GET", &format!("{calls}/{NONE}"), "", 404, "Call not found"),
            row("GET", &format!("{calls}/no-id"), "", 404, "Call not found"),
            row("DELETE", &format!("{calls}/{NONE}"), "", 404, "Call not found"),
            row("GET", &format!("{calls}/{NONE}/log"), "", 404, "Call log not found"),
            row("GET", &format!("{calls}/no-id/log"), "", 404, "Call log not found"),
            row("GET", &format!("{calls}?from_time=x"), "", 400, "from_time is not an epoch time"),
            row("GET", &format!("{calls}?to_time=x"), "", 400, "to_time is not an epoch time"),
            row("GET", &format!("{calls}?status=x"), "", 400, status),
            row("GET", &format!("{calls}?reason=x"), "", 400, "reason is not one that a call can have"),
            row("GET", &format!("{calls}?cursor=!"), "", 400, "Invalid cursor"),
            // That of another list.
            row("GET", &format!("{calls}?cursor=YQ"), "", 400, "Invalid cursor"),
        ]);
    }
    hold(&app, &rows).await;
    println!("calls: {} rows hold", rows.len());
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_its_limit_is_refused_in_the_form_of_this_api() {
    let app = Options::default().server(|settings| settings.max_api_body = 100).start().await;
    let body = format!(r#"{{"name":"{}"}}"#, "x".repeat(100));
    let message = format!("Content-Length too large for this server, {} > max 100", body.len());
    app.post("/v2/apps", &body).await.is_v2_error(413, &message);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_is_told_with_an_id_for_the_log() {
    let app = TestApp::start().await;
    let id = make_app(&app, "app").await;
    app.datastore.close().await;
    for (method, path, body) in [
        ("GET", "/v2/apps".to_owned(), ""),
        ("POST", "/v2/apps".to_owned(), r#"{"name":"x"}"#),
        ("PUT", format!("/v2/apps/{id}"), "{}"),
        ("GET", format!("/v2/fns?app_id={id}"), ""),
        ("POST", format!("/invoke/{NONE}"), ""),
        ("GET", "/t/app/x".to_owned(), ""),
    ] {
        let reply = app.send(method, &path, body).await;
        reply.is_v2_error(503, "database unavailable");
        assert_eq!(reply.values("fn_request_id")[0].len(), 26);
    }
    app.stop().await;
}
