//! A queue that is full at one blow: calls that became ready in one commit, beside the server, which finds them there.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use hearth_agent::{Invocation, Request, Timing, Via, submission};
use hearth_datastore::{Datastore, Node, QueueStore, Submission, open};
use hearth_models::{AppId, Call, CallFilter, CallId, InstanceId, PerPage, Priority, ServerId, Status, Timestamp};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Version};
use tokio::time::{Instant, sleep};

use crate::function::{APP, BODY, Function};

/// How often the store is asked whether all calls have ended.
const LOOK: Duration = Duration::from_millis(10);
/// Calls that take longer are not worked off.
const PATIENCE: Duration = Duration::from_mins(2);

/// The store of a server, seen from outside.
pub(super) struct Backlog {
    store: Arc<dyn Datastore>,
    queue: Arc<dyn QueueStore>,
    node: Node,
}

/// What became of a backlog.
#[derive(Debug)]
pub(super) struct Worked {
    /// From the beginning of the first call to when the results of all were stored.
    pub(super) elapsed: Duration,
    /// How long each of them ran.
    pub(super) ran: Vec<Duration>,
    /// How many did not succeed.
    pub(super) failed: usize,
}

impl Backlog {
    pub(super) async fn open(url: &str) -> Result<Self> {
        let node = Node { server_id: ServerId::generate(), instance_id: InstanceId::generate() };
        let store = open(url).await?;
        Ok(Self { queue: Arc::clone(&store).queue(), store, node })
    }

    pub(super) async fn close(self) {
        self.store.close().await;
    }

    /// Queues `count` calls of `function`, which are ready, and waits until they have ended.
    pub(super) async fn work_off(&self, function: &Function, count: usize) -> Result<Worked> {
        let calls = self.submissions(function, count).await?;
        let app = calls.first().context("no calls")?.call.app_id;
        let begun = Instant::now();
        let gone = self.queue.accept(self.node, &calls).await?;
        ensure!(gone.is_empty(), "the app is gone");
        while !self.is_empty().await? {
            ensure!(begun.elapsed() < PATIENCE, "not worked off after {PATIENCE:?}");
            sleep(LOOK).await;
        }
        let ended = Timestamp::now();
        let oldest = calls.iter().map(|submission| submission.call.id).min().context("no calls")?;
        let calls = self.calls_from(app, oldest).await?;
        ensure!(calls.len() == count, "{} calls instead of {count}", calls.len());
        let first = calls.iter().filter_map(Call::started_at).min().context("no call has begun")?;
        let ran = |call: &Call| Some(call.completed_at()?.since(call.started_at()?));
        Ok(Worked {
            elapsed: ended.since(first),
            ran: calls.iter().filter_map(ran).collect(),
            failed: calls.iter().filter(|call| call.status() != Status::Success).count(),
        })
    }

    /// What the server would have made of as many requests.
    async fn submissions(&self, function: &Function, count: usize) -> Result<Vec<Submission>> {
        let path = function.route_path();
        let found = self.store.resolve(APP, &path).await?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        headers.insert(CONTENT_LENGTH, BODY.len().into());
        let target = format!("/r/{APP}{path}");
        let mut invocation = Invocation {
            id: CallId::generate(),
            app: Arc::clone(&found.app),
            function: Arc::clone(&found.function),
            trigger: found.trigger.clone(),
            fn_path: Arc::clone(&found.fn_path),
            timing: Timing::FromAccept,
            arrived: Instant::now(),
            request: Request {
                via: Via::Http,
                method: Method::POST,
                url: format!("http://localhost{target}"),
                target,
                host: "localhost".to_owned(),
                version: Version::HTTP_11,
                headers,
                params: Vec::new(),
            },
        };
        let submit = |_| {
            invocation.id = CallId::generate();
            submission(&invocation, Bytes::from_static(BODY), Priority::default(), Duration::ZERO)
        };
        (0..count).map(submit).collect::<serde_json::Result<_>>().context("a request that cannot be stored")
    }

    /// Whether no call is ready, delayed or leased.
    async fn is_empty(&self) -> Result<bool> {
        Ok(self.queue.ready(None, 1).await?.is_empty() && self.queue.next_due().await?.is_none())
    }

    /// All calls from `oldest` on.
    async fn calls_from(&self, app: AppId, oldest: CallId) -> Result<Vec<Call>> {
        let mut filter = CallFilter { per_page: PerPage::from_query(Some("100")), ..CallFilter::default() };
        let mut calls: Vec<Call> = Vec::new();
        loop {
            let page = self.store.calls(app, &filter).await?;
            let Some(last) = page.last().map(|call| call.id) else { return Ok(calls) };
            calls.extend(page.into_iter().filter(|call| call.id >= oldest));
            if last < oldest {
                return Ok(calls);
            }
            filter.cursor = Some(last.to_string());
        }
    }
}
