//! What calls feel of a history of which half goes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use hearth_datastore::{Node, Record, open};
use hearth_models::{Call, CallType, FnId, InstanceId, ServerId, Timestamp};
use tokio::time::{Instant, sleep};
use ulid::Ulid;

use crate::bench::Bench;
use crate::function::{Format, Function};
use crate::report::Row;
use crate::report::Target::AtMost;
use crate::stage::{Guest, Place};

const CLIENTS: usize = 8;
/// How often each of them calls: all together 200 times a second.
const PAUSE: Duration = Duration::from_millis(40);
/// The history reaches so far back.
const SPAN_MS: u64 = 20 * 86_400_000;
const GROUP: usize = 2_000;
/// Trimming that takes longer is none.
const PATIENCE: Duration = Duration::from_mins(8);

pub(crate) async fn run(bench: &mut Bench, name: &'static str) -> Result<()> {
    let place = bench.stage.sqlite()?;
    compare(bench, name, "SQLite", place).await?;
    if let Some(place) = bench.stage.postgres()? {
        compare(bench, name, "Postgres", place).await?;
    }
    Ok(())
}

async fn compare(bench: &mut Bench, name: &'static str, database: &str, place: Place) -> Result<()> {
    let history = bench.pace.history;
    let title = format!("200 calls/s while half of {history} stored calls are trimmed, {database}");
    let mut section = bench.section(name, &title).await?;
    let function = Function::logging(name, Format::Http);
    let (mut before, mut during) = (Row::new("before"), Row::new("trimming"));

    let guest = bench.stage.start(place, &["--keep-calls-per-app", "none"]).await?;
    guest.deploy(&function, true).await?;
    let place = guest.stop().await?;
    fill(&place.url, history).await?;

    let guest = bench.stage.start(place, &["--keep-calls-per-app", "none"]).await?;
    let quiet = bench.pace.window * 4;
    measure(&guest, &function, bench.pace.warm_up).await?;
    before.windows.push(measure(&guest, &function, quiet).await?);
    let place = guest.stop().await?;

    let kept = (history / 2).to_string();
    let guest = bench.stage.start(place, &["--keep-calls-per-app", &kept]).await?;
    let begun = Instant::now();
    // Containers and connections are there before anything counts; trimming goes on meanwhile.
    measure(&guest, &function, bench.pace.warm_up).await?;
    let trimmed = async {
        while guest.metric("hearth_calls_trimmed_total").await? < (history / 2) as f64 {
            ensure!(begun.elapsed() < PATIENCE, "not trimmed after {PATIENCE:?}");
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    };
    during.windows.push(guest.measure_every(&function, CLIENTS, PAUSE, trimmed).await?);
    let took = begun.elapsed().as_secs_f64();
    guest.stop().await?;

    let ratio = during.against(&before, |window| window.p99_us);
    section.notes.push(format!("{} calls trimmed in {took:.0} s; p99 {ratio:.2}x of before", history / 2));
    bench.report.judge(format!("trimming on {database}: p99 of 200 calls/s / before"), ratio, "x", AtMost(2.0));
    section.rows.extend([before, during]);
    bench.finish(section).await
}

async fn measure(guest: &Guest, function: &Function, time: Duration) -> Result<crate::sample::Figures> {
    let over = async {
        sleep(time).await;
        Ok(())
    };
    guest.measure_every(function, CLIENTS, PAUSE, over).await
}

/// Stores calls as if they had been made over the last weeks.
async fn fill(url: &str, calls: usize) -> Result<()> {
    let store = open(url).await?;
    let apps = store.apps(&hearth_models::Page::default()).await?;
    let [app] = &apps[..] else { anyhow::bail!("{} apps instead of one", apps.len()) };
    let node = Node { server_id: ServerId::generate(), instance_id: InstanceId::generate() };
    let fn_id = FnId::generate();
    let began = Timestamp::now().as_millis().unsigned_abs() - SPAN_MS;
    let log = Some(Bytes::from_static(&[b'x'; 200]));
    let record = |n: usize| -> Result<Arc<Record>> {
        let at = began + SPAN_MS * n as u64 / calls as u64;
        let mut call = Call::accept(app.id, fn_id, CallType::Sync);
        call.id = Ulid::from_parts(at, n as u128).to_string().parse()?;
        call.created_at = Timestamp::from_millis(i64::try_from(at)?);
        "/trimming".clone_into(&mut call.path);
        call.start()?;
        call.succeed()?;
        Ok(Arc::new(Record { call, log: log.clone() }))
    };
    for first in (0..calls).step_by(GROUP) {
        let records = (first..(first + GROUP).min(calls)).map(record).collect::<Result<Vec<_>>>()?;
        store.record(node, &records).await?;
    }
    store.close().await;
    Ok(())
}
