//! The redirect table (v1 contract B.1.1).

use crate::test_app::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn a_get_is_redirected_with_a_page_and_others_without() {
    let app = TestApp::start().await;
    for (method, path, status, location) in [
        ("GET", "/v1/apps/", 301, "/v1/apps"),
        ("HEAD", "/v1/apps/", 301, "/v1/apps"),
        ("PATCH", "/v1/apps/x/", 307, "/v1/apps/x"),
        ("DELETE", "/v1/apps//", 307, "/v1/apps/"),
        ("POST", "/v1/apps/x/routes/", 307, "/v1/apps/x/routes"),
        ("PATCH", "/v1/apps/x/routes", 307, "/v1/apps/x/routes/"),
        ("DELETE", "/v1/apps/x/routes", 307, "/v1/apps/x/routes/"),
        ("GET", "/v1/apps/x/calls/", 301, "/v1/apps/x/calls"),
        ("GET", "/v1/apps/x/calls/?a=1&b=%2F", 301, "/v1/apps/x/calls?a=1&b=%2F"),
        ("GET", "/metrics/", 301, "/metrics"),
        ("GET", "/stats/", 301, "/stats"),
    ] {
        let reply = app.send(method, path, "").await;
        assert_eq!((reply.status.as_u16(), reply.values("location")), (status, vec![location.to_owned()]), "{path}");
        let page = format!("<a href=\"{}\">Moved Permanently</a>.\n\n", location.replace('&', "&amp;"));
        let expected = if method == "GET" { page } else { String::new() };
        assert_eq!(reply.text(), expected, "{method} {path}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slashes_that_mean_something_are_not_redirected() {
    let app = TestApp::start().await;
    app.get("/v1/apps/x/").await.is_error(404, "Path not found");
    app.get("/r").await.is_error(404, "Path not found");
    app.get("/r/").await.is_error(404, "Path not found");
    app.get("/r//").await.is_error(400, "Missing app name");
    app.get("/v1/apps/x/routes/").await.is_error(404, "Route not found");
    app.stop().await;
}
