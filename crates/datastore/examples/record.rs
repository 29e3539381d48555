//! What the recorder and the definitions cost, on a SQLite file: time in the caller, calls stored a second, time of a
//! lookup, time of lists and reads over all that was stored.
//!
//!     cargo run --release -p hearth-datastore --example record [calls] [log bytes] [stat points] [directory]
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hearth_datastore::{Datastore, Definitions, DefinitionsSettings, Node, Record, Recorder, RecorderSettings, open};
use hearth_models::{
    App, AppId, Call, CallFilter, CallId, CallType, Config, FnId, InstanceId, Metrics, Reason, RoutePatch, ServerId,
    Stat, Status, Timestamp,
};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const CALLERS: usize = 8;

#[derive(Clone, Copy)]
struct Load {
    calls: usize,
    log_bytes: usize,
    points: usize,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: usize| -> Result<usize, Box<dyn Error>> {
        Ok(arguments.next().map_or(Ok(default), |text| text.parse())?)
    };
    let load = Load { calls: number(200_000)?, log_bytes: number(200)?, points: number(2)? };
    let directory = match arguments.next() {
        Some(parent) => tempfile::tempdir_in(parent)?,
        None => tempfile::tempdir()?,
    };
    let file = directory.path().join("bench.db");
    let store = open(&format!("sqlite3://{}", file.display())).await?;
    let app = App::new("bench", Config::default())?;
    store.insert_app(&app).await?;
    record(&store, app.id, load).await?;
    println!("file     {} MiB", std::fs::metadata(&file)?.len() >> 20);
    resolve(&store).await?;
    read(&store, app.id).await?;
    store.close().await;
    Ok(())
}

async fn record(store: &Arc<dyn Datastore>, app_id: AppId, load: Load) -> Result<(), Box<dyn Error>> {
    let node = Node { server_id: ServerId::generate(), instance_id: InstanceId::generate() };
    let (recorder, service) = Recorder::new(store.clone(), RecorderSettings::new(node));
    let cancel = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(service.run(cancel.clone()));
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let recorder = recorder.clone();
        callers.spawn(async move {
            let mut inside = Vec::with_capacity(load.calls / CALLERS);
            for _ in 0..load.calls / CALLERS {
                inside.push(one_call(&recorder, app_id, load).await);
            }
            inside
        });
    }
    let mut inside = callers.join_all().await.concat();
    let taken = began.elapsed();
    cancel.cancel();
    while tasks.join_next().await.is_some() {}
    let stored = began.elapsed();
    let counts = recorder.counts();
    let rate = |time: Duration| counts.accepted as f64 / time.as_secs_f64();
    let Load { calls, log_bytes, points } = load;
    println!("load     {calls} calls, logs of {log_bytes} bytes, {points} points");
    println!("caller   begin, update, accept: {}", percentiles(&mut inside));
    println!("taken    {:.0} calls/s", rate(taken));
    println!("stored   {:.0} calls/s; {counts:?}", rate(stored));
    Ok(())
}

/// One call; returns the time that the recorder cost its caller, back-pressure not included.
async fn one_call(recorder: &Recorder, app_id: AppId, load: Load) -> Duration {
    let mut call = Call::accept(app_id, FnId::generate(), CallType::Sync);
    "/bench/path".clone_into(&mut call.path);
    let log = Some(Bytes::from(vec![b'x'; load.log_bytes]));
    let stat = Stat {
        timestamp: Timestamp::now(),
        metrics: Metrics { mem_usage: 12_345_678, mem_limit: 134_217_728, cpu_total: 17, ..Metrics::default() },
    };
    let stats = vec![stat; load.points];

    let began = Instant::now();
    recorder.begin(&call);
    let mut inside = began.elapsed();
    // One in a hundred fails, so that the filters have something to find.
    let ended = if call.id.to_string().ends_with("00") || call.start().is_err() {
        call.fail(Reason::NoCapacity, "no slot")
    } else {
        let began = Instant::now();
        recorder.update(&call);
        inside += began.elapsed();
        call.succeed()
    };
    debug_assert!(ended.is_ok());
    call.stats = stats;
    let began = Instant::now();
    recorder.accept(Record { call, log });
    inside += began.elapsed();
    while !recorder.has_room() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    inside
}

async fn resolve(store: &Arc<dyn Datastore>) -> Result<(), Box<dyn Error>> {
    let patch: RoutePatch = serde_json::from_str(r#"{"image":"i"}"#)?;
    store.upsert_route("bench", "/bench/path", patch).await?;
    let definitions = Definitions::new(store.clone(), DefinitionsSettings::default());
    let mut times = Vec::with_capacity(200_000);
    for _ in 0..200_000 {
        let began = Instant::now();
        definitions.resolve("bench", "/bench/path").await?;
        times.push(began.elapsed());
    }
    println!("resolve  {}", percentiles(&mut times));
    Ok(())
}

async fn read(store: &Arc<dyn Datastore>, app_id: AppId) -> Result<(), Box<dyn Error>> {
    let newest = store.calls(app_id, &CallFilter::default()).await?;
    let created = newest.first().map(|call| call.created_at);
    let ago = |ms: i64| created.map(|at| Timestamp::from_millis(at.as_millis() - ms));
    let any = CallFilter::default;
    let lists = [
        ("all", any()),
        ("path", CallFilter { path: Some("/bench/path".into()), ..any() }),
        ("error", CallFilter { status: Some(Status::Error), ..any() }),
        ("reason", CallFilter { reason: Some(Reason::NoCapacity), ..any() }),
        ("before", CallFilter { to_time: ago(3000), ..any() }),
        ("span", CallFilter { from_time: ago(4000), to_time: ago(3900), path: Some("/none".into()), ..any() }),
        ("none", CallFilter { reason: Some(Reason::Killed), ..any() }),
    ];
    for (name, filter) in lists {
        let mut times = Vec::new();
        let mut shown = 0;
        for _ in 0..200 {
            let began = Instant::now();
            shown = store.calls(app_id, &filter).await?.len();
            times.push(began.elapsed());
        }
        println!("list     {name}: {shown} shown, {}", percentiles(&mut times));
    }
    let ids: Vec<CallId> = newest.iter().map(|call| call.id).collect();
    let mut times = Vec::new();
    for id in ids.iter().cycle().take(1000) {
        let began = Instant::now();
        store.call(app_id, *id).await?;
        times.push(began.elapsed());
    }
    println!("get      {}", percentiles(&mut times));
    Ok(())
}

fn percentiles(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    let mean = times.iter().sum::<Duration>() / u32::try_from(times.len()).unwrap_or(1);
    format!("mean {mean:.2?}, p50 {:.2?}, p99 {:.2?}", at(0.5), at(0.99))
}
