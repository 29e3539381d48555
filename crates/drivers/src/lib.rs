//! Runs containers.
//!
//! A [`Driver`] turns an image reference into an [`Image`] and a [`ContainerSpec`] into a [`Container`] that is
//! created but not started. Starting it gives [`Running`]: its stdin, or the socket that it opens, its output as one ordered
//! stream of frames, a source of samples, and a future of its exit. Whoever holds a [`Container`] or its [`Running`] owns it: dropping
//! the [`Guard`] in it removes the container, whatever happened, in a task that the driver owns and drains at
//! [`Driver::shutdown`].
//!
//! [`docker`] is the real thing; [`scripted`] plays any behaviour for tests, under paused time.

pub mod docker;
mod error;
mod input;
mod phases;
pub mod scripted;
mod socket;
mod stats;

use std::fmt::{self, Debug};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use hearth_models::Stat;
use tokio::io::AsyncWrite;

pub use error::{Cause, Chain, Error};
pub use phases::{Phase, Phases};
pub use socket::{Connection, SOCKET_DIRECTORY, SOCKET_NAME, Socket, SocketError};

/// An image that is present on the engine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Image {
    /// The id of its content: what identifies it when its tag moves on.
    pub id: String,
    /// It declares a health check, so a container of it counts as started only once it is healthy.
    pub has_healthcheck: bool,
    /// It declares a volume: a place that a container of it may write to and that has no limit.
    pub has_volume: bool,
    /// What a container of it runs: its entry point and command.
    pub command: Arc<[String]>,
}

/// An image that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The image.
    pub image: Image,
    /// When it was pulled, if the engine did not have it.
    pub pulled: Option<Phase>,
}

/// What a container is promised of its surroundings, and by which way it is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Contract {
    /// Over stdin and stdout. Its user is the image's, its file system its own to write to.
    Pipes,
    /// Over a socket that it opens in [`SOCKET_DIRECTORY`]. It has no stdin, is an ordinary user, and can write to nothing
    /// but `/tmp`.
    Socket,
}

/// Where the engine sends what a container writes, line by line, beside where it goes anyway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syslog {
    /// A URL of a syslog server, as the engine reads it.
    pub address: String,
    /// What its lines are tagged with. The engine takes it for a template: no text of a user's belongs there.
    pub tag: String,
}

/// What a container is made of.
#[derive(Clone, Debug)]
pub struct ContainerSpec {
    /// What it runs.
    pub image: Image,
    /// How it is spoken to.
    pub contract: Contract,
    /// Names and values of its environment.
    pub env: Vec<(String, String)>,
    /// Memory limit in bytes, swap included.
    pub memory_bytes: u64,
    /// CPU limit in thousandths of a core; none is no limit.
    pub cpu_millis: Option<u64>,
    /// Labels beside those that the driver sets itself, for people who look at `docker ps`.
    pub labels: Vec<(String, String)>,
    /// More than one call is to share it, so that the log of each has to be told from that of the next: with
    /// [`Contract::Socket`] it is to have a [`Tap`], unless its output goes to a [syslog server](Self::syslog) as well.
    pub tapped: bool,
    /// The syslog server that gets its output. The engine sends only what it sees, and all that it sees.
    pub syslog: Option<Syslog>,
}

impl ContainerSpec {
    /// It is to have a [`Tap`]. What passes by the engine would not come to a syslog server, and marks would.
    #[must_use]
    pub fn has_tap(&self) -> bool {
        self.tapped && self.contract == Contract::Socket && self.syslog.is_none()
    }
}

/// Runs containers on one engine.
#[async_trait]
pub trait Driver: Debug + Send + Sync + 'static {
    /// The image that `reference` names now. Answers from a cache where it can; pulls when the engine does not have
    /// it (at most one pull of a reference at a time, shared by all who ask).
    async fn find(&self, reference: &str) -> Result<Found, Error>;

    /// The same, for who does not care how it came.
    async fn image(&self, reference: &str) -> Result<Image, Error> {
        Ok(self.find(reference).await?.image)
    }

    /// Creates a container. It exists on the engine from then on, and its [`Guard`] removes it.
    async fn create(&self, spec: ContainerSpec) -> Result<Box<dyn Container>, Error>;

    /// Halts every process of a running container, within seconds. Until it is [thawed](Self::thaw) it does nothing, and keeps
    /// all it has; it can be removed as it is. After an error nobody knows whether it runs.
    async fn freeze(&self, container: &str) -> Result<(), Error>;

    /// Lets a frozen container go on where it was, within seconds. After an error nobody knows whether it does.
    async fn thaw(&self, container: &str) -> Result<(), Error>;

    /// Whether the engine answers, within about two seconds.
    async fn ping(&self) -> Result<(), Error>;

    /// Removes what an earlier process of this server left behind; says how many containers that were.
    async fn remove_orphans(&self) -> Result<usize, Error>;

    /// Waits until every removal that was begun is done, at most `deadline`. Says how many were not.
    async fn shutdown(&self, deadline: Duration) -> usize;
}

