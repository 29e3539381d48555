//! What servers promised, as their clients know it. It is kept by this process alone, and nobody kills that.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::api::{Cancelled, Record};

/// A promise.
#[derive(Clone, Debug)]
pub(crate) struct Promise {
    pub(crate) body: Body,
    /// None: nobody asked for it to be cancelled.
    pub(crate) cancelled: Option<Cancelled>,
}

/// What the function has to get.
#[derive(Clone, Debug, Default)]
pub(crate) struct Body {
    pub(crate) digest: u64,
    /// The digests of its beginnings, where a function may get no more: the end of its input is the end of its request,
    /// and a server or an engine that dies ends its input.
    pub(crate) beginnings: Vec<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Entries>);

#[derive(Debug, Default)]
pub(crate) struct Entries {
    /// Every call that a 202 was given for.
    pub(crate) promises: HashMap<String, Promise>,
    order: Vec<String>,
    /// Submissions of which it is not known whether they were accepted.
    pub(crate) uncertain: usize,
    /// What calls ended as, for those that were seen to have ended.
    ends: HashMap<String, Record>,
    pub(crate) looks: usize,
    /// What should not have been.
    pub(crate) faults: Vec<String>,
}

// === impl Ledger ===

impl Ledger {
    pub(crate) fn accepted(&self, id: &str, body: Body) {
        let mut entries = self.lock();
        entries.order.push(id.to_owned());
        if entries.promises.insert(id.to_owned(), Promise { body, cancelled: None }).is_some() {
            entries.faults.push(format!("two submissions got the same id {id}"));
        }
    }

    pub(crate) fn uncertain(&self) {
        self.lock().uncertain += 1;
    }

    pub(crate) fn cancelled(&self, id: &str, outcome: Cancelled) {
        if let Some(promise) = self.lock().promises.get_mut(id) {
            promise.cancelled = Some(outcome);
        }
    }

    pub(crate) fn fault(&self, what: String) {
        self.lock().faults.push(what);
    }

    pub(crate) fn accepted_count(&self) -> usize {
        self.lock().promises.len()
    }

    /// One of the calls that were accepted.
    pub(crate) fn any(&self, random: u64) -> Option<String> {
        let entries = self.lock();
        let count = entries.order.len();
        let chosen = usize::try_from(random % count.max(1) as u64).ok()?;
        entries.order.get(chosen).cloned()
    }

    /// A call was looked at while things were going on: it has to be there, and nothing leaves a final state.
    pub(crate) fn seen(&self, id: &str, record: Option<Record>) {
        let mut entries = self.lock();
        entries.looks += 1;
        let Some(record) = record else {
            entries.faults.push(format!("{id} was accepted, and then there was no such call"));
            return;
        };
        if !record.is_known() {
            entries.faults.push(format!("no call can be {record:?}"));
        }
        if let Some(end) = entries.ends.get(id)
            && *end != record
        {
            let fault = format!("it had ended as {end:?}, and then it was {record:?}");
            entries.faults.push(fault);
        } else if record.is_final() {
            entries.ends.insert(id.to_owned(), record);
        }
    }

    /// What is in it, for who looks at the end.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Entries> {
        // Every change is complete before anything can panic, so poison is no reason to stop.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
