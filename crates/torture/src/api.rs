//! A server as its clients see it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::plan::{Call, ROUTES};
use crate::stand::GATEWAY;
use crate::witness::Witness;

const APP: &str = "torture";
/// No request takes so long, unless somebody is dead who has not noticed it.
const PATIENCE: Duration = Duration::from_secs(20);
/// While something is away, a request may have to be made again, for so long.
const PERSISTENCE: Duration = Duration::from_secs(120);
const PER_PAGE: usize = 100;

/// A way to one server.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    client: Client,
    url: String,
}

/// A call as it can be read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) reason: Option<String>,
    #[serde(default)]
    pub(crate) error: Option<String>,
    /// Left out when it is one or none.
    #[serde(default = "one")]
    pub(crate) attempts: u32,
}

/// What came of a submission.
#[derive(Debug)]
pub(crate) enum Submitted {
    /// A 202: its id.
    Accepted(String),
    /// Nobody took the request.
    Unsent,
    /// It was refused for now.
    Refused,
    /// It was sent, and there was no answer.
    Unanswered,
}

/// What came of a look at a call.
#[derive(Debug)]
pub(crate) enum Looked {
    There(Record),
    /// There is no such call.
    Missing,
    /// The server cannot say.
    Unanswered,
}

/// What came of a cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cancelled {
    Yes,
    TooLate,
    Unanswered,
}

const fn one() -> u32 {
    1
}

// === impl Record ===

impl Record {
    pub(crate) fn is_final(&self) -> bool {
        matches!(&*self.status, "success" | "error" | "timeout" | "cancelled")
    }

    /// It ran out of attempts.
    pub(crate) fn is_given_up(&self) -> bool {
        self.status == "error" && self.error.as_ref().is_some_and(|error| error.starts_with("given up after"))
    }

    pub(crate) fn is_known(&self) -> bool {
        self.is_final() || matches!(&*self.status, "queued" | "delayed" | "running")
    }
}

// === impl Api ===

impl Api {
    pub(crate) fn new(address: SocketAddr) -> Result<Self> {
        // The pool would hand out connections to servers that were killed since.
        let client = Client::builder().no_proxy().timeout(PATIENCE).pool_max_idle_per_host(0).build()?;
        Ok(Self { client, url: format!("http://{address}") })
    }

    pub(crate) async fn is_ready(&self) -> bool {
        let answer = self.client.get(format!("{}/ready", self.url)).send().await;
        answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }

    /// Makes all routes.
    pub(crate) async fn deploy(&self, image: &str) -> Result<()> {
        for (path, format) in ROUTES {
            let route = json!({ "route": {
                "image": image, "format": format, "type": "async", "timeout": 60, "idle_timeout": 5, "memory": 64,
            }});
            let url = format!("{}/v1/apps/{APP}/routes{path}", self.url);
            let answer = self.client.put(url).body(route.to_string()).send().await?;
            let (status, text) = (answer.status(), answer.text().await?);
            ensure!(status.is_success(), "{path} could not be made: {status} {text}");
        }
        Ok(())
    }

    /// Submits a call.
    ///
    /// # Errors
    /// It was answered in a way that no client should have to understand.
    pub(crate) async fn submit(&self, call: &Call, body: Vec<u8>) -> Result<Submitted> {
        let url = format!("{}/r/{APP}{}", self.url, call.path);
        let mut request = self
            .client
            .post(url)
            .header("Hearth-Script", Witness::script(GATEWAY, call.works))
            .header("Fn-Priority", call.priority)
            .body(body);
        if call.delay_seconds > 0 {
            request = request.header("Fn-Delay", call.delay_seconds);
        }
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) if error.is_connect() => return Ok(Submitted::Unsent),
            Err(_cut) => return Ok(Submitted::Unanswered),
        };
        let status = answer.status();
        let Ok(text) = answer.text().await else { return Ok(Submitted::Unanswered) };
        match status {
            StatusCode::ACCEPTED => {
                let answer: Value = serde_json::from_str(&text)?;
                let id = answer["call_id"].as_str().context("a 202 without an id")?;
                Ok(Submitted::Accepted(id.to_owned()))
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => Ok(Submitted::Refused),
            other => bail!("a submission was answered with {other}: {text}"),
        }
    }

    /// Cancels a call.
    ///
    /// # Errors
    /// As for [`submit`](Self::submit).
    pub(crate) async fn cancel(&self, id: &str) -> Result<Cancelled> {
        let answer = self.client.delete(self.call(id)).send().await;
        match answer.map(|answer| answer.status()) {
            Ok(StatusCode::OK) => Ok(Cancelled::Yes),
            Ok(StatusCode::CONFLICT) => Ok(Cancelled::TooLate),
            Ok(StatusCode::SERVICE_UNAVAILABLE) | Err(_) => Ok(Cancelled::Unanswered),
            Ok(other) => bail!("the cancellation of {id} was answered with {other}"),
        }
    }

    /// Looks at a call.
    ///
    /// # Errors
    /// As for [`submit`](Self::submit).
    pub(crate) async fn look(&self, id: &str) -> Result<Looked> {
        let Ok(answer) = self.client.get(self.call(id)).send().await else { return Ok(Looked::Unanswered) };
        let status = answer.status();
        let Ok(text) = answer.text().await else { return Ok(Looked::Unanswered) };
        match status {
            StatusCode::OK => {
                let mut answer: Value = serde_json::from_str(&text)?;
                Ok(Looked::There(serde_json::from_value(answer["call"].take())?))
            }
            StatusCode::NOT_FOUND => Ok(Looked::Missing),
            StatusCode::SERVICE_UNAVAILABLE => Ok(Looked::Unanswered),
            other => bail!("{id} was asked for, and the answer was {other}: {text}"),
        }
    }

    /// A call, when everything is up. None: there is no such call.
    pub(crate) async fn record(&self, id: &str) -> Result<Option<Record>> {
        let deadline = Instant::now() + PERSISTENCE;
        loop {
            match self.look(id).await? {
                Looked::There(record) => return Ok(Some(record)),
                Looked::Missing => return Ok(None),
                Looked::Unanswered => {}
            }
            ensure!(Instant::now() < deadline, "{id} cannot be read");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Calls that wait or run: some of them, if there are many.
    pub(crate) async fn unended(&self) -> Result<Vec<String>> {
        let mut unended = Vec::new();
        for status in ["delayed", "queued", "running"] {
            let (page, _) = self.page(&format!("calls?status={status}&per_page={PER_PAGE}")).await?;
            unended.extend(page.into_iter().map(|record| record.id));
        }
        Ok(unended)
    }

    /// All calls that there are.
    pub(crate) async fn all(&self) -> Result<Vec<Record>> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let (page, next) = self.page(&format!("calls?per_page={PER_PAGE}&cursor={cursor}")).await?;
            all.extend(page);
            if next.is_empty() {
                return Ok(all);
            }
            cursor = next;
        }
    }

    async fn page(&self, query: &str) -> Result<(Vec<Record>, String)> {
        let answer = self.client.get(format!("{}/v1/apps/{APP}/{query}", self.url)).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status == StatusCode::OK, "{query}: {status} {text}");
        let mut answer: Value = serde_json::from_str(&text)?;
        let next = answer["next_cursor"].as_str().unwrap_or_default().to_owned();
        Ok((serde_json::from_value(answer["calls"].take())?, next))
    }

    fn call(&self, id: &str) -> String {
        format!("{}/v1/apps/{APP}/calls/{id}", self.url)
    }
}
