//! Writing a request.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};

use crate::formats::fields::{Field, request_fields};
use crate::invocation::Invocation;

/// The request as it goes to stdin, body included (v1 contract B.3.4). Every byte of the body that is not UTF-8
/// becomes U+FFFD; `http` is the format for binary bodies.
pub(crate) fn request(invocation: &Invocation, body: &[u8]) -> Bytes {
    let request = &invocation.request;
    let header = |name| request.headers.get(name).map(|value| value.as_bytes());
    let fields = request_fields(invocation, header(CONTENT_LENGTH).map(Into::into));
    let size: usize = fields.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
    // Room for a body in which one byte of eight is escaped.
    let mut out = Vec::with_capacity(size + body.len() + body.len() / 8 + request.target.len() + 256);

    out.extend_from_slice(b"{\n\"call_id\":");
    write_text(&mut out, invocation.id.to_string().as_bytes());
    out.extend_from_slice(b"\n,\"content_type\":");
    write_text(&mut out, header(CONTENT_TYPE).unwrap_or_default());
    out.extend_from_slice(b"\n,\"body\":");
    write_text(&mut out, body);
    out.extend_from_slice(b"\n,\"protocol\":{\"type\":");
    write_text(&mut out, invocation.function.call_type.as_str().as_bytes());
    out.extend_from_slice(b"\n,\"request_url\":");
    write_text(&mut out, request.target.as_bytes());
    out.extend_from_slice(b"\n,\"headers\":");
    write_headers(&mut out, &fields);
    out.extend_from_slice(b"\n}\n}\n\n");
    out.into()
}

/// An object of arrays. The fields are sorted, so the values of one name stand together.
fn write_headers(out: &mut Vec<u8>, fields: &[Field<'_>]) {
    out.push(b'{');
    for (n, of_one_name) in fields.chunk_by(|(a, _), (b, _)| a == b).enumerate() {
        out.extend_from_slice(if n == 0 { b"" } else { b"," });
        for (n, (name, value)) in of_one_name.iter().enumerate() {
            if n == 0 {
                write_text(out, name.as_bytes());
                out.extend_from_slice(b":[");
            } else {
                out.push(b',');
            }
            write_text(out, value);
        }
        out.push(b']');
    }
    out.push(b'}');
}

fn write_text(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    match std::str::from_utf8(text) {
        Ok(text) => write_escaped(out, text),
        Err(_) => {
            for chunk in text.utf8_chunks() {
                write_escaped(out, chunk.valid());
                chunk.invalid().iter().for_each(|_| out.extend_from_slice("\u{fffd}".as_bytes()));
            }
        }
    }
    out.push(b'"');
}

/// The escapes of [`hearth_models::json`], by a table: bodies come through here. The tests hold the two together.
fn write_escaped(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let mut written = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if !MAY_NEED_ESCAPE[usize::from(byte)] || !needs_escape(&bytes[at..]) {
            continue;
        }
        out.extend_from_slice(&bytes[written..at]);
        written = at + write_escape(out, &bytes[at..]);
    }
    out.extend_from_slice(&bytes[written..]);
}

/// Bytes that begin something to be escaped; 0xe2 does before 0x80 0xa8 and 0x80 0xa9 only.
const MAY_NEED_ESCAPE: [bool; 256] = {
    let mut table = [false; 256];
    let mut control = 0;
    while control < 0x20 {
        table[control] = true;
        control += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table[b'<' as usize] = true;
    table[b'>' as usize] = true;
    table[b'&' as usize] = true;
    table[0xe2] = true;
    table
};

fn needs_escape(text: &[u8]) -> bool {
    text[0] != 0xe2 || matches!(text, [_, 0x80, 0xa8 | 0xa9, ..])
}

/// Writes the escape for the beginning of `text` and gives how many bytes it stands for.
fn write_escape(out: &mut Vec<u8>, text: &[u8]) -> usize {
    let short: &[u8] = match text[0] {
        b'"' => b"\\\"",
        b'\\' => b"\\\\",
        b'\n' => b"\\n",
        b'\r' => b"\\r",
        b'\t' => b"\\t",
        0x08 => b"\\b",
        0x0c => b"\\f",
        0xe2 => {
            out.extend_from_slice(if text[2] == 0xa8 { b"\\u2028" } else { b"\\u2029" });
            return 3;
        }
        byte => {
            let hex = |digit: u8| b"0123456789abcdef"[usize::from(digit)];
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte & 0xf)]);
            return 1;
        }
    };
    out.extend_from_slice(short);
    1
}
