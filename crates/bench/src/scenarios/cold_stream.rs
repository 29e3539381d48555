//! The first call of a function with a socket, in turns with a bare container until its first byte.

use std::time::Duration;

use anyhow::Result;
use tokio::time::Instant;

use crate::bench::Bench;
use crate::function::{Format, Function, Recording};
use crate::load::Exchange;
use crate::report::Row;
use crate::report::Target::AtMost;
use crate::sample::{Figures, Window};

/// Calls of a window.
const CALLS: usize = 8;

pub(crate) async fn run(bench: &mut Bench, name: &'static str) -> Result<()> {
    let title = "http-stream, cold";
    let function = Function::silent(name, Format::HttpStream);
    let mut section = bench.section(name, title).await?;
    let recording = bench.deploy_and_record(&function).await?;
    let (mut bare, mut hearth) = (Row::new("bare, 1 at a time"), Row::new("hearth, 1 client"));
    let mut deployed = 0;
    for _ in 0..bench.pace.rounds {
        bare.windows.push(bare_starts(bench, &recording).await?);
        hearth.windows.push(first_calls(bench, &function, &mut deployed).await?);
    }
    bench.withdraw(&function).await?;
    let ratio = hearth.against(&bare, |window| window.p50_us);
    bench.report.judge(format!("{title}: p50 / bare"), ratio, "x", AtMost(1.15));
    section.notes.push(format!("p50 {ratio:.2}x a bare create, start and first answer on the socket"));
    section.rows.extend([bare, hearth]);
    bench.finish(section).await
}

async fn bare_starts(bench: &Bench, recording: &Recording) -> Result<Figures> {
    let mut latencies = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let begun = Instant::now();
        let listening = bench.bare.listen(recording).await?;
        listening.connect(recording).await?.exchange().await?;
        latencies.push(begun.elapsed());
        drop(listening);
        bench.settle().await?;
    }
    Ok(figures(latencies))
}

async fn first_calls(bench: &Bench, function: &Function, deployed: &mut usize) -> Result<Figures> {
    let mut latencies = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        *deployed += 1;
        bench.redeploy(function, *deployed).await?;
        bench.settle().await?;
        let mut callers = function.callers(bench.address, 1).await?;
        let begun = Instant::now();
        for caller in &mut callers {
            caller.exchange().await?;
        }
        latencies.push(begun.elapsed());
    }
    Ok(figures(latencies))
}

fn figures(latencies: Vec<Duration>) -> Figures {
    let mut window = Window::default();
    let elapsed = latencies.iter().sum();
    window.add(latencies, 0, None);
    window.close(elapsed);
    window.into_figures()
}
