//! Hot functions with a socket, in turns with the same function asked directly and through nginx.

use anyhow::Result;

use crate::bench::Bench;
use crate::function::Function;
use crate::listening::{Direct, Nginx};
use crate::load::drive;
use crate::report::Target::{AtLeast, AtMost};
use crate::report::{Report, Row, Section};
use crate::sample::Figures;

const CLIENTS: [usize; 3] = [1, 16, 64];

/// The same clients of nginx and of Hearth.
struct Pair {
    clients: usize,
    nginx: Row,
    hearth: Row,
}

pub(crate) async fn run(bench: &mut Bench, name: &'static str, title: &str, function: &Function) -> Result<()> {
    let mut section = bench.section(name, title).await?;
    let recording = bench.deploy_and_record(function).await?;
    let listening = bench.bare.listen(&recording).await?;
    let nginx = Nginx::start(&listening.socket).await?;
    let mut direct = Row::new("direct, 1 connection");
    let mut connections: Vec<Direct> = vec![listening.connect(&recording).await?];
    let mut pairs = CLIENTS.map(Pair::new);
    let most = CLIENTS[CLIENTS.len() - 1];
    through(&nginx, function, most, bench).await?;
    let warm_up = Row::of(format!("hearth, {most} clients, warm-up"), {
        bench.measure(function, most, bench.pace.warm_up).await?
    });
    for _ in 0..bench.pace.rounds {
        let (back, figures) = drive(connections, bench.pace.window).await;
        connections = back;
        direct.windows.push(figures.into_figures());
        for pair in &mut pairs {
            pair.nginx.windows.push(through(&nginx, function, pair.clients, bench).await?);
            pair.hearth.windows.push(bench.measure(function, pair.clients, bench.pace.window).await?);
        }
    }
    drop((connections, nginx, listening));
    bench.withdraw(function).await?;
    judge(&mut bench.report, title, &pairs, &warm_up, bench.cpus);
    note(&mut section, &pairs, &direct);
    section.rows.extend([warm_up, direct]);
    section.rows.extend(pairs.into_iter().flat_map(|pair| [pair.nginx, pair.hearth]));
    bench.finish(section).await
}

/// One window of calls through nginx.
async fn through(nginx: &Nginx, function: &Function, clients: usize, bench: &Bench) -> Result<Figures> {
    let callers = function.callers_of(nginx.address, "/call", clients).await?;
    let (_, window) = drive(callers, bench.pace.window).await;
    Ok(window.into_figures())
}

fn judge(report: &mut Report, title: &str, pairs: &[Pair; 3], warm_up: &Row, cpus: usize) {
    let [one, many @ ..] = pairs;
    let round_trip = one.hearth.against(&one.nginx, |window| window.p50_us);
    report.judge(format!("{title}: 1 client, p50 / nginx"), round_trip, "x", AtMost(1.8));
    for pair in many {
        let what = |what| format!("{title}: {} clients, {what}", pair.clients);
        let throughput = pair.hearth.against(&pair.nginx, |window| window.calls_per_second);
        report.judge(what("throughput / nginx"), throughput, "x", AtLeast(0.4));
        report.judge(what("p99 / p50"), pair.hearth.median(|window| window.p99_us / window.p50_us), "x", AtMost(20.0));
    }
    let rows = || std::iter::once(warm_up).chain(pairs.iter().map(|pair| &pair.hearth));
    #[expect(clippy::cast_precision_loss, reason = "few")]
    let (errors, started, most) = (
        rows().map(Row::errors).sum::<usize>() as f64,
        rows().map(Row::started).sum::<u64>() as f64,
        (2 * cpus + 2) as f64,
    );
    report.judge(format!("{title}: errors"), errors, "", AtMost(0.0));
    report.judge(format!("{title}: containers started"), started, "", AtMost(most));
}

fn note(section: &mut Section, pairs: &[Pair], direct: &Row) {
    for pair in pairs {
        let p50 = pair.hearth.against(&pair.nginx, |window| window.p50_us);
        let throughput = pair.hearth.against(&pair.nginx, |window| window.calls_per_second);
        let text = format!("{} clients: p50 {p50:.2}x nginx's, throughput {throughput:.2}x", pair.clients);
        section.notes.push(text);
    }
    let [one, ..] = pairs else { return };
    let direct = one.hearth.against(direct, |window| window.p50_us);
    section.notes.push(format!("1 client: p50 {direct:.2}x that of a direct connection"));
}

// === impl Pair ===

impl Pair {
    fn new(clients: usize) -> Self {
        let label = |who: &str| format!("{who}, {clients} client{}", if clients == 1 { "" } else { "s" });
        Self { clients, nginx: Row::new(label("nginx")), hearth: Row::new(label("hearth")) }
    }
}
