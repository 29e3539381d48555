use std::sync::Arc;

use hearth_datastore::{Datastore, Recorded};
use hearth_models::{AppId, AppPatch, CallFilter, Error, Page};

use crate::make::{app, config, node, record, route, succeeded, told};

pub(crate) async fn an_app_comes_back_as_it_was_stored(store: Arc<dyn Datastore>) {
    let mut stored = hearth_models::App::new("Ab-_9", config(r#"{"b":"","a":"é\u0000 %' \\ \""}"#)).unwrap();
    stored.annotations = serde_json::from_str(r#"{"k":{"z":[1,2.50,"\u00e9"]}}"#).unwrap();
    stored.syslog_url = Some(String::new());
    stored.shape = "GENERIC_X86".to_owned();
    store.insert_app(&stored).await.unwrap();

    for found in [
        store.app("Ab-_9").await.unwrap(),
        store.app_by_id(stored.id).await.unwrap().unwrap(),
        store.apps(&Page::default()).await.unwrap().remove(0),
    ] {
        assert_eq!(format!("{found:?}"), format!("{stored:?}"));
    }
}

pub(crate) async fn a_name_is_taken_once_and_bytewise(store: Arc<dyn Datastore>) {
    let first = app(&*store, "name").await;
    let second = hearth_models::App::new("name", config("{}")).unwrap();
    assert_eq!(told(store.insert_app(&second).await), Error::AppExists);
    assert_eq!(store.app("name").await.unwrap().id, first.id);
    let upper = app(&*store, "NAME").await;
    assert_ne!(store.app("name").await.unwrap().id, upper.id);
}

pub(crate) async fn an_update_merges_the_configuration(store: Arc<dyn Datastore>) {
    let patch = |json: &str| serde_json::from_str::<AppPatch>(json).unwrap();
    let stored = patch(r#"{"name":"a","config":{"a":"1","b":"2","c":"3","d":""}}"#).create().unwrap();
    store.insert_app(&stored).await.unwrap();
    let change = patch(r#"{"config":{"a":"9","b":"","c":null,"e":"5","x":""}}"#);
    let merged = store.update_app("a", change).await.unwrap();
    assert_eq!(merged.config, config(r#"{"a":"9","d":"","e":"5"}"#));
    assert!(merged.updated_at >= stored.updated_at);
    for nothing in ["{}", r#"{"config":null}"#, r#"{"config":{}}"#] {
        let same = store.update_app("a", patch(nothing)).await.unwrap();
        assert_eq!(same.config, merged.config);
    }
    let found = store.app("a").await.unwrap();
    assert_eq!((found.id, &found.config), (stored.id, &merged.config));
    assert_eq!(found.created_at, stored.created_at);
}

pub(crate) async fn what_is_not_there_is_not_found(store: Arc<dyn Datastore>) {
    assert_eq!(told(store.app("a").await), Error::AppNotFound);
    assert_eq!(told(store.app("").await), Error::AppNotFound);
    assert_eq!(told(store.update_app("a", AppPatch::default()).await), Error::AppNotFound);
    assert_eq!(told(store.remove_app("a").await), Error::AppNotFound);
    assert!(store.app_by_id(AppId::generate()).await.unwrap().is_none());
    store.ping().await.unwrap();
}

pub(crate) async fn a_removed_app_takes_everything_along_and_frees_its_name(store: Arc<dyn Datastore>) {
    let change = store.insert_route("a", route("a", "/x")).await.unwrap();
    let old = change.new_app.unwrap();
    let call = succeeded(old.id, "/x");
    let records = [record(call.clone(), &b"log"[..])];
    store.record(node(), &records).await.unwrap();

    assert_eq!(store.remove_app("a").await.unwrap().id, old.id);
    assert_eq!(told(store.app("a").await), Error::AppNotFound);
    assert!(store.function(change.fn_id).await.unwrap().is_none());
    assert_eq!(told(store.routes("a", None, &Page::default()).await), Error::AppNotFound);
    assert_eq!(told(store.remove_app("a").await), Error::AppNotFound);

    let new = app(&*store, "a").await;
    assert_ne!(new.id, old.id);
    assert!(store.routes("a", None, &Page::default()).await.unwrap().is_empty());
    assert!(store.calls(new.id, &CallFilter::default()).await.unwrap().is_empty());

    let late = store.record(node(), &[record(succeeded(old.id, "/x"), None)]).await;
    assert_eq!(late.unwrap(), Recorded { discarded: 1, let_go: vec![0], ..Recorded::default() });
    assert_eq!(store.removed_app().await.unwrap(), Some(old.id));
    while store.purge(old.id, 100).await.unwrap() {}
    assert_eq!(store.removed_app().await.unwrap(), None);
    assert_eq!(told(store.call(old.id, call.id).await), Error::CallNotFound);
    assert_eq!(told(store.log(old.id, call.id).await), Error::LogNotFound);
}

pub(crate) async fn what_a_removed_app_left_is_purged_in_batches(store: Arc<dyn Datastore>) {
    let (old, kept) = (app(&*store, "old").await, app(&*store, "kept").await);
    let mine = record(succeeded(kept.id, "/x"), &b"mine"[..]);
    store.record(node(), std::slice::from_ref(&mine)).await.unwrap();
    let records: Vec<_> = (0..1200).map(|_| record(succeeded(old.id, "/x"), &b"log"[..])).collect();
    store.record(node(), &records).await.unwrap();
    assert_eq!(store.removed_app().await.unwrap(), None, "nothing is removed yet");
    store.remove_app("old").await.unwrap();
    let mut batches = 0;
    while let Some(app_id) = store.removed_app().await.unwrap() {
        assert_eq!(app_id, old.id);
        batches += usize::from(store.purge(app_id, 100).await.unwrap());
    }
    assert_eq!(batches, 12);
    assert!(store.calls(old.id, &CallFilter::default()).await.unwrap().is_empty());
    assert_eq!(store.call(kept.id, mine.call.id).await.unwrap(), mine.call);
    assert_eq!(store.log(kept.id, mine.call.id).await.unwrap(), "mine");
}
