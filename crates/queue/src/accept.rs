//! Accepts that come together are committed together: a commit waits for the disk, and one wait serves them all.

use hearth_datastore::{Error, StoreOperation, Submission};
use hearth_models::{CallId, Status};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::queue::Shared;

/// Why a call was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// Its app is gone.
    #[error("app not found")]
    AppNotFound,
    /// Its app has as many calls in the queue as it may.
    #[error("too many calls of this app are queued, max {max}")]
    Full {
        /// How many it may have.
        max: u64,
    },
    /// The store is away, or too slow for what comes in. Nothing of the call is stored, unless the store was lost in the
    /// very moment of the commit: then the call may run.
    #[error("queue unavailable")]
    Unavailable,
    /// The store refused the call; the server's log says why.
    #[error("queue failed")]
    Failed,
}

/// A call that waits for its commit, and who waits for it.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) submission: Submission,
    pub(crate) done: oneshot::Sender<Result<(), AcceptError>>,
}

/// Commits what comes, as much as there is each time, until `cancel`; then what has come already.
pub(crate) async fn commit_all(shared: &Shared, mut requests: mpsc::Receiver<Request>, cancel: &CancellationToken) {
    let mut waiting = Vec::new();
    loop {
        let came = requests.recv_many(&mut waiting, shared.settings.group);
        match cancel.run_until_cancelled(came).await {
            Some(0) => return,
            Some(_) => {}
            None => break,
        }
        commit_waiting(shared, &mut waiting).await;
    }
    requests.close();
    while requests.recv_many(&mut waiting, shared.settings.group).await > 0 {
        commit_waiting(shared, &mut waiting).await;
    }
}

async fn commit_waiting(shared: &Shared, waiting: &mut Vec<Request>) {
    while !waiting.is_empty() {
        let fits = first_group(waiting, shared.settings.group_bytes);
        let group = waiting.drain(..fits).collect();
        commit(shared, group).await;
    }
}

/// How many of `waiting` go into one commit: at least one.
fn first_group(waiting: &[Request], max_bytes: usize) -> usize {
    let mut bytes = 0;
    let fits = |request: &&Request| {
        bytes += request.submission.payload.body.len() + request.submission.payload.head.len();
        bytes <= max_bytes
    };
    waiting.iter().take_while(fits).count().max(1)
}

/// Commits a group; where the store refuses, halves it until the refused call stands alone.
async fn commit(shared: &Shared, group: Vec<Request>) {
    let mut parts = vec![group];
    while let Some(mut part) = parts.pop() {
        let (submissions, callers): (Vec<_>, Vec<_>) =
            part.drain(..).map(|request| (request.submission, request.done)).unzip();
        let accepted = shared.store.accept(shared.settings.node, &submissions);
        match shared.settings.observed.ask(StoreOperation::Push, accepted).await {
            Ok(gone) => {
                shared.counters.accepted.add(submissions.len().saturating_sub(gone.len()));
                for (submission, caller) in submissions.iter().zip(callers) {
                    let accepted =
                        if gone.contains(&submission.call.id) { Err(AcceptError::AppNotFound) } else { Ok(()) };
                    // A client that left does not take its call back.
                    let _ = caller.send(accepted);
                }
                announce(shared, &submissions, &gone);
            }
            Err(Error::Refused(_)) if submissions.len() > 1 => {
                let mut requests: Vec<Request> = submissions
                    .into_iter()
                    .zip(callers)
                    .map(|(submission, done)| Request { submission, done })
                    .collect();
                parts.push(requests.split_off(requests.len() / 2));
                parts.push(requests);
            }
            Err(error) => {
                tracing::warn!(calls = submissions.len(), error = error.chain(), "calls could not be queued");
                shared.counters.failed.add(submissions.len());
                let told = if error.is_unavailable() { AcceptError::Unavailable } else { AcceptError::Failed };
                for caller in callers {
                    let _ = caller.send(Err(told));
                }
            }
        }
    }
}

fn announce(shared: &Shared, accepted: &[Submission], gone: &[CallId]) {
    let here = || accepted.iter().filter(|submission| !gone.contains(&submission.call.id));
    if here().any(|submission| submission.call.status() == Status::Delayed) {
        shared.due.notify_one();
    }
    let ready = here().filter(|submission| submission.call.status() == Status::Queued);
    shared.announce(&ready.map(Submission::standing).collect::<Vec<_>>());
}
