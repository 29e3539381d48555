//! Queues outside the store.
//!
//! They hold the ids of ready calls in their order and nothing else, because everything else is the store's: an id that
//! is taken is leased there, and whether it still can be is decided there. So a broker may lose ids (it was restarted,
//! or who took them died before leasing them), may have one twice, or one whose call is over. The reconciler brings back
//! what is missing; what is too much leases nothing.

mod memory;
mod redis;

use std::fmt::Debug;

use async_trait::async_trait;
use hearth_datastore::{Source, Standing};

pub use memory::MemoryBroker;
pub use redis::RedisBroker;

/// The broker did not answer, or not as it should.
#[derive(Debug, thiserror::Error)]
#[error("queue unavailable")]
pub struct BrokerError(#[source] pub Source);

/// A queue of ids.
#[async_trait]
pub trait Broker: Debug + Send + Sync {
    /// Puts calls in their places. One that stands there already stays.
    async fn push(&self, calls: &[Standing]) -> Result<(), BrokerError>;

    /// Takes out up to `at_most` calls, in their order. No two callers get the same one.
    async fn take(&self, at_most: usize) -> Result<Vec<Standing>, BrokerError>;

    /// Answers, if it can.
    async fn ping(&self) -> Result<(), BrokerError>;
}
