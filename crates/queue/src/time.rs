//! The time that the queue goes by: the store's.
//!
//! Leases are given out by one server and lapse in the eyes of another, so all of them have to go by one clock, and the
//! database has one. It is read now and then, and counted on by this process's monotonic clock in between: neither a
//! server whose clock is wrong nor one whose clock is set lets the leases of others lapse.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hearth_models::Timestamp;
use tokio::time::Instant;

/// A reading of the store's clock.
#[derive(Clone, Copy, Debug)]
struct Reading {
    time: Timestamp,
    at: Instant,
}

impl Reading {
    fn now(self) -> Timestamp {
        self.time.after(self.at.elapsed())
    }
}

/// The store's clock as this process knows it.
#[derive(Debug, Default)]
pub(crate) struct QueueTime {
    reading: Mutex<Option<Reading>>,
}

impl QueueTime {
    /// Now. Until the clock was read for the first time, as this host has it.
    pub(crate) fn now(&self) -> Timestamp {
        self.known().map_or_else(Timestamp::now, Reading::now)
    }

    /// The store's clock says `time`. Returns how far that is from what was expected; nothing was, the first time.
    pub(crate) fn set(&self, time: Timestamp) -> Duration {
        let known = self.known();
        let reading = Reading { time, at: Instant::now() };
        *self.reading.lock().unwrap_or_else(PoisonError::into_inner) = Some(reading);
        known.map_or(Duration::ZERO, |known| known.now().since(time).max(time.since(known.now())))
    }

    /// A reading is whole whatever happened to who set it, so poison is no reason to stop.
    fn known(&self) -> Option<Reading> {
        *self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_795_287_584_890).after(Duration::from_secs(seconds))
    }

    #[tokio::test(start_paused = true)]
    async fn between_two_readings_time_passes_evenly() {
        let time = QueueTime::default();
        assert_eq!(time.set(at(0)), Duration::ZERO);
        assert_eq!(time.now(), at(0));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(time.now(), at(10));
        assert_eq!(time.set(at(10)), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_was_set_is_noticed_and_followed() {
        let time = QueueTime::default();
        time.set(at(100));
        assert_eq!(time.set(at(160)), Duration::from_secs(60));
        assert_eq!(time.set(at(40)), Duration::from_secs(120));
        assert_eq!(time.now(), at(40));
    }
}
