//! A fast function beside a slow one: neither should notice the other.

use anyhow::Result;

use crate::bench::Bench;
use crate::function::{Format, Function};
use crate::report::Row;

const CLIENTS: usize = 16;

pub(crate) async fn run(bench: &mut Bench, name: &'static str) -> Result<()> {
    let mut section = bench.section(name, "a fast function beside one that sleeps for 200 ms").await?;
    let fast = Function::silent("fast", Format::Http);
    let slow = Function::sleeping("slow", "sleep 200; echo");
    let mut alone = Row::new(format!("fast alone, {CLIENTS} clients"));
    let mut beside = Row::new(format!("fast beside slow, {CLIENTS} clients"));
    let mut sleeping = Row::new(format!("slow, {CLIENTS} clients"));
    bench.deploy(&fast).await?;
    bench.deploy(&slow).await?;
    for function in [&fast, &slow] {
        bench.measure(function, CLIENTS, bench.pace.warm_up).await?;
    }
    for _ in 0..bench.pace.rounds {
        let window = bench.pace.window;
        alone.windows.push(bench.measure(&fast, CLIENTS, window).await?);
        let both = tokio::join!(bench.measure(&fast, CLIENTS, window), bench.measure(&slow, CLIENTS, window));
        beside.windows.push(both.0?);
        sleeping.windows.push(both.1?);
    }
    bench.withdraw(&fast).await?;
    bench.withdraw(&slow).await?;
    section.notes.push(format!(
        "beside the slow one the fast one does {:.2}x the calls, p99 {:.2}x",
        beside.against(&alone, |window| window.calls_per_second),
        beside.against(&alone, |window| window.p99_us),
    ));
    section.rows.extend([alone, beside, sleeping]);
    bench.finish(section).await
}
