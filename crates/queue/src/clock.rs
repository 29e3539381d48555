//! What has to happen in the queue without anybody asking for it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use hearth_datastore::{Lease, Result, StoreOperation};
use hearth_models::Timestamp;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::accept::{Request, commit_all};
use crate::order::Order;
use crate::queue::Shared;

/// Time to commit what was accepted before the server was told to stop.
const LAST_COMMITS: Duration = Duration::from_secs(10);
/// Ready calls that are compared with the broker at a time.
const PAGE: usize = 1000;
/// Leases that are renewed at a time, so that whoever wants to write next hardly waits.
const RENEWED: usize = 500;
/// What is due and cannot be had, because somebody else has it or because leases are to be kept, is looked at so often.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// A clock that is further from what was expected has been set.
const SET: Duration = Duration::from_secs(2);

/// Commits accepts, lets delays and leases end, keeps the leases that this process holds.
#[derive(Debug)]
pub struct QueueService {
    shared: Arc<Shared>,
    requests: mpsc::Receiver<Request>,
}

impl QueueService {
    pub(crate) const fn new(shared: Arc<Shared>, requests: mpsc::Receiver<Request>) -> Self {
        Self { shared, requests }
    }

    /// Works until `cancel`, then commits what waits already.
    pub async fn run(self, cancel: CancellationToken) {
        let Self { shared, requests } = self;
        let too_late = async {
            cancel.cancelled().await;
            tokio::time::sleep(LAST_COMMITS).await;
        };
        let rounds = async {
            tokio::join!(shared.pass_time(), shared.keep_order(), shared.listen(), shared.census.take(&*shared.store));
        };
        tokio::select! {
            () = commit_all(&shared, requests, &cancel) => {}
            () = too_late => {
                tracing::error!("calls could not be queued in time; their clients were not told that they are");
            }
            () = rounds => {}
        }
    }
}

/// What one task knows of the store from turn to turn.
#[derive(Debug, Default)]
struct Watch {
    /// When the leases of this process are to be renewed.
    renew_at: Option<Instant>,
    /// Since when the store has answered every time and its clock has run evenly.
    steady_since: Option<Instant>,
}

impl Watch {
    fn renewal_is_due(&self) -> bool {
        self.renew_at.is_none_or(|at| at <= Instant::now())
    }

    /// Whether everybody who is alive has had the time to renew since the store was away, or since its clock was set.
    fn is_steady(&self, long_enough: Duration) -> bool {
        self.steady_since.is_some_and(|since| since.elapsed() >= long_enough)
    }
}

impl Shared {
    /// Keeps the leases of this process, and lets delays and the leases of others end. Never ends.
    ///
    /// One task does both, in this order: what lapsed while the store was away is renewed by whoever still works for it
    /// before anybody may take it back.
    async fn pass_time(&self) {
        let mut watch = Watch::default();
        loop {
            match self.turn(&mut watch).await {
                // Woken or late, it looks again.
                Ok(wait) => drop(timeout(wait, self.due.notified()).await),
                Err(error) => {
                    tracing::warn!(error = error.chain(), "leases and delays in the queue stay as they are for now");
                    watch = Watch::default();
                    tokio::time::sleep(self.settings.poll).await;
                }
            }
        }
    }

    /// Does what is due, and says how long nothing else will be.
    async fn turn(&self, watch: &mut Watch) -> Result<Duration> {
        if watch.renewal_is_due() {
            self.read_clock(watch).await?;
            self.renew().await?;
            watch.renew_at = Some(Instant::now() + self.settings.renew);
        }
        // Taken before the store is asked: what this process holds has been renewed beyond it, however long that takes.
        let now = self.time.now();
        let renewal = watch.renew_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()));
        let longest = self.settings.poll.min(renewal);
        match self.store.next_due().await? {
            None => Ok(longest),
            Some(due) if due > now => Ok(due.since(now).min(longest)),
            Some(_) if self.advance(now, watch).await? => Ok(Duration::ZERO),
            Some(_) => Ok(LOOK_AGAIN.min(longest)),
        }
    }

    async fn read_clock(&self, watch: &mut Watch) -> Result<()> {
        let moved = self.time.set(self.store.clock().await?);
        if moved > SET {
            tracing::warn!(by_ms = moved.as_millis(), "the database's clock was set; leases are kept for now");
            watch.steady_since = None;
        }
        watch.steady_since.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Renews what this process holds.
    async fn renew(&self) -> Result<()> {
        for holdings in self.held.holdings().chunks(RENEWED) {
            let leases: Vec<Lease> = holdings.iter().map(|holding| holding.lease).collect();
            let until = self.time.now().after(self.settings.lease);
            let lost = self.settings.observed.ask(StoreOperation::Renew, self.store.renew(&leases, until)).await?;
            let lost: HashSet<Lease> = lost.into_iter().collect();
            self.held.lose(holdings.iter().filter(|holding| lost.contains(&holding.lease)).copied());
        }
        Ok(())
    }

    /// Makes ready what is due. Whether there was anything, so that there may be more.
    async fn advance(&self, now: Timestamp, watch: &Watch) -> Result<bool> {
        let Self { settings, store, .. } = self;
        let advanced = if watch.is_steady(settings.renew + settings.poll) {
            let advancing = store.advance(now, settings.retry.attempts.get());
            settings.observed.ask(StoreOperation::Advance, advancing).await?
        } else {
            settings.observed.ask(StoreOperation::Advance, store.advance_delays(now)).await?
        };
        for call in &advanced.dead {
            tracing::error!(call.id = %call, "a call was given up: the servers that ran it were lost");
        }
        if !advanced.lapsed.is_empty() {
            tracing::warn!(calls = advanced.lapsed.len(), "leases lapsed; their calls are queued again");
        }
        self.count(&advanced);
        self.announce(&advanced.due);
        self.announce(&advanced.lapsed);
        Ok(!advanced.is_empty())
    }

    /// Hears of what other servers make ready. Ends only where nobody tells.
    async fn listen(&self) {
        loop {
            match self.store.listen(self.settings.node).await {
                Ok(None) => return,
                Ok(Some(mut news)) => {
                    while news.next().await.is_ok() {
                        self.work.notify_one();
                    }
                }
                Err(error) => tracing::debug!(error = error.chain(), "other servers cannot be heard of yet"),
            }
            // Until then it looks for itself.
            tokio::time::sleep(self.settings.poll).await;
        }
    }

    /// Tells the broker what it has to know. Ends only if there is none.
    async fn keep_order(&self) {
        if let Some(order) = &self.order {
            tokio::join!(order.pass_on(|| self.work.notify_one()), self.reconcile(order));
        }
    }

    /// Brings back to the broker what it lacks. Never ends.
    async fn reconcile(&self, order: &Order) {
        let mut ticks = interval(self.settings.reconcile);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = order.is_back() => {}
            }
            if let Err(error) = self.reconcile_once(order).await {
                tracing::warn!(error = error.chain(), "the queue's broker could not be compared with the store yet");
            }
        }
    }

    async fn reconcile_once(&self, order: &Order) -> Result<()> {
        let mut after = None;
        loop {
            let page = self.store.ready(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            if !order.push(&page).await {
                return Ok(());
            }
            self.work.notify_one();
            after = Some(last.call_id);
        }
    }
}
