//! The agent: takes calls, runs them, and stops in good order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hearth_datastore::Recorder;
use hearth_drivers::{Driver, Found, Image};
use hearth_models::{AppId, Call, Error, FnId, Format};
use rustc_hash::FxHashMap;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::alarm::by;
use crate::answer::Reply;
use crate::background::{Attempt, Transcript};
use crate::dispatch::{Dispatch, Place, Template};
use crate::images::Images;
use crate::listen::Listeners;
use crate::live::LiveCall;
use crate::metrics::{CallCounts, Held, Owner};
use crate::outgoing::Prefix;
use crate::slots::{Containers, Gauges, SlotKey};
use crate::trace::CallTrace;
use crate::work::{Clock, Unattended, Work};
use crate::{Answer, Failure, Invocation, Metrics, RequestBody, Settings, env};

/// Runs calls. Clones are handles of the same agent.
#[derive(Clone, Debug)]
pub struct Agent {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dispatch: Arc<Dispatch>,
    images: Images,
    listeners: Listeners,
    recorder: Recorder,
    /// Bytes of request bodies that may be held.
    bodies: Arc<Semaphore>,
}

/// How many calls and containers there are at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Calls that wait for a slot.
    pub waiting: usize,
    /// Containers that are being started.
    pub starting: usize,
    /// Containers that execute a call.
    pub busy: usize,
    /// Hot containers that wait for a call.
    pub idle: usize,
    /// Memory that containers have reserved, in bytes.
    pub memory_reserved: u64,
    /// Of that, what idle hot containers have reserved.
    pub memory_idle: u64,
    /// Memory that they may reserve, in bytes.
    pub memory_capacity: u64,
    /// CPU limits of all containers together, in thousandths of a core; 0 where containers have none.
    pub cpu_reserved_millis: u64,
    /// CPUs of the node, in thousandths of a core.
    pub cpu_capacity_millis: u64,
}

impl Agent {
    /// An agent that runs containers with `driver` and hands records to `recorder`.
    ///
    /// Must be called on a tokio runtime; its tasks end with [`shutdown`](Self::shutdown).
    #[must_use]
    pub fn start(driver: Arc<dyn Driver>, recorder: Recorder, metrics: Arc<Metrics>, settings: Settings) -> Self {
        let images = Images::new(Arc::clone(&driver), settings.allows_volumes);
        let bodies = Arc::new(Semaphore::new(settings.max_held_bodies.min(Semaphore::MAX_PERMITS)));
        let listeners = Listeners::start(settings.listeners.clone(), metrics.listener_failures().clone());
        let dispatch = Dispatch::start(driver, metrics, settings);
        Self { shared: Arc::new(Shared { dispatch, images, listeners, recorder, bodies }) }
    }

    /// Runs a call and waits for its answer, which may still be on its way when this returns.
    ///
    /// Every call that is taken leaves a record, also one that never ran. Dropping the future gives the call up: one
    /// that waits leaves the line, one that runs goes on to its end or deadline and its answer is discarded; either
    /// way its record says that the client left.
    ///
    /// # Errors
    /// Why there is no answer, and how long the call waited.
    pub async fn submit(&self, mut invocation: Invocation, body: RequestBody) -> Result<Answer, Failure> {
        let Shared { dispatch, recorder, .. } = &*self.shared;
        if !recorder.has_room() {
            let error = Error::NoCapacity("records of earlier calls wait for the database".to_owned());
            return Err(Failure { error, waited: Duration::ZERO });
        }
        let max_log = dispatch.settings.max_log;
        let mut live = LiveCall::begin(&invocation, max_log, recorder.clone(), &dispatch.metrics);
        if let Some(trace) = self.begin_trace(&mut invocation) {
            live.trace(trace);
        }
        if let Err(error) = self.ask(&mut live, &mut invocation).await {
            return Err(refuse(live, error));
        }
        let clock = Clock::start(&live, &invocation);
        let span = live.span();
        // Boxed once here, so that the server's future stays small.
        Box::pin(self.shared.run(invocation, body, live, clock, None).instrument(span)).await
    }

    /// Runs a call of the queue, as [`submit`](Self::submit) does, but for its record: `attempt` is told how it ended.
    /// Nothing will come of it once `lost` is cancelled.
    pub(crate) async fn resume(
        &self,
        mut invocation: Invocation,
        body: Bytes,
        call: Call,
        attempt: Attempt,
        lost: CancellationToken,
    ) -> Result<Answer, Failure> {
        let Shared { dispatch, recorder, .. } = &*self.shared;
        let max_log = dispatch.settings.max_log;
        let accepted_at = call.created_at;
        let mut live = LiveCall::resume((call, attempt), &invocation, max_log, recorder.clone(), &dispatch.metrics);
        if let Some(mut trace) = self.begin_trace(&mut invocation) {
            trace.was_queued(accepted_at);
            live.trace(trace);
        }
        if let Err(error) = self.ask(&mut live, &mut invocation).await {
            return Err(refuse(live, error));
        }
        let clock = Clock::unattended(&live, &invocation);
        let transcript = Transcript::new(invocation.function.format, max_log);
        let unattended = Unattended { lost, transcript };
        let span = live.span();
        Box::pin(self.shared.run(invocation, full_body(body), live, clock, Some(unattended)).instrument(span)).await
    }

