//! `DB_URL`: which database, where.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sqlx::any::AnyConnectOptions;

use super::dialect::Dialect;
use crate::{Error, Result};

/// What a `DB_URL` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The file of a SQLite database.
    Sqlite(PathBuf),
    /// A database at the other end of a connection.
    Server(Server),
}

/// A database that a server keeps.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Server {
    /// Which kind.
    pub(super) dialect: Dialect,
    /// The driver's URL, which may hold a password.
    pub(super) url: String,
    /// The same for a person to read: no user, no password, no options.
    pub(super) shown: String,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.shown).finish()
    }
}

impl Target {
    /// Reads
    ///
    /// * `sqlite3:///absolute/path`, `sqlite3://relative/path`, and the same with `sqlite`;
    /// * `postgres://user:password@host:5432/database?sslmode=disable`, and the same with `postgresql`;
    /// * `mysql://user:password@host:3306/database`, `mysql://user:password@tcp(host:3306)/database` as Fn documents it,
    ///   and both with `mariadb`.
    ///
    /// No message repeats more of the URL than its scheme: the rest may hold a password.
    pub(super) fn parse(url: &str) -> Result<Self> {
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(Error::Config("bad DB URL: expected the form sqlite3:///path/to/file.db".to_owned()));
        };
        match scheme {
            "sqlite3" | "sqlite" => sqlite_path(rest).map(Self::Sqlite),
            "postgres" | "postgresql" => server(Dialect::Postgres, postgres_url(rest)?).map(Self::Server),
            "mysql" | "mariadb" => server(Dialect::MySql, mysql_url(rest)).map(Self::Server),
            other => Err(Error::Config(format!("db type not supported {other}"))),
        }
    }
}

fn bad<T>(why: &str) -> Result<T> {
    Err(Error::Config(format!("bad DB URL: {why}")))
}

fn server(dialect: Dialect, url: String) -> Result<Server> {
    let Ok(options) = AnyConnectOptions::from_str(&url) else {
        return bad("expected the form scheme://user:password@host:port/database, with %-escapes where needed");
    };
    let parsed = &options.database_url;
    let Some(host) = parsed.host_str().filter(|host| !host.is_empty()) else {
        return bad("it names no host");
    };
    let database = parsed.path().trim_start_matches('/');
    if database.is_empty() || database.contains('/') {
        return bad("it names no database");
    }
    let port = parsed.port().map(|port| format!(":{port}")).unwrap_or_default();
    let shown = format!("{}://{host}{port}/{database}", parsed.scheme());
    Ok(Server { dialect, shown, url })
}

/// The URL for the driver, which logs names and values of options that it does not know: they could be secrets whose
/// name is misspelt. What only says how long to wait for a connection is dropped: that is bounded here anyway.
fn postgres_url(rest: &str) -> Result<String> {
    let Some((place, options)) = rest.split_once('?') else {
        return Ok(format!("postgres://{rest}"));
    };
    let name = |option: &str| option.split('=').next().unwrap_or_default().to_owned();
    let mut kept = Vec::new();
    for option in options.split('&').filter(|option| name(option) != "connect_timeout") {
        if !POSTGRES_OPTIONS.contains(&&*name(option)) {
            return bad(&format!("one of its options is none of {}", POSTGRES_OPTIONS.join(", ")));
        }
        kept.push(option);
    }
    let mark = if kept.is_empty() { "" } else { "?" };
    Ok(format!("postgres://{place}{mark}{}", kept.join("&")))
}

const POSTGRES_OPTIONS: [&str; 8] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "application_name",
    "options",
    "statement-cache-capacity",
];

/// The URL for the driver out of what may be a data source name of Go's MySQL driver: `tcp(host:port)` as the host, and
/// `tls`, which must not be ignored, as an option.
fn mysql_url(rest: &str) -> String {
    let rest = match rest.split_once("@tcp(").and_then(|(user, rest)| Some((user, rest.split_once(')')?))) {
        Some((user, (host, rest))) => format!("{user}@{host}{rest}"),
        None => rest.to_owned(),
    };
    let Some((place, options)) = rest.split_once('?') else {
        return format!("mysql://{rest}");
    };
    let options = options.split('&').map(|option| match option {
        "tls=true" => "ssl-mode=VERIFY_IDENTITY",
        "tls=skip-verify" => "ssl-mode=REQUIRED",
        "tls=preferred" => "ssl-mode=PREFERRED",
        "tls=false" => "ssl-mode=DISABLED",
        other => other,
    });
    format!("mysql://{place}?{}", options.collect::<Vec<_>>().join("&"))
}

