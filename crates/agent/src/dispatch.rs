//! The shell around the [`Scheduler`]: carries out what it decides and brings it the clock.
//!
//! The scheduler stands behind a lock that is held for one decision and never across an await. Containers run in
//! tasks that the dispatch owns; each reports the end of its container exactly once, whatever happened to it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hearth_drivers::{ContainerSpec, Contract, Driver, Image, Syslog};
use hearth_models::{Error, FnId, Format, FunctionLimits};
use rustc_hash::FxHashMap;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cpu::CpuMeter;
use crate::lateness::DrainRule;
use crate::metrics::{Metrics, Owner, Series};
use crate::slots::{
    Action, Admission, Asker, ContainerRef, Containers, Demand, Gauges, Limits, Scheduler, SlotKey, StartFailure,
    Ticket,
};
use crate::work::Work;
use crate::{Settings, cold, hot};

/// How often waiting calls are looked at for a due start, which may come by waiting alone.
const TICK: Duration = Duration::from_millis(10);
/// How often keys that nothing is left of are looked for.
const SWEEP: Duration = Duration::from_secs(60);

/// What the containers of a slot key are made of.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) image: Image,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) format: Format,
    pub(crate) limits: FunctionLimits,
    pub(crate) series: Arc<Series>,
    pub(crate) owner: Owner,
    pub(crate) syslog_address: Option<String>,
}

/// What a container is told.
#[derive(Debug)]
pub(crate) enum Command {
    Run(Box<Work>),
    Retire,
}

/// The way to a hot container. At most one call holds it at a time, so a call and a farewell are all that can be
/// in it.
pub(crate) type Handle = mpsc::Sender<Command>;
pub(crate) const COMMANDS: usize = 2;

type Node = Scheduler<Arc<Template>, Box<Work>, Handle>;
type Actions = Vec<Action<Arc<Template>, Box<Work>, Handle>>;

/// Decides which call gets which container, and sees to it that it happens.
#[derive(Debug)]
pub(crate) struct Dispatch {
    scheduler: Mutex<Node>,
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) settings: Settings,
    /// Owns a task per container; each ends when its container is gone.
    containers: TaskTracker,
    clock: TaskTracker,
    /// Cancelled when what still runs has to stop at once.
    pub(crate) stop: CancellationToken,
    calls_wait: Notify,
}

impl Dispatch {
    pub(crate) fn start(driver: Arc<dyn Driver>, metrics: Arc<Metrics>, settings: Settings) -> Arc<Self> {
        let limits = Limits {
            memory: settings.memory,
            cpus: settings.cpus,
            containers_per_key: settings.max_containers_per_function,
            waiting_per_key: settings.max_waiting_per_function,
            waiting: settings.max_waiting,
        };
        let this = Arc::new(Self {
            scheduler: Mutex::new(Scheduler::new(limits)),
            driver,
            metrics,
            settings,
            containers: TaskTracker::new(),
            clock: TaskTracker::new(),
            stop: CancellationToken::new(),
            calls_wait: Notify::new(),
        });
        this.clock.spawn(Arc::clone(&this).keep_time());
        this.clock.close();
        this
    }

    /// Takes a call of `key`: it is in a container at once if one idles, else it stands in the line until the place that
    /// comes back is given up. Whoever waits for the call's reply hears the rest. `describe` tells what a container of the
    /// key is made of.
    ///
    /// # Errors
    /// The call comes back with the reason why it may not even wait.
    pub(crate) fn submit(
        self: &Arc<Self>,
        key: SlotKey,
        mut work: Box<Work>,
        describe: impl Fn(&Work) -> Arc<Template>,
    ) -> Result<Option<Place>, (Box<Work>, Error)> {
        loop {
            let describe = |work: &_| {
                let template = describe(work);
                let demand = Demand { memory: template.limits.memory_bytes(), cold: !template.format.is_hot() };
                (template, demand)
            };
            let asker = if work.unattended.is_some() { Asker::Queue } else { Asker::Caller };
            let admission =
                self.tell(|node, now, actions| node.call(key, (asker, work), now, |work| describe(work), actions));
            match admission {
                Admission::Now { waiter, container, .. } => match hand_over(waiter, &container) {
                    Ok(()) => return Ok(None),
                    // It has just gone, and says so itself.
                    Err(back) => work = back,
                },
                Admission::Refused { waiter, error } => return Err((waiter, error)),
                Admission::Waiting(ticket) => {
                    self.calls_wait.notify_one();
                    return Ok(Some(Place { dispatch: Arc::clone(self), ticket: Some(ticket) }));
                }
            }
        }
    }

