//! A queue in this process: nothing is asked for over a wire, and nothing of it is left after a restart.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use hearth_datastore::Standing;
use hearth_models::{CallId, Priority, Timestamp};

use super::{Broker, BrokerError};

type Place = (Reverse<Priority>, Timestamp, CallId);

/// A queue in this process.
#[derive(Debug, Default)]
pub struct MemoryBroker {
    places: Mutex<BTreeSet<Place>>,
}

impl MemoryBroker {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<Place>> {
        // A set is whole after every call, so poison is no reason to stop.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Broker for MemoryBroker {
    async fn push(&self, calls: &[Standing]) -> Result<(), BrokerError> {
        self.lock().extend(calls.iter().map(|call| (Reverse(call.priority), call.place, call.call_id)));
        Ok(())
    }

    async fn take(&self, at_most: usize) -> Result<Vec<Standing>, BrokerError> {
        let mut places = self.lock();
        let taken = std::iter::from_fn(|| places.pop_first()).take(at_most);
        Ok(taken.map(|(Reverse(priority), place, call_id)| Standing { call_id, priority, place }).collect())
    }

    async fn ping(&self) -> Result<(), BrokerError> {
        Ok(())
    }
}
