//! What only SQLite has: a file, its URL, its lock.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use hearth_datastore::{Error, Inspected, inspect, open};
use hearth_models::{App, Config};
use sqlx::{Connection, Executor, SqliteConnection};
use tempfile::TempDir;
use tokio::task::JoinSet;

fn url(directory: &TempDir, file: &str) -> String {
    format!("sqlite3://{}/{file}", directory.path().display())
}

async fn refused(url: &str) -> String {
    let error = open(url).await.unwrap_err();
    assert!(matches!(error, Error::Config(_)), "{error:?}");
    let text = error.to_string();
    assert!(!text.contains('\n'), "{text}");
    text
}

async fn raw(directory: &TempDir, file: &str) -> SqliteConnection {
    let path = directory.path().join(file);
    SqliteConnection::connect(&format!("sqlite://{}?mode=rwc", path.display())).await.unwrap()
}

#[tokio::test]
async fn a_store_keeps_its_data_and_makes_its_directories() {
    let directory = tempfile::tempdir().unwrap();
    let url = url(&directory, "a/b c/%3F%25é.db");
    for n in 0..3 {
        let store = open(&url).await.unwrap();
        let name = format!("app-{n}");
        store.insert_app(&App::new(name, Config::default()).unwrap()).await.unwrap();
        assert_eq!(store.apps(&Default::default()).await.unwrap().len(), n + 1);
        store.close().await;
        let closed = store.app("app-0").await.unwrap_err();
        assert!(closed.is_unavailable(), "{closed:?}");
    }
    assert!(directory.path().join("a/b c/?%é.db").exists());
    assert!(!directory.path().join("a/b c/?%é.db-wal").exists(), "closed cleanly");
}

#[tokio::test]
async fn what_cannot_be_opened_is_refused_in_one_line() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), "not a database, but longer than a header".repeat(30)).unwrap();
    std::fs::create_dir(directory.path().join("directory")).unwrap();
    let text = refused(&url(&directory, "file/x.db")).await;
    assert!(text.starts_with("cannot use ") && text.contains("file"), "{text}");
    let text = refused(&url(&directory, "directory")).await;
    assert!(text.contains("unable to open database file"), "{text}");
    let text = refused(&url(&directory, "file")).await;
    assert!(text.contains("file is not a database"), "{text}");
    assert_eq!(refused("bolt:///x").await, "db type not supported bolt");
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    open(&url(&directory, "x.db")).await.unwrap().close().await;
    let mut raw = raw(&directory, "x.db").await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'n', 1, x'00', 0)";
    raw.execute(newer).await.unwrap();
    let text = refused(&url(&directory, "x.db")).await;
    assert!(text.contains("is from a newer version of Hearth: its schema is 9999, this program knows "), "{text}");
}

#[tokio::test]
async fn another_programs_database_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    raw(&directory, "x.db").await.execute("CREATE TABLE apps (name TEXT)").await.unwrap();
    let text = refused(&url(&directory, "x.db")).await;
    assert!(text.starts_with("cannot prepare database") && text.contains("apps already exists"), "{text}");
}

#[tokio::test]
async fn a_locked_file_lets_readers_read_and_writers_wait() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&url(&directory, "x.db")).await.unwrap();
    let app = |name: &str| App::new(name, Config::default()).unwrap();
    store.insert_app(&app("before")).await.unwrap();
    let mut other = raw(&directory, "x.db").await;

    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let mut tasks = JoinSet::new();
    let (writer, waits) = (store.clone(), app("waits"));
    tasks.spawn(async move { writer.insert_app(&waits).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(store.app("before").await.unwrap().name, "before");
    assert_eq!(store.apps(&Default::default()).await.unwrap().len(), 1);
    other.execute("COMMIT").await.unwrap();
    tasks.join_next().await.unwrap().unwrap().unwrap();

    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let locked = store.insert_app(&app("locked")).await.unwrap_err();
    assert!(locked.is_unavailable(), "{}", locked.chain());
    assert!(locked.chain().contains("database is locked"), "{}", locked.chain());
    other.execute("COMMIT").await.unwrap();
    store.insert_app(&app("locked")).await.unwrap();
}

#[tokio::test]
async fn a_value_that_cannot_be_read_is_reported_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&url(&directory, "x.db")).await.unwrap();
    let app = App::new("app", Config::default()).unwrap();
    store.insert_app(&app).await.unwrap();
    let mut raw = raw(&directory, "x.db").await;
    raw.execute("UPDATE apps SET config = '{'").await.unwrap();
    let error = store.app("app").await.unwrap_err();
    let place = format!("stored value is corrupt: column config in the row of {}", app.id);
    assert_eq!(error.to_string(), place);
    assert!(!error.is_unavailable());
}

#[tokio::test]
async fn an_inspection_tells_what_opening_would_find_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let url = url(&directory, "new/store.db");
    assert_eq!(inspect(&url).await.unwrap(), Inspected::New);
    assert!(!directory.path().join("new").exists());
    open(&url).await.unwrap().close().await;
    let Inspected::Schema { found, known } = inspect(&url).await.unwrap() else { panic!("it has our schema") };
    assert!(found == known && found > 0, "{found} {known}");
    std::fs::write(directory.path().join("text"), "no database, but longer than nothing").unwrap();
    let error = inspect(&format!("sqlite3://{}/text/x.db", directory.path().display())).await.unwrap_err();
    assert!(matches!(error, Error::Config(_)), "{error:?}");
    let mut foreign = raw(&directory, "foreign.db").await;
    foreign.execute("CREATE TABLE t (x)").await.unwrap();
    let foreign = format!("sqlite3://{}/foreign.db", directory.path().display());
    assert_eq!(inspect(&foreign).await.unwrap(), Inspected::New);
}
