//! The life of one hot container: started, lent to one call after the other, removed.

mod frost;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hearth_models::{Error, Format, Reason};
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::frost::Frost;
use crate::container::{Fate, Idle, Wire};
use crate::dispatch::{COMMANDS, Command, Dispatch, Handle, Permit, Template};
use crate::launch::Launch;
use crate::metrics::{LaunchOutcome, Span};
use crate::probe::Probe;
use crate::quiet::Quiet;
use crate::slots::{ContainerRef, StartFailure};
use crate::stop::Stop;
use crate::work::Work;

/// A container that is not ready by then never will be, unless its function's timeout allows for more.
const LONGEST_START: Duration = Duration::from_secs(60);

/// Starts a container of `template` and serves calls with it until it idles for too long, is retired, or spoils
/// itself. `permit` is given back when the container is gone.
pub(crate) async fn run(permit: Permit, template: Arc<Template>) {
    let dispatch = Arc::clone(&permit.dispatch);
    let began = Instant::now();
    let patience = template.limits.timeout().max(LONGEST_START);
    let mut launch = Launch::of(&dispatch, &template);
    let running = match launch.container(template.env.clone(), began + patience).await {
        Ok(running) => running,
        Err(not_started) => {
            return permit.fail(&not_started.into_failure(|| {
                let error = Error::StartFailed(format!("not ready within {} s", patience.as_secs()));
                StartFailure::new(error, true)
            }));
        }
    };
    let probe = |source| Probe::new(source, Arc::clone(&template.series));
    let quiet = Quiet::new(dispatch.settings.precise_drain);
    let mut wire = Wire::new(running, probe, quiet, &dispatch);
    if template.format == Format::HttpStream {
        launch.begin("listen");
    }
    match dispatch.stop.run_until_cancelled(wire.open(dispatch.settings.socket_patience)).await {
        Some(Ok(())) => wire.came_through(launch.ended(LaunchOutcome::Ready)),
        Some(Err(error)) => {
            launch.ended(match error {
                Error::InitTimedOut => LaunchOutcome::TimedOut,
                Error::Vanished => LaunchOutcome::EngineFailed,
                _ => LaunchOutcome::Failed,
            });
            return permit.fail(&not_opened(&template, error, wire.said()));
        }
        None => {
            launch.ended(LaunchOutcome::Stopped);
            return permit.fail(&StartFailure::new(Error::ShuttingDown, false));
        }
    }
    tracing::debug!(
        app = template.series.app(),
        route = template.series.path(),
        container_id = wire.id(),
        "hot container started"
    );
    let (handle, commands) = mpsc::channel(COMMANDS);
    dispatch.launched(permit.at, handle.clone());
    let (at, frost, stop) = (permit.at, Frost::Awake, Stop::new(&dispatch.stop));
    let hot = Hot { dispatch: &dispatch, at, template: &template, wire, frost, stop, handle, commands, served: false };
    let served = hot.serve().await;
    template.series.took(Span::RunHot, began.elapsed());
    if let Err(failure) = served {
        template.series.launched(LaunchOutcome::Useless);
        permit.fail(&failure);
    }
}

/// What the waiting calls are told of a function that did not open its socket.
fn not_opened(template: &Template, error: Error, said: Bytes) -> StartFailure {
    tracing::warn!(
        app = template.series.app(), route = template.series.path(), %error, reason = %error.reason(),
        "function did not become ready"
    );
    StartFailure { blame_key: error != Error::Vanished, error, said }
}

struct Hot<'a> {
    dispatch: &'a Arc<Dispatch>,
    at: ContainerRef,
    template: &'a Template,
    wire: Wire,
    frost: Frost,
    stop: Stop,
    handle: Handle,
    commands: mpsc::Receiver<Command>,
    /// It has been of use to a call.
    served: bool,
}

enum Next {
    Run(Box<Work>),
    Retire,
    IdledOut,
    Over,
}

