//! An engine that goes away and comes back: a private one, in a network of its own, so that nobody else notices.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use hearth_drivers::docker::{DockerConfig, DockerDriver, Unobserved};
use hearth_drivers::{ContainerSpec, Contract, Driver, Exit, Running};
use hearth_models::{InstanceId, ServerId};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::support::{FIXTURE, LIMIT, docker, need_fixture, within};

/// A dockerd with its own data, sockets and network.
struct PrivateEngine {
    dir: TempDir,
    dockerd: Option<Child>,
}

impl PrivateEngine {
    /// None without the rights to run one.
    async fn start() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        need_fixture();
        let mut engine = Self { dir: tempfile::tempdir().unwrap(), dockerd: None };
        engine.run().await;
        let archive = engine.path("fixture.tar");
        docker(&["save", "-o", &archive, FIXTURE]);
        docker(&["-H", &engine.host(), "load", "-i", &archive]);
        Some(engine)
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn host(&self) -> String {
        format!("unix://{}", self.path("docker.sock"))
    }

    async fn run(&mut self) {
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        let dockerd = Command::new("unshare")
            .args(["--net", "dockerd", "--data-root", &self.path("data"), "--exec-root", &self.path("exec")])
            .args(["--pidfile", &self.path("pid"), "--host", &self.host(), "--shutdown-timeout", "2"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.dockerd = Some(dockerd);
        let begin = Instant::now();
        while !self.answers() {
            assert!(begin.elapsed() < LIMIT, "{}", std::fs::read_to_string(self.path("log")).unwrap());
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn answers(&self) -> bool {
        let status = Command::new("docker").args(["-H", &self.host(), "info"]).output().unwrap().status;
        status.success()
    }

    /// Ends the engine with `signal`.
    fn end(&mut self, signal: &str) {
        let Some(mut dockerd) = self.dockerd.take() else { return };
        Command::new("kill").args([signal, &dockerd.id().to_string()]).status().unwrap();
        dockerd.wait().unwrap();
        // Its containerd dies with it. Where nobody reaps orphans that leaves a zombie, which the next engine would
        // take for a containerd that runs.
        std::fs::remove_file(self.path("exec/containerd/containerd.pid")).ok();
    }
}

impl Drop for PrivateEngine {
    fn drop(&mut self) {
        self.end("-TERM");
        // One that was killed left its mount of the directory; the next one's is on top of it.
        while Command::new("umount").arg(self.path("data")).output().unwrap().status.success() {}
    }
}

async fn spec(driver: &DockerDriver) -> ContainerSpec {
    ContainerSpec {
        contract: Contract::Pipes,
        image: within(driver.image(FIXTURE)).await.unwrap(),
        env: vec![("FN_FORMAT".to_owned(), "http".to_owned())],
        memory_bytes: 64 << 20,
        cpu_millis: None,
        labels: Vec::new(),
        tapped: false,
        syslog: None,
    }
}

async fn start(driver: &DockerDriver) -> Running {
    within(driver.create(spec(driver).await).await.unwrap().start()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_engine_is_told_survived_and_cleaned_up_after() {
    let Some(mut engine) = PrivateEngine::start().await else { return };
    let config =
        DockerConfig { host: Some(engine.host()), ..DockerConfig::new(ServerId::generate(), InstanceId::generate()) };
    let driver = DockerDriver::connect(config, Arc::new(Unobserved)).await.unwrap();
    for signal in ["-TERM", "-KILL"] {
        let mut kept = start(&driver).await;
        let dropped = start(&driver).await;
        let wanted = spec(&driver).await;
        engine.end(signal);

        let begin = Instant::now();
        assert!(driver.ping().await.unwrap_err().is_engine_away());
        // What is known is told until the loss of the engine's events is seen.
        let away = async {
            while driver.image(FIXTURE).await.is_ok() {
                tokio::task::yield_now().await;
            }
            driver.image(FIXTURE).await.unwrap_err()
        };
        assert!(within(away).await.is_engine_away());
        // What was asked of nobody will not turn up, and is not looked for: shutting down at the end is done at once.
        assert!(driver.create(wanted).await.err().unwrap().is_engine_away());
        assert!(begin.elapsed() < Duration::from_secs(2), "{signal}: {:?}", begin.elapsed());
        // Its connection is gone, well or badly.
        while let Some(Ok(_)) = within(kept.output.next()).await {}
        drop(dropped);

        engine.run().await;
        let exit = within(&mut kept.exit).await;
        println!("{signal}: the container that was kept ended with {exit:?}");
        assert!(matches!(exit, Exit::Code(_) | Exit::Vanished), "{exit:?}");
        drop(kept);
        drop(start(&driver).await);
        let begin = Instant::now();
        while !driver.list().await.unwrap().is_empty() {
            assert!(begin.elapsed() < LIMIT, "{signal}: {:?}", driver.list().await);
            sleep(Duration::from_millis(20)).await;
        }
    }
    assert_eq!(driver.shutdown(Duration::from_secs(10)).await, 0);
}
