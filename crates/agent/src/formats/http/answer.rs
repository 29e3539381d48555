//! Reading a response.

use bytes::{Buf, Bytes};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, Method, StatusCode};

use super::chunked::{Chunked, take};
use super::head::{add_header, content_length, is_chunked, may_begin, parse_status};
use crate::formats::fields::{connection_lists, remove_hop_by_hop};
use crate::formats::lines::Lines;
use crate::formats::{Event, FormatError, Head, HttpFault, MAX_HEAD};

/// What `Connection` lists where the connection serves no other request.
const CLOSE: HeaderName = HeaderName::from_static("close");

/// Reads a response.
#[derive(Debug)]
pub(in crate::formats) struct Answer {
    /// The request was HEAD, so no body follows whatever the head says.
    to_head: bool,
    /// The sender will close.
    closes: bool,
    lines: Lines,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Before the status line; `begun` after an interim response.
    Status {
        begun: bool,
    },
    /// Inside the head.
    Headers {
        status: StatusCode,
        headers: HeaderMap,
    },
    /// The rest of a body whose length is known; 0 when it is complete.
    Length(u64),
    Chunked(Chunked),
    UntilClose,
}

impl Answer {
    /// For the response to a request with `method`.
    pub(in crate::formats) fn new(method: &Method) -> Self {
        Self {
            to_head: method == Method::HEAD,
            closes: false,
            lines: Lines::new(MAX_HEAD),
            state: State::Status { begun: false },
        }
    }

    /// Nothing of it has come yet: its heads may have `max` bytes.
    pub(in crate::formats) fn allow_head(&mut self, max: usize) {
        self.lines.allow(max);
    }

    /// Whoever answered closes what carries the answer. Known with the head.
    pub(in crate::formats) fn closes(&self) -> bool {
        self.closes || self.ends_at_close()
    }

    pub(in crate::formats) fn ends_at_close(&self) -> bool {
        matches!(self.state, State::UntilClose)
    }

    pub(in crate::formats) fn step(&mut self, input: &mut Bytes) -> Result<Option<Event>, FormatError> {
        match &mut self.state {
            State::Status { .. } | State::Headers { .. } => self.read_head(input),
            State::Length(0) => Ok(Some(Event::End)),
            State::Length(left) => Ok(take(input, left).map(Event::Data)),
            State::Chunked(chunked) => chunked.step(input, &mut self.lines),
            State::UntilClose => Ok((!input.is_empty()).then(|| Event::Data(std::mem::take(input)))),
        }
    }

    pub(in crate::formats) fn close(&self) -> Result<Option<Event>, FormatError> {
        match &self.state {
            State::Status { begun: false } if self.lines.begun().is_empty() => Err(FormatError::Nothing),
            State::Status { .. } | State::Headers { .. } => Err(HttpFault::TruncatedHead.into()),
            State::Length(_) | State::Chunked(_) => Err(HttpFault::TruncatedBody.into()),
            State::UntilClose => Ok(Some(Event::End)),
        }
    }

    fn read_head(&mut self, input: &mut Bytes) -> Result<Option<Event>, FormatError> {
        loop {
            if matches!(self.state, State::Status { .. }) {
                self.check_beginning(input)?;
            }
            let Some(line) = self.lines.next(input).map_err(|_| HttpFault::HeadTooLong)? else {
                return Ok(None);
            };
            if let Some(head) = self.read_line(&line)? {
                return Ok(Some(Event::Head(head)));
            }
        }
    }

    /// Skips line ends, which belong to the response before this one, and refuses what cannot become a status line.
    fn check_beginning(&self, input: &mut Bytes) -> Result<(), HttpFault> {
        let begun = self.lines.begun();
        if begun.is_empty() {
            let ends = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            input.advance(ends);
        }
        if may_begin(begun.iter().chain(&input[..])) { Ok(()) } else { Err(HttpFault::StatusLine) }
    }

    /// Takes a line of the head; gives the head when this is its last one.
    fn read_line(&mut self, line: &Bytes) -> Result<Option<Head>, HttpFault> {
        match &mut self.state {
            State::Headers { headers, .. } if !line.is_empty() => add_header(headers, line)?,
            State::Headers { status, headers } => {
                let (status, headers) = (*status, std::mem::take(headers));
                return self.end_head(status, headers);
            }
            _ => {
                let status = parse_status(line)?;
                self.state = State::Headers { status, headers: HeaderMap::new() };
            }
        }
        Ok(None)
    }

    /// An empty line ended a head: that of an interim response, which is skipped, or of the response itself. Where
    /// its body ends follows RFC 9112, 6.3.
    fn end_head(&mut self, status: StatusCode, mut headers: HeaderMap) -> Result<Option<Head>, HttpFault> {
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(HttpFault::ProtocolSwitch);
        }
        if status.is_informational() {
            self.state = State::Status { begun: true };
            return Ok(None);
        }
        let declared = content_length(&headers)?;
        headers.remove(CONTENT_LENGTH);
        let bodiless = self.to_head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let (state, length) = if bodiless {
            (State::Length(0), Some(0))
        } else if is_chunked(&headers)? {
            (State::Chunked(Chunked::begin(&mut self.lines)), None)
        } else {
            declared.map_or((State::UntilClose, None), |length| (State::Length(length), Some(length)))
        };
        self.state = state;
        self.closes = connection_lists(&headers).contains(&CLOSE);
        remove_hop_by_hop(&mut headers);
        if let Some(declared) = declared.filter(|_| bodiless && status != StatusCode::NO_CONTENT) {
            headers.insert(CONTENT_LENGTH, declared.into());
        }
        Ok(Some(Head { status, headers, length }))
    }
}
