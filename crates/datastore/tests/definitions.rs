//! Definitions from memory, over a store that can be away, slow, and changed behind their back.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use hearth_datastore::{Catalog, DefinitionStore, Definitions, DefinitionsSettings, Error};
use hearth_models::v2::{self, FnPatch};
use hearth_models::{Error as ModelError, FnId, RoutePatch};
use support::Fake;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

fn definitions() -> (Arc<Fake>, Arc<Definitions>) {
    let store = Arc::new(Fake::default());
    let definitions = Definitions::new(store.clone(), DefinitionsSettings::default());
    (store, Arc::new(definitions))
}

async fn image(definitions: &Definitions, path: &str) -> Result<String, Error> {
    let resolved = definitions.resolve("app", path).await?;
    Ok(resolved.function.image.clone())
}

fn asked(store: &Fake) -> usize {
    store.with(|state| state.asked)
}

fn patch(image: &str) -> RoutePatch {
    serde_json::from_str(&format!(r#"{{"image":"{image}"}}"#)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_store_is_asked_once_for_many_calls() {
    let (store, definitions) = definitions();
    store.define("app", "/a", "one");
    for _ in 0..100 {
        assert_eq!(image(&definitions, "/a").await.unwrap(), "one");
    }
    assert_eq!(asked(&store), 1);
}

#[tokio::test(start_paused = true)]
async fn a_change_through_here_shows_at_once_and_one_elsewhere_within_a_second() {
    let (store, definitions) = definitions();
    store.define("app", "/a", "one");
    assert_eq!(image(&definitions, "/a").await.unwrap(), "one");
    definitions.upsert_route("app", "/a", patch("two")).await.unwrap();
    assert_eq!(image(&definitions, "/a").await.unwrap(), "two");

    store.define("app", "/a", "three");
    assert_eq!(image(&definitions, "/a").await.unwrap(), "two");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(image(&definitions, "/a").await.unwrap(), "three");
    store.with(|state| state.definitions.clear());
    sleep(Duration::from_secs(1)).await;
    let error = image(&definitions, "/a").await.unwrap_err();
    assert_eq!(error.to_model(), ModelError::RouteNotFound);
}

#[tokio::test(start_paused = true)]
async fn concurrent_misses_ask_once() {
    for defined in [true, false] {
        let (store, definitions) = definitions();
        if defined {
            store.define("app", "/a", "one");
        }
        store.with(|state| state.delay = Duration::from_millis(100));
        let mut callers = JoinSet::new();
        for _ in 0..100 {
            let definitions = Arc::clone(&definitions);
            callers.spawn(async move { image(&definitions, "/a").await.is_ok() });
        }
        let answers = callers.join_all().await;
        assert!(answers.iter().all(|found| *found == defined));
        assert_eq!(asked(&store), 1);
        if defined {
            sleep(Duration::from_secs(1)).await;
            let mut callers = JoinSet::new();
            for _ in 0..100 {
                let definitions = Arc::clone(&definitions);
                callers.spawn(async move { image(&definitions, "/a").await.unwrap() });
            }
            callers.join_all().await;
            assert_eq!(asked(&store), 2, "refreshes are coalesced too");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_remembered_briefly() {
    let (store, definitions) = definitions();
    for _ in 0..10 {
        let error = image(&definitions, "/a").await.unwrap_err();
        assert_eq!(error.to_model(), ModelError::RouteNotFound);
    }
    assert_eq!(asked(&store), 1);
    definitions.upsert_route("app", "/a", patch("one")).await.unwrap();
    assert_eq!(image(&definitions, "/a").await.unwrap(), "one");

    assert!(image(&definitions, "/b").await.is_err());
    store.define("app", "/b", "one");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(image(&definitions, "/b").await.unwrap(), "one");
}

#[tokio::test(start_paused = true)]
async fn a_question_under_way_does_not_hide_a_change() {
    for defined in [true, false] {
        let (store, definitions) = definitions();
        if defined {
            store.define("app", "/a", "old");
        }
        store.with(|state| state.delay = Duration::from_millis(100));
        let early = {
            let definitions = Arc::clone(&definitions);
            async move { image(&definitions, "/a").await }
        };
        let late = async {
            sleep(Duration::from_millis(10)).await;
            store.with(|state| state.delay = Duration::ZERO);
            definitions.upsert_route("app", "/a", patch("new")).await.unwrap();
            image(&definitions, "/a").await
        };
        let (_, late) = tokio::join!(early, late);
        assert_eq!(late.unwrap(), "new");
        assert_eq!(image(&definitions, "/a").await.unwrap(), "new");
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_known_definition_serves_while_the_store_is_away() {
    let (store, definitions) = definitions();
    store.define("app", "/a", "one");
    image(&definitions, "/a").await.unwrap();
    store.with(|state| state.away = true);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(9 * 60) {
        assert_eq!(image(&definitions, "/a").await.unwrap(), "one");
        sleep(Duration::from_millis(300)).await;
    }
    assert!(asked(&store) < 800, "tries are spaced: {}", asked(&store));
    let unknown = image(&definitions, "/b").await.unwrap_err();
    assert!(unknown.is_unavailable());
    sleep(Duration::from_secs(2 * 60)).await;
    assert!(image(&definitions, "/a").await.unwrap_err().is_unavailable());

    store.with(|state| state.away = false);
    store.define("app", "/a", "two");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(image(&definitions, "/a").await.unwrap(), "two");
    assert!(image(&definitions, "/b").await.is_err_and(|error| !error.is_unavailable()));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_holds_nobody_up_for_long() {
    let (store, definitions) = definitions();
    store.define("app", "/a", "one");
    image(&definitions, "/a").await.unwrap();
    sleep(Duration::from_secs(1)).await;
    store.with(|state| state.delay = Duration::from_secs(3600));
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..1000 {
        let definitions = Arc::clone(&definitions);
        callers.spawn(async move { image(&definitions, "/a").await.unwrap() });
    }
    callers.join_all().await;
    assert!(began.elapsed() <= Duration::from_millis(300), "{:?}", began.elapsed());
    assert_eq!(asked(&store), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_is_bounded() {
    let store = Arc::new(Fake::default());
    let settings = DefinitionsSettings { capacity: 10, ..DefinitionsSettings::default() };
    let definitions = Definitions::new(Arc::clone(&store) as _, settings);
    let paths: Vec<String> = (0..1000).map(|n| format!("/{n}")).collect();
    for path in paths.iter().step_by(2) {
        store.define("app", path, "i");
    }
    for _ in 0..2 {
        for path in &paths {
            assert_eq!(
                image(&definitions, path).await.is_ok(),
                store.with(|state| state.definitions.contains_key(&format!("app{path}")))
            );
        }
    }
    assert!(asked(&store) > 1900, "almost nothing was remembered: {}", asked(&store));
}

#[tokio::test(start_paused = true)]
async fn what_the_store_fails_on_is_not_taken_for_a_store_that_is_away() {
    let (store, definitions) = definitions();
    store.with(|state| state.broken = true);
    let error = image(&definitions, "/a").await.unwrap_err();
    assert!(matches!(error, Error::Database(_)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn functions_are_asked_for_by_id_under_the_same_rules() {
    let (store, definitions) = definitions();
    let id = FnId::generate();
    let image = async || definitions.resolve_function(id).await.map(|found| found.function.image.clone());
    for _ in 0..10 {
        assert_eq!(image().await.unwrap_err().to_model(), v2::Error::FnNotFound.into());
    }
    assert_eq!(asked(&store), 1);
    store.define_function(id, "one");
    sleep(Duration::from_secs(1)).await;
    for _ in 0..10 {
        assert_eq!(image().await.unwrap(), "one");
    }
    assert_eq!(asked(&store), 2);
    store.define_function(id, "two");
    assert_eq!(image().await.unwrap(), "one");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(image().await.unwrap(), "two");
    definitions.update_function(id, FnPatch::default()).await.unwrap();
    assert_eq!(image().await.unwrap(), "changed");
    store.with(|state| state.away = true);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(image().await.unwrap(), "changed", "the last known definition serves");
}
