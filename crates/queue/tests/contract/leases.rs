use std::time::Duration;

use hearth_datastore::{Cancelled, Depth, Verdict};
use hearth_models::{Error, PerPage, Reason, Status, Timestamp};
use hearth_queue::{AcceptError, Attempts, Outcome, QueueCounts, QueueSettings};

use crate::stand::{Stand, delayed, eventually, node, quick, submission};

fn verdict() -> Verdict {
    Verdict { reason: Reason::Platform, error: "container engine unavailable".to_owned() }
}

pub(crate) async fn a_held_lease_is_renewed(mut stand: Stand) {
    let server = stand.quick().await;
    let id = server.accept(&submission(stand.app.id, 0)).await;
    let delivery = server.next().await;
    let lapses = stand.rows().next_due().await.unwrap().unwrap();
    eventually("the first lease would have lapsed", async || Timestamp::now() > lapses).await;
    assert!(stand.rows().next_due().await.unwrap().unwrap() > lapses);
    assert_eq!(stand.status(id).await, (Status::Running, 1));
    assert!(!delivery.lost().is_cancelled());
}

pub(crate) async fn a_result_frees_its_lease(mut stand: Stand) {
    let server = stand.quick().await;
    let id = server.accept(&submission(stand.app.id, 0)).await;
    let delivery = server.next().await;
    let lost = delivery.lost().clone();
    stand.succeed(server.node, &delivery).await;
    delivery.recorded(|| false);
    assert_eq!(stand.status(id).await, (Status::Success, 1));
    assert_eq!(stand.rows().next_due().await.unwrap(), None);
    // The next renewal finds no lease, which is not a loss.
    let next = server.accept(&submission(stand.app.id, 0)).await;
    let renewed = server.next().await;
    let lapses = stand.rows().next_due().await.unwrap();
    eventually("leases were renewed", async || stand.rows().next_due().await.unwrap() > lapses).await;
    assert!(!lost.is_cancelled());
    assert_eq!(renewed.leased().call.id, next);
}

pub(crate) async fn what_is_given_back_is_next_again(mut stand: Stand) {
    let server = stand.still().await;
    let first = server.accept(&submission(stand.app.id, 0)).await;
    let second = server.accept(&submission(stand.app.id, 0)).await;
    let all = server.queue.reserve(2, &[]).await.unwrap();
    server.queue.give_back(all).await.unwrap();
    server.queue.give_back(Vec::new()).await.unwrap();
    assert_eq!(stand.status(first).await, (Status::Queued, 0));
    for id in [first, second] {
        let delivery = server.next().await;
        assert_eq!((delivery.leased().call.id, delivery.leased().call.attempts), (id, 1));
    }
}

pub(crate) async fn a_failed_call_is_tried_again_and_then_given_up(mut stand: Stand) {
    let server = stand.quick().await;
    let id = server.accept(&submission(stand.app.id, 0)).await;
    for attempt in 1..=3 {
        let delivery = server.next().await;
        assert_eq!((delivery.leased().call.id, delivery.leased().call.attempts), (id, attempt));
        let outcome = server.queue.failed(delivery, verdict()).await.unwrap();
        assert_eq!(matches!(outcome, Outcome::Retried(_)), attempt < 3, "{outcome:?}");
        assert_eq!(outcome == Outcome::Dead, attempt == 3, "{outcome:?}");
    }
    let call = stand.store.call(stand.app.id, id).await.unwrap();
    assert_eq!((call.status(), call.reason(), call.attempts), (Status::Error, Some(Reason::Platform), 3));
    assert_eq!(call.error(), Some("given up after 3 attempts: container engine unavailable"));
    assert_eq!(server.queue.dead(stand.app.id, None, PerPage::default()).await.unwrap(), [call]);
}

