//! What a store keeps of asynchronous calls until they have ended, and the only ways to change it.
//!
//! A call is *ready*, *delayed*, *leased* or *dead*; it leaves the queue when it ends. Whoever leases it raises its
//! attempt, and from then on only that attempt may end it: a result, a renewal or a release of an older one changes
//! nothing. Results are stored by [`CallStore::record`](crate::CallStore::record), which ends the call in the queue in
//! the same transaction. What is ready goes by priority, then by [place](Submission::due_at), which a call keeps over
//! all its attempts.
//!
//! Times are parameters. Whoever shares a store goes by one clock, which is that of the database's host
//! ([`QueueStore::clock`]).

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;
use hearth_models::{AppId, Call, CallId, FnId, PerPage, Priority, Reason, Timestamp};

use crate::{Node, Result};

/// The request that a queued call will be run with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Everything but the body, as the agent writes it.
    pub head: String,
    /// The body, byte by byte.
    pub body: Bytes,
}

/// An asynchronous call to be stored.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The call: queued, or delayed.
    pub call: Call,
    /// How urgent it is.
    pub priority: Priority,
    /// When it may begin, which is also its place among others of its priority.
    pub due_at: Timestamp,
    /// Its request.
    pub payload: Payload,
}

impl Submission {
    /// Where the call will stand when it is ready.
    #[must_use]
    pub const fn standing(&self) -> Standing {
        Standing { call_id: self.call.id, priority: self.priority, place: self.due_at }
    }
}

/// The right to run a call once. It is lost when a newer one is given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lease {
    /// The call.
    pub call_id: CallId,
    /// Which of its attempts this is, from 1.
    pub attempt: u32,
}

/// A call that was leased.
#[derive(Clone, Debug)]
pub struct Leased {
    /// The call, which is running now. Its `attempts` are those of the lease.
    pub call: Call,
    /// How urgent it is.
    pub priority: Priority,
    /// Its place among others of its priority.
    pub place: Timestamp,
    /// Its request.
    pub payload: Payload,
}

impl Leased {
    /// Where the call stood, and will stand again.
    #[must_use]
    pub const fn standing(&self) -> Standing {
        Standing { call_id: self.call.id, priority: self.priority, place: self.place }
    }

    /// The lease.
    #[must_use]
    pub const fn lease(&self) -> Lease {
        Lease { call_id: self.call.id, attempt: self.call.attempts }
    }
}

/// How a lease is given out.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// To whom.
    pub node: Node,
    /// Functions whose calls stay where they are, because the node has no room for them.
    pub except: &'a [FnId],
    /// Now.
    pub now: Timestamp,
    /// When it lapses unless it is renewed.
    pub until: Timestamp,
}

/// Why a call ended without a result.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The kind of failure.
    pub reason: Reason,
    /// The sentence for a person.
    pub error: String,
}

/// What the passing of time did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advanced {
    /// Calls whose delay is over.
    pub due: Vec<Standing>,
    /// Calls whose lease lapsed and that are ready again.
    pub lapsed: Vec<Standing>,
    /// Calls whose last lease lapsed and that were given up.
    pub dead: Vec<CallId>,
}

impl Advanced {
    /// Whether nothing had become due.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.due.is_empty() && self.lapsed.is_empty() && self.dead.is_empty()
    }
}

/// What a cancellation met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It waited and will not run.
    Waiting,
    /// This attempt runs somewhere; its result will not be stored.
    Running(Lease),
    /// It had ended already.
    Ended,
    /// It runs and was never queued: it is synchronous.
    NotQueued,
}

/// How full the queue is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Calls that could run now.
    pub ready: u64,
    /// Calls that wait for their time.
    pub delayed: u64,
    /// Calls that run.
    pub leased: u64,
    /// Calls that were given up.
    pub dead: u64,
    /// When the oldest of the ready ones could run for the first time.
    pub oldest: Option<Timestamp>,
}

/// Where a ready call stands, for a queue outside the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The call.
    pub call_id: CallId,
    /// How urgent it is.
    pub priority: Priority,
    /// Its place among others of its priority.
    pub place: Timestamp,
}

/// News of other servers on the same store: a hint to look, and nothing that anything depends on.
#[async_trait]
pub trait News: Debug + Send {
    /// Waits until another server has made calls ready, or may have while nobody could hear of it.
    ///
    /// # Errors
    /// Nothing is heard for now.
    async fn next(&mut self) -> Result<()>;
}

