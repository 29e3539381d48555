//! Cold functions: a container for each call.

use anyhow::Result;

use crate::bare::Extent;
use crate::bench::Bench;
use crate::function::{Function, Recording};
use crate::load::drive;
use crate::report::Row;
use crate::report::Target::AtMost;
use crate::sample::Figures;

const CLIENTS: [usize; 2] = [1, 4];

pub(crate) async fn run(bench: &mut Bench, name: &'static str, title: &str, function: &Function) -> Result<()> {
    let mut section = bench.section(name, title).await?;
    let recording = bench.deploy_and_record(function).await?;
    for clients in CLIENTS {
        let bare = |extent| format!("bare, {clients} at a time, {extent}");
        let mut removed = Row::new(bare("removed"));
        let mut answered = Row::new(bare("answered"));
        let mut hearth = Row::new(format!("hearth, {clients} clients"));
        for _ in 0..bench.pace.rounds {
            removed.windows.push(sequences(bench, &recording, Extent::Removed, clients).await);
            hearth.windows.push(bench.measure(function, clients, bench.pace.slow_window).await?);
            answered.windows.push(sequences(bench, &recording, Extent::Answered, clients).await);
        }
        let p50 = |window: &Figures| window.p50_us;
        let (ratio, strict) = (hearth.against(&removed, p50), hearth.against(&answered, p50));
        bench.report.judge(format!("{title}: {clients} clients, p50 / bare"), ratio, "x", AtMost(1.15));
        section
            .notes
            .push(format!("{clients} clients: p50 {strict:.2}x a bare sequence that removes in the background"));
        section.rows.extend([removed, answered, hearth]);
    }
    bench.withdraw(function).await?;
    bench.finish(section).await
}

async fn sequences(bench: &Bench, recording: &Recording, extent: Extent, count: usize) -> Figures {
    let sequences = bench.bare.sequences(recording, extent, count);
    let (_, window) = drive(sequences, bench.pace.slow_window).await;
    window.into_figures()
}
