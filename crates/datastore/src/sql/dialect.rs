//! Where the databases differ. Everything else in this module is said once, in SQL that all of them understand.
//!
//! Rules for that SQL: columns hold only BIGINT, SMALLINT, TEXT and BLOB; parameters are `$1`, `$2`, ... in the order
//! in which they stand, each used once, because MySQL knows only `?` and has them replaced; no
//! RETURNING; comparison of text is bytewise by the schema, never by the query.

use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
    /// MySQL and MariaDB, which speak one protocol and differ in nothing that is used here.
    MySql,
}

/// An index of the calls of an app, besides the primary key. All of them end in the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CallIndex {
    pub(super) of: Of,
    pub(super) by: By,
}

/// The calls of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    App,
    Path,
    Function,
}

/// What the calls are sorted by before they are by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Id,
    /// Without those that succeeded, where the database has partial indexes.
    Status,
    /// Without those that have none, where the database has partial indexes.
    Reason,
}

impl CallIndex {
    /// Its name. Calls of an app by id are in the order of the primary key, which has none.
    const fn name(self) -> Option<&'static str> {
        Some(match (self.of, self.by) {
            (Of::App, By::Id) => return None,
            (Of::App, By::Status) => "calls_by_status",
            (Of::App, By::Reason) => "calls_by_reason",
            (Of::Path, By::Id) => "calls_by_path",
            (Of::Path, By::Status) => "calls_by_path_and_status",
            (Of::Path, By::Reason) => "calls_by_path_and_reason",
            (Of::Function, By::Id) => "calls_by_function",
            (Of::Function, By::Status) => "calls_by_function_and_status",
            (Of::Function, By::Reason) => "calls_by_function_and_reason",
        })
    }
}

static SQLITE: Migrator = sqlx::migrate!("../../migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("../../migrations/postgres");
static MYSQL: Migrator = sqlx::migrate!("../../migrations/mysql");

impl Dialect {
    pub(super) fn migrations(self) -> &'static Migrator {
        match self {
            Self::Sqlite => &SQLITE,
            Self::Postgres => &POSTGRES,
            Self::MySql => &MYSQL,
        }
    }

    /// Begins a transaction that will write.
    pub(super) const fn begin(self) -> &'static str {
        match self {
            // Takes the write lock now: a transaction that read first and then cannot write would have to be repeated.
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres | Self::MySql => "BEGIN",
        }
    }

    /// A fixed statement.
    pub(super) fn sql(self, text: &'static str) -> SqlStr {
        match self {
            Self::Sqlite | Self::Postgres => text.into_sql_str(),
            Self::MySql => AssertSqlSafe(question_marks(text)).into_sql_str(),
        }
    }

    /// A statement put together from fixed pieces and placeholders. No value is ever part of `text`.
    pub(super) fn built(self, text: String) -> SqlStr {
        match self {
            Self::Sqlite | Self::Postgres => AssertSqlSafe(text).into_sql_str(),
            Self::MySql => AssertSqlSafe(question_marks(&text)).into_sql_str(),
        }
    }

    /// A fixed SELECT of a row that this transaction may change, and of those that hang on it. Where there is more than
    /// one writer the row is held; whoever only wants it to stay, like a group of records its apps, is let through.
    pub(super) fn locking(self, text: &'static str) -> SqlStr {
        match self {
            // There is one writer, and BEGIN IMMEDIATE made it this one.
            Self::Sqlite => text.into_sql_str(),
            Self::Postgres => self.built(format!("{text} FOR NO KEY UPDATE")),
            Self::MySql => self.built(format!("{text} FOR UPDATE")),
        }
    }

    /// The table of calls, to be walked through `index`.
    pub(super) fn calls_by(self, index: CallIndex) -> String {
        match (self, index.name()) {
            // Postgres keeps statistics by itself and takes no hints.
            (Self::Postgres, _) | (Self::Sqlite | Self::MySql, None) => "calls".to_owned(),
            // Without statistics SQLite believes that two bounds on the id leave less than any other condition.
            (Self::Sqlite, Some(name)) => format!("calls INDEXED BY {name}"),
            (Self::MySql, Some(name)) => format!("calls FORCE INDEX ({name})"),
        }
    }

    /// Which of the ids in `$1`, a JSON array of texts, are apps. They stay apps until the transaction ends. In order, so
    /// that two transactions that hold the same apps never wait for each other.
    pub(super) fn existing_apps(self) -> SqlStr {
        let text = match self {
            Self::Sqlite => "SELECT a.id FROM apps a JOIN json_each($1) j ON a.id = j.value",
            Self::Postgres => {
                "SELECT a.id FROM apps a WHERE a.id IN (SELECT value FROM json_array_elements_text($1::json)) \
                 ORDER BY a.id FOR KEY SHARE OF a"
            }
            Self::MySql => {
                "SELECT a.id FROM apps a JOIN JSON_TABLE(?, '$[*]' COLUMNS (id VARCHAR(26) PATH '$')) j \
                 ON a.id = j.id ORDER BY a.id LOCK IN SHARE MODE"
            }
        };
        text.into_sql_str()
    }
}

/// `$1`, `$2` and so on become `?`: they stand in order, each once. A `$` that no digit follows is left alone.
fn question_marks(text: &str) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        replaced.push_str(before);
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
        replaced.push(if rest.len() < after.len() { '?' } else { '$' });
    }
    replaced.push_str(rest);
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_become_question_marks() {
        let text = "a = $1 AND b IN (JSON_TABLE($2, '$[*]')) LIMIT $13";
        assert_eq!(question_marks(text), "a = ? AND b IN (JSON_TABLE(?, '$[*]')) LIMIT ?");
    }

    #[test]
    fn every_database_has_the_same_versions() {
        let versions =
            |dialect: Dialect| -> Vec<i64> { dialect.migrations().iter().map(|migration| migration.version).collect() };
        // Version 2 only changes how SQLite keeps its rows.
        let sqlite: Vec<i64> = versions(Dialect::Sqlite).into_iter().filter(|version| *version != 2).collect();
        assert_eq!(versions(Dialect::Postgres), sqlite);
        assert_eq!(versions(Dialect::MySql), sqlite);
    }
}
