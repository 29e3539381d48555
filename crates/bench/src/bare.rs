//! The baseline: the same containers with the same options, and nobody between them and us.
//!
//! The driver makes them, so their options are those of Hearth's own; what goes over stdin is what Hearth was recorded
//! to send. Like Hearth it attaches stdin, stdout and stderr.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use hearth_drivers::docker::{DockerConfig, DockerDriver, ProcessLimits, SocketConfig, SocketContract, Unobserved};
use hearth_drivers::{ContainerSpec, Contract, Driver, Exit, Frame, Image, Running, SOCKET_NAME};
use hearth_models::{InstanceId, ServerId};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use crate::answer::{Framing, shown};
use crate::function::Recording;
use crate::listening::Listening;
use crate::load::Exchange;

/// Time to remove the containers of the baseline.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(30);

/// Makes containers without Hearth.
#[derive(Clone, Debug)]
pub(crate) struct Bare {
    driver: Arc<DockerDriver>,
    image: Image,
    pub(crate) id: ServerId,
    /// Where sockets of functions are.
    sockets: Arc<TempDir>,
}

/// A hot container, asked the same again and again.
#[derive(Debug)]
pub(crate) struct Stream {
    running: Running,
    request: Bytes,
    framing: Framing,
    buffer: BytesMut,
    /// What it answers, known from the first time on.
    expected: Option<Bytes>,
}

/// A container for each call.
#[derive(Debug)]
pub(crate) struct Sequence {
    bare: Bare,
    recording: Recording,
    extent: Extent,
}

/// Where a cold call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Create, attach, start, write, read, wait, remove.
    Removed,
    /// The same, but the container is removed while the next call runs.
    Answered,
}

// === impl Bare ===

impl Bare {
    pub(crate) async fn connect(image: &str) -> Result<Self> {
        let id = ServerId::generate();
        let mut config = DockerConfig::new(id, InstanceId::generate());
        config.host = std::env::var("DOCKER_HOST").ok();
        let sockets = Arc::new(tempfile::tempdir().context("no place for sockets")?);
        // A proxy opens as many connections as there are requests under way, and each has a thread.
        let limits = ProcessLimits { pids: 0, ..ProcessLimits::default() };
        let directory = sockets.path().to_owned();
        let contract = SocketContract { limits, ..SocketContract::default() };
        config.sockets = Some(SocketConfig { directory, engine_directory: None, tmpfs: None, contract });
        let driver = DockerDriver::connect(config, Arc::new(Unobserved)).await.context("no Docker engine")?;
        let image =
            driver.image(image).await.with_context(|| format!("no image {image}; scripts/functions.sh builds it"))?;
        Ok(Self { driver: Arc::new(driver), image, id, sockets })
    }

    /// Starts a container that is given what `recording` says.
    pub(crate) async fn start(&self, recording: &Recording) -> Result<Running> {
        self.start_with(recording, Contract::Pipes).await
    }

    /// Starts a container that listens on a socket, and waits until it does.
    pub(crate) async fn listen(&self, recording: &Recording) -> Result<Listening> {
        let before = self.socket_directories()?;
        let mut running = self.start_with(recording, Contract::Socket).await?;
        let mut socket = running.socket.take().context("a container without a socket")?;
        socket.opened().await.context("the function did not open its socket")?;
        let directory = self.socket_directories()?.into_iter().find(|found| !before.contains(found));
        let socket = directory.context("no socket directory")?.join(SOCKET_NAME);
        Ok(Listening::new(running, socket))
    }

    fn socket_directories(&self) -> Result<Vec<PathBuf>> {
        let found = std::fs::read_dir(self.sockets.path().join(self.id.to_string()))?;
        found.map(|entry| Ok(entry?.path())).collect()
    }

    async fn start_with(&self, recording: &Recording, contract: Contract) -> Result<Running> {
        let spec = ContainerSpec {
            contract,
            image: self.image.clone(),
            env: recording.env.clone(),
            memory_bytes: recording.memory_bytes,
            cpu_millis: None,
            labels: vec![
                ("hearth.app".to_owned(), "bench".to_owned()),
                ("hearth.route".to_owned(), "/bare".to_owned()),
            ],
            tapped: false,
            syslog: None,
        };
        let container = self.driver.create(spec).await.context("cannot create a container")?;
        container.start().await.context("cannot start a container")
    }

