//! How a queue works.

use std::num::NonZeroU32;
use std::time::Duration;

use hearth_datastore::{Node, Observed};

use crate::RetryPolicy;

/// How a [`Queue`](crate::Queue) works.
#[derive(Clone, Debug)]
pub struct QueueSettings {
    /// Who leases.
    pub node: Node,
    /// How long a lease lasts unless it is renewed.
    pub lease: Duration,
    /// How often the leases that this process holds are renewed.
    pub renew: Duration,
    /// What happens to a call that failed for a reason which is not its function's.
    pub retry: RetryPolicy,
    /// Calls of one app that may wait or run at a time; more are refused.
    pub max_per_app: u64,
    /// Accepts that may wait for their commit.
    pub max_accepting: usize,
    /// Accepts in one commit at most.
    pub group: usize,
    /// Bytes of request bodies in one commit at most, unless a single call has more.
    pub group_bytes: usize,
    /// How often the store is asked for what other servers did; what this one does, and what is heard of, wakes it at
    /// once.
    pub poll: Duration,
    /// How often the broker is compared with the store.
    pub reconcile: Duration,
    /// Is told how long the store took.
    pub observed: Observed,
}

impl QueueSettings {
    /// The defaults, for `node`.
    #[must_use]
    pub const fn new(node: Node) -> Self {
        Self {
            node,
            lease: Duration::from_secs(30),
            renew: Duration::from_secs(10),
            retry: RetryPolicy {
                first: Duration::from_secs(1),
                longest: Duration::from_secs(300),
                attempts: NonZeroU32::MIN.saturating_add(9),
            },
            max_per_app: 100_000,
            max_accepting: 10_000,
            group: 500,
            group_bytes: 8 << 20,
            poll: Duration::from_secs(1),
            reconcile: Duration::from_secs(15),
            observed: Observed(None),
        }
    }
}
