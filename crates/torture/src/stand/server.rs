//! A server that is started again whenever it ends, as a supervisor would.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How long a supervisor waits after an end that nobody asked for.
const AGAIN: Duration = Duration::from_millis(300);
/// Time to end in good order.
const STOPPING: Duration = Duration::from_secs(90);

/// What it takes to start one.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) binary: PathBuf,
    pub(crate) directory: PathBuf,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) address: SocketAddr,
}

/// See above.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    ended: Arc<Notify>,
    directory: PathBuf,
    supervisor: JoinSet<Result<()>>,
}

#[derive(Debug, Default)]
struct State {
    pid: Option<Pid>,
    starts: usize,
    /// The end of the process that runs was asked for, and for so long nothing is to run after it.
    away: Option<Duration>,
    stopped: bool,
    /// How processes ended whose end was not asked for, though they had listened.
    crashes: Vec<String>,
    last: Option<ExitStatus>,
}

// === impl Recipe ===

impl Recipe {
    fn spawn(&self, log: &Path) -> Result<Child> {
        let log = File::create(log)?;
        let command = Command::new(&self.binary)
            .args(["serve", "--listen", &self.address.to_string()])
            .env_clear()
            .envs(self.settings.iter().cloned())
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        command.with_context(|| format!("cannot start {}; build it, or say where it is", self.binary.display()))
    }
}

// === impl Server ===

impl Server {
    pub(crate) fn start(recipe: Recipe) -> Result<Self> {
        std::fs::create_dir_all(&recipe.directory)?;
        let (state, ended) = (Arc::<Mutex<State>>::default(), Arc::<Notify>::default());
        let (address, directory) = (recipe.address, recipe.directory.clone());
        let mut supervisor = JoinSet::new();
        supervisor.spawn(supervise(recipe, Arc::clone(&state), Arc::clone(&ended)));
        Ok(Self { address, state, ended, directory, supervisor })
    }

    /// Kills it. It is started again after that long.
    pub(crate) fn kill(&self, away: Duration) -> Result<()> {
        let mut state = lock(&self.state);
        if let Some(pid) = state.pid {
            state.away = Some(away);
            kill_process(pid, Signal::KILL)?;
        }
        Ok(())
    }

    /// Ends it in good order, for good.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        let pid = {
            let mut state = lock(&self.state);
            state.stopped = true;
            state.pid
        };
        if let Some(pid) = pid {
            kill_process(pid, Signal::TERM)?;
        }
        let ending = async {
            while lock(&self.state).pid.is_some() {
                self.ended.notified().await;
            }
        };
        timeout(STOPPING, ending).await.context("a server does not stop")?;
        while let Some(supervised) = self.supervisor.join_next().await {
            supervised??;
        }
        match lock(&self.state).last {
            Some(status) if status.success() => Ok(()),
            last => bail!("a server did not stop in good order: {last:?}"),
        }
    }

    /// What it did that it should not have done.
    pub(crate) fn faults(&self) -> Vec<String> {
        let state = lock(&self.state);
        let mut faults = state.crashes.clone();
        for number in 1..=state.starts {
            let log = std::fs::read_to_string(self.directory.join(log_name(number))).unwrap_or_default();
            faults.extend(log.lines().filter(|line| line.contains("panicked")).map(str::to_owned));
        }
        faults
    }
}

async fn supervise(recipe: Recipe, state: Arc<Mutex<State>>, ended: Arc<Notify>) -> Result<()> {
    loop {
        let number = lock(&state).starts + 1;
        let log = recipe.directory.join(log_name(number));
        let mut child = recipe.spawn(&log)?;
        {
            let mut state = lock(&state);
            state.starts = number;
            state.pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        }
        let status = child.wait().await?;
        let (stopped, away) = {
            let mut state = lock(&state);
            state.pid = None;
            state.last = Some(status);
            let away = state.away.take();
            // One that has not listened was refused something that was away.
            if away.is_none() && !state.stopped && listened(&log) {
                state.crashes.push(format!("a server ended by itself with {status}; see {}", log.display()));
            }
            (state.stopped, away)
        };
        ended.notify_waiters();
        ended.notify_one();
        if stopped {
            return Ok(());
        }
        sleep(away.unwrap_or(AGAIN)).await;
        if lock(&state).stopped {
            return Ok(());
        }
    }
}

fn log_name(number: usize) -> String {
    format!("log.{number}")
}

fn listened(log: &Path) -> bool {
    std::fs::read_to_string(log).is_ok_and(|text| text.contains("listening on"))
}

/// Every change under the lock is complete before anything can panic, so poison is no reason to stop.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A port that was free a moment ago.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}
