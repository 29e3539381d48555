//! Writing groups of calls and logs, as one transaction each. How a group gets into its tables is in `insert`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hearth_models::{AppId, CallId};
use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};
use sqlx::AnyConnection;

use super::dialect::Dialect;
use super::queue::{self, Fence};
use super::row::Reader;
use super::{SqlStore, drift, insert, json};
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
        for (place, record) in records.into_iter().enumerate() {
            if !apps.contains(&record.call.app_id) {
                recorded.discarded += 1;
                recorded.let_go.push(place);
            } else if fence.admits(record) {
                recorded.stored += 1;
                kept.push(record);
            } else if fence.knows(record) {
                recorded.stored += 1;
            } else {
                recorded.superseded += 1;
                recorded.let_go.push(place);
            }
        }
        let ended = fence.ended();
        if kept.is_empty() && ended.is_empty() {
            return Ok(recorded);
        }
        let greatest = self.note_drift(&mut tx, &kept).await?;
        let last = last_words(kept);
        insert::calls(&mut tx, self.dialect, node, &last).await?;
        let logs = last.iter().filter_map(|record| {
            let log = record.log.as_deref().filter(|log| !log.is_empty())?;
            Some((record.call.app_id, record.call.id, log))
        });
        insert::logs(&mut tx, self.dialect, logs).await?;
        queue::remove(&mut tx, self.dialect, &ended).await?;
        tx.commit().await?;
        self.drift_ms.fetch_max(greatest, Ordering::Relaxed);
        Ok(recorded)
    }

    pub(super) async fn do_put_logs(&self, entries: &[LogEntry]) -> Result<()> {
        let mut tx = self.begin().await?;
        let logs = entries.iter().map(|entry| (entry.app_id, entry.call_id, &*entry.log));
        insert::logs(&mut tx, self.dialect, logs).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Keeps the promise of [`drift`] before the calls that would break it are stored. Returns their distance.
    pub(super) async fn note_drift(&self, on: &mut AnyConnection, records: &[&Record]) -> Result<i64> {
        let greatest = records.iter().map(|record| drift::of(record)).max().unwrap_or_default();
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
) -> Result<FxHashSet<AppId>> {
    let query = sqlx::query(dialect.existing_apps()).bind(json(asked)?);
    let rows = query.fetch_all(on).await?;
    rows.iter().map(|row| Reader::new(row).parsed()).collect()
}

/// One record per call, because a statement may not meet a row twice: the first that ended, else the last.
fn last_words(records: Vec<&Record>) -> Vec<&Record> {
    let mut at: FxHashMap<CallId, usize> = FxHashMap::with_capacity_and_hasher(records.len(), FxBuildHasher);
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
