//! What has to happen in the queue without anybody asking for it.

use std::sync::Arc;
use std::time::Duration;

use hearth_models::Timestamp;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::Broker;
use crate::accept::{Request, commit_all};
use crate::queue::Shared;

/// Time to commit what was accepted before the server was told to stop.
const LAST_COMMITS: Duration = Duration::from_secs(10);
/// Ready calls that are compared with the broker at a time.
const PAGE: usize = 1000;

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
            tokio::join!(shared.advance(), shared.keep_leases(), shared.reconcile());
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

impl Shared {
    /// Makes ready what becomes due. Never ends.
    async fn advance(&self) {
        loop {
            match self.advance_once().await {
                Ok(true) => {}
                Ok(false) => self.until_due().await,
                Err(error) => {
                    tracing::warn!(error = error.chain(), "what is due in the queue stays for now");
                    tokio::time::sleep(self.settings.poll).await;
                }
            }
        }
    }

    /// Whether there was anything due, so that there may be more.
    async fn advance_once(&self) -> hearth_datastore::Result<bool> {
        let now = Timestamp::now();
        if self.store.next_due().await?.is_none_or(|due| due > now) {
            return Ok(false);
        }
        let advanced = self.store.advance(now, self.settings.retry.attempts.get()).await?;
        for call in &advanced.dead {
            tracing::error!(call.id = %call, "a call was given up: the servers that ran it were lost");
        }
        if !advanced.lapsed.is_empty() {
            tracing::warn!(calls = advanced.lapsed.len(), "leases lapsed; their calls are queued again");
        }
        self.announce(&advanced.due).await;
        self.announce(&advanced.lapsed).await;
        Ok(!advanced.is_empty())
    }

    async fn until_due(&self) {
        let next = self.store.next_due().await.ok().flatten();
        let wait = next.map_or(self.settings.poll, |due| due.since(Timestamp::now()).min(self.settings.poll));
        // Woken or late, it looks again.
        drop(timeout(wait, self.due.notified()).await);
    }

    /// Renews what this process holds. Never ends.
    async fn keep_leases(&self) {
        let mut ticks = interval(self.settings.renew);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let leases = self.held.leases();
            if leases.is_empty() {
                continue;
            }
            match self.store.renew(&leases, Timestamp::now().after(self.settings.lease)).await {
                Ok(lost) => self.held.lose(&lost),
                Err(error) => tracing::warn!(error = error.chain(), "leases could not be renewed yet"),
            }
        }
    }

    /// Brings back to the broker what it lacks. Ends only if there is none.
    async fn reconcile(&self) {
        let Some(broker) = &self.broker else { return };
        let mut ticks = interval(self.settings.reconcile);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(why) = self.reconcile_once(&**broker).await {
                tracing::warn!(error = &*why, "the queue's broker could not be compared with the store yet");
            }
        }
    }

    async fn reconcile_once(&self, broker: &dyn Broker) -> Result<(), hearth_datastore::Source> {
        let mut after = None;
        loop {
            let page = self.store.ready(after, PAGE).await?;
            broker.push(&page).await?;
            let Some(last) = page.last() else { return Ok(()) };
            self.work.notify_one();
            after = Some(last.call_id);
        }
    }
}
