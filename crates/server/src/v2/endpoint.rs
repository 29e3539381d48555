//! Where clients are told to call what they made (v2 contract B.1.9).

use std::borrow::Cow;

use hearth_models::FnId;
use http::header::HOST;
use http::request;

/// What every such URL begins with.
#[derive(Debug)]
pub(super) struct Base<'a>(Cow<'a, str>);

impl<'a> Base<'a> {
    /// What is set, or else where the client asked.
    pub(super) fn of(set: Option<&'a str>, head: &request::Parts) -> Self {
        Self(set.map_or_else(|| format!("http://{}", host(head)).into(), Cow::Borrowed))
    }

    /// Where a function is invoked.
    pub(super) fn invoke(&self, id: FnId) -> String {
        format!("{}/invoke/{id}", self.0)
    }

    /// Where a trigger is called.
    pub(super) fn trigger(&self, app_name: &str, source: &str) -> String {
        format!("{}/t/{app_name}/{}", self.0, source.strip_prefix('/').unwrap_or(source))
    }
}

/// The host of a request as its client wrote it.
fn host(head: &request::Parts) -> Cow<'_, str> {
    match head.headers.get(HOST) {
        Some(host) => String::from_utf8_lossy(host.as_bytes()),
        None => head.uri.authority().map_or("", http::uri::Authority::as_str).into(),
    }
}
