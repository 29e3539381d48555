//! Opening a database that a server keeps: Postgres, MySQL, MariaDB.

use std::str::FromStr;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions, install_default_drivers};
use sqlx::{AnyConnection, ConnectOptions, Connection, Row};
use tokio::time::timeout;

use super::{migrate, one_line};
use crate::sql::dialect::Dialect;
use crate::sql::url::Server;
use crate::sql::{SqlStore, drift, queue};
use crate::{Error, Result};

/// Connections that read.
const READERS: u32 = 6;
/// Connections that write: one for the recorder, the others for changes of definitions and for the queue.
const WRITERS: u32 = 4;
/// How long an operation waits for a connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the first connection may take.
pub(super) const FIRST: Duration = Duration::from_secs(10);
/// How long the schema may take, which another server may be bringing up to date.
const PREPARING: Duration = Duration::from_mins(10);
/// How long a connection may take to show that it works when it comes back.
const RELEASE: Duration = Duration::from_secs(2);
/// A connection that idled for longer is asked whether it still works before it is used.
const TRUSTED: Duration = Duration::from_secs(1);

pub(in crate::sql) async fn open_server(server: &Server) -> Result<SqlStore> {
    let dialect = server.dialect;
    let options = options(server)?;
    // The first connection stands alone, because a pool would try again and again and then not say why.
    let first = timeout(FIRST, options.connect()).await;
    let mut first = first.map_err(|_| cannot_open(server, "it does not answer"))?.map_err(|e| failed(server, &e))?;
    if dialect == Dialect::MySql {
        lock_mysql(&mut first).await.map_err(|error| failed(server, &error))?;
    }
    let migrated = timeout(PREPARING, migrate(&mut first, dialect, &server.shown)).await;
    migrated.map_err(|_| cannot_open(server, "another server has been preparing it for too long"))??;
    first.close().await.map_err(|error| failed(server, &error))?;
    Ok(SqlStore {
        dialect,
        read: pool(dialect, READERS).connect_lazy_with(options.clone()),
        write: pool(dialect, WRITERS).connect_lazy_with(options),
        drift_ms: AtomicI64::new(drift::LEAST_MS),
        news: (dialect == Dialect::Postgres).then(|| queue::Source(server.url.clone())),
    })
}

pub(in crate::sql) fn options(server: &Server) -> Result<AnyConnectOptions> {
    install_default_drivers();
    let options = AnyConnectOptions::from_str(&server.url).map_err(|error| failed(server, &error))?;
    Ok(options.disable_statement_logging())
}

fn failed(server: &Server, error: &sqlx::Error) -> Error {
    cannot_open(server, &one_line(error))
}

fn cannot_open(server: &Server, why: &str) -> Error {
    Error::Config(format!("cannot open database {}: {why}", server.shown))
}

/// The lock under which sqlx changes the schema is none on MariaDB, which refuses to wait for it without an end. This one
/// is free again when the connection closes.
async fn lock_mysql(on: &mut AnyConnection) -> sqlx::Result<()> {
    let lock = "SELECT coalesce(GET_LOCK(concat('hearth-', md5(database())), 300), 0)";
    let row = sqlx::query(lock).fetch_one(on).await?;
    if row.try_get::<i64, _>(0)? == 1 {
        Ok(())
    } else {
        Err(sqlx::Error::Configuration("another server is preparing it".into()))
    }
}

fn pool(dialect: Dialect, connections: u32) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(PATIENCE)
        // A restart of the database shows on connections that idle: those are asked, busy ones fail and are replaced.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move { Ok(meta.idle_for < TRUSTED || connection.ping().await.is_ok()) })
        })
        // A connection to a host that is gone without a word hangs when it comes back, and would keep its place among the
        // few for as long as the kernel tries.
        .after_release(|connection, _| {
            Box::pin(async move {
                let alive = timeout(RELEASE, connection.ping()).await;
                alive.map_err(|_| sqlx::Error::PoolTimedOut)?.map(|()| true)
            })
        })
        .after_connect(move |connection, _| Box::pin(set_up(connection, dialect)))
}

/// What a connection is told, so that nothing depends on how the database was set up. The limits end what a client that
/// is gone without a word left behind, and its locks.
async fn set_up(connection: &mut AnyConnection, dialect: Dialect) -> sqlx::Result<()> {
    let settings: &[&'static str] = match dialect {
        Dialect::Sqlite => &[],
        Dialect::Postgres => &[
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED",
            "SET statement_timeout = '40s'",
            "SET lock_timeout = '5s'",
            "SET idle_in_transaction_session_timeout = '40s'",
            // It plans by statistics, which a queue outruns, and by what it thinks a read from a disk costs. Each of our
            // statements has its index (`sql::plan`), so it is left little else to go by, and looks anew each time: a plan
            // from when a table was empty may use any index.
            "SET plan_cache_mode = force_custom_plan",
            "SET random_page_cost = 1.1",
            "SET enable_seqscan = off",
            "SET enable_bitmapscan = off",
            "SET enable_hashjoin = off",
            "SET enable_mergejoin = off",
            // What it does all the same counts as very expensive, which is no reason to compile it.
            "SET jit = off",
        ],
        Dialect::MySql => &[
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
            // A value that does not fit is refused, not cut.
            "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')",
            "SET SESSION innodb_lock_wait_timeout = 5",
        ],
    };
    for setting in settings {
        sqlx::query(*setting).execute(&mut *connection).await?;
    }
    Ok(())
}
