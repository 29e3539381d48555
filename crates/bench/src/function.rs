//! The functions that are called, and what of their calls the baseline has to know to do the same without Hearth.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use serde_json::json;

use crate::answer::Framing;
use crate::client::{Caller, Connection};
use crate::submitter::Submitter;

/// The app that all functions are in.
pub(crate) const APP: &str = "bench";

/// The variable that tells the fixture what to do.
const SCRIPT: &str = "HEARTH_SCRIPT";

/// What a call sends, and gets back.
pub(crate) const BODY: &[u8] = b"thirty-two bytes that come back.";

/// A function: what the fixture is told to do, and how it is reached.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    name: String,
    format: Format,
    script: &'static str,
    memory_mb: u64,
    call_type: &'static str,
    answers: Answers,
}

/// What it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    TheRequest,
    /// So many letters.
    Letters(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Default,
    Http,
    Json,
    HttpStream,
}

/// What a container of Hearth is given, as it was given one: the baseline gives its own the same.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    /// The environment, without what the engine adds.
    pub(crate) env: Vec<(String, String)>,
    /// All bytes of a call as the function gets them.
    pub(crate) request: Bytes,
    pub(crate) framing: Framing,
    pub(crate) memory_bytes: u64,
}

// === impl Format ===

impl Format {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Http => "http",
            Self::Json => "json",
            Self::HttpStream => "http-stream",
        }
    }

    const fn framing(self) -> Framing {
        match self {
            // Not used: the end of a cold function's answer is the end of its output.
            Self::Default | Self::Http | Self::HttpStream => Framing::Http,
            Self::Json => Framing::Line,
        }
    }
}

// === impl Function ===

impl Function {
    fn new(name: impl Into<String>, script: &'static str) -> Self {
        let (format, answers) = (Format::Http, Answers::TheRequest);
        Self { name: name.into(), format, script, memory_mb: 128, call_type: "sync", answers }
    }

    /// It echoes what it gets.
    pub(crate) fn silent(name: impl Into<String>, format: Format) -> Self {
        Self { format, ..Self::new(name, "echo") }
    }

    /// It writes a line to its log first.
    pub(crate) fn logging(name: impl Into<String>, format: Format) -> Self {
        let script = "stderr a line of a log as functions write them, for every call one of them; echo";
        Self { format, ..Self::new(name, script) }
    }

    /// It sleeps, as `script` says, and echoes.
    pub(crate) fn sleeping(name: impl Into<String>, script: &'static str) -> Self {
        Self { memory_mb: 64, ..Self::new(name, script) }
    }

    /// It answers with ten megabytes.
    pub(crate) fn large(name: impl Into<String>, format: Format) -> Self {
        Self { format, answers: Answers::Letters(10 << 20), ..Self::new(name, "big 10m") }
    }

    /// What an answer has to be.
    fn answer(&self) -> Bytes {
        match self.answers {
            Answers::TheRequest => Bytes::from_static(BODY),
            Answers::Letters(count) => (b'a'..=b'z').cycle().take(count).collect(),
        }
    }

    /// The same, but its calls are queued.
    pub(crate) fn queued(self) -> Self {
        Self { call_type: "async", ..self }
    }

    fn path(&self) -> String {
        format!("/r/{APP}/{}", self.name)
    }

    /// Its route, as paths of API v1 name it.
    pub(crate) fn route_path(&self) -> String {
        format!("/{}", self.name)
    }

    /// Clients that queue calls of it, to begin after so many seconds, each with a connection of its own.
    pub(crate) async fn submitters(&self, address: SocketAddr, count: usize, delay: u32) -> Result<Vec<Submitter>> {
        let mut submitters = Vec::with_capacity(count);
        for _ in 0..count {
            submitters.push(Submitter::connect(address, &self.path(), BODY, delay).await?);
        }
        Ok(submitters)
    }

    /// Clients that call it, each with a connection of its own.
    pub(crate) async fn callers(&self, address: SocketAddr, count: usize) -> Result<Vec<Caller>> {
        self.callers_of(address, &self.path(), count).await
    }

    /// The same of a server that has it at `path`.
    pub(crate) async fn callers_of(&self, address: SocketAddr, path: &str, count: usize) -> Result<Vec<Caller>> {
        let (mut callers, answer) = (Vec::with_capacity(count), self.answer());
        for _ in 0..count {
            callers.push(Caller::connect(address, path, BODY, answer.clone()).await?);
        }
        Ok(callers)
    }

    /// Deploys it so that no container of before serves it any more.
    pub(crate) async fn redeploy(&self, api: &mut Connection, image: &str, number: usize) -> Result<()> {
        let script = format!("header X-Deployed {number}; {}", self.script);
        self.deploy_with(api, image, &script).await
    }

    /// Creates its route, or changes it.
    pub(crate) async fn deploy(&self, api: &mut Connection, image: &str) -> Result<()> {
        self.deploy_with(api, image, self.script).await
    }

    async fn deploy_with(&self, api: &mut Connection, image: &str, script: &str) -> Result<()> {
        let route = json!({ "route": {
            "image": image,
            "format": self.format.name(),
            "type": self.call_type,
            "memory": self.memory_mb,
            "timeout": 60,
            "idle_timeout": 60,
            "config": { SCRIPT: script },
        }});
        api.api("PUT", &self.route(), &route).await
    }

    /// Deletes its route, which lets its containers go.
    pub(crate) async fn withdraw(&self, api: &mut Connection) -> Result<()> {
        api.api("DELETE", &self.route(), &json!({})).await
    }

    fn route(&self) -> String {
        format!("/v1/apps/{APP}/routes/{}", self.name)
    }

    /// Deploys it twice over as a function that says what it was given, then as itself.
    pub(crate) async fn deploy_and_record(&self, api: &mut Connection, image: &str) -> Result<Recording> {
        self.deploy_with(api, image, "env").await?;
        let env = self.call(api).await?;
        let request = if self.format == Format::Default {
            BODY.to_vec()
        } else {
            self.deploy_with(api, image, "request").await?;
            self.call(api).await?
        };
        self.deploy(api, image).await?;
        Ok(Recording {
            env: environment(&String::from_utf8(env)?, self.script),
            request: request.into(),
            framing: self.format.framing(),
            memory_bytes: self.memory_mb << 20,
        })
    }

    /// One call that is not measured.
    async fn call(&self, api: &mut Connection) -> Result<Vec<u8>> {
        let (status, body) = api.request("POST", &self.path(), BODY).await?;
        ensure!(status == 200, "{} was answered with {status}: {}", self.path(), String::from_utf8_lossy(&body));
        Ok(body)
    }
}

/// Creates the app of all functions.
pub(crate) async fn create_app(api: &mut Connection) -> Result<()> {
    let app = json!({ "app": { "name": APP } });
    api.api("POST", "/v1/apps", &app).await.context("cannot create the app")
}

/// The lines of an environment, with `script` in it.
fn environment(lines: &str, script: &str) -> Vec<(String, String)> {
    let variables = lines.lines().filter_map(|line| line.split_once('='));
    variables
        .filter(|(name, _)| !["PATH", "HOME", "HOSTNAME"].contains(name))
        .map(|(name, value)| (name.to_owned(), if name == SCRIPT { script } else { value }.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_taken_over_without_what_the_engine_adds() {
        let env = environment("A=1=2\nHEARTH_SCRIPT=env\nHOME=/\nHOSTNAME=h\nPATH=/bin\n", "echo");
        let expected = [("A", "1=2"), ("HEARTH_SCRIPT", "echo")];
        assert_eq!(env, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
