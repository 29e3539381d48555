//! `DB_URL`: which database, where.

use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{Error, Result};

/// What a `DB_URL` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Sqlite(PathBuf),
}

impl Target {
    /// Reads `sqlite3:///absolute/path`, `sqlite3://relative/path`, and the same with `sqlite`.
    ///
    /// No message repeats more of the URL than its scheme: the rest may hold a password.
    pub(super) fn parse(url: &str) -> Result<Self> {
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(Error::Config("bad DB URL: expected the form sqlite3:///path/to/file.db".to_owned()));
        };
        match scheme {
            "sqlite3" | "sqlite" => sqlite_path(rest).map(Self::Sqlite),
            other => Err(Error::Config(format!("db type not supported {other}"))),
        }
    }
}

fn sqlite_path(rest: &str) -> Result<PathBuf> {
    let bad = |why: &str| Err(Error::Config(format!("bad DB URL: {why}")));
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
    let text = path.to_str().ok_or_else(|| Error::Config("the path of the database is not UTF-8".to_owned()))?;
    Ok(format!("sqlite://{}?mode=rwc", utf8_percent_encode(text, PATH)))
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

    #[test]
    fn other_urls_are_refused_in_one_line_without_secrets() {
        for (url, message) in [
            ("bolt:///x", "db type not supported bolt"),
            ("postgres://u:secret@h/db", "db type not supported postgres"),
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