    pub(crate) fn gauges(&self) -> Gauges {
        self.lock().gauges()
    }

    /// How things stand, and what each slot key has.
    pub(crate) fn keys(&self) -> (Gauges, Vec<(Arc<Template>, Containers, usize)>) {
        let node = self.lock();
        (node.gauges(), node.keys())
    }

    /// How things stand, and what containers these functions have.
    pub(crate) fn containers(&self, of: impl Fn(FnId) -> bool) -> (Gauges, FxHashMap<FnId, Containers>) {
        let node = self.lock();
        (node.gauges(), node.containers(of))
    }

    pub(crate) fn retire(self: &Arc<Self>, which: impl Fn(&SlotKey) -> bool) {
        self.tell(|node, _, actions| node.retire(which, actions));
    }

    /// Lets every container go, idle ones at once and busy ones after their call; what is left after `patience` is
    /// stopped. Returns when all are gone.
    pub(crate) async fn shutdown(self: &Arc<Self>, patience: Duration) {
        self.retire(|_| true);
        self.containers.close();
        if tokio::time::timeout(patience, self.containers.wait()).await.is_err() {
            tracing::warn!("containers still work at the end of the drain, stopping them");
        }
        self.stop.cancel();
        self.containers.wait().await;
        self.clock.wait().await;
    }

    // === what containers report ===

    pub(crate) fn launched(self: &Arc<Self>, at: ContainerRef, container: Handle) {
        self.tell(|node, now, actions| node.launched(at, container, now, actions));
    }

    pub(crate) fn cold_started(self: &Arc<Self>, at: ContainerRef) {
        self.tell(|node, now, actions| node.cold_started(at, now, actions));
    }

    pub(crate) fn start_failed(self: &Arc<Self>, at: ContainerRef, failure: &StartFailure) {
        self.tell(|node, now, actions| node.start_failed(at, failure, now, actions));
    }

    pub(crate) fn answered(&self, at: ContainerRef) {
        self.lock().answered(at, Instant::now());
    }

    /// The container may serve another call. The one that has waited longest comes back, if there is one.
    pub(crate) fn freed(self: &Arc<Self>, at: ContainerRef, container: Handle) -> Option<Box<Work>> {
        let mut next = None;
        self.decide(
            |node, now, actions| node.freed(at, container, now, actions),
            |action| match action {
                // Its own task asks: the shortest way.
                Action::Assign { waiter, at: to, .. } if to == at => next = Some(waiter),
                other => self.carry_out(other),
            },
        );
        next
    }

    pub(crate) fn leave(&self, at: ContainerRef) -> bool {
        self.lock().leave(at)
    }

    pub(crate) fn gone(self: &Arc<Self>, at: ContainerRef) {
        self.tell(|node, now, actions| node.gone(at, now, actions));
    }

    pub(crate) fn drain_rule(&self) -> DrainRule {
        DrainRule { shortest: self.settings.drain, longest: self.settings.max_drain }
    }

    pub(crate) fn spec(&self, template: &Template, env: Vec<(String, String)>) -> ContainerSpec {
        let Owner { app_id, fn_id, .. } = &template.owner;
        let tag = || format!("app_id={app_id},fn_id={fn_id}");
        let syslog = template.syslog_address.clone().map(|address| Syslog { address, tag: tag() });
        ContainerSpec {
            image: template.image.clone(),
            contract: if template.format == Format::HttpStream { Contract::Socket } else { Contract::Pipes },
            env,
            memory_bytes: template.limits.memory_bytes(),
            cpu_millis: self.settings.container_cpu_millis,
            labels: vec![
                ("hearth.app".to_owned(), template.series.app().to_owned()),
                ("hearth.route".to_owned(), template.series.path().to_owned()),
            ],
            tapped: template.format.is_hot(),
            syslog,
        }
    }

