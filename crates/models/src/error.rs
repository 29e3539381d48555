//! Everything that a client can be told, each with its status and its exact message (v1 contract B.1.5, A.3).
//!
//! Whatever has no place here is the server's own fault: the layers keep their causes, log them once, and the
//! client gets [`Error::Internal`].

use crate::{Reason, v2};

/// An error with its status code and message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum Error {
    #[error("Invalid JSON")]
    InvalidJson,
    #[error("Missing new application")]
    MissingNewApp,
    #[error("Missing app name")]
    MissingAppName,
    #[error("App name must be 30 characters or less")]
    AppNameTooLong,
    #[error("Invalid app name")]
    InvalidAppName,
    #[error("App already exists")]
    AppExists,
    #[error("Could not update - name is immutable")]
    NameImmutable,
    #[error("App not found")]
    AppNotFound,

    #[error("Missing new route")]
    MissingNewRoute,
    #[error("Missing route Path")]
    MissingRoutePath,
    #[error("Missing route AppName")]
    MissingRouteAppName,
    #[error("Missing route Image")]
    MissingRouteImage,
    #[error("Path malformed")]
    PathMalformed,
    #[error("Dynamic URL is not allowed")]
    DynamicPath,
    #[error("Invalid route path format")]
    InvalidRoutePath,
    #[error("Invalid route Type")]
    InvalidRouteType,
    #[error("Invalid route Format")]
    InvalidRouteFormat,
    #[error("timeout value is too large or small. 0 < timeout < max. async max: 3600 sync max: 120")]
    InvalidTimeout,
    #[error("idle_timeout value is too large or small. 0 < timeout < 3600")]
    InvalidIdleTimeout,
    #[error("memory value is invalid. 0 < memory < 8192")]
    InvalidMemory,
    #[error("Route already exists")]
    RouteExists,
    #[error("Could not update - path is immutable")]
    PathImmutable,
    #[error("Route not found")]
    RouteNotFound,

    /// What only API v2 refuses.
    #[error(transparent)]
    V2(#[from] v2::Error),

    #[error("Call not found")]
    CallNotFound,
    #[error("Call log not found")]
    LogNotFound,
    #[error("from_time is not an epoch time")]
    FromTimeNotEpoch,
    #[error("to_time is not an epoch time")]
    ToTimeNotEpoch,
    #[error("status is not one of delayed, queued, running, success, error, timeout, cancelled")]
    UnknownStatus,
    #[error("reason is not one that a call can have")]
    UnknownReason,

    #[error("Fn-Priority is not 0, 1 or 2")]
    InvalidPriority,
    #[error("Fn-Delay is not a whole number of seconds from 0 to 604800")]
    InvalidDelay,
    /// An app has as many calls in the queue as it may.
    #[error("too many calls of this app are queued, max {max}")]
    QueueFull { max: u64 },
    #[error("Call has ended already")]
    CallEnded,
    #[error("a synchronous call is cancelled by its client, who leaves")]
    CallNotQueued,

    #[error("Invalid log level.")]
    InvalidLogLevel,

    #[error("Path not found")]
    PathNotFound,
    #[error("Invalid payload")]
    InvalidPayload,
    /// The declared length of a request body is over the limit.
    #[error("Content-Length too large for this server, {actual} > max {max}")]
    ContentLengthTooLarge { actual: u64, max: u64 },
    /// A request body without a declared length grew over the limit.
    #[error("request body too large for this server, max {max} bytes")]
    BodyTooLarge { max: u64 },
    /// The client sent its body too slowly.
    #[error("Timed out reading the request body")]
    BodyTimeout,

    /// The call's time ran out before it began.
    #[error("Timed out - server too busy")]
    Busy,
    /// The call was refused at once because something is full; the text says what.
    #[error("{0}")]
    NoCapacity(String),
    #[error("Timed out")]
    TimedOut,
    #[error("container exit code {0}")]
    ExitCode(i64),
    #[error("container out of memory, you may want to raise route.memory for this route (default: 128MB)")]
    OutOfMemory,
    #[error("container killed")]
    Killed,
    #[error("container exited without a response")]
    NoResponse,
    /// The container disappeared while it was in use.
    #[error("container vanished")]
    Vanished,
    #[error("container is unhealthy")]
    Unhealthy,
    /// The function's output broke its format; the text names the format and the fault.
    #[error("invalid function response: {0}")]
    BadOutput(String),
    #[error("function response too large for this server, max {max} bytes")]
    ResponseTooLarge { max: u64 },
    /// A function's process ended before it had opened its socket, or opened something else; the reason says which.
    #[error("Container failed to initialize, please ensure you are using the latest fdk and check the logs")]
    InitFailed(Reason),
    #[error("Container initialization timed out, please ensure you are using the latest fdk and check the logs")]
    InitTimedOut,
    /// A function answered that it failed.
    #[error("function failed")]
    FunctionFailed,
    /// A function's answer came whole and says what it may not.
    #[error("invalid function response")]
    InvalidResponse,
    /// A function's answer did not come, or broke off, or is no HTTP; the reason says why.
    #[error("error receiving function response")]
    NotReceived(Reason),
    #[error("function response header too large")]
    ResponseHeaderTooLarge,
    #[error("function response body too large")]
    ResponseBodyTooLarge,
    /// An image could not be had. The status is the engine's for 4xx and 502 otherwise.
    #[error("Failed to pull image '{image}': {detail}")]
    PullFailed { status: u16, image: String, detail: String },
    /// An image of an `http-stream` function declares a volume, and such images are not allowed.
    #[error("image has Volume definition")]
    ImageHasVolume,
    #[error("Image pull timed out")]
    PullTimedOut,
    /// A container of the function cannot be made or started, however often it is tried.
    #[error("container could not be started: {0}")]
    StartFailed(String),
    /// The engine failed to make or start a container, for a reason of its own.
    #[error("container could not be started: {0}")]
    EngineFailed(String),
    /// The engine cannot send what a function writes to the syslog server of its app.
    #[error("Syslog Unavailable")]
    SyslogUnavailable,
    /// The container engine is away.
    #[error("container engine unavailable")]
    EngineUnavailable,
    /// The database is away.
    #[error("database unavailable")]
    StoreUnavailable,
    /// The server is about to stop.
    #[error("server is shutting down")]
    ShuttingDown,
    /// A listener of an embedder does not want it.
    #[error("{message}")]
    Refused { status: u16, message: String },
    /// The client went away; nobody reads this answer.
    #[error("client went away")]
    ClientGone,
    #[error("internal server error")]
    Internal,
}

