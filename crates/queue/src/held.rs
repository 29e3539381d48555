//! The leases that this process holds, which have to be renewed for as long as it means to end their calls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hearth_datastore::{Lease, Leased};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A result that the store has not taken for so long will not be waited for any more.
const RECORD_PATIENCE: Duration = Duration::from_secs(600);

#[derive(Debug)]
struct Entry {
    lost: CancellationToken,
    /// Since when its result has been on its way to the store.
    recorded: Option<Instant>,
}

#[derive(Debug, Default)]
pub(crate) struct Held {
    leases: Mutex<HashMap<Lease, Entry>>,
}

/// A call to be run. Its lease is renewed until it is dropped; then it lapses, unless the call was
/// [recorded](Self::recorded) or handed back to the [`Queue`](crate::Queue).
#[derive(Debug)]
pub struct Delivery {
    leased: Leased,
    lost: CancellationToken,
    held: Arc<Held>,
    recorded: bool,
}

impl Delivery {
    /// The call with its request.
    #[must_use]
    pub const fn leased(&self) -> &Leased {
        &self.leased
    }

    /// Cancelled when the lease is lost: the call was cancelled, or somebody else runs it. What comes of this attempt
    /// will not be stored.
    #[must_use]
    pub const fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// The result is on its way to the store; the lease is kept until it is there.
    pub fn recorded(mut self) {
        self.recorded = true;
        if let Some(entry) = self.held.lock().get_mut(&self.leased.lease()) {
            entry.recorded = Some(Instant::now());
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if !self.recorded {
            self.held.lock().remove(&self.leased.lease());
        }
    }
}

impl Held {
    pub(crate) fn take(self: &Arc<Self>, leased: Leased) -> Delivery {
        let lost = CancellationToken::new();
        self.lock().insert(leased.lease(), Entry { lost: lost.clone(), recorded: None });
        Delivery { leased, lost, held: Arc::clone(self), recorded: false }
    }

    /// The leases to be renewed, in the order of their calls, in which everybody locks them.
    pub(crate) fn leases(&self) -> Vec<Lease> {
        let mut leases = self.lock();
        leases.retain(|_, entry| entry.recorded.is_none_or(|since| since.elapsed() < RECORD_PATIENCE));
        let mut leases: Vec<Lease> = leases.keys().copied().collect();
        leases.sort_unstable();
        leases
    }

    /// These leases are not ours any more. Whoever works for one is told.
    pub(crate) fn lose(&self, lost: &[Lease]) {
        for lease in lost {
            if let Some(entry) = self.lock().remove(lease)
                && entry.recorded.is_none()
            {
                entry.lost.cancel();
            }
        }
    }

    /// Every change under the lock is complete before anything can panic, so poison is no reason to stop.
    fn lock(&self) -> MutexGuard<'_, HashMap<Lease, Entry>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
