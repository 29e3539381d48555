//! The handle of the queue.

use std::sync::Arc;

use hearth_datastore::{
    Advanced, Cancelled, Lease, Leased, QueueStore, Result, Standing, StoreOperation, Submission, Terms, Verdict,
};
use hearth_models::{AppId, Call, CallId, FnId, PerPage, Timestamp};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;

use crate::accept::Request;
use crate::bounds::Bounds;
use crate::census::Census;
use crate::counts::{Counters, Ended, QueueCounts};
use crate::held::Held;
use crate::order::Order;
use crate::time::QueueTime;
use crate::{AcceptError, Broker, Counted, Delivery, QueueService, QueueSettings};

/// What became of a call whose attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It will be ready again at this time.
    Retried(Timestamp),
    /// It was given up.
    Dead,
    /// It was not this attempt's to decide any more.
    Lost,
}

/// The queue of asynchronous calls. Cheap to clone; [`QueueService::run`] has to run for it to work.
#[derive(Clone, Debug)]
pub struct Queue {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn QueueStore>,
    pub(crate) order: Option<Order>,
    pub(crate) settings: QueueSettings,
    pub(crate) held: Arc<Held>,
    pub(crate) time: QueueTime,
    /// There may be something to reserve.
    pub(crate) work: Notify,
    /// Something may become due earlier than was known.
    pub(crate) due: Notify,
    pub(crate) counters: Counters,
    pub(crate) census: Census,
    bounds: Bounds,
    requests: mpsc::Sender<Request>,
}

impl Queue {
    /// A queue over `store`, whose order is kept by `broker` if there is one, and the service that has to run for it.
    #[must_use]
    pub fn new(
        store: Arc<dyn QueueStore>,
        broker: Option<Arc<dyn Broker>>,
        settings: QueueSettings,
    ) -> (Self, QueueService) {
        let (requests, waiting) = mpsc::channel(settings.max_accepting);
        let shared = Arc::new(Shared {
            store,
            order: broker.map(Order::new),
            settings,
            held: Arc::default(),
            time: QueueTime::default(),
            work: Notify::new(),
            due: Notify::new(),
            counters: Counters::default(),
            census: Census::default(),
            bounds: Bounds::default(),
            requests,
        });
        (Self { shared: Arc::clone(&shared) }, QueueService::new(shared, waiting))
    }

    /// Queues a call. It is on the disk when this returns; it may be also when the future is dropped.
    ///
    /// # Errors
    /// Why it was not queued.
    pub async fn accept(&self, submission: Submission) -> std::result::Result<(), AcceptError> {
        let Shared { store, settings, bounds, requests, counters, .. } = &*self.shared;
        let max = settings.max_per_app;
        match bounds.admit(&**store, submission.call.app_id, max).await {
            Ok(true) => {}
            Ok(false) => {
                counters.full.add(1);
                return Err(AcceptError::Full { max });
            }
            Err(error) => {
                tracing::warn!(error = error.chain(), "a call could not be queued");
                counters.failed.add(1);
                return Err(AcceptError::Unavailable);
            }
        }
        let (done, accepted) = oneshot::channel();
        // Where so many wait for a commit already, waiting with them is no use.
        requests.try_send(Request { submission, done }).map_err(|_full| {
            counters.failed.add(1);
            AcceptError::Unavailable
        })?;
        // The service ends without a word only after it was told to stop.
        accepted.await.unwrap_or(Err(AcceptError::Unavailable))
    }

    /// Leases up to `at_most` calls that are ready, in their order; those of the functions `except` are passed over.
    ///
    /// # Errors
    /// The store is away.
    pub async fn reserve(&self, at_most: usize, except: &[FnId]) -> Result<Vec<Delivery>> {
        if at_most == 0 {
            return Ok(Vec::new());
        }
        let Shared { store, settings, held, time, order, .. } = &*self.shared;
        let now = time.now();
        let terms = Terms { node: settings.node, except, now, until: now.after(settings.lease) };
        let taken = match order {
            // Only the store can pass functions over: a broker would have to be emptied down to what may be taken.
            Some(order) if except.is_empty() => order.take(at_most).await,
            Some(_) | None => None,
        };
        let (found, leased) = match taken {
            Some(taken) => (taken.len(), self.lease(terms, &taken).await?),
            None => {
                let leased = settings.observed.ask(StoreOperation::Reserve, store.reserve(terms, at_most)).await?;
                (leased.len(), leased)
            }
        };
        if found == at_most {
            // There may be more.
            self.shared.work.notify_one();
        }
        Ok(leased.into_iter().map(|leased| held.take(leased)).collect())
    }

    /// Leases what the broker says is next, as far as it still can be.
    async fn lease(&self, terms: Terms<'_>, taken: &[Standing]) -> Result<Vec<Leased>> {
        if taken.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<CallId> = taken.iter().map(|call| call.call_id).collect();
        let Shared { store, settings, .. } = &*self.shared;
        let leased = settings.observed.ask(StoreOperation::Reserve, store.reserve_these(terms, &ids)).await;
        leased.inspect_err(|_| self.shared.announce(taken))
    }

    /// Waits until there may be something to reserve. One task at a time may wait.
    pub async fn wait(&self) {
        // What other servers do is not always heard of, so it is looked for now and then.
        let late = timeout(self.shared.settings.poll, self.shared.work.notified()).await;
        drop(late);
    }

