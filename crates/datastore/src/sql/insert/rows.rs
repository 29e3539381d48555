//! Groups as rows of parameters, in statements of a few fixed sizes. For SQLite.
//!
//! A group takes the smallest statement that holds it, and the rows that it does not need stay NULL and are let be, so
//! a group of up to 128 is one statement and its text is one that the connection has prepared before. The other way,
//! one JSON parameter unpacked by the database, costs SQLite half as much again for every row: it parses the
//! text, writes each row out as text once more, and looks for each value from the start of it.

use hearth_models::{AppId, Call, CallId, Timestamp};
use sqlx::any::AnyArguments;
use sqlx::{Any, AnyConnection, Arguments, Encode, Type};

use super::{empty_log, error_text};
use crate::sql::stats;
use crate::{Error, Node, Record, Result};

/// A statement with 8, 16, 32, 64 and 128 rows of parameters.
struct Sized([&'static str; 5]);

/// Rows of the least.
const LEAST: usize = 8;
/// Rows of the greatest; a larger group is several statements.
const GREATEST: usize = LEAST << 4;

impl Sized {
    /// The smallest that holds so many rows, of [`GREATEST`] at most.
    const fn of(&self, rows: usize) -> &'static str {
        self.0[rows.div_ceil(LEAST).next_power_of_two().ilog2() as usize]
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
        Sized([
            concat!($begin, two!(four!($row)), $end),
            concat!($begin, four!(four!($row)), $end),
            concat!($begin, two!(four!(four!($row))), $end),
            concat!($begin, four!(four!(four!($row))), $end),
            concat!($begin, two!(four!(four!(four!($row)))), $end),
        ])
    };
}

/// Inserts calls as written by the server and the instance that the first two parameters name. A call that is there is
/// replaced unless it has ended.
///
/// Then come those columns of the first call that a group often has in common, and a row for each call, in which they are
/// NULL where they are as in the first: a text is allocated and copied again and again on its way here, a NULL is not. ''
/// stands for the trigger of a call that has none.
const CALLS: Sized = sized!(
    "INSERT INTO calls (server_id, instance_id, app_id, fn_id, trigger_id, path, type, status, id, reason, error, \
         attempts, created_at, started_at, completed_at, stats, empty_log) \
     SELECT ?, ?, coalesce(column2, ?), coalesce(column3, ?), nullif(coalesce(column4, ?), ''), \
         coalesce(column5, ?), coalesce(column6, ?), coalesce(column7, ?), column1, column8, column9, \
         column10, column11, column12, column13, column14, column15 \
     FROM (VALUES ",
    "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    ") WHERE column1 IS NOT NULL \
     ON CONFLICT (app_id, id) DO UPDATE SET server_id = excluded.server_id, instance_id = excluded.instance_id, \
         status = excluded.status, reason = excluded.reason, error = excluded.error, attempts = excluded.attempts, \
         started_at = excluded.started_at, completed_at = excluded.completed_at, stats = excluded.stats, \
         empty_log = excluded.empty_log \
     WHERE calls.completed_at IS NULL"
);
const COMMON_COLUMNS: usize = 6;
const CALL_COLUMNS: usize = 15;

/// Inserts logs. A log that is there stays.
const LOGS: Sized = sized!(
    "INSERT INTO logs (app_id, call_id, data) SELECT * FROM (VALUES ",
    "(?,?,?)",
    ") WHERE column1 IS NOT NULL ON CONFLICT (app_id, call_id) DO NOTHING"
);
const LOG_COLUMNS: usize = 3;

pub(super) async fn calls(on: &mut AnyConnection, node: Node, records: &[&Record]) -> Result<()> {
    for part in records.chunks(GREATEST) {
        let mut values = Values::with_capacity(2 + COMMON_COLUMNS + part.len() * CALL_COLUMNS);
        values.add(&*node.server_id.text())?;
        values.add(&*node.instance_id.text())?;
        let Some(first) = part.first().map(|record| &record.call) else { continue };
        values.add_common(first, None)?;
        for record in part {
            values.add_call(record, first)?;
        }
        sqlx::query_with(CALLS.of(part.len()), values.0).execute(&mut *on).await?;
    }
    Ok(())
}

pub(super) async fn logs(on: &mut AnyConnection, logs: &[(AppId, CallId, &[u8])]) -> Result<()> {
    for part in logs.chunks(GREATEST) {
        let mut values = Values::with_capacity(part.len() * LOG_COLUMNS);
        for (app_id, call_id, log) in part {
            values.add(&*app_id.text())?;
            values.add(&*call_id.text())?;
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

    /// The columns that a group often has in common, NULL where they are as in `first`.
    fn add_common(&mut self, call: &Call, first: Option<&Call>) -> Result<()> {
        let differs = |same: fn(&Call, &Call) -> bool| first.is_none_or(|first| !same(call, first));
        self.add(differs(|a, b| a.app_id == b.app_id).then(|| call.app_id.text()).as_deref())?;
        self.add(differs(|a, b| a.fn_id == b.fn_id).then(|| call.fn_id.text()).as_deref())?;
        let trigger_id = || call.trigger_id.map(|id| id.to_string()).unwrap_or_default();
        self.add(differs(|a, b| a.trigger_id == b.trigger_id).then(trigger_id))?;
        self.add(differs(|a, b| a.path == b.path).then_some(&*call.path))?;
        self.add(differs(|a, b| a.call_type == b.call_type).then(|| call.call_type.as_str()))?;
        self.add(differs(|a, b| a.status() == b.status()).then(|| call.status().as_str()))
    }

    /// The columns of a call, in the order of [`CALLS`].
    fn add_call(&mut self, record: &Record, first: &Call) -> Result<()> {
        let call = &record.call;
        self.add(&*call.id.text())?;
        self.add_common(call, Some(first))?;
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
