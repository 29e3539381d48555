//! Puts the parts together in the order in which they need each other, and takes them apart in the other.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hearth_agent::{Agent, Background, CallListener, Tracer};
use hearth_datastore::{
    Datastore, DefinitionStore, Definitions, DefinitionsSettings, Keeper, KeeperSettings, LogStore, Node, Observed,
    Recorder, RecorderService, RecorderSettings,
};
use hearth_drivers::Driver;
use hearth_drivers::docker::{DockerConfig, DockerDriver};
use hearth_models::InstanceId;
use hearth_queue::{Broker, Queue, QueueSettings};
use hearth_server::{Extensions, LogLevel, Parts, Readiness, Server, Serving};
use prometheus::Registry;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::data_dir::{ClaimError, DataDir};
use crate::embed::Fixed;
use crate::settings::{self, Settings, Traces};
use crate::spans::{EngineSpans, StoreSpans};
use crate::stores::Stores;
use crate::traces::{self, Exporter};
use crate::{ledger, process, queue_metrics};

/// Time for answers that are on their way out once the agent has stopped.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// Time for the engine to remove the last containers.
const LAST_REMOVALS: Duration = Duration::from_secs(30);
/// Pause between two tries to clean up what an earlier process left.
const CLEAN_AGAIN: Duration = Duration::from_secs(2);

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Hearth {
    serving: Serving,
    readiness: Readiness,
    /// Cancelled when it is ready.
    ready: CancellationToken,
    datastore: Arc<dyn DefinitionStore>,
    agent: Agent,
    recorder: Recorder,
    driver: Arc<dyn Driver>,
    stores: Stores,
    /// The recorder and the other services; none of them ends before it is told to.
    services: JoinSet<()>,
    /// Ends the taking of queued calls.
    stop_background: CancellationToken,
    stop_services: CancellationToken,
    /// Sends traces, those of the last records too.
    export: Option<Owned>,
    drain: Duration,
    // Last, so that nobody else gets the directory before everything above is gone.
    _data: DataDir,
}

/// What a program brings along that starts a server: in the place of what the settings say, and beside it.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) driver: Option<Arc<dyn Driver>>,
    pub(crate) datastore: Option<Arc<dyn Datastore>>,
    pub(crate) logs: Option<Arc<dyn LogStore>>,
    pub(crate) broker: Option<Arc<dyn Broker>>,
    pub(crate) extensions: Extensions,
    pub(crate) call_listeners: Vec<Arc<dyn CallListener>>,
    pub(crate) registry: Registry,
    pub(crate) log_level: Arc<dyn LogLevel>,
}

impl Default for Own {
    fn default() -> Self {
        Self {
            driver: None,
            datastore: None,
            logs: None,
            broker: None,
            extensions: Extensions::default(),
            call_listeners: Vec::new(),
            registry: Registry::new(),
            log_level: Arc::new(Fixed),
        }
    }
}

/// A task, and the way to end it.
#[derive(Debug)]
struct Owned {
    task: JoinSet<()>,
    stop: CancellationToken,
}

