//! The server on Postgres: what works on SQLite works here; and what only a database at the other end of a connection
//! can do: go away, break off in the middle, be shared.

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::json;
use tokio::time::sleep;

use crate::support::{APP, Cut, Options, PATIENCE, Postgres, Server, eventually};

async fn options(postgres: &Postgres) -> Options {
    Options::new().await.setting("FN_DB_URL", &postgres.url())
}

/// The same, where no line of a log is late for its call, however busy the machine is.
async fn unhurried(postgres: &Postgres) -> Options {
    options(postgres).await.setting("FN_STDERR_DRAIN", "100ms").setting("FN_MAX_STDERR_DRAIN", "100ms")
}

/// Clients that call `/f` one call after the other until they are told to stop.
struct Load {
    stop: AtomicBool,
    answered: AtomicU64,
    failed: AtomicU64,
}

impl Load {
    const fn new() -> Self {
        Self { stop: AtomicBool::new(false), answered: AtomicU64::new(0), failed: AtomicU64::new(0) }
    }

    async fn run(&self, server: &Server) {
        let client = async |_: usize| {
            while !self.stop.load(Ordering::SeqCst) {
                let reply = server.call("/f").script("stderr line; body x").try_send().await;
                let well = reply.is_ok_and(|reply| reply.status == 200 && reply.text() == "x");
                let count = if well { &self.answered } else { &self.failed };
                count.fetch_add(1, Ordering::SeqCst);
                // Enough to fill groups, and little enough to leave the machine to Postgres.
                sleep(Duration::from_millis(20)).await;
            }
        };
        join_all((0..4).map(client)).await;
    }

    fn answered(&self) -> u64 {
        self.answered.load(Ordering::SeqCst)
    }

    /// Lets this many more calls be answered.
    async fn more(&self, calls: u64) {
        let enough = self.answered() + calls;
        eventually(PATIENCE, "calls are answered", async || {
            let answered = self.answered();
            if answered >= enough { Ok(()) } else { Err(format!("{answered} of {enough}")) }
        })
        .await;
    }
}

