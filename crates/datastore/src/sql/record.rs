//! Writing groups of calls and logs: one statement per table, whatever the size of the group.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hearth_models::{AppId, CallId, Timestamp};
use serde::Serialize;
use sqlx::AnyConnection;

use super::dialect::Dialect;
use super::queue::{self, Fence};
use super::row::Reader;
use super::{SqlStore, drift, json, stats};
use crate::{LogEntry, Node, Record, Recorded, Result};

impl SqlStore {
    pub(super) async fn do_record(&self, node: Node, records: &[Arc<Record>]) -> Result<Recorded> {
        if records.is_empty() {
            return Ok(Recorded::default());
        }
        let mut tx = self.begin().await?;
        // In order, so that two transactions that hold the same apps never wait for each other.
        let asked: BTreeSet<AppId> = records.iter().map(|record| record.call.app_id).collect();
        let apps = existing_apps(&mut tx, self.dialect, &asked).await?;
        let records: Vec<&Record> = records.iter().map(Arc::as_ref).collect();
        let fence = Fence::around(&mut tx, self.dialect, &records).await?;
        let mut recorded = Recorded::default();
        let mut kept = Vec::with_capacity(records.len());
        for record in records {
            if !apps.contains(&record.call.app_id) {
                recorded.discarded += 1;
            } else if fence.admits(record) {
                recorded.stored += 1;
                kept.push(record);
            } else if fence.knows(record) {
                recorded.stored += 1;
            } else {
                recorded.superseded += 1;
            }
        }
        let ended = fence.ended();
        if kept.is_empty() && ended.is_empty() {
            return Ok(recorded);
        }
        let greatest = self.note_drift(&mut tx, &kept).await?;
        let last = last_words(kept);
        insert_calls(&mut tx, self.dialect, node, &last).await?;
        let logs = last.iter().filter_map(|record| {
            let log = record.log.as_deref()?;
            Some((record.call.app_id, record.call.id, log))
        });
        insert_logs(&mut tx, self.dialect, logs).await?;
        queue::remove(&mut tx, self.dialect, &ended).await?;
        tx.commit().await?;
        self.drift_ms.fetch_max(greatest, Ordering::Relaxed);
        Ok(recorded)
    }

    pub(super) async fn do_put_logs(&self, entries: &[LogEntry]) -> Result<()> {
        let mut tx = self.begin().await?;
        let logs = entries.iter().map(|entry| (entry.app_id, entry.call_id, &*entry.log));
        insert_logs(&mut tx, self.dialect, logs).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Keeps the promise of [`drift`] before the calls that would break it are stored. Returns their distance.
    pub(super) async fn note_drift(&self, on: &mut AnyConnection, records: &[&Record]) -> Result<i64> {
        let mut greatest = 0;
        for record in records {
            greatest = greatest.max(drift::of(record)?);
        }
        if greatest > self.drift_ms.load(Ordering::Relaxed) {
            drift::raise(on, self.dialect, greatest).await?;
        }
        Ok(greatest)
    }
}

/// Those of the apps `asked` for that are there, and stay until the transaction ends.
pub(super) async fn existing_apps(
    on: &mut AnyConnection,
    dialect: Dialect,
    asked: &BTreeSet<AppId>,
) -> Result<HashSet<AppId>> {
    let query = sqlx::query(dialect.existing_apps()).bind(json(asked)?);
    let rows = query.fetch_all(on).await?;
    rows.iter().map(|row| Reader::new(row).parsed()).collect()
}

/// One record per call, because a statement may not meet a row twice: the first that ended, else the last.
fn last_words(records: Vec<&Record>) -> Vec<&Record> {
    let mut at: HashMap<CallId, usize> = HashMap::with_capacity(records.len());
    let mut last: Vec<&Record> = Vec::with_capacity(records.len());
    for record in records {
        match at.get(&record.call.id) {
            None => {
                at.insert(record.call.id, last.len());
                last.push(record);
            }
            Some(at) if last[*at].call.status().is_final() => {}
            Some(at) => last[*at] = record,
        }
    }
    last
}

/// A call in the order of the columns that the dialects' statements name.
#[derive(Serialize)]
struct Row<'a>(
    AppId,
    CallId,
    hearth_models::FnId,
    Option<hearth_models::TriggerId>,
    &'a str,
    hearth_models::CallType,
    hearth_models::Status,
    Option<hearth_models::Reason>,
    Option<String>,
    u32,
    i64,
    Option<i64>,
    Option<i64>,
    Option<String>,
);

impl<'a> From<&&'a Record> for Row<'a> {
    fn from(record: &&'a Record) -> Self {
        let call = &record.call;
        Self(
            call.app_id,
            call.id,
            call.fn_id,
            call.trigger_id,
            &call.path,
            call.call_type,
            call.status(),
            call.reason(),
            // A sentence may quote a function's output, and not every database can hold a NUL in a text.
            call.error().map(|text| text.replace('\0', "\u{fffd}")),
            call.attempts,
            call.created_at.as_millis(),
            call.started_at().map(Timestamp::as_millis),
            call.completed_at().map(Timestamp::as_millis),
            (!call.stats.is_empty()).then(|| stats::encode(&call.stats)),
        )
    }
}

pub(super) async fn insert_calls(
    on: &mut AnyConnection,
    dialect: Dialect,
    node: Node,
    records: &[&Record],
) -> Result<()> {
    let rows: Vec<Row<'_>> = records.iter().map(Row::from).collect();
    sqlx::query(dialect.upsert_calls())
        .bind(node.server_id.to_string())
        .bind(node.instance_id.to_string())
        .bind(json(&rows)?)
        .execute(on)
        .await?;
    Ok(())
}

pub(super) async fn insert_logs(
    on: &mut AnyConnection,
    dialect: Dialect,
    logs: impl Iterator<Item = (AppId, CallId, &[u8])>,
) -> Result<()> {
    let mut bytes = Vec::new();
    let mut pieces = Vec::new();
    for (app_id, call_id, log) in logs {
        pieces.push((app_id, call_id, bytes.len() + 1, log.len()));
        bytes.extend_from_slice(log);
    }
    if pieces.is_empty() {
        return Ok(());
    }
    sqlx::query(dialect.insert_logs()).bind(bytes).bind(json(&pieces)?).execute(on).await?;
    Ok(())
}
