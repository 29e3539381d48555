//! Hot functions that answer at once, called by few and by many, in turns with containers that are asked directly.

use anyhow::Result;

use crate::bare::Stream;
use crate::bench::Bench;
use crate::function::Function;
use crate::load::drive;
use crate::report::Target::{AtLeast, AtMost};
use crate::report::{Report, Row, Section};
use crate::sample::Figures;

/// A hot function, and how the section is called.
pub(crate) struct Hot {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) function: Function,
    /// There are targets for it.
    pub(crate) judged: bool,
}

struct Rows {
    one_stream: Row,
    one_client: Row,
    few_clients: Row,
    all_streams: Row,
    many_clients: Row,
    most_clients: Row,
}

const FEW: usize = 16;
const MANY: usize = 64;
const MOST: usize = 256;

// === impl Hot ===

impl Hot {
    pub(crate) async fn run(&self, bench: &mut Bench) -> Result<()> {
        let mut section = bench.section(self.name, self.title).await?;
        let recording = bench.deploy_and_record(&self.function).await?;
        let mut streams = bench.bare.streams(&recording, bench.cpus).await?;
        let warm_up = bench.measure(&self.function, MANY, bench.pace.warm_up).await?;

        let mut rows = Rows::new(bench.cpus);
        for _ in 0..bench.pace.rounds {
            streams = self.round(bench, streams, &mut rows).await?;
        }
        drop(streams);
        bench.withdraw(&self.function).await?;

        let warm_up = Row::of(format!("hearth, {MANY} clients, warm-up"), warm_up);
        rows.note(&mut section);
        if self.judged {
            rows.judge(&mut bench.report, self.title, warm_up.errors());
        }
        section.rows.push(warm_up);
        section.rows.extend(rows.into_rows());
        bench.finish(section).await
    }

    /// One window of each load, the baselines next to what they are compared with.
    async fn round(&self, bench: &Bench, mut streams: Vec<Stream>, rows: &mut Rows) -> Result<Vec<Stream>> {
        let window = bench.pace.window;
        let hearth = async |clients| bench.measure(&self.function, clients, window).await;

        let one = streams.split_off(streams.len() - 1);
        let (one, figures) = drive(one, window).await;
        rows.one_stream.windows.push(figures.into_figures());
        streams.extend(one);
        rows.one_client.windows.push(hearth(1).await?);

        rows.few_clients.windows.push(hearth(FEW).await?);
        let (streams, figures) = drive(streams, window).await;
        rows.all_streams.windows.push(figures.into_figures());
        rows.many_clients.windows.push(hearth(MANY).await?);
        rows.most_clients.windows.push(hearth(MOST).await?);
        Ok(streams)
    }
}

// === impl Rows ===

impl Rows {
    fn new(cpus: usize) -> Self {
        Self {
            one_stream: Row::new("bare, 1 stream"),
            one_client: Row::new("hearth, 1 client"),
            few_clients: Row::new(format!("hearth, {FEW} clients")),
            all_streams: Row::new(format!("bare, {cpus} streams")),
            many_clients: Row::new(format!("hearth, {MANY} clients")),
            most_clients: Row::new(format!("hearth, {MOST} clients")),
        }
    }

    fn into_rows(self) -> [Row; 6] {
        [self.one_stream, self.one_client, self.all_streams, self.few_clients, self.many_clients, self.most_clients]
    }

    fn round_trip(&self) -> f64 {
        self.one_client.against(&self.one_stream, |window| window.p50_us)
    }

    fn throughput(&self, clients: &Row) -> f64 {
        clients.against(&self.all_streams, |window| window.calls_per_second)
    }

    fn note(&self, section: &mut Section) {
        let [few, many, most] =
            [&self.few_clients, &self.many_clients, &self.most_clients].map(|row| self.throughput(row));
        section.notes.push(format!(
            "p50 {:.2}x the bare round trip; throughput {few:.2}x, {many:.2}x, {most:.2}x the bare streams'",
            self.round_trip()
        ));
    }

    fn judge(&self, report: &mut Report, title: &str, errors_before: usize) {
        report.judge(format!("{title}: 1 client, p50 / bare round trip"), self.round_trip(), "x", AtMost(3.0));
        for (clients, row) in [(FEW, &self.few_clients), (MANY, &self.many_clients)] {
            let throughput = self.throughput(row);
            report.judge(format!("{title}: {clients} clients, throughput / bare"), throughput, "x", AtLeast(0.6));
            let tail = row.median(tail);
            report.judge(format!("{title}: {clients} clients, p99 / p50"), tail, "x", AtMost(20.0));
        }
        let hearth = [&self.one_client, &self.few_clients, &self.many_clients, &self.most_clients];
        let errors = errors_before + hearth.map(Row::errors).iter().sum::<usize>();
        #[expect(clippy::cast_precision_loss, reason = "few")]
        report.judge(format!("{title}: errors"), errors as f64, "", AtMost(0.0));
        let resident = self.many_clients.rss_mb();
        report.judge(format!("{title}: {MANY} clients, resident memory"), resident, "MB", AtMost(100.0));
    }
}

fn tail(window: &Figures) -> f64 {
    window.p99_us / window.p50_us
}
