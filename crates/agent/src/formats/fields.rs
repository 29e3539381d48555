//! The headers of a request as a hot function sees them (v1 contract B.2.3 with A.2).

use std::borrow::Cow;

use hearth_models::canonical_header_name;
use http::HeaderMap;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, TRAILER, TRANSFER_ENCODING};

use crate::env::{injected_headers, is_protected};
use crate::invocation::Invocation;

/// A header: its name in canonical spelling, and one value.
pub(super) type Field<'a> = (Cow<'static, str>, Cow<'a, [u8]>);

/// The client's headers with the facts of the call, in ascending order of their names; values of one name keep
/// their order. `Host`, `Transfer-Encoding` and `Trailer` belong to the connection. `Content-Length` is left to the
/// caller, who knows how the body travels: `length` is its value.
pub(super) fn request_fields<'a>(invocation: &'a Invocation, length: Option<Cow<'a, [u8]>>) -> Vec<Field<'a>> {
    let headers = &invocation.request.headers;
    let mut fields: Vec<Field<'a>> = Vec::with_capacity(headers.len() + 12);
    let forwarded = headers.iter().filter(|(name, _)| is_forwarded(name));
    fields.extend(forwarded.map(|(name, value)| (canonical(name), value.as_bytes().into())));
    fields.extend(length.map(|length| (Cow::Borrowed("Content-Length"), length)));
    fields.extend(injected_headers(invocation).into_iter().map(|(name, value)| (name, into_bytes(value))));
    // Stable, so that a client's values stay before the facts that are appended to them.
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    fields
}

/// The canonical spelling, ready for the names that nearly every request has.
pub(super) fn canonical(name: &HeaderName) -> Cow<'static, str> {
    let known = match name.as_str() {
        "accept" => "Accept",
        "accept-encoding" => "Accept-Encoding",
        "accept-language" => "Accept-Language",
        "authorization" => "Authorization",
        "connection" => "Connection",
        "content-type" => "Content-Type",
        "cookie" => "Cookie",
        "origin" => "Origin",
        "referer" => "Referer",
        "traceparent" => "Traceparent",
        "user-agent" => "User-Agent",
        "x-forwarded-for" => "X-Forwarded-For",
        "x-forwarded-host" => "X-Forwarded-Host",
        "x-forwarded-proto" => "X-Forwarded-Proto",
        "x-request-id" => "X-Request-Id",
        other => return canonical_header_name(other).into(),
    };
    known.into()
}

fn is_forwarded(name: &HeaderName) -> bool {
    ![HOST, TRANSFER_ENCODING, TRAILER, CONTENT_LENGTH].contains(name) && !is_protected(name.as_str())
}

fn into_bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

#[cfg(test)]
#[test]
fn the_names_that_are_ready_are_spelled_as_all_others() {
    for name in [
        "accept",
        "accept-encoding",
        "accept-language",
        "authorization",
        "connection",
        "content-type",
        "cookie",
        "origin",
        "referer",
        "traceparent",
        "user-agent",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-request-id",
        "x-other",
    ] {
        assert_eq!(canonical(&HeaderName::from_static(name)), canonical_header_name(name));
    }
}

/// Removes from an answer what holds for one connection only: the usual names and those that `Connection` lists.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    // To look at the few that are there is less than to look up all that could be.
    if !headers.keys().any(is_hop_by_hop) {
        return;
    }
    for name in connection_lists(headers) {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// As `http` has them, in lower case.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "proxy-authenticate",
    "proxy-authorization",
    "keep-alive",
    "proxy-connection",
];

fn is_hop_by_hop(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(&name.as_str())
}

/// The names that `Connection` lists, which make headers the connection's business.
pub(super) fn connection_lists(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter();
    let names = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()).collect()
}