    // === inside ===

    /// Tells the scheduler something and carries out what it says.
    fn tell<R>(self: &Arc<Self>, event: impl FnOnce(&mut Node, Instant, &mut Actions) -> R) -> R {
        self.decide(event, |action| self.carry_out(action))
    }

    fn decide<R>(
        &self,
        event: impl FnOnce(&mut Node, Instant, &mut Actions) -> R,
        carry_out: impl FnMut(Action<Arc<Template>, Box<Work>, Handle>),
    ) -> R {
        let mut actions = Actions::new();
        let result = event(&mut self.lock(), Instant::now(), &mut actions);
        actions.into_iter().for_each(carry_out);
        result
    }

    fn carry_out(self: &Arc<Self>, action: Action<Arc<Template>, Box<Work>, Handle>) {
        match action {
            Action::Assign { waiter, container, .. } => {
                if let Err(back) = hand_over(waiter, &container) {
                    back.bounce();
                }
            }
            Action::Admit { waiter, template, at } => {
                let permit = Permit { dispatch: Arc::clone(self), at, open: true };
                self.containers.spawn(cold::run(permit, template, waiter));
            }
            Action::Refuse { waiter, failure } => waiter.not_started(&failure),
            Action::Launch { template, at } => {
                let permit = Permit { dispatch: Arc::clone(self), at, open: true };
                self.containers.spawn(hot::run(permit, template));
            }
            // A container whose task has ended has no need to be told.
            Action::Retire { container } => drop(container.try_send(Command::Retire)),
        }
    }

    /// While calls wait, starts may come due without anything else happening.
    async fn keep_time(self: Arc<Self>) {
        let mut cpu = CpuMeter::default();
        let mut sweep = tokio::time::interval(SWEEP);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                _now = sweep.tick() => self.lock().sweep(Instant::now()),
                () = self.calls_wait.notified() => {
                    loop {
                        // Looked at before the lock is taken: it may mean reading a file.
                        let cpu_has_room = cpu.has_room(Instant::now());
                        if !self.tell(|node, now, actions| node.tick(cpu_has_room, now, actions)) {
                            break;
                        }
                        if self.stop.run_until_cancelled(tokio::time::sleep(TICK)).await.is_none() {
                            return;
                        }
                    }
                }
            }
        }
    }

    /// The scheduler leaves no state half changed by panicking, so poison is no reason to stop.
    fn lock(&self) -> MutexGuard<'_, Node> {
        self.scheduler.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives `work` to the container, which reports back itself from then on. The work comes back if the container has
/// just gone.
fn hand_over(work: Box<Work>, container: &Handle) -> Result<(), Box<Work>> {
    container.try_send(Command::Run(work)).map_err(|error| match error.into_inner() {
        Command::Run(work) => work,
        Command::Retire => unreachable!("what comes back is what was sent"),
    })
}

/// A place in the line. Dropped, the call leaves it, and ends as one whose caller left.
#[derive(Debug)]
pub(crate) struct Place {
    dispatch: Arc<Dispatch>,
    ticket: Option<Ticket>,
}

impl Place {
    /// Leaves the line. The call comes back unless a container has it already.
    pub(crate) fn leave(mut self) -> Option<Box<Work>> {
        let ticket = self.ticket.take()?;
        self.dispatch.lock().abandon(ticket, Instant::now())
    }

    /// The call is known to have left the line.
    pub(crate) fn gone(mut self) {
        self.ticket = None;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let work = self.dispatch.lock().abandon(ticket, Instant::now());
            // Its end is recorded, which is none of the scheduler's business: not under its lock.
            drop(work);
        }
    }
}

/// Memory and a start that the scheduler has set aside for one container. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    pub(crate) dispatch: Arc<Dispatch>,
    pub(crate) at: ContainerRef,
    open: bool,
}

impl Permit {
    /// The start failed; whoever waits for it is told.
    pub(crate) fn fail(mut self, failure: &StartFailure) {
        self.open = false;
        self.dispatch.start_failed(self.at, failure);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.open {
            self.dispatch.gone(self.at);
        }
    }
}
