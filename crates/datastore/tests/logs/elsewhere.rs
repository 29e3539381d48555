use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hearth_datastore::{
    CallStore, Datastore, History, Keeper, KeeperSettings, LogEntry, LogsElsewhere, Node, Record, Recorded, Recorder,
    RecorderSettings, Retention, open, open_logs,
};
use hearth_models::{App, AppId, Call, CallFilter, CallId, Error};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::make::{app, failed, node, record, running, succeeded, told};
use crate::s3::S3;
use crate::stand::Stand;

/// The stores of calls and of logs, and both as one.
struct Both {
    calls: Arc<dyn Datastore>,
    both: Arc<LogsElsewhere>,
    app: App,
    stand: Stand,
}

impl Both {
    async fn new(stand: Stand) -> Self {
        let url = format!("sqlite3://{}/calls.db", stand.directory.path().display());
        let calls = open(&url).await.unwrap();
        let both = Arc::new(LogsElsewhere::new(Arc::clone(&calls), Arc::clone(&stand.logs)));
        let app = app(&*calls, "app").await;
        Self { calls, both, app, stand }
    }

    fn ended(&self, log: &'static [u8]) -> Arc<Record> {
        record(succeeded(self.app.id), log)
    }

    async fn store(&self, records: &[Arc<Record>]) -> Recorded {
        self.both.record(node(), records).await.unwrap()
    }

    async fn separate(&self, app_id: AppId, id: CallId) -> Option<Bytes> {
        self.stand.logs.get(app_id, id).await.unwrap()
    }

    async fn close(self) {
        self.calls.close().await;
        self.stand.remove().await;
    }
}

pub(crate) async fn a_call_and_its_log_are_found_from_both_stores(stand: Stand) {
    let both = Both::new(stand).await;
    let open = record(running(both.app.id), None);
    let records = [both.ended(b"a log"), both.ended(b""), record(failed(both.app.id), &b"another"[..]), open.clone()];
    for _ in 0..2 {
        let recorded = both.store(&records).await;
        assert_eq!(recorded, Recorded { stored: 4, ..Recorded::default() });
    }
    for record in &records {
        let call = &record.call;
        assert_eq!(both.both.call(call.app_id, call.id).await.unwrap(), *call);
        let log = both.both.log(call.app_id, call.id).await;
        match &record.log {
            Some(written) => assert_eq!(log.unwrap(), written),
            None => assert_eq!(told(log), Error::LogNotFound),
        }
        let written = record.log.clone().filter(|log| !log.is_empty());
        assert_eq!(both.separate(call.app_id, call.id).await, written, "what is empty is no object");
    }
    assert_eq!(both.both.calls(both.app.id, &CallFilter::default()).await.unwrap().len(), 4);
    assert_eq!(told(both.both.log(both.app.id, CallId::generate()).await), Error::LogNotFound);
    both.close().await;
}

pub(crate) async fn only_logs_of_stored_calls_are_written(stand: Stand) {
    let both = Both::new(stand).await;
    let gone = AppId::generate();
    let late = record(succeeded(gone), &b"late"[..]);
    let kept = both.ended(b"kept");
    let recorded = both.store(&[late.clone(), kept.clone()]).await;
    assert_eq!(recorded, Recorded { stored: 1, discarded: 1, let_go: vec![0], ..Recorded::default() });
    assert_eq!(both.separate(gone, late.call.id).await, None);
    assert_eq!(both.separate(both.app.id, kept.call.id).await.unwrap(), "kept");
    both.close().await;
}

pub(crate) async fn trimmed_calls_take_their_logs_along(stand: Stand) {
    let both = Both::new(stand).await;
    let records: Vec<Arc<Record>> = (0..30).map(|_| both.ended(b"log")).collect();
    both.store(&records).await;
    let calls: Vec<CallId> = records[..20].iter().map(|record| record.call.id).collect();
    assert_eq!(both.both.remove_calls(both.app.id, &calls).await.unwrap(), 20);
    for (n, record) in records.iter().enumerate() {
        assert_eq!(both.separate(both.app.id, record.call.id).await.is_some(), n >= 20, "{n}");
    }
    let left = both.both.ended(both.app.id, None, CallId::generate(), 100).await.unwrap();
    assert_eq!(left.len(), 10);
    both.close().await;
}

