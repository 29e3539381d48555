//! A recorder that runs over a fake store.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hearth_datastore::{Counts, Node, Record, Recorder, RecorderSettings};
use hearth_models::{AppId, Call, CallType, FnId, InstanceId, ServerId};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::support::Fake;

/// A running recorder.
pub(crate) struct Bench {
    pub(crate) store: Arc<Fake>,
    pub(crate) recorder: Recorder,
    cancel: CancellationToken,
    service: JoinSet<Counts>,
    pub(crate) app_id: AppId,
}

impl Bench {
    pub(crate) fn new(change: impl FnOnce(&mut RecorderSettings)) -> Self {
        let mut settings =
            RecorderSettings::new(Node { server_id: ServerId::generate(), instance_id: InstanceId::generate() });
        change(&mut settings);
        let store = Arc::new(Fake::default());
        let (recorder, service) = Recorder::new(store.clone(), settings);
        let cancel = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(service.run(cancel.clone()));
        Self { store, recorder, cancel, service: tasks, app_id: AppId::generate() }
    }

    pub(crate) fn accepted(&self) -> Call {
        let mut call = Call::accept(self.app_id, FnId::generate(), CallType::Sync);
        call.path = "/a".to_owned();
        call
    }

    pub(crate) fn ended(&self) -> Call {
        let mut call = self.accepted();
        call.start().unwrap();
        call.succeed().unwrap();
        call
    }

    pub(crate) fn record(&self) -> Record {
        Record { call: self.ended(), log: Some(Bytes::from_static(b"log")) }
    }

    pub(crate) async fn stop(mut self) -> Counts {
        self.cancel.cancel();
        self.service.join_next().await.unwrap().unwrap()
    }

    /// Waits until nothing is pending.
    pub(crate) async fn settled(&self) -> Counts {
        let give_up = Instant::now() + Duration::from_secs(3600);
        loop {
            let counts = self.recorder.counts();
            assert_balanced(counts);
            if counts.pending == 0 {
                return counts;
            }
            assert!(Instant::now() < give_up, "still pending: {counts:?}");
            sleep(Duration::from_millis(1)).await;
        }
    }
}

pub(crate) fn assert_balanced(counts: Counts) {
    let Counts { accepted, stored, discarded, superseded, refused, pending, .. } = counts;
    assert_eq!(accepted, stored + discarded + superseded + refused + pending, "{counts:?}");
}
