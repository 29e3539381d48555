//! What the passing of time must not do: take a call from a server that still works for it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use hearth_models::{Status, Timestamp};
use hearth_queue::QueueSettings;
use tokio::time::Instant;

use crate::stand::{Stand, delayed, eventually, node, quick, submission};

pub(crate) async fn a_call_outlives_an_outage_that_is_longer_than_its_lease(mut stand: Stand) {
    let server = stand.quick().await;
    // Another one that could take it back, and gives its peers a second for a sign of life.
    let other = stand.server(QueueSettings { renew: Duration::from_secs(1), ..quick(node()) }).await;
    let id = server.accept(&submission(stand.app.id, 0)).await;
    let delivery = server.next().await;
    for store in [&server.store, &other.store] {
        store.set_away(true);
    }
    let lapses = stand.rows().next_due().await.unwrap().unwrap();
    eventually("the lease would have lapsed", async || Timestamp::now() > lapses).await;
    for store in [&server.store, &other.store] {
        store.set_away(false);
    }
    eventually("it is renewed", async || stand.rows().next_due().await.unwrap() > Some(lapses)).await;
    assert_eq!(stand.status(id).await, (Status::Running, 1));
    assert!(!delivery.lost().is_cancelled());
    assert_eq!(stand.succeed(server.node, &delivery).await.stored, 1);
}

pub(crate) async fn a_clock_that_is_set_forward_takes_no_call_away(mut stand: Stand) {
    let server = stand.quick().await;
    let other = stand.server(QueueSettings { renew: Duration::from_secs(1), ..quick(node()) }).await;
    let id = server.accept(&submission(stand.app.id, 0)).await;
    let delivery = server.next().await;
    for store in [&server.store, &other.store] {
        store.set_ahead(Duration::from_secs(3600));
    }
    let far = Timestamp::now().after(Duration::from_secs(3000));
    eventually("it is renewed", async || stand.rows().next_due().await.unwrap() > Some(far)).await;
    assert_eq!(stand.status(id).await, (Status::Running, 1));
    assert!(!delivery.lost().is_cancelled());
}

pub(crate) async fn what_is_due_and_locked_is_waited_for_without_haste(mut stand: Stand) {
    let server = stand.quick().await;
    server.store.set_locked(true);
    let begun = Instant::now();
    server.accept(&delayed(stand.app.id, Duration::from_millis(1))).await;
    let asked = || server.store.advances.load(Ordering::SeqCst);
    eventually("it is looked for again and again", async || asked() >= 5).await;
    let pauses = begun.elapsed().as_millis() / 20;
    assert!(asked() as u128 <= pauses + 3, "{} times in {:?}", asked(), begun.elapsed());
    server.store.set_locked(false);
    server.next().await;
}

pub(crate) async fn many_leases_are_renewed_in_parts(mut stand: Stand) {
    let server = stand.quick().await;
    let all: Vec<_> = (0..1100).map(|_| submission(stand.app.id, 0)).collect();
    stand.rows().accept(server.node, &all).await.unwrap();
    let mut held = Vec::new();
    while held.len() < all.len() {
        held.extend(server.queue.reserve(2000, &[]).await.unwrap());
        server.queue.wait().await;
    }
    let lapses = stand.rows().next_due().await.unwrap();
    eventually("all are renewed", async || stand.rows().next_due().await.unwrap() > lapses).await;
    assert_eq!(stand.rows().depth().await.unwrap().leased, 1100);
    let most = server.store.most_renewed.load(Ordering::SeqCst);
    assert!((1..=500).contains(&most), "{most} in one go");
    assert!(held.iter().all(|delivery| !delivery.lost().is_cancelled()));
}

pub(crate) async fn a_result_is_renewed_only_while_it_is_on_its_way(mut stand: Stand) {
    let server = stand.quick().await;
    server.accept(&submission(stand.app.id, 0)).await;
    let delivery = server.next().await;
    let (on_its_way, lost) = (tokio_util::sync::CancellationToken::new(), delivery.lost().clone());
    let still = on_its_way.clone();
    delivery.recorded(move || !still.is_cancelled());
    let lapses = stand.rows().next_due().await.unwrap();
    eventually("it is renewed", async || stand.rows().next_due().await.unwrap() > lapses).await;
    on_its_way.cancel();
    // Nobody renews it any more, so it lapses.
    assert_eq!(server.next().await.leased().call.attempts, 2);
    assert!(!lost.is_cancelled(), "nobody works for it who could be told");
}
