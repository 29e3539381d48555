//! How long to wait for log lines that come after their answer.

use std::collections::VecDeque;
use std::time::Duration;

/// How the drain window is chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DrainRule {
    pub(crate) shortest: Duration,
    pub(crate) longest: Duration,
}

/// How late, after the answer, a container's log lines have come of late.
#[derive(Debug, Default)]
pub(crate) struct Lateness(VecDeque<Duration>);

impl Lateness {
    /// The greatest of so many stands for the 99th percentile.
    const KEPT: usize = 64;

    pub(crate) fn add(&mut self, latest: Duration) {
        if self.0.len() == Self::KEPT {
            self.0.pop_front();
        }
        self.0.push_back(latest);
    }

    pub(crate) fn window(&self, rule: DrainRule) -> Duration {
        let late = self.0.iter().max().copied().unwrap_or_default();
        (2 * late).clamp(rule.shortest, rule.longest.max(rule.shortest))
    }
}
