//! What can go wrong between Hearth and its engine, in the distinctions that callers are told about.

use std::fmt;
use std::sync::Arc;

/// The cause below an [`Error`]. Shared, because everyone who waited for one pull gets the same error.
pub type Cause = Arc<dyn std::error::Error + Send + Sync + 'static>;

/// Why a driver could not do what it was asked for.
///
/// Cheap to clone: one failed pull or start is reported to all who wait for it. `Display` is what a client may be
/// told; the cause is kept apart, for the log.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A setting of the driver makes no sense.
    #[error("bad setting {name}: {message}")]
    Setting {
        /// The setting, under the name of its environment variable.
        name: &'static str,
        /// What is wrong with it. Never holds a secret.
        message: String,
    },

    /// The image's name is not one that a registry could have.
    #[error("invalid image reference '{reference}': {why}")]
    InvalidReference {
        /// What was asked for.
        reference: String,
        /// The rule it breaks.
        why: &'static str,
    },

    /// The engine or the registry said no. Asking again gives the same answer.
    #[error("Failed to pull image '{image}': {message}")]
    ImageRefused {
        /// What was asked for, as it was written.
        image: String,
        /// The status of the refusal, in 400..=499.
        status: u16,
        /// The engine's words.
        message: String,
    },

    /// The registry could not be reached or broke, several times in a row.
    #[error("Failed to pull image '{image}': {message}")]
    ImageUnreachable {
        /// What was asked for, as it was written.
        image: String,
        /// The engine's words at the last try.
        message: String,
    },

    /// An image takes too long to come.
    #[error("image '{image}' was not there after {limit:?}")]
    PullTimedOut {
        /// What was asked for, as it was written.
        image: String,
        /// How long it was waited for.
        limit: std::time::Duration,
    },

    /// The engine does not answer.
    #[error("container engine is not available")]
    EngineAway {
        /// What happened to the connection.
        #[source]
        source: Option<Cause>,
    },

    /// The engine would not create the container: asked for the same, it would say the same.
    #[error("container could not be created: {message}")]
    Create {
        /// The engine's words.
        message: String,
    },

    /// The container was created and did not come up, for a reason of its own.
    #[error("container could not be started: {message}")]
    Start {
        /// The engine's words, or how the container ended.
        message: String,
    },

    /// The container was created and did not come up, because its output could not be sent where it should be.
    #[error("container's output cannot be logged: {message}")]
    Log {
        /// The engine's words.
        message: String,
    },

    /// The image's own health check says that the container does not work.
    #[error("container is unhealthy")]
    Unhealthy,

    /// The connection to a running container's input and output broke. The container may still run.
    #[error("connection to the container was cut")]
    Cut {
        /// What happened to the connection; none when it ended in the middle of a frame.
        #[source]
        source: Option<Cause>,
    },

    /// Anything else that the engine refused or did wrong; another time it may not.
    #[error("container engine failed to {operation}: {message}")]
    Engine {
        /// What was being done.
        operation: &'static str,
        /// The engine's words.
        message: String,
        /// What is below it, when it is not just an answer of the engine.
        #[source]
        source: Option<Cause>,
    },
}

impl Error {
    /// Nothing can be started until the engine is back; what was asked for may be fine.
    #[must_use]
    pub const fn is_engine_away(&self) -> bool {
        matches!(self, Self::EngineAway { .. })
    }

    /// The image is the reason: it is not there, or it may not be had.
    #[must_use]
    pub const fn is_image(&self) -> bool {
        matches!(
            self,
            Self::InvalidReference { .. }
                | Self::ImageRefused { .. }
                | Self::ImageUnreachable { .. }
                | Self::PullTimedOut { .. }
        )
    }

    /// Only the connection to the container is known to be gone, not the container.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        matches!(self, Self::Cut { .. })
    }

    pub(crate) fn engine_away(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::EngineAway { source: Some(Arc::new(source)) }
    }

    pub(crate) fn cut(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Cut { source: Some(Arc::new(source)) }
    }
}

/// An error with all its causes on one line, for a log.
#[derive(Debug)]
pub struct Chain<'a>(pub &'a (dyn std::error::Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_never_repeats_the_cause() {
        let error = Error::engine_away(std::io::Error::other("no such socket"));
        assert_eq!(error.to_string(), "container engine is not available");
        assert_eq!(Chain(&error).to_string(), "container engine is not available: no such socket");
        assert!(error.is_engine_away() && !error.is_image() && !error.is_cut());
    }

    #[test]
    fn pull_failures_read_as_the_contract_writes_them() {
        let refused = Error::ImageRefused {
            image: "localhost:5057/foo/bar:1".to_owned(),
            status: 404,
            message: "repository localhost:5057/foo/bar not found".to_owned(),
        };
        assert_eq!(
            refused.to_string(),
            "Failed to pull image 'localhost:5057/foo/bar:1': repository localhost:5057/foo/bar not found"
        );
        assert!(refused.is_image());
    }
}
