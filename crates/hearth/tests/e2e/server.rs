//! A `hearth` process for one test: its own directory and port, and nothing left of it afterwards.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// A server that runs. Dropped without [`stop`](Server::stop), it is killed.
#[derive(Debug)]
pub(crate) struct Server {
    process: Process,
    url: String,
    client: reqwest::Client,
    home: TempDir,
}

#[derive(Debug)]
struct Process(Child);

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub(crate) async fn start_with(environment: &[(&str, &str)]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), environment).await
    }

    /// Starts a server in a directory that may be one's that ran before, and waits until it is ready.
    pub(crate) async fn start_in(home: TempDir, environment: &[(&str, &str)]) -> Self {
        let log = std::fs::File::create(home.path().join("log")).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_hearth"))
            .args(["serve", "--port", "0", "--log-level", "debug", "--memory", "1GiB"])
            .envs(environment.iter().copied())
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Self { process: Process(process), url: String::new(), client: reqwest::Client::new(), home };
        server.url = server.eventually("it listens", async || server.listening()).await;
        server.eventually("it is ready", async || server.get("/ready").await).await;
        server
    }

    /// The id of the server, which its containers carry.
    pub(crate) fn id(&self) -> String {
        std::fs::read_to_string(self.home.path().join("data/server-id")).unwrap().trim().to_owned()
    }

    /// Makes a route of the fixture in the app `app`.
    pub(crate) async fn deploy(&self, path: &str, format: &str, script: &str) {
        let config = json!({"HEARTH_SCRIPT": script});
        let route =
            json!({"path": path, "image": "hearth/fixture:test", "format": format, "timeout": 120, "config": config});
        let body = json!({ "route": route }).to_string();
        let reply = self.client.post(format!("{}/v1/apps/app/routes", self.url)).body(body).send().await.unwrap();
        assert_eq!(reply.status(), 200, "{}", reply.text().await.unwrap());
    }

    pub(crate) async fn call(&self, path: &str, script: &str) -> reqwest::Response {
        self.try_call(path, script).await.unwrap()
    }

    pub(crate) async fn try_call(&self, path: &str, script: &str) -> reqwest::Result<reqwest::Response> {
        self.client.post(format!("{}/r/app{path}", self.url)).header("Hearth-Script", script).send().await
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        let reply = self.client.get(format!("{}{path}", self.url)).send().await.unwrap();
        assert_eq!(reply.status(), 200);
        serde_json::from_str(&reply.text().await.unwrap()).unwrap()
    }

    /// Waits until a call is in a container.
    pub(crate) async fn until_running(&self) {
        self.eventually("a call runs", async || {
            let stats = self.json("/stats").await;
            (stats["Running"].as_u64()? > 0).then_some(())
        })
        .await;
    }

    /// Waits until no new connection is accepted.
    pub(crate) async fn until_refused(&self) {
        let address = self.url.strip_prefix("http://").unwrap();
        self.eventually("it refuses connections", async || {
            tokio::net::TcpStream::connect(address).await.is_err().then_some(())
        })
        .await;
    }

    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("kill").arg(format!("-{name}")).arg(self.process.0.id().to_string()).status();
        assert!(kill.unwrap().success());
    }

    /// Ends it with a signal; it must exit with `code` and leave no container.
    pub(crate) async fn stop(self, signal: &str, code: i32) {
        self.signal(signal);
        self.wait(code).await;
    }

    /// Waits for its end; it must exit with `code` and leave no container.
    pub(crate) async fn wait(self, code: i32) {
        let id = self.id();
        let _home = self.end(code).await;
        assert_eq!(containers_of(&id), [""; 0], "no container is left");
    }

    /// Waits for its end; it must exit with `code`.
    pub(crate) async fn end(mut self, code: i32) -> TempDir {
        let status = self.exit().await;
        assert_eq!(status.code(), Some(code), "{}", self.log());
        self.home
    }

    /// Waits for the end of one that was killed.
    pub(crate) async fn reap(mut self) -> TempDir {
        self.exit().await;
        self.home
    }

    async fn exit(&mut self) -> ExitStatus {
        let waiting = async {
            loop {
                if let Some(status) = self.process.0.try_wait().unwrap() {
                    return status;
                }
                sleep(POLL).await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("it exits")
    }

    /// The address in its log, once it listens.
    fn listening(&self) -> Option<String> {
        let log = self.log();
        let (_, after) = log.split_once("listening on ")?;
        let (url, _) = after.split_once(char::is_whitespace)?;
        Some(url.to_owned())
    }

    async fn get(&self, path: &str) -> Option<()> {
        let reply = self.client.get(format!("{}{path}", self.url)).send().await.ok()?;
        (reply.status() == 200).then_some(())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap()
    }

    async fn eventually<T>(&self, what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
        let polling = async {
            loop {
                if let Some(value) = condition().await {
                    return value;
                }
                sleep(POLL).await;
            }
        };
        match timeout(PATIENCE, polling).await {
            Ok(value) => value,
            Err(_) => panic!("waited in vain until {what}; its log:\n{}", self.log()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, which is what it should have done.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The containers that carry the id of a server, in whatever state.
pub(crate) fn containers_of(server: &str) -> Vec<String> {
    let output = Command::new("docker")
        .args(["ps", "--all", "--quiet", "--filter"])
        .arg(format!("label=hearth.server={server}"))
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}
