//! Running averages of durations.

use std::time::Duration;

/// An exponentially weighted average that one outlier cannot carry away.
#[derive(Clone, Copy, Debug)]
pub(super) struct Average {
    seconds: Option<f64>,
}

impl Average {
    const WEIGHT: f64 = 0.1;
    /// A sample counts as at most this many times the average so far.
    const CLIP: f64 = 8.0;

    pub(super) const fn new() -> Self {
        Self { seconds: None }
    }

    pub(super) fn add(&mut self, sample: Duration) {
        let sample = sample.as_secs_f64();
        self.seconds = Some(match self.seconds {
            None => sample,
            // Below a tenth of a millisecond everything is noise: it must not hold the clip down.
            Some(mean) => mean + Self::WEIGHT * (sample.min(Self::CLIP * mean.max(1e-4)) - mean),
        });
    }

    /// There was a sample.
    pub(super) const fn is_known(self) -> bool {
        self.seconds.is_some()
    }

    /// The average in seconds, or `default` before the first sample.
    pub(super) fn seconds_or(self, default: f64) -> f64 {
        self.seconds.unwrap_or(default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outlier_moves_the_average_little_and_a_change_moves_it_soon() {
        let mut average = Average::new();
        (0..50).for_each(|_| average.add(Duration::from_millis(1)));
        average.add(Duration::from_secs(30));
        assert!(average.seconds_or(0.0) < 0.002);
        (0..100).for_each(|_| average.add(Duration::from_secs(1)));
        assert!(average.seconds_or(0.0) > 0.9);
    }
}
