//! A Docker engine of our own, to be killed: its own data, its own socket, and the network of the witness.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, set_child_subreaper, waitpid};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::command::{attempt, run};

/// What functions call the machine that they run on.
pub(crate) const GATEWAY: &str = "10.213.0.1";
/// Time for an engine to start, with what it finds of its last life.
const STARTING: Duration = Duration::from_secs(60);
/// Time for an engine to stop in good order.
const STOPPING: Duration = Duration::from_secs(30);

/// See above. Everything of it is ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Engine {
    directory: PathBuf,
    log: PathBuf,
    /// A file that is the network it lives in.
    network: String,
    process: Option<Child>,
}

impl Engine {
    /// Starts one in `directory`, with `image`, in the network that the file `network` is.
    pub(crate) async fn start(directory: &Path, logs: &Path, network: String, image: &str) -> Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "an engine of its own takes root");
        // What an engine leaves when it is killed becomes ours, to be reaped: not everywhere does process 1 do it.
        set_child_subreaper(Some(rustix::process::getpid()))?;
        let mut this = Self { directory: directory.to_owned(), log: logs.join("dockerd.log"), network, process: None };
        this.run().await?;
        let archive = this.path("image.tar");
        run("docker", &["save", "--output", &archive, image]).await?;
        this.docker(&["load", "--input", &archive]).await?;
        fs::remove_file(archive)?;
        Ok(this)
    }

    /// Where servers find it.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.path("docker.sock"))
    }

    /// Starts it again.
    pub(crate) async fn run(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let (host, network) = (self.host(), format!("--net={}", self.network));
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "nsenter", &network, "dockerd"])
            .args(["--data-root", &self.path("data"), "--exec-root", &self.path("exec")])
            .args(["--pidfile", &self.path("pid"), "--host", &host])
            .args(["--bip", &format!("{GATEWAY}/24"), "--iptables=false", "--shutdown-timeout", "2"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()?;
        self.process = Some(process);
        let deadline = Instant::now() + STARTING;
        while !attempt("docker", &["--host", &host, "version"]).await?.status.success() {
            ensure!(Instant::now() < deadline, "the private engine does not answer; see {}", self.log.display());
            if let Some(status) = self.process.as_mut().and_then(|process| process.try_wait().transpose()) {
                bail!("the private engine ended with {}; see {}", status?, self.log.display());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Ends it.
    pub(crate) async fn end(&mut self, signal: Signal) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        signal_child(&process, signal)?;
        if timeout(STOPPING, process.wait()).await.is_err() {
            process.kill().await?;
        }
        // Its containerd dies with it; the next engine must not take what is left of that for one that runs.
        remove(&self.path("exec/containerd/containerd.pid"))?;
        remove(&self.path("pid"))?;
        reap();
        Ok(())
    }

    /// The containers that run.
    pub(crate) async fn running(&self) -> Result<Vec<String>> {
        let ids = self.docker(&["ps", "--quiet", "--no-trunc"]).await?;
        Ok(ids.lines().map(str::to_owned).collect())
    }

    /// All containers, in whatever state.
    pub(crate) async fn containers(&self) -> Result<Vec<String>> {
        let containers = self.docker(&["ps", "--all", "--format", "{{.ID}} {{.Status}}"]).await?;
        Ok(containers.lines().map(str::to_owned).collect())
    }

    /// Does something to a container, which may be gone by then.
    pub(crate) async fn harm(&self, command: &[&str], container: &str) -> Result<bool> {
        let host = self.host();
        let arguments: Vec<&str> = ["--host", &host].iter().chain(command).chain(&[container]).copied().collect();
        Ok(attempt("docker", &arguments).await?.status.success())
    }

    async fn docker(&self, arguments: &[&str]) -> Result<String> {
        run("docker", &[&["--host", &self.host()], arguments].concat()).await
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // What can be done without waiting is done; what it leaves is found below.
            drop(process.start_kill());
        }
        let ours = self.path("");
        for (pid, command) in processes() {
            if command.iter().any(|word| word.starts_with(&ours)) {
                // It may have ended meanwhile.
                kill_process(pid, Signal::KILL).unwrap_or_default();
            }
        }
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        for point in points.filter(|point| point.starts_with(&ours)) {
            drop(std::process::Command::new("umount").args(["--lazy", point]).output());
        }
        reap();
    }
}

pub(super) fn signal_child(child: &Child, signal: Signal) -> Result<()> {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    // One that has ended by itself is as good as ended.
    pid.map_or(Ok(()), |pid| kill_process(pid, signal)).or_else(|gone| match gone {
        rustix::io::Errno::SRCH => Ok(()),
        other => Err(other),
    })?;
    Ok(())
}

fn remove(path: &str) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).with_context(|| path.to_owned()),
        _ => Ok(()),
    }
}

/// All processes, by their command lines.
fn processes() -> Vec<(Pid, Vec<String>)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let read = |entry: fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw)?;
        let command = fs::read(entry.path().join("cmdline")).ok()?;
        let words = command.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
        Some((pid, words.collect()))
    };
    entries.filter_map(read).collect()
}

/// Takes note of the end of what engines left to us. Everything else has somebody who waits for it.
fn reap() {
    const LEFT_BY_ENGINES: [&str; 4] = ["(containerd)", "(containerd-shim)", "(runc)", "(docker-proxy)"];
    let me = rustix::process::getpid().as_raw_nonzero().to_string();
    for (pid, _) in processes() {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
        let mut fields = stat.split(' ').skip(1);
        let (name, state, parent) = (fields.next(), fields.next(), fields.next());
        if name.is_some_and(|name| LEFT_BY_ENGINES.contains(&name)) && state == Some("Z") && parent == Some(&*me) {
            waitpid(Some(pid), WaitOptions::NOHANG).ok();
        }
    }
}
