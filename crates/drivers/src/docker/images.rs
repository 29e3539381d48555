//! Which image a reference names now.
//!
//! The hot path asks this for every call, so the answer comes from a cache without asking the engine. The cache is
//! right because the engine tells us when any of its images changes: all of it is dropped then. Images change when
//! somebody deploys, which is rare, and asking again costs a millisecond; that is a small price for not having to
//! guess which references an event is about. While nobody listens to the engine nothing is cached at all.
//!
//! One task per reference finds out, for everybody who asks meanwhile, and goes on when they leave: a pull that
//! took a minute is not thrown away because one caller's deadline came.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bollard::models::ImageInspect;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::engine::{Engine, Fault};
use super::observer::Operation;
use super::pull::Puller;
use super::reference::Reference;
use crate::{Error, Found, Image, Phase};

const INSPECT_LIMIT: Duration = Duration::from_secs(10);

/// References remembered. One is a name in somebody's function, so this many are far more than a node runs.
const MAX_REMEMBERED: usize = 4096;

/// An image that changes under our eyes is asked for this often before what was seen last is taken.
const LOOKS: usize = 3;

/// A cheap handle of the images of one engine.
#[derive(Clone, Debug)]
pub(super) struct Images {
    shared: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    engine: Arc<Engine>,
    puller: Puller,
    tasks: TaskTracker,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Somebody listens to the engine, so what is known stays true until it is dropped.
    watched: bool,
    /// Raised whenever what is known is dropped.
    epoch: u64,
    known: HashMap<String, Image>,
    flights: HashMap<String, Flight>,
    /// What an image was last asked for as, in case it has to be pulled again.
    names: HashMap<String, String>,
}

/// One look at the engine, shared by all who wait for it.
type Flight = Shared<BoxFuture<'static, Result<Found, Error>>>;

/// Takes its flight off the board, also if the task that flies it is torn down.
struct Landing {
    images: Images,
    reference: String,
}

// === impl Images ===

impl Images {
    pub(super) fn new(engine: Arc<Engine>, puller: Puller, tasks: TaskTracker) -> Self {
        Self { shared: Arc::new(Inner { engine, puller, tasks, state: Mutex::default() }) }
    }

    /// The image that `reference` names now; pulled when the engine does not have it.
    pub(super) async fn get(&self, reference: &str) -> Result<Found, Error> {
        let flight = {
            let mut state = self.lock();
            if let Some(image) = state.known.get(reference) {
                return Ok(Found { image: image.clone(), pulled: None });
            }
            match state.flights.get(reference) {
                Some(flight) => flight.clone(),
                None => self.take_off(&mut state, reference)?,
            }
        };
        flight.await
    }

    /// What `image` was asked for as, if that is still remembered.
    pub(super) fn name_of(&self, image: &Image) -> Option<String> {
        self.lock().names.get(&image.id).cloned()
    }

    /// From now on somebody listens; what was seen before may be stale.
    pub(super) fn watch(&self) {
        let mut state = self.lock();
        state.watched = true;
        state.forget();
    }

    /// Nobody listens any more.
    pub(super) fn unwatch(&self) {
        let mut state = self.lock();
        state.watched = false;
        state.forget();
    }

    /// Something changed.
    pub(super) fn forget(&self) {
        self.lock().forget();
    }

    fn take_off(&self, state: &mut State, reference: &str) -> Result<Flight, Error> {
        let parsed: Reference = reference.parse()?;
        let landing = Landing { images: self.clone(), reference: reference.to_owned() };
        let task = self.shared.tasks.spawn(async move {
            let found = landing.images.find(&landing.reference, &parsed).await;
            drop(landing);
            found
        });
        let interrupted = |_| Error::Engine {
            operation: Operation::InspectImage.verb(),
            message: "it was interrupted".to_owned(),
            source: None,
        };
        let flight = task.map(move |joined| joined.map_err(interrupted).flatten());
        let flight = flight.boxed().shared();
        state.flights.insert(reference.to_owned(), flight.clone());
        Ok(flight)
    }

