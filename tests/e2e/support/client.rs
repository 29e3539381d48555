//! A client that takes what comes: it follows no redirect, and a broken answer is a fact and not a failure.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;
use tokio::time::Instant;

use self::description::{Answered, Asked};
use super::PATIENCE;

#[path = "../../description.rs"]
mod description;

/// A request in the making.
#[derive(Debug)]
pub(crate) struct Request(reqwest::RequestBuilder);

/// A response, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// What came of the body.
    pub(crate) body: Bytes,
    /// Whether all of it came.
    pub(crate) complete: bool,
    /// From the request's first byte to the answer's last.
    pub(crate) took: Duration,
}

pub(crate) fn client() -> reqwest::Client {
    // The workspace's reqwest can speak TLS, with the provider of its process. Another test may have chosen it already.
    rustls::crypto::ring::default_provider().install_default().ok();
    let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
    builder.timeout(4 * PATIENCE).build().unwrap()
}

// === impl Request ===

impl Request {
    pub(crate) const fn new(builder: reqwest::RequestBuilder) -> Self {
        Self(builder)
    }

    /// Tells the fixture what to do.
    pub(crate) fn script(self, script: &str) -> Self {
        self.header("Hearth-Script", script)
    }

    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    pub(crate) fn body(self, body: impl Into<reqwest::Body>) -> Self {
        Self(self.0.body(body))
    }

    pub(crate) async fn send(self) -> Reply {
        self.try_send().await.expect("there is a response")
    }

    /// An error when there is no response at all. What there is has to be as the API's description says.
    pub(crate) async fn try_send(self) -> reqwest::Result<Reply> {
        let (client, request) = self.0.build_split();
        let request = request?;
        let path = request.url().path().to_owned();
        let asked = Asked { method: request.method().clone(), path, headers: request.headers().clone() };
        let begin = Instant::now();
        let mut response = client.execute(request).await?;
        let (mut body, mut complete) = (Vec::new(), true);
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(_cut) => {
                    complete = false;
                    break;
                }
            }
        }
        asked.is_described_with(&Answered { status: response.status(), headers: response.headers(), body: &body });
        Ok(Reply {
            status: response.status().as_u16(),
            headers: std::mem::take(response.headers_mut()),
            body: body.into(),
            complete,
            took: begin.elapsed(),
        })
    }

    /// The response as soon as its head is here.
    pub(crate) async fn open(self) -> reqwest::Response {
        self.0.send().await.expect("there is a response")
    }
}

// === impl Reply ===

impl Reply {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// All values of a header.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        // `µ` is not ASCII, and allowed all the same.
        self.headers.get_all(name).iter().map(|value| std::str::from_utf8(value.as_bytes()).unwrap()).collect()
    }

    /// The one value of a header.
    #[track_caller]
    pub(crate) fn value(&self, name: &str) -> &str {
        match self.values(name)[..] {
            [value] => value,
            ref values => panic!("{name}: {values:?} in {self:?}"),
        }
    }

    /// What the fixture's `instance` says: a nonce of the container, and the number of the call in it.
    #[track_caller]
    pub(crate) fn instance(&self) -> (&str, u32) {
        assert_eq!(self.status, 200, "{self:?}");
        let (nonce, number) = self.text().trim_end().split_once(' ').unwrap_or_else(|| panic!("{self:?}"));
        (nonce, number.parse().unwrap())
    }

    #[track_caller]
    pub(crate) fn call_id(&self) -> &str {
        let id = self.value("fn_call_id");
        assert_eq!(id.len(), 26, "{id}");
        id
    }

    /// Holds it to a function's answer.
    #[track_caller]
    pub(crate) fn is_answer(&self, body: &str) {
        assert_eq!((self.status, self.text(), self.complete), (200, body, true), "{self:?}");
        self.has_call_facts();
    }

    /// Holds it to the contract's form of an error.
    #[track_caller]
    pub(crate) fn is_error(&self, status: u16, message: &str) {
        assert_eq!((self.status, self.message()), (status, message.to_owned()), "{self:?}");
        assert_eq!(self.value("content-type"), "application/json; charset=utf-8");
        assert!(self.complete);
    }

    /// The same, for an error that a call ended with.
    #[track_caller]
    pub(crate) fn is_call_error(&self, status: u16, message: &str) {
        self.is_error(status, message);
        self.has_call_facts();
    }

    /// What the error envelope says, byte for byte an envelope.
    #[track_caller]
    pub(crate) fn message(&self) -> String {
        let message = self.json()["error"]["message"].as_str().unwrap_or_else(|| panic!("{self:?}")).to_owned();
        let text = Value::from(message.clone()).to_string();
        let text = text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
        assert_eq!(self.text(), format!("{{\"error\":{{\"message\":{text}}}}}\n"));
        message
    }

    /// The call's id, and the one wait before its execution in Go's notation.
    #[track_caller]
    fn has_call_facts(&self) {
        self.call_id();
        let wait = self.value("xxx-fxlb-wait");
        assert!(wait.starts_with(|c: char| c.is_ascii_digit()) && wait.ends_with('s'), "{wait}");
    }
}
