//! The recorder: the hot path hands over calls as they begin and end and never waits for a disk.
//!
//! A call stands in memory from its first moment until the store has its end, so that whoever asks this node for it
//! sees it at once, and at every moment in exactly one state; that goes for synchronous ones, while asynchronous ones are
//! the store's to tell of, which has them from the beginning. Ended calls wait in a bounded line; one writer takes
//! them in groups. While the store is away the line grows up to its bound; then callers feel it. Nothing is dropped.

mod backlog;
mod list;
mod table;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hearth_models::{AppId, Call, CallFilter, CallId, CallType, Error as ModelError};
use tokio::time::timeout;

use crate::{CallStore, Node, Observed, Record, Result, StoreObserver, StoreOperation};
use backlog::Backlog;
use table::{Entry, Table};

pub use backlog::Counts;
pub use writer::RecorderService;

/// Which calls leave a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recording {
    /// Every one.
    #[default]
    All,
    /// Only asynchronous ones, which could not be run without it. The others can be read until they end.
    Asynchronous,
}

/// How a [`Recorder`] works.
#[derive(Clone, Debug)]
pub struct RecorderSettings {
    /// Who writes.
    pub node: Node,
    /// What is written.
    pub recording: Recording,
    /// Ended calls that may wait for the store before [`Recorder::has_room`] says no.
    pub max_records: u64,
    /// Memory that they may hold before that.
    pub max_bytes: u64,
    /// Calls in one group at most.
    pub group_records: usize,
    /// Bytes in one group at most, unless a single call has more. Below the packet limits of the databases.
    pub group_bytes: u64,
    /// Shortest time between two groups. A call that ends when there was none for this long is written at once.
    pub linger: Duration,
    /// Longest try to write a group.
    pub attempt: Duration,
    /// Longest wait between two tries.
    pub longest_backoff: Duration,
    /// Age at which a running call is written, so that it survives a crash of this node.
    pub long_call: Duration,
    /// Time to write the rest when the server stops.
    pub drain: Duration,
    /// Is told how long the store took, and of what it has.
    pub observer: Option<Arc<dyn StoreObserver>>,
}

impl RecorderSettings {
    /// The defaults, for `node`.
    #[must_use]
    pub const fn new(node: Node) -> Self {
        Self {
            node,
            recording: Recording::All,
            max_records: 50_000,
            max_bytes: 128 << 20,
            group_records: 2_000,
            group_bytes: 4 << 20,
            linger: Duration::from_millis(10),
            attempt: Duration::from_secs(30),
            longest_backoff: Duration::from_secs(2),
            long_call: Duration::from_secs(1),
            drain: Duration::from_secs(10),
            observer: None,
        }
    }
}

/// What the handles and the writer share.
#[derive(Debug)]
struct Shared {
    store: Arc<dyn CallStore>,
    settings: RecorderSettings,
    table: Table,
    backlog: Backlog,
    observed: Observed,
}

/// Takes calls and shows them. Cheap to clone; [`RecorderService::run`] does the writing.
#[derive(Clone, Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
}

impl Recorder {
    /// A recorder over `store`, and the service that must run for anything to be written.
    #[must_use]
    pub fn new(store: Arc<dyn CallStore>, settings: RecorderSettings) -> (Self, RecorderService) {
        let (table, backlog) = (Table::default(), Backlog::new(&settings));
        let observed = Observed(settings.observer.clone());
        let shared = Arc::new(Shared { store, table, backlog, observed, settings });
        let recorder = Self { shared: Arc::clone(&shared) };
        (recorder, RecorderService::new(shared))
    }

    /// A call was accepted: from now on it can be read.
    pub fn begin(&self, call: &Call) {
        self.shared.table.insert(Arc::new(call.clone()));
    }

    /// A call that had begun changed without ending: it runs now, or waits again. What has not begun
    /// here, or has ended, stays as it is.
    pub fn update(&self, call: &Call) {
        self.shared.table.change(Arc::new(call.clone()));
    }

