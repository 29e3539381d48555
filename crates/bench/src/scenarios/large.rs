//! Answers of ten megabytes, in turns with nginx.

use anyhow::Result;

use crate::bench::Bench;
use crate::function::{Format, Function};
use crate::listening::Nginx;
use crate::load::drive;
use crate::report::Row;
use crate::report::Target::{AtLeast, AtMost};
use crate::usage::resident_mb;

pub(crate) async fn run(bench: &mut Bench, name: &'static str) -> Result<()> {
    let title = "http-stream, 10 MB answers";
    let function = Function::large(name, Format::HttpStream);
    let mut section = bench.section(name, title).await?;
    let recording = bench.deploy_and_record(&function).await?;
    let listening = bench.bare.listen(&recording).await?;
    let nginx = Nginx::start(&listening.socket).await?;
    let (mut through, mut hearth) = (Row::new("nginx, 1 client"), Row::new("hearth, 1 client"));
    // Small answers first: what a server that works needs at all is there then.
    let small = Function::silent("small", Format::HttpStream);
    bench.deploy(&small).await?;
    bench.measure(&small, 4, bench.pace.warm_up).await?;
    let before = resident_mb(bench.pid)?;
    // nginx's function has its container by now, too.
    bench.measure(&function, 1, bench.pace.warm_up).await?;
    for _ in 0..bench.pace.rounds {
        let callers = function.callers_of(nginx.address, "/call", 1).await?;
        let (_, window) = drive(callers, bench.pace.window).await;
        through.windows.push(window.into_figures());
        hearth.windows.push(bench.measure(&function, 1, bench.pace.window).await?);
    }
    drop((nginx, listening));
    bench.withdraw(&function).await?;
    bench.withdraw(&small).await?;
    let throughput = hearth.against(&through, |window| window.calls_per_second);
    bench.report.judge(format!("{title}: throughput / nginx"), throughput, "x", AtLeast(0.7));
    bench.report.judge(format!("{title}: growth of resident memory"), hearth.rss_mb() - before, "MB", AtMost(5.0));
    section.notes.push(format!("throughput {throughput:.2}x nginx's; resident before: {before:.1} MB"));
    section.rows.extend([through, hearth]);
    bench.finish(section).await
}
