//! The server on MariaDB: calls of both kinds, their records and logs, over a restart.

use rustix::process::Signal;
use serde_json::json;

use crate::support::{APP, MariaDb, Options, PATIENCE, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_answered_queued_and_recorded_and_survive_a_restart() {
    let maria = MariaDb::start().await;
    let server = Options::new().await.setting("FN_DB_URL", &maria.url()).start().await;
    server.route("/f").create().await;
    let reply = server.run("/f", "stderr kept \u{1f525}; sleep 1200; body done").await;
    reply.is_answer("done");
    let record = server.record(&reply).await;
    record.is_success();
    record.has_curve(2, 64);
    assert_eq!(record.log, "kept \u{1f525}\n");
    let failed = server.run("/f", "exit 3").await;
    server.record(&failed).await.is_failure("error", "bad_exit", "container exit code 3");
    server.manage("PATCH", &format!("/v1/apps/{APP}/routes/f"), &json!({"route": {"type": "async"}})).await;
    let queued = server.run("/f", "stderr ran later; body x").await;
    assert_eq!(queued.status, 202, "{queued:?}");
    let id = queued.call_id().to_owned();
    eventually(PATIENCE, "the queued call has run", async || {
        let call = server.get(&format!("/v1/apps/{APP}/calls/{id}")).send().await.json()["call"].clone();
        if call["status"] == "success" { Ok(()) } else { Err(call) }
    })
    .await;

    let (ended, options) = server.stop(Signal::TERM).await;
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(maria.query("SELECT count(*) FROM calls WHERE completed_at IS NOT NULL").await, "3");
    assert_eq!(maria.query("SELECT count(*) FROM queue").await, "0");
    let server = options.start().await;
    assert_eq!(server.record(&reply).await.call, record.call);
    let log = server.get(&format!("/v1/apps/{APP}/calls/{id}/log")).send().await.json();
    assert!(log["log"]["log"].as_str().unwrap().contains("ran later\n"), "{log}");
    let list = server.get(&format!("/v1/apps/{APP}/calls?status=error")).send().await.json();
    assert_eq!(list["calls"].as_array().map(Vec::len), Some(1), "{list}");
    server.finish().await;
}