pub(crate) async fn a_removed_app_takes_its_logs_along(stand: Stand) {
    let both = Both::new(stand).await;
    let other = app(&*both.calls, "other").await;
    let records: Vec<Arc<Record>> = (0..250).map(|_| both.ended(b"log")).collect();
    both.store(&records).await;
    let kept = record(succeeded(other.id), &b"kept"[..]);
    both.store(std::slice::from_ref(&kept)).await;
    both.calls.remove_app("app").await.unwrap();

    let stop = CancellationToken::new();
    let keeper = KeeperSettings::new(node(), Retention::default());
    let keeper = Keeper::new(Arc::clone(&both.calls), Arc::clone(&both.both) as _, keeper);
    let watch = keeper.watch();
    let mut tasks = JoinSet::new();
    tasks.spawn(keeper.run(stop.clone()));
    let give_up = Instant::now() + Duration::from_secs(120);
    while watch.kept().purged_apps == 0 {
        assert!(Instant::now() < give_up, "{:?}", watch.kept());
        sleep(Duration::from_millis(5)).await;
    }
    stop.cancel();
    tasks.join_all().await;
    for record in [&records[0], &records[137], &records[249]] {
        assert_eq!(both.separate(both.app.id, record.call.id).await, None);
    }
    assert!(!both.stand.logs.purge(both.app.id, 10).await.unwrap(), "nothing is left");
    assert_eq!(both.both.log(other.id, kept.call.id).await.unwrap(), "kept");
    both.close().await;
}

/// Another server may see the end of a call a moment before its log.
pub(crate) async fn who_reads_a_log_just_after_its_call_waits_for_it(stand: Stand) {
    let both = Both::new(stand).await;
    let call = succeeded(both.app.id);
    both.calls.record(node(), &[record(call.clone(), None)]).await.unwrap();
    let entry = LogEntry { app_id: both.app.id, call_id: call.id, log: "late".into() };
    let late = async {
        sleep(Duration::from_millis(100)).await;
        both.stand.logs.put(&[entry]).await.unwrap();
    };
    let (log, ()) = tokio::join!(both.both.log(both.app.id, call.id), late);
    assert_eq!(log.unwrap(), "late");
    // A call that never has one is not waited for for ever.
    let without = succeeded(both.app.id);
    both.calls.record(node(), &[record(without.clone(), None)]).await.unwrap();
    assert_eq!(told(both.both.log(both.app.id, without.id).await), Error::LogNotFound);
    both.close().await;
}

pub(crate) async fn logs_from_before_are_still_found(stand: Stand) {
    let both = Both::new(stand).await;
    let before = both.ended(b"from before");
    both.calls.record(node(), std::slice::from_ref(&before)).await.unwrap();
    assert_eq!(both.both.log(both.app.id, before.call.id).await.unwrap(), "from before");
    both.close().await;
}

/// The recorder's promises hold when the log store is what fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_the_log_store_is_away() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("s3");
    std::fs::create_dir(&root).unwrap();
    let mut s3 = S3::start(&root).await;
    let logs = open_logs(&s3.url("bucket")).await.unwrap();
    let calls = open(&format!("sqlite3://{}/calls.db", directory.path().display())).await.unwrap();
    let app = app(&*calls, "app").await;
    let both = Arc::new(LogsElsewhere::new(Arc::clone(&calls), logs));
    let node: Node = node();
    let settings = RecorderSettings {
        max_records: 50,
        longest_backoff: Duration::from_millis(200),
        ..RecorderSettings::new(node)
    };
    let (recorder, service) = Recorder::new(both, settings);
    let cancel = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(service.run(cancel.clone()));

    s3.stop().await;
    let ended: Vec<Call> = (0..60).map(|_| succeeded(app.id)).collect();
    for call in &ended {
        recorder.accept(Record { call: call.clone(), log: Some(Bytes::from(format!("log of {}", call.id))) });
    }
    let give_up = Instant::now() + Duration::from_secs(120);
    while recorder.counts().retries == 0 {
        assert!(Instant::now() < give_up, "{:?}", recorder.counts());
        sleep(Duration::from_millis(10)).await;
    }
    assert!(!recorder.has_room(), "callers feel it");
    assert_eq!(recorder.counts().pending, 60);
    let first = &ended[0];
    assert_eq!(
        recorder.log(app.id, first.id).await.unwrap(),
        format!("log of {}", first.id),
        "and it can be read here"
    );

    let s3 = s3.again().await;
    while recorder.counts().pending > 0 {
        assert!(Instant::now() < give_up, "{:?}", recorder.counts());
        sleep(Duration::from_millis(10)).await;
    }
    let counts = recorder.counts();
    assert_eq!((counts.accepted, counts.stored, counts.refused, counts.discarded), (60, 60, 0, 0));
    for call in &ended {
        assert_eq!(recorder.log(app.id, call.id).await.unwrap(), format!("log of {}", call.id));
        assert_eq!(recorder.call(app.id, call.id).await.unwrap(), *call);
    }
    cancel.cancel();
    tasks.join_all().await;
    calls.close().await;
    drop(s3);
}
