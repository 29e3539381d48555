//! The one place where an error becomes a response, and where the server's own failures are logged.

use axum::response::Response;
use hearth_models::Error;
use http::header::{HeaderName, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use ulid::Ulid;

use crate::json;
use crate::paths::Version;

/// Names the request in the log that a client was told nothing more about than "internal server error".
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("fn_request_id");

/// What a client is told, and what only the log is told.
#[derive(Debug)]
pub(crate) struct Failed {
    error: Error,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Message<'a>,
}

#[derive(Serialize)]
struct Message<'a> {
    message: &'a str,
}

// === impl Failed ===

impl Failed {
    /// A failure of the server itself.
    pub(crate) fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { error: Error::Internal, cause: Some(cause.into()) }
    }

    /// The response, as `version` has errors. Failures of the server are logged, with all causes, under an id that the client gets too.
    pub(crate) fn into_response(self, version: Version) -> Response {
        let mut response = envelope(&self.error, version);
        if response.status().is_server_error() {
            let id = Ulid::generate().to_string();
            let causes = self.cause.as_deref().map(Chain);
            tracing::error!(
                request.id = %id,
                status = response.status().as_u16(),
                causes = causes.as_ref().map(tracing::field::display),
                "{}",
                self.error
            );
            if let Ok(id) = HeaderValue::from_str(&id) {
                response.headers_mut().insert(REQUEST_ID, id);
            }
        }
        response
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, cause: None }
    }
}

impl From<hearth_models::v2::Error> for Failed {
    fn from(error: hearth_models::v2::Error) -> Self {
        Error::from(error).into()
    }
}

impl From<hearth_datastore::Error> for Failed {
    fn from(error: hearth_datastore::Error) -> Self {
        match error {
            hearth_datastore::Error::Model(error) => Self::from(error),
            other => Self { error: other.to_model(), cause: Some(Box::new(other)) },
        }
    }
}

impl From<serde_json::Error> for Failed {
    fn from(error: serde_json::Error) -> Self {
        Self::internal(error)
    }
}

impl From<prometheus::Error> for Failed {
    fn from(error: prometheus::Error) -> Self {
        Self::internal(error)
    }
}

/// The contract's envelope of `error`, for an answer to a request of this path: what an embedder's own layers refuse with.
#[must_use]
pub fn error_response(path: &str, error: &Error) -> Response {
    envelope(error, Version::of(path))
}

/// The contract's envelope of `error`, with its status; one line feed ends it, unless it is the router's own 404 of API v1.
pub(crate) fn envelope(error: &Error, version: Version) -> Response {
    let message = error.to_string();
    let message = Message { message: &message };
    let written = match version {
        Version::V1 => hearth_models::json::to_vec(&Envelope { error: message }),
        Version::V2 => hearth_models::json::to_vec(&message),
    };
    // Writing two structs with a text in them cannot fail.
    let mut body = written.unwrap_or_default();
    if *error != Error::PathNotFound {
        body.push(b'\n');
    }
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json::response(status, body);
    if let Some(seconds) = error.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// An error with all its causes on one line.
struct Chain<'a>(&'a (dyn std::error::Error + Send + Sync));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
