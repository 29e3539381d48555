//! Durations as load balancers of the contract read them in `XXX-FXLB-WAIT`: `48.285µs`, `360.413955ms`, `10.005s`,
//! `1h0m2.5s`.

use std::fmt;
use std::time::Duration;

/// A duration that displays in the contract's form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait(pub(crate) Duration);

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Half a millennium; longer waits are cut.
        let nanos = u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX);
        match nanos {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{nanos}ns"),
            1_000..1_000_000 => write_decimal(f, nanos, 1_000, "µs"),
            1_000_000..1_000_000_000 => write_decimal(f, nanos, 1_000_000, "ms"),
            _ => write_from_seconds(f, nanos),
        }
    }
}

fn write_from_seconds(f: &mut fmt::Formatter<'_>, nanos: u64) -> fmt::Result {
    const SECOND: u64 = 1_000_000_000;
    const MINUTE: u64 = 60 * SECOND;
    let minutes = nanos / MINUTE;
    if minutes >= 60 {
        write!(f, "{}h", minutes / 60)?;
    }
    if minutes > 0 {
        write!(f, "{}m", minutes % 60)?;
    }
    write_decimal(f, nanos % MINUTE, SECOND, "s")
}

/// Writes `value / unit`, a power of ten, with as many decimals as it has, and no more.
fn write_decimal(f: &mut fmt::Formatter<'_>, value: u64, unit: u64, name: &str) -> fmt::Result {
    let (whole, mut fraction) = (value / unit, value % unit);
    if fraction == 0 {
        return write!(f, "{whole}{name}");
    }
    let mut decimals = unit.ilog10() as usize;
    while fraction.is_multiple_of(10) {
        fraction /= 10;
        decimals -= 1;
    }
    write!(f, "{whole}.{fraction:0decimals$}{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_the_contract_writes_them() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (999, "999ns"),
            (1_000, "1µs"),
            (48_285, "48.285µs"),
            (1_000_000, "1ms"),
            (360_413_955, "360.413955ms"),
            (999_999_999, "999.999999ms"),
            (1_000_000_000, "1s"),
            (10_005_000_000, "10.005s"),
            (1_000_000_001, "1.000000001s"),
            (60_000_000_000, "1m0s"),
            (61_500_000_000, "1m1.5s"),
            (3_600_000_000_000, "1h0m0s"),
            (3_602_500_000_000, "1h0m2.5s"),
            (90_061_000_000_000, "25h1m1s"),
        ] {
            assert_eq!(Wait(Duration::from_nanos(nanos)).to_string(), text);
        }
    }
}
