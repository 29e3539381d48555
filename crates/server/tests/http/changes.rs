//! What changes of apps and routes mean for the containers that idle.

use std::time::Duration;

use hearth_drivers::scripted::programs;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::client::{PATIENCE, Reply};
use crate::test_app::{Options, TestApp};

/// Sends a request and leaves without its answer, a little later each time, until `path` shows that one was heard.
async fn send_and_leave(app: &TestApp, (method, path, body): (&str, &str, &str), heard: impl Fn(&Reply) -> bool) {
    let length = body.len();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{body}");
    let sending = async {
        for stay in (0..).map(|tries| Duration::from_micros(100 * tries)) {
            let mut stream = TcpStream::connect(app.address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            sleep(stay).await;
            drop(stream);
            if heard(&app.get(path).await) {
                break;
            }
        }
    };
    timeout(PATIENCE, sending).await.expect("one of them is heard");
}

async fn warm() -> TestApp {
    let app = Options::default().image("echo", programs::http_echo()).start().await;
    app.create_app("app").await;
    app.create_route(r#""path":"/e","image":"echo","format":"http""#).await;
    assert_eq!(app.get("/r/app/e").await.status, 200);
    app.driver.until(|ledger| ledger.live() == 1).await;
    app
}

async fn all_are_let_go(app: &TestApp) {
    let gone = app.driver.until(|ledger| ledger.live() == 0);
    timeout(PATIENCE, gone).await.expect("the containers are let go");
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_of_what_is_deleted_go_also_when_the_client_did_not_wait() {
    for path in ["/v1/apps/app/routes/e", "/v1/apps/app"] {
        let app = warm().await;
        send_and_leave(&app, ("DELETE", path, ""), |reply| reply.status == 404).await;
        all_are_let_go(&app).await;
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_of_what_changed_go_also_when_the_client_did_not_wait() {
    let config = r#"{"config":{"K":"v"}}"#;
    for (method, path, kind) in [
        ("PUT", "/v1/apps/app/routes/e", "route"),
        ("PATCH", "/v1/apps/app/routes/e", "route"),
        ("PATCH", "/v1/apps/app", "app"),
    ] {
        let app = warm().await;
        let body = format!("{{\"{kind}\":{config}}}");
        send_and_leave(&app, (method, path, &body), |reply| reply.json()[kind]["config"]["K"] == "v").await;
        all_are_let_go(&app).await;
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_changes_only_its_headers_keeps_its_containers() {
    let app = warm().await;
    for (method, body) in [
        ("PATCH", r#"{"route":{"headers":{"X-A":["1"]}}}"#),
        ("PUT", r#"{"route":{"image":"echo","format":"http","headers":{"X-A":["1"]}}}"#),
        ("PATCH", r#"{"route":{}}"#),
    ] {
        assert_eq!(app.send(method, "/v1/apps/app/routes/e", body).await.status, 200);
        let reply = app.get("/r/app/e").await;
        assert_eq!((reply.status.as_u16(), reply.values("x-a")), (200, vec!["1".to_owned()]));
    }
    let ledger = app.driver.ledger();
    assert_eq!((ledger.created, ledger.live()), (1, 1));
    app.send("PATCH", "/v1/apps/app/routes/e", r#"{"route":{"memory":256}}"#).await;
    all_are_let_go(&app).await;
    app.stop().await;
}
