//! What can be wrong with a function's answer.

use hearth_models::Error;

use super::stream::StreamFault;

/// Why what a function wrote is no answer. The text names the format and the fault, and never quotes the output.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FormatError {
    /// Its stdout was closed before anything came.
    #[error("no response")]
    Nothing,
    /// The answer is longer than the server allows.
    #[error("response over {max} bytes")]
    TooLarge {
        /// The limit.
        max: u64,
    },
    /// It breaks HTTP/1.
    #[error("http: {0}")]
    Http(HttpFault),
    /// It breaks the `json` format.
    #[error("json: {0}")]
    Json(JsonFault),
    /// It is none that an `http-stream` function may give.
    #[error("http-stream: {0}")]
    Stream(StreamFault),
}

/// What is wrong with an answer in the `http` format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HttpFault {
    /// The first line is not `HTTP/1.x` and a status.
    #[error("malformed status line")]
    StatusLine,
    /// The status is outside 100..999.
    #[error("status code {0} outside 100..999")]
    StatusCode(u16),
    /// 101 would leave HTTP.
    #[error("protocol switch refused")]
    ProtocolSwitch,
    /// A line of the head or of the trailers is no header.
    #[error("malformed header line")]
    HeaderLine,
    /// Head, interim heads or trailers are too long.
    #[error("head over its limit")]
    HeadTooLong,
    /// There are too many headers.
    #[error("more than {} headers", super::MAX_HEADERS)]
    TooManyHeaders,
    /// `Content-Length` is no number, or there are two that differ.
    #[error("bad content-length")]
    ContentLength,
    /// A transfer coding other than `chunked`.
    #[error("unsupported transfer-encoding")]
    TransferEncoding,
    /// The size line of a chunk, or the line end after one.
    #[error("malformed chunk")]
    Chunk,
    /// The container closed its stdout inside the head.
    #[error("truncated head")]
    TruncatedHead,
    /// The container closed its stdout inside the body.
    #[error("truncated body")]
    TruncatedBody,
}

/// What is wrong with an answer in the `json` format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JsonFault {
    /// The output begins with something else than `{`.
    #[error("expected an object, found {0}")]
    NotAnObject(&'static str),
    /// It begins as an object and breaks the grammar.
    #[error("malformed object")]
    Malformed,
    /// A recognised key has a value of another type than it should.
    #[error("value of the wrong type at line {line} column {column}")]
    WrongType {
        /// Line of the value in the object, from 1.
        line: usize,
        /// Column in that line, from 1.
        column: usize,
    },
    /// The status is outside 100..999.
    #[error("status code {0} outside 100..999")]
    StatusCode(i64),
    /// 1xx announces another answer, which this format cannot carry.
    #[error("interim status code {0}")]
    InterimStatus(u16),
    /// A header that cannot stand in a response.
    #[error("illegal header")]
    Header,
    /// There are too many headers.
    #[error("more than {} headers", super::MAX_HEADERS)]
    TooManyHeaders,
    /// The container closed its stdout inside the object.
    #[error("truncated object")]
    Truncated,
}

impl From<FormatError> for Error {
    fn from(error: FormatError) -> Self {
        match error {
            FormatError::Nothing => Self::NoResponse,
            FormatError::TooLarge { max } => Self::ResponseTooLarge { max },
            FormatError::Http(_) | FormatError::Json(_) => Self::BadOutput(error.to_string()),
            FormatError::Stream(fault) => fault.into(),
        }
    }
}

impl From<HttpFault> for FormatError {
    fn from(fault: HttpFault) -> Self {
        Self::Http(fault)
    }
}

impl From<JsonFault> for FormatError {
    fn from(fault: JsonFault) -> Self {
        Self::Json(fault)
    }
}
