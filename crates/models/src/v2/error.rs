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