    /// Asks the listeners whether a call may be, and lets them know of its end.
    async fn ask(&self, live: &mut LiveCall, invocation: &mut Invocation) -> Result<(), Error> {
        let listeners = &self.shared.listeners;
        live.tell(listeners.line());
        listeners.ask(invocation).await
    }

    /// Whether calls are traced at all.
    #[must_use]
    pub fn is_traced(&self) -> bool {
        self.settings().tracer.is_some()
    }

    /// A function is told of its trace in its request, so this comes before anything is made of that.
    fn begin_trace(&self, invocation: &mut Invocation) -> Option<CallTrace> {
        let tracer = self.settings().tracer.as_ref()?;
        tracer.begin(&mut invocation.request.headers, invocation.arrived)
    }

    /// Memory that containers may reserve together, in bytes. A function that needs more can never run.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.settings().memory
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.shared.dispatch.settings
    }

    /// How things stand, and what containers these functions have.
    pub(crate) fn containers(&self, of: impl Fn(FnId) -> bool) -> (Gauges, FxHashMap<FnId, Containers>) {
        self.shared.dispatch.containers(of)
    }

    /// Whether the engine answers.
    pub(crate) async fn has_engine(&self) -> bool {
        self.shared.dispatch.driver.ping().await.is_ok()
    }

    pub(crate) fn recorder(&self) -> &Recorder {
        &self.shared.recorder
    }

    /// Reads the whole body of a request that will be queued. It counts among the bodies that are held until it is
    /// dropped.
    ///
    /// # Errors
    /// The client did not send it, or too much of other requests is held.
    pub async fn collect(&self, body: RequestBody) -> Result<Bytes, Error> {
        let prefix = Prefix::read(body, usize::MAX, &self.shared.bodies).await?;
        Ok(Bytes::from_owner(prefix))
    }

    /// A function changed or was deleted: its idle containers go at once, busy ones after their call.
    pub fn function_changed(&self, function: FnId) {
        self.shared.dispatch.retire(|key| key.function == function);
    }

    /// An app changed or was deleted: the same for all its functions.
    pub fn app_changed(&self, app: AppId) {
        self.shared.dispatch.retire(|key| key.app == app);
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.shared.dispatch.metrics
    }

    /// Counts of calls by path.
    #[must_use]
    pub fn calls(&self) -> BTreeMap<String, CallCounts> {
        self.shared.dispatch.metrics.calls()
    }

    /// How many calls and containers there are.
    #[must_use]
    pub fn occupancy(&self) -> Occupancy {
        self.occupancy_of(&self.shared.dispatch.gauges())
    }

    /// The same, and what each slot key has of it.
    pub(crate) fn held(&self) -> (Occupancy, Vec<Held>) {
        let (gauges, keys) = self.shared.dispatch.keys();
        let held = |(template, containers, waiting): (Arc<Template>, _, _)| Held {
            labels: template.series.labels().clone(),
            owner: template.owner.clone(),
            containers,
            waiting,
        };
        (self.occupancy_of(&gauges), keys.into_iter().map(held).collect())
    }

    fn occupancy_of(&self, gauges: &Gauges) -> Occupancy {
        let Settings { cpus, container_cpu_millis, .. } = self.settings();
        Occupancy {
            cpu_reserved_millis: container_cpu_millis.unwrap_or_default() * gauges.containers as u64,
            cpu_capacity_millis: 1000 * *cpus as u64,
            waiting: gauges.waiting,
            starting: gauges.starting,
            busy: gauges.busy,
            idle: gauges.idle,
            memory_reserved: gauges.memory_reserved,
            memory_idle: gauges.memory_idle,
            memory_capacity: gauges.memory_capacity,
        }
    }

    /// Lets all containers go; those that still work after `patience` are stopped. No call may be submitted any more.
    pub async fn shutdown(&self, patience: Duration) {
        self.shared.dispatch.shutdown(patience).await;
        self.shared.listeners.shutdown().await;
    }
}

