//! Wall-clock time as the contract writes it: UTC, RFC 3339, exactly three fractional digits and `Z`.

use std::fmt;
use std::ops::Range;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time, in whole milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The text is not an RFC 3339 date-time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 date-time")]
pub struct InvalidTime;

impl Timestamp {
    /// The time that stands for "not yet" on the wire: `0001-01-01T00:00:00.000Z`.
    pub const ZERO: Self = Self(-62_135_596_800_000);

    /// Now. Here and below are the only places where Hearth reads the wall clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one function the ban points to")]
    pub fn now() -> Self {
        let since_epoch = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    /// Now, in microseconds since the Unix epoch, for what is finer than a record.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "as above")]
    pub fn micros_now() -> u64 {
        let since_epoch = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)
    }

    /// The time `ms` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The time from `earlier` to this one, zero when the clock went backwards.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This time moved forward.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// A time as its 24 characters. Times are written with every call, and a reader of format strings would take ten times as long.
struct Text([u8; 24]);

impl Text {
    fn of(time: Timestamp) -> Result<Self, fmt::Error> {
        let time = jiff::Timestamp::from_millisecond(time.0).map_err(|_| fmt::Error)?;
        let time = jiff::tz::Offset::UTC.to_datetime(time);
        let mut text = Self(*b"0000-00-00T00:00:00.000Z");
        text.write(0..4, time.year())?;
        text.write(5..7, time.month().into())?;
        text.write(8..10, time.day().into())?;
        text.write(11..13, time.hour().into())?;
        text.write(14..16, time.minute().into())?;
        text.write(17..19, time.second().into())?;
        text.write(20..23, time.millisecond())?;
        Ok(text)
    }

    /// Writes a number, which has no more digits than its place. No year is negative.
    fn write(&mut self, place: Range<usize>, number: i16) -> fmt::Result {
        let mut number = u16::try_from(number).map_err(|_| fmt::Error)?;
        for digit in self.0[place].iter_mut().rev() {
            *digit += (number % 10) as u8;
            number /= 10;
        }
        Ok(())
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Shows a time without its fraction of a second.
#[derive(Clone, Copy, Debug)]
pub struct WholeSeconds(pub Timestamp);

impl fmt::Display for WholeSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Text::of(self.0)?;
        text.0[19] = b'Z';
        f.write_str(&text.as_str()[..20])
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Text::of(*self)?.as_str())
    }
}

impl std::str::FromStr for Timestamp {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        let time: jiff::Timestamp = text.parse().map_err(|_| InvalidTime)?;
        Ok(Self(time.as_millisecond()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_fractional_digits_and_z() {
        assert_eq!(Timestamp::from_millis(1_795_287_584_890).to_string(), "2026-11-21T18:59:44.890Z");
        assert_eq!(Timestamp::from_millis(1_795_287_584_000).to_string(), "2026-11-21T18:59:44.000Z");
        assert_eq!(WholeSeconds(Timestamp::from_millis(1_795_287_584_890)).to_string(), "2026-11-21T18:59:44Z");
        assert_eq!(Timestamp::ZERO.to_string(), "0001-01-01T00:00:00.000Z");
    }

    #[test]
    fn zones_are_read_and_compared_as_times() {
        let utc: Timestamp = "2026-11-21T19:29:15.194Z".parse().unwrap();
        assert_eq!("2026-11-21T14:29:15.194-05:00".parse(), Ok(utc));
        assert_eq!("2026-11-21T19:29:15.194000000Z".parse(), Ok(utc));
        assert_eq!("yesterday".parse::<Timestamp>(), Err(InvalidTime));
    }
}
