//! Opening: what `DB_URL` may name, what is refused, and that several servers may open one database at once.

use std::time::Duration;

use hearth_datastore::{Error, open};
use hearth_models::{App, Config, Page};
use sqlx::any::install_default_drivers;
use sqlx::{AnyConnection, Connection};
use tokio::net::TcpListener;

use crate::databases::Database;
use crate::make::{self, Stand};

/// Why `url` is refused: one line without secrets.
async fn refused(url: &str) -> String {
    let error = open(url).await.unwrap_err();
    assert!(matches!(error, Error::Config(_)), "{error:?}");
    let text = error.to_string();
    assert!(!text.contains('\n') && !text.contains("secret"), "{text}");
    text
}

async fn concurrent_starts_migrate_once(stand: Stand) {
    let start = async |name: &'static str| {
        let store = stand.open().await;
        store.insert_app(&App::new(name, Config::default()).unwrap()).await.unwrap();
        store.close().await;
    };
    tokio::join!(start("a"), start("b"), start("c"), start("d"), start("e"), start("f"));
    let store = open(&stand.url()).await.unwrap();
    assert_eq!(store.apps(&Page::default()).await.unwrap().len(), 6);
    store.close().await;
    stand.remove().await;
}

async fn a_database_of_a_newer_version_is_refused(stand: Stand, checksum: &str) {
    open(&stand.url()).await.unwrap().close().await;
    install_default_drivers();
    let mut raw = AnyConnection::connect(&stand.url().replace("sqlite3:", "sqlite:")).await.unwrap();
    let newer = format!(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'n', TRUE, {checksum}, 0)"
    );
    sqlx::query(sqlx::AssertSqlSafe(newer)).execute(&mut raw).await.unwrap();
    raw.close().await.unwrap();
    let text = refused(&stand.url()).await;
    assert!(text.contains("is from a newer version of Hearth: its schema is 9999, this program knows "), "{text}");
    stand.remove().await;
}

mod sqlite {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn concurrent_starts_migrate_once() {
        super::concurrent_starts_migrate_once(make::sqlite().await).await;
    }
}

mod postgres {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn concurrent_starts_migrate_once() {
        super::concurrent_starts_migrate_once(make::postgres().await).await;
    }

    #[tokio::test]
    async fn a_database_of_a_newer_version_is_refused() {
        super::a_database_of_a_newer_version_is_refused(make::postgres().await, "''").await;
    }

    #[tokio::test]
    async fn what_cannot_be_opened_is_refused_in_one_line() {
        let database = Database::postgres().await;
        what_cannot_be_opened(&database, "password authentication failed", "does not exist").await;
        database.remove().await;
    }
}

mod mariadb {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn concurrent_starts_migrate_once() {
        super::concurrent_starts_migrate_once(make::mariadb().await).await;
    }

    #[tokio::test]
    async fn a_database_of_a_newer_version_is_refused() {
        super::a_database_of_a_newer_version_is_refused(make::mariadb().await, "''").await;
    }

    #[tokio::test]
    async fn what_cannot_be_opened_is_refused_in_one_line() {
        let database = Database::mariadb().await;
        what_cannot_be_opened(&database, "Access denied", "Unknown database").await;
        database.remove().await;
    }
}

/// `denied` and `missing` are what the server says to a wrong password, and of a database that is not there.
async fn what_cannot_be_opened(database: &Database, denied: &str, missing: &str) {
    let url = database.url();
    let text = refused(&url.replace(":secret@", ":secret-but-wrong@")).await;
    assert!(text.starts_with("cannot open database ") && text.contains(denied), "{text}");
    let text = refused(&format!("{url}-not")).await;
    assert!(text.contains(missing), "{text}");

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (scheme, rest) = url.split_once("://").unwrap();
    let (_, place) = rest.split_once('@').unwrap();
    let (_, name) = place.split_once('/').unwrap();
    let elsewhere = format!("{scheme}://u:secret@{}/{name}", listener.local_addr().unwrap());
    // Connections wait in the listener's line; nobody ever answers.
    let text = tokio::time::timeout(Duration::from_secs(30), refused(&elsewhere)).await.unwrap();
    assert!(text.contains("it does not answer"), "{text}");
    drop(listener);
    let text = refused(&elsewhere).await;
    assert!(text.contains("Connection refused"), "{text}");
    let text = refused(&format!("{scheme}://u:secret@no-such-host.invalid/{name}")).await;
    assert!(text.starts_with(&format!("cannot open database {scheme}://no-such-host.invalid/{name}: ")), "{text}");
    let text = refused(&format!("{url}?ssl-mode=sometimes")).await;
    assert!(text.contains("sometimes"), "{text}");
}
