//! What all scenarios work with.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use hearth_models::ServerId;
use tokio::time::{Instant, sleep};

use crate::bare::Bare;
use crate::census::Census;
use crate::client::{Caller, Connection};
use crate::function::{Function, Recording, create_app};
use crate::load::{Exchange, Load};
use crate::options::{Options, Pace};
use crate::report::{Report, Section};
use crate::sample::Figures;
use crate::say;
use crate::server::Server;
use crate::stage::Stage;
use crate::usage::{self, Watch};

/// How long is looked whether others use the machine.
const LOOK: Duration = Duration::from_millis(500);

/// Time for the engine to remove the containers of a scenario.
const SETTLE_LIMIT: Duration = Duration::from_mins(1);

/// A server under measurement, and what it is compared with.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) pace: Pace,
    pub(crate) cpus: usize,
    pub(crate) address: SocketAddr,
    pub(crate) bare: Bare,
    /// Containers of the server, and those of the baseline.
    pub(crate) census: Census,
    pub(crate) bare_census: Census,
    pub(crate) report: Report,
    pub(crate) pid: u32,
    /// What other servers are started from.
    pub(crate) stage: Stage,
    server: ServerId,
    image: String,
}

// === impl Bench ===

impl Bench {
    pub(crate) async fn new(options: &Options, server: &Server, bare: &Bare, stage: Stage) -> Result<Self> {
        let cpus = std::thread::available_parallelism()?.get();
        let bench = Self {
            pace: options.pace(),
            cpus,
            address: server.address,
            bare: bare.clone(),
            census: Census::begin(server.id)?,
            bare_census: Census::begin(bare.id)?,
            report: Report::new(options.quick, cpus),
            pid: server.pid,
            stage,
            server: server.id,
            image: options.image.clone(),
        };
        create_app(&mut bench.api().await?).await?;
        Ok(bench)
    }

    /// A connection for management. The server closes connections that idle, so nobody keeps one.
    async fn api(&self) -> Result<Connection> {
        Connection::open(self.address).await
    }

    pub(crate) async fn deploy(&self, function: &Function) -> Result<()> {
        function.deploy(&mut self.api().await?, &self.image).await
    }

    /// Deploys `function` for the `number`th time, so that its next call needs a new container.
    pub(crate) async fn redeploy(&self, function: &Function, number: usize) -> Result<()> {
        function.redeploy(&mut self.api().await?, &self.image, number).await
    }

    /// Deploys `function` and says what its containers are given. None of them is left.
    pub(crate) async fn deploy_and_record(&self, function: &Function) -> Result<Recording> {
        let recording = function.deploy_and_record(&mut self.api().await?, &self.image).await?;
        self.settle().await?;
        Ok(recording)
    }

    pub(crate) async fn withdraw(&self, function: &Function) -> Result<()> {
        function.withdraw(&mut self.api().await?).await
    }

    /// Lets `count` clients call `function` for `time`.
    pub(crate) async fn measure(&self, function: &Function, count: usize, time: Duration) -> Result<Figures> {
        let callers = function.callers(self.address, count).await?;
        self.measure_while(callers, async {
            sleep(time).await;
            Ok(())
        })
        .await
    }

    /// Lets `callers` call until `condition` has come to pass.
    pub(crate) async fn measure_while(
        &self,
        callers: Vec<Caller>,
        condition: impl Future<Output = Result<()>>,
    ) -> Result<Figures> {
        watched(self.pid, &self.census, || Load::begin(callers), condition).await
    }

    /// Begins a section of the report.
    pub(crate) async fn section(&self, name: &'static str, title: &str) -> Result<Section> {
        let busy_before = usage::busy_share(LOOK).await?;
        Ok(Section { name, title: title.to_owned(), busy_before, rows: Vec::new(), notes: Vec::new() })
    }

    /// Ends a section, and waits until nothing of it is left.
    pub(crate) async fn finish(&mut self, section: Section) -> Result<()> {
        say(&section)?;
        self.report.sections.push(section);
        self.settle().await
    }

    /// Waits until no container is left, neither of the server nor of the baseline.
    pub(crate) async fn settle(&self) -> Result<()> {
        let deadline = Instant::now() + SETTLE_LIMIT;
        loop {
            let left = self.bare.containers(&[self.server, self.bare.id]).await?;
            if left.is_empty() {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{} containers are not removed: {}", left.len(), left.join(" "));
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Begins a load on the server that is process `pid`, and ends it when `condition` has come to pass.
pub(crate) async fn watched<E: Exchange>(
    pid: u32,
    census: &Census,
    begin: impl FnOnce() -> Load<E>,
    condition: impl Future<Output = Result<()>>,
) -> Result<Figures> {
    let (watch, before) = (Watch::begin(pid)?, census.started());
    let load = begin();
    condition.await?;
    let (_, mut window) = load.end().await;
    window.server = Some(watch.end(census.started() - before)?);
    Ok(window.into_figures())
}
