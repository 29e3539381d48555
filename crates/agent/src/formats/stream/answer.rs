//! Reading an answer: what its status says of the call, and what of its head the caller is to see.

use ::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName};
use ::http::{Method, StatusCode};
use bytes::Bytes;
use hearth_models::{Error, Reason};

use super::{CALL_ID, FRAME, STATUS};
use crate::formats::fields::remove_hop_by_hop;
use crate::formats::{Event, FormatError, Head, HttpFault, http};
use crate::invocation::Via;

/// Reads an answer.
#[derive(Debug)]
pub(in crate::formats) struct Answer {
    via: Via,
    http: http::Answer,
    part: Part,
}

/// What becomes of the body.
#[derive(Debug)]
enum Part {
    /// It is the caller's.
    Passed,
    /// A status without one was framed: it is left out.
    LeftOut,
    /// The function answered that it could not: it is read to its end, and the caller hears this.
    Refused(StreamFault),
}

/// What is wrong with an answer in the `http-stream` format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StreamFault {
    /// The function answered with 502.
    #[error("function failed")]
    Failed,
    /// The function answered with 504.
    #[error("function timed out")]
    TimedOut,
    /// Its status is none that a function may answer with.
    #[error("status code {0}")]
    Status(u16),
    /// The status that it framed is none.
    #[error("framed status code outside 200..999")]
    FramedStatus,
    /// The head is over its limit.
    #[error("head too large")]
    Head,
    /// The body is over its limit.
    #[error("body too large")]
    Body,
    /// It is no HTTP.
    #[error(transparent)]
    Http(HttpFault),
    /// The connection ended before it did.
    #[error("connection closed")]
    Closed,
}

// === impl Answer ===

impl Answer {
    pub(in crate::formats) fn new(via: Via) -> Self {
        Self { via, http: http::Answer::new(&Method::POST), part: Part::Passed }
    }

    /// Nothing of it has come yet: its heads may have `max` bytes.
    pub(in crate::formats) fn allow_head(&mut self, max: usize) {
        self.http.allow_head(max);
    }

    /// The connection serves no other request.
    pub(in crate::formats) fn closes(&self) -> bool {
        self.http.closes()
    }

    pub(in crate::formats) fn step(&mut self, input: &mut Bytes) -> Result<Option<Event>, FormatError> {
        while let Some(event) = self.http.step(input).map_err(into_stream_fault)? {
            if let Some(event) = self.see(event)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    pub(in crate::formats) fn close(&mut self) -> Result<Option<Event>, FormatError> {
        match self.http.close().map_err(into_stream_fault)? {
            Some(event) => self.see(event),
            None => Ok(None),
        }
    }

    /// What the caller is to see of `event`.
    fn see(&mut self, event: Event) -> Result<Option<Event>, FormatError> {
        match (event, &self.part) {
            (Event::Head(head), _) => self.see_head(head),
            (Event::Data(_), Part::LeftOut | Part::Refused(_)) => Ok(None),
            (Event::End, Part::Refused(fault)) => Ok(Some(Event::Refused((*fault).into()))),
            (event, _) => Ok(Some(event)),
        }
    }

    fn see_head(&mut self, mut head: Head) -> Result<Option<Event>, FormatError> {
        self.part = match head.status {
            StatusCode::OK => Part::Passed,
            StatusCode::BAD_GATEWAY => Part::Refused(StreamFault::Failed),
            StatusCode::GATEWAY_TIMEOUT => Part::Refused(StreamFault::TimedOut),
            other => return Err(StreamFault::Status(other.as_u16()).into()),
        };
        if let Part::Refused(_) = self.part {
            return Ok(None);
        }
        match self.via {
            Via::Direct => {
                head.headers.remove(CALL_ID);
            }
            Via::Http => {
                head.status = framed_status(&head.headers)?;
                head.headers = unframe(&head.headers);
                if matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
                    head.length = Some(0);
                    self.part = Part::LeftOut;
                }
            }
        }
        Ok(Some(Event::Head(head)))
    }
}

/// The status that the caller gets: 200, unless the function frames a number.
fn framed_status(headers: &HeaderMap) -> Result<StatusCode, StreamFault> {
    let text = headers.get(STATUS).and_then(|status| status.to_str().ok()).unwrap_or_default().trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(StatusCode::OK);
    }
    let code = text.parse().ok().and_then(|code| StatusCode::from_u16(code).ok());
    code.filter(|code| !code.is_informational()).ok_or(StreamFault::FramedStatus)
}

/// The headers that the caller gets: those that are framed, and the content type where none is.
fn unframe(headers: &HeaderMap) -> HeaderMap {
    let mut unframed = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let framed = name.as_str().strip_prefix(FRAME).and_then(|name| HeaderName::from_bytes(name.as_bytes()).ok());
        if let Some(name) = framed.filter(|name| ![CONTENT_LENGTH, CALL_ID].contains(name)) {
            unframed.append(name, value.clone());
        }
    }
    remove_hop_by_hop(&mut unframed);
    if let Some(plain) = headers.get(CONTENT_TYPE) {
        unframed.entry(CONTENT_TYPE).or_insert_with(|| plain.clone());
    }
    unframed
}

fn into_stream_fault(error: FormatError) -> FormatError {
    match error {
        FormatError::Nothing | FormatError::Http(HttpFault::TruncatedHead | HttpFault::TruncatedBody) => {
            StreamFault::Closed.into()
        }
        FormatError::Http(HttpFault::HeadTooLong | HttpFault::TooManyHeaders) => StreamFault::Head.into(),
        FormatError::Http(fault) => StreamFault::Http(fault).into(),
        other => other,
    }
}

impl From<StreamFault> for FormatError {
    fn from(fault: StreamFault) -> Self {
        Self::Stream(fault)
    }
}

impl From<StreamFault> for Error {
    fn from(fault: StreamFault) -> Self {
        match fault {
            StreamFault::Failed => Self::FunctionFailed,
            StreamFault::TimedOut => Self::TimedOut,
            StreamFault::Status(_) | StreamFault::FramedStatus => Self::InvalidResponse,
            StreamFault::Head => Self::ResponseHeaderTooLarge,
            StreamFault::Body => Self::ResponseBodyTooLarge,
            StreamFault::Http(_) | StreamFault::Closed => Self::NotReceived(Reason::BadOutput),
        }
    }
}
