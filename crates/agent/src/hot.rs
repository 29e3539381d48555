//! The life of one hot container: started, lent to one call after the other, removed.

use std::sync::Arc;

use hearth_models::Error;
use tokio::sync::mpsc;

use crate::answer::Reply;
use crate::container::{Fate, Idle, Wire, Work};
use crate::dispatch::{COMMANDS, Command, Dispatch, Handle, Permit, Template};
use crate::probe::Probe;
use crate::quiet::Quiet;
use crate::slots::{ContainerRef, StartFailure};

/// Starts a container of `template` and serves calls with it until it idles for too long, is retired, or spoils
/// itself. `permit` is given back when the container is gone.
pub(crate) async fn run(permit: Permit, template: Arc<Template>) {
    let dispatch = Arc::clone(&permit.dispatch);
    let spec = dispatch.spec(&template, template.env.clone());
    let started = async {
        let container = dispatch.driver.create(spec).await?;
        container.start().await
    };
    let running = match dispatch.stop.run_until_cancelled(started).await {
        Some(Ok(running)) => running,
        Some(Err(error)) => return permit.fail(&failure(&template, &error)),
        None => return permit.fail(&StartFailure { error: Error::ShuttingDown, blame_key: false }),
    };
    let probe = |source| Probe::new(source, template.names.clone(), Arc::clone(&dispatch.metrics));
    let quiet = Quiet::new(dispatch.settings.precise_drain);
    let wire = Wire::new(running, probe, dispatch.drain_rule(), quiet);
    tracing::debug!(app = %template.names.app, route = %template.names.path, container_id = wire.id(), "hot container started");
    let (handle, commands) = mpsc::channel(COMMANDS);
    dispatch.launched(permit.at, handle.clone());
    Hot { dispatch: &dispatch, at: permit.at, template: &template, wire, handle, commands }.serve().await;
}

/// What the waiting calls are told of a failed start, and whether it is the function's fault.
pub(crate) fn failure(template: &Template, error: &hearth_drivers::Error) -> StartFailure {
    tracing::warn!(
        app = %template.names.app, route = %template.names.path, error = %hearth_drivers::Chain(error),
        "container could not be started"
    );
    StartFailure { error: crate::client_error(error), blame_key: !error.is_engine_away() }
}

struct Hot<'a> {
    dispatch: &'a Arc<Dispatch>,
    at: ContainerRef,
    template: &'a Template,
    wire: Wire,
    handle: Handle,
    commands: mpsc::Receiver<Command>,
}

enum Next {
    Run(Box<Work>),
    Retire,
    IdledOut,
    Over,
}

impl Hot<'_> {
    async fn serve(mut self) {
        loop {
            match self.next().await {
                Next::Run(work) => {
                    if self.run(work).await == Fate::Spent {
                        break;
                    }
                    self.dispatch.freed(self.at, self.handle.clone());
                }
                Next::Retire => break,
                Next::IdledOut | Next::Over if self.dispatch.leave(self.at) => break,
                // A call got this container at this very moment and is on its way.
                Next::IdledOut => {}
                Next::Over => {
                    if let Some(Command::Run(work)) = self.commands.recv().await {
                        bounce(work);
                    }
                    break;
                }
            }
        }
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            if let Command::Run(work) = command {
                bounce(work);
            }
        }
    }

    async fn next(&mut self) -> Next {
        tokio::select! {
            biased;
            command = self.commands.recv() => match command {
                Some(Command::Run(work)) => Next::Run(work),
                Some(Command::Retire) | None => Next::Retire,
            },
            () = self.dispatch.stop.cancelled() => Next::Retire,
            () = self.wire.idle(self.template.format) => Next::Over,
            () = tokio::time::sleep(self.template.limits.idle_timeout()) => Next::IdledOut,
        }
    }

    async fn run(&mut self, work: Box<Work>) -> Fate {
        if self.wire.settle(self.template.format) == Idle::Over {
            bounce(work);
            return Fate::Spent;
        }
        // Stopping drops the work, and with it the record ends and the caller hears that there is no answer.
        self.dispatch.stop.run_until_cancelled(self.wire.execute(work)).await.unwrap_or(Fate::Spent)
    }
}

/// Sends a call back that this container has not touched.
fn bounce(mut work: Box<Work>) {
    if let Some(caller) = work.responder.take_caller() {
        // A caller that left meanwhile drops the work, which records it as cancelled.
        drop(caller.send(Reply::Bounced(work)));
    }
}
