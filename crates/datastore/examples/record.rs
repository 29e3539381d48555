//! How many calls a second the recorder takes, and how many it stores, on a SQLite file.
//!
//!     cargo run --release -p hearth-datastore --example record [calls] [log bytes] [stat points] [directory]
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use hearth_datastore::{Node, Record, Recorder, RecorderSettings, open};
use hearth_models::{App, AppId, Call, CallType, Config, FnId, InstanceId, Metrics, ServerId, Stat, Timestamp};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const CALLERS: usize = 8;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: usize| -> Result<usize, Box<dyn Error>> {
        Ok(arguments.next().map_or(Ok(default), |text| text.parse())?)
    };
    let (calls, log_bytes, points) = (number(200_000)?, number(200)?, number(2)?);
    let directory = match arguments.next() {
        Some(parent) => tempfile::tempdir_in(parent)?,
        None => tempfile::tempdir()?,
    };
    let file = directory.path().join("bench.db");
    let store = open(&format!("sqlite3://{}", file.display())).await?;
    let app = App::new("bench", Config::default())?;
    store.insert_app(&app).await?;

    let node = Node { server_id: ServerId::generate(), instance_id: InstanceId::generate() };
    let (recorder, service) = Recorder::new(store.clone(), RecorderSettings::new(node));
    let cancel = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let writer = tasks.spawn(service.run(cancel.clone()));
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (recorder, app_id) = (recorder.clone(), app.id);
        callers.spawn(async move {
            let mut inside = Duration::ZERO;
            for _ in 0..calls / CALLERS {
                inside += one_call(&recorder, app_id, log_bytes, points).await;
            }
            inside
        });
    }
    let inside: Duration = callers.join_all().await.iter().sum();
    let taken = began.elapsed();
    cancel.cancel();
    while tasks.join_next().await.is_some() {}
    let stored = began.elapsed();
    drop(writer);
    let counts = recorder.counts();
    let rate = |time: Duration| counts.accepted as f64 / time.as_secs_f64();
    println!("calls {} log {log_bytes} B, {points} points", counts.accepted);
    println!(
        "taken  {:>8.0}/s, {:.2} µs of the caller's time each",
        rate(taken),
        inside.as_secs_f64() * 1e6 / counts.accepted as f64
    );
    println!(
        "stored {:>8.0}/s in {} groups of {} on average",
        rate(stored),
        counts.groups,
        counts.stored / counts.groups.max(1)
    );
    println!("file {} MiB; {counts:?}", std::fs::metadata(&file)?.len() >> 20);
    store.close().await;
    Ok(())
}

/// One call; returns the time spent before the recorder may have made its caller wait.
async fn one_call(recorder: &Recorder, app_id: AppId, log_bytes: usize, points: usize) -> Duration {
    let mut call = Call::accept(app_id, FnId::generate(), CallType::Sync);
    "/bench/path".clone_into(&mut call.path);
    let log = Bytes::from(vec![b'x'; log_bytes]);
    let stat = Stat {
        timestamp: Timestamp::now(),
        metrics: Metrics { mem_usage: 12_345_678, mem_limit: 134_217_728, cpu_total: 17, ..Metrics::default() },
    };
    let began = Instant::now();
    recorder.begin(&call);
    let started = call.start();
    recorder.update(&call);
    call.stats = vec![stat; points];
    let ended = started.and_then(|()| call.succeed());
    debug_assert!(ended.is_ok());
    let finish = recorder.finish(Record { call, log: Some(log) });
    let inside = began.elapsed();
    finish.await;
    inside
}
