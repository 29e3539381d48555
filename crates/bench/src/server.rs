//! The server under measurement: a process of its own with a new data directory.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use hearth_models::ServerId;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::client::Connection;

/// Time to create a database and to find the engine.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Time to end calls, store records and remove containers.
const STOP_LIMIT: Duration = Duration::from_mins(1);

/// A server that was started.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) pid: u32,
    pub(crate) id: ServerId,
    pub(crate) address: SocketAddr,
    log: PathBuf,
    data: TempDir,
}

// === impl Server ===

impl Server {
    /// Starts `binary` with data and log below `output`. Everything is at its default but where it listens: SQLite,
    /// and records of all calls.
    pub(crate) fn spawn(binary: &Path, output: &Path) -> Result<Self> {
        let data = data_below(output)?;
        let database = sqlite_url(&data)?;
        Self::spawn_on(binary, ServerId::generate(), output.join("server.log"), data, &["--db-url", &database])
    }

    /// Starts one that has `data` as its directory, with the flags `more`.
    pub(crate) fn spawn_on(binary: &Path, id: ServerId, log: PathBuf, data: TempDir, more: &[&str]) -> Result<Self> {
        let address = free_address()?;
        let log_file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = Command::new(binary)
            .arg("serve")
            .args(["--listen", &address.to_string(), "--server-id", &id.to_string()])
            .arg("--data-dir")
            .arg(data.path())
            .args(more)
            .stdin(Stdio::null())
            .stdout(log_file.try_clone()?)
            .stderr(log_file)
            // Ctrl-C is for us; the server is told when we are done with it.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| {
                format!("cannot start {}; build it, or say where it is with --server", binary.display())
            })?;
        let pid = child.id().context("the server ended at once")?;
        Ok(Self { child, pid, id, address, log, data })
    }

    /// Waits until it is ready for calls.
    pub(crate) async fn until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        while !self.is_ready().await {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended with {status}; see {}", self.log.display());
            }
            ensure!(Instant::now() < deadline, "the server is not ready yet; see {}", self.log.display());
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    async fn is_ready(&self) -> bool {
        let Ok(mut connection) = Connection::open(self.address).await else {
            return false;
        };
        matches!(connection.request("GET", "/ready", b"").await, Ok((200, _)))
    }

    /// Stops it in good order, which takes its containers along. One that does not stop is killed. Returns its directory.
    pub(crate) async fn stop(mut self) -> Result<TempDir> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).context("not a process")?;
        if self.child.try_wait()?.is_none() {
            kill_process(pid, Signal::TERM).context("the server could not be told to stop")?;
        }
        let Ok(status) = timeout(STOP_LIMIT, self.child.wait()).await else {
            self.child.kill().await?;
            bail!("the server did not stop within {STOP_LIMIT:?} and was killed; see {}", self.log.display());
        };
        let status = status?;
        ensure!(status.success(), "the server ended with {status}; see {}", self.log.display());
        Ok(self.data)
    }
}

/// The database that is a file in that directory.
pub(crate) fn sqlite_url(data: &TempDir) -> Result<String> {
    Ok(format!("sqlite3://{}", data.path().canonicalize()?.join("hearth.db").display()))
}

/// A new directory for the data of a server.
pub(crate) fn data_below(output: &Path) -> Result<TempDir> {
    tempfile::Builder::new().prefix("data-").tempdir_in(output).context("no place for data")
}

/// A port that was free a moment ago.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}