impl Hot<'_> {
    /// Serves calls until the container has to go. Fails if it was of no use to a single one: then starting another
    /// would not help, and whoever waits is told why.
    async fn serve(mut self) -> Result<(), StartFailure> {
        let result = self.serve_calls().await;
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            if let Command::Run(work) = command {
                turn_away(work, result.as_ref());
            }
        }
        result
    }

    async fn serve_calls(&mut self) -> Result<(), StartFailure> {
        // What it wrote unasked as it started is to be seen before it has its first request.
        tokio::task::yield_now().await;
        let mut given = None;
        loop {
            let next = match given.take() {
                Some(work) => Next::Run(work),
                None => self.next().await,
            };
            match next {
                Next::Run(work) => match self.run(work).await {
                    ControlFlow::Continue(next) => given = next,
                    ControlFlow::Break(result) => return result,
                },
                Next::Retire => return Ok(()),
                Next::IdledOut | Next::Over if self.dispatch.leave(self.at) => return self.over().await,
                // A call got this container at this very moment and is on its way.
                Next::IdledOut | Next::Over => {}
            }
        }
    }

    /// Executes one call. Goes on with the next one, if the line has one, unless the container is of no more use.
    async fn run(&mut self, work: Box<Work>) -> ControlFlow<Result<(), StartFailure>, Option<Box<Work>>> {
        if !self.thaw().await {
            let stopped = self.dispatch.stop.is_cancelled().then(|| StartFailure::new(Error::ShuttingDown, false));
            turn_away(work, stopped.as_ref().map_or(Ok(&()), Err));
            return ControlFlow::Break(Ok(()));
        }
        if self.wire.settle(self.template.format) == Idle::Over {
            let result = self.over().await;
            turn_away(work, result.as_ref());
            return ControlFlow::Break(result);
        }
        // Its caller left while it was handed over; dropped, it is recorded so.
        if work.responder.is_abandoned() {
            drop(work);
            return ControlFlow::Continue(self.dispatch.freed(self.at, self.handle.clone()));
        }
        if let Err(error) = self.wire.connect().await {
            tracing::debug!(container_id = self.wire.id(), %error, "function takes no more connections");
            let result = self.unreachable();
            turn_away(work, result.as_ref());
            return ControlFlow::Break(result);
        }
        let answered = || self.dispatch.answered(self.at);
        if self.wire.execute(work, &mut self.stop, answered).await == Fate::Spent {
            return ControlFlow::Break(Ok(()));
        }
        self.served = true;
        ControlFlow::Continue(self.dispatch.freed(self.at, self.handle.clone()))
    }

    async fn next(&mut self) -> Next {
        let since = Instant::now();
        let end = since + self.template.limits.idle_timeout();
        let freeze_at = self.dispatch.settings.freeze_idle.and_then(|time| since.checked_add(time));
        if let Some(next) = self.freeze(freeze_at.unwrap_or(end), end).await {
            return next;
        }
        self.wait(end).await.unwrap_or(Next::IdledOut)
    }

    /// Waits for what is to be done next, until `end`.
    async fn wait(&mut self, end: Instant) -> Option<Next> {
        tokio::select! {
            biased;
            command = self.commands.recv() => Some(match command {
                Some(Command::Run(work)) => Next::Run(work),
                Some(Command::Retire) | None => Next::Retire,
            }),
            () = self.stop.requested() => Some(Next::Retire),
            idle = self.wire.idle(self.template.format, end) => match idle {
                Idle::Over => Some(Next::Over),
                Idle::Still => None,
            },
        }
    }

    /// The function cannot be connected to any more.
    fn unreachable(&mut self) -> Result<(), StartFailure> {
        if self.served {
            return Ok(());
        }
        Err(StartFailure { error: Error::NotReceived(Reason::BadExit), blame_key: true, said: self.wire.said() })
    }

    /// The container is of no more use.
    async fn over(&mut self) -> Result<(), StartFailure> {
        if self.served || self.wire.is_fit() {
            return Ok(());
        }
        let error = self.wire.why_unfit(self.template.format).await;
        Err(StartFailure { blame_key: error != Error::Vanished, error, said: self.wire.said() })
    }
}

/// Lets a call go that this container has not touched: to another container, or, when there is no point in that,
/// with the reason.
fn turn_away(work: Box<Work>, result: Result<&(), &StartFailure>) {
    match result {
        Err(failure) => work.not_started(failure),
        Ok(()) => work.bounce(),
    }
}
