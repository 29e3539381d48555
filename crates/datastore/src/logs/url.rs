//! `LOGSTORE_URL`: what kind of store, where.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use crate::{Error, Result};

/// What a `LOGSTORE_URL` names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Another database, for its own reader to read.
    Database,
    Directory(PathBuf),
    S3(Bucket),
}

/// A bucket and who may use it.
#[derive(PartialEq, Eq)]
pub(super) struct Bucket {
    pub(super) access_key: String,
    pub(super) secret_key: String,
    /// Scheme, host and port.
    pub(super) endpoint: String,
    pub(super) region: String,
    pub(super) name: String,
}

/// Without the secret.
impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{} in {}", self.endpoint, self.name, self.region)
    }
}

/// Reads the forms that [`open_logs`](super::open_logs) describes.
///
/// No message repeats more of the URL than its scheme: the rest may hold a password.
pub(super) fn parse(url: &str) -> Result<Target> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(bad("expected a form like file:///path/to/directory"));
    };
    match scheme {
        "file" => directory(rest).map(Target::Directory),
        "s3" => bucket(rest).map(Target::S3),
        _ => Ok(Target::Database),
    }
}

fn directory(rest: &str) -> Result<PathBuf> {
    if rest.contains(['?', '#']) {
        return Err(bad("a directory has no options; write ? as %3F and # as %23"));
    }
    let path = decoded(rest, "the path is not UTF-8")?;
    if path.is_empty() || path.contains('\0') {
        return Err(bad("the path names no directory"));
    }
    std::path::absolute(path).map_err(|_| bad("the path names no directory"))
}

/// The form of the Fn Project (v1 contract B.7.5), with its messages.
fn bucket(rest: &str) -> Result<Bucket> {
    const EXAMPLE: &str = "e.g. s3://s3.com/us-east-1/my_bucket";
    let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
    let ssl = match options {
        "ssl=true" => true,
        "" | "ssl=false" => false,
        _ => return Err(bad("the only option of an S3 URL is ssl=true or ssl=false")),
    };
    // Secrets may hold a slash, hosts, regions and buckets no @.
    let Some(((access_key, secret_key), place)) =
        rest.rsplit_once('@').and_then(|(keys, place)| Some((keys.split_once(':')?, place)))
    else {
        return Err(bad("an S3 URL begins with s3://access_key:secret@host"));
    };
    let mut parts = place.trim_end_matches('/').splitn(3, '/');
    let (host, region, name) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    let Some(region) = region else {
        return Err(Error::Config(format!("must provide bucket name and region in path of s3 api url. {EXAMPLE}")));
    };
    if region.is_empty() {
        return Err(Error::Config(format!("must provide non-empty location in path of s3 api url. {EXAMPLE}")));
    }
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return Err(Error::Config(format!("must provide non-empty bucket name in path of s3 api url. {EXAMPLE}")));
    };
    if host.is_empty() || access_key.is_empty() || secret_key.is_empty() {
        return Err(bad("host, access key and secret of an S3 URL must not be empty"));
    }
    let word = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !word(region) || !word(name) {
        return Err(bad("region and bucket have letters, digits, dots, dashes and underscores only"));
    }
    Ok(Bucket {
        access_key: decoded(access_key, "the access key is not UTF-8")?,
        secret_key: decoded(secret_key, "the secret is not UTF-8")?,
        endpoint: format!("{}://{host}", if ssl { "https" } else { "http" }),
        region: region.to_owned(),
        name: name.to_owned(),
    })
}

fn decoded(text: &str, otherwise: &str) -> Result<String> {
    percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| bad(otherwise))
}

fn bad(why: &str) -> Error {
    Error::Config(format!("bad log store URL: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_name_places() {
        for url in ["sqlite3:///x.db", "postgres://u@h/d", "mysql://u@h/d"] {
            assert_eq!(parse(url).unwrap(), Target::Database, "{url}");
        }
        assert_eq!(parse("file:///var/log/a%20b").unwrap(), Target::Directory("/var/log/a b".into()));
        assert!(
            matches!(parse("file://logs").unwrap(), Target::Directory(path) if path.is_absolute() && path.ends_with("logs"))
        );
        let Target::S3(bucket) = parse("s3://AKIA:se/c%2Bret%40@minio:9000/us-east-1/my_bucket?ssl=true").unwrap()
        else {
            panic!("no bucket");
        };
        assert_eq!((&*bucket.access_key, &*bucket.secret_key), ("AKIA", "se/c+ret@"));
        assert_eq!(format!("{bucket:?}"), "https://minio:9000/my_bucket in us-east-1");
        let Target::S3(plain) = parse("s3://a:b@h/eu/b/").unwrap() else { panic!("no bucket") };
        assert_eq!(plain.endpoint, "http://h");
    }

    #[test]
    fn other_forms_are_refused_in_one_line_without_secrets() {
        for (url, message) in [
            ("logs", "bad log store URL: expected a form like file:///path/to/directory"),
            ("file://", "bad log store URL: the path names no directory"),
            ("file:///a?secret", "bad log store URL: a directory has no options; write ? as %3F and # as %23"),
            (
                "s3://k:secret@h",
                "must provide bucket name and region in path of s3 api url. e.g. s3://s3.com/us-east-1/my_bucket",
            ),
            (
                "s3://k:secret@h//b",
                "must provide non-empty location in path of s3 api url. e.g. s3://s3.com/us-east-1/my_bucket",
            ),
            (
                "s3://k:secret@h/r",
                "must provide non-empty bucket name in path of s3 api url. e.g. s3://s3.com/us-east-1/my_bucket",
            ),
            ("s3://h/r/b", "bad log store URL: an S3 URL begins with s3://access_key:secret@host"),
            ("s3://:secret@h/r/b", "bad log store URL: host, access key and secret of an S3 URL must not be empty"),
            ("s3://k:secret@h/r/b?tls=1", "bad log store URL: the only option of an S3 URL is ssl=true or ssl=false"),
            (
                "s3://k:secret@h/r/a/b",
                "bad log store URL: region and bucket have letters, digits, dots, dashes and underscores only",
            ),
        ] {
            assert_eq!(parse(url).unwrap_err().to_string(), message, "{url}");
        }
    }
}
