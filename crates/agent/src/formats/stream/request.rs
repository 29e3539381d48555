//! Writing a request's head. Its body always follows in chunks.

use hearth_models::{Timestamp, WholeSeconds};
use http::header::{
    CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue};

use super::CALL_ID;
use crate::formats::fields::{canonical, connection_lists};
use crate::formats::http::write_line;
use crate::invocation::{Invocation, Request, Via};
use crate::trace::of_trace;

/// What every request begins with.
const BEGINNING: &[u8] = b"POST /call HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n";

const DEADLINE: HeaderName = HeaderName::from_static("fn-deadline");

/// The request as it goes to the function, up to its body, which has to be over by `deadline`.
pub(crate) fn request_head(invocation: &Invocation, deadline: Timestamp) -> Vec<u8> {
    let request = &invocation.request;
    let mut head = Vec::with_capacity(512 + request.url.len() + 48 * request.headers.len());
    head.extend_from_slice(BEGINNING);
    write_line(&mut head, "Fn-Call-Id", invocation.id.text().as_bytes());
    write_line(&mut head, "Fn-Deadline", WholeSeconds(deadline).to_string().as_bytes());
    match request.via {
        Via::Http => frame(&mut head, request),
        Via::Direct => pass_on(&mut head, &request.headers),
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Writes method, URL and headers as headers of their own. The content type is that of the body, which is not framed. What
/// tells of the trace is there as it came, too: kits look for it there.
fn frame(head: &mut Vec<u8>, request: &Request) {
    write_line(head, "Fn-Intent", b"httprequest");
    write_line(head, "Fn-Http-Method", request.method.as_str().as_bytes());
    write_line(head, "Fn-Http-Request-Url", request.url.as_bytes());
    for (name, value) in end_to_end(&request.headers) {
        if *name != CONTENT_TYPE {
            head.extend_from_slice(b"Fn-Http-H-");
        }
        write_line(head, &canonical(name), value.as_bytes());
    }
    for (name, value) in of_trace(&request.headers) {
        write_line(head, &canonical(name), value.as_bytes());
    }
}

fn pass_on(head: &mut Vec<u8>, headers: &HeaderMap) {
    let ours = [&CONTENT_LENGTH, &CALL_ID, &DEADLINE];
    for (name, value) in end_to_end(headers).filter(|(name, _)| !ours.contains(name)) {
        write_line(head, &canonical(name), value.as_bytes());
    }
}

/// Headers that are not the connection's business.
fn end_to_end(headers: &HeaderMap) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    let listed = connection_lists(headers);
    headers.iter().filter(move |(name, value)| {
        let passes = match **name {
            TE => value.as_bytes() == b"trailers",
            HOST | EXPECT | TRANSFER_ENCODING | TRAILER | UPGRADE | PROXY_AUTHENTICATE | PROXY_AUTHORIZATION => false,
            _ => !matches!(name.as_str(), "connection" | "keep-alive" | "proxy-connection"),
        };
        passes && !listed.contains(name)
    })
}
