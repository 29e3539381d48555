//! From what a function answered, or failed to, to the response: which header wins, and what the server adds
//! (v1 contract B.1.9 with A.2 and A.3; v2 contract B.2.1 to B.2.4).

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use hearth_agent::{Answer, Failure, Series};
use hearth_datastore::Resolved;
use hearth_models::{CallId, Error, Headers};
use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use crate::abort::Outgoing;
use crate::api::Api;
use crate::error::envelope;
use crate::json;
use crate::paths::Version;
use crate::sniff;
use crate::wait::Wait;

/// The id of the call, for clients of API v2.
const FN_CALL_ID: HeaderName = HeaderName::from_static("fn-call-id");
/// The same for those of API v1.
const CALL_ID: HeaderName = HeaderName::from_static("fn_call_id");
const WAIT: HeaderName = HeaderName::from_static("xxx-fxlb-wait");

/// Headers that are the connection's business. A route that sets one would break the framing of its answers.
static FRAMING: [HeaderName; 10] = [
    CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    CONTENT_LENGTH,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// A response, and where its request led, if that was found.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) response: Response,
    pub(crate) series: Option<Arc<Series>>,
}

impl From<Response> for Answered {
    fn from(response: Response) -> Self {
        Self { response, series: None }
    }
}

/// What every response to a call carries, from the moment its route is found.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) id: CallId,
    series: Arc<Series>,
    route_headers: HeaderMap,
    version: Version,
}

impl Facts {
    /// The facts of a new call of what was found, for a client of this version.
    pub(crate) fn of(api: &Api, resolved: &Resolved, version: Version) -> Self {
        let trigger = resolved.trigger.as_deref();
        Self {
            id: CallId::generate(),
            series: api.agent.metrics().of(resolved),
            route_headers: trigger.map(|trigger| route_headers(&trigger.headers)).unwrap_or_default(),
            version,
        }
    }

    /// The function's answer. Its content type beats the route's, and that beats sniffing.
    pub(crate) fn show(self, answer: Answer, is_head: bool) -> Answered {
        if answer.status.is_informational() {
            return self.unusable(answer.waited);
        }
        let function = answer.headers.get(CONTENT_TYPE).cloned();
        let content_type =
            function.or_else(|| self.route_headers.get(CONTENT_TYPE).cloned()).or_else(|| sniffed(&answer));
        let mut response = Response::new(Body::empty());
        *response.status_mut() = answer.status;
        self.write(response.headers_mut(), Some(answer.waited));
        for (name, value) in &answer.headers {
            let forged = self.version == Version::V2 && name == FN_CALL_ID;
            if !forged && !is_ours(name, is_head) {
                response.headers_mut().append(name, value.clone());
            }
        }
        if let Some(content_type) = content_type {
            response.headers_mut().insert(CONTENT_TYPE, content_type);
        }
        *response.body_mut() = Body::new(Outgoing::new(answer.body));
        self.of_this_call(response)
    }

