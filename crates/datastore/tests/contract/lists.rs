use std::sync::Arc;

use hearth_datastore::Datastore;
use hearth_models::{App, Call, CallFilter, Config, Cursor, Error, FnId, Page, PerPage, Reason, Status, Timestamp};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::make::{app, failed, node, patch, record, route, running, succeeded, told};

fn size(n: usize) -> PerPage {
    PerPage::from_query(Some(&n.to_string()))
}

fn page(after: &str, n: usize) -> Page {
    Page { after: Cursor::from_query(after), size: size(n) }
}

fn names(apps: &[App]) -> Vec<&str> {
    apps.iter().map(|app| &*app.name).collect()
}

pub(crate) async fn apps_are_listed_by_bytes(store: Arc<dyn Datastore>) {
    for name in ["b", "B", "_", "a", "-", "0", "A1", "a-", "Z", "aa"] {
        app(&*store, name).await;
    }
    let apps = store.apps(&Page::default()).await.unwrap();
    assert_eq!(names(&apps), ["-", "0", "A1", "B", "Z", "_", "a", "a-", "aa", "b"]);
}

/// The contract's vectors (v1 contract B.16.2, B.16.5).
pub(crate) async fn a_page_continues_where_the_last_one_ended(store: Arc<dyn Datastore>) {
    for name in ["perf", "spec-1234567890123456789012345", "tail"] {
        app(&*store, name).await;
    }
    let first = store.apps(&page("", 2)).await.unwrap();
    assert_eq!(names(&first), ["perf", "spec-1234567890123456789012345"]);
    let next = Cursor::after(&*first[1].name).to_string();
    assert_eq!(next, "c3BlYy0xMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1");
    assert_eq!(names(&store.apps(&page(&next, 2)).await.unwrap()), ["tail"]);
    assert!(store.apps(&page(&Cursor::after("tail").to_string(), 2)).await.unwrap().is_empty());
    // Between two names, and beyond the last.
    assert_eq!(names(&store.apps(&page(&Cursor::after("q").to_string(), 1)).await.unwrap()), [first[1].name.as_str()]);
    assert!(store.apps(&page(&Cursor::after("é").to_string(), 2)).await.unwrap().is_empty());

    for path in ["/", "/max", "/spec"] {
        store.insert_route("perf", route("perf", path)).await.unwrap();
    }
    for (cursor, expected) in [("", "/"), ("Lw", "/max"), ("L21heA==", "/spec"), ("!!", "/")] {
        let routes = store.routes("perf", None, &page(cursor, 1)).await.unwrap();
        assert_eq!(routes[0].path, expected, "{cursor}");
    }
}

pub(crate) async fn pages_of_apps_make_the_whole_list(store: Arc<dyn Datastore>) {
    let mut runner = TestRunner::deterministic();
    let any_names = prop::collection::btree_set("[A-Za-z0-9_-]{1,6}", 0..40);
    for n in 1..12usize {
        let wanted = any_names.new_tree(&mut runner).unwrap().current();
        for name in &wanted {
            store.insert_app(&App::new(name, Config::default()).unwrap()).await.unwrap();
        }
        let mut listed: Vec<String> = Vec::new();
        loop {
            let after = listed.last().map_or(String::new(), |last| Cursor::after(last).to_string());
            let apps = store.apps(&page(&after, n)).await.unwrap();
            listed.extend(apps.iter().map(|app| app.name.clone()));
            assert!(listed.len() <= wanted.len(), "pages repeat: {listed:?}");
            if apps.len() < n {
                break;
            }
        }
        assert_eq!(listed, wanted.iter().cloned().collect::<Vec<_>>());
        for name in &wanted {
            store.remove_app(name).await.unwrap();
        }
    }
}

