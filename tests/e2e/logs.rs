//! Logs that are kept elsewhere than the calls.

use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{APP, Options, PATIENCE, eventually};

/// How many files there are in the directories of a directory.
fn files(directory: &Path) -> usize {
    let directories =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    directories.map(|path| std::fs::read_dir(path).unwrap().count()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_kept_in_a_directory_and_go_with_their_app() {
    let options = Options::new().await;
    let logs = options.directory().join("logs");
    let server = options.setting("FN_LOGSTORE_URL", &format!("file://{}", logs.display())).start().await;
    server.route("/a").create().await;
    let silent = server.run("/a", "body x").await;
    let answer = server.run("/a", "stderr line; body x").await;
    assert_eq!(server.record(&answer).await.log, "line\n");
    assert_eq!(server.record(&silent).await.log, "");

    let (_, options) = server.stop(Signal::TERM).await;
    assert_eq!(files(&logs), 1, "what is empty is no file");
    let server = options.start().await;
    assert_eq!(server.record(&answer).await.log, "line\n", "after a restart");
    assert_eq!(server.record(&silent).await.log, "");
    server.manage("DELETE", &format!("/v1/apps/{APP}"), &Value::Null).await;
    eventually(PATIENCE, "the logs go with their app", async || match files(&logs) {
        0 => Ok(()),
        files => Err(files),
    })
    .await;
    server.finish().await;
}
