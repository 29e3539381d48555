//! The table of calls: reading, listing, and closing what a dead instance left open. Writing is in `record`.

use hearth_models::{
    AppId, Call, CallFilter, CallId, CallType, Error as ModelError, FnId, Reason, Status, StoredState, Timestamp,
};
use sqlx::any::{AnyArguments, AnyRow};

use super::SqlStore;
use super::dialect::{By, CallIndex, Dialect, Of};
use super::drift;
use super::row::Reader;
use super::statement::Statement;
use super::stats;
use crate::{Error, Node, Result};

/// The columns that [`read`] reads.
macro_rules! call_columns {
    () => {
        "id, app_id, fn_id, trigger_id, path, type, status, reason, error, attempts, created_at, started_at, \
         completed_at, stats"
    };
}
pub(super) use call_columns;

pub(super) const GET: &str = concat!("SELECT ", call_columns!(), " FROM calls WHERE app_id = $1 AND id = $2");
pub(super) const INTERRUPT: &str = "UPDATE calls SET status = $1, reason = $2, error = $3, completed_at = $4 \
             WHERE server_id = $5 AND instance_id <> $6 AND type = $7 AND completed_at IS NULL";

impl SqlStore {
    pub(super) async fn do_call(&self, app_id: AppId, call_id: CallId) -> Result<Call> {
        let sql = self.dialect.sql(GET);
        let mut on = self.read().await?;
        let row = sqlx::query(sql).bind(app_id.to_string()).bind(call_id.to_string()).fetch_optional(&mut *on).await?;
        row.as_ref().map_or_else(|| Err(ModelError::CallNotFound.into()), read_row)
    }

    pub(super) async fn do_calls(&self, app_id: AppId, filter: &CallFilter) -> Result<Vec<Call>> {
        if let (Some(reason), Some(status)) = (filter.reason, filter.status)
            && reason.status() != status
        {
            return Ok(Vec::new());
        }
        let mut on = self.read().await?;
        let drift = if filter.from_time.is_some() || filter.to_time.is_some() {
            drift::read(&mut on, self.dialect).await?
        } else {
            0
        };
        let (text, arguments) = list(self.dialect, app_id, filter, drift)?;
        let rows = sqlx::query_with(self.dialect.built(text), arguments).fetch_all(&mut *on).await?;
        rows.iter().map(read_row).collect()
    }

    pub(super) async fn do_interrupt(&self, node: Node) -> Result<u64> {
        let sql = self.dialect.sql(INTERRUPT);
        let mut tx = self.begin().await?;
        let done = sqlx::query(sql)
            .bind(Status::Error.as_str())
            .bind(Reason::Platform.as_str())
            .bind("the server stopped before the call had ended")
            .bind(Timestamp::now().as_millis())
            .bind(node.server_id.to_string())
            .bind(node.instance_id.to_string())
            .bind(CallType::Sync.as_str())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }
}

fn read_row(row: &AnyRow) -> Result<Call> {
    read(&mut Reader::new(row))
}

pub(super) fn read(row: &mut Reader<'_>) -> Result<Call> {
    let id: CallId = row.parsed()?;
    let app_id: AppId = row.parsed()?;
    let fn_id: FnId = row.parsed()?;
    let trigger_id = row.parsed_or_null()?;
    let path = row.get()?;
    let call_type: CallType = row.parsed()?;
    let mut state = StoredState {
        status: row.parsed()?,
        reason: row.parsed_or_null()?,
        error: row.get()?,
        started_at: None,
        completed_at: None,
    };
    let attempts = row.number()?;
    let created_at = row.time()?;
    state.started_at = row.time_or_null()?;
    state.completed_at = row.time_or_null()?;
    let stats = match row.get::<Option<&str>>()? {
        Some(text) => stats::decode(text).map_err(|error| Error::corrupt(format!("stats of call {id}"), error))?,
        None => Vec::new(),
    };
    let mut call = Call::accept(app_id, fn_id, call_type).restore(state);
    call.id = id;
    call.trigger_id = trigger_id;
    call.path = path;
    call.attempts = attempts;
    call.created_at = created_at;
    call.stats = stats;
    Ok(call)
}

/// The statement that lists the calls of an app, and its arguments.
pub(super) fn list(dialect: Dialect, app_id: AppId, filter: &CallFilter, drift: i64) -> Result<(String, AnyArguments)> {
    let mut list = Statement::new(concat!("SELECT ", call_columns!(), " FROM "));
    list.push(&dialect.calls_by(index(filter)));
    list.push(" WHERE app_id = ");
    list.bind(app_id.to_string())?;
    if let Some(fn_id) = filter.fn_id {
        list.and("fn_id = ", fn_id.to_string())?;
    }
    if let Some(path) = filter.path.as_deref() {
        list.and("path = ", path)?;
    }
    match (filter.reason, filter.status) {
        // It implies the status.
        (Some(reason), _) => list.and("reason = ", reason.as_str())?,
        (None, Some(Status::Success)) => list.and("status = ", Status::Success.as_str())?,
        (None, Some(status)) => {
            list.and("status = ", status.as_str())?;
            // The index leaves successes out, and is used only where the statement does too.
            list.push(" AND status <> 'success'");
        }
        (None, None) => {}
    }
    if let Some(from) = filter.from_time.map(Timestamp::as_millis) {
        list.and("created_at > ", from)?;
        list.and("id >= ", drift::first_id(from.saturating_sub(drift)))?;
    }
    let mut before = filter.cursor.clone();
    if let Some(to) = filter.to_time.map(Timestamp::as_millis) {
        list.and("created_at < ", to)?;
        let end = drift::end_of_ids(to.saturating_add(drift));
        before = Some(match before {
            Some(cursor) => cursor.min(end),
            None => end,
        });
    }
    // One bound, the nearer one: of two, planners make too much.
    if let Some(before) = before {
        list.and("id < ", before)?;
    }
    list.push(" ORDER BY id DESC LIMIT ");
    list.bind(filter.per_page.get() as i64)?;
    Ok(list.finish())
}

/// The index through which a list walks, so that it does not depend on statistics which nobody keeps up to date.
fn index(filter: &CallFilter) -> CallIndex {
    let of = match (filter.fn_id, &filter.path) {
        (Some(_), _) => Of::Function,
        (None, Some(_)) => Of::Path,
        (None, None) => Of::App,
    };
    let by = match (filter.reason, filter.status) {
        (Some(_), _) => By::Reason,
        (None, Some(status)) if status != Status::Success => By::Status,
        _ => By::Id,
    };
    CallIndex { of, by }
}
