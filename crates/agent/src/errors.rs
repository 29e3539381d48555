//! What a client is told of a driver's error.

use hearth_drivers::Error as DriverError;
use hearth_models::Error;

/// What a client is told of `error`; its cause is for the log.
pub(crate) fn client_error(error: &DriverError) -> Error {
    let pull = |status: u16, image: &String, detail: &str| Error::PullFailed {
        status,
        image: image.clone(),
        detail: detail.to_owned(),
    };
    match error {
        DriverError::InvalidReference { reference, why } => pull(400, reference, why),
        DriverError::ImageRefused { image, status, message } => pull(*status, image, message),
        DriverError::ImageUnreachable { image, message } => pull(502, image, message),
        DriverError::PullTimedOut { .. } => Error::PullTimedOut,
        DriverError::EngineAway { .. } => Error::EngineUnavailable,
        DriverError::Create { message } | DriverError::Start { message } => Error::StartFailed(message.clone()),
        DriverError::Log { .. } => Error::SyslogUnavailable,
        DriverError::Engine { .. } | DriverError::Setting { .. } => Error::EngineFailed(error.to_string()),
        DriverError::Unhealthy => Error::Unhealthy,
        DriverError::Cut { .. } => Error::Vanished,
    }
}
