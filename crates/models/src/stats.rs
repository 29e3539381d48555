//! The histogram of a call: one point per sample of its container, nine measures each, at most 240 points.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The most points that are stored with a call.
pub const MAX_POINTS: usize = 240;

/// The nine measures of one sample. Disk and network count bytes since the container started; memory is bytes at
/// that moment; CPU is percent of one core over the time since the sample before, so two busy cores are 200.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the names are the contract's keys, explained above")]
pub struct Metrics {
    pub cpu_kernel: u64,
    pub cpu_total: u64,
    pub cpu_user: u64,
    pub disk_read: u64,
    pub disk_write: u64,
    pub mem_limit: u64,
    pub mem_usage: u64,
    pub net_rx: u64,
    pub net_tx: u64,
}

impl Metrics {
    /// The measures with their names, in the order of the wire.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, u64); 9] {
        [
            ("cpu_kernel", self.cpu_kernel),
            ("cpu_total", self.cpu_total),
            ("cpu_user", self.cpu_user),
            ("disk_read", self.disk_read),
            ("disk_write", self.disk_write),
            ("mem_limit", self.mem_limit),
            ("mem_usage", self.mem_usage),
            ("net_rx", self.net_rx),
            ("net_tx", self.net_tx),
        ]
    }

    fn average(samples: &[Stat]) -> Self {
        let mean = |measure: fn(&Self) -> u64| {
            let sum: u128 = samples.iter().map(|stat| u128::from(measure(&stat.metrics))).sum();
            u64::try_from(sum / samples.len().max(1) as u128).unwrap_or(u64::MAX)
        };
        Self {
            cpu_kernel: mean(|m| m.cpu_kernel),
            cpu_total: mean(|m| m.cpu_total),
            cpu_user: mean(|m| m.cpu_user),
            disk_read: mean(|m| m.disk_read),
            disk_write: mean(|m| m.disk_write),
            mem_limit: mean(|m| m.mem_limit),
            mem_usage: mean(|m| m.mem_usage),
            net_rx: mean(|m| m.net_rx),
            net_tx: mean(|m| m.net_tx),
        }
    }
}

/// One point of a call's histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    /// When the sample was taken.
    pub timestamp: Timestamp,
    /// What it showed.
    pub metrics: Metrics,
}

impl Stat {
    fn average(samples: &[Self]) -> Option<Self> {
        let n = i128::try_from(samples.len()).ok().filter(|n| *n > 0)?;
        let nanos: i128 = samples.iter().map(|stat| stat.nanos() / n).sum();
        let timestamp = Timestamp::from_millis(i64::try_from(nanos / 1_000_000).unwrap_or_default());
        Some(Self { timestamp, metrics: Metrics::average(samples) })
    }

    fn nanos(&self) -> i128 {
        i128::from(self.timestamp.as_millis()) * 1_000_000
    }
}

/// Brings `samples`, which are in the order of time, to at most `max` points by averaging equal windows of time
/// (v1 contract B.6.2). Windows without a sample yield nothing; the last one takes all that remain.
#[must_use]
pub fn decimate(samples: Vec<Stat>, max: usize) -> Vec<Stat> {
    if samples.len() <= max {
        return samples;
    }
    let (Some(first), Some(last), Ok(windows)) = (samples.first(), samples.last(), i128::try_from(max)) else {
        return Vec::new();
    };
    if windows == 0 {
        return Vec::new();
    }
    let start = first.nanos();
    let width = (last.nanos() - start) / windows;
    let mut points = Vec::with_capacity(max);
    let mut rest = samples.as_slice();
    for window in 1..=windows {
        let end = start + window * width;
        let taken =
            if window == windows { rest.len() } else { rest.iter().take_while(|stat| stat.nanos() <= end).count() };
        let (now, later) = rest.split_at(taken);
        points.extend(Stat::average(now));
        rest = later;
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stat(ms: i64, value: u64) -> Stat {
        Stat {
            timestamp: Timestamp::from_millis(ms),
            metrics: Metrics { cpu_total: value, mem_usage: value, ..Metrics::default() },
        }
    }

    fn every_second(n: i64) -> Vec<Stat> {
        (0..n).map(|second| stat(second * 1000, 1)).collect()
    }

    #[test]
    fn the_contracts_pinned_lengths_hold() {
        for n in [480, 700, 300] {
            assert_eq!(decimate(every_second(n), MAX_POINTS).len(), 240, "{n}");
        }
        for n in [0, 1, 239, 240] {
            let samples = every_second(n);
            assert_eq!(decimate(samples.clone(), MAX_POINTS), samples, "{n}");
        }
        let gap = (0..300).map(|s| stat((if s <= 150 { s } else { s + 20 * 60 }) * 1000, 1)).collect();
        assert_eq!(decimate(gap, MAX_POINTS).len(), 49);
        assert!(decimate(every_second(3), 0).is_empty());
    }

    #[test]
    fn the_contracts_pinned_average_holds() {
        let samples: Vec<Stat> = (0..10).map(|n| stat(n * 60_000, n.unsigned_abs())).collect();
        assert_eq!(Stat::average(&samples), Some(stat(270_000, 4)));
    }

    proptest! {
        #[test]
        fn points_stay_in_order_in_number_and_in_range(
            steps in proptest::collection::vec((0i64..5_000, 0u64..1_000), 0..1_000),
            max in 1usize..300,
        ) {
            let mut at = 1_700_000_000_000;
            let samples: Vec<Stat> = steps.iter().map(|(step, v)| { at += step; stat(at, *v) }).collect();
            let points = decimate(samples.clone(), max);
            prop_assert!(points.len() <= max.max(1));
            prop_assert_eq!(points.is_empty(), samples.is_empty());
            prop_assert!(points.windows(2).all(|w| w[0].timestamp <= w[1].timestamp));
            for point in points {
                prop_assert!(samples.iter().any(|s| s.metrics.cpu_total <= point.metrics.cpu_total));
                prop_assert!(samples.iter().any(|s| s.metrics.cpu_total >= point.metrics.cpu_total));
            }
        }
    }

    #[test]
    fn a_stat_has_the_nine_keys_in_the_order_of_the_wire() {
        let json = serde_json::to_string(&stat(1_795_287_585_162, 7)).unwrap();
        assert_eq!(
            json,
            r#"{"timestamp":"2026-11-21T18:59:45.162Z","metrics":{"cpu_kernel":0,"cpu_total":7,"cpu_user":0,"disk_read":0,"disk_write":0,"mem_limit":0,"mem_usage":7,"net_rx":0,"net_tx":0}}"#
        );
        let names: Vec<String> = stat(0, 0).metrics.named().iter().map(|(name, _)| (*name).to_owned()).collect();
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(names, value["metrics"].as_object().unwrap().keys().cloned().collect::<Vec<_>>());
    }
}
