//! A store whose connection can be cut, whose clock can be set, and which says what it was asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use hearth_datastore::{
    Advanced, Cancelled, Depth, Error, Lease, Leased, News, Node, QueueStore, Result, Standing, Submission, Terms,
    Verdict,
};
use hearth_models::{AppId, Call, CallId, PerPage, Timestamp};
use tokio::sync::Mutex;

/// One server's connection to a store.
#[derive(Debug)]
pub(crate) struct Faulty {
    inner: Arc<dyn QueueStore>,
    away: AtomicBool,
    /// Another transaction holds whatever is due.
    locked: AtomicBool,
    ahead_ms: AtomicU64,
    /// Whoever holds it holds up what is accepted.
    pub(crate) accepting: Mutex<()>,
    /// Whoever holds it holds up who counts the calls of an app.
    pub(crate) counting: Mutex<()>,
    pub(crate) counts: AtomicUsize,
    pub(crate) advances: AtomicUsize,
    pub(crate) most_renewed: AtomicUsize,
}

impl Faulty {
    pub(crate) fn new(inner: Arc<dyn QueueStore>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            away: AtomicBool::default(),
            locked: AtomicBool::default(),
            ahead_ms: AtomicU64::default(),
            accepting: Mutex::default(),
            counting: Mutex::default(),
            counts: AtomicUsize::default(),
            advances: AtomicUsize::default(),
            most_renewed: AtomicUsize::default(),
        })
    }

    pub(crate) fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    pub(crate) fn set_locked(&self, locked: bool) {
        self.locked.store(locked, Ordering::SeqCst);
    }

    pub(crate) fn set_ahead(&self, by: Duration) {
        self.ahead_ms.store(u64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }

    fn there(&self) -> Result<()> {
        if self.away.load(Ordering::SeqCst) { Err(Error::Unavailable("cut".into())) } else { Ok(()) }
    }
}

macro_rules! forward {
    ($(fn $name:ident(&self $(, $arg:ident: $type:ty)*) -> $out:ty;)*) => {
        #[async_trait]
        impl QueueStore for Faulty {
            $(async fn $name(&self $(, $arg: $type)*) -> Result<$out> {
                self.there()?;
                self.inner.$name($($arg),*).await
            })*

            async fn accept(&self, node: Node, group: &[Submission]) -> Result<Vec<CallId>> {
                self.there()?;
                let _goes_on = self.accepting.lock().await;
                self.inner.accept(node, group).await
            }

            async fn waiting(&self, app_id: AppId) -> Result<u64> {
                self.there()?;
                self.counts.fetch_add(1, Ordering::SeqCst);
                let _goes_on = self.counting.lock().await;
                self.inner.waiting(app_id).await
            }

            async fn clock(&self) -> Result<Timestamp> {
                self.there()?;
                let ahead = Duration::from_millis(self.ahead_ms.load(Ordering::SeqCst));
                Ok(self.inner.clock().await?.after(ahead))
            }

            async fn renew(&self, leases: &[Lease], until: Timestamp) -> Result<Vec<Lease>> {
                self.there()?;
                self.most_renewed.fetch_max(leases.len(), Ordering::SeqCst);
                self.inner.renew(leases, until).await
            }

            async fn advance(&self, now: Timestamp, last_attempt: u32) -> Result<Advanced> {
                self.there()?;
                self.advances.fetch_add(1, Ordering::SeqCst);
                if self.locked.load(Ordering::SeqCst) {
                    return Ok(Advanced::default());
                }
                self.inner.advance(now, last_attempt).await
            }

            async fn advance_delays(&self, now: Timestamp) -> Result<Advanced> {
                self.there()?;
                self.advances.fetch_add(1, Ordering::SeqCst);
                if self.locked.load(Ordering::SeqCst) {
                    return Ok(Advanced::default());
                }
                self.inner.advance_delays(now).await
            }
        }
    };
}

forward! {
    fn reserve(&self, terms: Terms<'_>, at_most: usize) -> Vec<Leased>;
    fn reserve_these(&self, terms: Terms<'_>, calls: &[CallId]) -> Vec<Leased>;
    fn give_back(&self, leases: &[Lease]) -> usize;
    fn retry(&self, lease: Lease, due_at: Timestamp) -> bool;
    fn bury(&self, lease: Lease, verdict: &Verdict, now: Timestamp) -> bool;
    fn discard(&self, lease: Lease, verdict: &Verdict, now: Timestamp) -> bool;
    fn identity(&self) -> String;
    fn next_due(&self) -> Option<Timestamp>;
    fn release_own(&self, node: Node, now: Timestamp, last_attempt: u32) -> Advanced;
    fn cancel(&self, app_id: AppId, call_id: CallId, now: Timestamp) -> Cancelled;
    fn dead(&self, app_id: AppId, cursor: Option<&str>, per_page: PerPage) -> Vec<Call>;
    fn redrive(&self, node: Node, app_id: AppId, call_id: CallId) -> Submission;
    fn depth(&self) -> Depth;
    fn listen(&self, node: Node) -> Option<Box<dyn News>>;
    fn ready(&self, after: Option<CallId>, at_most: usize) -> Vec<Standing>;
}
