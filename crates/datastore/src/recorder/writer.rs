//! The one writer: groups, retries, and the search for a row that the store refuses.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hearth_models::Call;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::{Counts, Recording, Shared};
use crate::backoff::Backoff;
use crate::{Error, Record, Recorded, Result};

/// How often a group is tried when the store fails in a way that is not known to pass: for some seconds, because somebody
/// may be changing the database, but not for ever, because everything behind it waits.
const FAULTS: u32 = 8;

/// Writes what a [`Recorder`](crate::Recorder) takes.
#[derive(Debug)]
pub struct RecorderService {
    shared: Arc<Shared>,
}

impl RecorderService {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Writes until `cancel`, then the rest, within the drain time of the settings. Whoever cancels this makes sure
    /// that the calls have ended before. Returns the final account: what is `pending` in it is not in the store.
    pub async fn run(self, cancel: CancellationToken) -> Counts {
        let shared = &*self.shared;
        let mut work = Box::pin(shared.write_groups());
        let snapshots = shared.write_long_calls();
        tokio::select! {
            () = &mut work => {}
            () = snapshots => {}
            () = cancel.cancelled() => {}
        }
        shared.backlog.close();
        if timeout(shared.settings.drain, work).await.is_err() {
            let lost = shared.backlog.counts().pending;
            tracing::error!(lost, "the store did not take the last records in time");
        }
        shared.backlog.counts()
    }
}

impl Shared {
    /// Ends when the backlog is closed and empty.
    async fn write_groups(&self) {
        let settings = &self.settings;
        let mut next = Instant::now();
        while self.backlog.work().await {
            if self.backlog.queued() < settings.group_records {
                sleep_until(next).await;
            }
            let began = Instant::now();
            next = began + settings.linger;
            let group = self.backlog.take(settings.group_records, settings.group_bytes);
            self.write(group).await;
            self.observed.flushed(began.elapsed());
        }
    }

    /// Stores a group; where the store refuses, or fails in a way that is not known to pass, halves it until the row that
    /// is to blame stands alone.
    async fn write(&self, group: Vec<Arc<Record>>) {
        let mut faults = FAULTS;
        let mut parts = vec![group];
        while let Some(mut part) = parts.pop() {
            match self.persist(&part, faults).await {
                Ok(recorded) => {
                    self.show_from_store(&part);
                    self.backlog.settle(&part, &recorded);
                    self.observed.settled(&part);
                }
                Err(_) if part.len() > 1 => {
                    parts.push(part.split_off(part.len() / 2));
                    parts.push(part);
                    // The whole has had its chances.
                    faults = 1;
                }
                Err(error) => {
                    for record in &part {
                        let call = &record.call;
                        tracing::error!(call.id = %call.id, app.id = %call.app_id, error = error.chain(), "the store refused a record");
                    }
                    self.show_from_store(&part);
                    self.backlog.refuse(&part);
                    self.observed.settled(&part);
                }
            }
        }
    }

    fn show_from_store(&self, group: &[Arc<Record>]) {
        for record in group {
            self.table.remove_ended(record);
        }
    }

    /// Tries until the store has the group, refuses it, or has failed `faults` times in a way that is not known to pass.
    async fn persist(&self, group: &[Arc<Record>], mut faults: u32) -> Result<Recorded> {
        let mut waits = Backoff::new(Duration::from_millis(50), self.settings.longest_backoff);
        loop {
            let error = match self.attempt(group).await {
                Ok(recorded) => return Ok(recorded),
                Err(error @ Error::Refused(_)) => return Err(error),
                Err(error) => error,
            };
            if !error.is_unavailable() {
                faults = faults.saturating_sub(1);
                if faults == 0 {
                    return Err(error);
                }
            }
            self.backlog.count(|counts| counts.retries += 1);
            let wait = waits.next().unwrap_or(self.settings.longest_backoff);
            tracing::warn!(
                records = group.len(),
                retry_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                error = error.chain(),
                "calls could not be stored yet"
            );
            sleep(wait).await;
        }
    }

    async fn attempt(&self, group: &[Arc<Record>]) -> Result<Recorded> {
        let record = self.observed.record(group, self.store.record(self.settings.node, group));
        match timeout(self.settings.attempt, record).await {
            Ok(result) => result,
            Err(late) => Err(Error::Unavailable(late.into())),
        }
    }

    /// Tells the store about synchronous calls that take long; of asynchronous ones it knows. Never ends.
    fn write_long_calls(&self) -> impl Future<Output = ()> {
        let mut ticks = interval(self.settings.long_call / 4);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        async move {
            if self.settings.recording == Recording::Asynchronous {
                return std::future::pending().await;
            }
            loop {
                ticks.tick().await;
                let due = self.table.untold(self.settings.long_call);
                for calls in due.chunks(self.settings.group_records) {
                    self.write_snapshots(calls).await;
                }
            }
        }
    }

    /// One try: what fails is due again at the next tick.
    async fn write_snapshots(&self, calls: &[Arc<Call>]) {
        let snapshot = |call: &Arc<Call>| Arc::new(Record { call: Call::clone(call), log: None });
        let records: Vec<Arc<Record>> = calls.iter().map(snapshot).collect();
        match self.attempt(&records).await {
            Ok(_) => self.snapshots_done(calls),
            Err(Error::Refused(_)) if records.len() > 1 => {
                for (call, record) in calls.iter().zip(&records) {
                    let told = self.attempt(std::slice::from_ref(record)).await;
                    // One that is refused alone is refused at its end too, and reported then.
                    if matches!(told, Ok(_) | Err(Error::Refused(_))) {
                        self.snapshots_done(std::slice::from_ref(call));
                    }
                }
            }
            Err(error) => {
                tracing::warn!(error = error.chain(), "long calls could not be stored yet");
            }
        }
    }

    fn snapshots_done(&self, calls: &[Arc<Call>]) {
        for call in calls {
            self.table.mark_told(call);
        }
        self.backlog.count(|counts| counts.snapshots += calls.len() as u64);
    }
}
