//! Calls are leased, kept and given back.

use std::cmp::Reverse;
use std::collections::HashSet;

use hearth_models::{CallId, Status, Timestamp};
use sqlx::any::AnyRow;
use sqlx::{Any, AnyConnection, Transaction};

use super::end::held;
use super::{calls_wait, close, ids, priority, update_calls};
use crate::sql::calls::{self, call_columns};
use crate::sql::dialect::Dialect;
use crate::sql::row::Reader;
use crate::sql::{SqlStore, json};
use crate::{Lease, Leased, Payload, Result, Terms};

/// Apps that are gone leave their entries behind for a while.
macro_rules! ready {
    ($and:literal) => {
        concat!(
            "SELECT q.call_id, q.attempt, q.fn_id FROM queue q WHERE q.state = 0",
            $and,
            " AND EXISTS (SELECT 1 FROM apps a WHERE a.id = q.app_id)"
        )
    };
}

pub(in crate::sql) const READY: &str = concat!(ready!(""), " ORDER BY q.tier, q.place, q.call_id LIMIT $1");
pub(in crate::sql) const READY_EXCEPT: &str =
    concat!(ready!(" AND q.fn_id NOT IN ({ids})"), " ORDER BY q.tier, q.place, q.call_id LIMIT $2");
const READY_THESE: &str = ready!(" AND q.call_id IN ({ids})");
pub(in crate::sql) const TAKE: &str = "UPDATE queue SET state = 2, attempt = attempt + 1, due_at = $1, \
    server_id = $2, instance_id = $3 WHERE call_id IN ({ids})";
pub(in crate::sql) const RUN: &str =
    update_calls!("status = 'running', attempts = attempts + 1, started_at = $1, server_id = $2, instance_id = $3");
pub(in crate::sql) const READ: &str = concat!(
    "SELECT ",
    call_columns!(),
    ", w.tier, w.place, w.head, w.body FROM calls JOIN (SELECT q.app_id AS w_app, q.call_id AS w_call, q.tier, q.place, p.head, \
     p.body FROM queue q JOIN payloads p ON p.call_id = q.call_id WHERE q.call_id IN ({ids})) w \
     ON app_id = w.w_app AND id = w.w_call"
);
const EXTEND: &str = "UPDATE queue SET due_at = $1 WHERE call_id IN ({ids})";
const RETURN: &str = "UPDATE queue SET state = 0, attempt = attempt - 1, server_id = NULL, instance_id = NULL \
    WHERE call_id IN ({ids})";
const CALLS_RETURN: &str = update_calls!("status = 'queued', attempts = attempts - 1, started_at = NULL");
const DELAY: &str = "UPDATE queue SET state = 1, due_at = $1, server_id = NULL, instance_id = NULL \
    WHERE call_id IN ({ids})";

impl SqlStore {
    pub(super) async fn do_reserve(&self, terms: Terms<'_>, at_most: usize) -> Result<Vec<Leased>> {
        let mut tx = self.begin().await?;
        let at_most = i64::try_from(at_most).unwrap_or(i64::MAX);
        let skip_locked = self.dialect.skip_locked();
        let ready = if terms.except.is_empty() {
            let sql = self.dialect.built(format!("{READY}{skip_locked}"));
            sqlx::query(sql).bind(at_most).fetch_all(&mut *tx).await?
        } else {
            let sql = self.dialect.with_ids(&format!("{READY_EXCEPT}{skip_locked}"), 1);
            sqlx::query(sql).bind(json(terms.except)?).bind(at_most).fetch_all(&mut *tx).await?
        };
        self.take(tx, terms, &ready).await
    }

    pub(super) async fn do_reserve_these(&self, terms: Terms<'_>, calls: &[CallId]) -> Result<Vec<Leased>> {
        let mut tx = self.begin().await?;
        let sql = self.dialect.with_ids(&format!("{READY_THESE}{}", self.dialect.skip_locked()), 1);
        let ready = sqlx::query(sql).bind(json(calls)?).fetch_all(&mut *tx).await?;
        self.take(tx, terms, &ready).await
    }

