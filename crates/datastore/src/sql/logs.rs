//! The table of logs, and what is left of apps that are gone.

use bytes::Bytes;
use hearth_models::{AppId, CallId, Error as ModelError, Timestamp};
use sqlx::AnyConnection;

use super::SqlStore;
use super::dialect::Dialect;
use super::queue;
use super::row::Reader;
use crate::Result;

pub(super) const GET: &str = "SELECT data FROM logs WHERE app_id = $1 AND call_id = $2";
pub(super) const REMOVE_CALLS: &str = "DELETE FROM calls WHERE app_id = $1 AND id <= \
         (SELECT max(b.id) FROM (SELECT id FROM calls WHERE app_id = $2 ORDER BY id LIMIT $3) b)";
pub(super) const REMOVE_LOGS: &str = "DELETE FROM logs WHERE app_id = $1 AND call_id <= (SELECT max(b.call_id) FROM \
         (SELECT call_id FROM logs WHERE app_id = $2 ORDER BY call_id LIMIT $3) b)";
pub(super) const NEXT_DELETION: &str = "SELECT app_id FROM deletions ORDER BY app_id LIMIT 1";

pub(super) const ENTRIES: &str = "SELECT call_id FROM queue WHERE app_id = $1 LIMIT $2";

/// Calls deleted in one go: a few milliseconds, so that whoever wants to write next hardly waits.
const CALLS: i64 = 500;
/// Logs deleted in one go. Fewer, because one may be a megabyte.
const LOGS: i64 = 100;

impl SqlStore {
    pub(super) async fn do_log(&self, app_id: AppId, call_id: CallId) -> Result<Bytes> {
        let sql = self.dialect.sql(GET);
        let mut on = self.read().await?;
        let row = sqlx::query(sql)
            .bind(app_id.to_string())
            .bind(call_id.to_string())
            .fetch_optional(&mut *on)
            .await?
            .ok_or(ModelError::LogNotFound)?;
        Ok(Reader::new(&row).get::<Vec<u8>>()?.into())
    }

    pub(super) async fn do_remove_logs(&self, app_id: AppId, at_most: usize) -> Result<usize> {
        let mut tx = self.begin().await?;
        let at_most = i64::try_from(at_most).unwrap_or(i64::MAX);
        let removed = remove_logs(&mut tx, self.dialect, &app_id.to_string(), at_most).await?;
        tx.commit().await?;
        Ok(usize::try_from(removed).unwrap_or(usize::MAX))
    }

    pub(super) async fn do_purge(&self) -> Result<bool> {
        let Some(app_id) = self.next_deletion().await? else {
            return Ok(false);
        };
        let mut tx = self.begin().await?;
        let calls = remove_calls(&mut tx, self.dialect, &app_id, CALLS).await?;
        let logs = remove_logs(&mut tx, self.dialect, &app_id, LOGS).await?;
        let queued = remove_entries(&mut tx, self.dialect, &app_id, CALLS).await?;
        if calls == 0 && logs == 0 && queued == 0 {
            sqlx::query(self.dialect.sql("DELETE FROM deletions WHERE app_id = $1"))
                .bind(&*app_id)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    async fn next_deletion(&self) -> Result<Option<String>> {
        let sql = self.dialect.sql(NEXT_DELETION);
        let mut on = self.read().await?;
        let row = sqlx::query(sql).fetch_optional(&mut *on).await?;
        row.map(|row| Reader::new(&row).get()).transpose()
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

async fn remove_calls(on: &mut AnyConnection, dialect: Dialect, app_id: &str, at_most: i64) -> Result<u64> {
    let sql = dialect.sql(REMOVE_CALLS);
    let query = sqlx::query(sql).bind(app_id).bind(app_id).bind(at_most);
    Ok(query.execute(on).await?.rows_affected())
}

/// Removes entries of the queue, with their requests.
async fn remove_entries(on: &mut AnyConnection, dialect: Dialect, app_id: &str, at_most: i64) -> Result<usize> {
    let sql = dialect.sql(ENTRIES);
    let rows = sqlx::query(sql).bind(app_id).bind(at_most).fetch_all(&mut *on).await?;
    let calls = rows.iter().map(|row| Reader::new(row).parsed()).collect::<Result<Vec<CallId>>>()?;
    queue::remove(on, dialect, &calls).await?;
    Ok(calls.len())
}

async fn remove_logs(on: &mut AnyConnection, dialect: Dialect, app_id: &str, at_most: i64) -> Result<u64> {
    let sql = dialect.sql(REMOVE_LOGS);
    let query = sqlx::query(sql).bind(app_id).bind(app_id).bind(at_most);
    Ok(query.execute(on).await?.rows_affected())
}
