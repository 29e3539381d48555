//! What the tests against a real engine share.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::StreamExt;
use hearth_drivers::docker::{DockerConfig, DockerDriver, Unobserved};
use hearth_drivers::{Container, ContainerSpec, Contract, Driver, Frame, Running};
use hearth_models::{InstanceId, ServerId};
use tokio::time::timeout;

pub(crate) const FIXTURE: &str = "hearth/fixture:test";

/// Nothing here takes this long unless it is broken.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A driver with a server id of its own. Whatever a test leaves behind goes when this is dropped.
pub(crate) struct Engine {
    pub(crate) driver: DockerDriver,
    pub(crate) server: ServerId,
}

impl Engine {
    pub(crate) async fn connect() -> Self {
        Self::connect_with(|_| {}).await
    }

    pub(crate) async fn connect_with(change: impl FnOnce(&mut DockerConfig)) -> Self {
        need_fixture();
        let mut config = DockerConfig::new(ServerId::generate(), InstanceId::generate());
        change(&mut config);
        let server = config.server;
        let driver = DockerDriver::connect(config, Arc::new(Unobserved)).await.unwrap();
        Self { driver, server }
    }

    /// A container of the fixture that is told by `env`, created.
    pub(crate) async fn create(&self, env: &[(&str, &str)]) -> Box<dyn Container> {
        self.driver.create(self.spec(FIXTURE, env).await).await.unwrap()
    }

    pub(crate) async fn start(&self, env: &[(&str, &str)]) -> Running {
        within(self.create(env).await.start()).await.unwrap()
    }

    pub(crate) async fn spec(&self, reference: &str, env: &[(&str, &str)]) -> ContainerSpec {
        ContainerSpec {
            contract: Contract::Pipes,
            image: self.driver.image(reference).await.unwrap(),
            env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            memory_bytes: 64 << 20,
            cpu_millis: None,
            labels: vec![("hearth.test".to_owned(), "drivers".to_owned())],
            tapped: false,
            syslog: None,
        }
    }

    /// How many containers of this server the engine has.
    pub(crate) async fn existing(&self) -> usize {
        let all = self.driver.list().await.unwrap();
        let server = self.server.to_string();
        all.iter().filter(|found| found.server == server).count()
    }

    /// All that was begun is removed, and nothing is left.
    pub(crate) async fn finish(self) {
        assert_eq!(self.driver.shutdown(LIMIT).await, 0);
        assert_eq!(self.existing().await, 0);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let label = format!("label=hearth.server={}", self.server);
            let left = try_docker(&["ps", "-aq", "--filter", &label]);
            for id in String::from_utf8_lossy(&left.stdout).lines() {
                try_docker(&["rm", "-f", id]);
            }
        }
    }
}

/// Runs the `docker` command and gives what it printed.
pub(crate) fn docker(args: &[&str]) -> String {
    let output = try_docker(args);
    assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub(crate) fn try_docker(args: &[&str]) -> Output {
    Command::new("docker").args(args).output().unwrap()
}

/// The engine runs and has the fixture's images.
pub(crate) fn need_fixture() {
    static READY: OnceLock<()> = OnceLock::new();
    READY.get_or_init(|| {
        let images = [FIXTURE, "hearth/fixture:healthy", "hearth/fixture:unhealthy"];
        if images.iter().all(|image| try_docker(&["image", "inspect", image]).status.success()) {
            return;
        }
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts");
        for (script, arguments) in [("docker.sh", &[][..]), ("functions.sh", &["fixture"])] {
            let status = Command::new(scripts.join(script)).args(arguments).status().unwrap();
            assert!(status.success(), "{script}");
        }
    });
}

pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(LIMIT, work).await.expect("it hangs")
}

/// Reads until both streams are closed.
pub(crate) async fn output(running: &mut Running) -> (Vec<u8>, Vec<u8>) {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    while let Some(frame) = within(running.output.next()).await {
        match frame.unwrap() {
            Frame::Stdout(bytes) => stdout.extend_from_slice(&bytes),
            Frame::Stderr(bytes) => stderr.extend_from_slice(&bytes),
            Frame::Mark(..) => {}
        }
    }
    (stdout, stderr)
}

/// Reads until `length` bytes of stdout came.
pub(crate) async fn stdout(running: &mut Running, length: usize) -> Vec<u8> {
    let mut stdout = Vec::new();
    while stdout.len() < length {
        match within(running.output.next()).await {
            Some(Ok(Frame::Stdout(bytes))) => stdout.extend_from_slice(&bytes),
            Some(Ok(Frame::Stderr(_) | Frame::Mark(..))) => {}
            other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&stdout)),
        }
    }
    stdout
}

/// The engine's own statistics of a container, as they come over the wire.
pub(crate) fn docker_stats(id: &str) -> serde_json::Value {
    let url = format!("http://docker/containers/{id}/stats?stream=false");
    let output = Command::new("curl").args(["-sf", "--unix-socket", "/var/run/docker.sock", &url]).output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}