pub(crate) async fn routes_are_listed_by_bytes_and_image(store: Arc<dyn Datastore>) {
    for (path, image) in [("/b", "one"), ("/B", "two"), ("/", "one"), ("/é", "one:1"), ("/a/b", "one"), ("/a-b", "two")]
    {
        let body = format!(r#"{{"image":"{image}"}}"#);
        store.upsert_route("app", path, patch(&body)).await.unwrap();
    }
    store.insert_route("other", route("other", "/zzz")).await.unwrap();
    let paths = async |image: Option<&str>, after: &str, n: usize| {
        let after = if after.is_empty() { String::new() } else { Cursor::after(after).to_string() };
        let routes = store.routes("app", image, &page(&after, n)).await.unwrap();
        routes.into_iter().map(|route| route.path).collect::<Vec<_>>()
    };
    assert_eq!(paths(None, "", 30).await, ["/", "/B", "/a-b", "/a/b", "/b", "/é"]);
    assert_eq!(paths(None, "/B", 2).await, ["/a-b", "/a/b"]);
    assert_eq!(paths(Some("one"), "", 30).await, ["/", "/a/b", "/b"]);
    assert_eq!(paths(Some("one"), "/", 1).await, ["/a/b"]);
    assert!(paths(Some("ONE"), "", 30).await.is_empty());
    assert!(paths(None, "/é", 30).await.is_empty());
}

pub(crate) async fn routes_of_a_missing_app_are_not_found(store: Arc<dyn Datastore>) {
    for image in [None, Some("i")] {
        let routes = store.routes("app", image, &Page::default()).await;
        assert_eq!(told(routes), Error::AppNotFound);
    }
    app(&*store, "app").await;
    assert!(store.routes("app", None, &Page::default()).await.unwrap().is_empty());
}

pub(crate) async fn calls_are_listed_newest_first(store: Arc<dyn Datastore>) {
    let app = app(&*store, "app").await;
    let calls: Vec<Call> = (0..7).map(|_| succeeded(app.id, "/")).collect();
    let records: Vec<_> = calls.iter().map(|call| record(call.clone(), None)).collect();
    store.record(node(), &records).await.unwrap();
    let mut filter = CallFilter { per_page: size(3), ..CallFilter::default() };
    let mut listed = Vec::new();
    for expected in [3, 3, 1] {
        let page = store.calls(app.id, &filter).await.unwrap();
        assert_eq!(page.len(), expected);
        filter.cursor = Some(page[page.len() - 1].id.to_string());
        listed.extend(page);
    }
    assert_eq!(listed, calls.into_iter().rev().collect::<Vec<_>>());
    for cursor in ["", "0", "not an id", "'; DROP TABLE calls"] {
        filter.cursor = Some(cursor.to_owned());
        let shown = store.calls(app.id, &filter).await.unwrap().len();
        assert_eq!(shown, if cursor == "not an id" { 3 } else { 0 }, "{cursor}");
    }
}

fn shows(filter: &CallFilter, call: &Call) -> bool {
    filter.fn_id.is_none_or(|fn_id| fn_id == call.fn_id)
        && filter.path.as_ref().is_none_or(|path| *path == call.path)
        && filter.from_time.is_none_or(|from| call.created_at > from)
        && filter.to_time.is_none_or(|to| call.created_at < to)
        && filter.status.is_none_or(|status| call.status() == status)
        && filter.reason.is_none_or(|reason| call.reason() == Some(reason))
        && filter.cursor.as_ref().is_none_or(|cursor| call.id.to_string() < *cursor)
}

fn any_filter(functions: Vec<FnId>, ids: Vec<String>, now: i64) -> impl Strategy<Value = CallFilter> {
    let time = prop::option::weighted(0.3, (-4000i64..4000).prop_map(move |d| Timestamp::from_millis(now + d)));
    (
        prop::option::weighted(0.3, prop::sample::select(functions)),
        prop::option::weighted(0.3, prop::sample::select(vec!["/a", "/b", "/none"])),
        time.clone(),
        time,
        prop::option::weighted(0.3, prop::sample::select(Status::ALL.to_vec())),
        prop::option::weighted(0.3, prop::sample::select(Reason::ALL.to_vec())),
        prop::option::weighted(0.3, prop::sample::select(ids)),
        1usize..12,
    )
        .prop_map(|(fn_id, path, from_time, to_time, status, reason, cursor, n)| CallFilter {
            fn_id,
            path: path.map(str::to_owned),
            from_time,
            to_time,
            status,
            reason,
            cursor,
            per_page: size(n),
        })
}

pub(crate) async fn every_filter_of_calls_means_what_it_says(store: Arc<dyn Datastore>) {
    let app = app(&*store, "app").await;
    let now = Timestamp::now().as_millis();
    let functions = [FnId::generate(), FnId::generate()];
    // Clocks that jump: creation times that have little to do with the ids.
    for spread in [1, 20, 4000] {
        let mut calls: Vec<Call> = (0..60)
            .map(|n| {
                let path = if n % 3 == 0 { "/a" } else { "/b" };
                let mut call = match n % 5 {
                    0 => failed(app.id, path, Reason::ALL[n % Reason::ALL.len()]),
                    1 => running(app.id, path),
                    _ => succeeded(app.id, path),
                };
                call.fn_id = functions[n % 2];
                call.created_at = Timestamp::from_millis(now + (n as i64 * 7919) % spread);
                call
            })
            .collect();
        let records: Vec<_> = calls.iter().map(|call| record(call.clone(), None)).collect();
        store.record(node(), &records).await.unwrap();
        calls.sort_by_key(|call| std::cmp::Reverse(call.id));
        let other_app = crate::make::app(&*store, &format!("other-{spread}")).await;
        store.record(node(), &[record(succeeded(other_app.id, "/a"), None)]).await.unwrap();

        let mut runner = TestRunner::deterministic();
        let filters = any_filter(functions.to_vec(), calls.iter().map(|call| call.id.to_string()).collect(), now);
        let oldest = calls[calls.len() - 1].id.to_string();
        for _ in 0..150 {
            let filter = filters.new_tree(&mut runner).unwrap().current();
            let listed = store.calls(app.id, &filter).await.unwrap();
            let listed: Vec<&Call> = listed.iter().filter(|call| call.id.to_string() >= oldest).collect();
            let mut expected: Vec<&Call> = calls.iter().filter(|call| shows(&filter, call)).collect();
            expected.truncate(filter.per_page.get());
            assert_eq!(listed, expected, "{filter:?}");
        }
    }
}
