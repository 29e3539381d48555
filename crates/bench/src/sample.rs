//! What was measured in one window, and the figures made of it.

use std::time::Duration;

use serde::Serialize;

use crate::usage::Usage;

/// One measurement. Latencies are kept one by one: a window has some ten thousand, and percentiles are exact.
#[derive(Debug, Default)]
pub(crate) struct Window {
    /// Ascending once closed.
    latencies: Vec<Duration>,
    elapsed: Duration,
    pub(crate) errors: usize,
    pub(crate) first_error: Option<String>,
    /// What the server used meanwhile; none where it had nothing to do with it.
    pub(crate) server: Option<Usage>,
}

/// The figures of one window. Times are microseconds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) calls: usize,
    pub(crate) calls_per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) max_us: f64,
    pub(crate) errors: usize,
    pub(crate) first_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server: Option<Usage>,
}

// === impl Window ===

impl Window {
    /// What was seen of calls that nobody waited for, and what the server used.
    pub(crate) fn observed(latencies: Vec<Duration>, elapsed: Duration, server: Usage) -> Self {
        let mut window = Self { server: Some(server), ..Self::default() };
        window.add(latencies, 0, None);
        window.close(elapsed);
        window
    }

    pub(crate) fn add(&mut self, latencies: Vec<Duration>, errors: usize, first_error: Option<String>) {
        if self.latencies.is_empty() {
            self.latencies = latencies;
        } else {
            self.latencies.extend(latencies);
        }
        self.errors += errors;
        self.first_error = self.first_error.take().or(first_error);
    }

    pub(crate) fn close(&mut self, elapsed: Duration) {
        self.latencies.sort_unstable();
        self.elapsed = elapsed;
    }

    pub(crate) fn calls(&self) -> usize {
        self.latencies.len()
    }

    pub(crate) fn into_figures(self) -> Figures {
        Figures {
            calls: self.calls(),
            calls_per_second: ratio(self.calls(), self.elapsed.as_secs_f64()),
            p50_us: self.percentile(50.0),
            p90_us: self.percentile(90.0),
            p99_us: self.percentile(99.0),
            max_us: self.percentile(100.0),
            errors: self.errors,
            first_error: self.first_error,
            server: self.server,
        }
    }

    /// The least latency that `percent` of all calls do not exceed, in microseconds; not a number without any call.
    fn percentile(&self, percent: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 calls")]
        let rank = (percent / 100.0 * self.calls() as f64).ceil();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the number of calls"
        )]
        let index = (rank as usize).saturating_sub(1);
        self.latencies.get(index).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e6)
    }
}

// === impl Figures ===

impl Figures {
    /// Processor time of the server for one call, in microseconds.
    pub(crate) fn cpu_us_per_call(&self) -> Option<f64> {
        let used = self.server.as_ref()?.cpu_seconds * 1e6;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 calls")]
        Some(used / self.calls as f64)
    }
}

fn ratio(count: usize, seconds: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 calls")]
    let count = count as f64;
    count / seconds
}

/// The one in the middle, or the mean of the two there; not a number of nothing.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    let (upper, lower) = (values.len() / 2, values.len().saturating_sub(1) / 2);
    match (values.get(lower), values.get(upper)) {
        (Some(lower), Some(upper)) => f64::midpoint(*lower, *upper),
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_latencies_that_were_measured() {
        let mut window = Window::default();
        window.add((51..=100).rev().map(Duration::from_micros).collect(), 0, None);
        window.add((1..=50).map(Duration::from_micros).collect(), 2, Some("why".to_owned()));
        window.close(Duration::from_secs(2));
        let figures = window.into_figures();
        let times = [figures.p50_us, figures.p90_us, figures.p99_us, figures.max_us].map(f64::round);
        assert_eq!(times, [50.0, 90.0, 99.0, 100.0]);
        assert_eq!((figures.calls, figures.calls_per_second.round(), figures.errors), (100, 50.0, 2));
    }

    #[test]
    fn nothing_measured_is_not_a_number() {
        assert!(Window::default().into_figures().p50_us.is_nan());
        assert!(median([]).is_nan());
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!([median([3.0, 1.0, 2.0]), median([4.0, 1.0, 2.0, 3.0])].map(f64::round), [2.0, 3.0]);
        assert!((median([4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
    }
}
