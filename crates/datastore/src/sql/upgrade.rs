//! A database of every earlier version becomes one of this version, and keeps what is in it.

use bytes::Bytes;
use hearth_models::{Call, CallFilter, CallType, Error as ModelError, InstanceId, Page, ServerId, Status, Timestamp};
use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, AssertSqlSafe, ConnectOptions, Connection};

#[path = "../../tests/support/databases.rs"]
mod databases;

use databases::Database;

use super::dialect::Dialect;
use super::open::{open_server, open_sqlite, server_options, sqlite_options};
use super::url::Target;
use crate::{Datastore, Error, Node, QueueStore, Terms};

/// What a database of version 1 can hold. Later versions that need other columns get rows of their own.
const ROWS: [&str; 10] = [
    "INSERT INTO apps (id, name, config, annotations, syslog_url, shape, created_at, updated_at) VALUES \
         ('01JD000000000000000000000A', 'old', '{\"K\":\"v\"}', '{}', NULL, '', 1700000000000, 1700000000001)",
    "INSERT INTO functions (id, app_id, name, image, format, type, memory_mb, timeout_secs, idle_timeout_secs, config, \
         annotations, shape, made_by_route, created_at, updated_at) VALUES \
         ('01JD000000000000000000000F', '01JD000000000000000000000A', 'fn', 'acme/hello:1', 'json', 'sync', 128, 30, \
         30, '{}', '{}', '', 1, 1700000000000, 1700000000001)",
    "INSERT INTO triggers (id, app_id, fn_id, name, source, headers, annotations, created_at, updated_at) VALUES \
         ('01JD000000000000000000000T', '01JD000000000000000000000A', '01JD000000000000000000000F', 'fn', '/old', \
         '{}', '{}', 1700000000000, 1700000000001)",
    "INSERT INTO calls (app_id, id, fn_id, trigger_id, path, type, status, reason, error, attempts, created_at, \
         started_at, completed_at, stats, server_id, instance_id) VALUES \
         ('01JD000000000000000000000A', '01JD000000000000000000000C', '01JD000000000000000000000F', \
         '01JD000000000000000000000T', '/old', 'sync', 'success', NULL, NULL, 1, 1731888742400, 1731888742401, \
         1731888742402, '[1,[7,1,0,0,0,0,0,0,0,9]]', '01JD000000000000000000000S', '01JD000000000000000000000J')",
    "INSERT INTO calls (app_id, id, fn_id, trigger_id, path, type, status, reason, error, attempts, created_at, \
         started_at, completed_at, stats, server_id, instance_id) VALUES \
         ('01JD000000000000000000000A', '01JD000000000000000000000D', '01JD000000000000000000000F', NULL, '/old', \
         'sync', 'error', 'killed', 'it was', 1, 1731888742400, NULL, 1731888742402, NULL, \
         '01JD000000000000000000000S', '01JD000000000000000000000J')",
    "INSERT INTO logs (app_id, call_id, data) VALUES \
         ('01JD000000000000000000000A', '01JD000000000000000000000C', x'61206c6f67')",
    "INSERT INTO logs (app_id, call_id, data) VALUES ('01JD000000000000000000000A', '01JD000000000000000000000D', x'')",
    // Closed by a later start of its server: nobody knows what it wrote.
    "INSERT INTO calls (app_id, id, fn_id, trigger_id, path, type, status, reason, error, attempts, created_at, \
         started_at, completed_at, stats, server_id, instance_id) VALUES \
         ('01JD000000000000000000000A', '01JD000000000000000000000B', '01JD000000000000000000000F', NULL, '/old', \
         'sync', 'error', 'platform', 'it stopped', 1, 1731888742400, NULL, 1731888742402, NULL, \
         '01JD000000000000000000000S', '01JD000000000000000000000J')",
    "UPDATE call_drift SET greatest_ms = 77 WHERE id = 1",
    "INSERT INTO deletions (app_id, created_at) VALUES ('01JD000000000000000000000Z', 1700000000000)",
];

/// What a database can hold from version 4 on.
const QUEUED: [&str; 3] = [
    "INSERT INTO calls (app_id, id, fn_id, trigger_id, path, type, status, reason, error, attempts, created_at, \
         started_at, completed_at, stats, server_id, instance_id) VALUES \
         ('01JD000000000000000000000A', '01JD000000000000000000000E', '01JD000000000000000000000F', NULL, '/old', \
         'async', 'queued', NULL, NULL, 0, 1731888742400, NULL, NULL, NULL, \
         '01JD000000000000000000000S', '01JD000000000000000000000J')",
    "INSERT INTO payloads (call_id, head, body) VALUES ('01JD000000000000000000000E', '{}', x'61206c6f67')",
    "INSERT INTO queue (call_id, app_id, state, tier, place, due_at, attempt) VALUES \
         ('01JD000000000000000000000E', '01JD000000000000000000000A', 0, 2, 1731888742400, 1731888742400, 0)",
];

