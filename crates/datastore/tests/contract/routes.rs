use std::collections::BTreeSet;
use std::sync::Arc;

use hearth_datastore::Datastore;
use hearth_models::{AppPatch, CallId, CallType, Error, FnId, Page, TriggerId};
use tokio::task::JoinSet;

use crate::make::{app, config, patch, route, told};

pub(crate) async fn a_new_route_makes_its_app_once(store: Arc<dyn Datastore>) {
    let first = store.insert_route("new", route("new", "/a")).await.unwrap();
    assert!(first.created);
    let made = first.new_app.unwrap();
    assert_eq!(store.app("new").await.unwrap().id, made.id);
    let second = store.insert_route("new", route("new", "/b")).await.unwrap();
    assert!(second.new_app.is_none());
    assert_eq!(second.app_id, made.id);
    let again = store.insert_route("new", route("new", "/a")).await;
    assert_eq!(told(again), Error::RouteExists);
    store.insert_route("new", route("new", "/A")).await.unwrap();
}

pub(crate) async fn a_route_comes_back_as_function_and_trigger(store: Arc<dyn Datastore>) {
    let wanted = patch(
        r#"{"image":"r:5000/i@sha256:ab","memory":8192,"type":"async","format":"http","timeout":3600,
            "idle_timeout":1,"headers":{"x-a":["1","2"],"x-e":[]},"config":{"k":"","l":"<é>"}}"#,
    );
    let wanted = wanted.create("app", "/é/*").unwrap();
    let change = store.insert_route("app", wanted.clone()).await.unwrap();
    assert_eq!(change.route, wanted);
    assert_eq!(store.route("app", "/é/*").await.unwrap(), wanted);
    let found = store.resolve("app", "/é/*").await.unwrap();
    assert_eq!(found.function.id, change.fn_id);
    let trigger = found.trigger.as_ref().unwrap();
    assert_eq!(trigger.fn_id, change.fn_id);
    assert_eq!((found.app.id, found.function.app_id), (change.app_id, change.app_id));
    assert_eq!(trigger.app_id, change.app_id);
    assert_eq!(&*found.fn_path, "/é/*");
    assert!(found.function.made_by_route);
    assert_eq!(found.function.call_type, CallType::Async);
    let function = store.function(change.fn_id).await.unwrap().unwrap();
    assert_eq!(format!("{function:?}"), format!("{:?}", found.function));
    let stored = store.trigger(trigger.id).await.unwrap().unwrap();
    assert_eq!(format!("{stored:?}"), format!("{trigger:?}"));
    assert!(store.function(FnId::generate()).await.unwrap().is_none());
    assert!(store.trigger(TriggerId::generate()).await.unwrap().is_none());
}

