//! Apps, functions and triggers by id.

use std::collections::BTreeSet;
use std::sync::Arc;

use hearth_datastore::{Datastore, FunctionFilter, TriggerFilter};
use hearth_models::v2::{AppPatch, Error as Refusal, FnPatch, TriggerCursor, TriggerPatch};
use hearth_models::{
    AppId, CallFilter, CallId, Cursor, Error, FnId, Format, Function, Page, PerPage, Timestamp, Trigger, TriggerId,
};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use crate::make::{app, config, node, record, route, succeeded, told};

fn read<T: DeserializeOwned>(json: &str) -> T {
    serde_json::from_str(json).unwrap()
}

fn new_function(app_id: AppId, name: &str) -> Function {
    let json = format!(r#"{{"app_id":"{app_id}","name":"{name}","image":"acme/hello:1"}}"#);
    read::<FnPatch>(&json).create().unwrap()
}

async fn function(store: &dyn Datastore, app_id: AppId, name: &str) -> Function {
    store.insert_function(new_function(app_id, name)).await.unwrap()
}

fn new_trigger(of: &Function, name: &str, source: &str) -> Trigger {
    let json = format!(
        r#"{{"app_id":"{}","fn_id":"{}","name":"{name}","type":"http","source":"{source}","annotations":{{"a":1e3}}}}"#,
        of.app_id, of.id
    );
    read::<TriggerPatch>(&json).create().unwrap()
}

async fn trigger(store: &dyn Datastore, of: &Function, name: &str, source: &str) -> Trigger {
    store.insert_trigger(&new_trigger(of, name, source)).await.unwrap().trigger
}

fn size(n: usize) -> PerPage {
    PerPage::from_query(Some(&n.to_string()))
}

fn all_functions(app_id: AppId) -> FunctionFilter {
    FunctionFilter { app_id, name: None, page: Page { size: size(100), ..Page::default() } }
}

fn all_triggers(app_id: AppId) -> TriggerFilter {
    TriggerFilter { app_id, fn_id: None, name: None, after: TriggerCursor::default(), size: size(100) }
}

pub(crate) async fn an_app_is_changed_and_removed_by_its_id(store: Arc<dyn Datastore>) {
    let first = read::<AppPatch>(r#"{"name":"été中1","shape":"GENERIC_ARM","config":{"k":"v"}}"#).create().unwrap();
    store.insert_app(&first).await.unwrap();
    let patch = r#"{"config":{"k":"","l":"w"},"annotations":{"b":{"z":1e3,"a":"\u00e9"}},"syslog_url":"tcp://h:1"}"#;
    let change = store.update_app_by_id(first.id, read(patch)).await.unwrap();
    assert!(change.outdated);
    assert_eq!(change.app.config, config(r#"{"l":"w"}"#));
    assert!(change.app.updated_at >= first.updated_at);
    let found = store.app_by_id(first.id).await.unwrap().unwrap();
    assert_eq!(format!("{found:?}"), format!("{:?}", change.app));

    let same = store.update_app_by_id(first.id, read(patch)).await.unwrap();
    assert!(!same.outdated);
    assert_eq!(same.app.updated_at, change.app.updated_at);
    let noted = store.update_app_by_id(first.id, read(r#"{"annotations":{"b":null}}"#)).await.unwrap();
    assert!(!noted.outdated && noted.app.annotations.is_empty());
    for (url, outdated) in [(" tcp://h:1 ", false), ("tcp://h:2", true), ("", true), (" ", false)] {
        let patch = serde_json::json!({ "syslog_url": url }).to_string();
        assert_eq!(store.update_app_by_id(first.id, read(&patch)).await.unwrap().outdated, outdated, "{url:?}");
    }
    let refused = store.update_app_by_id(first.id, read(r#"{"name":"b","config":{"m":"x"}}"#)).await;
    assert_eq!(told(refused), Error::NameImmutable);
    assert_eq!(store.app("été中1").await.unwrap().config, config(r#"{"l":"w"}"#));

    let call = succeeded(first.id, "");
    store.record(node(), &[record(call, None)]).await.unwrap();
    assert_eq!(store.remove_app_by_id(first.id).await.unwrap().id, first.id);
    assert_eq!(store.removed_app().await.unwrap(), Some(first.id));
    assert_eq!(told(store.remove_app_by_id(first.id).await), Error::AppNotFound);
    assert_eq!(told(store.update_app_by_id(first.id, read("{}")).await), Error::AppNotFound);
}

pub(crate) async fn a_function_comes_back_as_it_was_stored(store: Arc<dyn Datastore>) {
    let owner = read::<AppPatch>(r#"{"name":"app","shape":"GENERIC_ARM"}"#).create().unwrap();
    store.insert_app(&owner).await.unwrap();
    let json = format!(
        r#"{{"app_id":"{}","name":"f.2~x","image":"acme/é:1","memory":512,"timeout":300,"idle_timeout":3600,"shape":"x",
            "config":{{"a":"","b":"<1>"}},"annotations":{{"n":[1.50, "\u00e9"]}}}}"#,
        owner.id
    );
    let new = read::<FnPatch>(&json).create().unwrap();
    let stored = store.insert_function(new.clone()).await.unwrap();
    assert_eq!((stored.id, stored.shape.as_str()), (new.id, "GENERIC_ARM"));
    let by_name = FunctionFilter { name: Some("f.2~x".to_owned()), ..all_functions(owner.id) };
    for found in [
        store.function(new.id).await.unwrap().unwrap(),
        store.functions(&all_functions(owner.id)).await.unwrap().remove(0),
        store.functions(&by_name).await.unwrap().remove(0),
        (*store.resolve_function(new.id).await.unwrap().function).clone(),
    ] {
        assert_eq!(format!("{found:?}"), format!("{stored:?}"));
    }
}

pub(crate) async fn a_function_needs_its_app_and_a_name_of_its_own(store: Arc<dyn Datastore>) {
    let (one, other) = (app(&*store, "one").await, app(&*store, "other").await);
    assert_eq!(told(store.insert_function(new_function(AppId::generate(), "f")).await), Error::AppNotFound);
    let first = function(&*store, one.id, "f").await;
    assert_eq!(told(store.insert_function(new_function(one.id, "f")).await), Refusal::FnExists.into());
    for (owner, name) in [(one.id, "F"), (one.id, "f."), (other.id, "f")] {
        function(&*store, owner, name).await;
    }
    store.remove_function(first.id).await.unwrap();
    function(&*store, one.id, "f").await;
}

pub(crate) async fn a_change_of_a_function_tells_whether_containers_are_out_of_date(store: Arc<dyn Datastore>) {
    let owner = app(&*store, "app").await;
    let made = function(&*store, owner.id, "f").await;
    for (patch, outdated) in [
        ("{}", false),
        (r#"{"image":"acme/hello:1","memory":128,"name":"x","app_id":"x"}"#, false),
        (r#"{"annotations":{"a":1}}"#, false),
        (r#"{"config":{"k":"v"}}"#, true),
        (r#"{"config":{"k":"v"}}"#, false),
        (r#"{"image":"acme/hello:2"}"#, true),
        (r#"{"memory":256}"#, true),
        (r#"{"timeout":31}"#, true),
        (r#"{"idle_timeout":31}"#, true),
        (r#"{"format":"json"}"#, true),
    ] {
        let change = store.update_function(made.id, read(patch)).await.unwrap();
        assert_eq!(change.outdated, outdated, "{patch}");
        let found = store.function(made.id).await.unwrap().unwrap();
        assert_eq!(format!("{found:?}"), format!("{:?}", change.function));
    }
    let refused = store.update_function(made.id, read(r#"{"image":"acme/hello:3","memory":9000}"#)).await;
    assert_eq!(told(refused), Refusal::InvalidMemory.into());
    assert_eq!(store.function(made.id).await.unwrap().unwrap().image, "acme/hello:2");
    assert_eq!(told(store.update_function(FnId::generate(), read("{}")).await), Refusal::FnNotFound.into());
}

pub(crate) async fn a_removed_function_takes_its_triggers_along(store: Arc<dyn Datastore>) {
    let owner = app(&*store, "app").await;
    let (gone, kept) = (function(&*store, owner.id, "gone").await, function(&*store, owner.id, "kept").await);
    for (of, name, source) in [(&gone, "a", "/a"), (&gone, "b", "/b"), (&kept, "a", "/c")] {
        trigger(&*store, of, name, source).await;
    }
    let (removed, triggers) = store.remove_function(gone.id).await.unwrap();
    let sources: Vec<&str> = triggers.iter().map(|trigger| &*trigger.source).collect();
    assert_eq!((removed.id, sources), (gone.id, vec!["/a", "/b"]));
    assert!(store.function(gone.id).await.unwrap().is_none());
    assert_eq!(told(store.resolve("app", "/a").await), Error::RouteNotFound);
    assert_eq!(told(store.remove_function(gone.id).await), Refusal::FnNotFound.into());
    assert_eq!(told(store.resolve_function(gone.id).await), Refusal::FnNotFound.into());
    assert_eq!(store.triggers(&all_triggers(owner.id)).await.unwrap().len(), 1);
}

pub(crate) async fn a_trigger_comes_back_as_it_was_stored(store: Arc<dyn Datastore>) {
    let owner = app(&*store, "app").await;
    let of = function(&*store, owner.id, "f").await;
    let stored = trigger(&*store, &of, "été", "//a/../b c/é?x").await;
    let by_name = TriggerFilter { name: Some("été".to_owned()), fn_id: Some(of.id), ..all_triggers(owner.id) };
    let resolved = store.resolve("app", "//a/../b c/é?x").await.unwrap();
    for found in [
        store.trigger(stored.id).await.unwrap().unwrap(),
        store.triggers(&all_triggers(owner.id)).await.unwrap().remove(0),
        store.triggers(&by_name).await.unwrap().remove(0),
        (**resolved.trigger.as_ref().unwrap()).clone(),
    ] {
        assert_eq!(format!("{found:?}"), format!("{stored:?}"));
    }
    for other in [
        TriggerFilter { name: Some("ÉTÉ".to_owned()), ..all_triggers(owner.id) },
        TriggerFilter { fn_id: Some(FnId::generate()), ..all_triggers(owner.id) },
        all_triggers(AppId::generate()),
    ] {
        assert!(store.triggers(&other).await.unwrap().is_empty(), "{other:?}");
    }
    let removed = store.remove_trigger(stored.id).await.unwrap();
    assert_eq!((removed.left.as_deref(), removed.outdated), (Some("//a/../b c/é?x"), vec![of.id]));
    assert!(store.trigger(stored.id).await.unwrap().is_none());
    assert!(store.function(of.id).await.unwrap().is_some());
    assert_eq!(told(store.remove_trigger(stored.id).await), Refusal::TriggerNotFound.into());
}

pub(crate) async fn a_trigger_is_held_to_its_rules_in_order(store: Arc<dyn Datastore>) {
    let (one, other) = (app(&*store, "one").await, app(&*store, "other").await);
    let (of, of_other) = (function(&*store, one.id, "f").await, function(&*store, other.id, "f").await);
    let second = function(&*store, one.id, "g").await;
    trigger(&*store, &of, "a", "/a").await;
    let with = |app_id, fn_id, name: &str, source: &str| {
        let new = Trigger { app_id, fn_id, ..new_trigger(&of, name, source) };
        let store = Arc::clone(&store);
        async move { told(store.insert_trigger(&new).await) }
    };
    assert_eq!(with(AppId::generate(), FnId::generate(), "a", "/a").await, Error::AppNotFound);
    assert_eq!(with(one.id, FnId::generate(), "a", "/a").await, Refusal::FnNotFound.into());
    assert_eq!(with(one.id, of_other.id, "a", "/a").await, Refusal::FnOfAnotherApp.into());
    assert_eq!(with(one.id, of.id, "a", "/a").await, Refusal::SourceExists.into());
    assert_eq!(with(one.id, second.id, "z", "/a").await, Refusal::SourceExists.into());
    assert_eq!(with(one.id, of.id, "a", "/z").await, Refusal::TriggerExists.into());
    trigger(&*store, &second, "a", "/A").await;
    trigger(&*store, &of, "A", "/a/").await;
    trigger(&*store, &of_other, "a", "/a").await;
}

pub(crate) async fn a_changed_trigger_is_held_to_the_same_rules(store: Arc<dyn Datastore>) {
    let (one, other) = (app(&*store, "one").await, app(&*store, "other").await);
    let (of, of_other) = (function(&*store, one.id, "f").await, function(&*store, other.id, "f").await);
    let second = function(&*store, one.id, "g").await;
    trigger(&*store, &of, "a", "/a").await;
    trigger(&*store, &second, "b", "/c").await;
    let changed = trigger(&*store, &of, "b", "/b").await;
    for (patch, error) in [
        (format!(r#"{{"fn_id":"{}"}}"#, FnId::generate()), Refusal::FnNotFound),
        (r#"{"fn_id":"none"}"#.to_owned(), Refusal::FnNotFound),
        (format!(r#"{{"fn_id":"{}"}}"#, of_other.id), Refusal::FnOfAnotherApp),
        (r#"{"source":"/a","name":"a"}"#.to_owned(), Refusal::SourceExists),
        (r#"{"name":"a"}"#.to_owned(), Refusal::TriggerExists),
        (format!(r#"{{"fn_id":"{}"}}"#, second.id), Refusal::TriggerExists),
        (r#"{"name":"a b"}"#.to_owned(), Refusal::InvalidTriggerName),
    ] {
        assert_eq!(told(store.update_trigger(changed.id, read(&patch)).await), error.into(), "{patch}");
        let found = store.trigger(changed.id).await.unwrap().unwrap();
        assert_eq!(format!("{found:?}"), format!("{changed:?}"));
    }
    let unchanged = r#"{"name":"b","source":"/b","app_id":"other","type":"other","annotations":{"a": 1e3}}"#;
    let same = store.update_trigger(changed.id, read(unchanged)).await.unwrap();
    assert_eq!(format!("{:?}", same.trigger), format!("{changed:?}"));
    assert_eq!((same.left, same.outdated), (None, vec![]));
    let moved = format!(r#"{{"name":"c","source":"/d","fn_id":"{}","annotations":{{"a":""}}}}"#, second.id);
    let moved = store.update_trigger(changed.id, read(&moved)).await.unwrap();
    assert_eq!(moved.left.as_deref(), Some("/b"));
    let found = store.trigger(changed.id).await.unwrap().unwrap();
    assert_eq!(format!("{found:?}"), format!("{:?}", moved.trigger));
    assert_eq!((found.fn_id, found.annotations.is_empty()), (second.id, true));
    assert_eq!(told(store.update_trigger(TriggerId::generate(), read("{}")).await), Refusal::TriggerNotFound.into());
}

pub(crate) async fn the_first_path_of_a_function_decides_about_its_containers(store: Arc<dyn Datastore>) {
    let owner = app(&*store, "app").await;
    let (of, other) = (function(&*store, owner.id, "f").await, function(&*store, owner.id, "g").await);
    let path = async |of: FnId| store.resolve_function(of).await.unwrap().fn_path.to_string();
    assert_eq!(path(of.id).await, "");
    let mut first = new_trigger(&of, "a", "/a");
    first.created_at = Timestamp::from_millis(1);
    assert_eq!(store.insert_trigger(&first).await.unwrap().outdated, [of.id]);
    let second = store.insert_trigger(&new_trigger(&of, "b", "/b")).await.unwrap();
    assert_eq!((second.outdated.len(), path(of.id).await.as_str()), (0, "/a"));
    let renamed = store.update_trigger(first.id, read(r#"{"name":"c"}"#)).await.unwrap();
    assert!(renamed.outdated.is_empty());
    let moved = store.update_trigger(first.id, read(r#"{"source":"/c"}"#)).await.unwrap();
    assert_eq!((moved.outdated, path(of.id).await.as_str()), (vec![of.id], "/c"));
    let given = format!(r#"{{"fn_id":"{}"}}"#, other.id);
    let given = store.update_trigger(first.id, read(&given)).await.unwrap();
    assert_eq!(given.outdated, [of.id, other.id]);
    assert_eq!((path(of.id).await.as_str(), path(other.id).await.as_str()), ("/b", "/c"));
}

/// An index of some databases holds no more than a few thousand bytes.
pub(crate) async fn a_source_that_is_too_long_is_refused_as_such(store: Arc<dyn Datastore>) {
    let owner = app(&*store, "app").await;
    let of = function(&*store, owner.id, "f").await;
    let fits = trigger(&*store, &of, "fits", &format!("/{}", "x".repeat(600))).await;
    // Nothing in it repeats, so that no compression makes it fit.
    let long: String = std::iter::repeat_with(|| CallId::generate().to_string()).take(1000).collect();
    let long = format!("/{long}");
    let patch: TriggerPatch = read(&format!(r#"{{"source":"{long}"}}"#));
    match store.insert_trigger(&new_trigger(&of, "long", &long)).await {
        Ok(change) => {
            assert_eq!(store.trigger(change.trigger.id).await.unwrap().unwrap().source, long);
        }
        refused => {
            assert_eq!(told(refused), Refusal::SourceTooLong.into());
            assert_eq!(told(store.update_trigger(fits.id, patch).await), Refusal::SourceTooLong.into());
        }
    }
}

pub(crate) async fn functions_are_listed_by_name(store: Arc<dyn Datastore>) {
    let (owner, other) = (app(&*store, "app").await, app(&*store, "other").await);
    for name in ["b", "B", "~", "a", "$", "a.", "aa"] {
        function(&*store, owner.id, name).await;
    }
    function(&*store, other.id, "other").await;
    let (mut names, mut after) = (Vec::new(), Cursor::default());
    loop {
        let page = Page { after, size: size(3) };
        let functions = store.functions(&FunctionFilter { page, ..all_functions(owner.id) }).await.unwrap();
        names.extend(functions.iter().map(|function| function.name.clone()));
        let Some(last) = functions.last().filter(|_| functions.len() == 3) else { break };
        after = Cursor::after(last.name.as_str());
    }
    assert_eq!(names, ["$", "B", "a", "a.", "aa", "b", "~"]);
    let name = Some("a".to_owned());
    let past = Page { after: Cursor::after("a"), size: size(3) };
    let none = FunctionFilter { name, page: past, ..all_functions(owner.id) };
    assert!(store.functions(&none).await.unwrap().is_empty());
    assert!(store.functions(&all_functions(AppId::generate())).await.unwrap().is_empty());
}

pub(crate) async fn triggers_of_one_name_are_all_listed(store: Arc<dyn Datastore>) {
    let owner = app(&*store, "app").await;
    let mut made = Vec::new();
    for n in 0..7 {
        let of = function(&*store, owner.id, &format!("f{n}")).await;
        for name in ["same", "other"] {
            made.push(trigger(&*store, &of, name, &format!("/{name}{n}")).await);
        }
    }
    made.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
    for page in 1..=5 {
        let (mut listed, mut after) = (Vec::new(), TriggerCursor::default());
        loop {
            let filter = TriggerFilter { after, size: size(page), ..all_triggers(owner.id) };
            let triggers = store.triggers(&filter).await.unwrap();
            listed.extend(triggers.iter().map(|trigger| trigger.id));
            let Some(last) = triggers.last().filter(|_| triggers.len() == page) else { break };
            after = TriggerCursor::read(&TriggerCursor::in_app(last)).unwrap();
        }
        assert_eq!(listed, made.iter().map(|trigger| trigger.id).collect::<Vec<_>>(), "{page}");
    }
    let of = made[0].fn_id;
    let first = TriggerFilter { fn_id: Some(of), size: size(1), ..all_triggers(owner.id) };
    assert_eq!(store.triggers(&first).await.unwrap()[0].name, "other");
    let after = TriggerCursor { name: "other".to_owned(), id: None };
    assert_eq!(store.triggers(&TriggerFilter { after, ..first }).await.unwrap()[0].name, "same");
}

pub(crate) async fn what_one_door_makes_the_other_shows(store: Arc<dyn Datastore>) {
    let change = store.insert_route("app", route("app", "/hello/world")).await.unwrap();
    let made = store.function(change.fn_id).await.unwrap().unwrap();
    assert_eq!((made.name.as_str(), made.format), ("hello-world", Format::Default));
    let listed = store.triggers(&all_triggers(change.app_id)).await.unwrap();
    assert_eq!((listed[0].name.as_str(), listed[0].source.as_str()), ("hello-world", "/hello/world"));

    // A name that derives from a path makes way for one that is there.
    function(&*store, change.app_id, "a-b").await;
    let derived = store.insert_route("app", route("app", "/a/b")).await.unwrap();
    assert_eq!(store.function(derived.fn_id).await.unwrap().unwrap().name, "a-b-2");

    let of = function(&*store, change.app_id, "f").await;
    assert_eq!(store.routes("app", None, &Page::default()).await.unwrap().len(), 2);
    trigger(&*store, &of, "t", "/t").await;
    let shown = store.route("app", "/t").await.unwrap();
    assert_eq!((shown.image.as_str(), shown.format), ("acme/hello:1", Format::HttpStream));
    store.update_route("app", "/t", read(r#"{"image":"acme/hello:2","headers":{"x-a":["1"]}}"#)).await.unwrap();
    assert_eq!(store.function(of.id).await.unwrap().unwrap().image, "acme/hello:2");
    // The headers of a route are kept when its trigger changes.
    let listed = store.triggers(&TriggerFilter { fn_id: Some(of.id), ..all_triggers(of.app_id) }).await.unwrap();
    store.update_trigger(listed[0].id, read(r#"{"source":"/u"}"#)).await.unwrap();
    assert_eq!(store.route("app", "/u").await.unwrap().headers.0["X-A"], ["1"]);
}

pub(crate) async fn what_was_made_here_stays_when_its_route_goes(store: Arc<dyn Datastore>) {
    let owner = app(&*store, "app").await;
    let of = function(&*store, owner.id, "f").await;
    trigger(&*store, &of, "t", "/t").await;
    assert!(!store.remove_route("app", "/t").await.unwrap().function_removed);
    assert!(store.function(of.id).await.unwrap().is_some());
    let made = store.insert_route("app", route("app", "/r")).await.unwrap();
    let listed = store.triggers(&TriggerFilter { fn_id: Some(made.fn_id), ..all_triggers(owner.id) }).await.unwrap();
    store.remove_trigger(listed[0].id).await.unwrap();
    assert!(store.function(made.fn_id).await.unwrap().is_some(), "only API v1 removes what a route made");
}

pub(crate) async fn functions_are_resolved_by_id(store: Arc<dyn Datastore>) {
    assert_eq!(told(store.resolve_function(FnId::generate()).await), Refusal::FnNotFound.into());
    let owner = app(&*store, "app").await;
    let of = function(&*store, owner.id, "f").await;
    let found = store.resolve_function(of.id).await.unwrap();
    assert_eq!((found.app.id, found.function.id), (owner.id, of.id));
    assert!(found.trigger.is_none() && found.fn_path.is_empty());
    trigger(&*store, &of, "t", "/t").await;
    assert_eq!(&*store.resolve_function(of.id).await.unwrap().fn_path, "/t");
    assert!(
        store.calls(owner.id, &CallFilter { fn_id: Some(of.id), ..CallFilter::default() }).await.unwrap().is_empty()
    );
}

pub(crate) async fn concurrent_changes_of_one_app_lose_nothing(store: Arc<dyn Datastore>) {
    let owner = app(&*store, "app").await;
    let of = function(&*store, owner.id, "f").await;
    let mut tasks = JoinSet::new();
    for n in 0..24 {
        let (store, of) = (Arc::clone(&store), of.clone());
        tasks.spawn(async move {
            let patch = format!(r#"{{"config":{{"k{n}":"v"}}}}"#);
            store.update_function(of.id, read(&patch)).await.unwrap();
            store.update_app_by_id(of.app_id, read(&patch)).await.unwrap();
            store.insert_trigger(&new_trigger(&of, &format!("t{n}"), "/one")).await.is_ok()
        });
    }
    let made = tasks.join_all().await;
    assert_eq!(made.iter().filter(|made| **made).count(), 1);
    let keys = (0..24).map(|n| format!("k{n}")).collect::<BTreeSet<_>>();
    let found = store.resolve_function(of.id).await.unwrap();
    assert_eq!(found.function.config.0.keys().cloned().collect::<BTreeSet<_>>(), keys);
    assert_eq!(found.app.config.0.keys().cloned().collect::<BTreeSet<_>>(), keys);
}
