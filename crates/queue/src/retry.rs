//! What happens to a call that failed for a reason which is not its function's.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::time::Duration;

/// Waits that double with every attempt, and a bound after which a call is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The wait after the first attempt.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// Attempts in all.
    pub attempts: NonZeroU32,
}

impl RetryPolicy {
    /// How long to wait after attempt number `attempt` has failed; none when it was the last. Every wait is shortened by
    /// up to a half at random, so that calls that failed together do not come back together.
    #[must_use]
    pub fn wait_after(&self, attempt: u32) -> Option<Duration> {
        if attempt >= self.attempts.get() {
            return None;
        }
        let doubled = 1u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        let full = self.first.saturating_mul(doubled).min(self.longest);
        // Every RandomState hashes differently, which is random enough to spread tries.
        let random = u16::try_from(RandomState::new().hash_one(0u8) & 0xff).unwrap_or_default();
        Some(full.mul_f64(1.0 - f64::from(random) / 512.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(attempts: u32) -> RetryPolicy {
        let attempts = NonZeroU32::new(attempts).unwrap();
        RetryPolicy { first: Duration::from_secs(1), longest: Duration::from_secs(60), attempts }
    }

    #[test]
    fn waits_double_up_to_the_longest_and_vary_by_at_most_a_half() {
        for (attempt, full) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (31, 60), (32, 60), (99, 60)] {
            let full = Duration::from_secs(full);
            let wait = policy(100).wait_after(attempt).unwrap();
            assert!(wait <= full && wait >= full / 2, "{attempt}: {wait:?} of {full:?}");
        }
    }

    #[test]
    fn the_last_attempt_is_not_followed_by_another() {
        assert!(policy(3).wait_after(2).is_some());
        assert_eq!(policy(3).wait_after(3), None);
        assert_eq!(policy(3).wait_after(u32::MAX), None);
        assert_eq!(policy(1).wait_after(1), None);
    }
}
