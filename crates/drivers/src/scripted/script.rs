//! What a scripted image is like.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{Mutex, MutexGuard};

use super::ScriptIo;
use crate::{Error, Exit, Image};

/// What runs in a scripted container.
#[derive(Clone)]
pub struct Program(Arc<dyn Fn(ScriptIo) -> BoxFuture<'static, Exit> + Send + Sync>);

/// One image and how everything that is done with it goes.
#[derive(Debug)]
pub struct Script {
    image_id: Option<String>,
    has_healthcheck: bool,
    has_volume: bool,
    present: Mutex<bool>,
    program: Program,
    pub(super) pull: Step,
    pub(super) create: Step,
    pub(super) start: Step,
    pub(super) freeze: Step,
    pub(super) thaw: Step,
    pub(super) remove_takes: Duration,
    pub(super) stats: Stats,
    pub(super) taps: Taps,
    pub(super) output_takes: Duration,
    pub(super) stdout_lags: Duration,
}

/// One thing the driver is asked to do: how long it takes, and whether it fails.
#[derive(Debug, Default)]
pub struct Step {
    takes: Duration,
    error: Option<Error>,
    /// How often it still fails.
    failures: AtomicUsize,
}

/// Where samples come from.
#[derive(Clone, Copy, Debug, Default)]
pub enum Stats {
    /// A sampler that can be asked at any time.
    #[default]
    Direct,
    /// A stream with this much time between samples.
    Stream(Duration),
    /// A stream that ends at once.
    None,
}

/// What can be seen of what a container writes, where it writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Taps {
    /// Whether it does, and where that ends.
    #[default]
    Whole,
    /// Whether it does; marks do not come out.
    Unmarked,
    /// Nothing.
    None,
}

// === impl Program ===

impl Program {
    /// Runs `program` in each container, with its own pipes.
    pub fn new<F>(program: impl Fn(ScriptIo) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Exit> + Send + 'static,
    {
        Self(Arc::new(move |io| Box::pin(program(io))))
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Program")
    }
}

// === impl Script ===

impl Script {
    /// An image that is present at once and whose containers run `program`. All steps succeed and take no time.
    #[must_use]
    pub fn new(program: Program) -> Self {
        Self {
            image_id: None,
            has_healthcheck: false,
            has_volume: false,
            present: Mutex::new(true),
            program,
            pull: Step::default(),
            create: Step::default(),
            start: Step::default(),
            freeze: Step::default(),
            thaw: Step::default(),
            remove_takes: Duration::ZERO,
            stats: Stats::default(),
            taps: Taps::default(),
            output_takes: Duration::ZERO,
            stdout_lags: Duration::ZERO,
        }
    }

    /// The id of the image; without it, one made from the reference.
    #[must_use]
    pub fn with_image_id(mut self, id: impl Into<String>) -> Self {
        self.image_id = Some(id.into());
        self
    }

    /// The image declares a health check.
    #[must_use]
    pub fn with_healthcheck(mut self) -> Self {
        self.has_healthcheck = true;
        self
    }

    /// The image declares a volume.
    #[must_use]
    pub fn with_volume(mut self) -> Self {
        self.has_volume = true;
        self
    }

    /// The image is not there yet, and this is how a pull goes. One at a time, and not again once it succeeded.
    #[must_use]
    pub fn pull(mut self, step: Step) -> Self {
        self.present = Mutex::new(false);
        self.pull = step;
        self
    }

    /// How creating a container goes.
    #[must_use]
    pub fn create(mut self, step: Step) -> Self {
        self.create = step;
        self
    }

    /// How starting a container goes, its health check included.
    #[must_use]
    pub fn start(mut self, step: Step) -> Self {
        self.start = step;
        self
    }

    /// How freezing a container goes.
    #[must_use]
    pub fn freeze(mut self, step: Step) -> Self {
        self.freeze = step;
        self
    }

    /// How thawing a container goes.
    #[must_use]
    pub fn thaw(mut self, step: Step) -> Self {
        self.thaw = step;
        self
    }

    /// How long the engine takes to remove a container.
    #[must_use]
    pub fn remove_takes(mut self, time: Duration) -> Self {
        self.remove_takes = time;
        self
    }

    /// Where samples of its containers come from.
    #[must_use]
    pub fn stats(mut self, stats: Stats) -> Self {
        self.stats = stats;
        self
    }

    /// What can be seen of what its containers write, where they are to have a tap.
    #[must_use]
    pub fn taps(mut self, taps: Taps) -> Self {
        self.taps = taps;
        self
    }

    /// How long the engine takes with each piece of output.
    #[must_use]
    pub fn output_takes(mut self, time: Duration) -> Self {
        self.output_takes = time;
        self
    }

    /// How much later than stderr stdout comes out.
    #[must_use]
    pub fn stdout_lags(mut self, time: Duration) -> Self {
        self.stdout_lags = time;
        self
    }

    pub(super) fn named(mut self, reference: &str) -> Self {
        self.image_id.get_or_insert_with(|| format!("sha256:{reference}"));
        self
    }

    pub(super) fn image_id(&self) -> &str {
        self.image_id.as_deref().unwrap_or_default()
    }

    pub(super) fn image(&self) -> Image {
        Image {
            id: self.image_id().to_owned(),
            has_healthcheck: self.has_healthcheck,
            has_volume: self.has_volume,
            command: Arc::default(),
        }
    }

    /// Whether the image is there; whoever holds the guard is the one who pulls.
    pub(super) async fn present(&self) -> MutexGuard<'_, bool> {
        self.present.lock().await
    }

    pub(super) fn play(&self, io: ScriptIo) -> BoxFuture<'static, Exit> {
        (self.program.0)(io)
    }
}

// === impl Step ===

impl Step {
    /// Succeeds after `time`.
    #[must_use]
    pub fn takes(time: Duration) -> Self {
        Self { takes: time, ..Self::default() }
    }

    /// Fails with `error`, every time.
    #[must_use]
    pub fn fails(error: Error) -> Self {
        Self { error: Some(error), failures: AtomicUsize::new(usize::MAX), ..Self::default() }
    }

    /// The answer, good or bad, takes this long.
    #[must_use]
    pub fn after(mut self, time: Duration) -> Self {
        self.takes = time;
        self
    }

    /// Fails only the first `times` times.
    #[must_use]
    pub fn times(self, times: usize) -> Self {
        self.failures.store(times, Ordering::SeqCst);
        self
    }

    pub(super) async fn run(&self) -> Result<(), Error> {
        if !self.takes.is_zero() {
            tokio::time::sleep(self.takes).await;
        }
        let Some(error) = &self.error else {
            return Ok(());
        };
        let fails = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if fails { Err(error.clone()) } else { Ok(()) }
    }
}