    async fn find(&self, asked: &str, reference: &Reference) -> Result<Found, Error> {
        let (mut looks, mut pulled) = (0, None);
        loop {
            let epoch = self.lock().epoch;
            let found = self.look(asked, reference).await?;
            looks += 1;
            pulled = found.pulled.or(pulled);
            if self.remember(epoch, asked, &found.image) || looks == LOOKS {
                return Ok(Found { image: found.image, pulled });
            }
        }
    }

    async fn look(&self, asked: &str, reference: &Reference) -> Result<Found, Error> {
        match self.inspect(reference).await {
            Ok(image) => return Ok(Found { image, pulled: None }),
            Err(fault) if fault.is_not_found() => {}
            Err(fault) => return Err(refusal(asked, fault)),
        }
        let began = Instant::now();
        self.shared.puller.pull(asked, reference).await?;
        let pulled = Some(Phase::done("pull", began));
        let image = self.inspect(reference).await.map_err(|fault| match fault {
            Fault::Refused { status: 404, message } => {
                Error::ImageRefused { image: asked.to_owned(), status: 404, message }
            }
            fault => fault.into_error(Operation::InspectImage),
        })?;
        Ok(Found { image, pulled })
    }

    async fn inspect(&self, reference: &Reference) -> Result<Image, Fault> {
        let name = reference.to_string();
        let engine = &self.shared.engine;
        let request = engine.api().inspect_image(&name);
        let answer = engine.call(Operation::InspectImage, INSPECT_LIMIT, request).await?;
        Ok(Image {
            has_healthcheck: has_healthcheck(&answer),
            has_volume: has_volume(&answer),
            command: command(&answer),
            id: answer.id.unwrap_or(name),
        })
    }

    /// Whether the image was seen as it is now. It is then what the next who ask are told.
    fn remember(&self, epoch: u64, asked: &str, image: &Image) -> bool {
        let mut state = self.lock();
        if state.names.len() >= MAX_REMEMBERED {
            state.names.clear();
        }
        state.names.insert(image.id.clone(), asked.to_owned());
        if state.epoch != epoch {
            return false;
        }
        if state.watched {
            if state.known.len() >= MAX_REMEMBERED {
                state.known.clear();
            }
            state.known.insert(asked.to_owned(), image.clone());
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change of the state is whole by the time anything could panic.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    fn forget(&mut self) {
        self.epoch += 1;
        self.known.clear();
    }
}

// === impl Landing ===

impl Drop for Landing {
    fn drop(&mut self) {
        self.images.lock().flights.remove(&self.reference);
    }
}

/// Engines refuse some names of those that can be, as Docker 20.10 does where a registry has upper-case letters.
fn refusal(asked: &str, fault: Fault) -> Error {
    match fault {
        // All that is asked is refused in these words by an engine that is another one since it was connected to.
        Fault::Refused { status: 400, message } if !message.starts_with("client version ") => {
            Error::ImageRefused { image: asked.to_owned(), status: 400, message }
        }
        fault => fault.into_error(Operation::InspectImage),
    }
}

fn command(image: &ImageInspect) -> Arc<[String]> {
    let Some(config) = &image.config else { return Arc::default() };
    config.entrypoint.iter().chain(&config.cmd).flatten().cloned().collect()
}

fn has_healthcheck(image: &ImageInspect) -> bool {
    let check = image.config.as_ref().and_then(|config| config.healthcheck.as_ref());
    let test = check.and_then(|check| check.test.as_deref()).unwrap_or_default();
    !matches!(test.first().map(String::as_str), None | Some("" | "NONE"))
}

fn has_volume(image: &ImageInspect) -> bool {
    let volumes = image.config.as_ref().and_then(|config| config.volumes.as_ref());
    volumes.is_some_and(|volumes| !volumes.is_empty())
}
