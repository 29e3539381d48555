//! Groups as rows of parameters, in statements of a few fixed sizes. For SQLite.
//!
//! A group takes the smallest statement that holds it, and the rows that it does not need stay NULL and are let be, so
//! a group of up to 128 is one statement and its text is one that the connection has prepared before. The other way,
//! one JSON parameter unpacked by the database, costs SQLite half as much again for every row: it parses the
//! text, writes each row out as text once more, and looks for each value from the start of it.

use hearth_models::{AppId, CallId, Timestamp};
use sqlx::any::AnyArguments;
use sqlx::{Any, AnyConnection, Arguments, Encode, Type};

use super::{empty_log, error_text};
use crate::sql::stats;
use crate::{Error, Node, Record, Result};

/// A statement with a number of rows of parameters, in the sizes that there are.
struct Sized {
    few: &'static str,
    some: &'static str,
    many: &'static str,
}

/// Rows of [`Sized::few`].
const FEW: usize = 8;
/// Rows of [`Sized::some`].
const SOME: usize = 4 * FEW;
/// Rows of [`Sized::many`]; a larger group is several statements.
const MANY: usize = 4 * SOME;

impl Sized {
    /// The smallest that holds so many rows.
    const fn of(&self, rows: usize) -> &'static str {
        if rows <= FEW {
            self.few
        } else if rows <= SOME {
            self.some
        } else {
            self.many
        }
    }
}

macro_rules! two {
    ($($rows:tt)+) => { concat!($($rows)+, ",", $($rows)+) };
}
macro_rules! four {
    ($($rows:tt)+) => { two!(two!($($rows)+)) };
}
/// The sizes of a statement that is `$begin`, rows like `$row`, `$end`.
macro_rules! sized {
    ($begin:literal, $row:literal, $end:literal) => {
        Sized {
            few: concat!($begin, two!(four!($row)), $end),
            some: concat!($begin, two!(four!(four!($row))), $end),
            many: concat!($begin, two!(four!(four!(four!($row)))), $end),
        }
    };
}

/// Inserts calls as written by the server and the instance that the first two parameters name. A call that is there is
/// replaced unless it has ended.
const CALLS: Sized = sized!(
    "INSERT INTO calls (server_id, instance_id, app_id, id, fn_id, trigger_id, path, type, status, reason, error, \
         attempts, created_at, started_at, completed_at, stats, empty_log) \
     SELECT ?, ?, * FROM (VALUES ",
    "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    ") WHERE column1 IS NOT NULL \
     ON CONFLICT (app_id, id) DO UPDATE SET server_id = excluded.server_id, instance_id = excluded.instance_id, \
         status = excluded.status, reason = excluded.reason, error = excluded.error, attempts = excluded.attempts, \
         started_at = excluded.started_at, completed_at = excluded.completed_at, stats = excluded.stats, \
         empty_log = excluded.empty_log \
     WHERE calls.completed_at IS NULL"
);
const CALL_COLUMNS: usize = 15;

/// Inserts logs. A log that is there stays.
const LOGS: Sized = sized!(
    "INSERT INTO logs (app_id, call_id, data) SELECT * FROM (VALUES ",
    "(?,?,?)",
    ") WHERE column1 IS NOT NULL ON CONFLICT (app_id, call_id) DO NOTHING"
);
const LOG_COLUMNS: usize = 3;

pub(super) async fn calls(on: &mut AnyConnection, node: Node, records: &[&Record]) -> Result<()> {
    let (server_id, instance_id) = (node.server_id.to_string(), node.instance_id.to_string());
    for part in records.chunks(MANY) {
        let mut values = Values::with_capacity(2 + part.len() * CALL_COLUMNS);
        values.add(&*server_id)?;
        values.add(&*instance_id)?;
        for record in part {
            values.add_call(record)?;
        }
        sqlx::query_with(CALLS.of(part.len()), values.0).execute(&mut *on).await?;
    }
    Ok(())
}

pub(super) async fn logs(on: &mut AnyConnection, logs: &[(AppId, CallId, &[u8])]) -> Result<()> {
    for part in logs.chunks(MANY) {
        let mut values = Values::with_capacity(part.len() * LOG_COLUMNS);
        for (app_id, call_id, log) in part {
            values.add(app_id.to_string())?;
            values.add(call_id.to_string())?;
            values.add(*log)?;
        }
        sqlx::query_with(LOGS.of(part.len()), values.0).execute(&mut *on).await?;
    }
    Ok(())
}

/// The parameters of a statement.
struct Values(AnyArguments);

impl Values {
    fn with_capacity(values: usize) -> Self {
        let mut arguments = AnyArguments::default();
        arguments.reserve(values, 0);
        Self(arguments)
    }

    fn add<'q, T: Encode<'q, Any> + Type<Any>>(&mut self, value: T) -> Result<()> {
        self.0.add(value).map_err(Error::Refused)
    }

    /// The columns of a call, in the order of [`CALLS`].
    fn add_call(&mut self, record: &Record) -> Result<()> {
        let call = &record.call;
        self.add(call.app_id.to_string())?;
        self.add(call.id.to_string())?;
        self.add(call.fn_id.to_string())?;
        self.add(call.trigger_id.map(|id| id.to_string()))?;
        self.add(&*call.path)?;
        self.add(call.call_type.as_str())?;
        self.add(call.status().as_str())?;
        self.add(call.reason().map(|reason| reason.as_str()))?;
        self.add(error_text(call))?;
        self.add(i64::from(call.attempts))?;
        self.add(call.created_at.as_millis())?;
        self.add(call.started_at().map(Timestamp::as_millis))?;
        self.add(call.completed_at().map(Timestamp::as_millis))?;
        self.add((!call.stats.is_empty()).then(|| stats::encode(&call.stats)))?;
        self.add(empty_log(record))
    }
}
