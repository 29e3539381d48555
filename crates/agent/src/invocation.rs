//! What the agent is handed to run: everything it needs to know of the function and of the request.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hearth_models::{App, CallId, Error, Function, Trigger};
use http::{HeaderMap, Method, StatusCode, Version};
use http_body_util::combinators::UnsyncBoxBody;
use tokio::time::Instant;

/// The body of a request, as the server reads it. The server's limits show as [`BodyError`]s.
pub type RequestBody = UnsyncBoxBody<Bytes, BodyError>;

/// Why the body of a request could not be read to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It grew over the limit.
    #[error("request body over {max} bytes")]
    TooLarge {
        /// The limit, in bytes.
        max: u64,
    },
    /// It came too slowly.
    #[error("request body came too slowly")]
    TooSlow,
    /// The client went away, or broke the transfer coding.
    #[error("request body broke off")]
    BrokeOff,
}

impl From<BodyError> for Error {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { max } => Self::BodyTooLarge { max },
            BodyError::TooSlow => Self::BodyTimeout,
            BodyError::BrokeOff => Self::InvalidPayload,
        }
    }
}

/// One call to be run: a function, and the request for it.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The call's id, which the door has told its client already, or will.
    pub id: CallId,
    /// The app of the function.
    pub app: Arc<App>,
    /// The function.
    pub function: Arc<Function>,
    /// The trigger through which the request came.
    pub trigger: Option<Arc<Trigger>>,
    /// The source of the function's first trigger, which is `FN_PATH` in its environment.
    pub fn_path: Arc<str>,
    /// From when on its time counts.
    pub timing: Timing,
    /// When the head of its request was there.
    pub arrived: Instant,
    /// The request, without its body.
    pub request: Request,
}

/// From when on the time of a call counts. Of a call of the queue only the execution is limited, whatever this says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// From its acceptance: it has to start within half its timeout and to be over at the end of it. Calls of API v1.
    FromAccept,
    /// From its slot: it waits for one at most 30 s, or its timeout where that is longer, and then has its full timeout.
    /// Calls of API v2.
    FromSlot,
}

/// How a request came, which decides what an `http-stream` function is told of it and what of its answer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Via {
    /// As an HTTP request that is the function's to answer: over a route of v1 or a trigger of v2. The request is framed
    /// in headers (`Fn-Http-Method`, `Fn-Http-Request-Url`, `Fn-Http-H-*`) and so are status and headers of the answer.
    #[default]
    Http,
    /// As a direct invocation: headers pass as they are in both directions, but for those of the connection, and the
    /// status is 200.
    Direct,
}

/// The request as the function is to see it.
#[derive(Clone, Debug)]
pub struct Request {
    /// How it came.
    pub via: Via,
    /// Its method.
    pub method: Method,
    /// Path and query as the client wrote them.
    pub target: String,
    /// The whole URL, host included.
    pub url: String,
    /// The value of `Host`.
    pub host: String,
    /// The client's HTTP version.
    pub version: Version,
    /// The client's headers.
    pub headers: HeaderMap,
    /// Facts from the URL, in the order they are to appear: `app` and `route` (`FN_PARAM_*`).
    pub params: Vec<(&'static str, String)>,
}

/// What a function answered.
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, hop-by-hop headers left out. `Content-Length` is there when the body's length is known.
    pub headers: HeaderMap,
    /// Its body.
    pub body: crate::AnswerBody,
    /// How long the call waited before it was executed.
    pub waited: Duration,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Failure {
    /// What the client is told.
    pub error: Error,
    /// How long the call waited before it was executed, or in all when it was not.
    pub waited: Duration,
}
