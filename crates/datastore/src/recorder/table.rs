//! The calls that the store does not show yet: those that run, and those that ended a moment ago.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hearth_models::{AppId, Call, CallId, CallType, Status};
use rustc_hash::{FxBuildHasher, FxHashMap};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::Record;

/// Enough that callers on a few dozen threads rarely meet.
const SHARDS: usize = 16;

/// A call as this node knows it.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    /// Not ended.
    Live {
        call: Arc<Call>,
        since: Instant,
        /// The status that the store has been told.
        written: Option<Status>,
        /// Its caller has the answer already; the end of the record follows within moments.
        answered: bool,
    },
    /// Ended and on its way to the store.
    Ended(Arc<Record>),
}

impl Entry {
    pub(super) fn call(&self) -> &Call {
        match self {
            Self::Live { call, .. } => call,
            Self::Ended(record) => &record.call,
        }
    }

    /// An asynchronous call is in the store from the beginning, which alone tells how it stands: it may have been
    /// cancelled, or another server may run it by now, and what it ended with here holds only if its lease does.
    fn is_ours_to_tell(&self) -> bool {
        self.call().call_type == CallType::Sync
    }
}

/// Ids are made here and random in part, so that the quickest of hashes spreads them.
type Shard = FxHashMap<CallId, Entry>;

/// Entries by call id. Locks are held for a few lines and never two at a time.
#[derive(Debug, Default)]
pub(super) struct Table {
    shards: [Mutex<Shard>; SHARDS],
    ended: Notify,
}

impl Table {
    /// A call was accepted.
    pub(super) fn insert(&self, call: Arc<Call>) {
        let id = call.id;
        let live = || Entry::Live { since: Instant::now(), written: None, answered: false, call };
        self.shard(id).entry(id).or_insert_with(live);
    }

    /// A live call changed. One that has ended does not come back, whether it is still here or long stored.
    pub(super) fn change(&self, call: Arc<Call>) {
        if let Some(Entry::Live { call: stands, .. }) = self.shard(call.id).get_mut(&call.id) {
            *stands = call;
        }
    }

    pub(super) fn put_ended(&self, record: Arc<Record>) {
        let id = record.call.id;
        self.shard(id).insert(id, Entry::Ended(record));
        self.ended.notify_waiters();
    }

    /// A live call is no concern of this node any more.
    pub(super) fn forget(&self, id: CallId) {
        {
            let mut shard = self.shard(id);
            if matches!(shard.get(&id), Some(Entry::Live { .. })) {
                shard.remove(&id);
            }
        }
        self.ended.notify_waiters();
    }

    /// The caller of a live call is about to have its answer.
    pub(super) fn mark_answered(&self, id: CallId) {
        if let Some(Entry::Live { answered, .. }) = self.shard(id).get_mut(&id) {
            *answered = true;
        }
    }

    /// Waits until the call has ended, if its caller has the answer already: who has read an answer reads the whole
    /// record after it.
    pub(super) async fn settled(&self, id: CallId) {
        loop {
            // Listening before looking: an end in between is not missed.
            let mut ended = std::pin::pin!(self.ended.notified());
            ended.as_mut().enable();
            if !matches!(self.shard(id).get(&id), Some(Entry::Live { answered: true, .. })) {
                return;
            }
            ended.await;
        }
    }

    /// The calls of an app whose callers have their answers and whose ends are under way.
    pub(super) fn settling(&self, app_id: AppId) -> Vec<CallId> {
        let settling =
            |entry: &Entry| matches!(entry, Entry::Live { answered: true, .. }) && entry.call().app_id == app_id;
        self.select(settling).into_keys().collect()
    }

    /// The store has `record` (or never will), so it need not be shown from here any more.
    pub(super) fn remove_ended(&self, record: &Arc<Record>) {
        let mut shard = self.shard(record.call.id);
        if let Some(Entry::Ended(stands)) = shard.get(&record.call.id)
            && Arc::ptr_eq(stands, record)
        {
            shard.remove(&record.call.id);
        }
    }

    /// Whether the end of a call is on its way to the store.
    pub(super) fn has_ended(&self, id: CallId) -> bool {
        matches!(self.shard(id).get(&id), Some(Entry::Ended(_)))
    }

    /// The synchronous call of this id, as it is known here.
    pub(super) fn get(&self, app_id: AppId, id: CallId) -> Option<Entry> {
        let shard = self.shard(id);
        shard.get(&id).filter(|entry| entry.call().app_id == app_id && entry.is_ours_to_tell()).cloned()
    }

    /// All synchronous calls of an app, in no order.
    pub(super) fn of_app(&self, app_id: AppId) -> HashMap<CallId, Entry> {
        self.select(|entry| entry.call().app_id == app_id && entry.is_ours_to_tell())
    }

    /// Live calls older than `age` whose present status the store does not know. Of asynchronous ones it knows that
    /// they run, since it leased them.
    pub(super) fn untold(&self, age: Duration) -> Vec<Arc<Call>> {
        let now = Instant::now();
        let due = self.select(|entry| match entry {
            Entry::Live { call, since, written, .. } => {
                call.call_type == CallType::Sync && now.duration_since(*since) >= age && *written != Some(call.status())
            }
            Entry::Ended(_) => false,
        });
        due.into_values()
            .filter_map(|entry| match entry {
                Entry::Live { call, .. } => Some(call),
                Entry::Ended(_) => None,
            })
            .collect()
    }

    /// The store was told that `call` has the status it has in the argument.
    pub(super) fn mark_told(&self, call: &Call) {
        if let Some(Entry::Live { written, .. }) = self.shard(call.id).get_mut(&call.id) {
            *written = Some(call.status());
        }
    }

    pub(super) fn live(&self) -> usize {
        let count =
            |shard: &Mutex<Shard>| lock(shard).values().filter(|entry| matches!(entry, Entry::Live { .. })).count();
        self.shards.iter().map(count).sum()
    }

    fn select(&self, wanted: impl Fn(&Entry) -> bool) -> HashMap<CallId, Entry> {
        let mut found = HashMap::new();
        for shard in &self.shards {
            let shard = lock(shard);
            let matching = shard.iter().filter(|(_, entry)| wanted(entry));
            found.extend(matching.map(|(id, entry)| (*id, entry.clone())));
        }
        found
    }

    fn shard(&self, id: CallId) -> MutexGuard<'_, Shard> {
        // Bits that the maps do not go by. The remainder is less than SHARDS on every platform.
        let bits = FxBuildHasher.hash_one(id) >> 32;
        lock(&self.shards[(bits % SHARDS as u64) as usize])
    }
}

/// A panic elsewhere leaves a map of whole entries behind, so a poisoned lock is as good as any.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
