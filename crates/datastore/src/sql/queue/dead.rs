//! Calls that were given up, and another chance for them.

use std::collections::BTreeSet;

use hearth_models::{AppId, Call, CallId, CallType, Error as ModelError, PerPage};
use sqlx::AnyConnection;

use super::end::remove;
use super::{close, lease};
use crate::sql::calls::{self, call_columns};
use crate::sql::record::existing_apps;
use crate::sql::row::Reader;
use crate::sql::{SqlStore, json};
use crate::{Node, Result, Submission};

pub(in crate::sql) const PAGE: &str = concat!(
    "SELECT ",
    call_columns!(),
    " FROM calls JOIN (SELECT q.app_id AS b_app, q.call_id AS b_call FROM queue q WHERE q.app_id = $1 AND q.state = 3 \
     AND q.call_id < $2 ORDER BY q.call_id DESC LIMIT $3) b ON app_id = b.b_app AND id = b.b_call ORDER BY b.b_call DESC"
);
const FIND: &str = "SELECT call_id FROM queue WHERE call_id = $1 AND app_id = $2 AND state = 3";
/// Greater than every id.
const END: &str = "~";

impl SqlStore {
    pub(super) async fn do_dead(&self, app_id: AppId, cursor: Option<&str>, per_page: PerPage) -> Result<Vec<Call>> {
        let mut on = self.read().await?;
        let rows = sqlx::query(self.dialect.sql(PAGE))
            .bind(app_id.to_string())
            .bind(cursor.unwrap_or(END))
            .bind(per_page.get() as i64)
            .fetch_all(&mut *on)
            .await?;
        rows.iter().map(|row| calls::read(&mut Reader::new(row))).collect()
    }

    pub(super) async fn do_redrive(&self, node: Node, app_id: AppId, call_id: CallId) -> Result<Submission> {
        let mut tx = self.begin().await?;
        let again = self.redrive(&mut tx, node, app_id, call_id).await;
        close(tx, again.is_ok()).await?;
        again
    }

    async fn redrive(&self, tx: &mut AnyConnection, node: Node, app_id: AppId, call_id: CallId) -> Result<Submission> {
        let apps = existing_apps(tx, self.dialect, &BTreeSet::from([app_id])).await?;
        let sql = self.dialect.built(format!("{FIND}{}", self.dialect.lock_rows()));
        let found = sqlx::query(sql).bind(call_id.to_string()).bind(app_id.to_string()).fetch_optional(&mut *tx);
        if found.await?.is_none() || apps.is_empty() {
            return Err(ModelError::CallNotFound.into());
        }
        let dead = lease::read(tx, self.dialect, &json(&[call_id])?).await?.pop();
        let dead = dead.ok_or(ModelError::CallNotFound)?;
        let mut call = Call::accept(app_id, dead.call.fn_id, CallType::Async);
        call.trigger_id = dead.call.trigger_id;
        call.path = dead.call.path;
        let again = Submission { due_at: call.created_at, call, priority: dead.priority, payload: dead.payload };
        self.insert_submissions(tx, node, &[&again]).await?;
        remove(tx, self.dialect, &[call_id]).await?;
        Ok(again)
    }
}
