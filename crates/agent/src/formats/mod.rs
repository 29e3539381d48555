//! How a call crosses a container's stdin and stdout (v1 contract B.3 with A.2), or its socket (v2 contract B.3).
//!
//! | format        | request                                          | answer                                   |
//! |---------------|--------------------------------------------------|------------------------------------------|
//! | `default`     | the body, then end of file                       | the body, until end of file: [`raw`]     |
//! | `http`        | [`http::request_head`], then the body            | an HTTP/1 response: [`http::Answer`]     |
//! | `json`        | [`json::request`], body included                 | one JSON object: [`json::Answer`]        |
//! | `http-stream` | [`stream::request_head`], then the body in chunks | an HTTP/1 response: [`stream::Answer`]   |
//!
//! Nothing here does I/O. A [`Decoder`] is given what the container wrote, piece by piece as it came, and hands out
//! [`Event`]s. They say the same however the output is cut, but for how much of a body is out before it is found too
//! long. Each byte is looked at a fixed number of times, body bytes of `http` and `default` are passed on without a
//! copy, and what is held back is bounded by [`MAX_HEAD`] (`http`) or by the limit of the answer (`json`).
//!
//! Output that breaks its format is refused as soon as it shows, not at the deadline: a function that prints
//! `hello` where a status line should stand fails at the `h`.

mod error;
mod fields;
pub(crate) mod http;
pub(crate) mod json;
mod lines;
mod raw;
pub(crate) mod stream;
#[cfg(test)]
mod tests;

use ::http::{HeaderMap, Method, StatusCode};
use bytes::Bytes;
use hearth_models::{Error, Format};

use crate::invocation::Via;

pub(crate) use error::{FormatError, HttpFault, JsonFault};
use stream::StreamFault;

/// Bytes that the heads of one `http` answer may have together unless it is set otherwise, and its trailers; beside the body, what a `json`
/// object may add.
pub(crate) const MAX_HEAD: usize = 64 * 1024;

/// Headers that an answer may have.
pub(crate) const MAX_HEADERS: usize = 256;

/// What an answer says of itself before its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// A final status, 200 to 999.
    pub(crate) status: StatusCode,
    /// Headers without the hop-by-hop ones. `Content-Length` is there only where it tells of a body that is not sent
    /// (an answer to HEAD, and 304); otherwise `length` has it.
    pub(crate) headers: HeaderMap,
    /// Bytes of body that follow, when that is known.
    pub(crate) length: Option<u64>,
}

/// A part of an answer: one head, any number of pieces of its body, one end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The head.
    Head(Head),
    /// More of the body; never empty.
    Data(Bytes),
    /// The answer is complete.
    End,
    /// The answer is complete, and says that there is none for the caller but this error. Neither head nor data go before
    /// it.
    Refused(Error),
}

/// Reads one answer from what a container writes to stdout.
#[derive(Debug)]
pub(crate) struct Decoder {
    format: Format,
    answer: Answer,
    input: Bytes,
    untouched: bool,
    closed: bool,
    stage: Stage,
    room: u64,
    max: u64,
}

/// The part of a decoder that knows its format. `step` takes what it can use from the front of the input, all of it
/// when it answers `None`; `close` is asked when all input is used up and no more will come.
#[derive(Debug)]
enum Answer {
    Raw(raw::Answer),
    Http(http::Answer),
    Json(json::Answer),
    Stream(stream::Answer),
}

/// How far an answer has got.
#[derive(Debug)]
enum Stage {
    Open,
    Ended { surplus: bool },
    Failed(FormatError),
}

// === impl Decoder ===

impl Decoder {
    /// A decoder for the answer to a request with `method` that came `via` a door, whose body may have `max` bytes. For
    /// `json` the limit is on the object as written, since that is what has to be held in memory.
    pub(crate) fn for_call(format: Format, via: Via, method: &Method, max: u64) -> Self {
        let answer = match format {
            Format::Default => Answer::Raw(raw::Answer::default()),
            Format::Http => Answer::Http(http::Answer::new(method)),
            Format::HttpStream => Answer::Stream(stream::Answer::new(via)),
            Format::Json => Answer::Json(json::Answer::new(max)),
        };
        Self { format, answer, input: Bytes::new(), untouched: true, closed: false, stage: Stage::Open, room: max, max }
    }

