//! What the recorder and the definitions cost: time in the caller, calls stored a second, processor time per call,
//! time of a lookup, time of lists and reads over all that was stored.
//!
//!     cargo run --release -p hearth-datastore --example record [name=value ...]
//!
//! `url` is a database of its own (a SQLite file in a temporary directory); `calls`, `log` (bytes) and `points` (of the
//! histogram) say what is recorded, `functions` of how many functions (0: each call of its own), `rate` how many calls a
//! second (0: as many as possible), `group` writes groups of that size directly, without the recorder.
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hearth_datastore::{
    Datastore, DefinitionStore, Definitions, DefinitionsSettings, Node, Record, Recorder, RecorderSettings, open,
};
use hearth_models::{
    App, AppId, Call, CallFilter, CallId, CallType, Config, FnId, InstanceId, Metrics, Reason, RoutePatch, ServerId,
    Stat, Status, Timestamp, TriggerId,
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
    functions: usize,
    rate: usize,
    group: usize,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut load = Load { calls: 200_000, log_bytes: 200, points: 2, functions: 0, rate: 0, group: 0 };
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("bench.db");
    let mut url = format!("sqlite3://{}", file.display());
    for argument in std::env::args().skip(1) {
        match argument.split_once('=') {
            Some(("url", value)) => value.clone_into(&mut url),
            Some(("calls", value)) => load.calls = value.parse()?,
            Some(("log", value)) => load.log_bytes = value.parse()?,
            Some(("points", value)) => load.points = value.parse()?,
            Some(("functions", value)) => load.functions = value.parse()?,
            Some(("rate", value)) => load.rate = value.parse()?,
            Some(("group", value)) => load.group = value.parse()?,
            _ => return Err(format!("not known: {argument}").into()),
        }
    }
    let store = open(&url).await?;
    let app = App::new("bench", Config::default())?;
    store.insert_app(&app).await?;
    if load.group > 0 {
        groups(&store, app.id, load).await?;
    } else {
        record(&store, app.id, load).await?;
    }
    if let Ok(data) = std::fs::metadata(&file) {
        println!("file     {} MiB", data.len() >> 20);
    }
    if load.group == 0 && load.rate == 0 {
        resolve(&store).await?;
        read(&store, app.id).await?;
    }
    store.close().await;
    Ok(())
}

/// Processor time of this process so far, in the kernel and outside.
fn cpu() -> Result<Duration, Box<dyn Error>> {
    /// What Linux counts in, whatever the machine.
    const TICK: Duration = Duration::from_millis(10);
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name of the program, which may hold anything, is in brackets; then the two times are fields 12 and 13.
    let (_, fields) = stat.rsplit_once(')').ok_or("no name")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
    Ok(TICK * ticks.sum::<Result<u32, _>>()?)
}

/// Groups of one size, one after the other: what the store costs without the recorder.
async fn groups(store: &Arc<dyn Datastore>, app_id: AppId, load: Load) -> Result<(), Box<dyn Error>> {
    let node = Node { server_id: ServerId::generate(), instance_id: InstanceId::generate() };
    let of = functions(load);
    let calls: Vec<Arc<Record>> = (0..load.calls).map(|n| Arc::new(ended(begun(app_id, &of, n), load))).collect();
    let groups: Vec<_> = calls.chunks_exact(load.group).collect();
    let (began, cpu_before) = (Instant::now(), cpu()?);
    for group in &groups {
        store.record(node, group).await?;
    }
    let calls = (groups.len() * load.group) as f64;
    let (taken, used) = (began.elapsed(), cpu()? - cpu_before);
    println!(
        "groups   of {}: {:.0} calls/s, {:.2} us of processor time per call, {:.0} us per group",
        load.group,
        calls / taken.as_secs_f64(),
        used.as_secs_f64() * 1e6 / calls,
        used.as_secs_f64() * 1e6 / groups.len() as f64,
    );
    Ok(())
}

