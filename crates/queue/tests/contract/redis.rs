//! A Redis server of one test's own, and what only Redis can do: go away.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use hearth_queue::RedisBroker;
use tokio::process::{Child, Command};

use crate::stand::{Kind, Stand, eventually, submission};

/// A server that keeps nothing on the disk and ends with the test.
pub(crate) struct RedisServer {
    url: String,
    socket: String,
    child: Child,
}

impl RedisServer {
    pub(crate) async fn start(directory: &Path) -> Self {
        let socket = directory.join("redis.sock").display().to_string();
        let url = format!("redis+unix://{socket}");
        let server = Self { child: run(&socket), url, socket };
        eventually("redis-server listens", async || RedisBroker::connect(&server.url).await.is_ok()).await;
        server
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Kills it; what it held is gone.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    pub(crate) fn start_again(&mut self) {
        self.child = run(&self.socket);
    }
}

fn run(socket: &str) -> Child {
    Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket", socket])
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("these tests need redis-server; on Debian: apt-get install redis-server")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_dies_loses_no_call_and_refuses_none() {
    let mut stand = Stand::new(Kind::Redis).await;
    let server = stand.quick().await;
    let before = server.accept(&submission(stand.app.id, 0)).await;
    stand.redis().kill().await;
    let meanwhile = server.accept(&submission(stand.app.id, 0)).await;
    assert_eq!(server.queue.reserve(9).await.unwrap().len(), 0);
    stand.redis().start_again();
    let mut found = [server.next().await, server.next().await].map(|delivery| delivery.leased().call.id);
    found.sort_unstable();
    assert_eq!(found, [before, meanwhile]);
}

#[tokio::test]
async fn a_redis_that_is_not_there_is_told_in_time() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("redis+unix://{}/none.sock", directory.path().display());
    let connecting = RedisBroker::connect(&url);
    let refused = tokio::time::timeout(Duration::from_secs(15), connecting).await.unwrap();
    assert_eq!(refused.unwrap_err().to_string(), "queue unavailable");
}