/// A container that is created and not started.
#[async_trait]
pub trait Container: Send + 'static {
    /// Attaches to the container and starts it; waits until it is healthy when its image declares a health check.
    /// On error the container is removed. `phases` is told what begins and what is done.
    async fn start_noting(self: Box<Self>, phases: &mut Phases) -> Result<Running, Error>;

    /// The same, for who does not care what takes how long.
    async fn start(self: Box<Self>) -> Result<Running, Error> {
        self.start_noting(&mut Phases::default()).await
    }
}

/// A container that runs.
#[must_use]
pub struct Running {
    /// What the container reads. Shutting it down is EOF for the container, and nothing else is: what is dropped without
    /// that stays open until the container is gone, so that a request that is cut off never looks whole. With
    /// [`Contract::Socket`] it reads nothing.
    pub stdin: Pin<Box<dyn AsyncWrite + Send>>,
    /// The socket that the function opens, with [`Contract::Socket`].
    pub socket: Option<Box<dyn Socket>>,
    /// What the container writes, in the order it came; ends when the container closed both streams, as far as that can be
    /// seen, or is gone.
    pub output: BoxStream<'static, Result<Frame, Error>>,
    /// What tells whether it has written, and where that ends; where it is [asked for](ContainerSpec::has_tap) and can be had.
    pub tap: Option<Box<dyn Tap>>,
    /// Samples of what the container uses.
    pub stats: StatsSource,
    /// How it ended. Resolves once, also when the container is removed or the engine goes away.
    pub exit: BoxFuture<'static, Exit>,
    /// Removes the container when dropped.
    pub guard: Guard,
}

/// Sees what a container writes where it writes it, and can tell where that ends.
pub trait Tap: Send + 'static {
    /// Whether the container may have written to stdout or stderr since the last mark. What it wrote before anything else
    /// that was seen of it (an answer, say) is never missed, and seen long before it comes out. Costs one system call.
    fn wrote(&mut self) -> bool;

    /// Whether there is room for all that a container may write within some milliseconds, so that nobody need take it
    /// before.
    fn has_room(&self) -> bool {
        false
    }

    /// Puts a mark behind all that the container has written so far: it comes out of [`Running::output`] behind that, as a
    /// [`Frame::Mark`] for each of its outlets. None when there is no room for it before some of that has come out.
    fn mark(&mut self) -> io::Result<Option<Mark>>;
}

/// One of the two ways out of a container. What takes one of them overtakes what takes the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlet {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Outlet {
    /// Of what there is for either: 0 or 1.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Stdout => 0,
            Self::Stderr => 1,
        }
    }

    /// A piece of what takes this way.
    #[must_use]
    pub const fn frame(self, piece: Bytes) -> Frame {
        match self {
            Self::Stdout => Frame::Stdout(piece),
            Self::Stderr => Frame::Stderr(piece),
        }
    }
}

/// A mark that was put into a container's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// No other of the container has it.
    pub number: u32,
    /// Whether it was put into the [outlet](Outlet::index): not where all that was written has passed an earlier one.
    pub on: [bool; 2],
}

/// One piece of output, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// From stdout: the answer.
    Stdout(Bytes),
    /// From stderr: the log.
    Stderr(Bytes),
    /// All that was written to this outlet before the [mark](Tap::mark) of this number has come out.
    Mark(Outlet, u32),
}

/// How a container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Its process ended with this code.
    Code(i64),
    /// The kernel killed it for its memory.
    OutOfMemory,
    /// It is gone and nobody can say how it ended.
    Vanished,
}

/// Where samples of a container come from.
pub enum StatsSource {
    /// They can be taken at any time, cheaply (the container's cgroup is visible).
    Direct(Box<dyn Sampler>),
    /// They come about once a second (the engine's own stream).
    Stream(BoxStream<'static, Stat>),
}

/// Takes samples of one container.
pub trait Sampler: Send + 'static {
    /// Begins a new interval: the CPU figures of the next sample count from now. Costs a few microseconds.
    fn mark(&mut self);

    /// How many bytes the container has been sent and has not read yet; none where that cannot be seen. Costs one system
    /// call.
    fn unread(&self) -> Option<u64> {
        None
    }

    /// A sample of now, its CPU figures counted since the last mark or sample. None once the container is gone.
    fn sample(&mut self) -> Option<Stat>;
}

/// Removes its container when dropped, whatever happened to it.
#[must_use]
pub struct Guard {
    id: String,
    on_drop: Option<Box<dyn FnOnce() + Send>>,
}

impl Guard {
    /// A guard of the container `id` that calls `remove` when dropped. `remove` must not block: it hands the work
    /// to a task of the driver.
    pub fn new(id: impl Into<String>, remove: impl FnOnce() + Send + 'static) -> Self {
        Self { id: id.into(), on_drop: Some(Box::new(remove)) }
    }

    /// The id the engine gave its container.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(remove) = self.on_drop.take() {
            remove();
        }
    }
}

impl Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guard").field(&self.id).finish()
    }
}

impl Debug for StatsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct(_) => "Direct",
            Self::Stream(_) => "Stream",
        })
    }
}

impl Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("guard", &self.guard).finish_non_exhaustive()
    }
}