/// Why a server did not come up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Data(#[from] ClaimError),
    #[error(transparent)]
    Store(hearth_datastore::Error),
    #[error("cannot use the Docker engine")]
    Setting(#[source] hearth_drivers::Error),
    #[error(
        "cannot reach the Docker engine at {host}; start it (from a clone of the sources, scripts/docker.sh does), or say where it is with DOCKER_HOST"
    )]
    NoEngine {
        host: String,
        #[source]
        source: hearth_drivers::Error,
    },
    #[error("cannot reach the queue that MQ_URL names")]
    Queue(#[source] hearth_queue::BrokerError),
    #[error(transparent)]
    Listen(#[from] hearth_server::BindError),
    #[error("cannot register metrics")]
    Metrics(#[from] prometheus::Error),
    #[error("cannot send traces")]
    Traces(#[from] reqwest::Error),
}

impl StartError {
    /// What the process exits with.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Store(hearth_datastore::Error::Config(_)) | Self::Setting(_) => 64,
            Self::NoEngine { .. } => 69,
            _ => 1,
        }
    }
}

// === impl Hearth ===

impl Hearth {
    /// Starts everything. It listens when this returns, and is ready a moment later, when what an earlier process left
    /// is cleaned up.
    pub(crate) async fn start(settings: Settings, own: Own) -> Result<Self, StartError> {
        let data = DataDir::claim(&settings.data.directory, settings.data.server_id)?;
        let node = Node { server_id: data.server_id, instance_id: InstanceId::generate() };
        let stores = Stores::open(&settings.data, own.datastore, own.logs).await.map_err(StartError::Store)?;
        let registry = own.registry;
        process::register(&registry)?;
        let metrics = Arc::new(hearth_agent::Metrics::register(&registry)?);
        let driver = match own.driver {
            Some(driver) => driver,
            None => connect(node, settings.docker, &settings.data.directory, &registry, Arc::clone(&metrics)).await?,
        };

        let (mut services, stop_services) = (JoinSet::new(), CancellationToken::new());
        let (tracer, export) = trace(settings.traces, &registry)?;
        let spans = Arc::new(StoreSpans::register(&registry, tracer.clone())?);
        let definitions = Definitions::new(Arc::clone(&stores.database) as _, DefinitionsSettings::default())
            .observed_by(Arc::clone(&spans) as _);
        let observed = Observed(Some(Arc::clone(&spans) as _));
        let recorder = RecorderSettings { observer: Some(spans), ..recorder_settings(node, settings.recorder) };
        let (recorder, recording) = Recorder::new(Arc::clone(&stores.calls), recorder);
        services.spawn(record(recording, stop_services.clone()));
        let keeper = KeeperSettings::new(node, settings.data.retention);
        let keeper = Keeper::new(Arc::clone(&stores.database), Arc::clone(&stores.history), keeper);
        ledger::register(&registry, recorder.clone(), keeper.watch())?;
        services.spawn(keeper.run(stop_services.clone()));

        let agent = hearth_agent::Settings { tracer, listeners: own.call_listeners, ..settings.agent };
        let agent = Agent::start(Arc::clone(&driver), recorder.clone(), metrics, agent);
        hearth_agent::register_occupancy(&registry, agent.clone())?;
        let readiness = Readiness::default();
        let datastore: Arc<dyn DefinitionStore> = Arc::new(definitions);
        let rows = Arc::clone(&stores.database).queue();
        let identity = rows.identity().await.map_err(StartError::Store)?;
        let broker = match own.broker {
            Some(broker) => Some(broker),
            None => settings.data.queue.connect(&identity).await.map_err(StartError::Queue)?,
        };
        let queueing = QueueSettings::new(node);
        let max_per_app = settings.data.max_queued_per_app.unwrap_or(queueing.max_per_app);
        let (queue, queueing) = Queue::new(rows, broker, QueueSettings { max_per_app, observed, ..queueing });
        services.spawn(queueing.run(stop_services.clone()));
        queue_metrics::register(&registry, queue.clone())?;
        let store = Arc::clone(&stores.database) as _;
        let background = Background::new(agent.clone(), queue.clone(), Arc::clone(&datastore), store);
        let stop_background = CancellationToken::new();
        let parts = Parts {
            datastore: Arc::clone(&datastore),
            recorder: recorder.clone(),
            agent: agent.clone(),
            queue: queue.clone(),
            engine: Arc::clone(&driver),
            registry,
            readiness: readiness.clone(),
            log_level: own.log_level,
            extensions: own.extensions,
        };
        let serving = Server::bind(settings.server, parts).await?.serve();
        tracing::info!(server.id = %node.server_id, "listening on http://{}", serving.address());
        if let Some(admin) = serving.admin_address() {
            tracing::info!("listening for operators on http://{admin}");
        }
        let store = Arc::clone(&stores.database);
        let left = Leftovers { node, driver: Arc::clone(&driver), store, queue };
        let ready = CancellationToken::new();
        let latch = Latch { readiness: readiness.clone(), opened: ready.clone() };
        services.spawn(take_up(left, background, latch, stop_background.clone()));
        Ok(Self {
            serving,
            readiness,
            ready,
            datastore,
            agent,
            recorder,
            driver,
            stores,
            services,
            stop_background,
            stop_services,
            export,
            drain: settings.drain,
            _data: data,
        })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.serving.address()
    }

    pub(crate) fn admin_address(&self) -> Option<SocketAddr> {
        self.serving.admin_address()
    }

    pub(crate) const fn definitions(&self) -> &Arc<dyn DefinitionStore> {
        &self.datastore
    }

    pub(crate) const fn agent(&self) -> &Agent {
        &self.agent
    }

    /// Waits until it is ready.
    pub(crate) async fn ready(&self) {
        self.ready.cancelled().await;
    }

    /// Waits until a service dies, which none does by itself.
    pub(crate) async fn failure(&mut self) -> JoinError {
        loop {
            match self.services.join_next().await {
                Some(Err(error)) => return error,
                // Cleaning up is over; the others go on.
                Some(Ok(())) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Takes no more requests, lets accepted calls end for a while, removes all containers and stores all records. How many
    /// of them could not be stored, and are lost.
    pub(crate) async fn stop(mut self) -> u64 {
        let deadline = Instant::now() + self.drain;
        self.readiness.close();
        // What is queued and has not begun goes back, for whoever starts next.
        self.stop_background.cancel();
        let left = self.serving.drain(self.drain).await;
        if left > 0 {
            tracing::warn!(connections = left, "calls run beyond the drain deadline and are stopped");
        }
        self.agent.shutdown(deadline.saturating_duration_since(Instant::now())).await;
        self.serving.close(LAST_ANSWERS).await;
        self.stop_services.cancel();
        while let Some(ended) = self.services.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a service ended badly");
            }
        }
        if let Some(Owned { mut task, stop }) = self.export {
            stop.cancel();
            if let Some(Err(error)) = task.join_next().await {
                tracing::error!(%error, "the export of traces ended badly");
            }
        }
        let left = self.driver.shutdown(LAST_REMOVALS).await;
        if left > 0 {
            tracing::warn!(containers = left, "containers could not be removed; the next start will remove them");
        }
        self.stores.close().await;
        tracing::info!("stopped");
        self.recorder.counts().pending
    }
}

/// The tracer of calls, and the task that sends what it gives, if there is anybody to send it to.
fn trace(settings: Traces, registry: &Registry) -> Result<(Option<Tracer>, Option<Owned>), StartError> {
    let spans = traces::counter(registry)?;
    if settings.targets.is_empty() {
        return Ok((None, None));
    }
    for target in &settings.targets {
        tracing::info!(collector = %target, share = settings.share, "calls are traced");
    }
    let (exporter, export) = Exporter::new(settings.targets, spans)?;
    let (mut task, stop) = (JoinSet::new(), CancellationToken::new());
    task.spawn(export.run(stop.clone()));
    Ok((Some(Tracer::new(exporter, settings.share)), Some(Owned { task, stop })))
}

async fn connect(
    node: Node,
    settings: settings::Docker,
    data: &Path,
    registry: &Registry,
    metrics: Arc<hearth_agent::Metrics>,
) -> Result<Arc<dyn Driver>, StartError> {
    let host = settings.host.clone().unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned());
    let mut config = DockerConfig {
        host: settings.host,
        credentials: settings.credentials,
        stats_from: settings.stats_from,
        network: settings.network,
        sockets: Some(settings.sockets.config(data)),
        ..DockerConfig::new(node.server_id, node.instance_id)
    };
    config.pids_limit = settings.pids.unwrap_or(config.pids_limit);
    config.pull_limit = settings.pull_limit.unwrap_or(config.pull_limit);
    let spans = Arc::new(EngineSpans::register(registry, metrics)?);
    match DockerDriver::connect(config, spans).await {
        Ok(driver) => Ok(Arc::new(driver)),
        Err(source @ hearth_drivers::Error::Setting { .. }) => Err(StartError::Setting(source)),
        Err(source) => Err(StartError::NoEngine { host, source }),
    }
}

fn recorder_settings(node: Node, settings: settings::Recorder) -> RecorderSettings {
    let defaults = RecorderSettings::new(node);
    RecorderSettings {
        recording: settings.recording,
        max_records: settings.max_records.unwrap_or(defaults.max_records),
        max_bytes: settings.max_bytes.unwrap_or(defaults.max_bytes),
        ..defaults
    }
}

async fn record(service: RecorderService, stop: CancellationToken) {
    let counts = service.run(stop).await;
    if counts.pending > 0 {
        tracing::error!(records = counts.pending, "records of calls could not be stored");
    }
}

/// What tells that the server is ready: the world, and who waits for it in this process.
struct Latch {
    readiness: Readiness,
    opened: CancellationToken,
}

/// What an earlier process of this server may have left.
struct Leftovers {
    node: Node,
    driver: Arc<dyn Driver>,
    store: Arc<dyn Datastore>,
    queue: Queue,
}

/// Cleans up after earlier processes of this server, lets the world know that it is ready, and takes up queued calls.
/// Others may wait for the first, so it is tried until it is done: nothing here may go wrong for good.
async fn take_up(left: Leftovers, background: Background, latch: Latch, stop: CancellationToken) {
    let cleaning = async {
        while let Err(error) = left.clean_up().await {
            tracing::warn!("cleaning up after an earlier process: {error:#}");
            sleep(CLEAN_AGAIN).await;
        }
        latch.readiness.open();
        latch.opened.cancel();
        tracing::info!("ready");
    };
    // Told to stop meanwhile, it leaves the rest to the next start.
    stop.run_until_cancelled(cleaning).await.unwrap_or_default();
    background.run(stop).await;
}

impl Leftovers {
    /// Containers first, so that nothing of the calls runs any more that are closed or queued again then.
    async fn clean_up(&self) -> anyhow::Result<()> {
        let containers = self.driver.remove_orphans().await?;
        let calls = self.store.interrupt(self.node).await?;
        let queued = self.queue.recover().await?;
        if containers > 0 || calls > 0 || queued > 0 {
            tracing::info!(
                containers,
                calls,
                queued,
                "an earlier process of this server did not stop in good order: cleaned up"
            );
        }
        Ok(())
    }
}
