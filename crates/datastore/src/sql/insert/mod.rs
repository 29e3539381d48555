//! How a group of calls or logs gets into its table: with one statement, or a few when the group is large.
//!
//! A log without a byte is no row of its own but a note in that of its call.

mod json;
mod rows;

use bytes::Bytes;
use hearth_models::{AppId, Call, CallId};
use sqlx::AnyConnection;

use super::dialect::Dialect;
use crate::{Node, Record, Result};

/// Inserts calls as written by `node`, each of them once. A call that is there is replaced unless it has ended.
pub(super) async fn calls(on: &mut AnyConnection, dialect: Dialect, node: Node, records: &[&Record]) -> Result<()> {
    match dialect {
        _ if records.is_empty() => Ok(()),
        Dialect::Sqlite => rows::calls(on, node, records).await,
        Dialect::Postgres => json::calls(on, &json::POSTGRES, node, records).await,
        Dialect::MySql => json::calls(on, &json::MYSQL, node, records).await,
    }
}

/// Inserts logs. A log that is there stays.
pub(super) async fn logs(
    on: &mut AnyConnection,
    dialect: Dialect,
    logs: impl Iterator<Item = (AppId, CallId, &[u8])>,
) -> Result<()> {
    let logs: Vec<_> = logs.collect();
    match dialect {
        _ if logs.is_empty() => Ok(()),
        Dialect::Sqlite => rows::logs(on, &logs).await,
        Dialect::Postgres => json::logs(on, &json::POSTGRES, &logs).await,
        Dialect::MySql => json::logs(on, &json::MYSQL, &logs).await,
    }
}

/// A sentence may quote a function's output, and not every database can hold a NUL in a text.
fn error_text(call: &Call) -> Option<String> {
    call.error().map(|text| text.replace('\0', "\u{fffd}"))
}

/// The note that a call wrote nothing.
fn empty_log(record: &Record) -> Option<i16> {
    record.log.as_ref().is_some_and(Bytes::is_empty).then_some(1)
}
