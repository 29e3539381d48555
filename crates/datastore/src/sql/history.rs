//! What is not kept: calls beyond their retention, and what removed apps left behind.
//!
//! Everything is deleted in batches that their caller sizes. A batch is found by a connection that reads, so that the
//! one transaction that deletes it holds its locks only for the rows themselves.

use std::time::Duration;

use hearth_models::{AppId, CallId, Timestamp};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::dialect::{By, CallIndex, Dialect, Of};
use super::row::Reader;
use super::{SqlStore, drift, queue};
use crate::{Duty, Node, Result, Retention};

pub(super) const NTH_OLDEST: &str = "SELECT id FROM calls WHERE app_id = $1 ORDER BY id LIMIT 1 OFFSET $2";
pub(super) const ENDED: &str = "SELECT id FROM calls WHERE app_id = $1 AND id > $2 AND id < $3 \
         AND completed_at IS NOT NULL ORDER BY id LIMIT $4";
pub(super) const REMOVE_ENDED: &str =
    "DELETE FROM calls WHERE app_id = $1 AND id >= $2 AND id <= $3 AND completed_at IS NOT NULL";
/// Asks for the calls that are left: what has not ended keeps its log, and a log without a call goes along.
pub(super) const REMOVE_THEIR_LOGS: &str = "DELETE FROM logs WHERE app_id = $1 AND call_id >= $2 AND call_id <= $3 \
         AND NOT EXISTS (SELECT 1 FROM calls c WHERE c.app_id = logs.app_id AND c.id = logs.call_id)";
pub(super) const PURGE_CALLS: &str = "DELETE FROM calls WHERE app_id = $1 AND id <= \
         (SELECT max(b.id) FROM (SELECT id FROM calls WHERE app_id = $2 ORDER BY id LIMIT $3) b)";
pub(super) const PURGE_LOGS: &str = "DELETE FROM logs WHERE app_id = $1 AND call_id <= (SELECT max(b.call_id) FROM \
         (SELECT call_id FROM logs WHERE app_id = $2 ORDER BY call_id LIMIT $3) b)";
/// What is left in the queue of calls that were given up; their requests go with them.
pub(super) const DEAD: &str =
    "SELECT call_id FROM queue WHERE app_id = $1 AND state = 3 AND call_id >= $2 AND call_id <= $3";
pub(super) const ENTRIES: &str = "SELECT call_id FROM queue WHERE app_id = $1 LIMIT $2";
const REMOVED_APP: &str = "SELECT app_id FROM deletions ORDER BY app_id LIMIT 1";
const TAKE_DUTY: &str = "UPDATE duties SET instance_id = $1, until_at = $2 \
         WHERE name = $3 AND (instance_id = $4 OR until_at < $5)";

impl SqlStore {
    pub(super) async fn do_oldest_kept(&self, app_id: AppId, retention: Retention) -> Result<Option<CallId>> {
        let mut on = self.read().await?;
        let young = match retention.age {
            Some(age) => Some(first_younger(&mut on, self.dialect, age).await?),
            None => None,
        };
        let newest = match retention.calls {
            Some(calls) => oldest_of_newest(&mut on, self.dialect, app_id, calls.get()).await?,
            None => None,
        };
        Ok(young.max(newest))
    }

    pub(super) async fn do_ended(
        &self,
        app_id: AppId,
        after: Option<CallId>,
        before: CallId,
        at_most: usize,
    ) -> Result<Vec<CallId>> {
        let sql = self.dialect.sql(ENDED);
        let mut on = self.read().await?;
        let rows = sqlx::query(sql)
            .bind(app_id.to_string())
            .bind(after.map(|id| id.to_string()).unwrap_or_default())
            .bind(before.to_string())
            .bind(limit(at_most))
            .fetch_all(&mut *on)
            .await?;
        rows.iter().map(|row| Reader::new(row).parsed()).collect()
    }

    pub(super) async fn do_remove_calls(&self, app_id: AppId, calls: &[CallId]) -> Result<u64> {
        let (Some(first), Some(last)) = (calls.iter().min(), calls.iter().max()) else {
            return Ok(0);
        };
        let (app_id, first, last) = (app_id.to_string(), first.to_string(), last.to_string());
        let between = |sql| sqlx::query(self.dialect.sql(sql)).bind(&*app_id).bind(&*first).bind(&*last);
        let mut tx = self.begin().await?;
        let removed = between(REMOVE_ENDED).execute(&mut *tx).await?.rows_affected();
        between(REMOVE_THEIR_LOGS).execute(&mut *tx).await?;
        let dead = between(DEAD).fetch_all(&mut *tx).await?;
        remove_entries(&mut tx, self.dialect, &dead).await?;
        tx.commit().await?;
        Ok(removed)
    }