    /// The call is queued.
    pub(crate) fn queued(self) -> serde_json::Result<Answered> {
        let mut response = match self.version {
            Version::V1 => accepted(self.id)?,
            Version::V2 => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::ACCEPTED;
                response
            }
        };
        self.write(response.headers_mut(), None);
        Ok(self.of_this_call(response))
    }

    /// The call was accepted and got no answer.
    pub(crate) fn fail(self, failure: &Failure) -> Answered {
        self.error(&failure.error, Some(failure.waited))
    }

    /// The call is refused before it is accepted.
    pub(crate) fn refuse(self, error: &Error) -> Answered {
        self.error(error, None)
    }

    fn error(self, error: &Error, waited: Option<Duration>) -> Answered {
        let mut response = envelope(error, self.version);
        self.log(error, response.status());
        self.write(response.headers_mut(), waited);
        self.of_this_call(response)
    }

    fn of_this_call(self, response: Response) -> Answered {
        Answered { response, series: Some(self.series) }
    }

    /// An interim status cannot be an answer.
    fn unusable(self, waited: Duration) -> Answered {
        let error = Error::BadOutput("an interim status is no answer".to_owned());
        self.error(&error, Some(waited))
    }

    /// The agent has logged the causes already, under the same id.
    fn log(&self, error: &Error, status: StatusCode) {
        let (status, app, route) = (status.as_u16(), self.series.app(), self.series.path());
        // A syslog server that is not there is the app's affair.
        if status == 500 && *error != Error::SyslogUnavailable {
            tracing::error!(call.id = %self.id, app, route, status, "{error}");
        } else if status >= 500 {
            tracing::warn!(call.id = %self.id, app, route, status, "{error}");
        }
    }

    /// Adds the route's headers and the server's own. A content type is not added to one that is there.
    fn write(&self, headers: &mut HeaderMap, waited: Option<Duration>) {
        for (name, value) in &self.route_headers {
            if name != CONTENT_TYPE {
                headers.append(name, value.clone());
            }
        }
        // Ids and durations are visible characters, `µ` as the UTF-8 that the contract wants.
        if let Ok(id) = HeaderValue::from_str(&self.id.text()) {
            let name = if self.version == Version::V1 { CALL_ID } else { FN_CALL_ID };
            headers.insert(name, id);
        }
        if self.version == Version::V2 {
            return;
        }
        let wait = waited.map(|waited| HeaderValue::from_bytes(Wait::of(waited).as_bytes()));
        if let Some(Ok(wait)) = wait {
            headers.insert(WAIT, wait);
        }
    }
}

/// That a call is queued, and which.
pub(crate) fn accepted(id: CallId) -> serde_json::Result<Response> {
    #[derive(Serialize)]
    struct Accepted {
        call_id: CallId,
    }
    Ok(json::response(StatusCode::ACCEPTED, hearth_models::json::to_vec(&Accepted { call_id: id })?))
}

/// The headers of a route that can stand in a response. What cannot was stored all the same, as the contract has it.
fn route_headers(stored: &Headers) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, values) in &stored.0 {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
            continue;
        };
        if FRAMING.contains(&name) || name == CALL_ID || name == WAIT {
            continue;
        }
        for value in values.iter().filter_map(|value| HeaderValue::from_bytes(value.as_bytes()).ok()) {
            headers.append(name.clone(), value);
        }
    }
    headers
}

/// Whether a header of a function is the server's to set. The length of a body that is sent is the body's own; one
/// that answers HEAD is not sent.
fn is_ours(name: &HeaderName, is_head: bool) -> bool {
    let length = name == CONTENT_LENGTH;
    name == CALL_ID
        || name == WAIT
        || name == CONTENT_TYPE
        || (length && !is_head)
        || (!length && FRAMING.contains(name))
}

