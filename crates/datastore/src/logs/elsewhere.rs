//! Calls in one store, their logs in another.
//!
//! A group's calls are stored first and its logs after them; the recorder lets go of neither before both are there, so
//! a log store that is away holds records back like a database that is. The order has a reason: only the store of the
//! calls knows which results count, so a log of an attempt that was superseded, or of an app that is gone, is never
//! written. What it costs: another server may show the end of a call a moment before its log, so whoever asks for the
//! log of a call that has just ended waits a little; and a server that is killed at that moment leaves a call without.
//!
//! Empty logs stay with the calls: most calls write nothing, and nothing is not worth an object. Logs that were stored
//! with the calls before they went elsewhere are found there.
//!
//! What is removed goes the other way round, the logs first, so that no log outlives the call it can be found by.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hearth_models::{AppId, Call, CallFilter, CallId, Error as ModelError, Timestamp};
use tokio::time::{Instant, sleep};

use crate::{CallStore, Datastore, Error, History, LogEntry, LogStore, Node, Record, Recorded, Result, Retention};

/// How long a log may follow its call.
const JUST_ENDED: Duration = Duration::from_secs(5);
/// How long a reader waits for it.
const PATIENCE: Duration = Duration::from_secs(1);

/// A store of calls that keeps their logs in another.
#[derive(Debug)]
pub struct LogsElsewhere {
    store: Arc<dyn Datastore>,
    logs: Arc<dyn LogStore>,
}

impl LogsElsewhere {
    /// Calls in `store`, logs in `logs`.
    #[must_use]
    pub fn new(store: Arc<dyn Datastore>, logs: Arc<dyn LogStore>) -> Self {
        Self { store, logs }
    }

    /// Whether the log of a call may be on its way.
    async fn has_just_ended(&self, app_id: AppId, call_id: CallId) -> Result<bool> {
        let call = match self.store.call(app_id, call_id).await {
            Err(Error::Model(_)) => return Ok(false),
            found => found?,
        };
        Ok(call.completed_at().is_some_and(|at| Timestamp::now().since(at) < JUST_ENDED))
    }
}

/// The record without its log, unless that is empty.
fn bare(record: &Arc<Record>) -> Arc<Record> {
    match &record.log {
        Some(log) if !log.is_empty() => Arc::new(Record { call: record.call.clone(), log: None }),
        _ => Arc::clone(record),
    }
}

/// What is to be written of a group of which the records at the places `let_go` count for nothing.
fn logs_of(records: &[Arc<Record>], let_go: &[usize]) -> Vec<LogEntry> {
    let kept = records.iter().enumerate().filter(|(place, _)| let_go.binary_search(place).is_err());
    let entry = |(_, record): (usize, &Arc<Record>)| {
        let log = record.log.clone().filter(|log| !log.is_empty())?;
        Some(LogEntry { app_id: record.call.app_id, call_id: record.call.id, log })
    };
    kept.filter_map(entry).collect()
}

#[async_trait]
impl CallStore for LogsElsewhere {
    async fn record(&self, node: Node, records: &[Arc<Record>]) -> Result<Recorded> {
        let bare: Vec<Arc<Record>> = records.iter().map(bare).collect();
        let recorded = self.store.record(node, &bare).await?;
        let logs = logs_of(records, &recorded.let_go);
        if !logs.is_empty() {
            self.logs.put(&logs).await?;
        }
        Ok(recorded)
    }

    async fn call(&self, app_id: AppId, call_id: CallId) -> Result<Call> {
        self.store.call(app_id, call_id).await
    }

    async fn calls(&self, app_id: AppId, filter: &CallFilter) -> Result<Vec<Call>> {
        self.store.calls(app_id, filter).await
    }

    async fn log(&self, app_id: AppId, call_id: CallId) -> Result<Bytes> {
        match self.store.log(app_id, call_id).await {
            Err(Error::Model(ModelError::LogNotFound)) => {}
            found => return found,
        }
        let give_up = Instant::now() + PATIENCE;
        loop {
            if let Some(log) = self.logs.get(app_id, call_id).await? {
                return Ok(log);
            }
            if Instant::now() >= give_up || !self.has_just_ended(app_id, call_id).await? {
                return Err(ModelError::LogNotFound.into());
            }
            sleep(PATIENCE / 20).await;
        }
    }

    async fn interrupt(&self, node: Node) -> Result<u64> {
        self.store.interrupt(node).await
    }
}

#[async_trait]
impl History for LogsElsewhere {
    async fn oldest_kept(&self, app_id: AppId, retention: Retention) -> Result<Option<CallId>> {
        self.store.oldest_kept(app_id, retention).await
    }

    async fn ended(&self, app_id: AppId, after: Option<CallId>, before: CallId, at_most: usize) -> Result<Vec<CallId>> {
        self.store.ended(app_id, after, before, at_most).await
    }

    async fn remove_calls(&self, app_id: AppId, calls: &[CallId]) -> Result<u64> {
        self.logs.remove(app_id, calls).await?;
        self.store.remove_calls(app_id, calls).await
    }

    async fn purge(&self, app_id: AppId, at_most: usize) -> Result<bool> {
        if self.logs.purge(app_id, at_most).await? {
            return Ok(true);
        }
        self.store.purge(app_id, at_most).await
    }
}