impl Error {
    /// The status code of the answer.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::InvalidJson
            | Self::MissingNewApp
            | Self::MissingAppName
            | Self::AppNameTooLong
            | Self::InvalidAppName
            | Self::MissingNewRoute
            | Self::MissingRoutePath
            | Self::MissingRouteAppName
            | Self::MissingRouteImage
            | Self::PathMalformed
            | Self::DynamicPath
            | Self::InvalidRoutePath
            | Self::InvalidRouteType
            | Self::InvalidRouteFormat
            | Self::InvalidTimeout
            | Self::InvalidIdleTimeout
            | Self::InvalidMemory
            | Self::FromTimeNotEpoch
            | Self::ToTimeNotEpoch
            | Self::UnknownStatus
            | Self::UnknownReason
            | Self::InvalidPriority
            | Self::InvalidDelay
            | Self::InvalidLogLevel
            | Self::InvalidPayload
            | Self::ImageHasVolume => 400,
            Self::AppNotFound | Self::RouteNotFound | Self::CallNotFound | Self::LogNotFound | Self::PathNotFound => {
                404
            }
            Self::V2(error) => error.status(),
            Self::BodyTimeout => 408,
            Self::AppExists
            | Self::NameImmutable
            | Self::RouteExists
            | Self::PathImmutable
            | Self::CallEnded
            | Self::CallNotQueued => 409,
            Self::ContentLengthTooLarge { .. } | Self::BodyTooLarge { .. } => 413,
            Self::QueueFull { .. } => 429,
            Self::ClientGone => 499,
            Self::SyslogUnavailable | Self::Internal => 500,
            Self::ExitCode(_)
            | Self::OutOfMemory
            | Self::Killed
            | Self::NoResponse
            | Self::Vanished
            | Self::Unhealthy
            | Self::BadOutput(_)
            | Self::ResponseTooLarge { .. }
            | Self::InitFailed(_)
            | Self::FunctionFailed
            | Self::InvalidResponse
            | Self::NotReceived(_)
            | Self::ResponseHeaderTooLarge
            | Self::ResponseBodyTooLarge
            | Self::StartFailed(_)
            | Self::EngineFailed(_) => 502,
            Self::PullFailed { status, .. } | Self::Refused { status, .. } => *status,
            Self::Busy
            | Self::NoCapacity(_)
            | Self::EngineUnavailable
            | Self::StoreUnavailable
            | Self::ShuttingDown => 503,
            Self::TimedOut | Self::InitTimedOut | Self::PullTimedOut => 504,
        }
    }

    /// Seconds after which a client may try again, for answers that say so.
    #[must_use]
    pub const fn retry_after(&self) -> Option<u32> {
        match self {
            Self::Busy | Self::NoCapacity(_) | Self::QueueFull { .. } => Some(15),
            Self::EngineUnavailable | Self::StoreUnavailable | Self::ShuttingDown => Some(2),
            _ => None,
        }
    }

    /// The reason that the record of a call gets when this error ended it.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::InitFailed(reason) | Self::NotReceived(reason) => *reason,
            Self::TimedOut => Reason::Timeout,
            Self::Killed | Self::Vanished => Reason::Killed,
            Self::OutOfMemory => Reason::OutOfMemory,
            Self::ExitCode(_) | Self::NoResponse | Self::Unhealthy | Self::FunctionFailed => Reason::BadExit,
            Self::BadOutput(_)
            | Self::ResponseTooLarge { .. }
            | Self::InvalidResponse
            | Self::ResponseHeaderTooLarge
            | Self::ResponseBodyTooLarge => Reason::BadOutput,
            Self::PullFailed { .. }
            | Self::PullTimedOut
            | Self::ImageHasVolume
            | Self::StartFailed(_)
            | Self::SyslogUnavailable
            | Self::InitTimedOut => Reason::Image,
            Self::Busy | Self::NoCapacity(_) => Reason::NoCapacity,
            Self::Refused { .. } => Reason::ApiRequest,
            Self::ClientGone
            | Self::InvalidPayload
            | Self::BodyTimeout
            | Self::BodyTooLarge { .. }
            | Self::ContentLengthTooLarge { .. } => Reason::ClientRequest,
            _ => Reason::Platform,
        }
    }
}