pub(crate) async fn a_refused_route_leaves_no_app_behind(store: Arc<dyn Datastore>) {
    let refused = store.upsert_route("app", "/a", patch("{}")).await;
    assert_eq!(told(refused), Error::MissingRouteImage);
    for (name, error) in [("a.b", Error::InvalidAppName), (&*"x".repeat(31), Error::AppNameTooLong)] {
        let inserted = store.insert_route(name, route("any", "/a")).await;
        assert_eq!(told(inserted), error);
        let upserted = store.upsert_route(name, "/a", patch(r#"{"image":"i"}"#)).await;
        assert_eq!(told(upserted), error);
    }
    assert!(store.apps(&Page::default()).await.unwrap().is_empty());
}

pub(crate) async fn an_upsert_creates_and_then_merges(store: Arc<dyn Datastore>) {
    let body = r#"{"image":"i","config":{"a":"1","b":"2"},"headers":{"X-B":["b"]},"timeout":60}"#;
    let created = store.upsert_route("app", "/a", patch(body)).await.unwrap();
    assert!(created.created && created.new_app.is_some());
    let body = r#"{"config":{"a":"","c":"3"},"headers":{"x-b":[],"x-c":["c"]},"memory":256}"#;
    let merged = store.upsert_route("app", "/a", patch(body)).await.unwrap();
    assert!(!merged.created && merged.new_app.is_none());
    assert_eq!((merged.app_id, merged.fn_id), (created.app_id, created.fn_id));
    let route = store.route("app", "/a").await.unwrap();
    assert_eq!(route, merged.route);
    assert_eq!((&*route.image, route.memory, route.timeout), ("i", 256, 60));
    assert_eq!(route.config, config(r#"{"b":"2","c":"3"}"#));
    assert_eq!(serde_json::to_string(&route.headers).unwrap(), r#"{"X-C":["c"]}"#);
    assert_eq!(route.created_at, created.route.created_at);
}

pub(crate) async fn a_change_tells_whether_containers_are_out_of_date(store: Arc<dyn Datastore>) {
    let body = r#"{"image":"i","config":{"a":"1"},"format":"http"}"#;
    assert!(!store.upsert_route("app", "/a", patch(body)).await.unwrap().function_changed, "there were none");
    for (body, changed) in [
        ("{}", false),
        (body, false),
        (r#"{"headers":{"x-a":["1"]}}"#, false),
        (r#"{"config":{"b":""}}"#, false),
        (r#"{"config":{"a":"2"}}"#, true),
        (r#"{"image":"j"}"#, true),
        (r#"{"format":"json"}"#, true),
        (r#"{"type":"async"}"#, true),
        (r#"{"timeout":31}"#, true),
        (r#"{"idle_timeout":31}"#, true),
        (r#"{"memory":256,"headers":{"x-a":[]}}"#, true),
    ] {
        let updated = store.update_route("app", "/a", patch(body)).await.unwrap();
        assert_eq!(updated.function_changed, changed, "{body}");
        let again = store.upsert_route("app", "/a", patch(body)).await.unwrap();
        assert!(!again.function_changed, "{body} again");
    }
}

pub(crate) async fn an_update_merges_and_changes_nothing_when_refused(store: Arc<dyn Datastore>) {
    let missing = store.update_route("app", "/a", patch("{}")).await;
    assert_eq!(told(missing), Error::RouteNotFound);
    app(&*store, "app").await;
    let missing = store.update_route("app", "/a", patch("{}")).await;
    assert_eq!(told(missing), Error::RouteNotFound);

    let body = r#"{"image":"i","type":"async","timeout":3600}"#;
    store.upsert_route("app", "/a", patch(body)).await.unwrap();
    let before = store.route("app", "/a").await.unwrap();
    for (body, error) in [
        (r#"{"image":"j","type":"sync"}"#, Error::InvalidTimeout),
        (r#"{"image":"j","memory":8193}"#, Error::InvalidMemory),
        (r#"{"image":"j","idle_timeout":-1}"#, Error::InvalidIdleTimeout),
        (r#"{"image":"j","format":"x"}"#, Error::InvalidRouteFormat),
    ] {
        assert_eq!(told(store.update_route("app", "/a", patch(body)).await), error);
    }
    assert_eq!(store.route("app", "/a").await.unwrap(), before);
    let body = r#"{"type":"sync","timeout":120,"image":"","format":"json"}"#;
    let after = store.update_route("app", "/a", patch(body)).await.unwrap();
    assert_eq!(after.route, store.route("app", "/a").await.unwrap());
    assert_eq!((&*after.route.image, after.route.timeout), ("i", 120));
}

pub(crate) async fn names_that_derive_from_paths_are_unique(store: Arc<dyn Datastore>) {
    // The last one's own name is the one that the third path made.
    for path in ["/a/b", "/a-b", "/a.b", "/a", "/", "/root", "/a-b-2"] {
        store.insert_route("app", route("app", path)).await.unwrap();
    }
    let mut names = Vec::new();
    for path in ["/a/b", "/a-b", "/a.b", "/a", "/", "/root", "/a-b-2"] {
        let found = store.resolve("app", path).await.unwrap();
        assert_eq!(found.function.name, found.trigger.as_ref().unwrap().name);
        names.push(found.function.name.clone());
    }
    assert_eq!(names, ["a-b", "a-b-2", "a-b-3", "a", "root", "root-2", "a-b-2-2"]);
    store.remove_route("app", "/a-b").await.unwrap();
    store.insert_route("app", route("app", "/a b")).await.unwrap();
    assert_eq!(store.resolve("app", "/a b").await.unwrap().function.name, "a-b-2");
    store.insert_route("other", route("other", "/a/b")).await.unwrap();
    assert_eq!(store.resolve("other", "/a/b").await.unwrap().function.name, "a-b");
}

pub(crate) async fn removing_a_route_removes_its_function(store: Arc<dyn Datastore>) {
    assert_eq!(told(store.remove_route("app", "/a").await), Error::RouteNotFound);
    let change = store.insert_route("app", route("app", "/a")).await.unwrap();
    store.insert_route("app", route("app", "/b")).await.unwrap();
    let removed = store.remove_route("app", "/a").await.unwrap();
    assert!(removed.function_removed);
    assert_eq!((removed.app_id, removed.fn_id), (change.app_id, change.fn_id));
    assert_eq!(removed.route, change.route);
    assert!(store.function(change.fn_id).await.unwrap().is_none());
    assert_eq!(told(store.route("app", "/a").await), Error::RouteNotFound);
    assert_eq!(told(store.remove_route("app", "/a").await), Error::RouteNotFound);
    store.remove_route("app", "/b").await.unwrap();
    assert!(store.routes("app", None, &Page::default()).await.unwrap().is_empty());
}

pub(crate) async fn resolving_tells_a_missing_app_from_a_missing_route(store: Arc<dyn Datastore>) {
    assert_eq!(told(store.resolve("app", "/a").await), Error::AppNotFound);
    assert_eq!(told(store.route("app", "/a").await), Error::RouteNotFound);
    store.insert_route("app", route("app", "/a")).await.unwrap();
    for path in ["/b", "/A", "/a/", "", "a"] {
        assert_eq!(told(store.resolve("app", path).await), Error::RouteNotFound, "{path}");
    }
    assert_eq!(told(store.resolve("App", "/a").await), Error::AppNotFound);
    let config: AppPatch = serde_json::from_str(r#"{"config":{"k":"v"}}"#).unwrap();
    store.update_app("app", config).await.unwrap();
    let found = store.resolve("app", "/a").await.unwrap();
    assert_eq!(found.app.config.0["k"], "v");
}

/// An index of some databases holds no more than a few thousand bytes.
pub(crate) async fn a_path_that_is_too_long_is_refused_as_such(store: Arc<dyn Datastore>) {
    let fits = format!("/{}", "é".repeat(300));
    store.insert_route("app", route("app", &fits)).await.unwrap();
    assert_eq!(store.route("app", &fits).await.unwrap().path, fits);
    // Nothing in it repeats, so that no compression makes it fit.
    let long: String = std::iter::repeat_with(|| CallId::generate().to_string()).take(1000).collect();
    let long = format!("/{long}");
    match store.insert_route("app", route("app", &long)).await {
        Ok(_) => assert_eq!(store.route("app", &long).await.unwrap().path, long),
        refused => assert_eq!(told(refused), Error::InvalidRoutePath),
    }
}

pub(crate) async fn concurrent_changes_of_one_route_lose_nothing(store: Arc<dyn Datastore>) {
    let mut tasks = JoinSet::new();
    for n in 0..24 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let body = format!(r#"{{"image":"i","config":{{"k{n}":"v"}}}}"#);
            let change = store.upsert_route("app", "/a", patch(&body)).await.unwrap();
            let body = format!(r#"{{"config":{{"l{n}":"w"}}}}"#);
            store.update_app("app", serde_json::from_str(&body).unwrap()).await.unwrap();
            change.created
        });
    }
    let created = tasks.join_all().await;
    assert_eq!(created.iter().filter(|created| **created).count(), 1);
    let found = store.resolve("app", "/a").await.unwrap();
    let keys = |letter: &str| (0..24).map(|n| format!("{letter}{n}")).collect::<BTreeSet<_>>();
    assert_eq!(found.function.config.0.keys().cloned().collect::<BTreeSet<_>>(), keys("k"));
    assert_eq!(found.app.config.0.keys().cloned().collect::<BTreeSet<_>>(), keys("l"));
}