async fn fill(on: &mut AnyConnection, dialect: Dialect, version: i64) {
    let queued = QUEUED.into_iter().filter(|_| version >= 4);
    for row in ROWS.into_iter().chain(queued) {
        let row = match dialect {
            Dialect::Postgres => row.replace("x'", "'\\x"),
            Dialect::Sqlite | Dialect::MySql => row.to_owned(),
        };
        sqlx::query(AssertSqlSafe(row)).execute(&mut *on).await.unwrap();
    }
}

/// Makes a database of `version` with [`ROWS`] in it, and [`QUEUED`] where it has a queue.
async fn make_old(options: AnyConnectOptions, dialect: Dialect, version: i64) {
    let mut old = options.connect().await.unwrap();
    dialect.migrations().run_to(version, &mut old).await.unwrap();
    fill(&mut old, dialect, version).await;
    old.close().await.unwrap();
}

fn versions(dialect: Dialect) -> impl Iterator<Item = i64> {
    dialect.migrations().iter().map(|migration| migration.version)
}

/// That what was queued runs, and is known to be of its function. What a server of an earlier version accepts while it is
/// being replaced is not, and runs too.
async fn assert_queued(store: &impl QueueStore, version: i64) {
    let function = "01JD000000000000000000000F".parse().unwrap();
    let node = Node { server_id: ServerId::generate(), instance_id: InstanceId::generate() };
    let now = Timestamp::now();
    let terms = Terms { node, except: &[function], now, until: now };
    if version < 6 {
        assert_eq!(store.reserve(terms, 9).await.unwrap().len(), 0);
    }
    let leased = store.reserve(Terms { except: &[], ..terms }, 9).await.unwrap();
    assert_eq!(leased.len(), 1);
    assert_eq!((leased[0].call.fn_id, &*leased[0].payload.body), (function, &b"a log"[..]));
}

/// That everything in [`ROWS`] is there, as this version shows it.
async fn assert_kept(store: &impl Datastore) {
    let apps = store.apps(&Page::default()).await.unwrap();
    assert_eq!(apps.len(), 1);
    assert_eq!((&*apps[0].name, apps[0].created_at.as_millis()), ("old", 1_700_000_000_000));
    let route = store.route("old", "/old").await.unwrap();
    assert_eq!(route.image, "acme/hello:1");
    let calls = store.calls(apps[0].id, &CallFilter::default()).await.unwrap();
    let calls: Vec<Call> = calls.into_iter().filter(|call| call.call_type == CallType::Sync).collect();
    assert_eq!(calls.len(), 3);
    assert_eq!(calls[0].error(), Some("it was"));
    assert_eq!((calls[1].status(), calls[1].stats.len()), (Status::Success, 1));
    assert_eq!(calls[1].trigger_id.unwrap().to_string(), "01JD000000000000000000000T");
    assert_eq!(store.log(apps[0].id, calls[1].id).await.unwrap(), Bytes::from_static(b"a log"));
    assert_eq!(store.log(apps[0].id, calls[0].id).await.unwrap(), Bytes::new());
    let unknown = store.log(apps[0].id, calls[2].id).await;
    assert!(matches!(unknown, Err(Error::Model(ModelError::LogNotFound))), "{unknown:?}");
    let removed = store.removed_app().await.unwrap();
    assert_eq!(removed.unwrap().to_string(), "01JD000000000000000000000Z", "a deletion was noted");
}

#[tokio::test]
async fn a_database_of_every_earlier_version_keeps_its_data() {
    for version in versions(Dialect::Sqlite) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("old.db");
        make_old(sqlite_options(&path).unwrap(), Dialect::Sqlite, version).await;
        let store = open_sqlite(&path).await.unwrap();
        assert_kept(&store).await;
        if version >= 4 {
            assert_queued(&store, version).await;
        }
        store.close().await;
    }
}

async fn every_earlier_version(dialect: Dialect) {
    for version in versions(dialect) {
        let database = match dialect {
            Dialect::MySql => Database::mariadb().await,
            _ => Database::postgres().await,
        };
        let Target::Server(server) = Target::parse(&database.url()).unwrap() else {
            panic!("{dialect:?} is on a server");
        };
        make_old(server_options(&server).unwrap(), dialect, version).await;
        let store = open_server(&server).await.unwrap();
        assert_kept(&store).await;
        if version >= 4 {
            assert_queued(&store, version).await;
        }
        store.close().await;
        database.remove().await;
    }
}

#[tokio::test]
async fn a_postgres_database_of_every_earlier_version_keeps_its_data() {
    every_earlier_version(Dialect::Postgres).await;
}

#[tokio::test]
async fn a_mariadb_database_of_every_earlier_version_keeps_its_data() {
    every_earlier_version(Dialect::MySql).await;
}
