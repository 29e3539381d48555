//! Calls end: with the result of the attempt that holds the lease, given up, or cancelled.

use std::collections::{HashMap, HashSet};

use hearth_models::{AppId, Call, CallId, CallType, Error as ModelError, Reason, Status, Timestamp};
use sqlx::AnyConnection;

use super::{close, ids, read_lease, update_calls};
use crate::sql::dialect::Dialect;
use crate::sql::row::Reader;
use crate::sql::{SqlStore, json};
use crate::{Cancelled, Lease, Record, Result, Verdict};

pub(in crate::sql) const HELD: &str =
    "SELECT call_id, attempt FROM queue WHERE state = 2 AND call_id IN ({ids}) ORDER BY call_id";
pub(in crate::sql) const END: &str =
    update_calls!("status = $1, reason = $2, error = $3, completed_at = $4, empty_log = 1");
const BURY: &str = "UPDATE queue SET state = 3, server_id = NULL, instance_id = NULL WHERE call_id IN ({ids})";
const FIND: &str = "SELECT call_id, attempt, state FROM queue WHERE call_id = $1 AND app_id = $2";
const ENDED: &str = "SELECT id, completed_at FROM calls WHERE app_id = $1 AND id = $2";

/// What may be written of a group of records, as far as they are of asynchronous calls.
#[derive(Debug, Default)]
pub(in crate::sql) struct Fence {
    /// The leases that are held by an attempt whose result is here. They end with the transaction.
    held: HashSet<Lease>,
    /// Those that are stored already, by an earlier try whose outcome was not seen.
    again: HashSet<CallId>,
}

impl Fence {
    /// Looks at the asynchronous calls among `records`; there is nothing to ask when there are none.
    pub(in crate::sql) async fn around(on: &mut AnyConnection, dialect: Dialect, records: &[&Record]) -> Result<Self> {
        let calls: Vec<_> = records.iter().map(|record| &record.call).filter(|call| is_result(call)).collect();
        if calls.is_empty() {
            return Ok(Self::default());
        }
        let leases: Vec<Lease> = calls.iter().map(|call| lease(call)).collect();
        let held = held(on, dialect, &leases).await?;
        let lost: Vec<_> = calls.iter().filter(|call| !held.contains(&lease(call))).collect();
        let mut again = HashSet::new();
        if !lost.is_empty() {
            let pairs: Vec<(AppId, CallId)> = lost.iter().map(|call| (call.app_id, call.id)).collect();
            let rows = sqlx::query(dialect.known_calls()).bind(json(&pairs)?).fetch_all(on).await?;
            let mut stored: HashMap<CallId, (u32, Status)> = HashMap::new();
            for row in &rows {
                let mut row = Reader::new(row);
                stored.insert(row.parsed()?, (row.number()?, row.parsed()?));
            }
            let same = |call: &&&&Call| stored.get(&call.id) == Some(&(call.attempts, call.status()));
            again.extend(lost.iter().filter(same).map(|call| call.id));
        }
        Ok(Self { held, again })
    }

    /// Whether `record` may be written.
    pub(in crate::sql) fn admits(&self, record: &Record) -> bool {
        record.call.call_type == CallType::Sync || self.held.contains(&lease(&record.call))
    }

    /// Whether `record`, which may not be written, is what the store has.
    pub(in crate::sql) fn knows(&self, record: &Record) -> bool {
        self.again.contains(&record.call.id)
    }

    /// The calls that leave the queue.
    pub(in crate::sql) fn ended(&self) -> Vec<CallId> {
        self.held.iter().map(|lease| lease.call_id).collect()
    }
}

/// The lease that the result of a call claims to hold.
const fn lease(call: &Call) -> Lease {
    Lease { call_id: call.id, attempt: call.attempts }
}

/// Of an asynchronous call only the result is recorded; until then the queue tells how it stands.
fn is_result(call: &Call) -> bool {
    call.call_type == CallType::Async && call.status().is_final()
}

/// Those of `leases` that have not been lost. They stay so until the transaction ends. In the order of their ids, so
/// that two transactions that want the same ones never wait for each other.
pub(super) async fn held(on: &mut AnyConnection, dialect: Dialect, leases: &[Lease]) -> Result<HashSet<Lease>> {
    let sql = dialect.with_ids(&format!("{HELD}{}", dialect.lock_rows()), 1);
    let rows = sqlx::query(sql).bind(ids(leases)?).fetch_all(on).await?;
    let current = rows.iter().map(read_lease).collect::<Result<HashSet<Lease>>>()?;
    Ok(leases.iter().filter(|lease| current.contains(*lease)).copied().collect())
}