    /// The heads of the answer may have `max` bytes together instead of [`MAX_HEAD`], where the format has heads.
    pub(crate) fn with_head(mut self, max: usize) -> Self {
        match &mut self.answer {
            Answer::Http(answer) => answer.allow_head(max),
            Answer::Stream(answer) => answer.allow_head(max),
            Answer::Raw(_) | Answer::Json(_) => {}
        }
        self
    }

    /// Takes the next piece of output. Call [`next`](Self::next) until it gives `None` before the next piece.
    pub(crate) fn push(&mut self, piece: Bytes) {
        self.untouched = false;
        match &mut self.stage {
            Stage::Open if self.input.is_empty() => self.input = piece,
            // Not how it should be used, so this need not be quick.
            Stage::Open => self.input = [&self.input[..], &piece[..]].concat().into(),
            Stage::Ended { surplus } => *surplus |= !is_ignorable(self.format, &piece),
            Stage::Failed(_) => {}
        }
    }

    /// The container closed its stdout. The next [`next`](Self::next) that would give `None` says what that means.
    pub(crate) fn eof(&mut self) {
        self.closed = true;
    }

    /// The next event, or `None` until more output comes, and for ever after the end. An error stays.
    pub(crate) fn next(&mut self) -> Result<Option<Event>, FormatError> {
        match &self.stage {
            Stage::Open => {}
            Stage::Ended { .. } => return Ok(None),
            Stage::Failed(error) => return Err(error.clone()),
        }
        let result = self.advance();
        match &result {
            Ok(Some(Event::End | Event::Refused(_))) => {
                let rest = std::mem::take(&mut self.input);
                let surplus = !is_ignorable(self.format, &rest);
                self.stage = Stage::Ended { surplus };
            }
            Ok(_) => {}
            Err(error) => {
                self.input = Bytes::new();
                self.stage = Stage::Failed(error.clone());
            }
        }
        result
    }

    /// Whether nothing has come yet.
    pub(crate) const fn is_untouched(&self) -> bool {
        self.untouched
    }

    /// Whether bytes that may not follow an answer came after its end.
    pub(crate) fn surplus(&self) -> bool {
        matches!(self.stage, Stage::Ended { surplus: true })
    }

    /// Whether the answer ends only where what carries it does, or asks for that: stdout, so that its container cannot be
    /// used again, or the connection. Known with the head.
    pub(crate) fn must_close(&self) -> bool {
        match &self.answer {
            Answer::Raw(_) => true,
            Answer::Http(answer) => answer.ends_at_close(),
            Answer::Json(_) => false,
            Answer::Stream(answer) => answer.closes(),
        }
    }

    fn advance(&mut self) -> Result<Option<Event>, FormatError> {
        let mut event = self.answer.step(&mut self.input)?;
        if event.is_none() && self.closed {
            event = self.answer.close()?;
        }
        match &event {
            Some(Event::Head(Head { length: Some(length), .. })) if *length > self.room => Err(self.too_large()),
            Some(Event::Data(data)) => {
                self.room = self.room.checked_sub(data.len() as u64).ok_or_else(|| self.too_large())?;
                Ok(event)
            }
            _ => Ok(event),
        }
    }

    fn too_large(&self) -> FormatError {
        match self.format {
            Format::HttpStream => StreamFault::Body.into(),
            _ => FormatError::TooLarge { max: self.max },
        }
    }
}

// === impl Answer ===

impl Answer {
    fn step(&mut self, input: &mut Bytes) -> Result<Option<Event>, FormatError> {
        match self {
            Self::Raw(answer) => Ok(answer.step(input)),
            Self::Http(answer) => answer.step(input),
            Self::Json(answer) => answer.step(input),
            Self::Stream(answer) => answer.step(input),
        }
    }

    fn close(&mut self) -> Result<Option<Event>, FormatError> {
        match self {
            Self::Raw(answer) => Ok(Some(answer.close())),
            Self::Http(answer) => answer.close(),
            Self::Json(answer) => answer.close(),
            Self::Stream(answer) => answer.close(),
        }
    }
}

/// Whether `bytes` between two answers of a container mean nothing: white space for `json`, line ends over `http`.
pub(crate) fn is_ignorable(format: Format, bytes: &[u8]) -> bool {
    match format {
        Format::Default => bytes.is_empty(),
        Format::Http | Format::HttpStream => bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n')),
        Format::Json => bytes.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')),
    }
}
