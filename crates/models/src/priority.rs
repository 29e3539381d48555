//! How urgent a queued call is.

use std::fmt;
use std::str::FromStr;

/// From 0, the default, to 2, the most urgent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

/// The number or text is not a priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a priority from 0 to 2")]
pub struct InvalidPriority;

impl Priority {
    /// The most urgent.
    pub const MAX: Self = Self(2);

    /// 0, 1 or 2.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Priority {
    type Error = InvalidPriority;

    fn try_from(number: u8) -> Result<Self, InvalidPriority> {
        if number <= Self::MAX.0 { Ok(Self(number)) } else { Err(InvalidPriority) }
    }
}

impl FromStr for Priority {
    type Err = InvalidPriority;

    fn from_str(text: &str) -> Result<Self, InvalidPriority> {
        match text {
            "0" => Ok(Self(0)),
            "1" => Ok(Self(1)),
            "2" => Ok(Self(2)),
            _ => Err(InvalidPriority),
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_is_a_digit_from_0_to_2() {
        for number in 0..=2 {
            let priority = Priority::try_from(number).unwrap();
            assert_eq!(priority.to_string().parse(), Ok(priority));
            assert_eq!(priority.get(), number);
        }
        assert_eq!(Priority::try_from(3), Err(InvalidPriority));
        for bad in ["", "3", "-1", "+1", "01", " 1", "1.0", "high"] {
            assert_eq!(bad.parse::<Priority>(), Err(InvalidPriority), "{bad}");
        }
    }
}
