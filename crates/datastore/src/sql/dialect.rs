//! Where the databases differ. Everything else in this module is said once, in SQL that all of them understand.
//!
//! Rules for that SQL: columns hold only BIGINT, SMALLINT, TEXT and BLOB; parameters are `$1`, `$2`, ... in the order
//! in which they stand, each used once, so that a database that knows only `?` can be served by replacing them; no
//! RETURNING; comparison of text is bytewise by the schema, never by the query.

use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
}

/// The indexes of the calls of an app, besides the primary key. All of them end in the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallIndex {
    Path,
    /// Without those that succeeded.
    Status,
    /// Without those that have none.
    Reason,
}

static SQLITE: Migrator = sqlx::migrate!("../../migrations/sqlite");

impl Dialect {
    pub(super) fn migrations(self) -> &'static Migrator {
        match self {
            Self::Sqlite => &SQLITE,
        }
    }

    /// Begins a transaction that will write.
    pub(super) const fn begin(self) -> &'static str {
        match self {
            // Takes the write lock now: a transaction that read first and then cannot write would have to be repeated.
            Self::Sqlite => "BEGIN IMMEDIATE",
        }
    }

    /// A fixed statement.
    pub(super) fn sql(self, text: &'static str) -> SqlStr {
        match self {
            Self::Sqlite => text.into_sql_str(),
        }
    }

    /// A statement put together from fixed pieces and placeholders. No value is ever part of `text`.
    pub(super) fn built(self, text: String) -> SqlStr {
        match self {
            Self::Sqlite => AssertSqlSafe(text).into_sql_str(),
        }
    }

    /// A fixed SELECT whose rows must not change before the transaction ends.
    pub(super) fn locking(self, text: &'static str) -> SqlStr {
        match self {
            // There is one writer, and BEGIN IMMEDIATE made it this one.
            Self::Sqlite => text.into_sql_str(),
        }
    }

    /// The table of calls, to be walked through `index`.
    pub(super) const fn calls_by(self, index: Option<CallIndex>) -> &'static str {
        match (self, index) {
            // Without statistics SQLite believes that two bounds on the id leave less than any other condition.
            (Self::Sqlite, None) => "calls",
            (Self::Sqlite, Some(CallIndex::Path)) => "calls INDEXED BY calls_by_path",
            (Self::Sqlite, Some(CallIndex::Status)) => "calls INDEXED BY calls_by_status",
            (Self::Sqlite, Some(CallIndex::Reason)) => "calls INDEXED BY calls_by_reason",
        }
    }

    /// Which of the ids in `$1`, a JSON array of texts, are apps. They stay apps until the transaction ends.
    pub(super) fn existing_apps(self) -> SqlStr {
        match self {
            Self::Sqlite => "SELECT a.id FROM apps a JOIN json_each($1) j ON a.id = j.value".into_sql_str(),
        }
    }
}