fn sniffed(answer: &Answer) -> Option<HeaderValue> {
    let beginning = answer.body.beginning();
    let plain = !beginning.is_empty() && !answer.headers.contains_key(CONTENT_ENCODING);
    plain.then(|| HeaderValue::from_static(sniff::content_type(beginning)))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::FutureExt;
    use hearth_agent::{AnswerBody, Metrics};
    use hearth_models::v2::FnPatch;
    use hearth_models::{App, Config};
    use http_body_util::BodyExt;
    use prometheus::Registry;
    use serde_json::json;

    use super::*;

    fn series() -> Arc<Series> {
        let app = App::new("app", Config::default()).unwrap();
        let function: FnPatch = serde_json::from_value(json!({ "app_id": app.id, "name": "f", "image": "i" })).unwrap();
        let function = Arc::new(function.create().unwrap());
        let resolved = Resolved { app: Arc::new(app), function, trigger: None, fn_path: "/path".into() };
        Metrics::register(&Registry::new()).unwrap().of(&resolved)
    }

    fn facts(headers: &[(&str, &[&str])]) -> Facts {
        let of = |(name, values): &(&str, &[&str])| {
            ((*name).to_owned(), values.iter().map(|value| (*value).to_owned()).collect())
        };
        Facts {
            id: CallId::generate(),
            series: series(),
            route_headers: route_headers(&Headers(headers.iter().map(of).collect())),
            version: Version::V1,
        }
    }

    fn answer(headers: &[(&'static str, &'static str)], body: &'static str) -> Answer {
        let header = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        Answer {
            status: StatusCode::OK,
            headers: headers.iter().map(header).collect(),
            body: AnswerBody::complete(Bytes::from_static(body.as_bytes())),
            waited: Duration::from_micros(1),
        }
    }

    fn values<'a>(response: &'a Response, name: &str) -> Vec<&'a [u8]> {
        response.headers().get_all(name).iter().map(HeaderValue::as_bytes).collect()
    }

    #[test]
    fn the_functions_content_type_beats_the_routes_and_that_beats_sniffing() {
        let route: &[(&str, &[&str])] = &[("Content-Type", &["text/css"])];
        for (route, function, body, expected) in [
            (route, &[("content-type", "image/x")][..], "<p>", vec![&b"image/x"[..]]),
            (route, &[], "<p>", vec![b"text/css"]),
            (&[], &[], "<p> ", vec![b"text/html; charset=utf-8"]),
            (&[], &[], "", vec![]),
            (&[], &[("content-encoding", "gzip")], "x", vec![]),
        ] {
            let response = facts(route).show(answer(function, body), false).response;
            assert_eq!(values(&response, "content-type"), expected);
        }
    }

    #[test]
    fn route_headers_are_added_unless_they_cannot_be_or_break_framing() {
        let route = facts(&[
            ("X-A", &["1", "2"]),
            ("Content-Length", &["7"]),
            ("Fn_call_id", &["mine"]),
            ("not a token", &["x"]),
            ("X-Bad", &["a\nb", "ok"]),
        ]);
        let id = route.id.to_string();
        let response =
            route.show(answer(&[("x-a", "3"), ("fn_call_id", "f"), ("xxx-fxlb-wait", "f")], "b"), false).response;
        assert_eq!(values(&response, "x-a"), [b"1", b"2", b"3"]);
        assert_eq!(values(&response, "x-bad"), [b"ok"]);
        assert_eq!(values(&response, "fn_call_id"), [id.as_bytes()]);
        assert_eq!(values(&response, "xxx-fxlb-wait"), ["1µs".as_bytes()]);
        assert!(values(&response, "content-length").is_empty());
    }

    #[test]
    fn the_length_of_an_answer_to_head_is_kept() {
        let response = facts(&[]).show(answer(&[("content-length", "9")], ""), true).response;
        assert_eq!(values(&response, "content-length"), [b"9"]);
    }

    #[test]
    fn an_error_keeps_the_routes_headers_but_not_its_content_type() {
        let route = facts(&[("Content-Type", &["text/css"]), ("X-A", &["1"])]);
        let failure = Failure { error: Error::Busy, waited: Duration::from_millis(10_005) };
        let response = route.fail(&failure).response;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(values(&response, "content-type"), [&b"application/json; charset=utf-8"[..]]);
        assert_eq!(values(&response, "x-a"), [b"1"]);
        assert_eq!(values(&response, "retry-after"), [b"15"]);
        assert_eq!(values(&response, "xxx-fxlb-wait"), [b"10.005s"]);
    }

    /// A call of API v2 waits for half a minute at least before it comes to this.
    #[test]
    fn a_busy_server_says_so_in_the_form_of_the_callers_api() {
        let facts = Facts { version: Version::V2, ..facts(&[]) };
        let id = facts.id.to_string();
        let failure = Failure { error: Error::Busy, waited: Duration::from_secs(30) };
        let response = facts.fail(&failure).response;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(values(&response, "retry-after"), [b"15"]);
        assert_eq!(values(&response, "fn-call-id"), [id.as_bytes()]);
        assert!(values(&response, "fn_call_id").is_empty() && values(&response, "xxx-fxlb-wait").is_empty());
        let body = response.into_body().collect().now_or_never().unwrap().unwrap().to_bytes();
        assert_eq!(body, "{\"message\":\"Timed out - server too busy\"}\n");
    }

    #[test]
    fn an_interim_status_is_no_answer() {
        let mut interim = answer(&[], "");
        interim.status = StatusCode::SWITCHING_PROTOCOLS;
        assert_eq!(facts(&[]).show(interim, false).response.status(), StatusCode::BAD_GATEWAY);
    }
}
