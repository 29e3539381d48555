//! Recognising an answer's end: as little work as can be, for every microsecond here is one of the processors that the
//! server runs on.

use std::borrow::Cow;

use anyhow::{Context as _, Result, bail, ensure};

/// How an answer says where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// An HTTP/1.1 response with a `Content-Length`, or in chunks.
    Http,
    /// A line with a JSON object.
    Line,
}

/// An answer that is there as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer<'a> {
    /// 200 for a line, which is compared as a whole.
    pub(crate) status: u16,
    pub(crate) body: Cow<'a, [u8]>,
    /// All of it, head and framing included.
    pub(crate) length: usize,
}

// === impl Framing ===

impl Framing {
    /// The answer at the front of `bytes`, once it is complete.
    pub(crate) fn parse(self, bytes: &[u8]) -> Result<Option<Answer<'_>>> {
        match self {
            Self::Http => http(bytes),
            Self::Line => Ok(line(bytes)),
        }
    }
}

fn http(bytes: &[u8]) -> Result<Option<Answer<'_>>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let (head, rest) = (&bytes[..end], &bytes[end + 4..]);
    ensure!(head.starts_with(b"HTTP/1.1 ") && head.len() >= 12, "not the head of an answer: {}", shown(head));
    let status = std::str::from_utf8(&head[9..12])?.parse().context("an answer without a status")?;
    let body = match header(head, b"content-length:") {
        Some(length) => sized(rest, length)?,
        None if header(head, b"transfer-encoding:") == Some(b"chunked") => chunked(rest)?,
        None => bail!("an answer without a length: {}", shown(head)),
    };
    Ok(body.map(|(body, length)| Answer { status, body, length: end + 4 + length }))
}

fn line(bytes: &[u8]) -> Option<Answer<'_>> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some(Answer { status: 200, body: bytes[..end].into(), length: end + 1 })
}

/// A body that is there as a whole, and what it takes on the wire.
type Body<'a> = Option<(Cow<'a, [u8]>, usize)>;

fn sized<'a>(rest: &'a [u8], length: &[u8]) -> Result<Body<'a>> {
    let length = std::str::from_utf8(length)?.parse().context("a length that is no number")?;
    Ok(rest.get(..length).map(|body| (body.into(), length)))
}

/// Rare, so it need not be quick: Hearth answers so when a function takes long between its output and its end.
fn chunked(rest: &[u8]) -> Result<Body<'_>> {
    let (mut body, mut at) = (Vec::new(), 0);
    while let Some(end) = rest[at..].windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&rest[at..at + end])?;
        let size = usize::from_str_radix(size, 16).context("a chunk without a size")?;
        let begin = at + end + 2;
        let Some(chunk) = rest.get(begin..begin + size + 2) else {
            return Ok(None);
        };
        ensure!(chunk.ends_with(b"\r\n"), "a chunk that does not end");
        body.extend_from_slice(&chunk[..size]);
        at = begin + chunk.len();
        if size == 0 {
            return Ok(Some((body.into(), at)));
        }
    }
    Ok(None)
}

/// The value of a header, whose `name` is in lower case and has its colon.
fn header<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut lines = head.split(|byte| *byte == b'\n');
    let line = lines.find(|line| line.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name)))?;
    Some(line[name.len()..].trim_ascii())
}

/// The beginning of `bytes`, fit for a message.
pub(crate) fn shown(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(300)].escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_complete_with_its_last_byte(whole: &[u8]) {
        for end in 0..whole.len() {
            assert_eq!(Framing::Http.parse(&whole[..end]).unwrap(), None, "{end}");
        }
        let followed = [whole, b"HTTP"].concat();
        let answer = Framing::Http.parse(&followed).unwrap().unwrap();
        assert_eq!(answer, Answer { status: 200, body: b"hello"[..].into(), length: whole.len() });
    }

    #[test]
    fn a_response_is_complete_with_its_last_byte_and_not_before() {
        assert_complete_with_its_last_byte(b"HTTP/1.1 200 OK\r\nX-Y: z\r\ncontent-LENGTH: 5\r\n\r\nhello");
        assert_complete_with_its_last_byte(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        );
    }

    #[test]
    fn what_has_no_length_or_is_no_response_is_refused() {
        for bad in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            "nonsense\r\n\r\n",
            "HTTP/1.1 \r\n\r\n",
        ] {
            assert!(Framing::Http.parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_line_ends_with_its_line_feed() {
        assert_eq!(Framing::Line.parse(b"{}").unwrap(), None);
        let answer = Framing::Line.parse(b"{}\n{").unwrap().unwrap();
        assert_eq!((&answer.body[..], answer.length), (&b"{}"[..], 3));
    }
}
