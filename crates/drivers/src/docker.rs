//! Runs containers on a Docker engine.
//!
//! What callers wait for is short: an image comes from a cache that the engine's events keep true, a container takes
//! three requests (create, attach, start), and its samples come from its control group. What callers need not wait
//! for, and what must happen even when they are gone, runs in tasks that the driver owns: creating (so that a
//! container which nobody waits for any more is known and removed), pulling, and removing.

mod about;
mod address;
mod attach;
mod backoff;
mod config;
mod container;
mod create;
mod credentials;
mod direct;
mod engine;
mod events;
mod exit;
mod health;
mod images;
mod launch;
mod leftovers;
mod marks;
mod observer;
mod pipes;
mod place;
mod pull;
mod reference;
mod removal;
mod sockets;
mod stream;
mod tap;
mod usage;
mod watch;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::address::Address;
use self::container::{Groups, Maker};
use self::create::Template;
use self::credentials::Credentials;
use self::engine::{Engine, Fault};
use self::images::Images;
use self::pull::Puller;
use self::removal::Remover;
use self::sockets::Sockets;
use self::writes::Writes;
use crate::stats::Layout;
use crate::{Container, ContainerSpec, Driver, Error, Found};

pub use about::{About, about};
pub use config::{DockerConfig, ProcessLimits, SocketConfig, SocketContract, StatsFrom};
pub use credentials::CredentialSources;
pub use leftovers::Leftover;
pub use observer::{Observer, Operation, Outcome, Unobserved};
pub use place::{SEE_TO_IT, Seen, SocketPlace, socket_place};

/// How long the engine may take to pause a container, or to let it go on: it writes to a control group.
const PAUSE_LIMIT: Duration = Duration::from_secs(5);

/// A driver of one Docker engine.
#[derive(Debug)]
pub struct DockerDriver {
    engine: Arc<Engine>,
    images: Images,
    maker: Maker,
    remover: Remover,
    sockets: Option<Arc<Sockets>>,
    /// Creations and pulls under way, and the task that listens to the engine.
    tasks: TaskTracker,
    stop: CancellationToken,
}

// === impl DockerDriver ===

impl DockerDriver {
    /// Connects to the engine, which must answer within two seconds, and listens to its images from then on. Must be
    /// called within a runtime.
    pub async fn connect(config: DockerConfig, observer: Arc<dyn Observer>) -> Result<Self, Error> {
        let (address, server) = (Address::parse(config.host.as_deref())?, config.server);
        let credentials = Credentials::load(&config.credentials).await?;
        let engine = Arc::new(Engine::connect(address, observer).await?);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let puller = Puller::new(Arc::clone(&engine), credentials, config.pull_limit);
        let images = Images::new(Arc::clone(&engine), puller, tasks.clone());
        let remover = Remover::new(Arc::clone(&engine));
        let mut sockets = None;
        if let Some(config) = &config.sockets {
            let (opened, watch) = Sockets::open(config, server, &engine).await?;
            tasks.spawn(watch.run(stop.clone()));
            sockets = Some(Arc::new(opened));
        }
        let layout = match config.stats_from {
            StatsFrom::Auto => Layout::detect(),
            StatsFrom::Engine => None,
        };
        let maker = Maker {
            engine: Arc::clone(&engine),
            images: images.clone(),
            remover: remover.clone(),
            sockets: sockets.clone(),
            template: Arc::new(Template {
                server,
                instance: config.instance,
                hostname: hostname(),
                network: config.network,
                pids_limit: config.pids_limit,
                socket_contract: config.sockets.map(|sockets| sockets.contract).unwrap_or_default(),
            }),
            groups: Arc::new(Groups::new(layout)),
            writes: watch_writes(),
        };
        tasks.spawn(events::listen(Arc::clone(&engine), images.clone(), stop.clone()));
        Ok(Self { engine, images, maker, remover, sockets, tasks, stop })
    }

    async fn pausing(
        &self,
        operation: Operation,
        request: impl Future<Output = Result<(), impl Into<Fault>>>,
    ) -> Result<(), Error> {
        let done = self.engine.call(operation, PAUSE_LIMIT, request).await;
        done.map_err(|fault| fault.into_error(operation))
    }
}

#[async_trait]
impl Driver for DockerDriver {
    async fn find(&self, reference: &str) -> Result<Found, Error> {
        self.images.get(reference).await
    }

    async fn create(&self, spec: ContainerSpec) -> Result<Box<dyn Container>, Error> {
        let maker = self.maker.clone();
        // A caller may leave at any time; the task goes on, and what it made is dropped, which removes it.
        let creation = self.tasks.spawn(async move { maker.create(spec).await });
        creation.await.unwrap_or_else(|error| {
            Err(Error::Engine {
                operation: Operation::CreateContainer.verb(),
                message: "it was interrupted".to_owned(),
                source: Some(Arc::new(error)),
            })
        })
    }

    async fn freeze(&self, container: &str) -> Result<(), Error> {
        self.pausing(Operation::PauseContainer, self.engine.api().pause_container(container)).await
    }

    async fn thaw(&self, container: &str) -> Result<(), Error> {
        self.pausing(Operation::UnpauseContainer, self.engine.api().unpause_container(container)).await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.engine.ping().await
    }

    async fn remove_orphans(&self) -> Result<usize, Error> {
        self.remove_own_leftovers().await
    }

    async fn shutdown(&self, deadline: Duration) -> usize {
        let end = Instant::now() + deadline;
        self.stop.cancel();
        self.tasks.close();
        // What is being created now has to be removed, so that comes first. Being late is an answer: it is counted.
        timeout_at(end, self.tasks.wait()).await.ok();
        let left = self.remover.drain(end.saturating_duration_since(Instant::now())).await;
        left + self.tasks.len()
    }
}

impl Drop for DockerDriver {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What sees whether functions write. Without it calls wait for late lines of log.
fn watch_writes() -> Option<Writes> {
    let writes = Writes::new();
    writes.inspect_err(|error| tracing::warn!(%error, "it cannot be seen which functions write")).ok()
}

/// The name of this machine, which containers carry too (v1 contract B.8.2).
fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
