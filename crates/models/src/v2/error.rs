//! What API v2 refuses, each with its status and its exact message (v2 contract B.1.3 to B.1.7, B.1.12).

/// A refusal that only clients of API v2 can get.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum Error {
    #[error("App ID cannot be supplied on create")]
    AppIdOnCreate,
    #[error("App ID in path does not match ID in body")]
    AppIdMismatch,
    #[error("Missing Name")]
    MissingAppName,
    #[error("App name must be 255 characters or less")]
    AppNameTooLong,
    /// The detail is the parser's, or names the schemes there are.
    #[error("invalid syslog url: \"{url}\" {detail}")]
    InvalidSyslogUrl { url: String, detail: String },
    #[error("Invalid app shape")]
    InvalidShape,

    #[error("ID cannot be provided for Fn creation")]
    FnIdOnCreate,
    #[error("Fn ID in path does not match that in body")]
    FnIdMismatch,
    #[error("Missing AppID on Fn")]
    MissingAppIdOnFn,
    #[error("Missing Fn name")]
    MissingFnName,
    #[error("Fn name must be 255 characters or less")]
    FnNameTooLong,
    #[error("name must be a valid string")]
    InvalidFnName,
    #[error("Missing image on Fn")]
    MissingFnImage,
    #[error("timeout value is out of range, must be between 0 and 300")]
    InvalidTimeout,
    #[error("idle_timeout value is out of range, must be between 0 and 3600")]
    InvalidIdleTimeout,
    #[error("memory value is out of range. It should be between 0 and 8192")]
    InvalidMemory,
    /// `format` is an addition of Hearth.
    #[error("Invalid Fn format")]
    InvalidFnFormat,
    #[error("Fn with specified name already exists")]
    FnExists,
    #[error("Fn not found")]
    FnNotFound,

    #[error("ID cannot be provided for Trigger creation")]
    TriggerIdOnCreate,
    #[error("ID in path does not match ID in body")]
    TriggerIdMismatch,
    #[error("Trigger Created At Provided for Create")]
    CreatedAtOnCreate,
    /// So the contract has it.
    #[error("Trigger ID Provided for Create")]
    UpdatedAtOnCreate,
    #[error("Missing App ID on Trigger")]
    MissingAppIdOnTrigger,
    #[error("Missing name on Trigger")]
    MissingTriggerName,
    #[error("Trigger name must be 255 characters or less")]
    TriggerNameTooLong,
    #[error("Invalid name for Trigger")]
    InvalidTriggerName,
    #[error("Missing Fn ID on Trigger")]
    MissingFnIdOnTrigger,
    #[error("Trigger Type Not Supported")]
    UnknownTriggerType,
    #[error("Missing Trigger Source")]
    MissingSource,
    #[error("Missing Trigger Source Prefix '/'")]
    SourceWithoutSlash,
    /// No index of the database holds it.
    #[error("Trigger source is too long for the database")]
    SourceTooLong,
    #[error("Invalid Fn ID - not owned by specified app")]
    FnOfAnotherApp,
    #[error("Trigger with the same type and source exists on this app")]
    SourceExists,
    #[error("Trigger already exists")]
    TriggerExists,
    #[error("Trigger not found")]
    TriggerNotFound,

    #[error("Invalid annotation key, annotation keys must be non-empty ascii strings excluding whitespace")]
    InvalidAnnotationKey,
    #[error("Invalid annotation key length, annotation keys may not be larger than 128 bytes")]
    AnnotationKeyTooLong,
    #[error("Invalid annotation value, annotation values may only be non-empty strings, numbers, objects, or arrays")]
    InvalidAnnotationValue,
    #[error(
        "Invalid annotation value length, annotation values may not be larger than 512 bytes when serialized as JSON"
    )]
    AnnotationValueTooLong,
    #[error("Invalid annotation change, new key(s) exceed maximum permitted number of annotations keys (100)")]
    TooManyAnnotations,

    #[error("Invalid cursor")]
    InvalidCursor,
    #[error("Path not found: {method} {path}")]
    PathNotFound { method: String, path: String },
    #[error("Method not allowed: {method} {path}")]
    MethodNotAllowed { method: String, path: String },
    /// A container of the function is larger than the node.
    #[error("Requested CPU/Memory cannot be allocated")]
    CannotBeAllocated,
}

impl Error {
    /// The status code of the answer.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::FnNotFound | Self::TriggerNotFound | Self::PathNotFound { .. } => 404,
            Self::MethodNotAllowed { .. } => 405,
            Self::FnExists | Self::SourceExists | Self::TriggerExists => 409,
            _ => 400,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Error as AnyError;
    use crate::{Reason, v2};

    /// What functions, images and the node come to, which is no client's mistake (v2 contract B.1.12). Refusals of the
    /// management API are held to the contract where they are answered.
    #[test]
    fn every_row_of_the_catalogue_has_its_status_message_and_wait() {
        use AnyError as E;
        let slow = "Container initialization timed out, please ensure you are using the latest fdk and check the logs";
        let failed = "Container failed to initialize, please ensure you are using the latest fdk and check the logs";
        let pull = |status| E::PullFailed { status, image: "i".to_owned(), detail: "d".to_owned() };
        for (error, status, message, wait) in [
            (E::Busy, 503, "Timed out - server too busy", Some(15)),
            (v2::Error::CannotBeAllocated.into(), 400, "Requested CPU/Memory cannot be allocated", None),
            (E::ImageHasVolume, 400, "image has Volume definition", None),
            (E::PullTimedOut, 504, "Image pull timed out", None),
            (E::ResponseBodyTooLarge, 502, "function response body too large", None),
            (E::ResponseHeaderTooLarge, 502, "function response header too large", None),
            (E::NotReceived(Reason::BadExit), 502, "error receiving function response", None),
            (E::FunctionFailed, 502, "function failed", None),
            (E::InvalidResponse, 502, "invalid function response", None),
            (E::TimedOut, 504, "Timed out", None),
            (E::InitFailed(Reason::BadExit), 502, failed, None),
            (E::InitTimedOut, 504, slow, None),
            (pull(404), 404, "Failed to pull image 'i': d", None),
            (pull(502), 502, "Failed to pull image 'i': d", None),
            (E::SyslogUnavailable, 500, "Syslog Unavailable", None),
            (E::Internal, 500, "internal server error", None),
            // Of Hearth alone: no index of the database holds it.
            (v2::Error::SourceTooLong.into(), 400, "Trigger source is too long for the database", None),
        ] {
            assert_eq!((error.status(), error.to_string().as_str(), error.retry_after()), (status, message, wait));
        }
    }
}