    /// A call that had begun here will not end here: it is the store's to tell how it stands.
    pub fn forget(&self, id: CallId) {
        self.shared.table.forget(id);
    }

    /// The caller of a call is about to have its answer, and the end of its record will follow at once. Who reads the
    /// call from now on waits for that, for a short time.
    pub fn answered(&self, id: CallId) {
        self.shared.table.mark_answered(id);
    }

    /// A call ended. The record is taken over before this returns and can be read at once (that of an asynchronous call
    /// once it is stored: should this process die before, the call is run again); it cannot be lost by the caller any more.
    /// Over the bound too: what was accepted is kept, and [`has_room`](Self::has_room) is what holds new calls back.
    pub fn accept(&self, record: Record) {
        let Shared { settings, table, backlog, observed, .. } = &*self.shared;
        if settings.recording == Recording::Asynchronous && record.call.call_type == CallType::Sync {
            table.forget(record.call.id);
            backlog.discard();
            observed.settled(&[Arc::new(record)]);
            return;
        }
        let record = Arc::new(record);
        table.put_ended(Arc::clone(&record));
        backlog.push(record);
    }

    /// Whether a call has ended here and the store has not heard of it yet.
    #[must_use]
    pub fn is_pending(&self, id: CallId) -> bool {
        self.shared.table.has_ended(id)
    }

    /// Whether less waits for the store than may. New calls had better be refused while it is not so.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.shared.backlog.has_room()
    }

    /// One call, whether it runs, just ended or was stored long ago.
    ///
    /// # Errors
    /// As [`CallStore::call`].
    pub async fn call(&self, app_id: AppId, id: CallId) -> Result<Call> {
        self.settled(&[id]).await;
        match self.shared.table.get(app_id, id) {
            Some(entry) => Ok(entry.call().clone()),
            None => self.shared.observed.ask(StoreOperation::GetCall, self.shared.store.call(app_id, id)).await,
        }
    }

    /// The log of a call that has ended.
    ///
    /// # Errors
    /// As [`CallStore::log`].
    pub async fn log(&self, app_id: AppId, id: CallId) -> Result<Bytes> {
        self.settled(&[id]).await;
        match self.shared.table.get(app_id, id) {
            Some(Entry::Live { .. }) => Err(ModelError::LogNotFound.into()),
            Some(Entry::Ended(record)) if record.log.is_some() => Ok(record.log.clone().unwrap_or_default()),
            _ => self.shared.observed.ask(StoreOperation::GetLog, self.shared.store.log(app_id, id)).await,
        }
    }

    /// A page of an app's calls, newest first, those included that the store does not have yet.
    ///
    /// # Errors
    /// As [`CallStore::calls`].
    pub async fn calls(&self, app_id: AppId, filter: &CallFilter) -> Result<Vec<Call>> {
        let settling = self.shared.table.settling(app_id);
        self.settled(&settling).await;
        // The table first: a call that leaves it while the store is asked is then seen in both, never in neither.
        let here = self.shared.table.of_app(app_id);
        let merged = list::merged(&*self.shared.store, app_id, filter, here);
        self.shared.observed.ask(StoreOperation::GetCalls, merged).await
    }

    async fn settled(&self, ids: &[CallId]) {
        /// The end of a record follows the answer by milliseconds; what takes longer is shown as it is.
        const PATIENCE: Duration = Duration::from_secs(2);
        let all = async {
            for id in ids {
                self.shared.table.settled(*id).await;
            }
        };
        if timeout(PATIENCE, all).await.is_err() {
            tracing::warn!(calls = ids.len(), "answered calls have not ended");
        }
    }

    /// What became of the calls so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.backlog.counts()
    }

    /// Calls that have begun and not ended.
    #[must_use]
    pub fn live(&self) -> usize {
        self.shared.table.live()
    }
}
