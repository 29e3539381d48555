//! Removing containers, come what may.
//!
//! Whoever drops a guard neither waits nor learns how it went. So each removal is a task of its own that goes on
//! until the container is known to be gone, through restarts of the engine, for up to ten minutes.
//!
//! Callers count the memory of a container as free from the moment they drop it. A removal kills it, but few removals
//! are under way at a time: what runs and has to wait is killed first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bollard::query_parameters::{KillContainerOptions, RemoveContainerOptionsBuilder};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;

use super::backoff::Backoff;
use super::engine::{Engine, Fault};
use super::observer::Operation;
use super::sockets::Directory;
use crate::Guard;
use crate::input::Keeper;

/// How long a removal is tried.
const BUDGET: Duration = Duration::from_mins(10);

/// How long one request may take; the engine kills and unmounts meanwhile.
const LIMIT: Duration = Duration::from_mins(1);

/// How long a kill may take: the engine sends a signal.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// How long who asks once for a removal waits for another one's end.
const GOING: Duration = Duration::from_secs(10);

/// How long a container that may or may not have been created can take to turn up.
const GRACE: Duration = Duration::from_mins(1);

/// Removals at a time; more only make the engine slower for calls.
const CONCURRENT: usize = 8;

/// Kills at a time, which are quick.
const CONCURRENT_KILLS: usize = 32;

/// Removes containers in tasks of its own.
#[derive(Clone, Debug)]
pub(super) struct Remover {
    engine: Arc<Engine>,
    tasks: TaskTracker,
    slots: Arc<Semaphore>,
    kills: Arc<Semaphore>,
    /// Guards are dropped anywhere, also where no runtime is entered.
    runtime: Handle,
}

/// What is let go of once a container is gone.
#[derive(Default)]
pub(super) struct Belongings {
    /// Its input, as far as nobody ended that.
    pub(super) input: Keeper,
    /// Of its socket.
    pub(super) directory: Option<Directory>,
}

/// Whether a container may run. Clones speak of the same container.
#[derive(Clone, Debug, Default)]
pub(super) struct Life(Arc<AtomicBool>);

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
            kills: Arc::new(Semaphore::new(CONCURRENT_KILLS)),
            runtime: Handle::current(),
        }
    }

    /// Removes the container `id` when dropped, and then what belongs to it. What runs according to `life` is dead soon
    /// after.
    pub(super) fn guard(&self, id: String, life: Life, belongings: Belongings) -> Guard {
        let remover = self.clone();
        let container = id.clone();
        Guard::new(id, move || remover.spawn(container, Standing::Created, life, belongings))
    }

    /// Removes a container that may exist, or may come to exist.
    pub(super) fn remove_doubtful(&self, name: String, directory: Option<Directory>) {
        let belongings = Belongings { directory, ..Belongings::default() };
        self.spawn(name, Standing::Doubtful, Life::default(), belongings);
    }

    /// Asks once for the removal of `id`; a container that is gone is fine, and for one that is going it waits a
    /// moment.
    pub(super) async fn remove(&self, id: &str) -> Result<(), Fault> {
        let begin = Instant::now();
        let mut backoff = pauses();
        loop {
            match self.attempt(id, None).await {
                Err(fault) if fault.is_not_found() => return Ok(()),
                Err(fault) if is_going(&fault) && begin.elapsed() < GOING => sleep(backoff.pause()).await,
                answer => return answer,
            }
        }
    }

    /// Waits until all removals are done, at most `limit`; says how many are not.
    pub(super) async fn drain(&self, limit: Duration) -> usize {
        self.tasks.close();
        // Being late is an answer here: what is left is counted.
        tokio::time::timeout(limit, self.tasks.wait()).await.ok();
        self.tasks.len()
    }

    fn spawn(&self, id: String, standing: Standing, life: Life, belongings: Belongings) {
        let remover = self.clone();
        let removal = async move {
            let Belongings { input, directory } = belongings;
            tokio::select! {
                () = remover.run(&id, standing, &life) => {}
                never = input.read_out() => match never {},
            }
            drop(input);
            if let Some(directory) = directory {
                // However much the function put there. It cannot panic.
                tokio::task::spawn_blocking(move || drop(directory)).await.ok();
            }
        };
        self.tasks.spawn_on(removal, &self.runtime);
    }

    async fn run(&self, id: &str, standing: Standing, life: &Life) {
        let begin = Instant::now();
        let mut slot = self.slots.try_acquire().ok();
        if slot.is_none() && life.may_run() {
            self.kill(id).await;
        }
        let mut backoff = pauses();
        loop {
            // One that is going counts as there: the removal that is under way may fail.
            let fault = match self.attempt(id, slot.take()).await {
                Ok(()) => return,
                Err(fault) => fault,
            };
            let may_turn_up = standing == Standing::Doubtful && begin.elapsed() < GRACE;
            if fault.is_not_found() && !may_turn_up {
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

    /// Kills what has to wait for its removal. That it fails is no matter: the removal kills, too.
    async fn kill(&self, id: &str) {
        let _slot = self.kills.acquire().await.ok();
        let request = self.engine.api().kill_container(id, None::<KillContainerOptions>);
        if let Err(fault) = self.engine.call(Operation::KillContainer, KILL_LIMIT, request).await {
            tracing::debug!(container.id = id, error = fault.message(), "container was not killed before its removal");
        }
    }

    async fn attempt(&self, id: &str, slot: Option<SemaphorePermit<'_>>) -> Result<(), Fault> {
        let _slot = match slot {
            Some(slot) => Some(slot),
            // The semaphore is never closed; without a permit the request is only less polite.
            None => self.slots.acquire().await.ok(),
        };
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let request = self.engine.api().remove_container(id, Some(options));
        self.engine.call(Operation::RemoveContainer, LIMIT, request).await
    }
}

// === impl Life ===

impl Life {
    /// It is about to be started.
    pub(super) fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// It was seen to have ended.
    pub(super) fn end(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    fn may_run(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

const fn pauses() -> Backoff {
    Backoff::new(Duration::from_millis(50), Duration::from_secs(5))
}

/// The engine already removes the container.
fn is_going(fault: &Fault) -> bool {
    matches!(fault, Fault::Refused { status: 409, message } if message.contains("already in progress"))
}
