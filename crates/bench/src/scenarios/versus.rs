//! Another build of the server beside this one, in turns and on the same machine: what a change costs.

use anyhow::Result;

use crate::bench::Bench;
use crate::function::{Format, Function};
use crate::report::Row;
use crate::report::Target::AtMost;
use crate::sample::Figures;

const CLIENTS: [usize; 3] = [16, 64, 256];

/// Short windows in many turns: what comes over the machine meanwhile comes over both.
const TURNS: usize = 2;

pub(crate) async fn run(bench: &mut Bench, name: &'static str) -> Result<()> {
    let Some(other) = bench.stage.other().map(ToOwned::to_owned) else { return Ok(()) };
    let mut section = bench.section(name, &format!("hot http, silent, beside {}", other.display())).await?;
    let function = Function::silent(name, Format::Http);
    let this = bench.stage.start(bench.stage.sqlite()?, &[]).await?;
    let other = bench.stage.start_other(&other, bench.stage.sqlite()?).await?;
    for server in [&this, &other] {
        server.deploy(&function, true).await?;
        server.measure(&function, CLIENTS[1], bench.pace.warm_up).await?;
    }
    let mut rows = CLIENTS.map(|clients| ["this", "other"].map(|of| Row::new(format!("{of}, {clients} clients"))));
    let window = bench.pace.window / 2;
    for turn in 0..TURNS * bench.pace.rounds {
        for (clients, [ours, theirs]) in CLIENTS.into_iter().zip(&mut rows) {
            // Neither is always the one that comes after the other.
            if turn % 2 == 0 {
                ours.windows.push(this.measure(&function, clients, window).await?);
                theirs.windows.push(other.measure(&function, clients, window).await?);
            } else {
                theirs.windows.push(other.measure(&function, clients, window).await?);
                ours.windows.push(this.measure(&function, clients, window).await?);
            }
        }
    }
    this.stop().await?;
    other.stop().await?;
    for (clients, [ours, theirs]) in CLIENTS.into_iter().zip(rows) {
        let (cpu, rate) = (ours.against(&theirs, cpu), ours.against(&theirs, |window| window.calls_per_second));
        section.notes.push(format!("{clients} clients: {cpu:.3}x the processor time per call, {rate:.3}x the calls"));
        bench.report.judge(format!("{clients} clients, processor time per call / other"), cpu, "x", AtMost(1.02));
        section.rows.extend([ours, theirs]);
    }
    bench.finish(section).await
}

fn cpu(window: &Figures) -> f64 {
    window.cpu_us_per_call().unwrap_or(f64::NAN)
}
