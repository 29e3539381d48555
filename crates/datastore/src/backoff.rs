//! How long to wait between tries.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Waits that double from `first` to `longest`, each shortened by up to a half at random, so that servers that lost
/// the same database do not come back to it in step.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self { next: first, longest }
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let full = self.next;
        self.next = (full * 2).min(self.longest);
        // Every RandomState hashes differently, which is random enough to spread tries.
        let random = u16::try_from(RandomState::new().hash_one(0u8) & 0xff).unwrap_or_default();
        Some(full.mul_f64(1.0 - f64::from(random) / 512.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_vary_by_at_most_a_half() {
        let longest = Duration::from_millis(800);
        let waits: Vec<Duration> = Backoff::new(Duration::from_millis(100), longest).take(6).collect();
        for (wait, full) in waits.iter().zip([100, 200, 400, 800, 800, 800]) {
            let full = Duration::from_millis(full);
            assert!(*wait <= full && *wait >= full / 2, "{wait:?} of {full:?}");
        }
    }
}
