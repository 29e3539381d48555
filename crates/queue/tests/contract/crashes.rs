//! Each of these is a moment in which a server may die.

use std::sync::Arc;

use hearth_datastore::Node;
use hearth_models::{InstanceId, Status};
use hearth_queue::{AcceptError, QueueSettings};
use tokio::task::JoinSet;

use crate::stand::{Stand, node, still, submission};

pub(crate) async fn who_dies_with_a_lease_loses_it(mut stand: Stand) {
    let dies = stand.quick().await;
    let id = dies.accept(&submission(stand.app.id, 0)).await;
    let ran = dies.next().await;
    dies.stop.cancel();
    let lives = stand.quick().await;
    let delivery = lives.next().await;
    assert_eq!((delivery.leased().call.id, delivery.leased().call.attempts), (id, 2));
    assert_eq!(stand.succeed(dies.node, &ran).await.superseded, 1);
    assert_eq!(stand.status(id).await, (Status::Running, 2));
    assert_eq!(stand.succeed(lives.node, &delivery).await.stored, 1);
    assert_eq!(stand.status(id).await, (Status::Success, 2));
}

pub(crate) async fn a_restarted_server_takes_its_calls_up_at_once(mut stand: Stand) {
    let dies = stand.still().await;
    let id = dies.accept(&submission(stand.app.id, 0)).await;
    let _ran = dies.next().await;
    dies.stop.cancel();
    let node = Node { instance_id: InstanceId::generate(), ..dies.node };
    let lives = stand.server(still(node)).await;
    assert_eq!(lives.queue.recover().await.unwrap(), 1);
    assert_eq!(lives.queue.recover().await.unwrap(), 0);
    let delivery = lives.next().await;
    assert_eq!((delivery.leased().call.id, delivery.leased().call.attempts), (id, 2));
}

pub(crate) async fn what_was_stored_and_never_announced_is_found(mut stand: Stand) {
    let stored = submission(stand.app.id, 0);
    stand.rows().accept(node(), std::slice::from_ref(&stored)).await.unwrap();
    let server = stand.quick().await;
    assert_eq!(server.next().await.leased().call.id, stored.call.id);
}

pub(crate) async fn what_was_taken_and_never_leased_is_found(mut stand: Stand) {
    let server = stand.quick().await;
    let id = server.accept(&submission(stand.app.id, 0)).await;
    if let Some(broker) = &server.broker {
        broker.take(9).await.unwrap();
    }
    let delivery = server.next().await;
    assert_eq!((delivery.leased().call.id, delivery.leased().call.attempts), (id, 1));
}

pub(crate) async fn what_has_ended_is_not_run_again(mut stand: Stand) {
    let server = stand.still().await;
    let first = submission(stand.app.id, 0);
    server.accept(&first).await;
    let delivery = server.next().await;
    stand.succeed(server.node, &delivery).await;
    if let Some(broker) = &server.broker {
        broker.push(&[first.standing()]).await.unwrap();
    }
    let second = server.accept(&submission(stand.app.id, 0)).await;
    assert_eq!(server.next().await.leased().call.id, second);
    assert_eq!(server.queue.reserve(9, &[]).await.unwrap().len(), 0);
    assert_eq!(stand.status(first.call.id).await, (Status::Success, 1));
}

pub(crate) async fn accepted_before_the_stop_is_stored(mut stand: Stand) {
    let server = stand.server(QueueSettings { group: 1, max_accepting: 5, ..still(node()) }).await;
    let store = Arc::clone(&server.store);
    let held_up = store.accepting.lock().await;
    let mut clients = JoinSet::new();
    for submission in (0..20).map(|_| submission(stand.app.id, 0)) {
        let queue = server.queue.clone();
        clients.spawn(async move { (submission.call.id, queue.accept(submission).await) });
    }
    // Those for whom there is no place know it at once; then the others wait for their commit.
    let mut refused = Vec::new();
    while refused.len() < 14 {
        let (id, answer) = clients.join_next().await.unwrap().unwrap();
        assert_eq!(answer, Err(AcceptError::Unavailable));
        refused.push(id);
    }
    server.stop.cancel();
    drop(held_up);
    stand.all_stopped().await;
    let mut stored = 0;
    for (id, answer) in clients.join_all().await {
        match answer {
            Ok(()) => {
                assert_eq!(stand.status(id).await.0, Status::Queued);
                stored += 1;
            }
            Err(_) => refused.push(id),
        }
    }
    assert!(stored >= 5, "{stored}");
    for id in refused {
        assert!(stand.store.call(stand.app.id, id).await.is_err(), "refused and stored");
    }
}
