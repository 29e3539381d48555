//! How long to wait before trying again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Pauses that double from a first to a last one, each shortened at random by up to half, so that those who failed
/// together do not come back together.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    next: Duration,
    last: Duration,
}

// === impl Backoff ===

impl Backoff {
    pub(super) const fn new(first: Duration, last: Duration) -> Self {
        Self { next: first, last }
    }

    /// The next pause. There is always one: whoever waits knows when to give up.
    pub(super) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.last);
        pause.mul_f64(random().midpoint(1.0))
    }
}

/// A number in 0..1. Every `RandomState` is seeded anew, which is random enough to spread retries.
fn random() -> f64 {
    let bits = u32::try_from(RandomState::new().hash_one(()) >> 32).unwrap_or_default();
    f64::from(bits) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_last_and_differ() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(100), ms(350));
        for whole in [100, 200, 350, 350] {
            let pause = backoff.pause();
            assert!(ms(whole / 2) <= pause && pause <= ms(whole), "{pause:?} of {whole} ms");
        }
        let firsts: Vec<_> = (0..8).map(|_| Backoff::new(ms(1000), ms(1000)).pause()).collect();
        assert!(firsts.iter().any(|pause| *pause != firsts[0]));
    }
}