/// Waits until every record is stored, and holds the account against the database.
async fn assert_nothing_is_lost(server: &Server, postgres: &Postgres, calls: u64) {
    eventually(PATIENCE, "every record is stored", async || {
        let metrics = server.metrics().await;
        let value = |series: &str| metrics.value(series) as u64;
        let stored = value("hearth_records_total{outcome=\"stored\"}");
        let account = (value("hearth_records_accepted_total"), stored, value("hearth_records_pending"));
        if account == (calls, calls, 0) { Ok(()) } else { Err(format!("accepted, stored, pending: {account:?}")) }
    })
    .await;
    let rows = postgres.query("SELECT count(*) FROM calls WHERE status = 'success'").await;
    assert_eq!(rows, calls.to_string());
    let logs = postgres.query("SELECT count(*) FROM logs WHERE data = 'line\n'").await;
    assert_eq!(logs, calls.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_answered_and_recorded_and_survive_a_restart() {
    let postgres = Postgres::start().await;
    let server = options(&postgres).await.start().await;
    server.route("/f").create().await;
    let reply = server.run("/f", "stderr kept; sleep 1200; body done").await;
    reply.is_answer("done");
    let record = server.record(&reply).await;
    record.is_success();
    record.has_curve(2, 64);
    assert_eq!(record.log, "kept\n");
    let failed = server.run("/f", "exit 3").await;
    server.record(&failed).await.is_failure("error", "bad_exit", "container exit code 3");

    let (ended, options) = server.stop(Signal::TERM).await;
    assert_eq!(ended.status.code(), Some(0));
    let server = options.start().await;
    assert_eq!(server.record(&reply).await.call, record.call);
    server.run("/f", "body again").await.is_answer("again");
    let list = server.get(&format!("/v1/apps/{APP}/calls?status=error")).send().await.json();
    assert_eq!(list["calls"].as_array().map(Vec::len), Some(1), "{list}");
    // Postgres has no text with a NUL in it; what asks for one is answered as on every other database.
    for path in ["apps?cursor=AA", "apps/app/routes?cursor=AA", "apps/app/routes?image=%00", "apps/app/calls?path=%00x"]
    {
        let reply = server.get(&format!("/v1/{path}")).send().await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
    }
    for path in ["apps/app/calls?cursor=%00", "apps/app/dead-calls?cursor=%00", "apps/%00", "apps/app/routes/%00"] {
        let reply = server.get(&format!("/v1/{path}")).send().await;
        assert!(reply.status < 500, "{path}: {reply:?}");
    }
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_go_on_while_postgres_is_away_and_nothing_is_lost() {
    let postgres = Postgres::start().await;
    let server = unhurried(&postgres).await.start().await;
    server.route("/f").create().await;
    let load = Load::new();
    let outage = async {
        load.more(20).await;
        postgres.stop().await;
        let before = load.answered();
        sleep(Duration::from_secs(20)).await;
        assert!(load.answered() > before + 20, "calls go on from the last known definition");
        let unknown = server.call("/nobody-called-this").send().await;
        assert_eq!(unknown.status, 503, "{unknown:?}");
        let change = server.request("PUT", &format!("/v1/apps/{APP}/routes/g")).body(r#"{"route":{"image":"i"}}"#);
        assert_eq!(change.send().await.status, 503);
        postgres.start_again().await;
        load.more(20).await;
        load.stop.store(true, Ordering::SeqCst);
    };
    tokio::join!(load.run(&server), outage);
    assert_eq!(load.failed.load(Ordering::SeqCst), 0, "of {} calls", load.answered());
    assert_nothing_is_lost(&server, &postgres, load.answered()).await;
    let log = server.finish_with_errors().await;
    assert!(log.contains("calls could not be stored yet"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_stopped_while_postgres_is_away_says_that_it_lost_records() {
    let postgres = Postgres::start().await;
    let server = unhurried(&postgres).await.start().await;
    server.route("/f").create().await;
    server.run("/f", "body stored").await.is_answer("stored");
    postgres.stop().await;
    server.run("/f", "body lost").await.is_answer("lost");
    server.signal(Signal::TERM);
    let (ended, _) = server.ended().await;
    assert_eq!(ended.status.code(), Some(74));
    assert!(ended.log.contains("records of calls could not be stored"), "{}", ended.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_in_a_transaction_loses_nothing_and_stores_nothing_twice() {
    let postgres = Postgres::start().await;
    let server = unhurried(&postgres).await.start().await;
    server.route("/f").create().await;
    let load = Load::new();
    let cuts = async {
        load.more(20).await;
        for when in [Cut::BeforeRecords, Cut::AfterCommit] {
            postgres.cut(when, 3);
            eventually(PATIENCE, "connections are cut", async || match postgres.cuts_to_come() {
                0 => Ok(()),
                left => Err(left),
            })
            .await;
        }
        load.more(20).await;
        load.stop.store(true, Ordering::SeqCst);
    };
    tokio::join!(load.run(&server), cuts);
    assert_eq!(load.failed.load(Ordering::SeqCst), 0, "of {} calls", load.answered());
    assert_nothing_is_lost(&server, &postgres, load.answered()).await;
    assert!(server.metrics().await.value("hearth_record_retries_total") >= 6.0);
    server.finish_with_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_share_one_postgres() {
    let postgres = Postgres::start().await;
    let (one, other) = tokio::join!(async { options(&postgres).await.start().await }, async {
        options(&postgres).await.start().await
    });
    one.route("/f").idle_timeout(1).create().await;
    let reply = other.run("/f", "stderr from the other; body x").await;
    reply.is_answer("x");
    // The end of a record is read from memory on the node that ran it, and from the store on every other.
    let record = eventually(PATIENCE, "the record is stored", async || {
        let found = one.get(&format!("/v1/apps/{APP}/calls/{}/log", reply.call_id())).send().await;
        if found.status == 200 { Ok(found.json()) } else { Err(found.status) }
    })
    .await;
    assert_eq!(record["log"]["log"], "from the other\n");

    // A change of one shows on the other, although that has the route in its memory.
    one.manage("PATCH", &format!("/v1/apps/{APP}/routes/f"), &json!({"route": {"headers": {"X-New": ["yes"]}}})).await;
    eventually(PATIENCE, "the change shows", async || {
        let reply = other.run("/f", "body x").await;
        if reply.headers.contains_key("x-new") { Ok(()) } else { Err(format!("{reply:?}")) }
    })
    .await;
    one.manage("DELETE", &format!("/v1/apps/{APP}/routes/f"), &json!({})).await;
    eventually(PATIENCE, "the route is gone", async || match other.run("/f", "body x").await.status {
        404 => Ok(()),
        status => Err(status),
    })
    .await;

    // A name is given once, whoever asks.
    for n in 0..10 {
        let body = json!({"app": {"name": format!("app-{n}")}}).to_string();
        let create = |server: &Server| server.post("/v1/apps").body(body.clone()).send();
        let (here, there) = tokio::join!(create(&one), create(&other));
        let mut statuses = [here.status, there.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "{here:?} {there:?}");
    }
    one.finish().await;
    other.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_be_opened_is_refused_in_one_line_without_secrets() {
    let postgres = Postgres::start().await;
    let directory = tempfile::tempdir().unwrap();
    let url = postgres.url();
    for (url, says) in [
        (url.replace("secret", "secret-but-wrong"), "password authentication failed"),
        (format!("{url}-not"), "database \"postgres-not\" does not exist"),
        ("postgres://u:secret@127.0.0.1:1/db".to_owned(), "Connection refused"),
        ("oracle://u:secret@h/db".to_owned(), "db type not supported oracle"),
        ("postgres://u:secret@h".to_owned(), "bad DB URL: it names no database"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_hearth"))
            .arg("serve")
            .env_clear()
            .envs([("FN_DB_URL", url.as_str()), ("FN_PORT", "0"), ("FN_LOG_LEVEL", "error")])
            .current_dir(directory.path())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{text}");
        assert!(text.contains(says) && text.trim_end().lines().count() == 1, "{text}");
        assert!(!text.contains("secret") && output.stdout.is_empty(), "{text}");
    }
}
