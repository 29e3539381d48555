//! What the databases say differently about the queue.

use sqlx::{SqlSafeStr, SqlStr};

use crate::sql::dialect::Dialect;

impl Dialect {
    /// A fixed statement in which `{ids}` stands for the ids in its last parameter, number `n`, a JSON array of texts.
    pub(super) fn with_ids(self, text: &str, n: usize) -> SqlStr {
        let ids = match self {
            Self::Sqlite => format!("SELECT value FROM json_each(${n})"),
        };
        self.built(text.replace("{ids}", &ids))
    }

    /// What ends a SELECT of rows that will be changed: rows that another transaction holds are left out.
    pub(super) const fn skip_locked(self) -> &'static str {
        match self {
            // There is one writer, and BEGIN IMMEDIATE made it this one.
            Self::Sqlite => "",
        }
    }

    /// What ends a SELECT of rows that will be changed: rows that another transaction holds are waited for.
    pub(super) const fn lock_rows(self) -> &'static str {
        match self {
            Self::Sqlite => "",
        }
    }

    /// Id, attempts and status of those calls in `$1`, a JSON array of `[app id, call id]`, that are stored.
    pub(in crate::sql) fn known_calls(self) -> SqlStr {
        match self {
            Self::Sqlite => "SELECT c.id, c.attempts, c.status FROM json_each($1) b \
                JOIN calls c ON c.app_id = b.value ->> 0 AND c.id = b.value ->> 1"
                .into_sql_str(),
        }
    }

    /// Inserts the entries in `$1`, a JSON array of `[call id, app id, state, tier, place]`, which are due at their place
    /// and were never leased.
    pub(super) fn insert_entries(self) -> SqlStr {
        match self {
            Self::Sqlite => "\
                INSERT INTO queue (call_id, app_id, state, tier, place, due_at, attempt) \
                SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 4, 0 \
                FROM json_each($1)"
                .into_sql_str(),
        }
    }

    /// Inserts the requests whose bodies lie end to end in the bytes `$1`, as the JSON array of `[call id, head, offset
    /// from 1, length]` in `$2` says.
    pub(super) fn insert_payloads(self) -> SqlStr {
        match self {
            // Of an empty parameter SQLite cuts NULL rather than nothing.
            Self::Sqlite => "\
                INSERT INTO payloads (body, call_id, head) \
                SELECT coalesce(substr($1, value ->> 2, value ->> 3), x''), value ->> 0, value ->> 1 \
                FROM json_each($2)"
                .into_sql_str(),
        }
    }
}
