//! A `hearth` process for one test: its own directory and port, and nothing left of it afterwards, however the test
//! ends.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use http::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use super::PATIENCE;
use super::client::{Reply, Request, client};
use super::docker::Engine;
use super::eventually::eventually;
use super::record::Record;
use super::route::Route;

/// The app that routes are made in, unless a test says otherwise.
pub(crate) const APP: &str = "app";

/// What it takes to start a server; and, of one that ended, to start it again.
#[derive(Debug)]
pub(crate) struct Options {
    settings: BTreeMap<String, String>,
    home: Home,
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Server {
    // Killed before its directory and its containers go.
    process: Process,
    options: Options,
    url: String,
    client: reqwest::Client,
}

/// The directory of a server and of those that were started in it before. Their containers go with it.
#[derive(Debug)]
struct Home {
    directory: TempDir,
    engine: Engine,
    /// How many servers were started here.
    starts: usize,
}

/// A process and the file that it logs to.
#[derive(Debug)]
struct Process {
    child: Child,
    log: PathBuf,
}

/// How a process ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) log: String,
}

// === impl Options ===

impl Options {
    pub(crate) async fn new() -> Self {
        Self::with_engine(Engine::shared().await)
    }

    /// For a server that uses `engine`.
    pub(crate) fn with_engine(engine: Engine) -> Self {
        let home = Home { directory: tempfile::tempdir().unwrap(), engine, starts: 0 };
        let mut options = Self { settings: BTreeMap::new(), home };
        for (name, value) in [("FN_PORT", "0"), ("FN_LOG_LEVEL", "debug"), ("FN_MEMORY", "4GiB")] {
            options = options.setting(name, value);
        }
        // On a machine that is busy with other tests, log lines come later than the default waits for them.
        options = options.setting("FN_STDERR_DRAIN", "50ms").setting("FN_MAX_STDERR_DRAIN", "50ms");
        // Nobody's credentials, no colours, nothing of who runs the tests but what it takes to find the engine.
        let home = options.home.directory.path().display().to_string();
        options = options.setting("HOME", &home);
        let host = options.home.engine.host.clone().or_else(|| std::env::var("DOCKER_HOST").ok());
        match host {
            Some(host) => options.setting("DOCKER_HOST", &host),
            None => options,
        }
    }

    /// A variable of its environment.
    pub(crate) fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Starts it and waits until it is ready.
    pub(crate) async fn start(mut self) -> Server {
        self.home.starts += 1;
        let mut process = self.spawn(self.directory().join(format!("log.{}", self.home.starts)));
        let url = eventually(PATIENCE, "the server listens", async || process.url()).await;
        let server = Server { process, options: self, url, client: client() };
        server.becomes_ready(PATIENCE).await;
        server
    }

    fn spawn(&self, log: PathBuf) -> Process {
        let home = self.home.directory.path();
        let child = Command::new(env!("CARGO_BIN_EXE_hearth"))
            .arg("serve")
            .env_clear()
            .envs(&self.settings)
            .current_dir(home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Process { child, log }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.home.engine
    }

    pub(crate) fn directory(&self) -> &Path {
        self.home.directory.path()
    }

    /// The containers that are left of the servers that ran here.
    pub(crate) async fn containers(&self) -> Vec<String> {
        match self.home.server_id() {
            Some(id) => self.engine().containers(&id).await,
            None => Vec::new(),
        }
    }
}

// === impl Server ===

impl Server {
    /// A server with the defaults.
    pub(crate) async fn start() -> Self {
        Options::new().await.start().await
    }

    // === asking it ===

    pub(crate) fn get(&self, path: &str) -> Request {
        self.request("GET", path)
    }

    pub(crate) fn post(&self, path: &str) -> Request {
        self.request("POST", path)
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> Request {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        Request::new(self.client.request(method, format!("{}{path}", self.url)))
    }

    /// A call of the route `path`.
    pub(crate) fn call(&self, path: &str) -> Request {
        self.post(&format!("/r/{APP}{path}"))
    }

    /// A call of the route `path` that does what `script` says.
    pub(crate) async fn run(&self, path: &str, script: &str) -> Reply {
        self.call(path).script(script).send().await
    }

    /// Where it listens: a host and a port.
    pub(crate) fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    /// The word in its log that comes after this.
    pub(crate) fn told_after(&self, before: &str) -> String {
        let log = self.process.log();
        let after = log.split_once(before).unwrap_or_else(|| panic!("{before:?} in {log}")).1;
        after.split(char::is_whitespace).next().unwrap_or_default().to_owned()
    }

    pub(crate) fn client(&self) -> reqwest::Client {
        self.client.clone()
    }

    pub(crate) fn route(&self, path: &str) -> Route<'_> {
        Route::new(self, path)
    }

