//! How soon a call begins that is queued where nothing else is to do.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hearth_models::Timestamp;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::places;
use crate::bench::Bench;
use crate::client::Connection;
use crate::function::{APP, Format, Function};
use crate::report::Row;
use crate::report::Target::AtMost;
use crate::sample::Window;
use crate::stage::{Guest, Place};
use crate::submitter::Submitter;

/// How often it is looked whether a call has ended.
const LOOK: Duration = Duration::from_millis(2);
/// A call that takes longer does not begin.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two calls the server has nothing to do for so long, and a little longer each time, so that calls do not keep
/// step with its timers.
const PAUSE: Duration = Duration::from_millis(23);

pub(crate) async fn run(bench: &mut Bench, name: &'static str) -> Result<()> {
    for (database, place) in places(bench)? {
        measure(bench, name, database, place).await?;
    }
    Ok(())
}

async fn measure(bench: &mut Bench, name: &'static str, database: &str, place: Place) -> Result<()> {
    let mut section =
        bench.section(name, &format!("from a request to the beginning of its queued call, {database}")).await?;
    let function = Function::silent(name, Format::Http).queued();
    let guest = bench.stage.start(place, &[]).await?;
    guest.deploy(&function, true).await?;
    // Its container is there from now on.
    one(&guest, &function).await?;
    let begun = Instant::now();
    let measured = async {
        let mut latencies = Vec::with_capacity(bench.pace.starts);
        for number in 0..bench.pace.starts {
            sleep(PAUSE + Duration::from_millis(number as u64 % 50)).await;
            latencies.push(one(&guest, &function).await?);
        }
        Ok(latencies)
    };
    let (latencies, used) = guest.watch(measured).await?;
    let figures = Window::observed(latencies, begun.elapsed(), used).into_figures();
    guest.stop().await?;

    let what = format!("queued on an idle node, {database}: a call begins after");
    bench.report.judge(format!("{what}, median"), figures.p50_us / 1000.0, "ms", AtMost(20.0));
    bench.report.judge(format!("{what}, p99"), figures.p99_us / 1000.0, "ms", AtMost(20.0));
    section.rows.push(Row::of("one after the other", figures));
    bench.finish(section).await
}

/// Queues a call and waits for its end. How long after its request it began, in whole milliseconds.
async fn one(guest: &Guest, function: &Function) -> Result<Duration> {
    let mut submitters = function.submitters(guest.address(), 1, 0).await?;
    let id = submitters.first_mut().map(Submitter::submit).context("no client")?.await?;
    let mut api = Connection::open(guest.address()).await?;
    let begun = Instant::now();
    loop {
        let (status, body) = api.request("GET", &format!("/v1/apps/{APP}/calls/{id}"), b"").await?;
        ensure!(status == 200, "call {id}: {status}");
        let call = &serde_json::from_slice::<Value>(&body)?["call"];
        match call["status"].as_str() {
            Some("success") => {
                let time = |name: &str| -> Result<Timestamp> { Ok(serde_json::from_value(call[name].clone())?) };
                return Ok(time("started_at")?.since(time("created_at")?));
            }
            Some("queued" | "running") if begun.elapsed() < PATIENCE => sleep(LOOK).await,
            _ => anyhow::bail!("call {id} did not succeed: {call}"),
        }
    }
}
