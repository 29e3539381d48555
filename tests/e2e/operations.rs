//! What the server tells of itself, after real calls.

use serde_json::json;

use crate::support::{APP, MEASURES, PATIENCE, Server, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_stats_count_what_happened() {
    let server = Server::start().await;
    let before = server.get("/stats").send().await;
    assert_eq!(before.text(), r#"{"Queue":0,"Running":0,"Complete":0,"Failed":0,"FunctionStatsMap":{}}"#);
    server.route("/good").create().await;
    server.route("/bad").format("default").create().await;
    server.run("/good", "spin 1100; body x").await.is_answer("x");
    server.run("/good", "body y").await.is_answer("y");
    server.run("/bad", "exit 7").await.is_call_error(502, "container exit code 7");
    let counts = |complete: u32, failed: u32| json!({"Queue": 0, "Running": 0, "Complete": complete, "Failed": failed});
    let mut expected = counts(2, 1);
    expected["FunctionStatsMap"] = json!({ "/good": counts(2, 0), "/bad": counts(0, 1) });
    // A call is counted when it has ended, a moment after its answer.
    eventually(PATIENCE, "every call is counted", async || {
        let stats = server.get("/stats").send().await;
        assert_eq!(stats.value("content-type"), "application/json; charset=utf-8");
        if stats.json() == expected { Ok(()) } else { Err(stats.text().to_owned()) }
    })
    .await;

    let metrics = server.metrics().await;
    for (series, value) in [
        ("fn_api_completed{path=\"/good\"}", 2.0),
        ("fn_api_failed{path=\"/bad\"}", 1.0),
        ("fn_api_queued{path=\"/good\"}", 0.0),
        ("fn_api_running{path=\"/good\"}", 0.0),
        ("fn_span_serve_http_duration_seconds_count{fn_appname=\"app\",fn_path=\"/good\"}", 2.0),
        ("hearth_containers{state=\"idle\"}", 1.0),
        ("hearth_memory_reserved_bytes", 64.0 * 1024.0 * 1024.0),
        ("hearth_memory_capacity_bytes", 4.0 * 1024.0 * 1024.0 * 1024.0),
    ] {
        assert_eq!(metrics.value(series), value, "{series}");
    }
    eventually(PATIENCE, "every record is stored", async || {
        let metrics = server.metrics().await;
        let accounted = [
            metrics.value("hearth_records_accepted_total"),
            metrics.value("hearth_records_total{outcome=\"stored\"}"),
            metrics.value("hearth_records_pending"),
        ];
        if accounted == [3.0, 3.0, 0.0] { Ok(()) } else { Err(format!("{accounted:?}")) }
    })
    .await;
    for measure in MEASURES {
        let labels = format!("{{fn_appname=\"{APP}\",fn_path=\"/good\"}}");
        let count = metrics.value(&format!("fn_docker_stats_{measure}_count{labels}"));
        assert!(count >= 2.0, "{measure}: {count}");
        assert!(metrics.0.contains(&format!("# HELP fn_docker_stats_{measure} docker_stats metric {measure}\n")));
        assert!(metrics.value(&format!("fn_docker_stats_{measure}_sum{labels}")) >= 0.0);
    }
    assert!(metrics.value(&format!("fn_docker_stats_mem_usage_sum{{fn_appname=\"{APP}\",fn_path=\"/good\"}}")) > 0.0);
    server.has_containers(1).await;
    for span in ["docker_create_container", "docker_start_container", "docker_remove_container"] {
        eventually(PATIENCE, span, async || {
            let count = server.metrics().await.value(&format!("fn_span_{span}_duration_seconds_count"));
            if count >= 1.0 { Ok(()) } else { Err(count) }
        })
        .await;
    }

    assert_eq!(server.get("/").send().await.text(), r#"{"goto":"https://github.com/fnproject/fn","hello":"world!"}"#);
    assert_eq!(server.get("/version").send().await.text(), r#"{"version":"0.1.0"}"#);
    assert_eq!(server.get("/live").send().await.status, 200);
    server.finish().await;
}
