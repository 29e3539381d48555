//! What the server tells of itself, after real calls.

use std::collections::BTreeMap;

use serde_json::json;
use tokio::process::Command;

use crate::support::{APP, MEASURES, Options, PATIENCE, Server, eventually};

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
        ("hearth_launch_phase_seconds_count{outcome=\"done\",phase=\"create\"}", 2.0),
        ("hearth_launch_phase_seconds_count{outcome=\"done\",phase=\"ready\"}", 2.0),
        ("hearth_function_containers{app=\"app\",function=\"good\",state=\"idle\"}", 1.0),
        ("hearth_launches_total{app=\"app\",function=\"good\",outcome=\"ready\"}", 1.0),
        ("hearth_call_exec_seconds_count{app=\"app\",function=\"good\"}", 2.0),
        ("fn_span_agent_hot_exec_duration_seconds_count{fn_appname=\"app\",fn_path=\"/good\"}", 2.0),
        ("fn_span_agent_cold_exec_duration_seconds_count{fn_appname=\"app\",fn_path=\"/bad\"}", 1.0),
        ("fn_span_ds_insert_route_duration_seconds_count", 2.0),
        ("hearth_docker_requests_total{operation=\"create_container\",outcome=\"done\"}", 2.0),
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

    assert!(metrics.value("process_resident_memory_bytes") > 1e6);
    // A container whose function changes goes, and has had its life.
    server.manage("PATCH", "/v1/apps/app/routes/good", &json!({ "route": { "memory": 65 } })).await;
    eventually(PATIENCE, "the hot container is gone", async || {
        let lives = server.metrics().await.types().contains_key("fn_span_docker_run_hot_duration_seconds");
        if lives { Ok(()) } else { Err(lives) }
    })
    .await;
    let documented = documented_metrics();
    // With its last container a function leaves the gauges.
    let mut shown: BTreeMap<String, String> = metrics.types();
    shown.extend(server.metrics().await.types());
    assert_eq!(documented, shown, "docs/metrics.md against /metrics");

    assert_eq!(server.get("/").send().await.text(), r#"{"goto":"https://github.com/fnproject/fn","hello":"world!"}"#);
    assert_eq!(server.get("/version").send().await.text(), r#"{"version":"0.1.0"}"#);
    assert_eq!(server.get("/live").send().await.status, 200);
    server.finish().await;
}

/// The names and types of docs/metrics.md.
fn documented_metrics() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")).filter_map(|row| row.split_once("` | "));
    rows.map(|(name, rest)| (name.to_owned(), rest.split(' ').next().unwrap().to_owned())).collect()
}

/// Runs the binary with what the server of this test was told; its exit code and what it printed.
async fn run(server: &Server, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hearth"));
    command.args(arguments).current_dir(server.directory()).kill_on_drop(true);
    let output = command.output().await.unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_shown_on_the_command_line_with_its_measures_and_its_log() {
    let server = Server::start().await;
    server.route("/f").create().await;
    let reply = server.run("/f", "stderr seen; spin 1100; body x").await;
    server.record(&reply).await.is_success();
    let url = format!("http://{}", server.address());
    let (code, text) = run(&server, &["call", APP, reply.call_id(), "--url", &url]).await;
    assert_eq!(code, Some(0), "{text}");
    for line in ["status     success\n", "route      /f\n", " average ", "\ncpu_total ", "\nnet_tx ", "\nseen"] {
        assert!(text.contains(line), "{line:?} in {text}");
    }
    println!("{text}");
    let (code, text) = run(&server, &["call", APP, "01M7ZQN1PR4HN0600000000000", "--url", &url]).await;
    assert_eq!((code, text.as_str()), (Some(1), "hearth: Call not found\n"));
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_finds_a_good_machine_good_and_a_taken_port_taken() {
    let server = Server::start().await;
    let (code, text) = run(&server, &["check", "--port", "0", "--memory", "1GiB"]).await;
    assert_eq!(code, Some(0), "{text}");
    for line in [
        "ok      docker ",
        " control groups  version ",
        "ok      sockets         containers can ",
        "ok      database        schema ",
        "a server with these",
    ] {
        assert!(text.contains(line), "{line:?} in {text}");
    }
    println!("{text}");
    let (code, text) = run(&server, &["check", "--listen", server.address()]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(&format!("BROKEN  port            {} is in use", server.address())), "{text}");
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_level_is_changed_while_the_server_runs() {
    // A port of its own: the operators' is told like the other in the log.
    let options = Options::new().await.setting("FN_ADMIN_LISTEN", "127.0.0.1:0").setting("FN_LOG_LEVEL", "info");
    let server = options.start().await;
    let admin = server.told_after("listening for operators on ");
    let (client, url) = (server.client(), format!("{admin}/log-level"));
    let level = async || client.get(&url).send().await.unwrap().text().await.unwrap();
    assert_eq!(level().await, r#"{"level":"info"}"#);
    server.route("/quiet").create().await;
    server.run("/quiet", "body x").await.is_answer("x");
    assert_eq!(client.put(&url).body("debug").send().await.unwrap().status(), 200);
    assert_eq!(level().await, r#"{"level":"debug"}"#);
    server.route("/loud").create().await;
    server.run("/loud", "body x").await.is_answer("x");
    let log = server.finish_with_errors().await;
    let started = |route: &str| log.lines().any(|line| line.contains("hot container started") && line.contains(route));
    assert_eq!((started("/quiet"), started("/loud")), (false, true), "{log}");
}
