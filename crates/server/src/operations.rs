//! The endpoints that tell of the server itself (v1 contract B.1.10), and the two that orchestrators ask.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use axum::response::Response;
use hearth_agent::CallCounts;
use hearth_models::Error;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use prometheus::{TEXT_FORMAT, TextEncoder};
use serde::Serialize;
use tokio::time::timeout;

use crate::api::Api;
use crate::error::Failed;
use crate::json;

/// What `/version` says: Hearth's own version. Load balancers of the contract want 0.0.131 or later (B.12.1).
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The description of API v1, to which tests hold the server.
const OPENAPI: &str = include_str!("../../../api-spec/v1.yaml");

/// The description of API v2, the same.
const OPENAPI_V2: &str = include_str!("../../../api-spec/v2.yaml");

/// How long `/ready` waits for the database.
const PING: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct Root {
    goto: &'static str,
    hello: &'static str,
}

#[derive(Serialize)]
struct Version {
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Stats {
    queue: u64,
    running: u64,
    complete: u64,
    failed: u64,
    function_stats_map: BTreeMap<String, CallCounts>,
}

#[derive(Serialize)]
struct Level<'a> {
    level: &'a str,
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// GET `/`, byte for byte the greeting that the contract's clients know.
pub(crate) fn root() -> Result<Response, Failed> {
    Ok(json::reply(&Root { goto: "https://github.com/fnproject/fn", hello: "world!" })?)
}

/// GET `/version`
pub(crate) fn version() -> Result<Response, Failed> {
    Ok(json::reply(&Version { version: VERSION })?)
}

/// GET `/stats`
pub(crate) fn stats(api: &Api) -> Result<Response, Failed> {
    let functions = api.agent.calls();
    let sum = |count: fn(&CallCounts) -> u64| functions.values().map(count).sum();
    Ok(json::reply(&Stats {
        queue: sum(|counts| counts.queue),
        running: sum(|counts| counts.running),
        complete: sum(|counts| counts.complete),
        failed: sum(|counts| counts.failed),
        function_stats_map: functions,
    })?)
}

/// GET `/metrics`
pub(crate) fn metrics(api: &Api) -> Result<Response, Failed> {
    let text = TextEncoder::new().encode_to_string(&api.registry.gather())?;
    let mut response = Response::new(text.into());
    let format = http::HeaderValue::from_static(TEXT_FORMAT);
    response.headers_mut().insert(CONTENT_TYPE, format);
    Ok(response)
}

/// GET `/v1/openapi.yaml`
pub(crate) fn openapi() -> Response {
    yaml(OPENAPI)
}

/// GET `/v2/openapi.yaml`
pub(crate) fn openapi_v2() -> Response {
    yaml(OPENAPI_V2)
}

fn yaml(text: &'static str) -> Response {
    let mut response = Response::new(text.into());
    // The media type of RFC 9512.
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/yaml"));
    response
}

/// GET `/live`: the process answers.
pub(crate) fn live() -> Result<Response, Failed> {
    Ok(json::reply(&Health { status: "live" })?)
}

/// What the server logs, and the way to change that while it runs.
pub trait LogLevel: Debug + Send + Sync + 'static {
    /// The level, in a word.
    fn get(&self) -> String;

    /// Changes it to the level that `word` names. False when it names none, and nothing changes.
    fn set(&self, word: &str) -> bool;
}

/// GET `/log-level`, for operators.
pub(crate) fn log_level(api: &Api) -> Result<Response, Failed> {
    Ok(json::reply(&Level { level: &api.log_level.get() })?)
}

/// PUT `/log-level`, for operators: the body is the word.
pub(crate) fn set_log_level(api: &Api, body: &[u8]) -> Result<Response, Failed> {
    let word = std::str::from_utf8(body).unwrap_or_default().trim();
    if !api.log_level.set(word) {
        return Err(Error::InvalidLogLevel.into());
    }
    tracing::warn!(level = word, "the log level was changed");
    log_level(api)
}

/// GET `/ready`: start-up is over, the engine and the database answer, and the server is not about to stop.
pub(crate) async fn ready(api: &Api) -> Result<Response, Failed> {
    let status = match api.readiness.obstacle() {
        Some(obstacle) => obstacle,
        None if api.engine.ping().await.is_err() => "container engine unavailable",
        None if !matches!(timeout(PING, api.datastore.ping()).await, Ok(Ok(()))) => "database unavailable",
        None => return Ok(json::reply(&Health { status: "ready" })?),
    };
    let body = hearth_models::json::to_vec(&Health { status })?;
    Ok(json::response(StatusCode::SERVICE_UNAVAILABLE, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_balancers_accept_the_version() {
        let parts: Vec<u32> = VERSION.split('.').map(|part| part.parse().unwrap()).collect();
        assert!(parts.as_slice() >= &[0, 0, 131], "{VERSION}");
    }
}