/// Takes calls out of the queue, with their requests.
pub(in crate::sql) async fn remove(
    on: &mut AnyConnection,
    dialect: Dialect,
    calls: impl IntoIterator<Item = &CallId>,
) -> Result<()> {
    let calls: Vec<&CallId> = calls.into_iter().collect();
    if calls.is_empty() {
        return Ok(());
    }
    let ids = json(&calls)?;
    for text in ["DELETE FROM payloads WHERE call_id IN ({ids})", "DELETE FROM queue WHERE call_id IN ({ids})"] {
        sqlx::query(dialect.with_ids(text, 1)).bind(&ids).execute(&mut *on).await?;
    }
    Ok(())
}

/// Ends the calls of these leases and keeps them among the dead.
pub(super) async fn bury(
    on: &mut AnyConnection,
    dialect: Dialect,
    leases: &[Lease],
    verdict: &Verdict,
    now: Timestamp,
) -> Result<()> {
    let ids = ids(leases)?;
    sqlx::query(dialect.with_ids(BURY, 1)).bind(&ids).execute(&mut *on).await?;
    end(on, dialect, &ids, Status::Error, verdict, now).await
}

/// Ends the calls of these entries, with empty logs.
async fn end(
    on: &mut AnyConnection,
    dialect: Dialect,
    ids: &str,
    status: Status,
    verdict: &Verdict,
    now: Timestamp,
) -> Result<()> {
    sqlx::query(dialect.with_ids(END, 5))
        .bind(status.as_str())
        .bind(verdict.reason.as_str())
        .bind(verdict.error.replace('\0', "\u{fffd}"))
        .bind(now.as_millis())
        .bind(ids)
        .execute(&mut *on)
        .await?;
    Ok(())
}

impl SqlStore {
    pub(super) async fn do_bury(&self, lease: Lease, verdict: &Verdict, now: Timestamp) -> Result<bool> {
        let mut tx = self.begin().await?;
        let leases = [lease];
        if held(&mut tx, self.dialect, &leases).await?.is_empty() {
            close(tx, false).await?;
            return Ok(false);
        }
        bury(&mut tx, self.dialect, &leases, verdict, now).await?;
        tx.commit().await?;
        Ok(true)
    }

    pub(super) async fn do_discard(&self, lease: Lease, verdict: &Verdict, now: Timestamp) -> Result<bool> {
        let mut tx = self.begin().await?;
        let leases = [lease];
        if held(&mut tx, self.dialect, &leases).await?.is_empty() {
            close(tx, false).await?;
            return Ok(false);
        }
        end(&mut tx, self.dialect, &ids(&leases)?, verdict.reason.status(), verdict, now).await?;
        remove(&mut tx, self.dialect, &[lease.call_id]).await?;
        tx.commit().await?;
        Ok(true)
    }

    pub(super) async fn do_cancel(&self, app_id: AppId, call_id: CallId, now: Timestamp) -> Result<Cancelled> {
        let mut tx = self.begin().await?;
        let sql = self.dialect.built(format!("{FIND}{}", self.dialect.lock_rows()));
        let found = sqlx::query(sql).bind(call_id.to_string()).bind(app_id.to_string()).fetch_optional(&mut *tx);
        let Some(row) = found.await? else {
            let met = self.not_queued(&mut tx, app_id, call_id).await;
            close(tx, false).await?;
            return met;
        };
        let mut row = Reader::new(&row);
        let lease = Lease { call_id: row.parsed()?, attempt: row.number()? };
        let met = match row.number::<i64>()? {
            3 => {
                close(tx, false).await?;
                return Ok(Cancelled::Ended);
            }
            2 => Cancelled::Running(lease),
            _ => Cancelled::Waiting,
        };
        let verdict = Verdict { reason: Reason::ApiRequest, error: "cancelled by a request".to_owned() };
        end(&mut tx, self.dialect, &ids(&[lease])?, Status::Cancelled, &verdict, now).await?;
        remove(&mut tx, self.dialect, &[call_id]).await?;
        tx.commit().await?;
        Ok(met)
    }

    async fn not_queued(&self, on: &mut AnyConnection, app_id: AppId, call_id: CallId) -> Result<Cancelled> {
        let sql = self.dialect.sql(ENDED);
        let found = sqlx::query(sql).bind(app_id.to_string()).bind(call_id.to_string()).fetch_optional(on);
        let row = found.await?.ok_or(ModelError::CallNotFound)?;
        let mut row = Reader::new(&row);
        row.parsed::<CallId>()?;
        Ok(if row.is_null()? { Cancelled::NotQueued } else { Cancelled::Ended })
    }
}
