//! The URLs that choose stores. What is not built yet is refused here, in words that say so, before anything starts.
//! No message repeats more of a URL than its scheme: the rest may hold a password.

use std::sync::Arc;

use hearth_queue::{Broker, BrokerError, MemoryBroker, RedisBroker};

/// Checks `DB_URL`. The rest of it is the store's to read.
pub(super) fn database(url: &str) -> Result<String, String> {
    match scheme(url) {
        "sqlite" | "sqlite3" | "postgres" | "postgresql" | "mysql" | "mariadb" => Ok(url.trim().to_owned()),
        other => Err(format!("db type not supported {other}")),
    }
}

/// Checks `LOGSTORE_URL`. The rest of it is the store's to read. Nothing when it is the database's.
pub(super) fn logs(url: &str, database: &str) -> Result<Option<String>, String> {
    match scheme(url) {
        _ if url.trim() == database => Ok(None),
        "sqlite" | "sqlite3" | "postgres" | "postgresql" | "mysql" | "mariadb" | "file" | "s3" => {
            Ok(Some(url.trim().to_owned()))
        }
        other => Err(format!("db type not supported {other}")),
    }
}

/// Where the order of queued calls is kept. The calls themselves are always in the database.
#[derive(Clone, Debug, Default)]
pub(crate) enum QueueAt {
    /// In the database too.
    #[default]
    Database,
    /// In this process.
    Memory,
    /// In the Redis server of this URL.
    Redis(String),
}

impl QueueAt {
    /// The broker for the database of this identity, unless that keeps the order itself.
    ///
    /// # Errors
    /// Redis cannot be reached.
    pub(crate) async fn connect(&self, identity: &str) -> Result<Option<Arc<dyn Broker>>, BrokerError> {
        Ok(match self {
            Self::Database => None,
            Self::Memory => Some(Arc::new(MemoryBroker::default())),
            Self::Redis(url) => Some(Arc::new(RedisBroker::connect(url, identity).await?)),
        })
    }
}

/// Reads `MQ_URL`: the default, the database itself, has no URL.
pub(super) fn queue(url: &str) -> Result<QueueAt, String> {
    match scheme(url) {
        "memory" => Ok(QueueAt::Memory),
        "redis" | "redis+unix" => Ok(QueueAt::Redis(url.trim().to_owned())),
        "bolt" => Err("bolt is not supported; the queue is kept in the database, which is what you get when this \
            setting is left out"
            .to_owned()),
        other => Err(format!("mq type not supported {other}")),
    }
}

fn scheme(url: &str) -> &str {
    url.trim().split_once("://").map_or("(no scheme)", |(scheme, _)| scheme)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_built_is_refused_in_so_many_words() {
        assert_eq!(database(" sqlite3://a.db "), Ok("sqlite3://a.db".into()));
        assert_eq!(database("postgres://u:p@h/d"), Ok("postgres://u:p@h/d".into()));
        assert_eq!(database("bolt:///x"), Err("db type not supported bolt".into()));
        assert_eq!(database("/just/a/path"), Err("db type not supported (no scheme)".into()));
        assert_eq!(logs("sqlite3://a.db", "sqlite3://a.db"), Ok(None));
        for url in ["sqlite3://b.db", "postgres://u:secret@h/d", "mysql://h/d", "file:///logs", "s3://k:secret@h/r/b"] {
            assert_eq!(logs(url, "sqlite3://a.db"), Ok(Some(url.into())));
        }
        assert_eq!(logs("x://", ""), Err("db type not supported x".into()));
        assert!(queue("bolt:///data/mq.db").unwrap_err().contains("kept in the database"));
        assert_eq!(queue("kafka://h").unwrap_err(), "mq type not supported kafka");
        assert!(matches!(queue(" redis://h/ "), Ok(QueueAt::Redis(url)) if url == "redis://h/"));
        assert!(matches!(queue("memory://"), Ok(QueueAt::Memory)));
    }

    #[test]
    fn no_refusal_repeats_a_password() {
        for url in ["oracle://u:secret@h/d", "s3://k:secret@h/r/b", "redis://:secret@h", "x://secret"] {
            for refusal in [database(url).err(), logs(url, "").err(), queue(url).err()] {
                assert!(!refusal.unwrap_or_default().contains("secret"), "{url}");
            }
        }
    }
}
