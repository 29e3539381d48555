//! A function that answers at once: more containers than processors would not make it faster.

use anyhow::Result;

use crate::bench::Bench;
use crate::function::{Format, Function};
use crate::report::Row;
use crate::report::Target::AtMost;

const CLIENTS: usize = 64;

pub(crate) async fn run(bench: &mut Bench, name: &'static str) -> Result<()> {
    let title = "a new function that answers at once";
    let mut section = bench.section(name, title).await?;
    let function = Function::silent(name, Format::Http);
    bench.deploy(&function).await?;
    let before = bench.census.started();
    let figures = bench.measure(&function, CLIENTS, bench.pace.at_once).await?;
    bench.withdraw(&function).await?;

    #[expect(clippy::cast_precision_loss, reason = "few")]
    let (started, most, errors) =
        ((bench.census.started() - before) as f64, (2 * bench.cpus + 2) as f64, figures.errors as f64);
    let what = format!("answers at once, {CLIENTS} clients, {} s", bench.pace.at_once.as_secs());
    bench.report.judge(format!("{what}: containers ever started"), started, "", AtMost(most));
    bench.report.judge(format!("{what}: errors"), errors, "", AtMost(0.0));
    section.rows.push(Row::of(format!("hearth, {CLIENTS} clients"), figures));
    bench.finish(section).await
}
