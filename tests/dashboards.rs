//! The dashboards in `deploy/grafana` name metrics that the server has: those of docs/metrics.md, which an end-to-end test
//! compares with what a server shows.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

/// What Prometheus makes of one histogram.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The names in expressions, with their parts as they are written in Prometheus.
fn listed() -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")).filter_map(|row| row.split_once("` | "));
    let mut names = BTreeSet::new();
    for (name, rest) in rows {
        match rest.split(' ').next().unwrap() {
            "histogram" => names.extend(PARTS.map(|part| format!("{name}{part}"))),
            "gauge" | "counter" => drop(names.insert(name.to_owned())),
            other => panic!("{name}: {other}"),
        }
    }
    names
}

fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(entries) => {
            found.extend(entries.get("expr").and_then(Value::as_str).map(str::to_owned));
            entries.values().for_each(|value| expressions(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

/// The words of an expression that are names of ours; labels begin differently, or stand in a comparison or a `by`.
fn metrics(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| {
        word.starts_with("hearth_")
            || word.starts_with("process_")
            || word.starts_with("fn_") && !["fn_path", "fn_appname"].contains(word)
    })
}

/// The spans of v1 contract B.9.2 that are a server's (`docker_auth` never was one, `lb_*` are the load balancer's): the
/// published dashboards offer what they find of them.
const SPANS: &str = "serve_http agent_submit agent_get_slot agent_call_start agent_call_end agent_cold_exec \
    agent_hot_exec docker_run_hot docker_inspect_image docker_pull_image docker_create_container \
    docker_attach_container docker_start_container docker_inspect_container docker_wait_container \
    docker_remove_container docker_collect_stats docker_stats ds_get_app ds_get_apps ds_insert_app ds_update_app \
    ds_remove_app ds_get_route ds_get_routes_by_app ds_insert_route ds_update_route ds_remove_route ds_insert_call \
    ds_get_call ds_get_calls ds_insert_log ds_get_log mq_push mq_reserve mq_delete";

#[test]
fn the_published_dashboards_find_what_they_ask_for() {
    let listed = listed();
    let spans =
        SPANS.split_whitespace().flat_map(|span| PARTS.map(|part| format!("fn_span_{span}_duration_seconds{part}")));
    let measures = "cpu_kernel cpu_total cpu_user disk_read disk_write mem_limit mem_usage net_rx net_tx";
    let measures = measures.split_whitespace().flat_map(|key| PARTS.map(|part| format!("fn_docker_stats_{key}{part}")));
    let calls = ["queued", "running", "completed", "failed"].map(|name| format!("fn_api_{name}"));
    let missing: Vec<_> = spans.chain(measures).chain(calls).filter(|name| !listed.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_expression_of_a_dashboard_names_metrics_of_the_server() {
    let listed = listed();
    let (mut boards, mut uids) = (0, BTreeSet::new());
    for entry in std::fs::read_dir(root().join("deploy/grafana")).unwrap() {
        let path = entry.unwrap().path();
        let board: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert!(uids.insert(board["uid"].as_str().unwrap().to_owned()), "{path:?}");
        let mut found = Vec::new();
        expressions(&board, &mut found);
        assert!(found.len() >= board["panels"].as_array().unwrap().len(), "{path:?}");
        for expression in found {
            let names: Vec<&str> = metrics(&expression).collect();
            assert!(!names.is_empty(), "{path:?}: {expression}");
            let unknown: Vec<_> = names.iter().filter(|name| !listed.contains(**name)).collect();
            assert!(unknown.is_empty(), "{path:?}: {expression} names {unknown:?}");
        }
        boards += 1;
    }
    assert_eq!(boards, 4);
}
