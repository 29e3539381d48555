//! The engine's API: every request has a deadline, is observed, and fails in words of this crate.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bollard::errors::Error as ApiError;
use bollard::{API_DEFAULT_VERSION, ClientVersion, Docker};
use tokio::time::{Instant, sleep, timeout};

use super::address::Address;
use super::observer::{Observer, Operation, Outcome};
use crate::{Cause, Error};

/// How long a request may stay unanswered before the engine is asked whether it is there at all, and how long that
/// answer may take. Together they are the two seconds after which callers are told that the engine is away.
const PATIENCE: Duration = Duration::from_secs(1);

/// The client's own timeout. Ours are always shorter, except that of a pull, which has its own rule.
const CLIENT_TIMEOUT_SECONDS: u64 = 24 * 3600;

/// What Docker says where a container's output cannot be sent to where it should be.
const NO_LOGGING_DRIVER: &str = "failed to initialize logging driver";

/// What is asked of engines is tried with this version and later ones.
const LEAST_API: ClientVersion = ClientVersion { major_version: 1, minor_version: 41 };

/// A connection to an engine, shared by everything that asks it for something.
#[derive(Debug)]
pub(super) struct Engine {
    docker: Docker,
    address: Address,
    observer: Arc<dyn Observer>,
    /// When the engine last answered anything. One ping that takes long under load says nothing as long as others
    /// are served.
    heard: Mutex<Instant>,
}

/// Why a request came to nothing.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// The engine answered, and not with what was asked for.
    Refused { status: u16, message: String },
    /// The engine began to do it and then said why it could not go on.
    Broken { message: String },
    /// The engine is not there.
    Away(Option<Cause>),
    /// The engine is there and was not done in time.
    Late(Duration),
    /// The engine is there, and had not begun in time what it does for somebody else's sake.
    Silent(Duration),
    /// The answer made no sense.
    Nonsense(Cause),
}

// === impl Engine ===

impl Engine {
    /// Connects, and finds out which version the engine speaks. An engine that is away is an error.
    pub(super) async fn connect(address: Address, observer: Arc<dyn Observer>) -> Result<Self, Error> {
        let docker = match &address {
            Address::Unix(path) => {
                let path = path.to_string_lossy();
                Docker::connect_with_unix(&path, CLIENT_TIMEOUT_SECONDS, API_DEFAULT_VERSION)
            }
            Address::Tcp(authority) => {
                let url = format!("http://{authority}");
                Docker::connect_with_http(&url, CLIENT_TIMEOUT_SECONDS, API_DEFAULT_VERSION)
            }
        };
        let connecting = async { docker?.negotiate_version().await };
        let docker = match timeout(2 * PATIENCE, connecting).await {
            Ok(Ok(docker)) => docker,
            Ok(Err(error)) => return Err(Fault::from(error).into_error(Operation::Ping)),
            Err(late) => return Err(Error::engine_away(late)),
        };
        let (spoken, least) = (docker.client_version(), LEAST_API);
        if (spoken.major_version, spoken.minor_version) < (least.major_version, least.minor_version) {
            let message = format!(
                "the engine at {address} speaks version {spoken} of its API, and {least} is needed (Docker 20.10 or later)"
            );
            return Err(Error::Setting { name: "DOCKER_HOST", message });
        }
        tracing::info!(%address, api_version = %docker.client_version(), "connected to the container engine");
        Ok(Self { docker, address, observer, heard: Mutex::new(Instant::now()) })
    }

    pub(super) const fn api(&self) -> &Docker {
        &self.docker
    }

    pub(super) const fn address(&self) -> &Address {
        &self.address
    }

    /// Waits for `request`, at most `limit`; notices an engine that went silent long before that.
    pub(super) async fn call<T>(
        &self,
        operation: Operation,
        limit: Duration,
        request: impl Future<Output = Result<T, impl Into<Fault>>>,
    ) -> Result<T, Fault> {
        self.observed(operation, async {
            tokio::select! {
                biased;
                answer = request => answer.map_err(Into::into),
                fault = self.overdue(limit) => Err(fault),
            }
        })
        .await
    }

    /// Waits for something that takes as long as it takes: an exit. Its own connection says when the engine dies.
    pub(super) async fn observed<T>(
        &self,
        operation: Operation,
        request: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let begin = Instant::now();
        let answer = request.await;
        if matches!(answer, Ok(_) | Err(Fault::Refused { .. })) {
            *self.heard() = Instant::now();
        }
        let outcome = match &answer {
            Ok(_) => Outcome::Done,
            Err(Fault::Refused { .. }) => Outcome::Refused,
            Err(_) => Outcome::Failed,
        };
        self.observer.engine_call(operation, outcome, begin.elapsed());
        answer
    }

    pub(super) async fn ping(&self) -> Result<(), Error> {
        let answer = self.observed(Operation::Ping, self.ping_within(2 * PATIENCE));
        answer.await.map_err(|fault| fault.into_error(Operation::Ping))
    }

