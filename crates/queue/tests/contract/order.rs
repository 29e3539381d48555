use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hearth_datastore::Verdict;
use hearth_models::{AppId, Reason, Status, Timestamp};
use hearth_queue::{AcceptError, QueueSettings};
use tokio::task::JoinSet;

use crate::stand::{Stand, delayed, eventually, node, quick, still, submission};

pub(crate) async fn calls_come_back_by_priority_and_then_as_they_came(mut stand: Stand) {
    let server = stand.still().await;
    let submissions = [0, 1, 0, 2, 1, 0].map(|priority| submission(stand.app.id, priority));
    for submission in &submissions {
        server.accept(submission).await;
    }
    let first = server.queue.reserve(2, &[]).await.unwrap();
    let rest = server.queue.reserve(9, &[]).await.unwrap();
    let came: Vec<_> = first.iter().chain(&rest).map(|delivery| delivery.leased().call.id).collect();
    let expected = [3, 1, 4, 0, 2, 5].map(|n: usize| submissions[n].call.id);
    assert_eq!(came, expected);
    assert_eq!(first[0].leased().payload, submissions[3].payload);
    assert_eq!(server.queue.reserve(9, &[]).await.unwrap().len(), 0);
}

pub(crate) async fn who_waits_is_woken_by_an_accept(mut stand: Stand) {
    let server = stand.still().await;
    let waits = submission(stand.app.id, 0);
    let (delivery, id) = tokio::join!(server.next(), server.accept(&waits));
    assert_eq!(delivery.leased().call.id, id);
}

pub(crate) async fn a_delayed_call_comes_at_its_time_by_itself(mut stand: Stand) {
    let server = stand.still().await;
    let late = server.accept(&delayed(stand.app.id, Duration::from_secs(3600))).await;
    let soon = delayed(stand.app.id, Duration::from_millis(300));
    server.accept(&soon).await;
    let delivery = server.next().await;
    assert_eq!(delivery.leased().call.id, soon.call.id);
    assert!(Timestamp::now() >= soon.due_at);
    assert_eq!(stand.status(late).await, (Status::Delayed, 0));
}

pub(crate) async fn accepts_that_come_together_are_all_stored(mut stand: Stand) {
    let server = stand.server(QueueSettings { group: 7, group_bytes: 20, ..still(node()) }).await;
    let mut clients = JoinSet::new();
    for _ in 0..100 {
        let (queue, submission) = (server.queue.clone(), submission(stand.app.id, 0));
        clients.spawn(async move {
            queue.accept(submission.clone()).await.unwrap();
            submission.call.id
        });
    }
    let accepted = BTreeSet::from_iter(clients.join_all().await);
    for id in &accepted {
        assert_eq!(stand.status(*id).await, (Status::Queued, 0));
    }
    let came = server.queue.reserve(200, &[]).await.unwrap();
    assert_eq!(came.iter().map(|delivery| delivery.leased().call.id).collect::<BTreeSet<_>>(), accepted);
}

pub(crate) async fn an_app_has_a_bound(mut stand: Stand) {
    let server = stand.server(QueueSettings { max_per_app: 2, ..quick(node()) }).await;
    for _ in 0..2 {
        server.accept(&submission(stand.app.id, 0)).await;
    }
    let refused = server.queue.accept(submission(stand.app.id, 0)).await;
    assert_eq!(refused, Err(AcceptError::Full { max: 2 }));
    let delivery = server.next().await;
    stand.succeed(server.node, &delivery).await;
    let again = async || server.queue.accept(submission(stand.app.id, 0)).await.is_ok();
    eventually("there is room", again).await;
}

pub(crate) async fn the_calls_of_an_app_are_counted_by_one_for_all(mut stand: Stand) {
    let server = stand.still().await;
    server.accept(&submission(stand.app.id, 0)).await;
    assert_eq!(server.store.counts.load(Ordering::SeqCst), 1);
    let held_up = server.store.counting.lock().await;
    // One of these finds the count out of date and asks for a new one, in vain for now.
    let mut accepts = JoinSet::new();
    eventually("somebody counts", async || {
        let (queue, submission) = (server.queue.clone(), submission(stand.app.id, 0));
        accepts.spawn(async move { queue.accept(submission).await.unwrap() });
        server.store.counts.load(Ordering::SeqCst) == 2
    })
    .await;
    for _ in 0..20 {
        server.accept(&submission(stand.app.id, 0)).await;
    }
    assert_eq!(server.store.counts.load(Ordering::SeqCst), 2, "others go by what is known");
    drop(held_up);
    while let Some(accepted) = accepts.join_next().await {
        accepted.unwrap();
    }
}

