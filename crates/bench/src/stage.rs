//! Servers of scenarios that need one of their own: with other settings, or on a database that was filled before.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use hearth_models::ServerId;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::bench::watched;
use crate::census::Census;
use crate::client::Connection;
use crate::function::{Function, create_app};
use crate::load::Load;
use crate::options::Options;
use crate::sample::Figures;
use crate::server::{Server, data_below, sqlite_url};
use crate::usage::{Usage, Watch};

/// What it takes to start another server.
#[derive(Debug)]
pub(crate) struct Stage {
    binary: PathBuf,
    /// Another build.
    other: Option<PathBuf>,
    output: PathBuf,
    image: String,
    /// Ids of servers that may be started, made at the start so that what they leave is removed whatever happens.
    ids: Vec<ServerId>,
    used: AtomicUsize,
    /// A database server whose databases are used up one by one.
    postgres: Option<String>,
    databases: AtomicUsize,
}

/// Where a server keeps its calls.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) data: TempDir,
    pub(crate) url: String,
}

/// A server of one scenario.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) server: Server,
    census: Census,
    image: String,
    pub(crate) url: String,
}

// === impl Stage ===

impl Stage {
    pub(crate) fn new(binary: PathBuf, ids: Vec<ServerId>, options: &Options) -> Self {
        let Options { other, output, image, postgres, .. } = options.clone();
        let (used, databases) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { binary, other, output, image, ids, used, postgres, databases }
    }

    /// The build that this one is to be compared with, if there is one.
    pub(crate) fn other(&self) -> Option<&Path> {
        self.other.as_deref()
    }

    /// A new, empty place in a file.
    pub(crate) fn sqlite(&self) -> Result<Place> {
        let data = data_below(&self.output)?;
        let url = sqlite_url(&data)?;
        Ok(Place { data, url })
    }

    /// A new, empty place in Postgres, where there is one.
    pub(crate) fn postgres(&self) -> Result<Option<Place>> {
        let Some(server) = &self.postgres else { return Ok(None) };
        let number = self.databases.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(Some(Place { data: data_below(&self.output)?, url: format!("{server}/bench_{number}") }))
    }

    /// Starts a server and waits until it is ready.
    pub(crate) async fn start(&self, place: Place, more: &[&str]) -> Result<Guest> {
        self.start_build(&self.binary, place, more).await
    }

    /// The same of another build.
    pub(crate) async fn start_other(&self, binary: &Path, place: Place) -> Result<Guest> {
        self.start_build(binary, place, &[]).await
    }

    async fn start_build(&self, binary: &Path, place: Place, more: &[&str]) -> Result<Guest> {
        let number = self.used.fetch_add(1, Ordering::Relaxed);
        let id = *self.ids.get(number).context("more servers than there are ids for")?;
        let log = self.output.join(format!("server-{number}.log"));
        let flags = [&["--db-url", place.url.as_str()], more].concat();
        let mut server = Server::spawn_on(binary, id, log, place.data, &flags)?;
        server.until_ready().await?;
        Ok(Guest { server, census: Census::begin(id)?, image: self.image.clone(), url: place.url })
    }
}

// === impl Guest ===

impl Guest {
    /// Makes the app, where it is not there yet, and deploys `function`.
    pub(crate) async fn deploy(&self, function: &Function, new: bool) -> Result<()> {
        let mut api = Connection::open(self.address()).await?;
        if new {
            create_app(&mut api).await?;
        }
        function.deploy(&mut api, &self.image).await
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Lets `count` clients call `function` for `time`.
    pub(crate) async fn measure(&self, function: &Function, count: usize, time: Duration) -> Result<Figures> {
        let over = async {
            sleep(time).await;
            Ok(())
        };
        self.measure_every(function, count, Duration::ZERO, over).await
    }

    /// Lets `count` clients call `function`, each once in `pause`, until `condition` has come to pass.
    pub(crate) async fn measure_every(
        &self,
        function: &Function,
        count: usize,
        pause: Duration,
        condition: impl Future<Output = Result<()>>,
    ) -> Result<Figures> {
        let callers = function.callers(self.address(), count).await?;
        watched(self.server.pid, &self.census, || Load::begin_every(callers, pause), condition).await
    }

    /// Lets `count` clients queue calls of `function` for `time`, to begin after so many seconds.
    pub(crate) async fn submit(
        &self,
        function: &Function,
        count: usize,
        delay: u32,
        time: Duration,
    ) -> Result<Figures> {
        let submitters = function.submitters(self.address(), count, delay).await?;
        let over = async {
            sleep(time).await;
            Ok(())
        };
        watched(self.server.pid, &self.census, || Load::begin(submitters), over).await
    }

    /// What the server uses until `condition` has come to pass, beside it.
    pub(crate) async fn watch<T>(&self, condition: impl Future<Output = Result<T>>) -> Result<(T, Usage)> {
        let (watch, before) = (Watch::begin(self.server.pid)?, self.census.started());
        let came = condition.await?;
        Ok((came, watch.end(self.census.started() - before)?))
    }

    /// The value of a metric without labels.
    pub(crate) async fn metric(&self, name: &str) -> Result<f64> {
        let mut api = Connection::open(self.address()).await?;
        let (_, body) = api.request("GET", "/metrics", b"").await?;
        let text = String::from_utf8(body)?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.with_context(|| format!("no metric {name}"))?.trim().parse().context("not a number")
    }

    /// Stops it; what it stored stays.
    pub(crate) async fn stop(self) -> Result<Place> {
        Ok(Place { data: self.server.stop().await?, url: self.url })
    }
}