async fn record(store: &Arc<dyn Datastore>, app_id: AppId, load: Load) -> Result<(), Box<dyn Error>> {
    let node = Node { server_id: ServerId::generate(), instance_id: InstanceId::generate() };
    let (recorder, service) = Recorder::new(store.clone(), RecorderSettings::new(node));
    let cancel = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(service.run(cancel.clone()));
    let (began, cpu_before) = (Instant::now(), cpu()?);
    let mut callers = JoinSet::new();
    let pause = Duration::from_secs(1) * u32::try_from(CALLERS)? / u32::try_from(load.rate.max(1))?;
    let of = functions(load);
    for _ in 0..CALLERS {
        let (recorder, of) = (recorder.clone(), Arc::clone(&of));
        callers.spawn(async move {
            let mut inside = Vec::with_capacity(load.calls / CALLERS);
            let mut due = Instant::now();
            for n in 0..load.calls / CALLERS {
                inside.push(one_call(&recorder, begun(app_id, &of, n), load).await);
                if load.rate > 0 {
                    due += pause;
                    tokio::time::sleep_until(due).await;
                }
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
    let Load { calls, log_bytes, points, .. } = load;
    println!("load     {calls} calls, logs of {log_bytes} bytes, {points} points");
    let used = (cpu()? - cpu_before).as_secs_f64() * 1e6 / counts.accepted as f64;
    println!("cpu      {used:.2} us per call; groups of {:.1}", counts.stored as f64 / counts.groups as f64);
    println!("caller   begin, update, accept: {}", percentiles(&mut inside));
    println!("taken    {:.0} calls/s", rate(taken));
    println!("stored   {:.0} calls/s; {counts:?}", rate(stored));
    Ok(())
}

/// One call; returns the time that the recorder cost its caller, back-pressure not included.
async fn one_call(recorder: &Recorder, mut call: Call, load: Load) -> Duration {
    let began = Instant::now();
    recorder.begin(&call);
    if call.start().is_ok() {
        recorder.update(&call);
    }
    let mut inside = began.elapsed();
    let record = ended(call, load);
    let began = Instant::now();
    recorder.accept(record);
    inside += began.elapsed();
    while !recorder.has_room() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    inside
}

fn functions(load: Load) -> Arc<[(FnId, TriggerId)]> {
    (0..load.functions).map(|_| (FnId::generate(), TriggerId::generate())).collect()
}

/// The `n`th call, of these functions in turns.
fn begun(app_id: AppId, of: &[(FnId, TriggerId)], n: usize) -> Call {
    let turn = of.get(n % of.len().max(1)).copied();
    let (fn_id, trigger_id) = turn.unwrap_or_else(|| (FnId::generate(), TriggerId::generate()));
    let mut call = Call::accept(app_id, fn_id, CallType::Sync);
    call.trigger_id = Some(trigger_id);
    "/bench/path".clone_into(&mut call.path);
    call
}

fn ended(mut call: Call, load: Load) -> Record {
    // One in a hundred fails, so that the filters have something to find.
    let failed = call.id.to_string().ends_with("00");
    let ended = match call.status() {
        Status::Running if failed => call.fail(Reason::BadExit, "exit status 1"),
        Status::Queued if call.start().is_err() || failed => call.fail(Reason::NoCapacity, "no slot"),
        _ => call.succeed(),
    };
    debug_assert!(ended.is_ok());
    let stat = Stat {
        timestamp: Timestamp::now(),
        metrics: Metrics { mem_usage: 12_345_678, mem_limit: 134_217_728, cpu_total: 17, ..Metrics::default() },
    };
    call.stats = vec![stat; load.points];
    Record { call, log: Some(Bytes::from(vec![b'x'; load.log_bytes])) }
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
        ("reason", CallFilter { reason: Some(Reason::BadExit), ..any() }),
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
