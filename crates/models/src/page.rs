//! Pages of lists: how many entries, and from where on.

use std::fmt;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::v2;

/// Entries on one page: 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerPage(u8);

impl PerPage {
    const DEFAULT: Self = Self(30);
    const MAX: u8 = 100;

    /// Reads the `per_page` parameter. It is never an error: what is absent, unreadable or not positive means 30,
    /// and more than 100 means 100 (v1 contract B.1.8).
    #[must_use]
    pub fn from_query(text: Option<&str>) -> Self {
        match text.map(str::parse::<i64>) {
            Some(Ok(n)) if n > i64::from(Self::MAX) => Self(Self::MAX),
            Some(Ok(n)) if n > 0 => u8::try_from(n).map_or(Self::DEFAULT, Self),
            _ => Self::DEFAULT,
        }
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

impl Default for PerPage {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The name or path after which a page starts; on the wire as unpadded URL-safe base64.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor(String);

/// Trailing bits of a cut-off cursor are ignored rather than refused.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

impl Cursor {
    /// The cursor that continues after `last`.
    #[must_use]
    pub fn after(last: impl Into<String>) -> Self {
        Self(last.into())
    }

    /// Reads the `cursor` parameter of app and route lists. It is never an error: the bytes that can be decoded
    /// before the first illegal character count (v1 contract B.1.8).
    #[must_use]
    pub fn from_query(text: &str) -> Self {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let mut length = text.bytes().take_while(|byte| legal(*byte)).count();
        if length % 4 == 1 {
            length -= 1;
        }
        let mut bytes = BASE64.decode(&text[..length]).unwrap_or_default();
        // No name has a NUL in it, so nothing lies between what comes before one and what comes after.
        bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
        Self(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Reads the `cursor` parameter of API v2: the wire form and nothing else.
    ///
    /// # Errors
    /// [`InvalidCursor`](v2::Error::InvalidCursor).
    pub fn decode(text: &str) -> Result<Self, v2::Error> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| v2::Error::InvalidCursor)?;
        match String::from_utf8(bytes) {
            Ok(name) if !name.contains('\0') => Ok(Self(name)),
            _ => Err(v2::Error::InvalidCursor),
        }
    }

    /// The name or path to continue after; empty for the first page.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(&self.0))
    }
}

/// One page to be read from a list sorted by name or path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Entries sort strictly after this one.
    pub after: Cursor,
    /// At most this many.
    pub size: PerPage,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_page_sizes_get_a_usable_one() {
        for (text, size) in [(None, 30), (Some(""), 30), (Some("x"), 30), (Some("-1"), 30), (Some("0"), 30)] {
            assert_eq!(PerPage::from_query(text).get(), size, "{text:?}");
        }
        for (text, size) in [("1", 1), ("100", 100), ("101", 100), ("9223372036854775807", 100)] {
            assert_eq!(PerPage::from_query(Some(text)).get(), size, "{text}");
        }
    }

    #[test]
    fn cursors_are_the_contracts() {
        for (name, wire) in [("myapp", "bXlhcHA"), ("/", "Lw"), ("spec-é", "c3BlYy3DqQ"), ("/max", "L21heA")] {
            assert_eq!(Cursor::after(name).to_string(), wire);
            assert_eq!(Cursor::from_query(wire).as_str(), name);
            assert_eq!(Cursor::from_query(&format!("{wire}==")).as_str(), name);
        }
    }

    #[test]
    fn api_v2_takes_only_cursors_that_it_gave() {
        assert_eq!(Cursor::decode("bXlhcHA").map(|cursor| cursor.to_string()).as_deref(), Ok("bXlhcHA"));
        for text in ["bXlhcHA=", "!", "bXlhcH", "b", "_w", "AA"] {
            assert_eq!(Cursor::decode(text), Err(v2::Error::InvalidCursor), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_cursor_is_an_error(text in ".*") {
            let _any = Cursor::from_query(&text);
        }
    }
}
