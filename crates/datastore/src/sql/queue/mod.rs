//! The queue of asynchronous calls: two tables, and the state of the same calls in `calls`.
//!
//! States are numbers in the text of the statements rather than parameters, because the indexes of the queue are
//! partial: 0 ready, 1 delayed, 2 leased, 3 dead.

mod accept;
mod advance;
mod dead;
mod end;
mod lease;
mod look;
mod news;
mod statements;

use async_trait::async_trait;
use hearth_models::{AppId, Call, CallId, PerPage, Priority, Timestamp};
use sqlx::any::AnyRow;
use sqlx::{Any, AnyConnection, Transaction};

use super::dialect::Dialect;
use super::row::Reader;
use super::{DEADLINE, GROUP_DEADLINE, SqlStore, json, retrying, within};
use crate::{
    Advanced, Cancelled, Depth, Lease, Leased, News, Node, QueueStore, Result, Standing, Submission, Terms, Verdict,
};

pub(super) use end::{Fence, remove};
pub(super) use news::Source;
#[cfg(test)]
pub(super) use {
    advance::{DUE, NEXT_DUE},
    dead::PAGE as DEAD,
    end::{END, HELD},
    lease::{READ, READY, READY_EXCEPT, RUN, TAKE},
    look::{OLDEST, WAITING},
};

/// Changes the calls whose entries are in `{ids}`, unless they have ended. That is asked in words that no index fits:
/// Postgres took the one of open calls, of which it thought there were few, and went through the whole queue.
macro_rules! update_calls {
    ($set:literal) => {
        concat!(
            "UPDATE calls SET ",
            $set,
            " WHERE (app_id, id) IN (SELECT q.app_id, q.call_id FROM queue q WHERE q.call_id IN ({ids})) \
             AND coalesce(completed_at, 0) = 0"
        )
    };
}
use update_calls;

/// Ends a transaction, with or without its changes. Dropped instead, it would keep its locks for a moment longer, and
/// whoever reserves calls passes over what is locked.
async fn close(tx: Transaction<'static, Any>, keep: bool) -> Result<()> {
    if keep {
        tx.commit().await?
    } else {
        tx.rollback().await?
    }
    Ok(())
}

const CALLS_WAIT: &str = update_calls!("status = $1, started_at = NULL");

#[async_trait]
impl QueueStore for SqlStore {
    async fn accept(&self, node: Node, group: &[Submission]) -> Result<Vec<CallId>> {
        retrying(GROUP_DEADLINE, || self.do_accept(node, group)).await
    }

    async fn reserve(&self, terms: Terms<'_>, at_most: usize) -> Result<Vec<Leased>> {
        retrying(DEADLINE, || self.do_reserve(terms, at_most)).await
    }

    async fn reserve_these(&self, terms: Terms<'_>, calls: &[CallId]) -> Result<Vec<Leased>> {
        retrying(DEADLINE, || self.do_reserve_these(terms, calls)).await
    }

    async fn renew(&self, leases: &[Lease], until: Timestamp) -> Result<Vec<Lease>> {
        retrying(DEADLINE, || self.do_renew(leases, until)).await
    }

    async fn give_back(&self, leases: &[Lease]) -> Result<usize> {
        retrying(DEADLINE, || self.do_give_back(leases)).await
    }

    async fn retry(&self, lease: Lease, due_at: Timestamp) -> Result<bool> {
        retrying(DEADLINE, || self.do_retry(lease, due_at)).await
    }

    async fn bury(&self, lease: Lease, verdict: &Verdict, now: Timestamp) -> Result<bool> {
        retrying(DEADLINE, || self.do_bury(lease, verdict, now)).await
    }

    async fn identity(&self) -> Result<String> {
        within(DEADLINE, self.do_identity()).await
    }

    async fn clock(&self) -> Result<Timestamp> {
        within(DEADLINE, self.do_clock()).await
    }

    async fn discard(&self, lease: Lease, verdict: &Verdict, now: Timestamp) -> Result<bool> {
        retrying(DEADLINE, || self.do_discard(lease, verdict, now)).await
    }

    async fn advance(&self, now: Timestamp, last_attempt: u32) -> Result<Advanced> {
        retrying(DEADLINE, || self.do_advance(now, Some(last_attempt))).await
    }

    async fn advance_delays(&self, now: Timestamp) -> Result<Advanced> {
        retrying(DEADLINE, || self.do_advance(now, None)).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>> {
        within(DEADLINE, self.do_next_due()).await
    }

    async fn release_own(&self, node: Node, now: Timestamp, last_attempt: u32) -> Result<Advanced> {
        retrying(GROUP_DEADLINE, || self.do_release_own(node, now, last_attempt)).await
    }

    async fn cancel(&self, app_id: AppId, call_id: CallId, now: Timestamp) -> Result<Cancelled> {
        retrying(DEADLINE, || self.do_cancel(app_id, call_id, now)).await
    }

    async fn dead(&self, app_id: AppId, cursor: Option<&str>, per_page: PerPage) -> Result<Vec<Call>> {
        within(DEADLINE, self.do_dead(app_id, cursor, per_page)).await
    }

    async fn redrive(&self, node: Node, app_id: AppId, call_id: CallId) -> Result<Submission> {
        retrying(DEADLINE, || self.do_redrive(node, app_id, call_id)).await
    }

    async fn waiting(&self, app_id: AppId) -> Result<u64> {
        within(DEADLINE, self.do_waiting(app_id)).await
    }

    async fn depth(&self) -> Result<Depth> {
        within(DEADLINE, self.do_depth()).await
    }

    async fn listen(&self, node: Node) -> Result<Option<Box<dyn News>>> {
        self.do_listen(node).await
    }

    async fn ready(&self, after: Option<CallId>, at_most: usize) -> Result<Vec<Standing>> {
        within(DEADLINE, self.do_ready(after, at_most)).await
    }
}

/// Makes the calls of these entries wait, under the name of `status`.
async fn calls_wait(on: &mut AnyConnection, dialect: Dialect, status: &str, ids: &str) -> Result<()> {
    sqlx::query(dialect.with_ids(CALLS_WAIT, 2)).bind(status).bind(ids).execute(on).await?;
    Ok(())
}

/// The priority of what stands in `tier`.
fn priority(tier: u8) -> Priority {
    Priority::try_from(Priority::MAX.get().saturating_sub(tier)).unwrap_or_default()
}

fn ids<'a>(leases: impl IntoIterator<Item = &'a Lease>) -> Result<String> {
    let ids: Vec<CallId> = leases.into_iter().map(|lease| lease.call_id).collect();
    json(&ids)
}

/// Reads a row that begins with a call's id and an attempt.
fn read_lease(row: &AnyRow) -> Result<Lease> {
    let mut row = Reader::new(row);
    Ok(Lease { call_id: row.parsed()?, attempt: row.number()? })
}
