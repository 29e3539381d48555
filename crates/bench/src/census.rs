//! Counts the containers that the engine starts, by what the engine says and not by what the server says.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use hearth_models::{ServerId, Timestamp};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Starts of containers that belong to one server id.
#[derive(Debug)]
pub(crate) struct Census {
    started: watch::Receiver<u64>,
    /// Killed when dropped.
    _events: Child,
    _reader: JoinSet<()>,
}

// === impl Census ===

impl Census {
    /// Counts from now on.
    pub(crate) fn begin(server: ServerId) -> Result<Self> {
        let mut events = Command::new("docker")
            .args(["events", "--since", &Timestamp::now().to_string()])
            .args(["--filter", "type=container", "--filter", "event=start"])
            .args(["--filter", &format!("label=hearth.server={server}"), "--format", "{{.ID}}"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot run docker, whose events tell which containers start")?;
        let lines = BufReader::new(events.stdout.take().context("docker events has an output")?).lines();
        let (sender, started) = watch::channel(0);
        let mut reader = JoinSet::new();
        reader.spawn(count(lines, sender));
        Ok(Self { started, _events: events, _reader: reader })
    }

    /// How many were started so far. The engine may be a moment late.
    pub(crate) fn started(&self) -> u64 {
        *self.started.borrow()
    }

    /// Waits until `count` were started, at most for `patience`. Whether they were.
    pub(crate) async fn until(&self, count: u64, patience: Duration) -> Result<bool> {
        let mut started = self.started.clone();
        match timeout(patience, started.wait_for(|started| *started >= count)).await {
            Ok(Ok(_)) => Ok(true),
            Ok(Err(_)) => bail!("docker events ended"),
            Err(_) => Ok(false),
        }
    }
}

async fn count(mut lines: Lines<BufReader<ChildStdout>>, started: watch::Sender<u64>) {
    while let Ok(Some(_)) = lines.next_line().await {
        started.send_modify(|started| *started += 1);
    }
}
