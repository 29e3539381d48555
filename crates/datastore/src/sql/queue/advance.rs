//! Time passes: delays end, leases lapse.

use hearth_models::{CallId, Reason, Status, Timestamp};
use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};

use super::end::bury;
use super::{calls_wait, close, priority};
use crate::sql::row::Reader;
use crate::sql::{SqlStore, json};
use crate::{Advanced, Lease, Node, Result, Standing, Verdict};

pub(in crate::sql) const DUE: &str = "SELECT call_id, attempt, tier, place, state FROM queue \
    WHERE state IN (1, 2) AND due_at <= $1 AND state <= $2 ORDER BY due_at LIMIT $3";
pub(in crate::sql) const NEXT_DUE: &str = "SELECT due_at FROM queue WHERE state IN (1, 2) ORDER BY due_at LIMIT 1";
const OWN: &str = "SELECT call_id, attempt, tier, place, state FROM queue \
    WHERE state IN (1, 2) AND state = 2 AND server_id = $1 AND instance_id <> $2";
const READY: &str = "UPDATE queue SET state = 0, server_id = NULL, instance_id = NULL WHERE call_id IN ({ids})";

/// Calls that become due in one go: a few milliseconds, so that whoever wants to write next hardly waits.
const AT_ONCE: i64 = 500;

impl SqlStore {
    /// Without `last_attempt` leases stay as they are.
    pub(super) async fn do_advance(&self, now: Timestamp, last_attempt: Option<u32>) -> Result<Advanced> {
        let mut tx = self.begin().await?;
        let sql = self.dialect.built(format!("{DUE}{}", self.dialect.skip_locked()));
        let greatest_state = if last_attempt.is_some() { 2 } else { 1 };
        let rows =
            sqlx::query(sql).bind(now.as_millis()).bind(greatest_state).bind(AT_ONCE).fetch_all(&mut *tx).await?;
        self.make_ready(tx, &rows, now, last_attempt.unwrap_or(u32::MAX)).await
    }

    pub(super) async fn do_clock(&self) -> Result<Timestamp> {
        // A file is shared by processes of one host, which have one clock.
        let Some(sql) = self.dialect.clock() else { return Ok(Timestamp::now()) };
        let mut on = self.read().await?;
        let row = sqlx::query(sql).fetch_one(&mut *on).await?;
        Reader::new(&row).time()
    }

    pub(super) async fn do_release_own(&self, node: Node, now: Timestamp, last_attempt: u32) -> Result<Advanced> {
        let mut tx = self.begin().await?;
        let sql = self.dialect.built(format!("{OWN}{}", self.dialect.lock_rows()));
        let (server, instance) = (node.server_id.to_string(), node.instance_id.to_string());
        let rows = sqlx::query(sql).bind(server).bind(instance).fetch_all(&mut *tx).await?;
        self.make_ready(tx, &rows, now, last_attempt).await
    }

    async fn make_ready(
        &self,
        mut tx: Transaction<'static, Any>,
        rows: &[AnyRow],
        now: Timestamp,
        last_attempt: u32,
    ) -> Result<Advanced> {
        let mut advanced = Advanced::default();
        let mut dead = Vec::new();
        for row in rows {
            let mut row = Reader::new(row);
            let lease = Lease { call_id: row.parsed()?, attempt: row.number()? };
            let (priority, place) = (priority(row.number()?), row.time()?);
            let standing = Standing { call_id: lease.call_id, priority, place };
            let was_leased = row.number::<i64>()? == 2;
            if was_leased && lease.attempt >= last_attempt {
                dead.push(lease);
            } else if was_leased {
                advanced.lapsed.push(standing);
            } else {
                advanced.due.push(standing);
            }
        }
        let ready: Vec<CallId> = advanced.due.iter().chain(&advanced.lapsed).map(|ready| ready.call_id).collect();
        if !ready.is_empty() {
            let ids = json(&ready)?;
            sqlx::query(self.dialect.with_ids(READY, 1)).bind(&ids).execute(&mut *tx).await?;
            calls_wait(&mut tx, self.dialect, Status::Queued.as_str(), &ids).await?;
            self.tell(&mut tx, None).await?;
        }
        if !dead.is_empty() {
            let error = format!("given up after {last_attempt} attempts: the server that ran it was lost");
            bury(&mut tx, self.dialect, &dead, &Verdict { reason: Reason::Platform, error }, now).await?;
            advanced.dead = dead.iter().map(|lease| lease.call_id).collect();
        }
        close(tx, !rows.is_empty()).await?;
        Ok(advanced)
    }

    pub(super) async fn do_next_due(&self) -> Result<Option<Timestamp>> {
        let mut on = self.read().await?;
        let row = sqlx::query(self.dialect.sql(NEXT_DUE)).fetch_optional(&mut *on).await?;
        row.map(|row| Reader::new(&row).time()).transpose()
    }
}
