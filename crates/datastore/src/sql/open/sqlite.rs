//! Opening a SQLite database: the directory, the file, the connections.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions, install_default_drivers};
use sqlx::{AnyConnection, ConnectOptions, Connection};
use tokio::time::{Instant, sleep};

use super::{migrate, one_line};
use crate::sql::dialect::Dialect;
use crate::sql::url::sqlite_url;
use crate::sql::{SqlStore, drift};
use crate::{Error, Result};

/// Connections that read. Reads are short, and the machine has more to do than that.
const READERS: u32 = 4;
/// How long a write waits for a connection, and for another process that holds SQLite's lock.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a start waits for that of another server.
const STARTING: Duration = Duration::from_secs(60);

pub(in crate::sql) async fn open_sqlite(path: &Path) -> Result<SqlStore> {
    let path = prepare(path)?;
    let cannot = |error: sqlx::Error| cannot_open(&path, error);
    let options = sqlite_options(&path)?;
    let _alone = alone(&path).await?;
    // The first connection stands alone, because a pool would try again and again and then not say why.
    let mut first = options.connect().await.map_err(cannot)?;
    set_up_sqlite(&mut first).await.map_err(cannot)?;
    migrate(&mut first, Dialect::Sqlite, &path.display()).await?;
    first.close().await.map_err(cannot)?;
    let write = sqlite_pool(1).connect_with(options.clone()).await;
    let read = sqlite_pool(READERS).connect_with(options).await;
    Ok(SqlStore {
        dialect: Dialect::Sqlite,
        read: read.map_err(cannot)?,
        write: write.map_err(cannot)?,
        drift_ms: AtomicI64::new(drift::LEAST_MS),
        news: None,
    })
}

/// How the file at the absolute `path` is opened.
pub(in crate::sql) fn sqlite_options(path: &Path) -> Result<AnyConnectOptions> {
    install_default_drivers();
    let options = AnyConnectOptions::from_str(&sqlite_url(path)?);
    let options =
        options.map_err(|error| Error::Config(format!("cannot open database {}: {error}", path.display())))?;
    Ok(options.disable_statement_logging())
}

#[expect(clippy::needless_pass_by_value, reason = "a function for map_err")]
fn cannot_open(path: &Path, error: sqlx::Error) -> Error {
    Error::Config(format!("cannot open database {}: {}", path.display(), one_line(&error)))
}

/// Waits until no other process prepares a database in the same directory; none begins while the answer is held. SQLite's
/// own locks end with each step of the schema.
async fn alone(path: &Path) -> Result<File> {
    let directory = path.parent().unwrap_or(path);
    let cannot = |error: std::io::Error| Error::Config(format!("cannot use {}: {error}", directory.display()));
    let file = File::open(directory).map_err(cannot)?;
    let deadline = Instant::now() + STARTING;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(cannot(error)),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                return Err(Error::Config(format!("another server is preparing {}", path.display())));
            }
            Err(TryLockError::WouldBlock) => sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Makes the directories above `path`, and the path absolute, so that a later change of directory changes nothing.
fn prepare(path: &Path) -> Result<PathBuf> {
    let cannot = |at: &Path, error: std::io::Error| {
        Error::Config(format!("cannot use {} for the database: {error}", at.display()))
    };
    let path = std::path::absolute(path).map_err(|error| cannot(path, error))?;
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::Config("bad DB URL: the path names no file".to_owned()));
    };
    std::fs::create_dir_all(directory).map_err(|error| cannot(directory, error))?;
    let directory = directory.canonicalize().map_err(|error| cannot(directory, error))?;
    Ok(directory.join(name))
}

fn sqlite_pool(connections: u32) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(PATIENCE)
        // A connection to a file does not go stale, and opening one is not free.
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        // On a full disk SQLite ends a transaction by itself, which the driver never learns: to it the connection stays in
        // that transaction, and none can begin on it any more.
        .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        .after_connect(|connection, _| Box::pin(set_up_sqlite(connection)))
}

/// What SQLite wants to be told on every connection. Foreign keys are on by the driver's default; busy_timeout says how
/// long to wait for another process, because inside this one writers queue for the one connection.
async fn set_up_sqlite(connection: &mut AnyConnection) -> sqlx::Result<()> {
    for pragma in [
        "PRAGMA busy_timeout = 5000",
        // Readers go on while the one writer writes.
        "PRAGMA journal_mode = WAL",
        // A commit is on the disk when it returns: a 202 depends on that. Group commit makes it affordable.
        "PRAGMA synchronous = FULL",
        "PRAGMA foreign_keys = ON",
        "PRAGMA temp_store = MEMORY",
        "PRAGMA cache_size = -16000",
        "PRAGMA journal_size_limit = 67108864",
    ] {
        sqlx::query(pragma).execute(&mut *connection).await?;
    }
    Ok(())
}
