//! Postgres and Redis, to be killed and started again at the same address.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::command::{attempt, run};
use super::server::free_address;

/// Made by scripts/databases.sh.
const IMAGE: &str = "hearth/postgres:test";
/// By which scripts/databases.sh finds what a killed program left behind.
const OWNER: &str = "hearth.databases.caller";
/// A container, an initial database, and a start, on a busy machine.
const STARTING: Duration = Duration::from_secs(90);

/// A Postgres in a container of the machine's engine, whose commits are on the disk when they return. Removed when this
/// is dropped.
#[derive(Debug)]
pub(crate) struct Postgres {
    container: String,
    address: SocketAddr,
}

/// A Redis that keeps nothing on a disk.
#[derive(Debug)]
pub(crate) struct Redis {
    process: Option<Child>,
    address: SocketAddr,
    directory: PathBuf,
}

// === impl Postgres ===

impl Postgres {
    pub(crate) async fn start() -> Result<Self> {
        let address = free_address()?;
        let (owner, publish) = (format!("{OWNER}={}", std::process::id()), format!("{address}:5432"));
        let arguments = ["run", "--detach", "--label", &owner, "--publish", &publish];
        // In clear text, because a debug build takes a third of a second to hash it for each connection.
        let settings = ["--env", "POSTGRES_PASSWORD=secret", "--env", "POSTGRES_HOST_AUTH_METHOD=password", IMAGE];
        let container = run("docker", &[&arguments[..], &settings].concat()).await?;
        let this = Self { container, address };
        this.answers().await?;
        Ok(this)
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres:secret@{}/postgres", self.address)
    }

    pub(crate) async fn kill(&self) -> Result<()> {
        run("docker", &["kill", &self.container]).await.map(drop)
    }

    pub(crate) async fn start_again(&self) -> Result<()> {
        run("docker", &["start", &self.container]).await?;
        self.answers().await
    }

    async fn answers(&self) -> Result<()> {
        let deadline = Instant::now() + STARTING;
        let ask = ["exec", &self.container, "pg_isready", "--quiet", "--host=127.0.0.1"];
        while !attempt("docker", &ask).await?.status.success() {
            ensure!(Instant::now() < deadline, "Postgres does not answer");
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let arguments = ["rm", "--force", "--volumes", &self.container];
        drop(std::process::Command::new("docker").args(arguments).output());
    }
}

// === impl Redis ===

impl Redis {
    pub(crate) async fn start(directory: PathBuf) -> Result<Self> {
        let mut this = Self { process: None, address: free_address()?, directory };
        this.start_again().await?;
        Ok(this)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    pub(crate) async fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill().await?;
        }
        Ok(())
    }

    pub(crate) async fn start_again(&mut self) -> Result<()> {
        let (ip, port) = (self.address.ip().to_string(), self.address.port().to_string());
        let process = Command::new("redis-server")
            .args(["--bind", &ip, "--port", &port, "--save", "", "--appendonly", "no"])
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start redis-server")?;
        self.process = Some(process);
        let deadline = Instant::now() + STARTING;
        while tokio::net::TcpStream::connect(self.address).await.is_err() {
            ensure!(Instant::now() < deadline, "Redis does not answer");
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}
