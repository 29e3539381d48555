//! The start of a container: its phases, and how it ended. What it is worth knowing of a start that failed is where it was.

use std::sync::Arc;

use hearth_drivers::{Phase, Phases, Running};
use hearth_models::Error;
use tokio::time::{Instant, timeout_at};

use crate::dispatch::{Dispatch, Template};
use crate::metrics::LaunchOutcome;
use crate::slots::StartFailure;

/// A start under way. Whoever began it says with [`ended`](Self::ended) how it went, unless there is no container at all.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    dispatch: &'a Arc<Dispatch>,
    template: &'a Template,
    phases: Phases,
}

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

impl<'a> Launch<'a> {
    pub(crate) fn of(dispatch: &'a Arc<Dispatch>, template: &'a Template) -> Self {
        Self { dispatch, template, phases: Phases::default() }
    }

    /// Starts a container with this environment, which has to be ready by `deadline`. When there is none the start has
    /// ended.
    pub(crate) async fn container(
        &mut self,
        env: Vec<(String, String)>,
        deadline: Instant,
    ) -> Result<Running, NotStarted> {
        let spec = self.dispatch.spec(self.template, env);
        let (dispatch, phases) = (self.dispatch, &mut self.phases);
        let started = timeout_at(deadline, async {
            phases.begin("create");
            let container = dispatch.driver.create(spec).await?;
            container.start_noting(phases).await
        });
        let (outcome, not_started) = match dispatch.stop.run_until_cancelled(started).await {
            Some(Ok(Ok(running))) => return Ok(running),
            Some(Ok(Err(error))) => {
                let failure = failure(self.template, &error);
                let outcome = if failure.blame_key { LaunchOutcome::Failed } else { LaunchOutcome::EngineFailed };
                (outcome, NotStarted::Failed(failure))
            }
            Some(Err(_)) => (LaunchOutcome::TimedOut, NotStarted::Late),
            None => (LaunchOutcome::Stopped, NotStarted::Stopped),
        };
        self.count(outcome);
        Err(not_started)
    }

    /// The container has still to do this.
    pub(crate) fn begin(&mut self, phase: &'static str) {
        self.phases.begin(phase);
    }

    /// There is a container, and this came of it. Returns the phases that are done.
    pub(crate) fn ended(mut self, outcome: LaunchOutcome) -> Vec<Phase> {
        if outcome == LaunchOutcome::Ready {
            self.phases.end();
        }
        self.count(outcome);
        self.phases.done().to_vec()
    }

    fn count(&self, outcome: LaunchOutcome) {
        self.template.series.launched(outcome);
        let metrics = &self.dispatch.metrics;
        self.phases.done().iter().for_each(|phase| metrics.launch_phase(*phase, LaunchOutcome::Ready));
        if let Some(phase) = self.phases.open() {
            metrics.launch_phase(phase, outcome);
        }
    }
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
