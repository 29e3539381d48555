//! How full the queue is, for whoever watches it.
//!
//! To count is to walk through all of an index, so nobody who asks makes the store count: a task does, now and then, and
//! the longer it takes the more seldom. Who asks gets the last figures, and is told when they were taken.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hearth_datastore::{Depth, QueueStore};
use hearth_models::Timestamp;
use tokio::time::{Instant, sleep};

/// Between two counts.
const PAUSE: Duration = Duration::from_secs(5);
/// Counting takes no more than this part of the time.
const PART: u32 = 100;

/// How full the queue was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// What was counted, of all servers on the store.
    pub depth: Depth,
    /// When, by this host's clock.
    pub at: Timestamp,
}

/// Counts.
#[derive(Debug, Default)]
pub(crate) struct Census {
    last: Mutex<Option<Counted>>,
}

impl Census {
    pub(crate) fn last(&self) -> Option<Counted> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts again and again. Never ends.
    pub(crate) async fn take(&self, store: &dyn QueueStore) {
        loop {
            let begun = Instant::now();
            match store.depth().await {
                Ok(depth) => {
                    let counted = Some(Counted { depth, at: Timestamp::now() });
                    *self.last.lock().unwrap_or_else(PoisonError::into_inner) = counted;
                }
                Err(error) => tracing::debug!(error = error.chain(), "the queue could not be counted"),
            }
            sleep(PAUSE.max(begun.elapsed().saturating_mul(PART))).await;
        }
    }
}
