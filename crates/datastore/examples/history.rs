//! What a long history costs: lists and reads over many stored calls, and what trimming half of them does to the calls
//! that are recorded meanwhile.
//!
//!     cargo run --release -p hearth-datastore --example history [name=value ...]
//!
//! `url` is a database of its own (a SQLite file in a temporary directory), `calls` how many are stored at first, `rate`
//! how many a second are recorded while half of them are trimmed.
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::error::Error;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hearth_datastore::{Datastore, Keeper, KeeperSettings, Node, Record, Retention, open};
use hearth_models::{
    App, AppId, Call, CallFilter, CallId, CallType, Config, FnId, InstanceId, Metrics, Reason, ServerId, Stat, Status,
    Timestamp,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The time that the history covers.
const SPAN_MS: i64 = 20 * 86_400_000;
const GROUP: usize = 2000;
/// Pages of each kind that are read.
const PAGES: usize = 300;

struct History {
    store: Arc<dyn Datastore>,
    app_id: AppId,
    node: Node,
    fn_id: FnId,
    calls: usize,
    began: i64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let (mut calls, mut rate) = (1_000_000, 200);
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("bench.db");
    let mut url = format!("sqlite3://{}", file.display());
    for argument in std::env::args().skip(1) {
        match argument.split_once('=') {
            Some(("url", value)) => value.clone_into(&mut url),
            Some(("calls", value)) => calls = value.parse()?,
            Some(("rate", value)) => rate = value.parse()?,
            _ => return Err(format!("not known: {argument}").into()),
        }
    }
    let store = open(&url).await?;
    let app = App::new("history", Config::default())?;
    store.insert_app(&app).await?;
    let history = History {
        store,
        app_id: app.id,
        node: Node { server_id: ServerId::generate(), instance_id: InstanceId::generate() },
        fn_id: FnId::generate(),
        calls,
        began: Timestamp::now().as_millis() - SPAN_MS,
    };
    history.fill().await?;
    if let Ok(data) = std::fs::metadata(&file) {
        println!("file     {} MiB", data.len() >> 20);
    }
    history.lists().await?;
    history.reads().await?;
    history.trim(rate).await?;
    history.store.close().await;
    Ok(())
}

impl History {
    /// The `n`th call of the history, with an id and a time as if it had been made then.
    fn call(&self, n: usize) -> Result<Call> {
        let at = self.began + SPAN_MS * i64::try_from(n)? / i64::try_from(self.calls)?;
        let mut call = self.ended(n)?;
        call.id = Ulid::from_parts(at.unsigned_abs(), n as u128).to_string().parse()?;
        call.created_at = Timestamp::from_millis(at);
        Ok(call)
    }

    /// Of a hundred calls five end badly. Half of the calls are of the first of a hundred paths.
    fn ended(&self, n: usize) -> Result<Call> {
        let mut call = Call::accept(self.app_id, self.fn_id, CallType::Sync);
        call.path = if n.is_multiple_of(2) { "/path/0".to_owned() } else { format!("/path/{}", n / 2 % 100) };
        call.start()?;
        match n % 100 {
            17 => call.fail(Reason::Timeout, "Timed out")?,
            34 | 51 | 68 => call.fail(Reason::BadExit, "container exit code 1")?,
            85 if n % 10_000 == 85 => call.fail(Reason::OutOfMemory, "container out of memory")?,
            85 => call.fail(Reason::Killed, "container killed")?,
            _ => call.succeed()?,
        }
        let point = Stat {
            timestamp: call.created_at,
            metrics: Metrics { mem_usage: 12_345_678, mem_limit: 134_217_728, cpu_total: 17, ..Metrics::default() },
        };
        call.stats = vec![point; 2];
        Ok(call)
    }

    async fn fill(&self) -> Result<()> {
        let began = Instant::now();
        let log = Some(Bytes::from(vec![b'x'; 200]));
        for first in (0..self.calls).step_by(GROUP) {
            let last = (first + GROUP).min(self.calls);
            let record = |n| Ok(Arc::new(Record { call: self.call(n)?, log: log.clone() }));
            let records = (first..last).map(record).collect::<Result<Vec<_>>>()?;
            self.store.record(self.node, &records).await?;
        }
        let took = began.elapsed().as_secs_f64();
        println!("stored   {} calls in {took:.0} s, {:.0} calls/s", self.calls, self.calls as f64 / took);
        Ok(())
    }

    /// Pages that begin at random places of the history.
    async fn lists(&self) -> Result<()> {
        let any = CallFilter::default;
        let path = |path: &str| CallFilter { path: Some(path.to_owned()), ..any() };
        let status = |status| CallFilter { status: Some(status), ..any() };
        let reason = |reason| CallFilter { reason: Some(reason), ..any() };
        let kinds = [
            ("all", any()),
            ("frequent path", path("/path/0")),
            ("rare path", path("/path/77")),
            ("unknown path", path("/none")),
            ("success", status(Status::Success)),
            ("error", status(Status::Error)),
            ("timeout", status(Status::Timeout)),
            ("cancelled, of which there are none", status(Status::Cancelled)),
            ("frequent reason", reason(Reason::BadExit)),
            ("rare reason", reason(Reason::OutOfMemory)),
            ("path and success", CallFilter { status: Some(Status::Success), ..path("/path/77") }),
            ("path and error", CallFilter { status: Some(Status::Error), ..path("/path/77") }),
            ("path and reason", CallFilter { reason: Some(Reason::BadExit), ..path("/path/77") }),
            ("path and reason that never meet", CallFilter { reason: Some(Reason::BadExit), ..path("/path/8") }),
            (
                "success and reason, which never meet",
                CallFilter { status: Some(Status::Success), ..reason(Reason::BadExit) },
            ),
        ];
        println!("list     of 30, begun at {PAGES} places each; with a span of an hour too");
        for (name, filter) in kinds {
            let anywhere = self.pages(&filter, None).await?;
            let in_an_hour = self.pages(&filter, Some(3_600_000)).await?;
            println!("list     {name}: {anywhere}; in an hour: {in_an_hour}");
        }
        Ok(())
    }

    async fn pages(&self, filter: &CallFilter, span: Option<i64>) -> Result<String> {
        let mut times = Vec::with_capacity(PAGES);
        let mut shown = 0;
        for page in 0..PAGES {
            let at = self.began + SPAN_MS * (page as i64 + 1) / PAGES as i64;
            let mut filter = filter.clone();
            match span {
                None => filter.cursor = Some(Ulid::from_parts(at.unsigned_abs(), 0).to_string()),
                Some(span) => {
                    filter.from_time = Some(Timestamp::from_millis(at - span));
                    filter.to_time = Some(Timestamp::from_millis(at));
                }
            }
            let began = Instant::now();
            shown += self.store.calls(self.app_id, &filter).await?.len();
            times.push(began.elapsed());
        }
        Ok(format!("{:.0} shown, {}", shown as f64 / PAGES as f64, percentiles(&mut times)))
    }

    async fn reads(&self) -> Result<()> {
        let (mut calls, mut logs) = (Vec::new(), Vec::new());
        for n in (0..self.calls).step_by((self.calls / 2000).max(1)) {
            let id: CallId = self.call(n)?.id;
            let began = Instant::now();
            self.store.call(self.app_id, id).await?;
            calls.push(began.elapsed());
            let began = Instant::now();
            self.store.log(self.app_id, id).await?;
            logs.push(began.elapsed());
        }
        println!("get      call: {}", percentiles(&mut calls));
        println!("get      log: {}", percentiles(&mut logs));
        Ok(())
    }

    /// Half of the history goes while calls are recorded.
    async fn trim(&self, rate: u32) -> Result<()> {
        let stop = CancellationToken::new();
        let quiet = async { tokio::time::sleep(Duration::from_secs(20)).await };
        let mut before = self.record_until(rate, quiet).await?;
        let kept = self.calls / 2 + before.len();
        let retention = Retention { age: None, calls: NonZeroU64::new(u64::try_from(kept)?) };
        let keeper = Keeper::new(
            Arc::clone(&self.store),
            Arc::clone(&self.store) as _,
            KeeperSettings::new(self.node, retention),
        );
        let watch = keeper.watch();
        let mut tasks = JoinSet::new();
        tasks.spawn(keeper.run(stop.clone()));
        let began = Instant::now();
        let trimmed = async {
            while watch.kept().rounds == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let mut during = self.record_until(rate, trimmed).await?;
        let took = began.elapsed().as_secs_f64();
        stop.cancel();
        tasks.join_all().await;
        let trimmed = watch.kept().trimmed;
        println!("trimmed  {trimmed} calls in {took:.0} s, {:.0} calls/s", trimmed as f64 / took);
        let quiet = async { tokio::time::sleep(Duration::from_secs(20)).await };
        let mut after = self.record_until(rate, quiet).await?;
        println!("store    one call, {rate} a second, before:  {}", percentiles(&mut before));
        println!("store    one call, {rate} a second, trimming: {}", percentiles(&mut during));
        println!("store    one call, {rate} a second, after:   {}", percentiles(&mut after));
        Ok(())
    }

    /// Stores calls one by one at a rate, whether earlier ones are done or not. Returns how long each took.
    async fn record_until(&self, rate: u32, end: impl Future<Output = ()>) -> Result<Vec<Duration>> {
        let mut end = std::pin::pin!(end);
        let mut due = interval(Duration::from_secs(1) / rate);
        let mut writes = JoinSet::new();
        let mut n = 0;
        loop {
            tokio::select! {
                () = &mut end => break,
                _ = due.tick() => {}
            }
            n += 1;
            let record = [Arc::new(Record { call: self.ended(n)?, log: Some(Bytes::from_static(b"a line of log\n")) })];
            let (store, node) = (Arc::clone(&self.store), self.node);
            writes.spawn(async move {
                let began = Instant::now();
                store.record(node, &record).await.map(|_| began.elapsed())
            });
        }
        let times = writes.join_all().await;
        Ok(times.into_iter().collect::<std::result::Result<Vec<_>, _>>()?)
    }
}

fn percentiles(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    format!("p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms", at(0.5), at(0.99), at(1.0))
}
