//! Which image a reference names, with a memory of what could not be had.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hearth_drivers::{Driver, Found};
use hearth_models::{Error, Format};
use tokio::time::Instant;

use crate::Invocation;
use crate::slots::back_off;

/// References that failed of late and are remembered.
const REMEMBERED: usize = 1_000;

/// Asks the driver for images. A reference that failed more than once in a row is answered from memory for a
/// while, so that a registry that is down, or an image that is not there, is not asked for at every call.
#[derive(Debug)]
pub(crate) struct Images {
    driver: Arc<dyn Driver>,
    allows_volumes: bool,
    failures: Mutex<HashMap<String, Failures>>,
}

#[derive(Debug)]
struct Failures {
    count: u32,
    error: Error,
    at: Instant,
    until: Instant,
}

impl Images {
    /// With `allows_volumes`, images of `http-stream` functions may declare volumes.
    pub(crate) fn new(driver: Arc<dyn Driver>, allows_volumes: bool) -> Self {
        Self { driver, allows_volumes, failures: Mutex::default() }
    }

    /// The image of a call's function.
    pub(crate) async fn get(&self, invocation: &Invocation) -> Result<Found, Error> {
        let reference = &invocation.function.image;
        if let Some(error) = self.remembered(reference) {
            return Err(error);
        }
        let asked_at = Instant::now();
        match self.driver.find(reference).await {
            Ok(found) => {
                self.forget(reference);
                // A volume is where a container whose file system is read-only may write to, as much as the disk holds.
                // Nothing is remembered of it: in the formats of API v1, which may write anyway, the same image is fine.
                let is_refused = found.image.has_volume && !self.allows_volumes;
                if is_refused && invocation.function.format == Format::HttpStream {
                    return Err(Error::ImageHasVolume);
                }
                Ok(found)
            }
            Err(error) => {
                let route = invocation.trigger.as_ref().map(|trigger| trigger.source.as_str());
                tracing::warn!(
                    call.id = %invocation.id, app = invocation.app.name, route, image = reference,
                    error = %hearth_drivers::Chain(&error), "image could not be had"
                );
                let told = crate::client_error(&error);
                if !error.is_engine_away() {
                    self.remember(reference, &told, asked_at);
                }
                Err(told)
            }
        }
    }

    fn remembered(&self, reference: &str) -> Option<Error> {
        let failures = self.lock();
        let known = failures.get(reference)?;
        (known.count > 1 && known.until > Instant::now()).then(|| known.error.clone())
    }

    fn forget(&self, reference: &str) {
        let mut failures = self.lock();
        if !failures.is_empty() {
            failures.remove(reference);
        }
    }

    /// Everyone who asked while one try was under way hears of its failure; it counts once.
    fn remember(&self, reference: &str, error: &Error, asked_at: Instant) {
        let now = Instant::now();
        let mut failures = self.lock();
        if failures.len() >= REMEMBERED {
            failures.retain(|_, known| known.until > now);
        }
        if failures.len() >= REMEMBERED {
            return;
        }
        if failures.get(reference).is_some_and(|known| known.at >= asked_at) {
            return;
        }
        let count = failures.get(reference).map_or(0, |known| known.count).saturating_add(1);
        let known = Failures { count, error: error.clone(), at: now, until: now + back_off(count) };
        failures.insert(reference.to_owned(), known);
    }

    /// Nothing is left half changed by panicking, so poison is no reason to stop.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
