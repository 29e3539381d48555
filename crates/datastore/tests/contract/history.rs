use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use hearth_datastore::{Datastore, Duty, Keeper, KeeperSettings, Node, Record, Retention};
use hearth_models::{App, AppId, Call, CallFilter, CallId, Error, InstanceId, PerPage, Timestamp};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use crate::make::{accepted, app, node, record, running, succeeded, told};

const DAY: i64 = 86_400_000;

fn newest(calls: u64) -> Retention {
    Retention { calls: NonZeroU64::new(calls), age: None }
}

fn younger_than(days: u64) -> Retention {
    Retention { age: Some(Duration::from_secs(days * 86_400)), calls: None }
}

/// A call that was accepted so many days ago, and has ended.
fn days_ago(app_id: AppId, days: i64) -> Call {
    let at = Timestamp::now().as_millis() - days * DAY;
    let mut call = succeeded(app_id, "/");
    call.id = Ulid::from_parts(at.unsigned_abs(), u128::from(rand())).to_string().parse().unwrap();
    call.created_at = Timestamp::from_millis(at);
    call
}

/// Different each time.
fn rand() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

async fn store_all(store: &dyn Datastore, calls: &[&Call]) {
    let records: Vec<Arc<Record>> = calls.iter().map(|call| record((*call).clone(), &b"log"[..])).collect();
    store.record(node(), &records).await.unwrap();
}

async fn listed(store: &dyn Datastore, app_id: AppId) -> Vec<CallId> {
    let filter = CallFilter { per_page: PerPage::from_query(Some("100")), ..CallFilter::default() };
    store.calls(app_id, &filter).await.unwrap().iter().map(|call| call.id).collect()
}

pub(crate) async fn the_newest_calls_are_kept(store: Arc<dyn Datastore>) {
    let (app, other) = (app(&*store, "app").await, app(&*store, "other").await);
    let calls: Vec<Call> = (0..5).map(|_| succeeded(app.id, "/")).collect();
    store_all(&*store, &calls.iter().collect::<Vec<_>>()).await;
    store_all(&*store, &[&succeeded(other.id, "/")]).await;
    for (keep, oldest) in [(1, Some(4)), (3, Some(2)), (4, Some(1)), (5, None), (u64::MAX, None)] {
        let kept = store.oldest_kept(app.id, newest(keep)).await.unwrap();
        assert_eq!(kept, oldest.map(|at: usize| calls[at].id), "{keep}");
    }
    assert_eq!(store.oldest_kept(app.id, Retention::default()).await.unwrap(), None);
}

pub(crate) async fn young_calls_are_kept(store: Arc<dyn Datastore>) {
    let app = app(&*store, "app").await;
    let calls = [9, 6, 4, 0].map(|days| days_ago(app.id, days));
    store_all(&*store, &calls.iter().collect::<Vec<_>>()).await;
    let from = store.oldest_kept(app.id, younger_than(5)).await.unwrap().unwrap();
    assert!(calls[1].id < from && from < calls[2].id, "{from}");
    assert!(store.oldest_kept(app.id, younger_than(100_000)).await.unwrap().unwrap() < calls[0].id);
    // Both bounds hold.
    let both = |days, calls| Retention { calls: NonZeroU64::new(calls), ..younger_than(days) };
    assert_eq!(store.oldest_kept(app.id, both(5, 1)).await.unwrap(), Some(calls[3].id));
    let by_age = store.oldest_kept(app.id, both(5, 100)).await.unwrap().unwrap();
    assert!(from <= by_age && by_age < calls[2].id, "{by_age}");
}

/// Once a clock was set, ids lie about the age of calls, and `created_at` does not.
pub(crate) async fn no_call_goes_before_its_time(store: Arc<dyn Datastore>) {
    let app = app(&*store, "app").await;
    let mut call = days_ago(app.id, 9);
    call.created_at = Timestamp::from_millis(Timestamp::now().as_millis() - 4 * DAY);
    store_all(&*store, &[&call]).await;
    let from = store.oldest_kept(app.id, younger_than(5)).await.unwrap().unwrap();
    assert!(from <= call.id, "{from}");
}

