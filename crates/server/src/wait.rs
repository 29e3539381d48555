//! Durations as load balancers of the contract read them in `XXX-FXLB-WAIT`: `48.285µs`, `360.413955ms`, `10.005s`,
//! `1h0m2.5s`.

use std::fmt;
use std::time::Duration;

/// A duration that displays in the contract's form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait(pub(crate) Duration);

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        match nanos {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{nanos}ns"),
            1_000..1_000_000 => write_decimal(f, nanos, 1_000, "µs"),
            1_000_000..1_000_000_000 => write_decimal(f, nanos, 1_000_000, "ms"),
            _ => write_from_seconds(f, nanos),
        }
    }
}

fn write_from_seconds(f: &mut fmt::Formatter<'_>, nanos: u128) -> fmt::Result {
    const SECOND: u128 = 1_000_000_000;
    const MINUTE: u128 = 60 * SECOND;
    let minutes = nanos / MINUTE;
    if minutes >= 60 {
        write!(f, "{}h", minutes / 60)?;
    }
    if minutes > 0 {
        write!(f, "{}m", minutes % 60)?;
    }
    write_decimal(f, nanos % MINUTE, SECOND, "s")
}

/// Writes `value / unit` with as many decimals as it has, and no more.
fn write_decimal(f: &mut fmt::Formatter<'_>, value: u128, unit: u128, name: &str) -> fmt::Result {
    write!(f, "{}", value / unit)?;
    let (mut fraction, mut place) = (value % unit, unit / 10);
    if fraction > 0 {
        f.write_str(".")?;
    }
    while fraction > 0 {
        write!(f, "{}", fraction / place)?;
        fraction %= place;
        place /= 10;
    }
    f.write_str(name)
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