fn sqlite_path(rest: &str) -> Result<PathBuf> {
    if rest.contains(['?', '#']) {
        return bad("a SQLite URL has no options; write ? as %3F and # as %23");
    }
    let Ok(path) = percent_decode_str(rest).decode_utf8() else {
        return bad("the path is not UTF-8");
    };
    if path.is_empty() || path.ends_with('/') || path.contains('\0') {
        return bad("the path names no file");
    }
    Ok(PathBuf::from(path.as_ref()))
}

/// Everything but letters, digits and `/._-~`, so that no character of a file name means anything in a URL.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'_').remove(b'-').remove(b'~');

/// The URL under which the driver opens, and if need be creates, the file at the absolute `path`.
pub(super) fn sqlite_url(path: &Path) -> Result<String> {
    sqlite_url_in_mode(path, "rwc")
}

/// The same, for a file that is there and stays as it is.
pub(super) fn sqlite_read_only_url(path: &Path) -> Result<String> {
    sqlite_url_in_mode(path, "ro")
}

fn sqlite_url_in_mode(path: &Path, mode: &str) -> Result<String> {
    let text = path.to_str().ok_or_else(|| Error::Config("the path of the database is not UTF-8".to_owned()))?;
    Ok(format!("sqlite://{}?mode={mode}", utf8_percent_encode(text, PATH)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_the_contract_name_files() {
        for (url, path) in [
            ("sqlite3:///abs/path.db", "/abs/path.db"),
            ("sqlite3://rel.db", "rel.db"),
            ("sqlite://data/hearth.db", "data/hearth.db"),
            ("sqlite:///with%20space%3F.db", "/with space?.db"),
        ] {
            assert_eq!(Target::parse(url).unwrap(), Target::Sqlite(PathBuf::from(path)), "{url}");
        }
    }

    fn server(url: &str) -> Server {
        match Target::parse(url).unwrap() {
            Target::Server(server) => server,
            other @ Target::Sqlite(_) => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_forms_of_the_contract_name_servers() {
        for (url, dialect, driver, shown) in [
            (
                "postgres://u:secret@h:5432/db?sslmode=disable",
                Dialect::Postgres,
                "postgres://u:secret@h:5432/db?sslmode=disable",
                "postgres://h:5432/db",
            ),
            (
                "postgres://u:secret@h/db?connect_timeout=10",
                Dialect::Postgres,
                "postgres://u:secret@h/db",
                "postgres://h/db",
            ),
            ("postgresql://u:secret@h/db", Dialect::Postgres, "postgres://u:secret@h/db", "postgres://h/db"),
            ("mysql://u:secret@h:3306/db", Dialect::MySql, "mysql://u:secret@h:3306/db", "mysql://h:3306/db"),
            ("mysql://u:secret@tcp(h:3306)/db", Dialect::MySql, "mysql://u:secret@h:3306/db", "mysql://h:3306/db"),
            (
                "mariadb://u:secret@tcp(h)/db?parseTime=true&tls=true",
                Dialect::MySql,
                "mysql://u:secret@h/db?parseTime=true&ssl-mode=VERIFY_IDENTITY",
                "mysql://h/db",
            ),
        ] {
            let server = server(url);
            assert_eq!((server.dialect, &*server.url, &*server.shown), (dialect, driver, shown));
            assert!(!format!("{server:?}").contains("secret"));
        }
    }

    #[test]
    fn other_urls_are_refused_in_one_line_without_secrets() {
        for (url, message) in [
            ("bolt:///x", "db type not supported bolt"),
            ("postgres://u:secret@h", "bad DB URL: it names no database"),
            ("postgres://u:secret@h/a/b", "bad DB URL: it names no database"),
            ("postgres:///db", "bad DB URL: it names no host"),
            (
                "mysql://u:secret@h:port/db",
                "bad DB URL: expected the form scheme://user:password@host:port/database, with %-escapes where needed",
            ),
            (
                "postgres://u@h/db?sslmode=require&pasword=secret",
                "bad DB URL: one of its options is none of sslmode, ssl-mode, sslrootcert, sslcert, sslkey, \
                 application_name, options, statement-cache-capacity",
            ),
            ("hearth.db", "bad DB URL: expected the form sqlite3:///path/to/file.db"),
            ("sqlite3://", "bad DB URL: the path names no file"),
            ("sqlite3:///data/", "bad DB URL: the path names no file"),
            ("sqlite3:///a.db?password=secret", "bad DB URL: a SQLite URL has no options; write ? as %3F and # as %23"),
            ("sqlite3:///%ff", "bad DB URL: the path is not UTF-8"),
        ] {
            assert_eq!(Target::parse(url).unwrap_err().to_string(), message, "{url}");
        }
    }

    #[test]
    fn no_character_of_a_file_name_means_anything_in_the_drivers_url() {
        assert_eq!(
            sqlite_url(Path::new("/a b/c?d#e%f:é.db")).unwrap(),
            "sqlite:///a%20b/c%3Fd%23e%25f%3A%C3%A9.db?mode=rwc"
        );
    }
}