    async fn take(&self, mut tx: Transaction<'static, Any>, terms: Terms<'_>, ready: &[AnyRow]) -> Result<Vec<Leased>> {
        let mut leases = Vec::with_capacity(ready.len());
        for row in ready {
            let mut row = Reader::new(row);
            let lease = Lease { call_id: row.parsed()?, attempt: row.number()? };
            // Empty where a server of an earlier version, which is still being replaced, accepted the call.
            let function: String = row.get()?;
            if !terms.except.iter().any(|except| except.to_string() == function) {
                leases.push(lease);
            }
        }
        if leases.is_empty() {
            close(tx, false).await?;
            return Ok(Vec::new());
        }
        let ids = ids(&leases)?;
        for (text, time) in [(TAKE, terms.until), (RUN, terms.now)] {
            sqlx::query(self.dialect.with_ids(text, 4))
                .bind(time.as_millis())
                .bind(terms.node.server_id.to_string())
                .bind(terms.node.instance_id.to_string())
                .bind(&ids)
                .execute(&mut *tx)
                .await?;
        }
        let leased = read(&mut tx, self.dialect, &ids).await?;
        tx.commit().await?;
        Ok(leased)
    }

    pub(super) async fn do_renew(&self, leases: &[Lease], until: Timestamp) -> Result<Vec<Lease>> {
        let mut tx = self.begin().await?;
        let held = held(&mut tx, self.dialect, leases).await?;
        if !held.is_empty() {
            let sql = self.dialect.with_ids(EXTEND, 2);
            sqlx::query(sql).bind(until.as_millis()).bind(ids(&held)?).execute(&mut *tx).await?;
        }
        close(tx, !held.is_empty()).await?;
        Ok(leases.iter().filter(|lease| !held.contains(*lease)).copied().collect())
    }

    pub(super) async fn do_give_back(&self, leases: &[Lease]) -> Result<usize> {
        let mut tx = self.begin().await?;
        let held = held(&mut tx, self.dialect, leases).await?;
        if !held.is_empty() {
            let ids = ids(&held)?;
            for text in [RETURN, CALLS_RETURN] {
                sqlx::query(self.dialect.with_ids(text, 1)).bind(&ids).execute(&mut *tx).await?;
            }
            self.tell(&mut tx, None).await?;
        }
        close(tx, !held.is_empty()).await?;
        Ok(held.len())
    }

    pub(super) async fn do_retry(&self, lease: Lease, due_at: Timestamp) -> Result<bool> {
        let mut tx = self.begin().await?;
        let held: HashSet<Lease> = held(&mut tx, self.dialect, &[lease]).await?;
        if held.is_empty() {
            close(tx, false).await?;
            return Ok(false);
        }
        let ids = ids(&held)?;
        let sql = self.dialect.with_ids(DELAY, 2);
        sqlx::query(sql).bind(due_at.as_millis()).bind(&ids).execute(&mut *tx).await?;
        calls_wait(&mut tx, self.dialect, Status::Delayed.as_str(), &ids).await?;
        tx.commit().await?;
        Ok(true)
    }
}

/// The calls of these entries with their requests, in order.
pub(super) async fn read(on: &mut AnyConnection, dialect: Dialect, ids: &str) -> Result<Vec<Leased>> {
    let rows = sqlx::query(dialect.with_ids(READ, 1)).bind(ids).fetch_all(on).await?;
    let read = |row: &AnyRow| {
        let mut reader = Reader::new(row);
        let call = calls::read(&mut reader)?;
        let (priority, place) = (priority(reader.number()?), reader.time()?);
        let payload = Payload { head: reader.get()?, body: reader.get::<Vec<u8>>()?.into() };
        Ok(Leased { call, priority, place, payload })
    };
    let mut leased = rows.iter().map(read).collect::<Result<Vec<_>>>()?;
    leased.sort_by_key(|leased| (Reverse(leased.priority), leased.place, leased.call.id));
    Ok(leased)
}
