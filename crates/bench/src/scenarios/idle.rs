//! A server that nobody has called yet.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use crate::bench::Bench;
use crate::report::Target::AtMost;
use crate::usage::resident_mb;

/// Start-up is over by then.
const WAIT: Duration = Duration::from_secs(2);

pub(crate) async fn run(bench: &mut Bench, name: &'static str) -> Result<()> {
    sleep(WAIT).await;
    let mut section = bench.section(name, "idle server").await?;
    let resident = resident_mb(bench.pid)?;
    section.notes.push(format!("{resident:.1} MB resident"));
    bench.report.judge("idle server: resident memory", resident, "MB", AtMost(30.0));
    bench.finish(section).await
}
