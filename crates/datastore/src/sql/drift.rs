//! From spans of time to spans of call ids.
//!
//! Calls are listed by id, newest first, and a filter by time that walked the ids until it found enough calls could
//! walk a million of them. But an id begins with the millisecond it was made in, which is `created_at` or nearly so.
//! How nearly is kept in the store: the greatest distance of any call ever recorded. A span of time, widened by it,
//! is a span of ids that holds every call of the span; `created_at` then decides exactly. With sane clocks the
//! distance stays at a few milliseconds. A clock that was set back makes lists by time slower, never wrong.

use hearth_models::{CallId, InvalidId};
use sqlx::AnyConnection;
use ulid::Ulid;

use super::dialect::Dialect;
use super::row::Reader;
use crate::{Error, Record, Result};

/// The distance that every store begins with.
pub(super) const LEAST_MS: i64 = 20;

pub(super) async fn read(on: &mut AnyConnection, dialect: Dialect) -> Result<i64> {
    let row = sqlx::query(dialect.sql("SELECT greatest_ms FROM call_drift WHERE id = 1")).fetch_optional(on).await?;
    match row {
        Some(row) => Reader::new(&row).get(),
        None => Err(Error::corrupt("call_drift", "its row is missing")),
    }
}

/// Raises the stored distance to `ms`, if it is less.
pub(super) async fn raise(on: &mut AnyConnection, dialect: Dialect, ms: i64) -> Result<()> {
    let sql = dialect.sql("UPDATE call_drift SET greatest_ms = $1 WHERE greatest_ms < $2");
    sqlx::query(sql).bind(ms).bind(ms).execute(on).await?;
    Ok(())
}

/// The distance between the time in a call's id and its creation.
pub(super) fn of(record: &Record) -> i64 {
    let distance = record.call.id.made_at().as_millis().abs_diff(record.call.created_at.as_millis());
    i64::try_from(distance).unwrap_or(i64::MAX)
}

/// The least id that can be made at `ms`, as an id.
pub(super) fn first_id_of(ms: i64) -> Result<CallId> {
    first_id(ms).parse().map_err(|error: InvalidId| Error::Refused(error.into()))
}

/// The least id that can be made at `ms`.
pub(super) fn first_id(ms: i64) -> String {
    Ulid::from_parts(within(ms), 0).to_string()
}

/// A text that is greater than every id that can be made at `ms`, and not greater than any made later.
pub(super) fn end_of_ids(ms: i64) -> String {
    let mut text = Ulid::from_parts(within(ms), (1 << Ulid::RAND_BITS) - 1).to_string();
    text.push('0');
    text
}

/// The nearest time that an id can hold.
fn within(ms: i64) -> u64 {
    const END: u64 = (1 << Ulid::TIME_BITS) - 1;
    u64::try_from(ms).unwrap_or(0).min(END)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_moment_lie_between_its_bounds() {
        let id = CallId::generate();
        let at = id.made_at().as_millis();
        let text = id.to_string();
        assert!(first_id(at) <= text && text < end_of_ids(at));
        assert!(end_of_ids(at - 1) < text && text < first_id(at + 1));
    }

    #[test]
    fn times_that_no_id_can_hold_become_the_nearest_one() {
        assert_eq!(first_id(i64::MIN), "00000000000000000000000000");
        assert_eq!(end_of_ids(i64::MAX), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ0");
    }
}
