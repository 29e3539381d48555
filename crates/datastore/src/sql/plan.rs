//! No statement of the API or of the background may walk a whole table: each is explained and looked at.

use hearth_models::v2::TriggerCursor;
use hearth_models::{AppId, CallFilter, FnId, Page, PerPage, Reason, Status, Timestamp, TriggerId};
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use super::dialect::Dialect;
use super::open::open_sqlite;
use super::{SqlStore, apps, calls, catalog, functions, history, logs, queue, routes};
use crate::{FunctionFilter, TriggerFilter};

/// The steps of SQLite's plan for a statement.
async fn plan(on: &mut AnyConnection, sql: &str) -> Vec<String> {
    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
    let rows = sqlx::query(explain).fetch_all(on).await.unwrap();
    rows.iter().map(|row| row.get(3)).collect()
}

async fn store() -> (SqlStore, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let store = open_sqlite(&directory.path().join("plan.db")).await.unwrap();
    (store, directory)
}

/// Walks a whole table, or sorts what an index could have had in order.
fn is_slow(step: &str) -> bool {
    // Two indexes of the queue hold only what is looked for, and are read from their beginning until there is enough.
    let from_the_front = step.ends_with("USING INDEX queue_in_order") || step.ends_with("USING INDEX queue_by_time");
    let harmless = step.contains("VIRTUAL TABLE") || step == "SCAN b" || from_the_front;
    (step.starts_with("SCAN") && !harmless) || step.contains("USE TEMP B-TREE FOR ORDER BY")
}

#[tokio::test]
async fn every_statement_has_its_index() {
    let (store, _directory) = store().await;
    let mut on = store.read().await.unwrap();
    let apps_of_a_group = Dialect::Sqlite.existing_apps();
    for sql in [
        apps::BY_NAME,
        apps::BY_ID,
        apps::PAGE,
        routes::FIND,
        routes::LIST,
        routes::LIST_OF_IMAGE,
        routes::RESOLVE,
        functions::NAMES,
        functions::DELETE_UNUSED,
        catalog::RESOLVE,
        catalog::FIRST_SOURCE,
        catalog::OF_SOURCE,
        catalog::OF_NAME,
        catalog::OF_FUNCTION,
        catalog::DELETE_OF_FUNCTION,
        calls::GET,
        calls::INTERRUPT,
        logs::GET,
        logs::IS_EMPTY,
        logs::REMOVE,
        history::NTH_OLDEST,
        &history::count(Dialect::Sqlite),
        history::ENDED,
        history::REMOVE_ENDED,
        history::REMOVE_THEIR_LOGS,
        history::PURGE_CALLS,
        history::PURGE_LOGS,
        apps_of_a_group.as_str(),
    ] {
        let steps = plan(&mut on, sql).await;
        assert!(!steps.is_empty() && !steps.iter().any(|step| is_slow(step)), "{sql}\n{steps:#?}");
    }
}

#[tokio::test]
async fn every_statement_of_the_queue_has_its_index() {
    let (store, _directory) = store().await;
    let mut on = store.read().await.unwrap();
    for text in [
        queue::READY,
        queue::READY_EXCEPT,
        queue::TAKE,
        queue::RUN,
        queue::READ,
        queue::HELD,
        queue::END,
        queue::DUE,
        queue::NEXT_DUE,
        queue::DEAD,
        queue::WAITING,
        queue::OLDEST,
        history::ENTRIES,
        history::DEAD,
        Dialect::Sqlite.known_calls().as_str(),
    ] {
        let sql = text.replace("{ids}", "SELECT value FROM json_each($9)");
        let steps = plan(&mut on, &sql).await;
        assert!(!steps.is_empty() && !steps.iter().any(|step| is_slow(step)), "{sql}\n{steps:#?}");
    }
}

/// Every combination of filters.
fn filters() -> impl Iterator<Item = CallFilter> {
    let time = Timestamp::from_millis(1_795_287_584_890);
    let statuses = [None, Some(Status::Success), Some(Status::Error)];
    statuses.into_iter().flat_map(move |status| {
        (0..64u8).map(move |bits| {
            let has = |bit: u8| bits & bit != 0;
            CallFilter {
                status,
                path: has(1).then(|| "/a".to_owned()),
                from_time: has(2).then_some(time),
                to_time: has(4).then_some(time),
                reason: has(8).then_some(Reason::Killed),
                fn_id: has(32).then(FnId::generate),
                cursor: has(16).then(|| "0".to_owned()),
                ..CallFilter::default()
            }
        })
    })
}

#[tokio::test]
async fn every_list_of_calls_has_its_index() {
    let (store, _directory) = store().await;
    let mut on = store.read().await.unwrap();
    for filter in filters() {
        let of = match (filter.fn_id, &filter.path) {
            (Some(_), _) => "INDEX calls_by_function",
            (None, Some(_)) => "INDEX calls_by_path",
            (None, None) => "INDEX calls_by",
        };
        let index = match (filter.reason, filter.status) {
            (Some(_), _) => format!("{of}_and_reason"),
            (None, Some(Status::Error)) => format!("{of}_and_status"),
            _ => of.to_owned(),
        };
        let index = match &*index {
            "INDEX calls_by" => "PRIMARY KEY".to_owned(),
            name => name.replace("by_and_", "by_"),
        };
        let (sql, _) = calls::list(Dialect::Sqlite, AppId::generate(), &filter, 0).unwrap();
        let steps = plan(&mut on, &sql).await;
        // `make bench-store` shows them.
        println!("{sql}\n    {}", steps.join("\n    "));
        assert_eq!(steps.len(), 1, "{filter:?}\n{steps:#?}");
        let used = format!("USING {index} (");
        assert!(steps[0].contains(&used), "{filter:?}\n{steps:#?}");
        // What the page continues after, and the span of time, are where the walk begins and ends.
        let end = filter.cursor.is_some() || filter.to_time.is_some();
        assert_eq!(steps[0].contains("id<?"), end, "{filter:?}\n{steps:#?}");
        let start = filter.from_time.is_some();
        assert_eq!(steps[0].contains("id>?"), start, "{filter:?}\n{steps:#?}");
    }
}

#[tokio::test]
async fn every_list_of_functions_and_triggers_has_its_index() {
    let (store, _directory) = store().await;
    let mut on = store.read().await.unwrap();
    let app_id = AppId::generate();
    for name in [None, Some("a".to_owned())] {
        let filter = FunctionFilter { app_id, name: name.clone(), page: Page::default() };
        let mut statements = vec![catalog::list_functions(&filter).unwrap().0];
        for (fn_id, id) in [(None, None), (Some(FnId::generate()), None), (None, Some(TriggerId::generate()))] {
            let after = TriggerCursor { name: "a".to_owned(), id };
            let filter = TriggerFilter { app_id, fn_id, name: name.clone(), after, size: PerPage::default() };
            statements.push(catalog::list_triggers(&filter).unwrap().0);
        }
        for sql in statements {
            let steps = plan(&mut on, &sql).await;
            assert!(steps.len() == 1 && !is_slow(&steps[0]), "{sql}\n{steps:#?}");
        }
    }
}
