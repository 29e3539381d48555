//! The CORS table (v1 contract B.1.11).

use hearth_drivers::scripted::programs;
use hearth_server::Cors;
use http::HeaderValue;

use crate::client::{Reply, request};
use crate::test_app::{Options, TestApp};

const ORIGIN: &str = "http://a.example";

async fn start(origins: &str) -> TestApp {
    let cors = origins.parse().unwrap();
    Options::default().image("echo", programs::cat()).server(|settings| settings.cors = cors).start().await
}

async fn from(app: &TestApp, origin: &'static str, method: &str, path: &str) -> Reply {
    let mut request = request(method, path, "");
    request.headers_mut().insert("origin", HeaderValue::from_static(origin));
    app.request(request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn allowed_origins_may_read_everything_even_what_is_not_found() {
    let app = start("HTTP://A.example, https://b").await;
    app.create_app("app").await;
    app.create_route(r#""path":"/e","image":"echo""#).await;
    for (path, status) in [("/v1/apps", 200), ("/nowhere", 404), ("/r/app/e", 200), ("/v1/apps/", 301)] {
        let reply = from(&app, ORIGIN, "GET", path).await;
        assert_eq!(reply.status, status, "{path}");
        assert_eq!(reply.values("access-control-allow-origin"), [ORIGIN]);
        assert_eq!(reply.values("vary"), ["Origin"]);
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_is_answered_by_the_server_and_reaches_no_function() {
    let app = start("http://a.example").await;
    app.create_app("app").await;
    app.create_route(r#""path":"/e","image":"echo""#).await;
    for path in ["/v1/apps", "/nowhere", "/r/app/e"] {
        let reply = from(&app, ORIGIN, "OPTIONS", path).await;
        assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, ""), "{path}");
        for (name, values) in [
            ("access-control-allow-origin", &[ORIGIN][..]),
            ("access-control-allow-methods", &["GET,POST,PUT,HEAD,PATCH,DELETE"]),
            ("access-control-allow-headers", &["Origin,Content-Length,Content-Type"]),
            ("access-control-max-age", &["43200"]),
            ("vary", &["Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"]),
        ] {
            assert_eq!(reply.values(name), values, "{path} {name}");
        }
    }
    assert_eq!(app.driver.ledger().created, 0);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_origin_may_be_allowed_and_other_headers() {
    let cors: Cors = "*".parse().unwrap();
    let cors = cors.with_headers("Content-Type, Authorization".parse().unwrap());
    let app = Options::default().server(|settings| settings.cors = cors).start().await;
    let reply = from(&app, "http://anywhere", "GET", "/v2/apps").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.values("access-control-allow-origin"), ["*"]);
    let reply = from(&app, "http://anywhere", "OPTIONS", "/v2/apps").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.values("access-control-allow-origin"), ["*"]);
    assert_eq!(reply.values("access-control-allow-headers"), ["Content-Type,Authorization"]);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_origins_are_refused_and_requests_without_one_untouched() {
    let app = start("http://a.example").await;
    for (origin, method) in [("http://evil", "GET"), ("HTTP://A.EXAMPLE", "GET"), ("null", "OPTIONS")] {
        let reply = from(&app, origin, method, "/v1/apps").await;
        assert_eq!((reply.status.as_u16(), reply.text().as_str()), (403, ""), "{origin}");
    }
    let reply = app.get("/v1/apps").await;
    assert_eq!((reply.status.as_u16(), reply.values("vary").len()), (200, 0));
    app.send("OPTIONS", "/v1/apps", "").await.is_error(404, "Path not found");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_configured_origins_the_header_means_nothing() {
    let app = TestApp::start().await;
    let reply = from(&app, ORIGIN, "GET", "/v1/apps").await;
    assert_eq!((reply.status.as_u16(), reply.values("access-control-allow-origin").len()), (200, 0));
    from(&app, ORIGIN, "OPTIONS", "/v1/apps").await.is_error(404, "Path not found");
    app.stop().await;
}
