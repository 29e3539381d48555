//! How a container ended.

use std::sync::Arc;
use std::time::Duration;

use bollard::errors::Error as ApiError;
use bollard::query_parameters::{InspectContainerOptions, WaitContainerOptions};
use futures_util::StreamExt;
use tokio::time::{Instant, sleep};

use super::backoff::Backoff;
use super::engine::{Engine, Fault};
use super::observer::Operation;
use crate::Exit;

/// How long an engine that went away may take to come back and say what became of its containers.
const BOUND: Duration = Duration::from_mins(1);

const INSPECT_LIMIT: Duration = Duration::from_secs(5);

/// Waits until the container `id`, which was started, runs no more. That it may have ended before this was asked
/// does no harm: the engine then answers at once.
pub(super) async fn exit(engine: Arc<Engine>, id: String) -> Exit {
    let mut trouble = None;
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
    loop {
        match engine.observed(Operation::WaitContainer, wait(&engine, &id)).await {
            Ok(0) => return Exit::Code(0),
            // It was killed, told to end, or not found any more, when the engine came back: not by anything of its own.
            Ok(137 | 143 | 255) if trouble.is_some() => return Exit::Vanished,
            Ok(code) => return verdict(&engine, &id, code).await,
            Err(fault) if fault.is_not_found() => return Exit::Vanished,
            Err(fault) => {
                let since = *trouble.get_or_insert_with(Instant::now);
                if since.elapsed() > BOUND {
                    let error = fault.message();
                    tracing::warn!(container.id = id, error, "nobody can say how a container ended");
                    return Exit::Vanished;
                }
            }
        }
        sleep(backoff.pause()).await;
    }
}

async fn wait(engine: &Engine, id: &str) -> Result<i64, Fault> {
    let mut answers = engine.api().wait_container(id, None::<WaitContainerOptions>).boxed();
    match answers.next().await {
        Some(Ok(answer)) => Ok(answer.status_code),
        // The client makes an error of every code but zero.
        Some(Err(ApiError::DockerContainerWaitError { code, .. })) => Ok(code),
        Some(Err(error)) => Err(error.into()),
        None => Err(Fault::Away(None)),
    }
}

/// A code tells how the first process ended; only the engine knows whether the kernel did it for want of memory.
async fn verdict(engine: &Engine, id: &str, code: i64) -> Exit {
    let request = engine.api().inspect_container(id, None::<InspectContainerOptions>);
    let answer = engine.call(Operation::InspectContainer, INSPECT_LIMIT, request).await;
    let out_of_memory =
        answer.is_ok_and(|container| container.state.is_some_and(|state| state.oom_killed == Some(true)));
    if out_of_memory { Exit::OutOfMemory } else { Exit::Code(code) }
}