    /// A management request that has to succeed.
    pub(crate) async fn manage(&self, method: &str, path: &str, body: &Value) -> Value {
        let reply = self.request(method, path).body(body.to_string()).send().await;
        assert_eq!(reply.status, 200, "{method} {path} {body}: {reply:?}");
        reply.json()
    }

    /// The record and the log of the call that `reply` answers; both can be read at once.
    pub(crate) async fn record(&self, reply: &Reply) -> Record {
        self.record_of(APP, reply.call_id()).await
    }

    pub(crate) async fn record_of(&self, app: &str, id: &str) -> Record {
        let call = self.get(&format!("/v1/apps/{app}/calls/{id}")).send().await;
        assert_eq!(call.status, 200, "{call:?}");
        let log = self.get(&format!("/v1/apps/{app}/calls/{id}/log")).send().await;
        assert_eq!(log.status, 200, "{log:?}");
        let (mut call, log) = (call.json(), log.json());
        assert_eq!(call["message"], "Successfully loaded call");
        assert_eq!(log["message"], "Successfully loaded log");
        assert_eq!((log["log"]["call_id"].as_str(), log["log"]["app_name"].as_str()), (Some(id), Some(app)));
        let call = call["call"].take();
        assert_eq!((call["id"].as_str(), call["app_name"].as_str()), (Some(id), Some(app)));
        Record { call, log: log["log"]["log"].as_str().unwrap().to_owned() }
    }

    /// The newest call of the route `path`, whose client may not know its id.
    pub(crate) async fn last_record(&self, path: &str) -> Record {
        let list = self.get(&format!("/v1/apps/{APP}/calls?path={path}&per_page=1")).send().await.json();
        let id = list["calls"][0]["id"].as_str().unwrap_or_else(|| panic!("a call of {path}: {list}"));
        self.record_of(APP, id).await
    }

    pub(crate) async fn metrics(&self) -> Metrics {
        Metrics(self.get("/metrics").send().await.text().to_owned())
    }

    /// Waits until this many calls of the route `path` execute, or more.
    pub(crate) async fn until_running(&self, path: &str, calls: u64) {
        eventually(PATIENCE, &format!("{calls} calls of {path} execute"), async || {
            let stats = self.get("/stats").send().await.json();
            if stats["FunctionStatsMap"][path]["Running"].as_u64() >= Some(calls) { Ok(()) } else { Err(stats) }
        })
        .await;
    }

    /// Waits until this many calls of the route `path` have ended with an answer, or more.
    pub(crate) async fn until_completed(&self, path: &str, calls: u64) {
        eventually(PATIENCE, &format!("{calls} calls of {path} have ended"), async || {
            let stats = self.get("/stats").send().await.json();
            if stats["FunctionStatsMap"][path]["Complete"].as_u64() >= Some(calls) { Ok(()) } else { Err(stats) }
        })
        .await;
    }

    /// Waits until this many calls of the route `path` wait for a container.
    pub(crate) async fn until_waiting(&self, path: &str, calls: u64) {
        eventually(PATIENCE, &format!("{calls} calls of {path} wait"), async || {
            let stats = self.get("/stats").send().await.json();
            if stats["FunctionStatsMap"][path]["Queue"] == calls { Ok(()) } else { Err(stats) }
        })
        .await;
    }

    pub(crate) async fn becomes_ready(&self, deadline: Duration) {
        eventually(deadline, "the server is ready", async || match self.get("/ready").try_send().await {
            Ok(reply) if reply.status == 200 => Ok(()),
            Ok(reply) => Err(reply.text().to_owned()),
            Err(error) => Err(error.to_string()),
        })
        .await;
    }

    // === what it holds ===

    pub(crate) fn engine(&self) -> &Engine {
        self.options.engine()
    }

    pub(crate) fn directory(&self) -> &Path {
        self.options.directory()
    }

    pub(crate) fn id(&self) -> String {
        self.options.home.server_id().expect("a server that listens has an id")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.child.id()
    }

    pub(crate) async fn containers(&self) -> Vec<String> {
        self.options.containers().await
    }

    pub(crate) async fn has_containers(&self, count: usize) {
        eventually(PATIENCE, "so many containers", async || {
            let containers = self.containers().await;
            if containers.len() == count { Ok(()) } else { Err(format!("{containers:?}, not {count}")) }
        })
        .await;
    }

