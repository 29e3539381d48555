//! What an error of a database means: whether waiting helps, trying again, another value, or only a person.

use sqlx::error::DatabaseError;
use sqlx::mysql::MySqlDatabaseError;
use sqlx::postgres::PgDatabaseError;
use sqlx::sqlite::SqliteError;

use crate::{Error, Source};

/// What helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Another transaction was in the way: the same transaction, begun again, will likely succeed.
    Conflict,
    /// The database is away, full, locked or about to restart.
    Unavailable,
    /// The data cannot be stored as it is.
    Refused,
    /// None of these: the program or the schema is wrong.
    Fault,
}

/// A conflict with another transaction, as the cause of an [`Error::Unavailable`].
#[derive(Debug, thiserror::Error)]
#[error("in conflict with another transaction")]
struct Conflict(#[source] Source);

/// Whether the transaction that failed had better be begun again at once.
pub(super) fn is_conflict(error: &Error) -> bool {
    matches!(error, Error::Unavailable(cause) if cause.is::<Conflict>())
}

/// Makes what failed because of another transaction that came first a conflict, so that it is begun again.
pub(super) fn conflict(error: impl Into<Source>) -> Error {
    Error::Unavailable(Conflict(error.into()).into())
}

/// Whether a statement failed because a value that must be unique was there already.
pub(super) fn unique(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(cause) if cause.is_unique_violation())
}

/// Whether a statement failed because a text is longer than its column or an index can hold.
pub(super) fn too_long(error: &sqlx::Error) -> bool {
    // Postgres: program_limit_exceeded; MySQL: string_data_right_truncation.
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.is_some_and(|code| matches!(&*code, "54000" | "22001"))
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        match &error {
            E::Database(cause) => match kind(&**cause) {
                Kind::Conflict => conflict(error),
                Kind::Unavailable => Self::Unavailable(error.into()),
                Kind::Refused => Self::Refused(error.into()),
                Kind::Fault => Self::Database(error.into()),
            },
            // A connection that cannot be made, breaks off, or on which something else than a database answers.
            E::Io(_) | E::Tls(_) | E::Protocol(_) | E::Configuration(_) => Self::Unavailable(error.into()),
            E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed | E::BeginFailed => Self::Unavailable(error.into()),
            E::ColumnDecode { .. } | E::Decode(_) | E::AnyDriverError(_) => Self::corrupt("a row", error),
            E::Encode(_) => Self::Refused(error.into()),
            _ => Self::Database(error.into()),
        }
    }
}

fn kind(error: &dyn DatabaseError) -> Kind {
    if error.try_downcast_ref::<SqliteError>().is_some() {
        sqlite(error.code().and_then(|code| code.parse().ok()))
    } else if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
        postgres(error.code())
    } else if let Some(error) = error.try_downcast_ref::<MySqlDatabaseError>() {
        mysql(error.number(), error.code())
    } else {
        Kind::Fault
    }
}

/// The result codes of SQLite.
fn sqlite(code: Option<i32>) -> Kind {
    // The low byte is the kind, the rest its detail.
    match code.map(|code| code & 0xff) {
        // BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN.
        Some(5..=10 | 13 | 14) => Kind::Unavailable,
        // TOOBIG, CONSTRAINT, MISMATCH.
        Some(18..=20) => Kind::Refused,
        _ => Kind::Fault,
    }
}

/// The SQLSTATEs of Postgres: two characters for the class, three for the case.
fn postgres(state: &str) -> Kind {
    match (state.get(..2).unwrap_or_default(), state) {
        // serialization_failure, deadlock_detected.
        (_, "40001" | "40P01") => Kind::Conflict,
        // lock_not_available, query_canceled, read_only_sql_transaction (a standby), invalid_catalog_name.
        // And a transaction or a statement that the server has given up while this program stood still.
        (_, "55P03" | "57014" | "25006" | "3D000" | "25P03" | "26000") => Kind::Unavailable,
        // Connections, resources (the disk, memory, connections), an operator's shutdown, the system, authorization.
        ("08" | "53" | "57" | "58" | "28", _) => Kind::Unavailable,
        // Data, integrity, limits of the program, such as the length of what an index holds.
        ("22" | "23" | "54", _) => Kind::Refused,
        _ => Kind::Fault,
    }
}

/// The error numbers of MySQL and MariaDB, because most share one SQLSTATE.
fn mysql(number: u16, state: Option<&str>) -> Kind {
    match number {
        // A lock was waited for too long, a deadlock.
        1205 | 1213 => Kind::Conflict,
        // Out of disk, memory, connections or threads; shutdown; access and database; blocked hosts; the network;
        // a full table; read-only; interrupted; killed; the server went away; a file that cannot be written, a storage
        // engine without room, a node of a cluster that is not ready.
        1021
        | 1026
        | 1030
        | 1037
        | 1038
        | 1040
        | 1041
        | 1044
        | 1045
        | 1047
        | 1049
        | 1053
        | 1114
        | 1129
        | 1130
        | 1135
        | 1152
        | 1158..=1161
        | 1203
        | 1226
        | 1290
        | 1317
        | 1792
        | 1836
        | 1927
        | 2006
        | 2013
        | 3024 => Kind::Unavailable,
        // A packet or a row that is too large.
        1118 | 1153 => Kind::Refused,
        _ => match state.and_then(|state| state.get(..2)) {
            Some("22" | "23") => Kind::Refused,
            _ => Kind::Fault,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a proxy says whose database is away is no answer of the database.
    #[test]
    fn a_connection_that_makes_no_sense_is_a_database_that_is_away() {
        let error = Error::from(sqlx::Error::Protocol("unexpected response from SSLRequest: 0x00".into()));
        assert!(error.is_unavailable() && !is_conflict(&error), "{error:?}");
    }

    #[test]
    fn every_database_says_it_its_own_way() {
        assert_eq!(sqlite(Some(5 | 2 << 8)), Kind::Unavailable);
        assert_eq!(sqlite(Some(19 | 6 << 8)), Kind::Refused);
        assert_eq!((sqlite(Some(1)), sqlite(None)), (Kind::Fault, Kind::Fault));
        for (state, means) in [
            ("40P01", Kind::Conflict),
            ("57P01", Kind::Unavailable),
            ("53100", Kind::Unavailable),
            ("25006", Kind::Unavailable),
            ("25P03", Kind::Unavailable),
            ("23505", Kind::Refused),
            ("54000", Kind::Refused),
            ("22021", Kind::Refused),
            ("42P01", Kind::Fault),
            ("", Kind::Fault),
        ] {
            assert_eq!(postgres(state), means, "{state}");
        }
        for (number, state, means) in [
            (1213, "40001", Kind::Conflict),
            (1040, "08004", Kind::Unavailable),
            (1927, "70100", Kind::Unavailable),
            (1030, "HY000", Kind::Unavailable),
            (1406, "22001", Kind::Refused),
            (1062, "23000", Kind::Refused),
            (1153, "08S01", Kind::Refused),
            (1146, "42S02", Kind::Fault),
        ] {
            assert_eq!(mysql(number, Some(state)), means, "{number}");
        }
    }
}
