//! A function that sleeps for a second, and as many clients as it should get containers.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use hearth_drivers::Running;
use tokio::time::Instant;

use crate::bench::Bench;
use crate::function::{Function, Recording};
use crate::report::Row;
use crate::report::Target::AtMost;
use crate::sample::median;

/// A growth that takes longer is not one.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long calls are looked at once there is a container for each.
const GROWN: Duration = Duration::from_secs(5);

pub(crate) async fn run(bench: &mut Bench, name: &'static str) -> Result<()> {
    let clients = bench.pace.sleepers;
    let mut section = bench.section(name, "a function that sleeps for 1 s, 64 MB each").await?;
    let function = Function::sleeping(name, "sleep 1000; echo");
    let mut growing = Row::new(format!("hearth, {clients} clients, growing"));
    let mut grown = Row::new(format!("hearth, {clients} clients, grown"));
    let mut ratios = Vec::new();
    for _ in 0..bench.pace.growths {
        let recording = bench.deploy_and_record(&function).await?;
        let bare = grow_bare(bench, &recording, clients).await?;

        let (callers, begun) = (function.callers(bench.address, clients).await?, Instant::now());
        let before = bench.census.started();
        let mut took = None;
        let figures = bench.measure_while(callers, async {
            if bench.census.until(before + clients as u64, PATIENCE).await? {
                took = Some(begun.elapsed());
            }
            Ok(())
        });
        growing.windows.push(figures.await?);
        let started = bench.census.started() - before;
        grown.windows.push(bench.measure(&function, clients, GROWN).await?);
        bench.withdraw(&function).await?;
        bench.settle().await?;

        // Never is no number, which meets no target.
        let (bare, took) = (bare.as_secs_f64(), took.map_or(f64::NAN, |took| took.as_secs_f64()));
        section
            .notes
            .push(format!("until {clients} containers ran: bare {bare:.2} s, hearth {took:.2} s ({started} ran)"));
        ratios.push(took / bare);
    }

    let what = format!("1 s sleep, {clients} clients");
    bench.report.judge(format!("{what}: time to {clients} containers / bare"), median(ratios), "x", AtMost(1.25));
    bench.report.judge(format!("{what}: slowest answer once grown"), grown.max_us() / 1e6, "s", AtMost(1.2));
    #[expect(clippy::cast_precision_loss, reason = "few")]
    let errors = (growing.errors() + grown.errors()) as f64;
    bench.report.judge(format!("{what}: errors"), errors, "", AtMost(0.0));
    section.rows.extend([growing, grown]);
    bench.finish(section).await
}

/// How long it takes to start `count` containers, with as many starts in flight as Hearth allows itself.
async fn grow_bare(bench: &Bench, recording: &Recording, count: usize) -> Result<Duration> {
    let target = bench.bare_census.started() + count as u64;
    let begun = Instant::now();
    let starts = stream::iter(0..count).map(|_| bench.bare.start(recording)).buffer_unordered(2 * bench.cpus);
    let all: Vec<Running> = starts.try_collect().await?;
    ensure!(bench.bare_census.until(target, PATIENCE).await?, "the engine tells of fewer containers than were started");
    let took = begun.elapsed();
    drop(all);
    bench.settle().await?;
    Ok(took)
}
