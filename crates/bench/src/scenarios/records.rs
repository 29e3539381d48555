//! What the record of every call costs: two servers in turns, one that keeps records and one that does not.

use anyhow::Result;

use crate::bench::Bench;
use crate::function::{Format, Function};
use crate::report::Row;
use crate::report::Target::AtLeast;
use crate::stage::Place;

const CLIENTS: usize = 64;

pub(crate) async fn run(bench: &mut Bench, name: &'static str) -> Result<()> {
    let (on, off) = (bench.stage.sqlite()?, bench.stage.sqlite()?);
    compare(bench, name, "SQLite", on, off).await?;
    if let (Some(on), Some(off)) = (bench.stage.postgres()?, bench.stage.postgres()?) {
        compare(bench, name, "Postgres", on, off).await?;
    }
    Ok(())
}

async fn compare(bench: &mut Bench, name: &'static str, database: &str, on: Place, off: Place) -> Result<()> {
    let mut section =
        bench.section(name, &format!("hot http, {CLIENTS} clients, records on and off, {database}")).await?;
    let function = Function::logging(name, Format::Http);
    let on = bench.stage.start(on, &[]).await?;
    let off = bench.stage.start(off, &["--record", "async"]).await?;
    let mut rows = [Row::new("records on"), Row::new("records off")];
    for server in [&on, &off] {
        server.deploy(&function, true).await?;
        server.measure(&function, CLIENTS, bench.pace.warm_up).await?;
    }
    for _ in 0..bench.pace.rounds {
        for (server, row) in [&on, &off].into_iter().zip(&mut rows) {
            row.windows.push(server.measure(&function, CLIENTS, bench.pace.window).await?);
        }
    }
    on.stop().await?;
    off.stop().await?;
    let [on, off] = &rows;
    let ratio = on.against(off, |window| window.calls_per_second);
    section.notes.push(format!("with records {ratio:.2}x the calls of without"));
    bench.report.judge(format!("records on {database}: throughput / without records"), ratio, "x", AtLeast(0.9));
    section.rows.extend(rows);
    bench.finish(section).await
}
