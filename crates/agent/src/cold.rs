//! The life of one cold call: a container of its own, from start to exit.

use std::sync::Arc;

use hearth_models::Error;

use crate::container::Wire;
use crate::dispatch::{Permit, Template};
use crate::env;
use crate::launch::Launch;
use crate::metrics::LaunchOutcome;
use crate::probe::Probe;
use crate::quiet::Quiet;
use crate::slots::StartFailure;
use crate::stop::Stop;
use crate::work::Work;

/// Starts a container for `work`, runs it in there and removes it. `permit` is given back when it is gone.
pub(crate) async fn run(permit: Permit, template: Arc<Template>, work: Box<Work>) {
    let dispatch = Arc::clone(&permit.dispatch);
    let env = env::full_env(template.env.clone(), &work.invocation);
    let mut launch = Launch::of(&dispatch, &template);
    let running = match launch.container(env, work.clock.start_by).await {
        Ok(running) => running,
        Err(not_started) => {
            let failure = not_started.into_failure(|| match work.unattended {
                Some(_) => StartFailure::new(Error::StartFailed("not ready in time".to_owned()), true),
                None => StartFailure::new(Error::Busy, false),
            });
            permit.fail(&failure);
            return work.refuse(&failure.error);
        }
    };
    dispatch.cold_started(permit.at);
    let probe = |source| Probe::new(source, Arc::clone(&template.series));
    // The container's end is the end of its log: nothing comes later that a precise timer would catch.
    let mut wire = Wire::new(running, probe, Quiet::new(false), &dispatch);
    wire.came_through(launch.ended(LaunchOutcome::Ready));
    // Whatever its fate, it serves no other call.
    let _spent = wire.execute(work, &mut Stop::new(&dispatch.stop), || {}).await;
}
