//! Removes in the background what deleted apps left behind.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::Datastore;

/// How often it looks when there was nothing to do.
const IDLE: Duration = Duration::from_secs(5);
/// What it leaves to others between two batches.
const PAUSE: Duration = Duration::from_millis(20);

/// Works off the deletions that the store has noted, its own and those that a dead server left.
///
/// It needs no input but the store: whatever is noted there goes, in batches so small that calls do not feel them.
#[derive(Debug)]
pub struct Purger {
    store: Arc<dyn Datastore>,
}

impl Purger {
    /// A purger of `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Datastore>) -> Self {
        Self { store }
    }

    /// Works until `cancel`. What is left then goes after the next start.
    pub async fn run(self, cancel: CancellationToken) {
        loop {
            let pause = match self.store.purge().await {
                Ok(true) => PAUSE,
                Ok(false) => IDLE,
                Err(error) => {
                    tracing::warn!(error = error.chain(), "what deleted apps left behind stays for now");
                    IDLE
                }
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}
