//! What a server costs that waits for calls to be queued.

use anyhow::Result;
use tokio::time::sleep;

use super::places;
use crate::bench::Bench;
use crate::function::{Format, Function};
use crate::report::Target::AtMost;
use crate::stage::Place;

/// A call that is a day away keeps the clock of the queue busy, if anything does.
const LATER: u32 = 86_400;

pub(crate) async fn run(bench: &mut Bench, name: &'static str) -> Result<()> {
    for (database, place) in places(bench)? {
        measure(bench, name, database, place).await?;
    }
    Ok(())
}

async fn measure(bench: &mut Bench, name: &'static str, database: &str, place: Place) -> Result<()> {
    let mut section = bench.section(name, &format!("a queue with nothing to do, {database}")).await?;
    let function = Function::silent(name, Format::Http).queued();
    let guest = bench.stage.start(place, &[]).await?;
    guest.deploy(&function, true).await?;
    for submitter in &mut function.submitters(guest.address(), 1, LATER).await? {
        submitter.submit().await?;
    }
    let idle = bench.pace.idle;
    let still = async {
        sleep(idle).await;
        Ok(())
    };
    let ((), used) = guest.watch(still).await?;
    guest.stop().await?;

    let share = 100.0 * used.cpu_seconds / idle.as_secs_f64();
    section.notes.push(format!("{share:.2} % of one processor for the whole server, over {} s", idle.as_secs()));
    bench.report.judge(format!("idle queue on {database}: processor time"), share, "%", AtMost(0.5));
    bench.finish(section).await
}
