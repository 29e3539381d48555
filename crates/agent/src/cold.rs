//! The life of one cold call: a container of its own, from start to exit.

use std::sync::Arc;

use hearth_models::Error;
use tokio::time::timeout_at;

use crate::container::Wire;
use crate::dispatch::{Permit, Template};
use crate::env;
use crate::hot::failure;
use crate::probe::Probe;
use crate::quiet::Quiet;
use crate::slots::StartFailure;
use crate::work::Work;

/// Starts a container for `work`, runs it in there and removes it. `permit` is given back when it is gone.
pub(crate) async fn run(permit: Permit, template: Arc<Template>, work: Box<Work>) {
    let dispatch = Arc::clone(&permit.dispatch);
    let spec = dispatch.spec(&template, env::full_env(template.env.clone(), &work.invocation));
    let started = timeout_at(work.clock.start_by, async {
        let container = dispatch.driver.create(spec).await?;
        container.start().await
    });
    let outcome = match dispatch.stop.run_until_cancelled(started).await {
        Some(Ok(Ok(running))) => Ok(running),
        Some(Ok(Err(error))) => Err(failure(&template, &error)),
        Some(Err(_)) if work.unattended.is_some() => {
            Err(StartFailure { error: Error::StartFailed("not ready in time".to_owned()), blame_key: true })
        }
        Some(Err(_)) => Err(StartFailure { error: Error::Busy, blame_key: false }),
        None => Err(StartFailure { error: Error::ShuttingDown, blame_key: false }),
    };
    let running = match outcome {
        Ok(running) => running,
        Err(failure) => {
            permit.fail(&failure);
            return work.refuse(&failure.error);
        }
    };
    dispatch.cold_started(permit.at);
    let probe = |source| Probe::new(source, template.names.clone(), Arc::clone(&dispatch.metrics));
    // The container's end is the end of its log: nothing comes later that a precise timer would catch.
    let mut wire = Wire::new(running, probe, Quiet::new(false), &dispatch);
    // Whatever its fate, it serves no other call.
    let _spent = wire.execute(work, || {}).await;
}
