//! Waiting for a container whose image says how to tell that it works.

use std::time::Duration;

use bollard::models::{ContainerState, HealthStatusEnum};
use bollard::query_parameters::InspectContainerOptions;
use tokio::time::{MissedTickBehavior, interval};

use super::engine::Engine;
use super::observer::Operation;
use crate::Error;

const EVERY: Duration = Duration::from_millis(100);
const INSPECT_LIMIT: Duration = Duration::from_secs(10);

/// Waits until the container `id` is healthy. How long that may take is up to the caller; that it will never be
/// healthy is told at once.
pub(super) async fn until_healthy(engine: &Engine, id: &str) -> Result<(), Error> {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let request = engine.api().inspect_container(id, None::<InspectContainerOptions>);
        let container = engine
            .call(Operation::InspectContainer, INSPECT_LIMIT, request)
            .await
            .map_err(|fault| fault.into_start_error(Operation::InspectContainer))?;
        if is_healthy(container.state.as_ref())? {
            return Ok(());
        }
    }
}

fn is_healthy(state: Option<&ContainerState>) -> Result<bool, Error> {
    let health = state.and_then(|state| state.health.as_ref()?.status);
    // A container that ended has failed its check too, but that it ended says more.
    if let Some(ContainerState { running: Some(false), exit_code, .. }) = state {
        let code = exit_code.unwrap_or_default();
        return Err(Error::Start { message: format!("it exited with code {code} before it was healthy") });
    }
    match health {
        Some(HealthStatusEnum::HEALTHY) => Ok(true),
        Some(HealthStatusEnum::STARTING) => Ok(false),
        Some(HealthStatusEnum::UNHEALTHY) => Err(Error::Unhealthy),
        None | Some(HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) => {
            Err(Error::Start { message: "the engine does not check its health".to_owned() })
        }
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::Health;

    use super::*;

    fn state(running: bool, status: Option<HealthStatusEnum>) -> ContainerState {
        ContainerState {
            running: Some(running),
            exit_code: Some(3),
            health: status.map(|status| Health { status: Some(status), ..Health::default() }),
            ..ContainerState::default()
        }
    }

    #[test]
    fn only_starting_is_worth_waiting_for() {
        let verdict = |running, status| is_healthy(Some(&state(running, status))).map_err(|error| error.to_string());
        assert_eq!(verdict(true, Some(HealthStatusEnum::HEALTHY)), Ok(true));
        assert_eq!(verdict(true, Some(HealthStatusEnum::STARTING)), Ok(false));
        let unhealthy = Err("container is unhealthy".to_owned());
        assert_eq!(verdict(true, Some(HealthStatusEnum::UNHEALTHY)), unhealthy);
        for gone in [None, Some(HealthStatusEnum::STARTING), Some(HealthStatusEnum::UNHEALTHY)] {
            let why = verdict(false, gone).unwrap_err();
            assert!(why.ends_with("it exited with code 3 before it was healthy"), "{why}");
        }
        assert!(verdict(true, None).is_err());
        assert!(is_healthy(None).is_err());
    }
}
