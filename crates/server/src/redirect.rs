//! The answer to a path with a slash too many or too few (v1 contract B.1.1).

use axum::body::Body;
use axum::response::Response;
use hearth_models::Error;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, StatusCode, request};

use crate::error::envelope;
use crate::paths::Version;

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// Sends the client of `head` to `path`, with the query it sent. A GET also gets a page with the link.
pub(crate) fn to(status: StatusCode, path: &str, head: &request::Parts) -> Response {
    let location = match head.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let Ok(value) = HeaderValue::try_from(&location) else {
        return envelope(&Error::PathNotFound, Version::of(path));
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(LOCATION, value);
    if matches!(head.method, Method::GET | Method::HEAD) {
        response.headers_mut().insert(CONTENT_TYPE, HTML);
        *response.body_mut() = page(&location, status).into();
    }
    response
}

fn page(location: &str, status: StatusCode) -> String {
    let href = location
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&#34;")
        .replace('\'', "&#39;");
    let text = status.canonical_reason().unwrap_or_default();
    format!("<a href=\"{href}\">{text}</a>.\n\n")
}
