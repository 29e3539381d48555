//! The recorder on a SQLite file whose lock somebody else holds, whose disk is full, and whose process is killed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hearth_datastore::{Counts, Datastore, Node, Record, Recorder, RecorderSettings, open};
use hearth_models::{App, AppId, Call, CallId, CallType, Config, FnId, InstanceId, ServerId};
use sqlx::{Connection, Executor, SqliteConnection};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(60);

fn file(directory: &Path) -> PathBuf {
    directory.join("x.db")
}

async fn store(directory: &Path) -> Arc<dyn Datastore> {
    open(&format!("sqlite3://{}", file(directory).display())).await.unwrap()
}

async fn raw(directory: &Path) -> SqliteConnection {
    SqliteConnection::connect(&format!("sqlite://{}", file(directory).display())).await.unwrap()
}

async fn an_app(store: &Arc<dyn Datastore>, name: &str) -> AppId {
    let app = App::new(name, Config::default()).unwrap();
    store.insert_app(&app).await.unwrap();
    app.id
}

/// A call that has just ended well, with a log of that many bytes.
fn ended(app_id: AppId, log: usize) -> Record {
    let mut call = Call::accept(app_id, FnId::generate(), CallType::Sync);
    call.start().unwrap();
    call.succeed().unwrap();
    Record { call, log: Some(Bytes::from(vec![b'x'; log])) }
}

/// A recorder and the task that it writes in.
struct Recording {
    recorder: Recorder,
    stop: CancellationToken,
    tasks: JoinSet<Counts>,
}

impl Recording {
    fn start(store: &Arc<dyn Datastore>) -> Self {
        let node = Node { server_id: ServerId::generate(), instance_id: InstanceId::generate() };
        let (recorder, service) = Recorder::new(Arc::clone(store) as _, RecorderSettings::new(node));
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        tasks.spawn(service.run(stop.clone()));
        Self { recorder, stop, tasks }
    }

