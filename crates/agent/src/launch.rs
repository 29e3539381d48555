//! The start of a container: its phases, and how it ended.

use std::sync::Arc;

use hearth_drivers::{Phase, Running};
use hearth_models::Error;
use tokio::time::{Instant, timeout_at};

use crate::dispatch::{Dispatch, Template};
use crate::metrics::LaunchOutcome;
use crate::slots::StartFailure;

/// Why there is no container.
#[derive(Debug)]
pub(crate) enum NotStarted {
    /// The engine could not start it.
    Failed(StartFailure),
    /// It was not ready in time.
    Late,
    /// The server stops.
    Stopped,
}

/// Starts a container of `template` with this environment, which has to be ready by `deadline`.
pub(crate) async fn launch(
    dispatch: &Arc<Dispatch>,
    template: &Template,
    env: Vec<(String, String)>,
    deadline: Instant,
) -> Result<Running, NotStarted> {
    let spec = dispatch.spec(template, env);
    let started = timeout_at(deadline, async {
        let began = Instant::now();
        let container = dispatch.driver.create(spec).await?;
        let created = Phase::done("create", began);
        let mut running = container.start().await?;
        running.phases.insert(0, created);
        Ok::<_, hearth_drivers::Error>(running)
    });
    let (outcome, result) = match dispatch.stop.run_until_cancelled(started).await {
        Some(Ok(Ok(running))) => (LaunchOutcome::Ready, Ok(running)),
        Some(Ok(Err(error))) => {
            let failure = failure(template, &error);
            let outcome = if failure.blame_key { LaunchOutcome::Failed } else { LaunchOutcome::EngineFailed };
            (outcome, Err(NotStarted::Failed(failure)))
        }
        Some(Err(_)) => (LaunchOutcome::TimedOut, Err(NotStarted::Late)),
        None => (LaunchOutcome::Stopped, Err(NotStarted::Stopped)),
    };
    template.series.launched(outcome);
    if let Ok(running) = &result {
        running.phases.iter().for_each(|phase| dispatch.metrics.launch_phase(*phase));
    }
    result
}

/// What the waiting calls are told of a failed start, and whether it is the function's fault.
fn failure(template: &Template, error: &hearth_drivers::Error) -> StartFailure {
    tracing::warn!(
        app = template.series.app(), route = template.series.path(), error = %hearth_drivers::Chain(error),
        "container could not be started"
    );
    StartFailure::new(crate::client_error(error), !error.is_engine_away() && !error.is_cut())
}

impl NotStarted {
    /// The failure; `late` is the one of a container that took too long.
    pub(crate) fn into_failure(self, late: impl FnOnce() -> StartFailure) -> StartFailure {
        match self {
            Self::Failed(failure) => failure,
            Self::Late => late(),
            Self::Stopped => StartFailure::new(Error::ShuttingDown, false),
        }
    }
}