    /// Waits until it holds nothing: no call waits or runs, no memory is reserved, no container is left.
    pub(crate) async fn is_empty(&self) {
        eventually(PATIENCE, "the server holds nothing", async || {
            let metrics = self.metrics().await;
            let held = metrics.held();
            if held.iter().all(|(_, value)| *value == 0.0) { Ok(()) } else { Err(format!("{held:?}")) }
        })
        .await;
        self.has_containers(0).await;
    }

    /// Starts a second server on the same directory, which must not come up, and gives how it ended.
    pub(crate) async fn start_another(&self) -> Ended {
        let log = self.directory().join("log.another");
        self.options.spawn(log).ended().await
    }

    // === its end ===

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.process.child);
        kill_process(pid, signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn ended(mut self) -> (Ended, Options) {
        (self.process.ended().await, self.options)
    }

    /// Ends it with `signal` in good order: its exit code is 0 and no container is left.
    pub(crate) async fn stop(self, signal: Signal) -> (Ended, Options) {
        self.signal(signal);
        let (ended, options) = self.ended().await;
        assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
        assert_eq!(options.containers().await, [""; 0], "no container is left");
        (ended, options)
    }

    /// The end of most tests: what was deployed is deleted, and then the server holds nothing and stops in good order,
    /// with nothing in its log that it should not be in.
    pub(crate) async fn finish(self) {
        let log = self.finish_with_errors().await;
        let faults: Vec<_> = log.lines().filter(|line| line.contains(" ERROR ") || line.contains("panicked")).collect();
        assert!(faults.is_empty(), "{faults:#?}");
    }

    /// The same, where the server had reason to complain. Gives its log.
    pub(crate) async fn finish_with_errors(self) -> String {
        let apps = self.get("/v1/apps?per_page=100").send().await.json();
        for app in apps["apps"].as_array().unwrap() {
            self.manage("DELETE", &format!("/v1/apps/{}", app["name"].as_str().unwrap()), &Value::Null).await;
        }
        self.is_empty().await;
        let (ended, _) = self.stop(Signal::TERM).await;
        ended.log
    }
}

// === impl Home ===

impl Home {
    fn server_id(&self) -> Option<String> {
        let id = std::fs::read_to_string(self.directory.path().join("data/server-id")).ok()?;
        Some(id.trim().to_owned())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(id) = self.server_id() {
            self.engine.sweep(&id);
        }
    }
}

// === impl Process ===

impl Process {
    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The address in its log, once it listens.
    fn url(&mut self) -> Result<String, String> {
        let log = self.log();
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("the server ended with {status}:\n{log}");
        }
        let after = log.split_once("listening on ").map(|(_, after)| after);
        // A line of JSON ends it with a quotation mark.
        let url = after.and_then(|after| after.split_once([' ', '\n', '"'])).map(|(url, _)| url.to_owned());
        url.ok_or(log)
    }

    async fn ended(&mut self) -> Ended {
        let begin = Instant::now();
        let status = eventually(2 * PATIENCE, "the server ends", async || {
            self.child.try_wait().unwrap().ok_or_else(|| format!("it runs for {:?}", begin.elapsed()))
        })
        .await;
        Ended { status, log: self.log() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, which is what it should have done.
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("--- the end of the server's log\n{}\n---", lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}

/// The text of `/metrics`.
#[derive(Debug)]
pub(crate) struct Metrics(pub(crate) String);

impl Metrics {
    /// All series whose name and labels begin so, with their values.
    pub(crate) fn all(&self, prefix: &str) -> Vec<(&str, f64)> {
        let series = self.0.lines().filter(|line| line.starts_with(prefix));
        series.filter_map(|line| line.rsplit_once(' ')).map(|(name, value)| (name, value.parse().unwrap())).collect()
    }

    /// The value of one series, written as it stands in the text.
    #[track_caller]
    pub(crate) fn value(&self, series: &str) -> f64 {
        match self.all(&format!("{series} "))[..] {
            [(_, value)] => value,
            ref other => panic!("{series}: {other:?} in {}", self.0),
        }
    }

    /// The type of every metric, by name.
    pub(crate) fn types(&self) -> BTreeMap<String, String> {
        let lines = self.0.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let types = lines.filter_map(|line| line.split_once(' '));
        types.map(|(name, of)| (name.to_owned(), of.to_owned())).collect()
    }

    /// What a server holds for calls that are under way, and must give back.
    fn held(&self) -> Vec<(&str, f64)> {
        let memory = self.all("hearth_memory_reserved_bytes ");
        assert_eq!(memory.len(), 1, "{}", self.0);
        let gauges = ["fn_api_queued", "fn_api_running", "hearth_containers{", "hearth_calls_waiting "];
        memory.into_iter().chain(gauges.into_iter().flat_map(|prefix| self.all(prefix))).collect()
    }
}