pub(crate) async fn what_cannot_be_stored_is_not_accepted(mut stand: Stand) {
    let server = stand.still().await;
    let (here, gone) = (submission(stand.app.id, 0), submission(AppId::generate(), 0));
    let (accepted, refused) = tokio::join!(server.queue.accept(here.clone()), server.queue.accept(gone));
    assert_eq!((accepted, refused), (Ok(()), Err(AcceptError::AppNotFound)));
    stand.store.close().await;
    assert_eq!(server.queue.accept(submission(stand.app.id, 0)).await, Err(AcceptError::Unavailable));
    assert!(server.queue.reserve(1, &[]).await.unwrap_err().is_unavailable());
}

pub(crate) async fn two_servers_share_the_work(mut stand: Stand) {
    let servers = [stand.quick().await, stand.quick().await];
    let mut waiting = BTreeSet::new();
    for n in 0..40 {
        waiting.insert(servers[n % 2].accept(&submission(stand.app.id, 0)).await);
    }
    for n in 0..40 {
        let server = &servers[n / 7 % 2];
        let delivery = server.next().await;
        assert!(waiting.remove(&delivery.leased().call.id), "a call came twice");
        assert_eq!(delivery.leased().call.attempts, 1);
        assert_eq!(stand.succeed(server.node, &delivery).await.stored, 1);
        delivery.recorded(|| false);
    }
    assert!(waiting.is_empty());
}

pub(crate) async fn functions_without_room_hold_up_nobody(mut stand: Stand) {
    let server = stand.still().await;
    let all: Vec<_> = (0..6).map(|_| submission(stand.app.id, 0)).collect();
    for submission in &all {
        server.accept(submission).await;
    }
    let full: Vec<_> = all[..5].iter().map(|submission| submission.call.fn_id).collect();
    let mut found = Vec::new();
    for _ in 0..6 {
        found.extend(server.queue.reserve(1, &full).await.unwrap());
    }
    assert_eq!(found.iter().map(|delivery| delivery.leased().call.id).collect::<Vec<_>>(), [all[5].call.id]);
    // One has room again: its calls are where they were.
    let rest = server.queue.reserve(9, &full[1..]).await.unwrap();
    assert_eq!(rest.iter().map(|delivery| delivery.leased().call.id).collect::<Vec<_>>(), [all[0].call.id]);
    let rest = server.queue.reserve(9, &[]).await.unwrap();
    let expected: Vec<_> = all[1..5].iter().map(|submission| submission.call.id).collect();
    assert_eq!(rest.iter().map(|delivery| delivery.leased().call.id).collect::<Vec<_>>(), expected);
}

pub(crate) async fn a_function_without_room_keeps_its_place_in_the_order(mut stand: Stand) {
    let server = stand.still().await;
    let all: Vec<_> = (0..6).map(|_| submission(stand.app.id, 0)).collect();
    for submission in &all {
        server.accept(submission).await;
    }
    let full: Vec<_> = all.iter().map(|submission| submission.call.fn_id).collect();
    assert_eq!(server.queue.reserve(3, &full).await.unwrap().len(), 0);
    if let Some(broker) = &server.broker {
        let mut next = Vec::new();
        eventually("the broker was told", async || {
            next = broker.take(1).await.unwrap();
            !next.is_empty()
        })
        .await;
        assert_eq!(next[0].call_id, all[0].call.id, "nobody who cannot run it takes it out");
    }
}

pub(crate) async fn a_call_that_cannot_run_any_more_ends(mut stand: Stand) {
    let server = stand.still().await;
    let id = server.accept(&submission(stand.app.id, 0)).await;
    let verdict = Verdict { reason: Reason::ApiRequest, error: "its route was deleted".to_owned() };
    let delivery = server.next().await;
    assert!(server.queue.discard(delivery, verdict).await.unwrap());
    assert_eq!(stand.status(id).await, (Status::Cancelled, 1));
}