    /// Hot containers that are ready to be asked.
    pub(crate) async fn streams(&self, recording: &Recording, count: usize) -> Result<Vec<Stream>> {
        let streams = try_join_all((0..count).map(async |_| {
            let running = self.start(recording).await?;
            anyhow::Ok(Stream::new(running, recording))
        }));
        streams.await
    }

    pub(crate) fn sequences(&self, recording: &Recording, extent: Extent, count: usize) -> Vec<Sequence> {
        let sequence = || Sequence { bare: self.clone(), recording: recording.clone(), extent };
        std::iter::repeat_with(sequence).take(count).collect()
    }

    /// Containers of `servers` that exist now.
    pub(crate) async fn containers(&self, servers: &[ServerId]) -> Result<Vec<String>> {
        let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
        let all = self.driver.list().await.context("cannot list containers")?;
        Ok(all.into_iter().filter(|found| servers.contains(&found.server)).map(|found| found.id).collect())
    }

    /// Removes all containers of the baseline and of `server`.
    pub(crate) async fn clean_up(&self, server: ServerId) -> Result<()> {
        // First those whose removal is under way, then whatever else there may be.
        self.driver.shutdown(SHUTDOWN_LIMIT).await;
        for container in self.containers(&[self.id, server]).await? {
            self.remove(&container).await?;
        }
        Ok(())
    }

    async fn remove(&self, container: &str) -> Result<()> {
        self.driver.remove(container).await.context("cannot remove a container")
    }
}

// === impl Stream ===

impl Stream {
    pub(crate) fn new(running: Running, recording: &Recording) -> Self {
        let Recording { request, framing, .. } = recording.clone();
        Self { running, request, framing, buffer: BytesMut::with_capacity(8 * 1024), expected: None }
    }

    /// Takes the answer off the buffer once it is there as a whole.
    fn take_answer(&mut self) -> Result<bool> {
        let Some(answer) = self.framing.parse(&self.buffer)? else {
            return Ok(false);
        };
        let expected = self.expected.get_or_insert_with(|| Bytes::copy_from_slice(&answer.body));
        ensure!(
            answer.status == 200 && answer.body[..] == expected[..],
            "the function answered {}",
            shown(&answer.body)
        );
        let length = answer.length;
        self.buffer.advance(length);
        Ok(true)
    }
}

impl Exchange for Stream {
    async fn exchange(&mut self) -> Result<()> {
        self.running.stdin.write_all(&self.request).await.context("the request was not taken")?;
        loop {
            match self.running.output.next().await {
                Some(Ok(Frame::Stdout(bytes))) => {
                    self.buffer.extend_from_slice(&bytes);
                    if self.take_answer()? {
                        return Ok(());
                    }
                }
                Some(Ok(Frame::Stderr(_) | Frame::Mark(..))) => {}
                Some(Err(error)) => return Err(error).context("the container's output broke"),
                None => bail!("the container ended"),
            }
        }
    }
}

// === impl Sequence ===

impl Exchange for Sequence {
    async fn exchange(&mut self) -> Result<()> {
        let mut running = self.bare.start(&self.recording).await?;
        running.stdin.write_all(&self.recording.request).await.context("the request was not taken")?;
        running.stdin.shutdown().await.context("the request was not taken")?;
        let mut answer = BytesMut::new();
        while let Some(frame) = running.output.next().await {
            if let Frame::Stdout(bytes) = frame.context("the container's output broke")? {
                answer.extend_from_slice(&bytes);
            }
        }
        ensure!(answer == self.recording.request, "the function answered {}", shown(&answer));
        let exit = running.exit.await;
        ensure!(exit == Exit::Code(0), "the function ended with {exit:?}");
        if self.extent == Extent::Removed {
            self.bare.remove(running.guard.id()).await?;
        }
        Ok(())
    }
}