    /// Gives back calls that have not begun, as if they had never been reserved.
    ///
    /// # Errors
    /// The store is away. The leases lapse then.
    pub async fn give_back(&self, deliveries: Vec<Delivery>) -> Result<()> {
        let leases: Vec<Lease> = deliveries.iter().map(|delivery| delivery.leased().lease()).collect();
        if leases.is_empty() {
            return Ok(());
        }
        let Shared { store, settings, .. } = &*self.shared;
        settings.observed.ask(StoreOperation::Release, store.give_back(&leases)).await?;
        let standings: Vec<Standing> = deliveries.iter().map(|delivery| delivery.leased().standing()).collect();
        deliveries.into_iter().for_each(|delivery| delivery.settle(Ended::GivenBack));
        self.shared.announce(&standings);
        Ok(())
    }

    /// An attempt failed for a reason that is not its function's: the call is tried again later, or given up.
    ///
    /// # Errors
    /// The store is away. The lease lapses then, which leads to another attempt just the same.
    pub async fn failed(&self, delivery: Delivery, verdict: Verdict) -> Result<Outcome> {
        let Shared { store, settings, due, time, counters, .. } = &*self.shared;
        let (lease, now) = (delivery.leased().lease(), time.now());
        let Some(wait) = settings.retry.wait_after(lease.attempt) else {
            let error = format!("given up after {} attempts: {}", lease.attempt, verdict.error);
            let verdict = Verdict { error, ..verdict };
            if !settings.observed.ask(StoreOperation::Delete, store.bury(lease, &verdict, now)).await? {
                return Ok(Outcome::Lost);
            }
            delivery.settle(Ended::GivenUp);
            counters.dead.add(1);
            return Ok(Outcome::Dead);
        };
        let at = now.after(wait);
        if !settings.observed.ask(StoreOperation::Release, store.retry(lease, at)).await? {
            return Ok(Outcome::Lost);
        }
        delivery.settle(Ended::Retried);
        due.notify_one();
        Ok(Outcome::Retried(at))
    }

    /// Ends a call that cannot be run any more, for good.
    ///
    /// # Errors
    /// The store is away. The lease lapses then.
    pub async fn discard(&self, delivery: Delivery, verdict: Verdict) -> Result<bool> {
        let Shared { store, settings, time, .. } = &*self.shared;
        let discarding = store.discard(delivery.leased().lease(), &verdict, time.now());
        let discarded = settings.observed.ask(StoreOperation::Delete, discarding).await?;
        if discarded {
            delivery.settle(Ended::Discarded);
        }
        Ok(discarded)
    }

    /// Cancels a call. If it runs here, its delivery is [lost](Delivery::lost) at once; if it runs elsewhere, when its
    /// lease would be renewed.
    ///
    /// # Errors
    /// As [`QueueStore::cancel`].
    pub async fn cancel(&self, app_id: AppId, call_id: CallId) -> Result<Cancelled> {
        let Shared { store, settings, time, .. } = &*self.shared;
        let cancelling = store.cancel(app_id, call_id, time.now());
        let cancelled = settings.observed.ask(StoreOperation::Cancel, cancelling).await?;
        if matches!(cancelled, Cancelled::Waiting | Cancelled::Running(_)) {
            self.shared.counters.cancelled.add(1);
        }
        if let Cancelled::Running(lease) = cancelled {
            let held = self.shared.held.holdings();
            self.shared.held.lose(held.into_iter().filter(|holding| holding.lease == lease));
        }
        Ok(cancelled)
    }

    /// A page of an app's calls that were given up, newest first.
    ///
    /// # Errors
    /// As [`QueueStore::dead`].
    pub async fn dead(&self, app_id: AppId, cursor: Option<&str>, per_page: PerPage) -> Result<Vec<Call>> {
        let Shared { store, settings, .. } = &*self.shared;
        settings.observed.ask(StoreOperation::Dead, store.dead(app_id, cursor, per_page)).await
    }

    /// Queues the request of a call that was given up once more, as a new call.
    ///
    /// # Errors
    /// As [`QueueStore::redrive`].
    pub async fn redrive(&self, app_id: AppId, call_id: CallId) -> Result<Call> {
        let Shared { store, settings, .. } = &*self.shared;
        let redriving = store.redrive(settings.node, app_id, call_id);
        let again = settings.observed.ask(StoreOperation::Redrive, redriving).await?;
        self.shared.counters.redriven.add(1);
        let call = again.call.clone();
        self.shared.announce(&[again.standing()]);
        Ok(call)
    }

    /// Ends the leases of earlier processes of this server. To be called once, when nothing of theirs runs any more.
    /// Returns how many there were.
    ///
    /// # Errors
    /// As [`QueueStore::release_own`].
    pub async fn recover(&self) -> Result<usize> {
        let Shared { store, settings, time, .. } = &*self.shared;
        let last = settings.retry.attempts.get();
        let released = store.release_own(settings.node, time.now(), last).await?;
        self.shared.count(&released);
        self.shared.announce(&released.lapsed);
        Ok(released.lapsed.len() + released.dead.len())
    }

    /// What this process has done.
    #[must_use]
    pub fn counts(&self) -> QueueCounts {
        self.shared.counters.with(self.shared.held.attempts())
    }

    /// How full the queue was when it was last counted: seconds ago, and longer where counting takes long. None: it has
    /// not been counted yet.
    #[must_use]
    pub fn counted(&self) -> Option<Counted> {
        self.shared.census.last()
    }
}

impl Shared {
    /// Leases lapsed, and calls were given up with them.
    pub(crate) fn count(&self, advanced: &Advanced) {
        self.counters.lapsed.add(advanced.lapsed.len() + advanced.dead.len());
        self.counters.dead.add(advanced.dead.len());
    }

    /// These calls are ready.
    pub(crate) fn announce(&self, ready: &[Standing]) {
        if ready.is_empty() {
            return;
        }
        match &self.order {
            Some(order) => order.note(ready),
            None => self.work.notify_one(),
        }
    }
}
