//! A whole server for one test: its own directory, port, store, agent and containers.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hearth_agent::{Agent, Background};
use hearth_datastore::{Datastore, DefinitionStore, Definitions, Node, Recorder, RecorderSettings};
use hearth_drivers::scripted::{Program, Script, ScriptedDriver};
use hearth_models::{InstanceId, ServerId};
use hearth_queue::{Queue, QueueSettings, RetryPolicy};
use hearth_server::{Extensions, LogLevel, Parts, Readiness, Server, Serving, Settings};
use http::Request;
use http_body_util::Full;
use prometheus::Registry;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::client::{self, Reply, request};

/// What a test may choose before its server starts.
#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) server: Settings,
    pub(crate) agent: hearth_agent::Settings,
    pub(crate) driver: ScriptedDriver,
    /// What becomes of queued calls that fail for a reason which is not their function's; the default unless given.
    pub(crate) retry: Option<RetryPolicy>,
    pub(crate) extensions: Extensions,
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct TestApp {
    pub(crate) address: SocketAddr,
    pub(crate) datastore: Arc<dyn Datastore>,
    /// Where `datastore` is.
    pub(crate) url: String,
    pub(crate) driver: ScriptedDriver,
    pub(crate) readiness: Readiness,
    pub(crate) serving: Serving,
    agent: Agent,
    stop: CancellationToken,
    // Aborted when dropped.
    _tasks: JoinSet<()>,
    _directory: TempDir,
}

/// A level that knows two words.
#[derive(Debug)]
struct Level(Mutex<String>);

impl LogLevel for Level {
    fn get(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    fn set(&self, word: &str) -> bool {
        let known = ["info", "debug"].contains(&word);
        if known {
            *self.0.lock().unwrap() = word.to_owned();
        }
        known
    }
}

impl Options {
    /// Adds an image whose containers run `program`.
    pub(crate) fn image(mut self, name: &str, program: Program) -> Self {
        self.driver = self.driver.with(name, Script::new(program));
        self
    }

    pub(crate) fn server(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.server);
        self
    }

    pub(crate) fn agent(mut self, change: impl FnOnce(&mut hearth_agent::Settings)) -> Self {
        change(&mut self.agent);
        self
    }

    pub(crate) fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = Some(retry);
        self
    }

    pub(crate) async fn start(self) -> TestApp {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite3://{}/hearth.db", directory.path().display());
        let store = hearth_datastore::open(&url).await.unwrap();
        let definitions = Definitions::new(Arc::clone(&store) as _, hearth_datastore::DefinitionsSettings::default());
        let datastore: Arc<dyn DefinitionStore> = Arc::new(definitions);
        let node = Node { server_id: ServerId::generate(), instance_id: InstanceId::generate() };
        let (recorder, service) = Recorder::new(Arc::clone(&store) as _, RecorderSettings::new(node));
        let mut tasks = JoinSet::new();
        tasks.spawn(async {
            service.run(CancellationToken::new()).await;
        });
        let registry = Registry::new();
        let metrics = Arc::new(hearth_agent::Metrics::register(&registry).unwrap());
        let driver: Arc<ScriptedDriver> = Arc::new(self.driver.clone());
        let agent = Agent::start(Arc::clone(&driver) as _, recorder.clone(), metrics, self.agent);
        hearth_agent::register_occupancy(&registry, agent.clone()).unwrap();
        let defaults = QueueSettings::new(node);
        let queueing = QueueSettings { max_per_app: 3, retry: self.retry.unwrap_or(defaults.retry), ..defaults };
        let (queue, service) = Queue::new(Arc::clone(&store).queue(), None, queueing);
        tasks.spawn(service.run(CancellationToken::new()));
        let background = Background::new(agent.clone(), queue.clone(), Arc::clone(&datastore), Arc::clone(&store) as _);
        let stop = CancellationToken::new();
        tasks.spawn(background.run(stop.clone()));
        let readiness = Readiness::default();
        let parts = Parts {
            datastore,
            recorder,
            agent: agent.clone(),
            queue,
            engine: driver,
            registry,
            readiness: readiness.clone(),
            log_level: Arc::new(Level(Mutex::new("info".to_owned()))),
            extensions: self.extensions,
        };
        let settings = Settings { listen: (Ipv4Addr::LOCALHOST, 0).into(), ..self.server };
        let serving = Server::bind(settings, parts).await.unwrap().serve();
        TestApp {
            address: serving.address(),
            datastore: store,
            url,
            driver: self.driver,
            readiness,
            serving,
            agent,
            stop,
            _tasks: tasks,
            _directory: directory,
        }
    }
}

impl TestApp {
    /// A server with all defaults and no images.
    pub(crate) async fn start() -> Self {
        Options::default().start().await
    }

    pub(crate) async fn request(&self, request: Request<Full<Bytes>>) -> Reply {
        client::send(self.address, request).await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: &str) -> Reply {
        self.request(request(method, path, body.to_owned())).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Reply {
        self.send("POST", path, body).await
    }

    /// Asks until the reply satisfies `condition`.
    pub(crate) async fn until(&self, path: &str, condition: impl Fn(&Reply) -> bool) -> Reply {
        let asking = async {
            loop {
                let reply = self.get(path).await;
                if condition(&reply) {
                    return reply;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(client::PATIENCE, asking).await.expect("it comes to that")
    }

    pub(crate) async fn create_app(&self, name: &str) {
        let reply = self.post("/v1/apps", &format!(r#"{{"app":{{"name":"{name}"}}}}"#)).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }

    /// Creates a route of the app `app` with these fields.
    pub(crate) async fn create_route(&self, fields: &str) {
        let reply = self.post("/v1/apps/app/routes", &format!(r#"{{"route":{{{fields}}}}}"#)).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }

    /// Ends the server; no container may be left.
    pub(crate) async fn stop(self) {
        let left = self.serving.drain(Duration::from_secs(10)).await;
        assert_eq!(left, 0, "connections are left");
        self.stop.cancel();
        self.agent.shutdown(Duration::from_secs(5)).await;
        self.serving.close(Duration::from_secs(1)).await;
        let clean = self.driver.until(hearth_drivers::scripted::Ledger::is_clean);
        tokio::time::timeout(client::PATIENCE, clean).await.expect("all containers are removed");
    }
}
