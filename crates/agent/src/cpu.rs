//! Whether the node's CPUs have room for one more container.

use tokio::time::Instant;

/// Idle share from which on the CPUs count as having room.
const ROOM: f64 = 0.10;
/// The share is measured over at least this long.
const WINDOW: std::time::Duration = std::time::Duration::from_millis(50);

/// Measures the idle share of all CPUs. Where the system does not tell, there is room.
#[derive(Debug, Default)]
pub(crate) struct CpuMeter {
    before: Option<(Instant, Times)>,
    room: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Times {
    idle: u64,
    all: u64,
}

impl CpuMeter {
    pub(crate) fn has_room(&mut self, now: Instant) -> bool {
        let due = self.before.is_none_or(|(at, _)| now.saturating_duration_since(at) >= WINDOW);
        let read = || std::fs::read_to_string("/proc/stat").ok().as_deref().and_then(parse);
        if let Some(times) = due.then(read).flatten()
            && let Some((_, before)) = self.before.replace((now, times))
        {
            self.room = Some(idle_share(before, times) >= ROOM);
        }
        self.room.unwrap_or(true)
    }
}

/// Reads the first line of `/proc/stat`: user nice system idle iowait irq softirq steal.
fn parse(stat: &str) -> Option<Times> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(8);
    let numbers: Vec<u64> = fields.map(str::parse).collect::<Result<_, _>>().ok()?;
    let idle = numbers.get(3)? + numbers.get(4)?;
    Some(Times { idle, all: numbers.iter().sum() })
}

#[expect(clippy::cast_precision_loss, reason = "a share of ticks")]
fn idle_share(before: Times, after: Times) -> f64 {
    let all = after.all.saturating_sub(before.all);
    if all == 0 { 1.0 } else { after.idle.saturating_sub(before.idle) as f64 / all as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_idle_share_is_that_of_the_time_between_two_readings() {
        let before = parse("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2 3 4").unwrap();
        let after = parse("cpu  190 0 50 805 55 0 0 0 0 0\n").unwrap();
        assert_eq!(before, Times { idle: 850, all: 1000 });
        assert!((idle_share(before, after) - 0.1).abs() < 1e-9);
        assert_eq!(parse("garbage"), None);
    }
}
