//! A Redis server of one test's own, and what only Redis can do: go away.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hearth_datastore::Standing;
use hearth_queue::{Broker, BrokerError, RedisBroker};
use tokio::process::{Child, Command};

use crate::stand::{Kind, Stand, eventually, node, still, submission};

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
        eventually("redis-server listens", async || RedisBroker::connect(&server.url, "test").await.is_ok()).await;
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
    let mut found = [server.next().await, server.next().await].map(|delivery| delivery.leased().call.id);
    found.sort_unstable();
    assert_eq!(found, [before, meanwhile], "the store has both");
    stand.redis().start_again();
    let afterwards = server.accept(&submission(stand.app.id, 0)).await;
    assert_eq!(server.next().await.leased().call.id, afterwards);
    let again = async || !server.broker.as_ref().unwrap().take(1).await.unwrap_or_default().is_empty();
    stand.rows().accept(server.node, &[submission(stand.app.id, 0)]).await.unwrap();
    eventually("the broker is told again", again).await;
}

/// A broker that says nothing until it is too late.
#[derive(Debug)]
struct BlackHole;

#[async_trait]
impl Broker for BlackHole {
    async fn push(&self, _: &[Standing]) -> Result<(), BrokerError> {
        tokio::time::sleep(Duration::from_secs(3)).await;
        Err(BrokerError("away".into()))
    }

    async fn take(&self, _: usize) -> Result<Vec<Standing>, BrokerError> {
        Err(BrokerError("away".into()))
    }

    async fn ping(&self) -> Result<(), BrokerError> {
        Err(BrokerError("away".into()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_broker_that_does_not_answer() {
    let mut stand = Stand::new(Kind::Store).await;
    let server = stand.server_with(still(node()), Some(Arc::new(BlackHole))).await;
    let accepted = async {
        [server.accept(&submission(stand.app.id, 0)).await, server.accept(&submission(stand.app.id, 0)).await]
    };
    // The broker has not even failed yet when both have their answers.
    let ids = tokio::time::timeout(Duration::from_secs(2), accepted).await.expect("they wait for the broker");
    assert_eq!([server.next().await, server.next().await].map(|delivery| delivery.leased().call.id), ids);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_databases_share_a_redis_and_no_call() {
    let directory = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(directory.path()).await;
    let mut stands = [Stand::new(Kind::Store).await, Stand::new(Kind::Store).await];
    let mut servers = Vec::new();
    for stand in &mut stands {
        let identity = stand.rows().identity().await.unwrap();
        let broker = RedisBroker::connect(redis.url(), &identity).await.unwrap();
        servers.push(stand.server_with(still(node()), Some(Arc::new(broker))).await);
    }
    let id = servers[0].accept(&submission(stands[0].app.id, 0)).await;
    for _ in 0..3 {
        assert_eq!(servers[1].queue.reserve(9, &[]).await.unwrap().len(), 0);
    }
    assert_eq!(servers[0].next().await.leased().call.id, id);
}

#[tokio::test]
async fn a_redis_that_is_not_there_is_told_in_time() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("redis+unix://{}/none.sock", directory.path().display());
    let connecting = RedisBroker::connect(&url, "test");
    let refused = tokio::time::timeout(Duration::from_secs(15), connecting).await.unwrap();
    assert_eq!(refused.unwrap_err().to_string(), "queue unavailable");
}
