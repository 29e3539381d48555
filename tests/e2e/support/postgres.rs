//! A Postgres for one test, reached through a proxy: it can be stopped and started again, and the connections to it can
//! be cut, all behind one address that stays the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::docker::Engine;
use super::eventually::eventually;

/// Made by scripts/databases.sh.
const IMAGE: &str = "hearth/postgres:test";
/// By which scripts/databases.sh finds what a killed test left behind.
pub(super) const OWNER: &str = "hearth.databases.caller";
/// A container, an initial database, and a start, on a busy machine.
const STARTING: Duration = Duration::from_secs(90);

/// A Postgres server and the way to it. Its commits are on the disk when they return, as in earnest.
///
/// The `testcontainers` crate would do for the container what is done here, but it turns on the `time` types of bollard
/// for the whole workspace, the server included.
#[derive(Debug)]
pub(crate) struct Postgres {
    container: Container,
    proxy: Proxy,
}

/// A container that is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) engine: Engine,
}

impl Drop for Container {
    fn drop(&mut self) {
        self.engine.remove_container(&self.id);
    }
}

impl Postgres {
    pub(crate) async fn start() -> Self {
        let engine = Engine::default();
        let owner = format!("{OWNER}={}", std::process::id());
        let run = ["run", "--detach", "--label", &owner, "--publish", "127.0.0.1::5432"];
        // In clear text, because a debug build takes a third of a second to hash it for each connection.
        let settings = ["--env", "POSTGRES_PASSWORD=secret", "--env", "POSTGRES_HOST_AUTH_METHOD=password", IMAGE];
        let id = engine.docker(&[&run[..], &settings].concat()).await;
        let postgres = Self { container: Container { id, engine }, proxy: Proxy::new().await };
        postgres.answers().await;
        postgres
    }

    /// What a server is given as its `FN_DB_URL`.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres:secret@{}/postgres", self.proxy.address)
    }

    pub(crate) async fn stop(&self) {
        self.docker(&["stop", "--time", "10"], &[]).await;
    }

    pub(crate) async fn start_again(&self) {
        self.docker(&["start"], &[]).await;
        self.answers().await;
    }

    /// The one value that a query gives.
    pub(crate) async fn query(&self, sql: &str) -> String {
        let psql = ["psql", "--host=/tmp", "--username=postgres", "--tuples-only", "--no-align", "--command", sql];
        self.docker(&["exec"], &psql).await
    }

    /// A command about its container.
    async fn docker(&self, command: &[&str], rest: &[&str]) -> String {
        self.container.engine.docker(&[command, &[&self.container.id], rest].concat()).await
    }

    /// From now on connections are cut at the moment `when` says, this many times.
    pub(crate) fn cut(&self, when: Cut, times: usize) {
        self.proxy.plan.counter(when).store(times, Ordering::SeqCst);
    }

    /// How many of the cuts are still to come.
    pub(crate) fn cuts_to_come(&self) -> usize {
        let plan = &self.proxy.plan;
        plan.counter(Cut::BeforeRecords).load(Ordering::SeqCst) + plan.counter(Cut::AfterCommit).load(Ordering::SeqCst)
    }

    /// Waits until it answers, and leads the proxy to where it is now.
    async fn answers(&self) {
        eventually(STARTING, "Postgres answers", async || {
            let ready = ["exec", &self.container.id, "pg_isready", "--quiet", "--host=127.0.0.1"];
            let ready = self.container.engine.try_docker(&ready).await;
            if ready.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&ready.stderr).into_owned()) }
        })
        .await;
        let place = self.docker(&["port"], &["5432"]).await;
        let port: u16 = place.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect(&place);
        self.proxy.plan.port.store(usize::from(port), Ordering::SeqCst);
    }
}

/// A moment in a transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// The group is on its way: nothing of it is stored.
    BeforeRecords,
    /// The server has been told to commit, and nobody hears whether it did.
    AfterCommit,
}

/// A way to a port that may change, and what goes wrong on it.
#[derive(Debug)]
struct Proxy {
    address: String,
    plan: Arc<Plan>,
    // Ends with it.
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Plan {
    port: AtomicUsize,
    before_records: AtomicUsize,
    after_commit: AtomicUsize,
}

impl Plan {
    fn counter(&self, when: Cut) -> &AtomicUsize {
        match when {
            Cut::BeforeRecords => &self.before_records,
            Cut::AfterCommit => &self.after_commit,
        }
    }

    /// Whether a connection that is where `when` says is to be cut.
    fn cuts(&self, when: Cut) -> bool {
        self.counter(when).fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }
}

/// In the JSON of a group of calls that succeeded.
const RECORDS: &[u8] = b"\"success\"";
const COMMIT: &[u8] = b"COMMIT";

fn says(said: &[u8], words: &[u8]) -> bool {
    said.windows(words.len()).any(|window| window == words)
}

impl Proxy {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let plan = Arc::new(Plan::default());
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&plan);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(forward(client, Arc::clone(&shared)));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, plan, _tasks: tasks }
    }
}

/// One connection, until either side closes it or it is cut.
async fn forward(client: TcpStream, plan: Arc<Plan>) {
    let Ok(port) = u16::try_from(plan.port.load(Ordering::SeqCst)) else { return };
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let there = async {
        let mut piece = vec![0; 64 << 10];
        let mut records = false;
        while let Ok(length @ 1..) = from_client.read(&mut piece).await {
            let said = &piece[..length];
            records |= says(said, RECORDS);
            if says(said, RECORDS) && plan.cuts(Cut::BeforeRecords) || to_server.write_all(said).await.is_err() {
                return;
            }
            // Of the transactions only those that record calls.
            if records && says(said, COMMIT) {
                records = false;
                if plan.cuts(Cut::AfterCommit) {
                    return;
                }
            }
        }
    };
    tokio::select! {
        () = there => {}
        _ended = copy(&mut from_server, &mut to_client) => {}
    }
}
