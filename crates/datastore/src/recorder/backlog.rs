//! The line of ended calls before the store: bounded, counted, and told apart by what became of them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::{Record, Recorded, RecorderSettings};

/// What became of the calls that a recorder was given.
///
/// At every moment `accepted = stored + discarded + superseded + refused + pending`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ended calls that were handed over.
    pub accepted: u64,
    /// Those that the store has.
    pub stored: u64,
    /// Those whose app was gone when their turn came, and those of which no record is wanted.
    pub discarded: u64,
    /// Results of asynchronous calls whose attempt had lost its lease.
    pub superseded: u64,
    /// Those that the store refused; each is in the server's log with its id.
    pub refused: u64,
    /// Those that wait or are being written.
    pub pending: u64,
    /// Memory of those, roughly.
    pub pending_bytes: u64,
    /// Groups written.
    pub groups: u64,
    /// Tries that failed because the store was away, and were or will be repeated.
    pub retries: u64,
    /// Running calls that were written because they take long.
    pub snapshots: u64,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Arc<Record>>,
    counts: Counts,
    closed: bool,
}

#[derive(Debug)]
pub(super) struct Backlog {
    state: Mutex<State>,
    /// The writer waits here.
    work: Notify,
    max_records: u64,
    max_bytes: u64,
}

impl Backlog {
    pub(super) fn new(settings: &RecorderSettings) -> Self {
        Self {
            state: Mutex::default(),
            work: Notify::new(),
            max_records: settings.max_records,
            max_bytes: settings.max_bytes,
        }
    }

    pub(super) fn push(&self, record: Arc<Record>) {
        {
            let mut state = self.lock();
            state.counts.accepted += 1;
            state.counts.pending += 1;
            state.counts.pending_bytes += weight(&record);
            state.queue.push_back(record);
        }
        self.work.notify_one();
    }

    /// A call ended that leaves no record.
    pub(super) fn discard(&self) {
        self.count(|counts| {
            counts.accepted += 1;
            counts.discarded += 1;
        });
    }

    pub(super) fn has_room(&self) -> bool {
        let counts = self.lock().counts;
        counts.pending < self.max_records && counts.pending_bytes < self.max_bytes
    }

    /// Waits until there is something to write. False: the backlog is closed and empty.
    pub(super) async fn work(&self) -> bool {
        loop {
            {
                let state = self.lock();
                if !state.queue.is_empty() || state.closed {
                    return !state.queue.is_empty();
                }
            }
            self.work.notified().await;
        }
    }

    /// The next group, in the order the calls ended. At least one record, if there is any.
    pub(super) fn take(&self, max_records: usize, max_bytes: u64) -> Vec<Arc<Record>> {
        let mut state = self.lock();
        let mut bytes = 0;
        let fits = |record: &&Arc<Record>| {
            bytes += weight(record);
            bytes <= max_bytes
        };
        let some = state.queue.iter().take(max_records).take_while(fits);
        let count = some.count().max(1).min(state.queue.len());
        state.queue.drain(..count).collect()
    }

    pub(super) fn queued(&self) -> usize {
        self.lock().queue.len()
    }

    /// A group is in the store.
    pub(super) fn settle(&self, group: &[Arc<Record>], recorded: &Recorded) {
        self.leave(group, |counts| {
            counts.stored += recorded.stored as u64;
            counts.discarded += recorded.discarded as u64;
            counts.superseded += recorded.superseded as u64;
            counts.groups += 1;
        });
    }

    /// The store wants none of these.
    pub(super) fn refuse(&self, group: &[Arc<Record>]) {
        self.leave(group, |counts| counts.refused += group.len() as u64);
    }

    fn leave(&self, group: &[Arc<Record>], count: impl FnOnce(&mut Counts)) {
        let mut state = self.lock();
        count(&mut state.counts);
        state.counts.pending -= group.len() as u64;
        state.counts.pending_bytes -= group.iter().map(|record| weight(record)).sum::<u64>();
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut Counts)) {
        count(&mut self.lock().counts);
    }

    pub(super) fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Nothing more is expected: the writer may stop when it has written what is here.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_one();
    }

    /// Every change under the lock is complete before anything can panic, so poison is no reason to stop.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes of memory that a record holds, near enough to bound them.
fn weight(record: &Record) -> u64 {
    const FIXED: usize = 512;
    let call = &record.call;
    let texts = call.path.len() + call.error().map_or(0, str::len);
    let stats = size_of_val(call.stats.as_slice());
    let log = record.log.as_ref().map_or(0, bytes::Bytes::len);
    (FIXED + texts + stats + log) as u64
}
