//! Durations as load balancers of the contract read them in `XXX-FXLB-WAIT`: `48.285µs`, `360.413955ms`, `10.005s`,
//! `1h0m2.5s`.

use std::time::Duration;

/// A duration as the contract has it, written from its end: the last digit of a number is the first that is known.
#[derive(Debug)]
pub(crate) struct Wait {
    text: [u8; Self::LONGEST],
    from: usize,
}

impl Wait {
    /// That of `u64::MAX` nanoseconds has 24 bytes.
    const LONGEST: usize = 24;

    pub(crate) fn of(waited: Duration) -> Self {
        // Half a millennium; longer waits are cut.
        let nanos = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX);
        let mut wait = Self { text: [0; Self::LONGEST], from: Self::LONGEST };
        match nanos {
            0 => wait.name("0s"),
            1..1_000 => wait.decimal(nanos, 1, "ns"),
            1_000..1_000_000 => wait.decimal(nanos, 1_000, "µs"),
            1_000_000..1_000_000_000 => wait.decimal(nanos, 1_000_000, "ms"),
            _ => wait.seconds(nanos),
        }
        wait
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.text[self.from..]
    }

    fn seconds(&mut self, nanos: u64) {
        const SECOND: u64 = 1_000_000_000;
        const MINUTE: u64 = 60 * SECOND;
        let minutes = nanos / MINUTE;
        self.decimal(nanos % MINUTE, SECOND, "s");
        if minutes > 0 {
            self.decimal(minutes % 60, 1, "m");
        }
        if minutes >= 60 {
            self.decimal(minutes / 60, 1, "h");
        }
    }

    /// Writes `value / unit`, a power of ten, with as many decimals as it has, and no more.
    fn decimal(&mut self, value: u64, unit: u64, name: &str) {
        self.name(name);
        let (mut whole, mut fraction) = (value / unit, value % unit);
        let decimals = if fraction == 0 { 0 } else { unit.ilog10() - trailing_zeros(&mut fraction) };
        for _ in 0..decimals {
            self.digit(&mut fraction);
        }
        if decimals > 0 {
            self.name(".");
        }
        self.digit(&mut whole);
        while whole > 0 {
            self.digit(&mut whole);
        }
    }

    fn digit(&mut self, number: &mut u64) {
        self.from -= 1;
        self.text[self.from] = b'0' + (*number % 10) as u8;
        *number /= 10;
    }

    fn name(&mut self, name: &str) {
        let to = self.from;
        self.from -= name.len();
        self.text[self.from..to].copy_from_slice(name.as_bytes());
    }
}

/// Takes the zeros from the end of `number`, which is not zero, and tells how many there were.
fn trailing_zeros(number: &mut u64) -> u32 {
    let mut zeros = 0;
    while number.is_multiple_of(10) {
        *number /= 10;
        zeros += 1;
    }
    zeros
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
            (u64::MAX, "5124095h34m33.709551615s"),
        ] {
            assert_eq!(Wait::of(Duration::from_nanos(nanos)).as_bytes(), text.as_bytes());
        }
    }
}
