//! Calls come in.

use std::collections::{BTreeSet, HashSet};

use hearth_models::{AppId, CallId, Priority, Status};
use sqlx::AnyConnection;

use crate::sql::dialect::Dialect;
use crate::sql::insert;
use crate::sql::record::existing_apps;
use crate::sql::row::Reader;
use crate::sql::{SqlStore, json};
use crate::{Node, Record, Result, Submission};

impl SqlStore {
    pub(super) async fn do_accept(&self, node: Node, group: &[Submission]) -> Result<Vec<CallId>> {
        let mut tx = self.begin().await?;
        // In order, so that two transactions that hold the same apps never wait for each other.
        let asked: BTreeSet<AppId> = group.iter().map(|submission| submission.call.app_id).collect();
        let apps = existing_apps(&mut tx, self.dialect, &asked).await?;
        let (there, gone): (Vec<&Submission>, Vec<&Submission>) =
            group.iter().partition(|submission| apps.contains(&submission.call.app_id));
        let known = known(&mut tx, self.dialect, &there).await?;
        let new: Vec<&Submission> = there.into_iter().filter(|new| !known.contains(&new.call.id)).collect();
        if !new.is_empty() {
            self.insert_submissions(&mut tx, node, &new).await?;
            tx.commit().await?;
        }
        Ok(gone.iter().map(|submission| submission.call.id).collect())
    }

    /// Inserts calls that are not there yet.
    pub(super) async fn insert_submissions(
        &self,
        on: &mut AnyConnection,
        node: Node,
        new: &[&Submission],
    ) -> Result<()> {
        let records: Vec<Record> = new.iter().map(|new| Record { call: new.call.clone(), log: None }).collect();
        let records: Vec<&Record> = records.iter().collect();
        self.note_drift(on, &records).await?;
        insert::calls(on, self.dialect, node, &records).await?;
        insert_entries(on, self.dialect, new).await?;
        insert_payloads(on, self.dialect, new).await?;
        if new.iter().any(|new| new.call.status() == Status::Queued) {
            self.tell(on, Some(node.instance_id)).await?;
        }
        Ok(())
    }
}

/// Which of these calls are stored, from an earlier try whose outcome was not seen: they may have begun since.
async fn known(on: &mut AnyConnection, dialect: Dialect, group: &[&Submission]) -> Result<HashSet<CallId>> {
    let pairs: Vec<(AppId, CallId)> = group.iter().map(|new| (new.call.app_id, new.call.id)).collect();
    let rows = sqlx::query(dialect.known_calls()).bind(json(&pairs)?).fetch_all(on).await?;
    rows.iter().map(|row| Reader::new(row).parsed()).collect()
}

async fn insert_entries(on: &mut AnyConnection, dialect: Dialect, new: &[&Submission]) -> Result<()> {
    let entry = |new: &&Submission| {
        let state: u8 = if new.call.status() == Status::Delayed { 1 } else { 0 };
        let place = new.due_at.as_millis();
        (new.call.id, new.call.app_id, state, Priority::MAX.get() - new.priority.get(), place, new.call.fn_id)
    };
    let entries: Vec<_> = new.iter().map(entry).collect();
    sqlx::query(dialect.insert_entries()).bind(json(&entries)?).execute(on).await?;
    Ok(())
}

async fn insert_payloads(on: &mut AnyConnection, dialect: Dialect, new: &[&Submission]) -> Result<()> {
    let mut bodies = Vec::with_capacity(new.iter().map(|new| new.payload.body.len()).sum());
    let mut pieces = Vec::with_capacity(new.len());
    for Submission { call, payload, .. } in new {
        pieces.push((call.id, &payload.head, bodies.len() + 1, payload.body.len()));
        bodies.extend_from_slice(&payload.body);
    }
    sqlx::query(dialect.insert_payloads()).bind(bodies).bind(json(&pieces)?).execute(on).await?;
    Ok(())
}
