//! Paths that lead nowhere, or with another method only.

use crate::client::request;
use crate::test_app::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_path_and_a_wrong_method_are_told_apart_by_name() {
    let app = TestApp::start().await;
    for (method, path) in [
        ("GET", "/v2"),
        ("GET", "/v2//apps"),
        ("GET", "/v2/other"),
        ("POST", "/invoke"),
        ("POST", "/invoke/"),
        ("GET", "/t/"),
        ("GET", "/v2/runner/apps/a/triggerBySource/http//s"),
    ] {
        let message = format!("Path not found: {method} {path}");
        app.send(method, path, "").await.is_v2_error(404, &message);
    }
    for (method, path, allow) in [
        ("PATCH", "/v2/apps", "GET, POST"),
        ("OPTIONS", "/v2/apps", "GET, POST"),
        ("POST", "/v2/apps/x", "GET, PUT, DELETE"),
        ("GET", "/invoke/x", "POST"),
        ("FOO", "/t/app", "GET, POST, PUT, PATCH, HEAD, OPTIONS, DELETE, CONNECT, TRACE"),
        ("FOO", "/t/app/x", "GET, POST, PUT, PATCH, HEAD, OPTIONS, DELETE, CONNECT, TRACE"),
    ] {
        let reply = app.send(method, path, "").await;
        reply.is_v2_error(405, &format!("Method not allowed: {method} {path}"));
        assert_eq!(reply.values("allow"), [allow]);
    }
    let head = app.send("HEAD", "/v2/apps", "").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (405, 0));
    app.get("/t/%zz").await.is_v2_error(400, "Path malformed");
    // Paths are taken decoded, and so is what tells the APIs apart.
    app.get("/%76%32/apps?cursor=!").await.is_v2_error(400, "Invalid cursor");
    app.get("/%74/none/f").await.is_v2_error(404, "App not found");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slash_too_many_is_redirected() {
    let app = TestApp::start().await;
    for (method, path, status, to) in [
        ("GET", "/v2/apps/", 301, "/v2/apps"),
        ("GET", "/v2/apps/?per_page=1", 301, "/v2/apps?per_page=1"),
        ("POST", "/v2/apps/", 307, "/v2/apps"),
        ("PUT", "/v2/fns/x/", 307, "/v2/fns/x"),
        ("POST", "/invoke/x/", 307, "/invoke/x"),
    ] {
        let reply = app.request(request(method, path, "")).await;
        assert_eq!((reply.status.as_u16(), reply.values("location")), (status, vec![to.to_owned()]), "{path}");
    }
    app.stop().await;
}
