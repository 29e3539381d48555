//! What the server tells of itself.

use std::net::Ipv4Addr;
use std::time::Duration;

use hearth_drivers::scripted::programs;

use crate::client::{self, request};
use crate::test_app::{Options, TestApp};
use crate::v2;

#[tokio::test(flavor = "multi_thread")]
async fn the_greeting_and_the_version_are_as_clients_know_them() {
    let app = TestApp::start().await;
    app.get("/").await.is_ok(r#"{"goto":"https://github.com/fnproject/fn","hello":"world!"}"#);
    app.get("/version").await.is_ok(&format!(r#"{{"version":"{}"}}"#, hearth_server::VERSION));
    app.get("/live").await.is_ok(r#"{"status":"live"}"#);
    let described = app.get("/v1/openapi.yaml").await;
    assert_eq!(described.values("content-type"), ["application/yaml"]);
    assert!(described.text().starts_with("openapi: 3.1.0\n"));
    let head = app.send("HEAD", "/version", "").await;
    assert_eq!((head.status.as_u16(), head.text().as_str()), (200, ""));
    assert_eq!(head.values("content-length"), ["19"]);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stats_and_metrics_count_calls_by_path() {
    let driver = Options::default().image("echo", programs::cat()).image("bad", programs::exit(3));
    let app = driver.start().await;
    app.get("/stats").await.is_ok(r#"{"Queue":0,"Running":0,"Complete":0,"Failed":0,"FunctionStatsMap":{}}"#);
    app.create_app("app").await;
    app.create_route(r#""path":"/e","image":"echo""#).await;
    app.create_route(r#""path":"/bad","image":"bad""#).await;
    assert_eq!(app.get("/r/app/e").await.status, 200);
    assert_eq!(app.get("/r/app/bad").await.status, 502);
    app.get("/stats").await.is_ok(concat!(
        r#"{"Queue":0,"Running":0,"Complete":1,"Failed":1,"FunctionStatsMap":{"#,
        r#""/bad":{"Queue":0,"Running":0,"Complete":0,"Failed":1},"#,
        r#""/e":{"Queue":0,"Running":0,"Complete":1,"Failed":0}}}"#
    ));
    let metrics = app.get("/metrics").await;
    assert_eq!(metrics.values("content-type"), ["text/plain; version=0.0.4"]);
    for line in [
        "fn_api_completed{path=\"/e\"} 1\n",
        "fn_api_failed{path=\"/bad\"} 1\n",
        "fn_api_queued{path=\"/e\"} 0\n",
        "# HELP fn_api_running Running requests by path\n",
        "hearth_calls_waiting 0\n",
        "hearth_containers{state=\"busy\"} 0\n",
        "hearth_containers{state=\"idle\"} 0\n",
        "hearth_containers{state=\"starting\"} 0\n",
        "hearth_memory_capacity_bytes 2147483648\n",
        "hearth_memory_reserved_bytes 0\n",
        "fn_span_serve_http_duration_seconds_count{fn_appname=\"app\",fn_path=\"/e\"} 1\n",
    ] {
        assert!(metrics.text().contains(line), "{line} in {}", metrics.text());
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_series_of_requests_go_with_their_routes_and_apps() {
    let app = Options::default().image("echo", programs::cat()).start().await;
    app.create_app("app").await;
    for path in ["/a", "/b", "/c"] {
        app.create_route(&format!(r#""path":"{path}","image":"echo""#)).await;
        assert_eq!(app.get(&format!("/r/app{path}")).await.status, 200);
    }
    let series = async || {
        let metrics = app.get("/metrics").await.text();
        ["/a", "/b", "/c"].map(|path| metrics.contains(&format!("_count{{fn_appname=\"app\",fn_path=\"{path}\"}} 1\n")))
    };
    assert_eq!(series().await, [true, true, true]);
    app.send("DELETE", "/v1/apps/app/routes/a", "").await;
    assert_eq!(series().await, [false, true, true]);
    app.send("DELETE", "/v1/apps/app", "").await;
    assert_eq!(series().await, [false, false, false]);
    app.stop().await;
}

/// The calls that were answered on this way.
async fn answered(app: &TestApp, name: &str, path: &str) -> Option<u32> {
    let begins = format!("fn_span_serve_http_duration_seconds_count{{fn_appname=\"{name}\",fn_path=\"{path}\"}} ");
    let metrics = app.get("/metrics").await.text();
    metrics.lines().find_map(|line| line.strip_prefix(&begins)?.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_no_path_leads_to_is_counted_by_its_name_until_it_is_removed() {
    let app = Options::default().image("echo", programs::cat()).start().await;
    let app_id = v2::make_app(&app, "app").await;
    let fn_id = v2::make_fn(&app, &app_id, "f", r#""image":"echo","format":"default""#).await;
    assert_eq!(app.post(&format!("/invoke/{fn_id}"), "").await.status, 200);
    assert_eq!(answered(&app, "app", "f").await, Some(1));
    assert_eq!(app.send("DELETE", &format!("/v2/fns/{fn_id}"), "").await.status, 204);
    assert!(!app.get("/metrics").await.text().contains("\"app\""));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_server_removes_takes_its_series_along() {
    let options = Options::default().image("echo", programs::cat());
    let app = options.server(|server| server.sweep = Duration::from_millis(10)).start().await;
    let mut invoked = Vec::new();
    for name in ["app", "whole", "kept"] {
        let app_id = v2::make_app(&app, name).await;
        let fn_id = v2::make_fn(&app, &app_id, "f", r#""image":"echo","format":"default""#).await;
        invoked.push(fn_id.clone());
        let with_path = v2::make_fn(&app, &app_id, "g", r#""image":"echo","format":"default""#).await;
        let trigger = v2::make_trigger(&app, &app_id, &with_path, "t", "/g").await;
        for path in [format!("/invoke/{fn_id}"), format!("/invoke/{with_path}"), format!("/t/{name}/g")] {
            assert_eq!(app.post(&path, "").await.status, 200);
        }
        invoked.push(trigger);
    }
    let series = async || {
        let mut series = Vec::new();
        for name in ["app", "whole", "kept"] {
            series.extend([answered(&app, name, "f").await, answered(&app, name, "/g").await]);
        }
        series
    };
    assert_eq!(series().await, [Some(1), Some(2), Some(1), Some(2), Some(1), Some(2)]);
    // Behind the back of this server, as another one on the same database does it.
    app.datastore.remove_function(invoked[0].parse().unwrap()).await.unwrap();
    app.datastore.remove_trigger(invoked[1].parse().unwrap()).await.unwrap();
    app.datastore.remove_app("whole").await.unwrap();
    let gone = |text: &str| !text.contains("\"app\"") && !text.contains("\"whole\"");
    app.until("/metrics", |metrics| gone(&metrics.text())).await;
    assert_eq!(series().await, [None, None, None, None, Some(1), Some(2)]);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn label_values_never_come_from_clients() {
    let app = TestApp::start().await;
    for path in ["/r/evil/path", "/evil", "/v1/apps/evil"] {
        app.get(path).await;
    }
    assert!(!app.get("/metrics").await.text().contains("evil"));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_says_what_stands_in_the_way() {
    let app = TestApp::start().await;
    let status = |reply: client::Reply| (reply.status.as_u16(), reply.text());
    assert_eq!(status(app.get("/ready").await), (503, r#"{"status":"starting"}"#.to_owned()));
    app.readiness.open();
    assert_eq!(status(app.get("/ready").await), (200, r#"{"status":"ready"}"#.to_owned()));
    app.driver.set_away(true);
    assert_eq!(status(app.get("/ready").await), (503, r#"{"status":"container engine unavailable"}"#.to_owned()));
    app.driver.set_away(false);
    app.datastore.close().await;
    assert_eq!(status(app.get("/ready").await), (503, r#"{"status":"database unavailable"}"#.to_owned()));
    app.readiness.close();
    assert_eq!(status(app.get("/ready").await), (503, r#"{"status":"shutting down"}"#.to_owned()));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_have_a_door_of_their_own_and_change_the_log_level_there() {
    let app =
        Options::default().server(|server| server.admin_listen = Some((Ipv4Addr::LOCALHOST, 0).into())).start().await;
    let admin = app.serving.admin_address().unwrap();
    let send = async |method, path, body: &'static str| client::exchange(admin, request(method, path, body)).await;
    send("GET", "/live", "").await.is_ok(r#"{"status":"live"}"#);
    assert_eq!(send("GET", "/metrics", "").await.status, 200);
    send("GET", "/log-level", "").await.is_ok(r#"{"level":"info"}"#);
    send("PUT", "/log-level", "debug\n").await.is_ok(r#"{"level":"debug"}"#);
    send("PUT", "/log-level", "loud").await.is_error(400, "Invalid log level.");
    send("GET", "/log-level", "").await.is_ok(r#"{"level":"debug"}"#);
    for (method, path) in [("GET", "/v1/apps"), ("GET", "/r/app/e"), ("POST", "/log-level")] {
        send(method, path, "").await.is_error(404, "Path not found");
    }
    app.send("PUT", "/log-level", "debug").await.is_error(404, "Path not found");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_can_look_while_the_server_drains() {
    let app =
        Options::default().server(|server| server.admin_listen = Some((Ipv4Addr::LOCALHOST, 0).into())).start().await;
    let admin = app.serving.admin_address().unwrap();
    app.readiness.close();
    assert_eq!(app.serving.drain(client::PATIENCE).await, 0);
    assert!(tokio::net::TcpStream::connect(app.address).await.is_err(), "the public door is closed");
    let ready = client::exchange(admin, request("GET", "/ready", "")).await;
    assert_eq!((ready.status.as_u16(), ready.text().as_str()), (503, r#"{"status":"shutting down"}"#));
    app.stop().await;
}
