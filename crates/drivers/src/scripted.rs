//! A driver without an engine: it plays scripts, so that tests decide what containers do.
//!
//! A [`Script`] says for one image reference how pulling, creating, starting and removing go, and gives the
//! [`Program`] that its containers run: an async closure over [`ScriptIo`], the inside of the container's pipes.
//! [`programs`] has the usual ones. The [`Ledger`] counts what was asked for and what is left, so that a test can
//! end with "nothing leaked" as an assertion.
//!
//! Everything that takes time takes tokio's time, pipes are bounded, and ids count up from one: with a paused clock
//! on a current-thread runtime a test runs the same way every time.

mod carry;
mod freeze;
mod io;
mod ledger;
pub mod programs;
mod script;
mod socket;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::stream::{self, StreamExt};
use hearth_models::{Metrics, Stat, Timestamp};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::input::Keeper;
use crate::{
    Container, ContainerSpec, Contract, Driver, Error, Exit, Found, Guard, Phase, Phases, Running, Sampler, Socket,
    StatsSource, Tap,
};

pub use io::ScriptIo;
pub use ledger::{Ledger, State};
pub use script::{Program, Script, Stats, Step, Taps};

/// What a process that was killed from outside exits with: 128 + SIGKILL.
const KILLED: Exit = Exit::Code(137);

/// The size of a container's stdin pipe, as the kernel makes them.
const PIPE_BYTES: usize = 64 * 1024;

/// Frames under way from a program to whoever reads its output.
const PIPE_FRAMES: usize = 16;

/// A driver that plays [`Script`]s. Clones are handles of the same driver.
#[derive(Clone, Debug, Default)]
pub struct ScriptedDriver {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The image that each reference names now.
    references: Mutex<HashMap<String, Arc<Script>>>,
    /// Every image there ever was; an image outlives its tag.
    images: Mutex<HashMap<String, Arc<Script>>>,
    running: Mutex<HashMap<String, Switch>>,
    ledger: watch::Sender<Ledger>,
    next_id: AtomicU64,
    orphans: AtomicUsize,
    away: AtomicBool,
    programs: TaskTracker,
    removals: TaskTracker,
}

/// Ends a program from outside.
#[derive(Debug)]
struct Switch {
    token: CancellationToken,
    exit: watch::Sender<Exit>,
    /// The program halts while this is true.
    frozen: watch::Sender<bool>,
    script: Arc<Script>,
}

struct Created {
    shared: Arc<Shared>,
    script: Arc<Script>,
    spec: ContainerSpec,
    guard: Guard,
}

struct ScriptedSampler {
    taken: u64,
    marked: bool,
    token: CancellationToken,
}

// === impl ScriptedDriver ===

impl ScriptedDriver {
    /// A driver that knows no image yet: every reference is refused with 404.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a script at construction.
    #[must_use]
    pub fn with(self, reference: impl Into<String>, script: Script) -> Self {
        self.script(reference, script);
        self
    }

    /// Lets `reference` name `script` from now on, as a push or a new tag does. Containers of what it named before
    /// go on, and more can be created from that image's id.
    pub fn script(&self, reference: impl Into<String>, script: Script) {
        let reference = reference.into();
        let script = Arc::new(script.named(&reference));
        lock(&self.shared.images).insert(script.image_id().to_owned(), Arc::clone(&script));
        lock(&self.shared.references).insert(reference, script);
    }

    /// Stops (`true`) or brings back the engine. Everything that asks the engine fails meanwhile; containers go on,
    /// as they do under live-restore. Use [`kill_all`](Self::kill_all) for an engine that takes them along.
    pub fn set_away(&self, away: bool) {
        self.shared.away.store(away, Ordering::SeqCst);
    }

    /// Ends every running program at once with `exit`, as something outside Hearth might.
    pub fn kill_all(&self, exit: Exit) {
        for switch in lock(&self.shared.running).values() {
            switch.exit.send_replace(exit);
            switch.token.cancel();
        }
    }

