//! Clients that submit calls, cancel some, and look at others, whatever happens to the servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::api::{Api, Looked, Submitted};
use crate::ledger::{Body, Ledger};
use crate::plan::{COLD, Call};
use crate::witness::{digest, digests};

const CLIENTS: usize = 8;
/// Between two tries of a submission that was not accepted, and two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Clients at work.
#[derive(Debug)]
pub(crate) struct Load {
    clients: JoinSet<()>,
    watcher: JoinSet<()>,
    released: Arc<Semaphore>,
}

/// What clients share.
#[derive(Debug)]
struct Work {
    calls: Vec<Call>,
    next: AtomicUsize,
    apis: Vec<Api>,
    ledger: Arc<Ledger>,
    released: Arc<Semaphore>,
}

// === impl Load ===

impl Load {
    /// Clients that will submit `calls`, each of them once it was released.
    pub(crate) fn begin(calls: Vec<Call>, apis: &[Api], ledger: &Arc<Ledger>, seed: u64) -> Self {
        let released = Arc::new(Semaphore::new(0));
        let work = Arc::new(Work {
            calls,
            next: AtomicUsize::new(0),
            apis: apis.to_vec(),
            ledger: Arc::clone(ledger),
            released: Arc::clone(&released),
        });
        let (mut clients, mut watcher) = (JoinSet::new(), JoinSet::new());
        for _ in 0..CLIENTS {
            clients.spawn(submit_all(Arc::clone(&work)));
        }
        watcher.spawn(look_on(work, seed));
        Self { clients, watcher, released }
    }

    /// So many more calls may be submitted.
    pub(crate) fn release(&self, calls: usize) {
        self.released.add_permits(calls);
    }

    /// Waits until all are accepted.
    pub(crate) async fn end(mut self) -> Result<()> {
        while let Some(ended) = self.clients.join_next().await {
            ended?;
        }
        self.watcher.shutdown().await;
        Ok(())
    }
}

async fn submit_all(work: Arc<Work>) {
    loop {
        let number = work.next.fetch_add(1, Ordering::SeqCst);
        let Some(call) = work.calls.get(number) else { return };
        if let Ok(permit) = work.released.acquire().await {
            permit.forget();
        }
        let id = submit(&work, number, call).await;
        if let Some(after) = call.cancel_after {
            sleep(after).await;
            match work.apis[(number + 1) % work.apis.len()].cancel(&id).await {
                Ok(outcome) => work.ledger.cancelled(&id, outcome),
                Err(fault) => work.ledger.fault(format!("{fault:#}")),
            }
        }
    }
}

/// Submits a call until it is accepted. Gives its id.
async fn submit(work: &Work, number: usize, call: &Call) -> String {
    for attempt in 0.. {
        let body = body(number, attempt, call.body_bytes);
        let beginnings = if call.path == COLD { digests(&body[..body.len() - 1]).collect() } else { Vec::new() };
        let promised = Body { digest: digest(&body), beginnings };
        match work.apis[(number + attempt) % work.apis.len()].submit(call, body).await {
            Ok(Submitted::Accepted(id)) => {
                work.ledger.accepted(&id, promised);
                return id;
            }
            Ok(Submitted::Unsent) => {}
            // The connection to the database may have been cut in the very moment of the commit.
            Ok(Submitted::Refused | Submitted::Unanswered) => work.ledger.uncertain(),
            Err(fault) => work.ledger.fault(format!("{fault:#}")),
        }
        sleep(PAUSE).await;
    }
    unreachable!("attempts are not counted to their end")
}

/// A body that no other submission has, of text, because `json` carries nothing else.
fn body(number: usize, attempt: usize, bytes: usize) -> Vec<u8> {
    let mut body = format!("{number} {attempt} ").into_bytes();
    body.extend((b' '..=b'~').cycle().skip(number % 90).take(bytes));
    body
}

/// Looks at calls that were accepted. Never ends.
async fn look_on(work: Arc<Work>, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    loop {
        sleep(PAUSE).await;
        let Some(id) = work.ledger.any(random.u64(..)) else { continue };
        let api = &work.apis[random.usize(..work.apis.len())];
        match api.look(&id).await {
            Ok(Looked::There(record)) => work.ledger.seen(&id, Some(record)),
            Ok(Looked::Missing) => work.ledger.seen(&id, None),
            Ok(Looked::Unanswered) => {}
            Err(fault) => work.ledger.fault(format!("{fault:#}")),
        }
    }
}
