//! How fast a full queue is worked off, in turns with callers of the same function.

use anyhow::Result;

use super::backlog::Backlog;
use super::{CLIENTS, UNBOUNDED, places};
use crate::bench::Bench;
use crate::function::{Format, Function};
use crate::report::Row;
use crate::report::Target::{AtLeast, AtMost};
use crate::sample::{Figures, Window};
use crate::stage::{Guest, Place};

pub(crate) async fn run(bench: &mut Bench, name: &'static str) -> Result<()> {
    for (database, place) in places(bench)? {
        compare(bench, name, database, place).await?;
    }
    Ok(())
}

async fn compare(bench: &mut Bench, name: &'static str, database: &str, place: Place) -> Result<()> {
    let queued = bench.pace.queued;
    let mut section = bench.section(name, &format!("{queued} queued calls worked off, {database}")).await?;
    let called = Function::silent(format!("{name}-called"), Format::Http);
    let function = Function::silent(name, Format::Http).queued();
    let guest = bench.stage.start(place, &UNBOUNDED).await?;
    guest.deploy(&called, true).await?;
    guest.deploy(&function, false).await?;
    let backlog = Backlog::open(&guest.url).await?;
    let (mut callers, mut queue) = (Row::new(format!("{CLIENTS} callers")), Row::new("queue"));
    guest.measure(&called, CLIENTS, bench.pace.warm_up).await?;
    worked_off(&guest, &backlog, &function, queued / 10).await?;
    for _ in 0..bench.pace.rounds {
        callers.windows.push(guest.measure(&called, CLIENTS, bench.pace.window).await?);
        queue.windows.push(worked_off(&guest, &backlog, &function, queued).await?);
    }
    backlog.close().await;
    guest.stop().await?;

    let ratio = queue.against(&callers, |window| window.calls_per_second);
    section.notes.push(format!("the queue does {ratio:.2}x the calls of callers; its times are those of execution"));
    let what = format!("{queued} queued calls on {database}");
    bench.report.judge(format!("{what}: throughput / callers"), ratio, "x", AtLeast(0.7));
    #[expect(clippy::cast_precision_loss, reason = "few")]
    bench.report.judge(format!("{what}: failures"), queue.errors() as f64, "", AtMost(0.0));
    section.rows.extend([callers, queue]);
    bench.finish(section).await
}

async fn worked_off(guest: &Guest, backlog: &Backlog, function: &Function, count: usize) -> Result<Figures> {
    let (worked, used) = guest.watch(backlog.work_off(function, count)).await?;
    let mut window = Window::observed(worked.ran, worked.elapsed, used);
    window.errors = worked.failed;
    Ok(window.into_figures())
}
