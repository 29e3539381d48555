//! Undoing the chunked coding.

use bytes::Bytes;
use http::HeaderMap;

use super::head::add_header;
use crate::formats::lines::Lines;
use crate::formats::{Event, FormatError, HttpFault, MAX_HEAD};

/// Bytes that the line before a chunk may have, extensions included.
const MAX_SIZE_LINE: usize = 4 * 1024;

/// Where in a chunked body we are.
#[derive(Debug)]
pub(super) enum Chunked {
    /// Before the size of a chunk.
    Size,
    /// Inside the data of one; so many bytes are left.
    Data(u64),
    /// Before the line end that follows the data.
    DataEnd,
    /// Behind the last chunk. Trailers are checked and dropped: a client was not told to expect any.
    Trailers(HeaderMap),
}

impl Chunked {
    /// The beginning of a body whose lines are taken from `lines`.
    pub(super) fn begin(lines: &mut Lines) -> Self {
        lines.allow(MAX_SIZE_LINE);
        Self::Size
    }

    pub(super) fn step(&mut self, input: &mut Bytes, lines: &mut Lines) -> Result<Option<Event>, FormatError> {
        loop {
            if let Self::Data(left) = self {
                let data = take(input, left);
                if *left == 0 {
                    lines.allow(MAX_SIZE_LINE);
                    *self = Self::DataEnd;
                }
                return Ok(data.map(Event::Data));
            }
            let fault = if matches!(self, Self::Trailers(_)) { HttpFault::HeadTooLong } else { HttpFault::Chunk };
            let Some(line) = lines.next(input).map_err(|_| fault)? else {
                return Ok(None);
            };
            match self {
                Self::Size => match parse_size(&line).ok_or(HttpFault::Chunk)? {
                    0 => {
                        lines.allow(MAX_HEAD);
                        *self = Self::Trailers(HeaderMap::new());
                    }
                    size => *self = Self::Data(size),
                },
                Self::DataEnd if line.is_empty() => *self = Self::Size,
                Self::Trailers(_) if line.is_empty() => return Ok(Some(Event::End)),
                Self::Trailers(trailers) => add_header(trailers, &line)?,
                Self::DataEnd | Self::Data(_) => return Err(HttpFault::Chunk.into()),
            }
        }
    }
}

/// Up to `left` bytes off the front of the input, or `None` when it has none.
pub(super) fn take(input: &mut Bytes, left: &mut u64) -> Option<Bytes> {
    let len = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
    *left -= len as u64;
    (len > 0).then(|| input.split_to(len))
}

/// Hexadecimal digits, then nothing or an extension.
fn parse_size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, rest) = line.split_at(digits);
    let ends_well = matches!(rest.trim_ascii_start(), [] | [b';', ..]);
    let size = std::str::from_utf8(digits).ok().and_then(|digits| u64::from_str_radix(digits, 16).ok());
    size.filter(|_| ends_well)
}
