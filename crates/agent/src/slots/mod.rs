//! Slots: which call runs in which container, and when a container is started or let go.
//!
//! [`Scheduler`] is a pure, synchronous state machine: it is told what happened and says what to do next. It knows
//! neither tokio nor containers; a shell ([`crate::dispatch`]) carries out its [`Action`]s and brings it the clock.
//!
//! A *slot key* names everything that a running container bakes in. Per key there is one [`Queue`](queue::Queue):
//! a stack of idle containers, most recently used on top, so that surplus ones grow old and leave; a line of
//! waiting calls, first come first served; and a launch policy that starts a container only where waiting costs
//! more than starting. The node bounds memory, starts in flight and waiting calls, over all keys in turn.

mod average;
mod queue;
mod scheduler;
#[cfg(test)]
mod tests;

use std::hash::{Hash, Hasher};
use std::time::Duration;

use bytes::Bytes;
use hearth_models::{AppId, Error, FnId};
use rustc_hash::FxHasher;

pub(crate) use scheduler::{Containers, Gauges, Scheduler};

/// Everything that a running container bakes in, by its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SlotKey {
    pub(crate) app: AppId,
    pub(crate) function: FnId,
    digest: (u64, u64),
}

impl SlotKey {
    /// The key of containers of `function` of `app` that are made of `parts`. A quick hash will do: only definitions of
    /// one function could be taken for each other, and whoever wrote them would have to want it.
    pub(crate) fn new(app: AppId, function: FnId, parts: &impl Hash) -> Self {
        let digest = |salt: u64| {
            let mut hasher = FxHasher::default();
            salt.hash(&mut hasher);
            parts.hash(&mut hasher);
            hasher.finish()
        };
        Self { app, function, digest: (digest(0), digest(1)) }
    }
}

/// One container of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ContainerRef {
    pub(crate) key: SlotKey,
    id: u64,
}

/// A place in the line of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    key: SlotKey,
    id: u64,
}

/// Who asks for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// Somebody who waits for the answer.
    Caller,
    /// The queue of calls that nobody waits for, which comes second: nothing is taken from callers for it.
    Queue,
}

/// What containers of a key need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Demand {
    /// Memory of one container, in bytes.
    pub(crate) memory: u64,
    /// A container serves one call only, and is made for that call.
    pub(crate) cold: bool,
}

/// The bounds of the node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Memory that all containers may reserve together, in bytes.
    pub(crate) memory: u64,
    pub(crate) cpus: usize,
    pub(crate) containers_per_key: usize,
    pub(crate) waiting_per_key: usize,
    pub(crate) waiting: usize,
}

impl Limits {
    /// Starts in flight on the node.
    pub(crate) const fn starts(&self) -> usize {
        2 * self.cpus
    }

    /// Containers that a function of short calls may have on the ground of waiting alone.
    pub(crate) const fn short_call_containers(&self) -> usize {
        2 * self.cpus + 2
    }
}

/// What the shell has to do. `T` is what a container of a key is made of, `W` a waiting call, `C` the way to a
/// running container.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action<T, W, C> {
    /// Give the container to the call.
    Assign { waiter: W, container: C, at: ContainerRef },
    /// Start a hot container.
    Launch { template: T, at: ContainerRef },
    /// Let the call start a container of its own.
    Admit { waiter: W, template: T, at: ContainerRef },
    /// Tell the call that it will not run: the start that it waited for failed.
    Refuse { waiter: W, failure: StartFailure },
    /// Stop this container and remove it.
    Retire { container: C },
}

/// What became of a call that asked for a slot.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission<W, C> {
    /// It has this container.
    Now { waiter: W, container: C, at: ContainerRef },
    /// It waits.
    Waiting(Ticket),
    /// It will not run.
    Refused { waiter: W, error: Error },
}

/// A failed start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StartFailure {
    /// What the calls that wait for it are told.
    pub(crate) error: Error,
    /// The key is at fault, not the engine: if it happens again, the key backs off.
    pub(crate) blame_key: bool,
    /// What its container said, for the logs of those calls.
    pub(crate) said: Bytes,
}

impl StartFailure {
    /// A failure of a container that said nothing.
    pub(crate) const fn new(error: Error, blame_key: bool) -> Self {
        Self { error, blame_key, said: Bytes::new() }
    }
}

/// How long a key is answered from memory after its `failures`th failed start in a row.
pub(crate) fn back_off(failures: u32) -> Duration {
    const FIRST: Duration = Duration::from_millis(250);
    const LONGEST: Duration = Duration::from_secs(10);
    FIRST.saturating_mul(2u32.saturating_pow(failures.saturating_sub(1).min(10))).min(LONGEST)
}
