//! Removing containers, come what may.
//!
//! Whoever drops a guard neither waits nor learns how it went. So each removal is a task of its own that goes on
//! until the container is known to be gone, through restarts of the engine, for up to ten minutes.

use std::sync::Arc;
use std::time::Duration;

use bollard::query_parameters::RemoveContainerOptionsBuilder;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;

use super::backoff::Backoff;
use super::engine::{Engine, Fault};
use super::observer::Operation;
use crate::Guard;

/// How long a removal is tried.
const BUDGET: Duration = Duration::from_mins(10);

/// How long one request may take; the engine kills and unmounts meanwhile.
const LIMIT: Duration = Duration::from_mins(1);

/// How long a container that may or may not have been created can take to turn up.
const GRACE: Duration = Duration::from_mins(1);

/// Requests at a time; more only make the engine slower for calls.
const CONCURRENT: usize = 8;

/// Removes containers in tasks of its own.
#[derive(Clone, Debug)]
pub(super) struct Remover {
    engine: Arc<Engine>,
    tasks: TaskTracker,
    slots: Arc<Semaphore>,
    /// Guards are dropped anywhere, also where no runtime is entered.
    runtime: Handle,
}

/// What is known about the container to remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It was created: once the engine does not know it, it is gone.
    Created,
    /// The engine was asked to create it and did not answer: it may turn up yet.
    Doubtful,
}

// === impl Remover ===

impl Remover {
    /// Must be called within a runtime.
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        Self {
            engine,
            tasks: TaskTracker::new(),
            slots: Arc::new(Semaphore::new(CONCURRENT)),
            runtime: Handle::current(),
        }
    }

    /// Removes the container `id` when dropped.
    pub(super) fn guard(&self, id: String) -> Guard {
        let remover = self.clone();
        let container = id.clone();
        Guard::new(id, move || remover.spawn(container, Standing::Created))
    }

    /// Removes a container that may exist, or may come to exist.
    pub(super) fn remove_doubtful(&self, name: String) {
        self.spawn(name, Standing::Doubtful);
    }

    /// Asks once for the removal of `id`; a container that is gone or going is fine.
    pub(super) async fn remove(&self, id: &str) -> Result<(), Fault> {
        match self.attempt(id).await {
            Err(fault) if is_gone(&fault) => Ok(()),
            answer => answer,
        }
    }

    /// Waits until all removals are done, at most `limit`; says how many are not.
    pub(super) async fn drain(&self, limit: Duration) -> usize {
        self.tasks.close();
        // Being late is an answer here: what is left is counted.
        tokio::time::timeout(limit, self.tasks.wait()).await.ok();
        self.tasks.len()
    }

    fn spawn(&self, id: String, standing: Standing) {
        let remover = self.clone();
        let removal = async move { remover.run(&id, standing).await };
        self.tasks.spawn_on(removal, &self.runtime);
    }

    async fn run(&self, id: &str, standing: Standing) {
        let begin = Instant::now();
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        loop {
            let fault = match self.attempt(id).await {
                Ok(()) => return,
                Err(fault) => fault,
            };
            let may_turn_up = standing == Standing::Doubtful && begin.elapsed() < GRACE;
            if is_gone(&fault) && !may_turn_up {
                return;
            }
            let pause = backoff.pause();
            if begin.elapsed() + pause > BUDGET {
                tracing::error!(container.id = id, error = fault.message(), "container could not be removed");
                return;
            }
            sleep(pause).await;
        }
    }

    async fn attempt(&self, id: &str) -> Result<(), Fault> {
        // The semaphore is never closed; without a permit the request is only less polite.
        let _slot = self.slots.acquire().await.ok();
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let request = self.engine.api().remove_container(id, Some(options));
        self.engine.call(Operation::RemoveContainer, LIMIT, request).await
    }
}

/// The engine does not know the container, or is about to forget it.
fn is_gone(fault: &Fault) -> bool {
    match fault {
        Fault::Refused { status: 404, .. } => true,
        Fault::Refused { status: 409, message } => message.contains("already in progress"),
        _ => false,
    }
}
