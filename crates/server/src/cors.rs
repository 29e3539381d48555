//! Cross-origin access for browsers (v1 contract B.1.11 with A.1, v2 contract B.1.10): off unless origins are named, and
//! then for every path, functions included. A cross-origin OPTIONS never reaches a function.

use std::str::FromStr;

use axum::body::Body;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

const ALLOWED_METHODS: &str = "GET,POST,PUT,HEAD,PATCH,DELETE";
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static("Origin,Content-Length,Content-Type");
/// In the place of the first origin: pages of any may use the API.
const ANY: HeaderValue = HeaderValue::from_static("*");
const MAX_AGE_SECONDS: &str = "43200";

/// The origins whose pages may use the API. None of them by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    origins: Origins,
    headers: CorsHeaders,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Origins {
    These(Vec<String>),
    Any,
}

/// The headers that pages of other origins may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsHeaders(HeaderValue);

/// A name that no header can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no name of a header")]
pub struct InvalidHeader(pub String);

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

    /// Reads a comma-separated list. Spaces do not count; an empty text means no cross-origin access, and a `*` at its
    /// beginning any origin.
    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let text: String = text.split_whitespace().collect();
        if text.is_empty() {
            return Ok(Self::default());
        }
        let origins = match text.split(',').next() {
            Some("*") => Origins::Any,
            _ => Origins::These(text.split(',').map(origin).collect::<Result<_, _>>()?),
        };
        Ok(Self { origins, headers: CorsHeaders::default() })
    }
}

impl FromStr for CorsHeaders {
    type Err = InvalidHeader;

    /// Reads a comma-separated list of names. Spaces do not count; an empty text means the usual ones.
    fn from_str(text: &str) -> Result<Self, InvalidHeader> {
        let text: String = text.split_whitespace().collect();
        if text.is_empty() {
            return Ok(Self::default());
        }
        let is_name = |name: &&str| HeaderName::from_bytes(name.as_bytes()).is_ok();
        if let Some(bad) = text.split(',').find(|name| !is_name(name)) {
            return Err(InvalidHeader(bad.to_owned()));
        }
        HeaderValue::from_str(&text).map(Self).map_err(|_| InvalidHeader(text))
    }
}

impl Default for CorsHeaders {
    fn default() -> Self {
        Self(ALLOWED_HEADERS)
    }
}

impl Default for Origins {
    fn default() -> Self {
        Self::These(Vec::new())
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
    /// The same origins, whose pages may send these headers.
    #[must_use]
    pub fn with_headers(self, headers: CorsHeaders) -> Self {
        Self { headers, ..self }
    }

    /// Judges a request by its method and headers.
    pub(crate) fn judge(&self, method: &Method, headers: &HeaderMap) -> Verdict {
        if matches!(&self.origins, Origins::These(origins) if origins.is_empty()) {
            return Verdict::Untouched;
        }
        let Some(origin) = headers.get(ORIGIN) else { return Verdict::Untouched };
        let allowed = match &self.origins {
            Origins::These(origins) if origins.iter().all(|allowed| allowed.as_bytes() != origin.as_bytes()) => {
                return Verdict::Answered(empty(StatusCode::FORBIDDEN));
            }
            Origins::These(_) => origin.clone(),
            Origins::Any => ANY,
        };
        if method == Method::OPTIONS {
            return Verdict::Answered(self.preflight(allowed));
        }
        Verdict::Allowed(allowed)
    }

    fn preflight(&self, origin: HeaderValue) -> Response {
        let mut response = empty(StatusCode::OK);
        allow(&mut response, origin);
        let headers = response.headers_mut();
        for asked in ["Access-Control-Request-Method", "Access-Control-Request-Headers"] {
            headers.append(VARY, HeaderValue::from_static(asked));
        }
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(ALLOWED_METHODS));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, self.headers.0.clone());
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE_SECONDS));
        response
    }
}

/// Tells the browser that pages of `origin` may read `response`.
pub(crate) fn allow(response: &mut Response, origin: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(VARY, HeaderValue::from_static("Origin"));
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
        assert_eq!(cors.origins, Origins::These(vec!["http://a.example".to_owned(), "https://b:8443".to_owned()]));
        assert_eq!("*, http://a".parse::<Cors>().unwrap().origins, Origins::Any);
        assert_eq!(" ".parse(), Ok(Cors::default()));
        for (text, bad) in [
            ("example.com", "example.com"),
            ("http://a,*", "*"),
            ("http://a,", ""),
            ("http://", "http://"),
            ("ftp://a", "ftp://a"),
            ("http://a\u{7f}", "http://a\u{7f}"),
        ] {
            assert_eq!(text.parse::<Cors>(), Err(InvalidOrigin(bad.to_owned())));
        }
    }

    #[test]
    fn headers_are_names_with_commas_between() {
        let headers: CorsHeaders = "Content-Type, X-Own".parse().unwrap();
        assert_eq!(headers.0, "Content-Type,X-Own");
        assert_eq!(" ".parse(), Ok(CorsHeaders::default()));
        assert_eq!("X:Own".parse::<CorsHeaders>(), Err(InvalidHeader("X:Own".to_owned())));
        assert_eq!("A,,B".parse::<CorsHeaders>(), Err(InvalidHeader(String::new())));
    }
}
