//! The leases that this process holds, which have to be renewed for as long as it means to end their calls.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hearth_datastore::{Lease, Leased};
use tokio_util::sync::CancellationToken;

use crate::counts::{Attempts, Ended};

/// What a lease is held for.
enum Entry {
    /// Somebody works for it, who is told when it is lost.
    Working(CancellationToken),
    /// Its result is on its way to the store for as long as this is so.
    Recorded(Box<dyn Fn() -> bool + Send + Sync>),
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Working(_) => "Working",
            Self::Recorded(_) => "Recorded",
        })
    }
}

/// A lease, and what for. A lease that was given back may come again as the same one, so it is told by a number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holding {
    number: u64,
    pub(crate) lease: Lease,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<u64, (Lease, Entry)>,
    /// Entries that somebody works for, and what became of all others: they change together.
    attempts: Attempts,
}

#[derive(Debug, Default)]
pub(crate) struct Held {
    state: Mutex<State>,
}

/// A call to be run. Its lease is renewed until it is dropped; then it lapses, unless the call was
/// [recorded](Self::recorded) or handed back to the [`Queue`](crate::Queue).
#[derive(Debug)]
pub struct Delivery {
    leased: Leased,
    number: u64,
    lost: CancellationToken,
    held: Arc<Held>,
    /// What it comes to when it is dropped.
    end: Ended,
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

    /// The result is on its way to the store; the lease is kept for as long as `on_its_way` says so.
    pub fn recorded(mut self, on_its_way: impl Fn() -> bool + Send + Sync + 'static) {
        self.end = Ended::Recorded;
        let mut state = self.held.lock();
        if let Some((_, entry)) = state.entries.get_mut(&self.number) {
            *entry = Entry::Recorded(Box::new(on_its_way));
            state.attempts.end(Ended::Recorded);
        }
    }

    /// The store knows what became of it.
    pub(crate) fn settle(mut self, end: Ended) {
        self.end = end;
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if self.end != Ended::Recorded {
            let mut state = self.held.lock();
            // What was lost before was counted then.
            if state.entries.remove(&self.number).is_some() {
                state.attempts.end(self.end);
            }
        }
    }
}

impl Held {
    pub(crate) fn take(self: &Arc<Self>, leased: Leased) -> Delivery {
        let lost = CancellationToken::new();
        let mut state = self.lock();
        state.attempts.leased += 1;
        let number = state.attempts.leased;
        state.entries.insert(number, (leased.lease(), Entry::Working(lost.clone())));
        drop(state);
        Delivery { leased, number, lost, held: Arc::clone(self), end: Ended::Lost }
    }

    /// What is to be renewed, in the order of the calls, in which everybody locks them.
    pub(crate) fn holdings(&self) -> Vec<Holding> {
        let mut state = self.lock();
        state.entries.retain(|_, (_, entry)| match entry {
            Entry::Working(_) => true,
            Entry::Recorded(on_its_way) => on_its_way(),
        });
        let holding = |(number, (lease, _)): (&u64, &(Lease, Entry))| Holding { number: *number, lease: *lease };
        let mut holdings: Vec<Holding> = state.entries.iter().map(holding).collect();
        holdings.sort_unstable_by_key(|holding| holding.lease);
        holdings
    }

    /// These are not ours any more. Whoever works for one is told.
    pub(crate) fn lose(&self, lost: impl IntoIterator<Item = Holding>) {
        for holding in lost {
            let mut state = self.lock();
            let Some((_, Entry::Working(lost))) = state.entries.remove(&holding.number) else { continue };
            state.attempts.end(Ended::Lost);
            drop(state);
            lost.cancel();
        }
    }

    /// What became of all leases so far.
    pub(crate) fn attempts(&self) -> Attempts {
        self.lock().attempts
    }

    /// Every change under the lock is complete before anything can panic, so poison is no reason to stop.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use hearth_datastore::Payload;
    use hearth_models::{AppId, Call, CallType, FnId, Priority};

    use super::*;

    #[test]
    fn a_lease_that_comes_again_is_another() {
        let held = Arc::new(Held::default());
        let call = Call::accept(AppId::generate(), FnId::generate(), CallType::Async);
        let payload = Payload { head: String::new(), body: Vec::new().into() };
        let leased = Leased { place: call.created_at, call, priority: Priority::default(), payload };
        let first = held.take(leased.clone());
        let renewed = held.holdings();
        // It is given back and leased again before who gave it back is done with it.
        let again = held.take(leased);
        drop(first);
        held.lose(renewed);
        assert!(!again.lost().is_cancelled());
        assert_eq!(held.holdings().len(), 1);
        held.lose(held.holdings());
        assert!(again.lost().is_cancelled());
        assert_eq!(held.attempts(), Attempts { leased: 2, lost: 2, ..Attempts::default() });
        drop(again);
        assert_eq!(held.attempts().lost, 2, "lost once");
    }

    #[test]
    fn every_lease_is_accounted_for() {
        let held = Arc::new(Held::default());
        let call = Call::accept(AppId::generate(), FnId::generate(), CallType::Async);
        let payload = Payload { head: String::new(), body: Vec::new().into() };
        let leased = Leased { place: call.created_at, call, priority: Priority::default(), payload };
        let mut deliveries: Vec<Delivery> = (0..7).map(|_| held.take(leased.clone())).collect();
        let mut next = || deliveries.pop().unwrap();
        next().recorded(|| true);
        for end in [Ended::Retried, Ended::GivenUp, Ended::GivenBack, Ended::Discarded] {
            next().settle(end);
        }
        drop(next());
        let attempts = held.attempts();
        let ended = Attempts { leased: 7, recorded: 1, retried: 1, given_up: 1, given_back: 1, discarded: 1, lost: 1 };
        assert_eq!((attempts, attempts.held()), (ended, 1));
        // The store refused a result that came too late: its attempt was counted when the result was handed over.
        held.lose(held.holdings().into_iter().filter(|holding| holding.number == 7));
        assert_eq!(held.attempts(), ended);
    }
}
