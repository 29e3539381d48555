//! Lists out of two places, against the list that one place would show.

use hearth_datastore::Record;
use hearth_models::{CallFilter, PerPage, Status};
use proptest::prelude::*;

use crate::bench::Bench;
use crate::support::page;

/// Where a call stands when it is listed.
#[derive(Clone, Copy, Debug)]
enum Place {
    Stored,
    StoredRunning,
    Live,
    LongLive,
    Pending,
    LongPending,
}

fn any_place() -> impl Strategy<Value = Place> {
    use Place::*;
    prop::sample::select(vec![Stored, StoredRunning, Live, LongLive, Pending, LongPending])
}

async fn listed_as_if_all_were_stored(places: &[Place], n: usize, status: Option<Status>) {
    let bench = Bench::new(|_| {});
    bench.store.with(|state| state.away = true);
    let mut truth = Vec::new();
    for place in places {
        let mut call = bench.accepted();
        call.start().unwrap();
        let long = matches!(place, Place::LongLive | Place::LongPending | Place::StoredRunning);
        if long {
            bench.store.with(|state| state.calls.insert(call.id, call.clone()));
        }
        if matches!(place, Place::Live | Place::LongLive) {
            bench.recorder.begin(&call);
        }
        if matches!(place, Place::Stored | Place::Pending | Place::LongPending) {
            call.succeed().unwrap();
        }
        if matches!(place, Place::Stored) {
            bench.store.with(|state| state.calls.insert(call.id, call.clone()));
        }
        if matches!(place, Place::Pending | Place::LongPending) {
            bench.recorder.accept(Record { call: call.clone(), log: None });
        }
        truth.push(call);
    }
    let per_page = PerPage::from_query(Some(&n.to_string()));
    let mut filter = CallFilter { per_page, status, ..CallFilter::default() };
    loop {
        // The writer tries only while this test waits, and the store answers only this list.
        bench.store.with(|state| state.away = false);
        let listed = bench.recorder.calls(bench.app_id, &filter).await.unwrap();
        bench.store.with(|state| state.away = true);
        assert_eq!(listed, page(truth.iter(), bench.app_id, &filter), "{places:?} {filter:?}");
        filter.cursor = listed.last().map(|call| call.id.to_string());
        if listed.len() < n {
            break;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn a_list_shows_what_is_in_memory_and_what_is_stored_as_one(
        places in prop::collection::vec(any_place(), 0..40),
        n in 1usize..8,
        status in prop::option::of(prop::sample::select(vec![Status::Running, Status::Success])),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(listed_as_if_all_were_stored(&places, n, status));
    }
}
