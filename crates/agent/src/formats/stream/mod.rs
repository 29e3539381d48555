//! `http-stream`: HTTP/1.1 over a socket, always `POST /call`; what it is about is in the headers (v2 contract B.2, B.3.4,
//! B.3.5).
//!
//! A call that came as an HTTP request ([`Via::Http`](crate::Via::Http)) is *framed*: method, URL and headers of the
//! request travel in headers of their own, and so do status and headers of the answer. A direct one
//! ([`Via::Direct`](crate::Via::Direct)) is not: its headers pass as they are.

mod answer;
mod request;
#[cfg(test)]
mod tests;

use http::HeaderName;

pub(super) use answer::Answer;
pub(crate) use answer::StreamFault;
pub(crate) use request::request_head;

/// Begins the names of framed headers.
const FRAME: &str = "fn-http-h-";

const CALL_ID: HeaderName = HeaderName::from_static("fn-call-id");
const STATUS: HeaderName = HeaderName::from_static("fn-http-status");