/// Keeps asynchronous calls until they have ended.
///
/// Every operation is one transaction that is on the disk when it returns, with a fixed number of statements whatever
/// the number of calls.
#[async_trait]
pub trait QueueStore: Debug + Send + Sync {
    /// Stores calls with their requests. Doing it again changes nothing, also when they have begun or ended meanwhile.
    /// Returns those whose app is gone, which were not stored.
    async fn accept(&self, node: Node, group: &[Submission]) -> Result<Vec<CallId>>;

    /// Leases up to `at_most` ready calls, in their order.
    async fn reserve(&self, terms: Terms<'_>, at_most: usize) -> Result<Vec<Leased>>;

    /// Leases those of `calls` that are ready, in their order.
    async fn reserve_these(&self, terms: Terms<'_>, calls: &[CallId]) -> Result<Vec<Leased>>;

    /// Makes leases last until `until`. Returns those that are lost.
    async fn renew(&self, leases: &[Lease], until: Timestamp) -> Result<Vec<Lease>>;

    /// Gives back calls that have not begun: they are ready again, and the attempt does not count. Returns how many
    /// leases were still held.
    async fn give_back(&self, leases: &[Lease]) -> Result<usize>;

    /// Gives back a call whose attempt failed; it is ready again at `due_at`. False: the lease was lost.
    async fn retry(&self, lease: Lease, due_at: Timestamp) -> Result<bool>;

    /// Gives up a call: it ends, and is kept with its request among the dead. False: the lease was lost.
    async fn bury(&self, lease: Lease, verdict: &Verdict, now: Timestamp) -> Result<bool>;

    /// What tells this store from others, for those who serve the queues of several.
    async fn identity(&self) -> Result<String>;

    /// What time it is, for everybody who shares the store.
    async fn clock(&self) -> Result<Timestamp>;

    /// Ends a leased call without a result, for good: nothing of its request is kept. False: the lease was lost.
    async fn discard(&self, lease: Lease, verdict: &Verdict, now: Timestamp) -> Result<bool>;

    /// Makes ready what has become due: delays that are over and leases that have lapsed, as many as fit a short
    /// transaction. A call whose lease lapsed in its attempt number `last_attempt` is given up instead.
    async fn advance(&self, now: Timestamp, last_attempt: u32) -> Result<Advanced>;

    /// As [`advance`](Self::advance), for delays alone: leases stay as they are.
    async fn advance_delays(&self, now: Timestamp) -> Result<Advanced>;

    /// When [`advance`](Self::advance) will have something to do, as far as is known now.
    async fn next_due(&self) -> Result<Option<Timestamp>>;

    /// Ends the leases that earlier instances of this server hold, as if they had lapsed.
    async fn release_own(&self, node: Node, now: Timestamp, last_attempt: u32) -> Result<Advanced>;

    /// Cancels a call that has not ended.
    ///
    /// # Errors
    /// `CallNotFound`, also when the call is of another app.
    async fn cancel(&self, app_id: AppId, call_id: CallId, now: Timestamp) -> Result<Cancelled>;

    /// A page of an app's dead calls, newest first, before the id `cursor` if there is one.
    async fn dead(&self, app_id: AppId, cursor: Option<&str>, per_page: PerPage) -> Result<Vec<Call>>;

    /// Queues a dead call's request once more, as a new call that is due at once; the dead one is no longer kept among
    /// the dead. Returns what was queued.
    ///
    /// # Errors
    /// `CallNotFound`, unless the call is of this app and dead.
    async fn redrive(&self, node: Node, app_id: AppId, call_id: CallId) -> Result<Submission>;

    /// How many calls of an app are not dead.
    async fn waiting(&self, app_id: AppId) -> Result<u64>;

    /// How full the queue is. Walks through all of an index.
    async fn depth(&self) -> Result<Depth>;

    /// What other servers than `node` make ready, from now on. None: nobody tells here.
    async fn listen(&self, node: Node) -> Result<Option<Box<dyn News>>>;

    /// The ready calls that follow `after` in the order of their ids, `at_most` of them.
    async fn ready(&self, after: Option<CallId>, at_most: usize) -> Result<Vec<Standing>>;
}
