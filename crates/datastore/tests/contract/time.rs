use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hearth_datastore::{Datastore, Payload, Submission, Terms};
use hearth_models::{Call, CallType, FnId, Priority, Status, Timestamp};

use crate::make::{app, node};

pub(crate) async fn the_clock_tells_the_time_and_goes_on(store: Arc<dyn Datastore>) {
    let queue = store.queue();
    let first = queue.clock().await.unwrap();
    let now = Timestamp::now();
    let off = now.since(first).max(first.since(now));
    assert!(off < Duration::from_secs(60), "the database is on this host, and {off:?} away");
    while queue.clock().await.unwrap() <= first {}
}

pub(crate) async fn delays_end_while_leases_are_kept(store: Arc<dyn Datastore>) {
    let app = app(&*store, "app").await;
    let queue = Arc::clone(&store).queue();
    let due = Timestamp::now();
    let submission = |call| Submission {
        call,
        priority: Priority::default(),
        due_at: due,
        payload: Payload { head: "{}".to_owned(), body: Bytes::new() },
    };
    let runs = submission(Call::accept(app.id, FnId::generate(), CallType::Async));
    let waits = submission(Call::accept_delayed(app.id, FnId::generate()));
    queue.accept(node(), &[runs.clone(), waits.clone()]).await.unwrap();
    queue.reserve(Terms { node: node(), except: &[], now: due, until: due }, 9).await.unwrap();
    let advanced = queue.advance_delays(due).await.unwrap();
    assert_eq!((&*advanced.due, &*advanced.lapsed), (&[waits.standing()][..], &[][..]));
    assert!(queue.advance_delays(due).await.unwrap().is_empty());
    assert_eq!(store.call(app.id, runs.call.id).await.unwrap().status(), Status::Running);
    assert_eq!(queue.advance(due, 9).await.unwrap().lapsed, [runs.standing()]);
}

pub(crate) async fn a_store_is_told_from_others(store: Arc<dyn Datastore>) {
    let queue = store.queue();
    let identity = queue.identity().await.unwrap();
    assert!(identity.len() >= 26 && identity.chars().all(|c| c.is_ascii_alphanumeric()), "{identity}");
    assert_eq!(queue.identity().await.unwrap(), identity);
    let other = crate::make::sqlite().await;
    let another = other.open().await;
    assert_ne!(Arc::clone(&another).queue().identity().await.unwrap(), identity);
    another.close().await;
    other.remove().await;
}