pub(crate) async fn a_redriven_call_comes_again(mut stand: Stand) {
    let server = stand.quick().await;
    let submission = submission(stand.app.id, 0);
    let id = server.accept(&submission).await;
    while server.queue.failed(server.next().await, verdict()).await.unwrap() != Outcome::Dead {}
    let again = server.queue.redrive(stand.app.id, id).await.unwrap();
    let delivery = server.next().await;
    assert_eq!((delivery.leased().call.id, delivery.leased().call.attempts), (again.id, 1));
    assert_eq!(delivery.leased().payload, submission.payload);
    let gone = server.queue.redrive(stand.app.id, id).await.unwrap_err();
    assert_eq!(gone.to_model(), Error::CallNotFound);
}

pub(crate) async fn a_cancelled_call_is_lost_to_who_runs_it(mut stand: Stand) {
    let (here, there) = (stand.quick().await, stand.quick().await);
    let mut runs = Vec::new();
    for _ in 0..2 {
        let id = here.accept(&submission(stand.app.id, 0)).await;
        runs.push((id, here.next().await));
    }
    let waits = here.accept(&submission(stand.app.id, 0)).await;
    assert_eq!(here.queue.cancel(stand.app.id, waits).await.unwrap(), Cancelled::Waiting);
    for (server, (id, delivery)) in [&here, &there].into_iter().zip(&runs) {
        let met = server.queue.cancel(stand.app.id, *id).await.unwrap();
        assert_eq!(met, Cancelled::Running(delivery.leased().lease()));
        delivery.lost().cancelled().await;
        assert_eq!(stand.succeed(here.node, delivery).await.superseded, 1);
        assert_eq!(stand.status(*id).await, (Status::Cancelled, 1));
        assert_eq!(server.queue.cancel(stand.app.id, *id).await.unwrap(), Cancelled::Ended);
    }
}

pub(crate) async fn all_that_is_done_is_counted(mut stand: Stand) {
    let server = stand.server(QueueSettings { max_per_app: 4, ..quick(node()) }).await;
    let dead = server.accept(&submission(stand.app.id, 0)).await;
    while server.queue.failed(server.next().await, verdict()).await.unwrap() != Outcome::Dead {}
    let again = server.queue.redrive(stand.app.id, dead).await.unwrap();
    let delivery = server.next().await;
    server.queue.cancel(stand.app.id, again.id).await.unwrap();
    drop(delivery);
    server.accept(&submission(stand.app.id, 0)).await;
    server.queue.give_back(vec![server.next().await]).await.unwrap();
    let delivery = server.next().await;
    stand.succeed(server.node, &delivery).await;
    delivery.recorded(|| false);
    server.accept(&submission(stand.app.id, 0)).await;
    assert!(server.queue.discard(server.next().await, verdict()).await.unwrap());
    while server.queue.accept(delayed(stand.app.id, Duration::from_secs(60))).await.is_ok() {}
    let refused = server.queue.accept(submission(stand.app.id, 0)).await;
    assert_eq!(refused, Err(AcceptError::Full { max: 4 }));
    let counts = server.queue.counts();
    let attempts = Attempts { leased: 7, recorded: 1, retried: 2, given_up: 1, given_back: 1, discarded: 1, lost: 1 };
    let QueueCounts { accepted, full, failed, cancelled, lapsed, dead, redriven, .. } = counts;
    assert_eq!(counts.attempts, attempts);
    assert_eq!((failed, cancelled, lapsed, dead, redriven), (0, 1, 0, 1, 1));
    assert!(accepted >= 4 && full >= 2, "{counts:?}");
}

pub(crate) async fn a_server_knows_how_full_the_queue_is(mut stand: Stand) {
    let (ready, later) = (submission(stand.app.id, 1), delayed(stand.app.id, Duration::from_secs(60)));
    let oldest = ready.due_at;
    stand.rows().accept(node(), &[submission(stand.app.id, 2), ready, later]).await.unwrap();
    let server = stand.still().await;
    eventually("it is counted", async || server.queue.counted().is_some()).await;
    let counted = server.queue.counted().unwrap();
    assert_eq!(counted.depth, Depth { ready: 2, delayed: 1, leased: 0, dead: 0, oldest: Some(oldest) });
}