    /// The next [`Driver::remove_orphans`] finds this many.
    pub fn leave_orphans(&self, count: usize) {
        self.shared.orphans.store(count, Ordering::SeqCst);
    }

    /// What happened so far.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.shared.ledger.borrow().clone()
    }

    /// Waits until the ledger satisfies `condition`. Never sleeps; put a timeout around it where it may not come.
    pub async fn until(&self, condition: impl FnMut(&Ledger) -> bool) -> Ledger {
        let mut changes = self.shared.ledger.subscribe();
        match changes.wait_for(condition).await {
            Ok(ledger) => ledger.clone(),
            // The sender lives in `self`, which outlives this call.
            Err(_) => self.ledger(),
        }
    }
}

#[async_trait]
impl Driver for ScriptedDriver {
    async fn find(&self, reference: &str) -> Result<Found, Error> {
        self.shared.record(|ledger| ledger.asked.push(reference.to_owned()));
        let script = lock(&self.shared.references).get(reference).cloned();
        let Some(script) = script else {
            self.shared.answering()?;
            return Err(Error::ImageRefused {
                image: reference.to_owned(),
                status: 404,
                message: "no such image".to_owned(),
            });
        };
        let mut present = script.present().await;
        let mut pulled = None;
        if !*present {
            let began = Instant::now();
            self.shared.answering()?;
            self.shared.record(|ledger| ledger.pulled.push(reference.to_owned()));
            script.pull.run().await?;
            *present = true;
            pulled = Some(Phase::done("pull", began));
        }
        Ok(Found { image: script.image(), pulled })
    }

    async fn create(&self, spec: ContainerSpec) -> Result<Box<dyn Container>, Error> {
        self.shared.answering()?;
        let script = lock(&self.shared.images).get(&spec.image.id).cloned();
        let Some(script) = script else {
            return Err(Error::Create { message: format!("no such image: {}", spec.image.id) });
        };
        script.create.run().await?;
        let guard = self.shared.enter(&script);
        Ok(Box::new(Created { shared: Arc::clone(&self.shared), script, spec, guard }))
    }

    async fn freeze(&self, container: &str) -> Result<(), Error> {
        self.shared.turn(container, true).await
    }

    async fn thaw(&self, container: &str) -> Result<(), Error> {
        self.shared.turn(container, false).await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.shared.answering()
    }

    async fn remove_orphans(&self) -> Result<usize, Error> {
        self.shared.answering()?;
        Ok(self.shared.orphans.swap(0, Ordering::SeqCst))
    }

    async fn shutdown(&self, deadline: Duration) -> usize {
        self.shared.removals.close();
        // Running out of time is an answer here: what is left is counted.
        drop(tokio::time::timeout(deadline, self.shared.removals.wait()).await);
        self.shared.removals.len()
    }
}

// === impl Shared ===

impl Shared {
    fn answering(&self) -> Result<(), Error> {
        if self.away.load(Ordering::SeqCst) {
            return Err(Error::EngineAway { source: None });
        }
        Ok(())
    }

    fn record(&self, change: impl FnOnce(&mut Ledger)) {
        self.ledger.send_modify(change);
    }

    /// A new container is on the engine; the guard takes it off again.
    fn enter(self: &Arc<Self>, script: &Arc<Script>) -> Guard {
        let number = self.next_id.fetch_add(1, Ordering::SeqCst) + 1;
        let id = format!("scripted-{number:04}");
        self.record(|ledger| ledger.create(&id));
        let (shared, script, runtime) = (Arc::clone(self), Arc::clone(script), Handle::current());
        Guard::new(id.clone(), move || shared.leave(id, &script, &runtime))
    }

    fn leave(self: Arc<Self>, id: String, script: &Script, runtime: &Handle) {
        if let Some(switch) = lock(&self.running).remove(&id) {
            switch.token.cancel();
        }
        let takes = script.remove_takes;
        if takes.is_zero() {
            self.record(|ledger| ledger.remove(&id));
            return;
        }
        let shared = Arc::clone(&self);
        let removal = async move {
            tokio::time::sleep(takes).await;
            shared.record(|ledger| ledger.remove(&id));
        };
        self.removals.spawn_on(removal, runtime);
    }
}

