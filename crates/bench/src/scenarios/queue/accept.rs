//! How many calls a second are on the disk, for clients that wait until theirs is.

use anyhow::Result;

use super::{CLIENTS, UNBOUNDED, places};
use crate::bench::Bench;
use crate::function::{Format, Function};
use crate::report::Row;
use crate::report::Target::{AtLeast, AtMost};
use crate::stage::Place;

/// Calls that are not to run meanwhile begin after so many seconds: nothing but the accept is measured.
const LATER: u32 = 86_400;

pub(crate) async fn run(bench: &mut Bench, name: &'static str) -> Result<()> {
    for (database, place) in places(bench)? {
        measure(bench, name, database, place).await?;
    }
    Ok(())
}

async fn measure(bench: &mut Bench, name: &'static str, database: &str, place: Place) -> Result<()> {
    let mut section = bench.section(name, &format!("calls accepted, {CLIENTS} clients, {database}")).await?;
    let function = Function::silent(name, Format::Http).queued();
    let guest = bench.stage.start(place, &UNBOUNDED).await?;
    guest.deploy(&function, true).await?;
    guest.submit(&function, CLIENTS, LATER, bench.pace.warm_up).await?;
    let (mut alone, mut beside) = (Row::new("none of them runs yet"), Row::new("they run meanwhile"));
    for _ in 0..bench.pace.rounds {
        alone.windows.push(guest.submit(&function, CLIENTS, LATER, bench.pace.window).await?);
    }
    for _ in 0..bench.pace.rounds {
        beside.windows.push(guest.submit(&function, CLIENTS, 0, bench.pace.window).await?);
    }
    guest.stop().await?;

    let what = format!("accepted on {database}, {CLIENTS} clients");
    let rate = alone.median(|window| window.calls_per_second);
    bench.report.judge(format!("{what}: calls a second"), rate, "/s", AtLeast(2000.0));
    let tail = alone.median(|window| window.p99_us) / 1000.0;
    bench.report.judge(format!("{what}: p99"), tail, "ms", AtMost(50.0));
    #[expect(clippy::cast_precision_loss, reason = "few")]
    let errors = (alone.errors() + beside.errors()) as f64;
    bench.report.judge(format!("{what}: errors"), errors, "", AtMost(0.0));
    section.rows.extend([alone, beside]);
    bench.finish(section).await
}