pub(crate) async fn only_ended_calls_are_removed_and_their_logs_with_them(store: Arc<dyn Datastore>) {
    let app = app(&*store, "app").await;
    let ended: Vec<Call> = (0..3).map(|_| succeeded(app.id, "/")).collect();
    let open = [running(app.id, "/"), accepted(app.id, "/")];
    let last = succeeded(app.id, "/");
    store_all(&*store, &[&ended[0], &open[0], &ended[1], &open[1], &ended[2], &last]).await;
    let ids: Vec<CallId> = ended.iter().map(|call| call.id).collect();

    assert_eq!(store.ended(app.id, None, last.id, 10).await.unwrap(), ids);
    assert_eq!(store.ended(app.id, None, last.id, 2).await.unwrap(), ids[..2]);
    assert_eq!(store.ended(app.id, Some(ids[0]), ids[2], 10).await.unwrap(), ids[1..2]);
    assert!(store.ended(AppId::generate(), None, last.id, 10).await.unwrap().is_empty());

    assert_eq!(store.remove_calls(app.id, &[]).await.unwrap(), 0);
    assert_eq!(store.remove_calls(app.id, &ids).await.unwrap(), 3);
    assert_eq!(store.remove_calls(app.id, &ids).await.unwrap(), 0, "another server may have been quicker");
    assert_eq!(listed(&*store, app.id).await, [last.id, open[1].id, open[0].id]);
    for call in &ended {
        assert_eq!(told(store.log(app.id, call.id).await), Error::LogNotFound);
    }
    for id in [open[0].id, open[1].id, last.id] {
        assert_eq!(store.log(app.id, id).await.unwrap(), "log");
    }
}

pub(crate) async fn a_duty_has_one_holder_at_a_time(store: Arc<dyn Datastore>) {
    let one = node();
    let other = Node { instance_id: InstanceId::generate(), ..one };
    let take =
        async |node: Node, ms: u64| store.take_duty(Duty::Keeper, node, Duration::from_millis(ms)).await.unwrap();
    assert!(take(one, 60_000).await);
    assert!(!take(other, 60_000).await);
    assert!(take(one, 0).await, "whoever has it may take it again");
    let give_up = Instant::now() + Duration::from_secs(30);
    while !take(other, 60_000).await {
        assert!(Instant::now() < give_up, "a duty that has run out is free");
        sleep(Duration::from_millis(1)).await;
    }
    assert!(!take(one, 0).await);
}

/// Keepers of several servers on one store, while calls are recorded.
pub(crate) async fn keepers_remove_what_is_not_kept_and_nothing_else(store: Arc<dyn Datastore>) {
    let (small, large, gone) = (app(&*store, "a").await, app(&*store, "b").await, app(&*store, "c").await);
    let old = running(large.id, "/");
    store_all(&*store, &[&old, &succeeded(small.id, "/")]).await;
    for app in [&large, &gone] {
        let calls: Vec<Call> = (0..700).map(|_| succeeded(app.id, "/")).collect();
        store_all(&*store, &calls.iter().collect::<Vec<_>>()).await;
    }
    store.remove_app("c").await.unwrap();
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let watches: Vec<_> = (0..3)
        .map(|_| {
            let keeper = Keeper::new(store.clone(), store.clone(), KeeperSettings::new(node(), newest(50)));
            let watch = keeper.watch();
            tasks.spawn(keeper.run(stop.clone()));
            watch
        })
        .collect();

    let give_up = Instant::now() + Duration::from_secs(120);
    loop {
        let kept = watches.iter().map(|watch| watch.kept());
        let (trimmed, purged) = kept.fold((0, 0), |(trimmed, purged), kept| {
            assert_eq!(kept.failures, 0);
            (trimmed + kept.trimmed, purged + kept.purged_apps)
        });
        if (trimmed, purged) == (650, 1) {
            break;
        }
        assert!(Instant::now() < give_up, "{trimmed} trimmed");
        sleep(Duration::from_millis(10)).await;
    }
    stop.cancel();
    tasks.join_all().await;
    assert_eq!(listed(&*store, large.id).await.len(), 51);
    assert_eq!(store.removed_app().await.unwrap(), None);
    assert_eq!(listed(&*store, large.id).await.last(), Some(&old.id), "a call that runs is kept whatever its age");
    assert_eq!(listed(&*store, small.id).await.len(), 1);
    assert!(listed(&*store, gone.id).await.is_empty());
}

pub(crate) async fn nothing_of_a_removed_app_is_left_when_its_calls_end_late(store: Arc<dyn Datastore>) {
    let app: App = app(&*store, "app").await;
    let call = running(app.id, "/");
    store_all(&*store, &[&call]).await;
    store.remove_app("app").await.unwrap();
    let mut ended = call.clone();
    ended.succeed().unwrap();
    let late = store.record(node(), &[record(ended.clone(), &b"late"[..])]).await.unwrap();
    assert_eq!((late.stored, late.discarded), (0, 1));
    while store.purge(app.id, 10).await.unwrap() {}
    let late = store.record(node(), &[record(ended, &b"later"[..])]).await.unwrap();
    assert_eq!((late.stored, late.discarded), (0, 1));
    assert_eq!(told(store.call(app.id, call.id).await), Error::CallNotFound);
    assert_eq!(told(store.log(app.id, call.id).await), Error::LogNotFound);
}
