//! What the databases say differently about the queue.

use sqlx::{SqlSafeStr, SqlStr};

use crate::sql::dialect::Dialect;

impl Dialect {
    /// A fixed statement in which `{ids}` stands for the ids in its parameter number `n`, a JSON array of texts.
    pub(super) fn with_ids(self, text: &str, n: usize) -> SqlStr {
        let ids = match self {
            Self::Sqlite => format!("SELECT value FROM json_each(${n})"),
            Self::Postgres => format!("SELECT value FROM json_array_elements_text(${n}::json)"),
            Self::MySql => {
                format!("SELECT j.id FROM JSON_TABLE(${n}, '$[*]' COLUMNS (id VARCHAR(26) PATH '$')) j")
            }
        };
        let text = text.replace("{ids}", &ids);
        match self {
            Self::Sqlite | Self::Postgres => self.built(text),
            Self::MySql => self.built(of_two_tables(&text)),
        }
    }

    /// The time of the database's host in milliseconds, where that may be another host than this.
    pub(super) const fn clock(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"),
            Self::MySql => Some("SELECT CAST(unix_timestamp(sysdate(3)) * 1000 AS SIGNED)"),
        }
    }

    /// What ends a SELECT of rows that will be changed: rows that another transaction holds are left out.
    pub(super) const fn skip_locked(self) -> &'static str {
        match self {
            // There is one writer, and BEGIN IMMEDIATE made it this one.
            Self::Sqlite => "",
            Self::Postgres | Self::MySql => " FOR UPDATE SKIP LOCKED",
        }
    }

    /// What ends a SELECT of rows that will be changed: rows that another transaction holds are waited for.
    pub(super) const fn lock_rows(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres | Self::MySql => " FOR UPDATE",
        }
    }

    /// Id, attempts and status of those calls in `$1`, a JSON array of `[app id, call id]`, that are stored.
    pub(in crate::sql) fn known_calls(self) -> SqlStr {
        let text = match self {
            Self::Sqlite => {
                "SELECT c.id, c.attempts, c.status FROM json_each($1) b \
                 JOIN calls c ON c.app_id = b.value ->> 0 AND c.id = b.value ->> 1"
            }
            Self::Postgres => {
                "SELECT c.id, c.attempts, c.status FROM jsonb_array_elements($1::jsonb) AS j (b) \
                 JOIN calls c ON c.app_id = b ->> 0 AND c.id = b ->> 1"
            }
            Self::MySql => {
                "SELECT c.id, c.attempts, c.status FROM JSON_TABLE(?, '$[*]' COLUMNS ( \
                     app_id VARCHAR(26) PATH '$[0]', id VARCHAR(26) PATH '$[1]')) b \
                 JOIN calls c ON c.app_id = b.app_id AND c.id = b.id"
            }
        };
        text.into_sql_str()
    }

    /// Inserts the entries in `$1`, a JSON array of `[call id, app id, state, tier, place, function id]`, which are due at
    /// their place and were never leased.
    pub(super) fn insert_entries(self) -> SqlStr {
        let text = match self {
            Self::Sqlite => {
                "INSERT INTO queue (call_id, app_id, state, tier, place, due_at, attempt, fn_id) \
                 SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 4, 0, value ->> 5 \
                 FROM json_each($1)"
            }
            Self::Postgres => {
                "INSERT INTO queue (call_id, app_id, state, tier, place, due_at, attempt, fn_id) \
                 SELECT e ->> 0, e ->> 1, (e ->> 2)::smallint, (e ->> 3)::smallint, (e ->> 4)::bigint, \
                     (e ->> 4)::bigint, 0, e ->> 5 \
                 FROM jsonb_array_elements($1::jsonb) AS j (e)"
            }
            Self::MySql => {
                "INSERT INTO queue (call_id, app_id, state, tier, place, due_at, attempt, fn_id) \
                 SELECT e.call_id, e.app_id, e.state, e.tier, e.place, e.place, 0, e.fn_id \
                 FROM JSON_TABLE(?, '$[*]' COLUMNS ( \
                     call_id VARCHAR(26) PATH '$[0]', app_id VARCHAR(26) PATH '$[1]', state SMALLINT PATH '$[2]', \
                     tier SMALLINT PATH '$[3]', place BIGINT PATH '$[4]', fn_id VARCHAR(26) PATH '$[5]')) e"
            }
        };
        text.into_sql_str()
    }

    /// Inserts the requests whose bodies lie end to end in the bytes `$1`, as the JSON array of `[call id, head, offset
    /// from 1, length]` in `$2` says.
    pub(super) fn insert_payloads(self) -> SqlStr {
        let text = match self {
            // Of an empty parameter SQLite cuts NULL rather than nothing.
            Self::Sqlite => {
                "INSERT INTO payloads (body, call_id, head) \
                 SELECT coalesce(substr($1, value ->> 2, value ->> 3), x''), value ->> 0, value ->> 1 \
                 FROM json_each($2)"
            }
            Self::Postgres => {
                "INSERT INTO payloads (body, call_id, head) \
                 SELECT substring($1::bytea FROM (p ->> 2)::integer FOR (p ->> 3)::integer), p ->> 0, p ->> 1 \
                 FROM jsonb_array_elements($2::jsonb) AS j (p)"
            }
            Self::MySql => {
                "INSERT INTO payloads (body, call_id, head) \
                 SELECT substring(b.data, p.start, p.length), p.call_id, p.head \
                 FROM (SELECT ? AS data) b JOIN JSON_TABLE(?, '$[*]' COLUMNS ( \
                     call_id VARCHAR(26) PATH '$[0]', head MEDIUMTEXT PATH '$[1]', \
                     start BIGINT PATH '$[2]', length BIGINT PATH '$[3]')) p"
            }
        };
        text.into_sql_str()
    }
}

/// Joins what is changed with a table of one row. MariaDB before 11.1 walks the whole of a table that an UPDATE or DELETE
/// changes by `IN (SELECT ...)`, unless there is a second table.
fn of_two_tables(text: &str) -> String {
    const ONE: &str = ", (SELECT 1) one";
    if let Some((table, rest)) = text.strip_prefix("UPDATE ").and_then(|text| text.split_once(' ')) {
        format!("UPDATE {table}{ONE} {rest}")
    } else if let Some((table, rest)) = text.strip_prefix("DELETE FROM ").and_then(|text| text.split_once(' ')) {
        format!("DELETE {table} FROM {table}{ONE} {rest}")
    } else {
        text.to_owned()
    }
}
