//! A Docker engine of one test's own, which can be stopped and started: its own data, its own socket, and its own
//! network, so that it leaves alone what belongs to the engine that everybody shares.

use std::fs::File;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, set_child_subreaper, wait};
use tempfile::TempDir;

use super::PATIENCE;
use super::docker::{Engine, FIXTURE};
use super::eventually::eventually;

/// See above. It is stopped, and everything of it reaped and deleted, when this is dropped.
#[derive(Debug)]
pub(crate) struct PrivateEngine {
    pub(crate) engine: Engine,
    directory: TempDir,
    dockerd: Option<Child>,
}

impl PrivateEngine {
    /// Starts one, with the fixture's image. Fails where this user may not.
    pub(crate) async fn start() -> Self {
        assert!(rustix::process::geteuid().is_root(), "a private engine takes root: run the tests as root");
        // What an engine leaves when it is killed becomes ours, to be reaped: not everywhere does process 1 do it.
        set_child_subreaper(Some(rustix::process::getpid())).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let host = format!("unix://{}", directory.path().join("docker.sock").display());
        let mut this = Self { engine: Engine { host: Some(host) }, directory, dockerd: None };
        this.run().await;
        let archive = this.path("fixture.tar");
        Engine::shared().await.docker(&["save", "--output", &archive, FIXTURE]).await;
        this.engine.docker(&["load", "--input", &archive]).await;
        this
    }

    /// Starts it again.
    pub(crate) async fn run(&mut self) {
        assert!(self.dockerd.is_none(), "it runs");
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        // A session of its own, so that Ctrl-C lets the test end it in good order, and a signal in case the test is
        // killed. A network of its own: in that of the shared engine it would take over the bridge.
        let dockerd = Command::new("setsid")
            .args(["setpriv", "--pdeathsig", "TERM", "unshare", "--net", "dockerd"])
            .args(["--data-root", &self.path("data"), "--exec-root", &self.path("exec")])
            .args(["--pidfile", &self.path("pid"), "--host", self.engine.host.as_ref().unwrap()])
            .args(["--shutdown-timeout", "2"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.dockerd = Some(dockerd);
        eventually(PATIENCE, "the private engine answers", async || {
            let answer = self.engine.try_docker(&["version"]).await;
            if answer.status.success() { Ok(()) } else { Err(self.log()) }
        })
        .await;
    }

    /// Ends it.
    pub(crate) fn end(&mut self, signal: Signal) {
        let Some(mut dockerd) = self.dockerd.take() else { return };
        kill_process(Pid::from_child(&dockerd), signal).unwrap();
        dockerd.wait().unwrap();
        // Its containerd dies with it; the next engine must not take what is left of that for one that runs.
        std::fs::remove_file(self.path("exec/containerd/containerd.pid")).ok();
        reap();
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.path("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for PrivateEngine {
    fn drop(&mut self) {
        self.end(Signal::TERM);
        // Those of its processes that did not end with it.
        for directory in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = directory.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let command = std::fs::read(directory.path().join("cmdline")).unwrap_or_default();
            let ours = directory_of(&command).is_some_and(|path| path.starts_with(&self.path("")));
            if let (true, Some(pid)) = (ours, Pid::from_raw(pid)) {
                kill_process(pid, Signal::KILL).ok();
            }
        }
        reap();
        for kind in ["data", "exec"] {
            let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
            let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
            for point in points.filter(|point| point.starts_with(&self.path(kind))) {
                Command::new("umount").args(["--lazy", point]).output().ok();
            }
        }
    }
}

/// The first path in a command line.
fn directory_of(command: &[u8]) -> Option<String> {
    let words = command.split(|byte| *byte == 0).skip(1);
    words.map(|word| String::from_utf8_lossy(word).into_owned()).find(|word| word.starts_with('/'))
}

/// Takes note of the end of all processes that became ours.
fn reap() {
    // None of the children that the test knows of has ended unnoticed: those are waited for where they are ended.
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
}
