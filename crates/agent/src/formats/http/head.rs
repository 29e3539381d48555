//! The head of a response, a line at a time.
//!
//! Each line is judged when it is complete, and the beginning of the first one before that, so a function that writes
//! something else than HTTP is found out at once and not at the deadline; and no head is ever parsed twice, however
//! it is cut. The tests hold this parser to what `httparse` reads.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode};

use crate::formats::HttpFault;
use crate::formats::MAX_HEADERS;

const PROTOCOL: &[u8] = b"HTTP/1.";

/// Whether a status line can begin like this.
pub(super) fn may_begin<'a>(line: impl IntoIterator<Item = &'a u8>) -> bool {
    line.into_iter().zip(PROTOCOL).all(|(byte, expected)| byte == expected)
}

/// The status of a status line: `HTTP/1.`, a digit, spaces, three digits, and after a space anything.
pub(super) fn parse_status(line: &[u8]) -> Result<StatusCode, HttpFault> {
    let rest = line.strip_prefix(PROTOCOL).ok_or(HttpFault::StatusLine)?;
    let Some((b'0'..=b'9', [b' ', rest @ ..])) = rest.split_first() else {
        return Err(HttpFault::StatusLine);
    };
    let rest = rest.trim_ascii_start();
    let code = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
    let code: u16 = match code {
        [_, ..] if code.iter().all(u8::is_ascii_digit) => {
            code.iter().fold(0, |sum: u16, digit| sum.saturating_mul(10).saturating_add(u16::from(digit - b'0')))
        }
        _ => return Err(HttpFault::StatusLine),
    };
    StatusCode::from_u16(code).map_err(|_| HttpFault::StatusCode(code))
}

/// Adds the header on `line`. What may stand in names and values is up to the `http` crate, which refuses a folded
/// line (it has an empty name or a space in it) and a bare CR.
pub(super) fn add_header(headers: &mut HeaderMap, line: &Bytes) -> Result<(), HttpFault> {
    if headers.len() == MAX_HEADERS {
        return Err(HttpFault::TooManyHeaders);
    }
    let colon = line.iter().position(|byte| *byte == b':').ok_or(HttpFault::HeaderLine)?;
    let name = HeaderName::from_bytes(&line[..colon]).map_err(|_| HttpFault::HeaderLine)?;
    let value = line.slice_ref(line[colon + 1..].trim_ascii());
    let value = HeaderValue::from_maybe_shared(value).map_err(|_| HttpFault::HeaderLine)?;
    headers.try_append(name, value).map_err(|_| HttpFault::TooManyHeaders)?;
    Ok(())
}

/// Whether the body comes in chunks. Nothing else than `chunked` can be undone here.
pub(super) fn is_chunked(headers: &HeaderMap) -> Result<bool, HttpFault> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(false),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(true),
        _ => Err(HttpFault::TransferEncoding),
    }
}

/// The declared length of the body. Saying it more than once is fine as long as it is the same.
pub(super) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, HttpFault> {
    let values = headers.get_all(CONTENT_LENGTH).iter();
    let mut lengths = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(parse_length);
    let Some(first) = lengths.next() else {
        return Ok(None);
    };
    if lengths.all(|other| other == first) { first.map(Some) } else { Err(HttpFault::ContentLength) }
}

fn parse_length(text: &[u8]) -> Result<u64, HttpFault> {
    let digits = text.trim_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(HttpFault::ContentLength);
    }
    // Digits are ASCII, so only a number beyond 64 bits is left to fail.
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).ok_or(HttpFault::ContentLength)
}
