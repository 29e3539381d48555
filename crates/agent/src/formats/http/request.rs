//! Writing a request: its head, and the chunks of a body whose length is not known.

use std::borrow::Cow;

use http::Version;
use http::header::CONNECTION;

use crate::formats::fields::request_fields;
use crate::invocation::Invocation;

/// How the body follows the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFraming {
    /// There is none, and nothing is said of it.
    Empty,
    /// So many bytes, as they are; `Content-Length` says so, also when they are 0.
    Length(u64),
    /// In chunks: each as [`chunk`], at the end [`LAST_CHUNK`].
    Chunked,
}

/// Ends a chunked body.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Room for what stands around the data of a chunk.
pub(crate) const CHUNK_FRAME: usize = 2 * size_of::<usize>() + 2 * b"\r\n".len();

/// Appends `data` as a chunk; nothing where there is none, for that would end the body.
pub(crate) fn chunk(bytes: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    let digits = data.len().ilog2() / 4 + 1;
    let digit = |at| b"0123456789abcdef"[data.len() >> (4 * at) & 0xf];
    bytes.extend((0..digits).rev().map(digit));
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(data);
    bytes.extend_from_slice(b"\r\n");
}

/// The request as it goes to stdin, up to its body (v1 contract B.3.2).
pub(crate) fn request_head(invocation: &Invocation, framing: BodyFraming) -> Vec<u8> {
    let request = &invocation.request;
    let length = match framing {
        BodyFraming::Length(length) => Some(Cow::Owned(length.to_string().into_bytes())),
        BodyFraming::Empty | BodyFraming::Chunked => None,
    };
    let fields = request_fields(invocation, length);
    let size: usize = fields.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    let mut head = Vec::with_capacity(size + request.target.len() + request.host.len() + 96);

    head.extend_from_slice(request.method.as_str().as_bytes());
    head.push(b' ');
    write_target(&mut head, &request.target);
    head.extend_from_slice(match request.version {
        Version::HTTP_10 => b" HTTP/1.0\r\n",
        _ => b" HTTP/1.1\r\n",
    });
    write_line(&mut head, "Host", request.host.as_bytes());
    if framing == BodyFraming::Chunked {
        write_line(&mut head, "Transfer-Encoding", b"chunked");
    }
    if asks_for_close(invocation) {
        // It stands once more among the headers; the reference server sends both.
        write_line(&mut head, "Connection", b"close");
    }
    for (name, value) in &fields {
        write_line(&mut head, name, value);
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// A queued call's target is text from a store: whatever would break the request line is escaped.
fn write_target(head: &mut Vec<u8>, target: &str) {
    if target.is_empty() {
        head.push(b'/');
    }
    for byte in target.bytes() {
        if byte <= b' ' || byte == 0x7f {
            head.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            head.push(byte);
        }
    }
}

/// A client's value passes unchanged, whatever its encoding. A fact can hold anything that a URL can escape: control
/// characters become spaces, so that no value can begin a line of its own.
pub(in crate::formats) fn write_line(head: &mut Vec<u8>, name: &str, value: &[u8]) {
    head.extend_from_slice(name.as_bytes());
    head.extend_from_slice(b": ");
    let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
    // Folded, not `any`: without an early exit the compiler looks at many bytes at a time.
    if value.iter().fold(false, |found, byte| found | is_control(byte)) {
        head.extend(value.iter().map(|byte| if is_control(byte) { b' ' } else { *byte }));
    } else {
        head.extend_from_slice(value);
    }
    head.extend_from_slice(b"\r\n");
}

fn asks_for_close(invocation: &Invocation) -> bool {
    let values = invocation.request.headers.get_all(CONNECTION);
    let mut tokens = values.iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    tokens.any(|token| token.trim_ascii().eq_ignore_ascii_case(b"close"))
}
