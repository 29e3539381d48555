//! What a queue has done in this process, for whoever watches it.

use std::sync::atomic::{AtomicU64, Ordering};

/// How an attempt ended for who held its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With a result, which went on its way to the store.
    Recorded,
    /// With a failure; there will be another attempt.
    Retried,
    /// With a failure; there will be no other.
    GivenUp,
    /// It had not begun.
    GivenBack,
    /// What it was for is gone.
    Discarded,
    /// The lease was lost, or nobody could tell the store what became of it.
    Lost,
}

/// Leases that this process was given, and what became of them:
/// `leased = recorded + retried + given_up + given_back + discarded + lost + held()`, at every moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// All of them.
    pub leased: u64,
    /// Ended with a result that was handed to the recorder.
    pub recorded: u64,
    /// Failed for a reason that is not the function's, and will be tried again.
    pub retried: u64,
    /// The same, but for the last time.
    pub given_up: u64,
    /// Handed back without having begun.
    pub given_back: u64,
    /// Ended without a result, because what they were for is gone.
    pub discarded: u64,
    /// The call was cancelled or somebody else has it, or the store was away and the lease will lapse.
    pub lost: u64,
}

impl Attempts {
    /// How many somebody works for now.
    #[must_use]
    pub const fn held(&self) -> u64 {
        let Self { leased, recorded, retried, given_up, given_back, discarded, lost } = *self;
        leased - (recorded + retried + given_up + given_back + discarded + lost)
    }

    pub(crate) const fn end(&mut self, how: Ended) {
        *match how {
            Ended::Recorded => &mut self.recorded,
            Ended::Retried => &mut self.retried,
            Ended::GivenUp => &mut self.given_up,
            Ended::GivenBack => &mut self.given_back,
            Ended::Discarded => &mut self.discarded,
            Ended::Lost => &mut self.lost,
        } += 1;
    }
}

/// What a queue has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// Calls that were queued.
    pub accepted: u64,
    /// Calls that were refused because their app had too many.
    pub full: u64,
    /// Calls that were refused because the store was away or would not have them.
    pub failed: u64,
    /// Calls that were cancelled, running or not.
    pub cancelled: u64,
    /// Leases, of whatever server, that this one let lapse.
    pub lapsed: u64,
    /// Calls that this process gave up, whoever ran them.
    pub dead: u64,
    /// Calls that were given up before and queued once more.
    pub redriven: u64,
    /// Leases that this process was given.
    pub attempts: Attempts,
}

/// Counts what is not counted with the leases.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) accepted: Counter,
    pub(crate) full: Counter,
    pub(crate) failed: Counter,
    pub(crate) cancelled: Counter,
    pub(crate) lapsed: Counter,
    pub(crate) dead: Counter,
    pub(crate) redriven: Counter,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, more: usize) {
        self.0.fetch_add(more as u64, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    pub(crate) fn with(&self, attempts: Attempts) -> QueueCounts {
        QueueCounts {
            accepted: self.accepted.get(),
            full: self.full.get(),
            failed: self.failed.get(),
            cancelled: self.cancelled.get(),
            lapsed: self.lapsed.get(),
            dead: self.dead.get(),
            redriven: self.redriven.get(),
            attempts,
        }
    }
}