    fn heard(&self) -> MutexGuard<'_, Instant> {
        // A time is whole whatever happened to who set it.
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ping_within(&self, limit: Duration) -> Result<(), Fault> {
        match timeout(limit, self.docker.ping()).await {
            Ok(Ok(_)) => {
                *self.heard() = Instant::now();
                Ok(())
            }
            Ok(Err(error)) => Err(error.into()),
            Err(late) => Err(Fault::Away(Some(Arc::new(late)))),
        }
    }

    /// Resolves when there is no more point in waiting for an answer.
    async fn overdue(&self, limit: Duration) -> Fault {
        let begin = Instant::now();
        loop {
            let left = limit.saturating_sub(begin.elapsed());
            if left.is_zero() {
                return Fault::Late(limit);
            }
            sleep(left.min(PATIENCE)).await;
            if let Err(fault @ Fault::Away(_)) = self.ping_within(PATIENCE).await
                && self.heard().elapsed() >= 2 * PATIENCE
            {
                return fault;
            }
        }
    }
}

// === impl Fault ===

impl Fault {
    /// The engine says that there is no such thing.
    pub(super) const fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Nobody knows whether the engine did it. It did not when it refused, or when it was never reached.
    pub(super) fn is_uncertain(&self) -> bool {
        match self {
            Self::Refused { .. } => false,
            Self::Away(Some(cause)) => !cause.downcast_ref().is_some_and(never_reached),
            _ => true,
        }
    }

    /// What a caller is told, where no more telling error fits.
    pub(super) fn into_error(self, operation: Operation) -> Error {
        let verb = operation.verb();
        self.into_error_with(|message| Error::Engine { operation: verb, message, source: None })
    }

    /// What a caller is told: an engine that is away is always called that, its words go to `make`.
    pub(super) fn into_error_with(self, make: impl FnOnce(String) -> Error) -> Error {
        match self {
            Self::Away(source) => Error::EngineAway { source },
            Self::Nonsense(source) => Error::Engine {
                operation: "give a proper answer",
                message: "its answer could not be read".to_owned(),
                source: Some(source),
            },
            other => make(other.message()),
        }
    }

    /// As [`into_error_with`](Self::into_error_with), where the engine refused what cannot be: Docker answers 4xx to a
    /// program that is not there, or too little memory. A failure of its own (no room on its disk, no answer in time) is
    /// told as such.
    pub(super) fn into_judged(self, operation: Operation, make: impl FnOnce(String) -> Error) -> Error {
        match self {
            Self::Refused { status: 500.., .. } | Self::Late(_) => self.into_error(operation),
            other => other.into_error_with(make),
        }
    }

    /// What a caller is told whose container was created and could not be started.
    pub(super) fn into_start_error(self, operation: Operation) -> Error {
        match self {
            // Somebody removed it, or is about to.
            Self::Refused { status: 409, .. } => Error::Cut { source: None },
            Self::Refused { status: 404, message } if message.starts_with("No such container") => {
                Error::Cut { source: None }
            }
            // Docker has 500 for it, as for failures of its own.
            Self::Refused { message, .. } if message.contains(NO_LOGGING_DRIVER) => Error::Log { message },
            other => other.into_judged(operation, |message| Error::Start { message }),
        }
    }

    pub(super) fn message(&self) -> String {
        match self {
            Self::Refused { message, .. } | Self::Broken { message } => message.clone(),
            Self::Away(_) => "the container engine is not available".to_owned(),
            Self::Late(limit) => format!("no answer from the container engine within {limit:?}"),
            Self::Silent(limit) => format!("the registry did not answer within {limit:?}"),
            Self::Nonsense(_) => "the container engine's answer could not be read".to_owned(),
        }
    }
}

/// There was no connection that a request could have been sent on.
fn never_reached(error: &ApiError) -> bool {
    match error {
        ApiError::SocketNotFoundError(_) => true,
        ApiError::HyperLegacyError { err } => err.is_connect(),
        _ => false,
    }
}

impl From<ApiError> for Fault {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::DockerResponseServerError { status_code, message } => {
                Self::Refused { status: status_code, message }
            }
            ApiError::DockerStreamError { error } => Self::Broken { message: error },
            ApiError::HyperLegacyError { .. }
            | ApiError::HyperResponseError { .. }
            | ApiError::IOError { .. }
            | ApiError::SocketNotFoundError(_)
            | ApiError::RequestTimeoutError => Self::Away(Some(Arc::new(error))),
            other => Self::Nonsense(Arc::new(other)),
        }
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Away(Some(Arc::new(error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the words of Docker 20.10.
    #[test]
    fn a_logging_driver_that_fails_is_no_failure_of_the_engines_own() {
        let refused = |message: &str| {
            let fault = Fault::Refused { status: 500, message: message.to_owned() };
            fault.into_start_error(Operation::StartContainer)
        };
        let words = "failed to initialize logging driver: dial tcp 127.0.0.1:1: connect: connection refused";
        assert!(matches!(refused(words), Error::Log { message } if message == words));
        assert!(matches!(refused("no space left on device"), Error::Engine { .. }));
    }
}
