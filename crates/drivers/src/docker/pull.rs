//! Pulling images.
//!
//! A refusal is final at once. A registry that cannot be reached, or that breaks, gets three tries within three
//! seconds; after that it is the caller's to wait, and the launch policy's to come back later. One that says nothing
//! at all cannot be reached either, and takes up all of the three seconds: asking a slow one anew would only make it
//! begin anew. A pull that has begun may take much longer.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::query_parameters::{CreateImageOptions, CreateImageOptionsBuilder};
use futures_util::TryStreamExt;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::backoff::Backoff;
use super::credentials::Credentials;
use super::engine::{Engine, Fault};
use super::observer::Operation;
use super::reference::Reference;
use crate::Error;

const TRIES: usize = 3;

/// No try begins later than this after the first.
const WINDOW: Duration = Duration::from_secs(3);

/// A registry that has said nothing for so long counts as unreachable. A slow one may take some seconds for its first
/// answer, when it has to ask another registry itself; callers wait for half their timeout, 15 s by default.
const SILENCE: Duration = Duration::from_secs(10);

/// Pulls at a time. The engine has its own limit on layers; this one keeps a burst of broken functions from
/// holding a connection each.
const CONCURRENT: usize = 32;

/// Pulls at a time from one registry, so that one in trouble leaves room for the others.
const CONCURRENT_OF_ONE: usize = 8;

/// Pulls images, with what the operator configured.
#[derive(Debug)]
pub(super) struct Puller {
    engine: Arc<Engine>,
    credentials: Credentials,
    /// How long one pull may take.
    limit: Duration,
    slots: Semaphore,
    /// The slots of each registry that is pulled from, or waited for.
    registries: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// What a failed try means.
enum Verdict {
    Final(Error),
    Again(String),
}

// === impl Puller ===

impl Puller {
    pub(super) fn new(engine: Arc<Engine>, credentials: Credentials, limit: Duration) -> Self {
        Self { engine, credentials, limit, slots: Semaphore::new(CONCURRENT), registries: Mutex::default() }
    }

    /// Pulls `reference`, which was asked for as `asked`.
    pub(super) async fn pull(&self, asked: &str, reference: &Reference) -> Result<(), Error> {
        let registry = self.slots_of(reference.registry());
        // That of the registry comes first: who waits for it holds nothing that others need.
        let slots = async { (registry.acquire().await, self.slots.acquire().await) };
        let Ok(_slots) = timeout(self.limit, slots).await else {
            tracing::warn!(image = asked, "its pull could not begin: too many are under way");
            return Err(Error::PullTimedOut { image: asked.to_owned(), limit: self.limit });
        };
        let credentials = self.credentials.of(reference.registry()).await;
        let begin = Instant::now();
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(1));
        let mut tries = 0;
        loop {
            let Err(fault) = self.attempt(reference, credentials.clone(), begin + SILENCE).await else {
                tracing::info!(image = asked, duration_ms = begin.elapsed().as_millis(), "pulled an image");
                return Ok(());
            };
            tries += 1;
            let message = match judge(asked, fault) {
                Verdict::Final(error) => return Err(error),
                Verdict::Again(message) => message,
            };
            let pause = backoff.pause();
            if tries == TRIES || begin.elapsed() + pause > WINDOW {
                return Err(Error::ImageUnreachable { image: asked.to_owned(), message });
            }
            sleep(pause).await;
        }
    }

    /// Pulls; gives up at `end` when there was no progress until then.
    async fn attempt(
        &self,
        reference: &Reference,
        credentials: Option<DockerCredentials>,
        end: Instant,
    ) -> Result<(), Fault> {
        let options: CreateImageOptions =
            CreateImageOptionsBuilder::new().from_image(&reference.name()).tag(reference.version()).build();
        let progress = self.engine.api().create_image(Some(options), None, credentials);
        // The engine reports its progress from the registry's first answer until it is done. Only its beginning and
        // the end matter.
        let request = async {
            let mut progress = pin!(progress);
            match timeout_at(end, progress.try_next()).await {
                Ok(Ok(Some(_))) => progress.try_for_each(async |_| Ok(())).await.map_err(Fault::from),
                Ok(Ok(None)) => Ok(()),
                Ok(Err(error)) => Err(error.into()),
                Err(_) => Err(Fault::Silent(SILENCE)),
            }
        };
        self.engine.call(Operation::PullImage, self.limit, request).await
    }

    fn slots_of(&self, registry: &str) -> Arc<Semaphore> {
        // A map of registries is whole whatever happened to who changed it.
        let mut registries = self.registries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slots) = registries.get(registry).and_then(Weak::upgrade) {
            return slots;
        }
        registries.retain(|_, slots| slots.strong_count() > 0);
        let slots = Arc::new(Semaphore::new(CONCURRENT_OF_ONE));
        registries.insert(registry.to_owned(), Arc::downgrade(&slots));
        slots
    }
}

fn judge(asked: &str, fault: Fault) -> Verdict {
    let image = asked.to_owned();
    let refused = |status, message| Verdict::Final(Error::ImageRefused { image: image.clone(), status, message });
    match fault {
        Fault::Refused { status: status @ 400..500, message } => refused(status, message),
        // The engine answers 500 for some refusals of a registry, and has no status once it began to report.
        Fault::Refused { message, .. } | Fault::Broken { message } => match refusal(&message) {
            Some(status) => refused(status, message),
            None => Verdict::Again(message),
        },
        Fault::Silent(_) => Verdict::Again(fault.message()),
        Fault::Late(limit) => Verdict::Final(Error::PullTimedOut { image, limit }),
        Fault::Away(_) | Fault::Nonsense(_) => Verdict::Final(fault.into_error(Operation::PullImage)),
    }
}

/// The status that a registry's error code stands for, where the engine left only the words. They are those of the
/// OCI distribution specification, in lower case and with a colon.
fn refusal(message: &str) -> Option<u16> {
    let codes = [
        ("toomanyrequests:", 429),
        ("unauthorized:", 401),
        // The engine's own words when it was asked for a password and has none.
        ("no basic auth credentials", 401),
        ("denied:", 403),
        ("manifest unknown", 404),
        ("name unknown", 404),
        ("no matching manifest for ", 404),
    ];
    codes.iter().find_map(|(code, status)| message.contains(code).then_some(*status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_from_a_registry_in_trouble() {
        let status = |fault| match judge("i", fault) {
            Verdict::Final(Error::ImageRefused { status, .. }) => Some(status),
            Verdict::Final(other) => panic!("{other:?}"),
            Verdict::Again(_) => None,
        };
        let refused = |status, message: &str| Fault::Refused { status, message: message.to_owned() };
        assert_eq!(status(refused(404, "pull access denied")), Some(404));
        assert_eq!(status(refused(500, "toomanyrequests: slow down")), Some(429));
        assert_eq!(status(refused(500, "unauthorized: who are you")), Some(401));
        assert_eq!(status(refused(500, "Get \"http://h/v2/\": dial tcp: connection refused")), None);
        assert_eq!(status(refused(503, "busy")), None);
        let broken = |message: &str| Fault::Broken { message: message.to_owned() };
        assert_eq!(status(broken("denied: requested access to the resource is denied")), Some(403));
        assert_eq!(status(broken("unexpected EOF")), None);
    }

    #[test]
    fn an_engine_that_is_away_is_not_the_registrys_fault() {
        let Verdict::Final(error) = judge("i", Fault::Away(None)) else { panic!("tried again") };
        assert!(error.is_engine_away());
    }
}
