//! Reading an answer: it is collected until the object ends, then parsed once.

use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde_json::error::Category;

use super::object::{Headers, Object, Protocol};
use super::scan::Scanner;
use crate::formats::fields::remove_hop_by_hop;
use crate::formats::{Event, FormatError, Head, JsonFault, MAX_HEAD, MAX_HEADERS};

/// Reads an answer.
#[derive(Debug)]
pub(in crate::formats) struct Answer {
    state: State,
    max: u64,
}

#[derive(Debug)]
enum State {
    /// Before the object.
    Blank,
    /// Inside the object, of which `held` came so far.
    Object { held: BytesMut, scanner: Scanner },
    /// The body, still to be handed out unless it is empty.
    Body(Bytes),
}

impl Answer {
    /// For an answer whose body may have `max` bytes.
    pub(in crate::formats) fn new(max: u64) -> Self {
        Self { state: State::Blank, max }
    }

    pub(in crate::formats) fn step(&mut self, input: &mut Bytes) -> Result<Option<Event>, FormatError> {
        if matches!(self.state, State::Blank) && !self.begin(input)? {
            return Ok(None);
        }
        match &mut self.state {
            State::Body(body) if body.is_empty() => Ok(Some(Event::End)),
            State::Body(body) => Ok(Some(Event::Data(std::mem::take(body)))),
            State::Object { .. } | State::Blank => self.read_object(input),
        }
    }

    pub(in crate::formats) fn close(&self) -> Result<Option<Event>, FormatError> {
        match &self.state {
            State::Blank => Err(FormatError::Nothing),
            State::Object { .. } => Err(JsonFault::Truncated.into()),
            State::Body(_) => Ok(None),
        }
    }

    /// Skips white space; whether the object has begun.
    fn begin(&mut self, input: &mut Bytes) -> Result<bool, JsonFault> {
        let blank = input.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
        input.advance(blank);
        let found = match input.first() {
            None => return Ok(false),
            Some(b'{') => {
                self.state = State::Object { held: BytesMut::new(), scanner: Scanner::default() };
                return Ok(true);
            }
            Some(b'[') => "an array",
            Some(b'"') => "a string",
            Some(b'-' | b'0'..=b'9') => "a number",
            Some(_) => "something else",
        };
        Err(JsonFault::NotAnObject(found))
    }

    fn read_object(&mut self, input: &mut Bytes) -> Result<Option<Event>, FormatError> {
        let State::Object { held, scanner } = &mut self.state else {
            return Ok(None);
        };
        let end = scanner.scan(input)?;
        let size = held.len() as u64 + end.unwrap_or(input.len()) as u64;
        if size > self.max.saturating_add(MAX_HEAD as u64) {
            return Err(FormatError::TooLarge { max: self.max });
        }
        let Some(end) = end else {
            held.extend_from_slice(input);
            input.clear();
            return Ok(None);
        };
        let mut object = input.split_to(end);
        if !held.is_empty() {
            held.extend_from_slice(&object);
            object = std::mem::take(held).freeze();
        }
        let (head, body) = parse(object)?;
        self.state = State::Body(body);
        Ok(Some(Event::Head(head)))
    }
}

/// A whole object as head and body. Bytes that are not UTF-8 become U+FFFD.
fn parse(object: Bytes) -> Result<(Head, Bytes), JsonFault> {
    let object = match std::str::from_utf8(&object) {
        Ok(_) => object,
        Err(_) => String::from_utf8_lossy(&object).into_owned().into(),
    };
    let Object { body, protocol } = serde_json::from_slice(&object).map_err(|error| fault(&error))?;
    let Protocol { status_code, headers } = protocol.unwrap_or_default();
    let status = status(status_code.unwrap_or(0))?;
    let headers = header_map(headers.unwrap_or_default(), &object)?;
    let body = match body {
        Some(body) if !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) => body.into_bytes(&object),
        _ => Bytes::new(),
    };
    Ok((Head { status, headers, length: Some(body.len() as u64) }, body))
}

/// The text of serde's error can quote the output, its place cannot.
fn fault(error: &serde_json::Error) -> JsonFault {
    match error.classify() {
        Category::Data => JsonFault::WrongType { line: error.line(), column: error.column() },
        Category::Syntax | Category::Eof | Category::Io => JsonFault::Malformed,
    }
}

fn status(code: i64) -> Result<StatusCode, JsonFault> {
    let status = match code {
        0 => StatusCode::OK,
        _ => u16::try_from(code)
            .ok()
            .and_then(|code| StatusCode::from_u16(code).ok())
            .ok_or(JsonFault::StatusCode(code))?,
    };
    if status.is_informational() { Err(JsonFault::InterimStatus(status.as_u16())) } else { Ok(status) }
}

/// The headers without those of a connection and without `Content-Length`: the length of the body counts, not what
/// the function says of it.
fn header_map(headers: Headers<'_>, object: &Bytes) -> Result<HeaderMap, JsonFault> {
    let mut map = HeaderMap::new();
    for (name, values) in headers.0 {
        let name = HeaderName::from_bytes(&name.into_bytes(object)).map_err(|_| JsonFault::Header)?;
        for value in values.unwrap_or_default() {
            if map.len() == MAX_HEADERS {
                return Err(JsonFault::TooManyHeaders);
            }
            let value = value.map(|value| value.into_bytes(object)).unwrap_or_default();
            map.try_append(&name, header_value(value)?).map_err(|_| JsonFault::TooManyHeaders)?;
        }
    }
    remove_hop_by_hop(&mut map);
    map.remove(CONTENT_LENGTH);
    Ok(map)
}

/// Control characters, line ends among them, become spaces.
fn header_value(text: Bytes) -> Result<HeaderValue, JsonFault> {
    let text = if text.iter().any(u8::is_ascii_control) {
        text.iter().map(|byte| if byte.is_ascii_control() { b' ' } else { *byte }).collect()
    } else {
        text
    };
    HeaderValue::from_maybe_shared(text).map_err(|_| JsonFault::Header)
}
