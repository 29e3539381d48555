//! Recognising an answer's end: as little work as can be, for every microsecond here is one of the processors that the
//! server runs on.

use anyhow::{Context as _, Result, ensure};

/// How an answer says where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// An HTTP/1.1 response with a `Content-Length`.
    Http,
    /// A line with a JSON object.
    Line,
}

/// An answer that is there as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer<'a> {
    /// 200 for a line, which is compared as a whole.
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
    /// Its length, body included.
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
    let head = &bytes[..end];
    ensure!(head.starts_with(b"HTTP/1.1 ") && head.len() >= 12, "not the head of an answer: {}", shown(head));
    let status = number(&head[9..12]).context("an answer without a status")?;
    let length = content_length(head).with_context(|| format!("an answer without a length: {}", shown(head)))?;
    let (begin, end) = (end + 4, end + 4 + length);
    let Some(body) = bytes.get(begin..end) else {
        return Ok(None);
    };
    let status = u16::try_from(status).context("a status of three digits")?;
    Ok(Some(Answer { status, body, length: end }))
}

fn line(bytes: &[u8]) -> Option<Answer<'_>> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some(Answer { status: 200, body: &bytes[..end], length: end + 1 })
}

fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let mut lines = head.split(|byte| *byte == b'\n');
    let line = lines.find(|line| line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME)))?;
    number(line[NAME.len()..].trim_ascii())
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The beginning of `bytes`, fit for a message.
pub(crate) fn shown(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(300)].escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_complete_with_its_last_byte_and_not_before() {
        let whole = b"HTTP/1.1 200 OK\r\nX-Y: z\r\ncontent-LENGTH: 5\r\n\r\nhello";
        for end in 0..whole.len() {
            assert_eq!(Framing::Http.parse(&whole[..end]).unwrap(), None, "{end}");
        }
        let followed = [&whole[..], b"HTTP"].concat();
        let answer = Framing::Http.parse(&followed).unwrap().unwrap();
        assert_eq!(answer, Answer { status: 200, body: b"hello", length: whole.len() });
    }

    #[test]
    fn what_has_no_length_or_is_no_response_is_refused() {
        for bad in ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "nonsense\r\n\r\n", "HTTP/1.1 \r\n\r\n"] {
            assert!(Framing::Http.parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_line_ends_with_its_line_feed() {
        assert_eq!(Framing::Line.parse(b"{}").unwrap(), None);
        let answer = Framing::Line.parse(b"{}\n{").unwrap().unwrap();
        assert_eq!((answer.body, answer.length), (&b"{}"[..], 3));
    }
}