// === impl Created ===

#[async_trait]
impl Container for Created {
    async fn start_noting(self: Box<Self>, phases: &mut Phases) -> Result<Running, Error> {
        let Self { shared, script, spec, guard } = *self;
        phases.begin("start");
        shared.answering()?;
        script.start.run().await?;
        phases.end();

        let id = guard.id().to_owned();
        let token = CancellationToken::new();
        let (exit_when_killed, killed) = watch::channel(KILLED);
        let (stdin, reader) = tokio::io::duplex(PIPE_BYTES);
        let keeper = Keeper::default();
        let stdin = keeper.kept().input(stdin);
        let (frames, mut output) = mpsc::channel(PIPE_FRAMES);
        let (exited, exit) = oneshot::channel();
        let (socket, listening) = socket::socket();
        let socket = (spec.contract == Contract::Socket).then(|| Box::new(socket) as Box<dyn Socket>);
        let taps = script.taps != Taps::None && spec.has_tap();
        let inside = ScriptIo::new(reader, listening, frames, spec);
        let tap = inside.tap().filter(|_| taps).map(|tap| Box::new(tap) as Box<dyn Tap>);
        let (frozen, halts) = watch::channel(false);
        let program = freeze::unless_frozen(script.play(inside), halts);

        shared.record(|ledger| ledger.start(&id));
        let switch = Switch { token: token.clone(), exit: exit_when_killed, frozen, script: Arc::clone(&script) };
        lock(&shared.running).insert(id.clone(), switch);
        let (engine, stop) = (Arc::clone(&shared), token.clone());
        shared.programs.spawn(async move {
            let exit = tokio::select! {
                biased;
                () = stop.cancelled() => *killed.borrow(),
                exit = program => exit,
            };
            drop(keeper);
            stop.cancel();
            lock(&engine.running).remove(&id);
            engine.record(|ledger| ledger.exit(&id));
            // Nobody has to ask how a container ended.
            exited.send(exit).ok();
        });

        Ok(Running {
            stdin,
            socket,
            output: carry::carried(stream::poll_fn(move |cx| output.poll_recv(cx)), &script),
            tap,
            stats: stats_source(script.stats, token),
            exit: exit.map(|exit| exit.unwrap_or(Exit::Vanished)).boxed(),
            guard,
        })
    }
}

fn stats_source(stats: Stats, token: CancellationToken) -> StatsSource {
    let sampler = ScriptedSampler { taken: 0, marked: false, token: token.clone() };
    match stats {
        Stats::Direct => StatsSource::Direct(Box::new(sampler)),
        Stats::Stream(every) => {
            let samples = stream::unfold(sampler, move |mut sampler| async move {
                tokio::time::sleep(every).await;
                sampler.sample().map(|stat| (stat, sampler))
            });
            StatsSource::Stream(samples.take_until(token.cancelled_owned()).boxed())
        }
        Stats::None => StatsSource::Stream(stream::empty().boxed()),
    }
}

// === impl ScriptedSampler ===

impl Sampler for ScriptedSampler {
    fn mark(&mut self) {
        self.marked = true;
    }

    /// The nth sample of a container has n in its CPU figures and 1 in `cpu_user` when a mark went before it, so
    /// that tests can tell which sample they got.
    fn sample(&mut self) -> Option<Stat> {
        if self.token.is_cancelled() {
            return None;
        }
        self.taken += 1;
        let marked = std::mem::take(&mut self.marked);
        Some(Stat {
            timestamp: Timestamp::now(),
            metrics: Metrics {
                cpu_total: self.taken,
                cpu_user: u64::from(marked),
                mem_limit: 128 << 20,
                mem_usage: 1 << 20,
                ..Metrics::default()
            },
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these locks, and the maps stay valid between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