    async fn until(&self, holds: impl Fn(Counts) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self.recorder.counts()) {
            assert!(Instant::now() < deadline, "{:?}", self.recorder.counts());
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn stop(mut self) -> Counts {
        self.stop.cancel();
        self.tasks.join_next().await.unwrap().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_while_the_file_is_locked_is_stored_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path()).await;
    let app_id = an_app(&store, "app").await;
    let recording = Recording::start(&store);
    let mut other = raw(directory.path()).await;
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let ids: Vec<CallId> = (0..500)
        .map(|_| {
            let record = ended(app_id, 100);
            let id = record.call.id;
            recording.recorder.accept(record);
            id
        })
        .collect();
    recording.until(|counts| counts.retries > 0).await;
    assert_eq!(recording.recorder.counts().pending, 500, "and none is given up");
    other.execute("COMMIT").await.unwrap();
    recording.until(|counts| counts.pending == 0).await;
    let counts = recording.stop().await;
    assert_eq!((counts.accepted, counts.stored, counts.refused), (500, 500, 0));
    for id in ids {
        store.call(app_id, id).await.unwrap();
    }
}

/// A file system of a few megabytes, which takes root to make.
struct SmallDisk {
    directory: tempfile::TempDir,
}

impl SmallDisk {
    fn new() -> Self {
        assert!(rustix::process::geteuid().is_root(), "a file system takes root: run the tests as root");
        let disk = Self { directory: tempfile::tempdir().unwrap() };
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(disk.path()).status();
        assert!(mounted.unwrap().success());
        disk
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    fn fill(&self) {
        let mut ballast = std::fs::File::create(self.ballast()).unwrap();
        while ballast.write_all(&[0; 4096]).is_ok() {}
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(self.path()).status());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_while_the_disk_is_full_is_stored_when_it_is_not() {
    let disk = SmallDisk::new();
    let store = store(disk.path()).await;
    let app_id = an_app(&store, "app").await;
    let recording = Recording::start(&store);
    recording.recorder.accept(ended(app_id, 100));
    recording.until(|counts| counts.stored == 1).await;

    disk.fill();
    let mut ids = Vec::new();
    // More than what is left in the pages that the file has already.
    for _ in 0..300 {
        let record = ended(app_id, 5_000);
        ids.push(record.call.id);
        recording.recorder.accept(record);
    }
    // Longer than a fault would be tolerated that is not known to pass.
    recording.until(|counts| counts.retries > 10).await;
    let counts = recording.recorder.counts();
    assert_eq!((counts.accepted, counts.stored + counts.pending, counts.refused), (301, 301, 0));
    assert!(counts.pending > 0, "{counts:?}");
    let long = "x".repeat(200_000);
    let long: Config = serde_json::from_value(serde_json::json!({"LONG": long})).unwrap();
    let change = App::new("other", long).unwrap();
    let refused = store.insert_app(&change).await.unwrap_err();
    assert!(refused.is_unavailable() && refused.chain().contains("full"), "{}", refused.chain());
    assert_eq!(store.app("app").await.unwrap().id, app_id, "what is stored can be read");
    for id in &ids {
        recording.recorder.call(app_id, *id).await.unwrap();
    }

    std::fs::remove_file(disk.ballast()).unwrap();
    recording.until(|counts| counts.pending == 0).await;
    let counts = recording.stop().await;
    assert_eq!((counts.accepted, counts.stored, counts.refused), (301, 301, 0));
    for id in ids {
        assert_eq!(store.log(app_id, id).await.unwrap().len(), 5_000);
    }
    store.close().await;
    let intact: String =
        sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut raw(disk.path()).await).await.unwrap();
    assert_eq!(intact, "ok");
}

const DIRECTORY: &str = "HEARTH_TEST_DIRECTORY";
/// So many calls end at once,
const AT_ONCE: u64 = 20;
/// as long as fewer than this wait for the store: however slow the disk is, no more can be lost.
const AHEAD: u64 = 1_000;

/// Records calls until it is killed. Prints the id of each before it hands it over, and how many are stored.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "not a test by itself: it never ends; a_kill_loses_at_most_the_last_group starts it, and kills it"]
async fn records_calls_until_it_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let store = store(Path::new(&directory)).await;
    let app_id = store.app("app").await.unwrap().id;
    let recording = Recording::start(&store);
    let mut said = 0;
    let mut out = std::io::stdout();
    loop {
        let at_once = if recording.recorder.counts().pending < AHEAD { AT_ONCE } else { 0 };
        for _ in 0..at_once {
            let record = ended(app_id, 100);
            writeln!(out, "id {}", record.call.id).unwrap();
            recording.recorder.accept(record);
        }
        let stored = recording.recorder.counts().stored;
        if stored != said {
            said = stored;
            writeln!(out, "stored {stored}").unwrap();
        }
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_at_most_the_last_group() {
    let directory = tempfile::tempdir().unwrap();
    an_app(&store(directory.path()).await, "app").await;
    for round in 0..10 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "records_calls_until_it_is_killed", "--ignored", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut ids, mut stored, mut groups) = (Vec::<CallId>::new(), 0, 0);
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            match line.unwrap().split_once(' ') {
                // The last line may be cut short.
                Some(("id", id)) => ids.extend(id.parse::<CallId>()),
                Some(("stored", count)) => {
                    stored = count.parse().unwrap_or(stored);
                    groups += 1;
                    // Sooner or later, and always while more is coming.
                    if groups == 1 + 2 * round {
                        child.kill().unwrap();
                    }
                }
                _ => {}
            }
        }
        child.wait().unwrap();
        let intact: String =
            sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut raw(directory.path()).await).await.unwrap();
        assert_eq!(intact, "ok");
        let store = store(directory.path()).await;
        let app_id = store.app("app").await.unwrap().id;
        let mut present = 0;
        for (nth, id) in ids.iter().enumerate() {
            if store.call(app_id, *id).await.is_ok() {
                assert_eq!(nth, present, "groups are stored in order and whole");
                assert_eq!(store.log(app_id, *id).await.unwrap().len(), 100);
                present += 1;
            }
        }
        let lost = ids.len() as u64 - present as u64;
        eprintln!("round {round}: {} calls ended, {stored} told as stored, {present} stored, {lost} lost", ids.len());
        assert!(present >= stored, "what was told as stored is there");
        assert!(lost <= AHEAD + AT_ONCE, "{lost} of {}", ids.len());
        store.close().await;
    }
}
