//! The request of a queued call as it is stored.
//!
//! The body is stored as it came. The rest is one JSON text with a version; header values may be any bytes, and each of
//! them becomes the character of its number.

use std::time::Duration;

use bytes::Bytes;
use hearth_datastore::{Payload, Submission};
use hearth_models::{Call, CallType, Priority};
use http::header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use serde::{Deserialize, Serialize};

use crate::{Invocation, Request, Via};

const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    v: u32,
    app: String,
    /// It is a direct invocation; left out where it is not, as by versions that knew no other.
    #[serde(default, skip_serializing_if = "is_false")]
    direct: bool,
    method: String,
    target: String,
    url: String,
    host: String,
    http_10: bool,
    headers: Vec<(String, String)>,
    params: Vec<(String, String)>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Why a stored request cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("it is no JSON of its kind: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it is of version {0}")]
    Version(u32),
    #[error("it is no HTTP request: {0}")]
    Http(#[from] http::Error),
}

/// What is to be queued for `invocation` with `body`.
///
/// # Errors
/// Its head cannot be written as JSON, which no request's is.
pub fn submission(
    invocation: &Invocation,
    body: Bytes,
    priority: Priority,
    delay: Duration,
) -> serde_json::Result<Submission> {
    let Invocation { app, function, trigger, .. } = invocation;
    let mut call = if delay.is_zero() {
        Call::accept(app.id, function.id, CallType::Async)
    } else {
        Call::accept_delayed(app.id, function.id)
    };
    call.id = invocation.id;
    // However long the body took: ids are in the order of these times, and lists by time rely on how near they are.
    call.created_at = invocation.id.made_at();
    if let Some(trigger) = trigger {
        call.trigger_id = Some(trigger.id);
        call.path.clone_from(&trigger.source);
    }
    let head = encode(invocation, body.len())?;
    Ok(Submission { due_at: call.created_at.after(delay), call, priority, payload: Payload { head, body } })
}

fn encode(invocation: &Invocation, length: usize) -> serde_json::Result<String> {
    let Request { via, method, target, url, host, version, headers, params } = &invocation.request;
    let mut headers = headers.clone();
    // The body is all there, however it came.
    let framed = headers.remove(TRANSFER_ENCODING).is_some() | headers.remove(CONTENT_LENGTH).is_some();
    headers.remove(EXPECT);
    if framed || length > 0 {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    let text = |value: &HeaderValue| value.as_bytes().iter().copied().map(char::from).collect();
    serde_json::to_string(&Stored {
        v: VERSION,
        app: invocation.app.name.clone(),
        direct: *via == Via::Direct,
        method: method.to_string(),
        target: target.clone(),
        url: url.clone(),
        host: host.clone(),
        http_10: *version == Version::HTTP_10,
        headers: headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        params: params.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
    })
}

/// The name of the app, and the request.
pub(super) fn decode(head: &str) -> Result<(String, Request), Unreadable> {
    let stored: Stored = serde_json::from_str(head)?;
    if stored.v != VERSION {
        return Err(Unreadable::Version(stored.v));
    }
    let mut headers = HeaderMap::with_capacity(stored.headers.len());
    for (name, value) in &stored.headers {
        let bytes: Vec<u8> = value.chars().map(|char| u8::try_from(char).unwrap_or(b'?')).collect();
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(http::Error::from)?;
        headers.append(name, HeaderValue::from_bytes(&bytes).map_err(http::Error::from)?);
    }
    let param = |(name, value): (String, String)| {
        let name = ["app", "route"].into_iter().find(|known| *known == name)?;
        Some((name, value))
    };
    let request = Request {
        via: if stored.direct { Via::Direct } else { Via::Http },
        method: Method::from_bytes(stored.method.as_bytes()).map_err(http::Error::from)?,
        target: stored.target,
        url: stored.url,
        host: stored.host,
        version: if stored.http_10 { Version::HTTP_10 } else { Version::HTTP_11 },
        headers,
        params: stored.params.into_iter().filter_map(param).collect(),
    };
    Ok((stored.app, request))
}

#[cfg(test)]
mod tests {
    use hearth_models::{Format, Status};

    use super::*;
    use crate::env::tests::captured;

    fn stored(invocation: &Invocation, body: &'static [u8]) -> Request {
        let submission = submission(invocation, Bytes::from_static(body), Priority::default(), Duration::ZERO).unwrap();
        assert_eq!(submission.payload.body, body);
        let (app, request) = decode(&submission.payload.head).unwrap();
        assert_eq!(app, invocation.app.name);
        request
    }

    #[test]
    fn a_request_comes_back_as_it_was() {
        let mut invocation = captured(Format::Http);
        let headers = &mut invocation.request.headers;
        headers.append("x-twice", HeaderValue::from_static("1"));
        headers.append("x-twice", HeaderValue::from_bytes(b"\xff\xe9 \t\x80").unwrap());
        headers.remove(TRANSFER_ENCODING);
        headers.insert(CONTENT_LENGTH, 3.into());
        let request = stored(&invocation, b"abc");
        let expected = &invocation.request;
        assert_eq!((&request.method, &request.target), (&expected.method, &expected.target));
        assert_eq!((&request.url, &request.host), (&expected.url, &expected.host));
        assert_eq!(request.via, Via::Http);
        assert_eq!((request.version, &request.params), (expected.version, &expected.params));
        assert_eq!(request.headers, expected.headers);
    }

    #[test]
    fn the_length_is_that_of_the_body_however_it_came() {
        for (name, value, body, length) in [
            ("transfer-encoding", "chunked", &b"abc"[..], Some("3")),
            ("transfer-encoding", "chunked", b"", Some("0")),
            ("content-length", "7", b"abc", Some("3")),
            ("expect", "100-continue", b"", None),
        ] {
            let mut invocation = captured(Format::Http);
            invocation.request.headers.clear();
            invocation.request.headers.insert(name, HeaderValue::from_static(value));
            let headers = stored(&invocation, body).headers;
            assert_eq!(headers.get(CONTENT_LENGTH).map(|value| value.to_str().unwrap()), length);
            assert_eq!(headers.len(), usize::from(length.is_some()), "{headers:?}");
        }
    }

    #[test]
    fn how_a_request_came_is_kept() {
        let mut invocation = captured(Format::HttpStream);
        invocation.request.via = Via::Direct;
        assert_eq!(stored(&invocation, b"").via, Via::Direct);
    }

    #[test]
    fn a_delay_makes_the_call_delayed() {
        let invocation = captured(Format::Http);
        let submission = |delay| submission(&invocation, Bytes::new(), Priority::MAX, delay).unwrap();
        let (now, later) = (submission(Duration::ZERO), submission(Duration::from_secs(60)));
        assert_eq!((now.call.status(), now.due_at), (Status::Queued, now.call.created_at));
        assert_eq!(later.call.status(), Status::Delayed);
        assert_eq!(later.due_at.since(later.call.created_at), Duration::from_secs(60));
        assert_eq!((later.call.id, later.priority), (invocation.id, Priority::MAX));
    }

    #[test]
    fn what_a_newer_version_stored_is_not_guessed_at() {
        let head = encode(&captured(Format::Http), 0).unwrap().replacen("\"v\":1", "\"v\":2", 1);
        assert!(matches!(decode(&head), Err(Unreadable::Version(2))));
        assert!(matches!(decode("{}"), Err(Unreadable::Json(_))));
    }
}
