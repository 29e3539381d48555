//! The histogram of a call as its column holds it.
//!
//! JSON, because that is what every database and every tool can read, but positions instead of keys: a point is
//! `[ms, cpu_kernel, cpu_total, cpu_user, disk_read, disk_write, mem_limit, mem_usage, net_rx, net_tx]`, a fifth of
//! the bytes that the API's shape takes. The first element of the whole is the version of the shape.

use std::fmt::Write as _;

use hearth_models::{Metrics, Stat, Timestamp};
use serde::Deserialize;

use crate::Source;

const VERSION: u64 = 1;

/// The column's text: `[1,[…],[…]]`.
pub(super) fn encode(stats: &[Stat]) -> String {
    let mut text = String::with_capacity(8 + stats.len() * 64);
    // Writing to a String cannot fail.
    let _ = write!(text, "[{VERSION}");
    for stat in stats {
        let _ = write!(text, ",[{}", stat.timestamp.as_millis());
        for (_, measure) in stat.metrics.named() {
            let _ = write!(text, ",{measure}");
        }
        text.push(']');
    }
    text.push(']');
    text
}

#[derive(Deserialize)]
struct Point(i64, u64, u64, u64, u64, u64, u64, u64, u64, u64);

impl From<Point> for Stat {
    fn from(point: Point) -> Self {
        Self {
            timestamp: Timestamp::from_millis(point.0),
            metrics: Metrics {
                cpu_kernel: point.1,
                cpu_total: point.2,
                cpu_user: point.3,
                disk_read: point.4,
                disk_write: point.5,
                mem_limit: point.6,
                mem_usage: point.7,
                net_rx: point.8,
                net_tx: point.9,
            },
        }
    }
}

/// Reads the column.
pub(super) fn decode(text: &str) -> Result<Vec<Stat>, Source> {
    let parts: Vec<&serde_json::value::RawValue> = serde_json::from_str(text)?;
    let Some((version, points)) = parts.split_first() else {
        return Err("no version".into());
    };
    if serde_json::from_str::<u64>(version.get())? != VERSION {
        return Err(format!("version {version} is not known here").into());
    }
    let point = |raw: &&serde_json::value::RawValue| Ok(serde_json::from_str::<Point>(raw.get())?.into());
    points.iter().map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_text_is_what_the_module_says() {
        let stat = Stat {
            timestamp: Timestamp::from_millis(7),
            metrics: Metrics { cpu_kernel: 1, net_tx: u64::MAX, ..Metrics::default() },
        };
        assert_eq!(encode(&[stat]), "[1,[7,1,0,0,0,0,0,0,0,18446744073709551615]]");
        assert!(decode("[2]").is_err() && decode("[]").is_err() && decode("[1,[7]]").is_err());
    }

    proptest! {
        #[test]
        fn points_come_back_as_they_were(points in proptest::collection::vec(any::<(i64, [u64; 9])>(), 0..5)) {
            let stats: Vec<Stat> = points
                .iter()
                .map(|(ms, [a, b, c, d, e, f, g, h, i])| Point(*ms, *a, *b, *c, *d, *e, *f, *g, *h, *i).into())
                .collect();
            prop_assert_eq!(decode(&encode(&stats)).unwrap(), stats);
        }
    }
}
