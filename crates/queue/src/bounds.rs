//! How many calls an app may have in the queue.
//!
//! Counting them for every accept would cost more than the accept, so the store is asked at most once a second per app,
//! by one accept for all, and what this process accepted since is added. What ended since, and what other servers
//! accepted, counts from the next time on: the bound is kept within what happens in a second.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hearth_datastore::{QueueStore, Result};
use hearth_models::AppId;
use tokio::time::Instant;

const FRESH: Duration = Duration::from_secs(1);
/// Apps that are kept in mind before those that are out of date are forgotten.
const KEPT: usize = 1000;

#[derive(Clone, Copy, Debug)]
struct Count {
    calls: u64,
    at: Instant,
    /// Somebody asks the store for a new one.
    counting: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Bounds {
    counts: Mutex<HashMap<AppId, Count>>,
}

/// Whoever asks the store for one app; until it has its answer, others go by what is known.
struct Counting<'a> {
    bounds: &'a Bounds,
    app: AppId,
}

impl Drop for Counting<'_> {
    fn drop(&mut self) {
        if let Some(count) = self.bounds.lock().get_mut(&self.app) {
            count.counting = false;
        }
    }
}

impl Bounds {
    /// Whether the app may have one more, which is counted then.
    pub(crate) async fn admit(&self, store: &dyn QueueStore, app: AppId, max: u64) -> Result<bool> {
        if let Some(admitted) = self.try_admit(app, max) {
            return Ok(admitted);
        }
        let _counting = Counting { bounds: self, app };
        let calls = store.waiting(app).await?;
        let mut counts = self.lock();
        if counts.len() >= KEPT {
            counts.retain(|_, count| count.at.elapsed() < FRESH);
        }
        counts.insert(app, Count { calls, at: Instant::now(), counting: false });
        drop(counts);
        Ok(self.try_admit(app, max).unwrap_or(calls < max))
    }

    /// None: nothing is known, or it is out of date and this caller's to ask for.
    fn try_admit(&self, app: AppId, max: u64) -> Option<bool> {
        let mut counts = self.lock();
        let count = counts.get_mut(&app)?;
        if count.at.elapsed() >= FRESH && !std::mem::replace(&mut count.counting, true) {
            return None;
        }
        let admitted = count.calls < max;
        count.calls += u64::from(admitted);
        Some(admitted)
    }

    /// Every change under the lock is complete before anything can panic, so poison is no reason to stop.
    fn lock(&self) -> MutexGuard<'_, HashMap<AppId, Count>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
