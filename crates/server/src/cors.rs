//! Cross-origin access for browsers (v1 contract B.1.11 with A.1): off unless origins are named, and then for every
//! path, functions included. A cross-origin OPTIONS never reaches a function.

use std::str::FromStr;

use axum::body::Body;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

const ALLOWED_METHODS: &str = "GET,POST,PUT,HEAD,PATCH,DELETE";
const ALLOWED_HEADERS: &str = "Origin,Content-Length,Content-Type";
const MAX_AGE_SECONDS: &str = "43200";

/// The origins whose pages may use the API. None of them by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    origins: Vec<String>,
}

/// An origin that a browser would never send.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("origin '{0}' does not begin with http:// or https://, or is no header value")]
pub struct InvalidOrigin(pub String);

/// What is to be done with a request.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// No browser asks, or nothing is configured.
    Untouched,
    /// Answer it, and say that this origin may read the answer.
    Allowed(HeaderValue),
    /// This is the answer.
    Answered(Response),
}

impl FromStr for Cors {
    type Err = InvalidOrigin;

    /// Reads a comma-separated list. Spaces do not count; an empty text means no cross-origin access.
    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let text: String = text.split_whitespace().collect();
        if text.is_empty() {
            return Ok(Self::default());
        }
        let origins = text.split(',').map(origin).collect::<Result<_, _>>()?;
        Ok(Self { origins })
    }
}

fn origin(text: &str) -> Result<String, InvalidOrigin> {
    let origin = text.to_lowercase();
    let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    if host.is_none_or(str::is_empty) || HeaderValue::from_str(&origin).is_err() {
        return Err(InvalidOrigin(text.to_owned()));
    }
    Ok(origin)
}

impl Cors {
    /// Judges a request by its method and headers.
    pub(crate) fn judge(&self, method: &Method, headers: &HeaderMap) -> Verdict {
        let Some(origin) = headers.get(ORIGIN).filter(|_| !self.origins.is_empty()) else {
            return Verdict::Untouched;
        };
        if !self.origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()) {
            return Verdict::Answered(empty(StatusCode::FORBIDDEN));
        }
        if method == Method::OPTIONS {
            return Verdict::Answered(preflight(origin));
        }
        Verdict::Allowed(origin.clone())
    }
}

/// Tells the browser that pages of `origin` may read `response`.
pub(crate) fn allow(response: &mut Response, origin: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(VARY, HeaderValue::from_static("Origin"));
}

fn preflight(origin: &HeaderValue) -> Response {
    let mut response = empty(StatusCode::OK);
    allow(&mut response, origin.clone());
    let headers = response.headers_mut();
    for asked in ["Access-Control-Request-Method", "Access-Control-Request-Headers"] {
        headers.append(VARY, HeaderValue::from_static(asked));
    }
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS),
        (ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS),
        (ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECONDS),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_and_bad_ones_named() {
        let cors: Cors = " http://A.example , https://b:8443 ".parse().unwrap();
        assert_eq!(cors.origins, ["http://a.example", "https://b:8443"]);
        assert_eq!(" ".parse(), Ok(Cors::default()));
        for (text, bad) in [
            ("example.com", "example.com"),
            ("*", "*"),
            ("http://a,", ""),
            ("http://", "http://"),
            ("ftp://a", "ftp://a"),
            ("http://a\u{7f}", "http://a\u{7f}"),
        ] {
            assert_eq!(text.parse::<Cors>(), Err(InvalidOrigin(bad.to_owned())));
        }
    }
}
