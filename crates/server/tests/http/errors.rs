//! The error catalogue (v1 contract B.1.5): every row that is marked as seen, with status, exact message and type.
//! Rows of execution are in `execution`.

use crate::test_app::{Options, TestApp};

async fn with_app_and_route() -> TestApp {
    let app = TestApp::start().await;
    app.create_app("app").await;
    app.create_route(r#""path":"/here","image":"i""#).await;
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_of_apps_has_its_message() {
    let app = with_app_and_route().await;
    let long = format!(r#"{{"app":{{"name":"{}"}}}}"#, "x".repeat(31));
    let bytes = format!(r#"{{"app":{{"name":"{}"}}}}"#, "é".repeat(16));
    for (method, path, body, status, message) in [
        ("POST", "/v1/apps", "", 400, "Invalid JSON"),
        ("POST", "/v1/apps", "{", 400, "Invalid JSON"),
        ("POST", "/v1/apps", r#"{"app":{"name":1}}"#, 400, "Invalid JSON"),
        ("POST", "/v1/apps", r#"{"app":{"name":"x","config":{"a":1}}}"#, 400, "Invalid JSON"),
        ("POST", "/v1/apps", r#"{"app":{"name":"x"}} garbage"#, 400, "Invalid JSON"),
        ("POST", "/v1/apps", r#"[{"name":"x"}]"#, 400, "Invalid JSON"),
        ("POST", "/v1/apps", r#"{"app":["x"]}"#, 400, "Invalid JSON"),
        ("POST", "/v1/apps", "null", 400, "Missing new application"),
        ("POST", "/v1/apps", "{}", 400, "Missing new application"),
        ("POST", "/v1/apps", r#"{"app":null}"#, 400, "Missing new application"),
        ("POST", "/v1/apps", r#"{"APP":{"name":"x"}}"#, 400, "Missing new application"),
        ("POST", "/v1/apps", r#"{"app":{}}"#, 400, "Missing app name"),
        ("POST", "/v1/apps", r#"{"app":{"name":""}}"#, 400, "Missing app name"),
        ("POST", "/v1/apps", &long, 400, "App name must be 30 characters or less"),
        ("POST", "/v1/apps", &bytes, 400, "App name must be 30 characters or less"),
        ("POST", "/v1/apps", r#"{"app":{"name":"a b"}}"#, 400, "Invalid app name"),
        ("POST", "/v1/apps", r#"{"app":{"name":"app"}}"#, 409, "App already exists"),
        ("PATCH", "/v1/apps/app", "{", 400, "Invalid JSON"),
        ("PATCH", "/v1/apps/app", "{}", 400, "Missing new application"),
        ("PATCH", "/v1/apps/app", r#"{"app":{"name":"app"}}"#, 409, "Could not update - name is immutable"),
        ("PATCH", "/v1/apps/none", r#"{"app":{"name":"x"}}"#, 409, "Could not update - name is immutable"),
        ("PATCH", "/v1/apps/none", r#"{"app":{"config":{"a":"1"}}}"#, 404, "App not found"),
        ("GET", "/v1/apps/none", "", 404, "App not found"),
        ("DELETE", "/v1/apps/none", "", 404, "App not found"),
        ("GET", "/v1/apps/none/routes", "", 404, "App not found"),
        ("GET", "/v1/apps/none/calls", "", 404, "App not found"),
        ("GET", "/r/none", "", 404, "App not found"),
        ("GET", "/r//", "", 400, "Missing app name"),
        ("GET", "/v1/apps//routes", "", 400, "Missing app name"),
        ("DELETE", "/v1/apps/", "", 400, "Missing app name"),
        ("PUT", "/v1/apps/app", "", 404, "Path not found"),
        ("FOO", "/r/app/here", "", 404, "Path not found"),
        ("GET", "//version", "", 404, "Path not found"),
        ("GET", "/v1/apps/%zz", "", 400, "Path malformed"),
    ] {
        let reply = app.send(method, path, body).await;
        println!("{method} {path} {body}");
        reply.is_error(status, message);
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_of_routes_has_its_message() {
    const TIMEOUT: &str = "timeout value is too large or small. 0 < timeout < max. async max: 3600 sync max: 120";
    const IDLE: &str = "idle_timeout value is too large or small. 0 < timeout < 3600";
    const MEMORY: &str = "memory value is invalid. 0 < memory < 8192";
    let app = with_app_and_route().await;
    for (fields, status, message) in [
        (r#""image":"i""#, 400, "Missing route Path"),
        (r#""path":"","image":"i""#, 400, "Missing route Path"),
        (r#""path":"/a%zz","image":"i""#, 400, "Path malformed"),
        (r#""path":"/:a","image":"i""#, 400, "Dynamic URL is not allowed"),
        (r#""path":"a","image":"i""#, 400, "Invalid route path format"),
        (r#""path":"/a?b","image":"i""#, 400, "Invalid route path format"),
        (r#""path":"http://h/a","image":"i""#, 400, "Invalid route path format"),
        (r#""path":"/a""#, 400, "Missing route Image"),
        (r#""path":"/a","image":"i","type":"x""#, 400, "Invalid route Type"),
        (r#""path":"/a","image":"i","format":"x""#, 400, "Invalid route Format"),
        (r#""path":"/a","image":"i","timeout":121"#, 400, TIMEOUT),
        (r#""path":"/a","image":"i","timeout":-1"#, 400, TIMEOUT),
        (r#""path":"/a","image":"i","type":"async","timeout":3601"#, 400, TIMEOUT),
        (r#""path":"/a","image":"i","idle_timeout":3601"#, 400, IDLE),
        (r#""path":"/a","image":"i","memory":8193"#, 400, MEMORY),
        (r#""path":"/a","image":"i","memory":-1"#, 400, "Invalid JSON"),
        (r#""path":"/a","image":"i","memory":1.5"#, 400, "Invalid JSON"),
        (r#""path":"/a","image":"i","timeout":1.5"#, 400, "Invalid JSON"),
        (r#""path":"/a","image":"i","headers":{"a":"b"}"#, 400, "Invalid JSON"),
        (r#""path":"/a","image":"i","created_at":"yesterday""#, 400, "Invalid JSON"),
        (r#""path":"/here/","image":"i""#, 409, "Route already exists"),
    ] {
        println!("{fields}");
        app.post("/v1/apps/app/routes", &format!(r#"{{"route":{{{fields}}}}}"#)).await.is_error(status, message);
    }
    for (method, path, body, status, message) in [
        ("POST", "/v1/apps/app/routes", "", 400, "Invalid JSON"),
        ("POST", "/v1/apps/app/routes", "null", 400, "Missing new route"),
        ("POST", "/v1/apps/app/routes", r#"{"route":null}"#, 400, "Missing new route"),
        ("PUT", "/v1/apps/app/routes/x", "{}", 400, "Missing new route"),
        ("PUT", "/v1/apps/app/routes/x", r#"{"route":{}}"#, 400, "Missing route Image"),
        ("PUT", "/v1/apps/app/routes/x", r#"{"route":{"path":"x"}}"#, 409, "Could not update - path is immutable"),
        (
            "PATCH",
            "/v1/apps/app/routes/here",
            r#"{"route":{"path":"/x"}}"#,
            409,
            "Could not update - path is immutable",
        ),
        ("PATCH", "/v1/apps/app/routes/x", r#"{"route":{}}"#, 404, "Route not found"),
        ("PATCH", "/v1/apps/none/routes/x", r#"{"route":{}}"#, 404, "Route not found"),
        ("GET", "/v1/apps/app/routes/x", "", 404, "Route not found"),
        ("DELETE", "/v1/apps/app/routes/x", "", 404, "Route not found"),
        ("GET", "/r/app/x", "", 404, "Route not found"),
        ("PUT", "/v1/apps/a%20b/routes/x", r#"{"route":{"image":"i"}}"#, 400, "Invalid app name"),
    ] {
        println!("{method} {path} {body}");
        app.send(method, path, body).await.is_error(status, message);
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_of_calls_has_its_message() {
    let app = with_app_and_route().await;
    let id = "01M7ZQN1PR4HN0600000000000";
    for (path, status, message) in [
        (format!("/v1/apps/app/calls/{id}"), 404, "Call not found"),
        (format!("/v1/apps/none/calls/{id}"), 404, "Call not found"),
        ("/v1/apps/app/calls/no-id".to_owned(), 404, "Call not found"),
        (format!("/v1/apps/app/calls/{id}/log"), 404, "Call log not found"),
        (format!("/v1/apps/none/calls/{id}/log"), 404, "Call log not found"),
        ("/v1/apps/app/calls/no-id/log".to_owned(), 404, "Call log not found"),
        ("/v1/apps/app/calls?from_time=x&to_time=x".to_owned(), 400, "from_time is not an epoch time"),
        ("/v1/apps/none/calls?to_time=1.5".to_owned(), 400, "to_time is not an epoch time"),
        (
            "/v1/apps/app/calls?status=x".to_owned(),
            400,
            "status is not one of delayed, queued, running, success, error, timeout, cancelled",
        ),
        ("/v1/apps/app/calls?reason=x".to_owned(), 400, "reason is not one that a call can have"),
    ] {
        println!("{path}");
        app.get(&path).await.is_error(status, message);
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_is_told_with_an_id_for_the_log() {
    let app = with_app_and_route().await;
    app.datastore.close().await;
    for (method, path, body) in [
        ("GET", "/v1/apps", ""),
        ("POST", "/v1/apps", r#"{"app":{"name":"x"}}"#),
        ("GET", "/v1/apps/app/calls", ""),
        ("GET", "/r/app/unknown", ""),
    ] {
        let reply = app.send(method, path, body).await;
        reply.is_error(503, "database unavailable");
        assert_eq!(reply.values("fn_request_id")[0].len(), 26);
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_its_limit_is_refused_with_the_contracts_message() {
    let app = Options::default().server(|settings| settings.max_api_body = 100).start().await;
    let body = format!(r#"{{"app":{{"name":"{}"}}}}"#, "x".repeat(100));
    let message = format!("Content-Length too large for this server, {} > max 100", body.len());
    app.post("/v1/apps", &body).await.is_error(413, &message);
    app.create_app("small").await;
    app.stop().await;
}
