//! Asynchronous calls between their acceptance and their end.
//!
//! The store keeps every call with its request and decides who may run it: its leases and attempts are the truth, and
//! whatever is promised is promised by it ([`hearth_datastore::QueueStore`]). This crate adds what moves:
//!
//! * [`Queue`] is the handle: accept, reserve, give back, fail, cancel. Accepts that come together are committed
//!   together; who waits for work is woken when there is some.
//! * [`QueueService`] does what is due: it commits accepts, lets delays and leases end, and keeps the leases that this
//!   process holds.
//! * A [`Broker`] is a queue outside the store. It holds nothing but the ids of ready calls, in order, so it may forget
//!   them: a reconciler brings back what it lacks, and an id that is out of date leases nothing.

mod accept;
mod bounds;
mod broker;
mod census;
mod clock;
mod counts;
mod held;
mod order;
mod queue;
mod retry;
mod settings;
mod time;

pub use accept::AcceptError;
pub use broker::{Broker, BrokerError, MemoryBroker, RedisBroker};
pub use census::Counted;
pub use clock::QueueService;
pub use counts::{Attempts, QueueCounts};
pub use held::Delivery;
pub use queue::{Outcome, Queue};
pub use retry::RetryPolicy;
pub use settings::QueueSettings;
