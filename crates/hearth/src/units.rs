//! Durations and sizes as people write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A duration: a whole number and its unit (`250us`, `30s`, `10m`), or several of them (`2m5s`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

/// A size: a whole number of bytes, with or without a unit (`4096`, `64MiB`, `1GB`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteSize(pub(crate) u64);

/// What a duration or a size should have looked like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub(crate) struct Expected(&'static str);

const SPAN: Expected = Expected("a whole number and a unit (us, ms, s, m, h or d), like 30s");
const SIZE: Expected = Expected("a whole number of bytes or one with a unit (KiB, MiB, GiB, kB, MB, GB), like 64MiB");

impl FromStr for Span {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        let (number, rest) = split(text).ok_or(SPAN)?;
        let (unit, rest) = rest.split_at(rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len()));
        let micros = match unit.trim_end() {
            "us" | "µs" => 1,
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" => 60 * 1_000_000,
            "h" => 3_600 * 1_000_000,
            "d" => 86_400 * 1_000_000,
            _ => return Err(SPAN),
        };
        let first = number.checked_mul(micros).map(Duration::from_micros).ok_or(SPAN)?;
        let more = if rest.is_empty() { Self(Duration::ZERO) } else { rest.parse()? };
        first.checked_add(more.0).map(Self).ok_or(SPAN)
    }
}

impl FromStr for ByteSize {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        let (number, unit) = split(text).ok_or(SIZE)?;
        let bytes = match unit {
            "" | "B" => 1,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return Err(SIZE),
        };
        number.checked_mul(bytes).map(Self).ok_or(SIZE)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        match units.iter().find(|(_, bytes)| self.0 >= *bytes) {
            Some((unit, bytes)) => write!(f, "{} {unit}", self.0 / bytes),
            None => write!(f, "{} B", self.0),
        }
    }
}

/// Bytes for people to compare: in the largest unit that makes them at least 1, with one decimal.
pub(crate) fn human(bytes: u64) -> String {
    let units = [("TiB", 1_u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.iter().find(|(_, size)| bytes >= *size) {
        // Whole numbers all the way: tenths of the unit, rounded down.
        Some((unit, size)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(*size);
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_number_and_a_unit() {
        for (text, micros) in [
            ("0s", 0),
            ("250us", 250),
            ("250 µs", 250),
            ("5ms", 5_000),
            (" 30s ", 30_000_000),
            ("2h", 7_200_000_000),
            ("30d", 2_592_000_000_000),
            ("2m5s", 125_000_000),
            ("1h 0m 1ms", 3_600_001_000),
        ] {
            assert_eq!(text.parse(), Ok(Span(Duration::from_micros(micros))), "{text}");
        }
        for text in
            ["", "s", "30", "1.5s", "-1s", "30sec", "99999999999999999999s", "18446744073709551615h", "5s30", "1m-1s"]
        {
            assert_eq!(text.parse::<Span>(), Err(SPAN), "{text}");
        }
    }

    #[test]
    fn sizes_are_bytes_unless_they_say_otherwise() {
        for (text, bytes) in
            [("0", 0), ("4096", 4096), ("1kB", 1000), ("64MiB", 64 << 20), ("2 GiB", 2 << 30), ("1B", 1)]
        {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in ["", "MiB", "1.5GiB", "-1", "1 mib", "99999999TiB"] {
            assert_eq!(text.parse::<ByteSize>(), Err(SIZE), "{text}");
        }
        assert_eq!(ByteSize(3 << 29).to_string(), "1 GiB");
        assert_eq!(ByteSize(12).to_string(), "12 B");
    }
}