impl Shared {
    async fn run(
        &self,
        invocation: Invocation,
        body: RequestBody,
        mut live: LiveCall,
        mut clock: Clock,
        unattended: Option<Unattended>,
    ) -> Result<Answer, Failure> {
        let stop = &self.dispatch.stop;
        let prepared = async {
            let limit = self.preread(invocation.function.format);
            let prefix = by(clock.start_by, Prefix::read(body, limit, &self.bodies)).await;
            let prefix = prefix.map_err(|_| Error::BodyTimeout)??;
            live.timeline().body = Some(Instant::now());
            let began = Instant::now();
            let found = self.image(&invocation, clock.image_by()).await?;
            clock.had_no_image(began.elapsed());
            live.timeline().image = Some(Instant::now());
            if let Some(trace) = live.traced() {
                trace.pulled = found.pulled;
            }
            Ok((prefix, found.image))
        };
        let prepared = tokio::select! {
            biased;
            prepared = prepared => prepared,
            () = stop.cancelled() => Err(Error::ShuttingDown),
        };
        match prepared {
            Ok((prefix, image)) => {
                let (caller, reply) = oneshot::channel();
                let settings = &self.dispatch.settings;
                let mut work = Work::new(invocation, (image, prefix), live, clock, caller, settings);
                work.unattended = unattended;
                self.place(work, reply).await
            }
            Err(error) => Err(refuse(live, error)),
        }
    }

    /// The image of a call, which waits for it until then.
    async fn image(&self, invocation: &Invocation, end: Option<Instant>) -> Result<Found, Error> {
        let found = self.images.get(invocation);
        match end {
            Some(end) => by(end, found).await.map_err(|_late| Error::Busy)?,
            None => found.await,
        }
    }

    /// Bytes of body to read before a slot is asked for. A `json` request is one text, so all of it.
    fn preread(&self, format: Format) -> usize {
        if format == Format::Json { usize::MAX } else { self.dispatch.settings.preread }
    }

    /// Gets a call into a container and waits for what its caller is to hear.
    async fn place(&self, mut work: Box<Work>, mut reply: oneshot::Receiver<Reply>) -> Result<Answer, Failure> {
        loop {
            let key = slot_key(&work.invocation, &work.image);
            let leave_by = work.leave_line_by();
            let heard = match self.dispatch.submit(key, work, |work| self.template(work)) {
                Ok(None) => reply.await,
                Ok(Some(place)) => self.wait(place, leave_by, &mut reply).await,
                Err((work, error)) => {
                    work.refuse(&error);
                    reply.await
                }
            };
            match heard {
                Ok(Reply::Answer(answer)) => return Ok(answer),
                Ok(Reply::Failure(failure)) => return Err(failure),
                Ok(Reply::Bounced(back)) => {
                    let (caller, next) = oneshot::channel();
                    (work, reply) = (back, next);
                    work.responder.redirect(caller);
                }
                // Its task panicked; the call was recorded when the work was dropped.
                Err(_) => return Err(Failure { error: Error::Internal, waited: Duration::ZERO }),
            }
        }
    }

    fn template(&self, work: &Work) -> Arc<Template> {
        let Invocation { app, function, fn_path, .. } = &work.invocation;
        Arc::new(Template {
            image: work.image.clone(),
            env: env::base_env(app, function, fn_path),
            format: function.format,
            limits: function.limits,
            series: self.dispatch.metrics.of_containers(&work.invocation),
            owner: Owner { app_id: app.id, fn_id: function.id, image_name: function.image.clone() },
            syslog_address: app.syslog_address(),
        })
    }

    /// Waits in the line, for as long as the call may, and then for its reply.
    async fn wait(
        &self,
        place: Place,
        leave_by: Instant,
        reply: &mut oneshot::Receiver<Reply>,
    ) -> Result<Reply, oneshot::error::RecvError> {
        let error = tokio::select! {
            biased;
            heard = &mut *reply => {
                place.gone();
                return heard;
            }
            () = self.dispatch.stop.cancelled() => Error::ShuttingDown,
            () = sleep_until(leave_by) => Error::Busy,
        };
        if let Some(work) = place.leave() {
            work.refuse(&error);
        }
        reply.await
    }
}

fn refuse(live: LiveCall, error: Error) -> Failure {
    let waited = live.waited();
    live.end(Err(&error));
    Failure { error, waited }
}

fn slot_key(invocation: &Invocation, image: &Image) -> SlotKey {
    let Invocation { app, function, fn_path, .. } = invocation;
    let parts = (&image.id, function.format, &function.limits, &function.config, &app.config, app.syslog_address());
    if function.format == Format::HttpStream {
        // Its containers serve every door.
        return SlotKey::new(app.id, function.id, &parts);
    }
    let parts = (parts, function.call_type);
    SlotKey::new(app.id, function.id, &(parts, &app.name, fn_path))
}

/// A body that is empty, for doors and tests that have none.
#[must_use]
pub fn empty_body() -> RequestBody {
    full_body(Bytes::new())
}

/// A body that is all there.
#[must_use]
pub fn full_body(bytes: impl Into<Bytes>) -> RequestBody {
    use http_body_util::BodyExt;
    http_body_util::Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}