    pub(super) async fn do_purge(&self, app_id: AppId, at_most: usize) -> Result<bool> {
        let mut tx = self.begin().await?;
        let mut removed = 0;
        for sql in [PURGE_CALLS, PURGE_LOGS] {
            removed += batch(&mut tx, self.dialect, sql, app_id, at_most).await?;
        }
        let entries = sqlx::query(self.dialect.sql(ENTRIES)).bind(app_id.to_string()).bind(limit(at_most));
        let entries = entries.fetch_all(&mut *tx).await?;
        removed += entries.len() as u64;
        remove_entries(&mut tx, self.dialect, &entries).await?;
        if removed == 0 {
            let query = sqlx::query(self.dialect.sql("DELETE FROM deletions WHERE app_id = $1"));
            query.bind(app_id.to_string()).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(removed > 0)
    }

    pub(super) async fn do_purge_logs(&self, app_id: AppId, at_most: usize) -> Result<bool> {
        let mut tx = self.begin().await?;
        let removed = batch(&mut tx, self.dialect, PURGE_LOGS, app_id, at_most).await?;
        tx.commit().await?;
        Ok(removed > 0)
    }

    pub(super) async fn do_removed_app(&self) -> Result<Option<AppId>> {
        let sql = self.dialect.sql(REMOVED_APP);
        let mut on = self.read().await?;
        let row = sqlx::query(sql).fetch_optional(&mut *on).await?;
        row.map(|row| Reader::new(&row).parsed()).transpose()
    }

    pub(super) async fn do_take_duty(&self, duty: Duty, node: Node, time: Duration) -> Result<bool> {
        let instance = node.instance_id.to_string();
        let now = Timestamp::now();
        let mut tx = self.begin().await?;
        let taken = sqlx::query(self.dialect.sql(TAKE_DUTY))
            .bind(&*instance)
            .bind(now.after(time).as_millis())
            .bind(duty.as_str())
            .bind(&*instance)
            .bind(now.as_millis())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(taken.rows_affected() > 0)
    }
}

/// Leaves a note that the calls and logs of an app have to go.
pub(super) async fn note_deletion(on: &mut AnyConnection, dialect: Dialect, app_id: AppId) -> Result<()> {
    sqlx::query(dialect.sql("INSERT INTO deletions (app_id, created_at) VALUES ($1, $2)"))
        .bind(app_id.to_string())
        .bind(Timestamp::now().as_millis())
        .execute(on)
        .await?;
    Ok(())
}

/// The least id of which it is certain that its call is younger than `age`: see [`drift`]. So a call may be kept a little
/// longer than it has to be, never shorter.
async fn first_younger(on: &mut AnyConnection, dialect: Dialect, age: Duration) -> Result<CallId> {
    let drift = drift::read(on, dialect).await?;
    let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    let since = Timestamp::now().as_millis().saturating_sub(age).saturating_sub(drift);
    drift::first_id_of(since)
}

/// The oldest of the `kept` newest calls, if there are more than that.
async fn oldest_of_newest(
    on: &mut AnyConnection,
    dialect: Dialect,
    app_id: AppId,
    kept: u64,
) -> Result<Option<CallId>> {
    let app_id = app_id.to_string();
    let counted = sqlx::query(dialect.built(count(dialect))).bind(&*app_id).fetch_one(&mut *on).await?;
    let calls: i64 = Reader::new(&counted).get()?;
    let too_many = calls.saturating_sub(i64::try_from(kept).unwrap_or(i64::MAX));
    if too_many <= 0 {
        return Ok(None);
    }
    // From the oldest on: what is walked over is what will go.
    let query = sqlx::query(dialect.sql(NTH_OLDEST)).bind(&*app_id).bind(too_many);
    let row = query.fetch_optional(on).await?;
    row.map(|row| Reader::new(&row).parsed()).transpose()
}

/// Counts through an index that has little but ids in it.
pub(super) fn count(dialect: Dialect) -> String {
    format!("SELECT count(*) FROM {} WHERE app_id = $1", dialect.calls_by(CallIndex { of: Of::Path, by: By::Id }))
}

async fn batch(
    on: &mut AnyConnection,
    dialect: Dialect,
    sql: &'static str,
    app_id: AppId,
    at_most: usize,
) -> Result<u64> {
    let app_id = app_id.to_string();
    let query = sqlx::query(dialect.sql(sql)).bind(&*app_id).bind(&*app_id).bind(limit(at_most));
    Ok(query.execute(on).await?.rows_affected())
}

/// Takes calls out of the queue, with their requests.
async fn remove_entries(on: &mut AnyConnection, dialect: Dialect, rows: &[AnyRow]) -> Result<()> {
    let calls = rows.iter().map(|row| Reader::new(row).parsed()).collect::<Result<Vec<CallId>>>()?;
    queue::remove(on, dialect, &calls).await
}

fn limit(at_most: usize) -> i64 {
    i64::try_from(at_most).unwrap_or(i64::MAX)
}

impl Duty {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Keeper => "keeper",
        }
    }
}
