//! The object that a function answers with, parsed.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};

/// The recognised keys; case does not matter, the last of two wins, null counts as absent. All others are ignored,
/// `content_type` among them: the type of an answer comes from its headers (v1 contract B.3.5).
#[derive(Debug, Default)]
pub(super) struct Object<'a> {
    pub(super) body: Option<Text<'a>>,
    pub(super) protocol: Option<Protocol<'a>>,
}

/// What an answer says of its HTTP response.
#[derive(Debug, Default)]
pub(super) struct Protocol<'a> {
    pub(super) status_code: Option<i64>,
    pub(super) headers: Option<Headers<'a>>,
}

/// Names and values of headers, as they came.
#[derive(Debug, Default)]
pub(super) struct Headers<'a>(pub(super) Vec<(Text<'a>, Option<Vec<Option<Text<'a>>>>)>);

/// A string: UTF-8, but for unpaired surrogates that were written as escapes (Python writes bytes it could not decode
/// in this way), which serde_json hands out only as bytes.
#[derive(Debug)]
pub(super) struct Text<'a>(Cow<'a, [u8]>);

// === impl Text ===

impl Text<'_> {
    /// The text with U+FFFD for every unpaired surrogate. A text that stands in `object` without escapes shares its
    /// bytes.
    pub(super) fn into_bytes(self, object: &Bytes) -> Bytes {
        match self.0 {
            Cow::Borrowed(bytes) => object.slice_ref(bytes),
            Cow::Owned(mut bytes) => {
                replace_surrogates(&mut bytes);
                bytes.into()
            }
        }
    }

    fn is(&self, key: &str) -> bool {
        self.0.eq_ignore_ascii_case(key.as_bytes())
    }
}

/// In text that is otherwise UTF-8, `ED` before `A0` to `BF` begins a surrogate; U+FFFD is as long as that.
fn replace_surrogates(text: &mut [u8]) {
    if std::str::from_utf8(text).is_ok() {
        return;
    }
    let mut rest = text;
    while let Some(at) = rest.windows(3).position(|bytes| bytes[0] == 0xed && bytes[1] >= 0xa0) {
        rest[at..at + 3].copy_from_slice("\u{fffd}".as_bytes());
        rest = &mut rest[at + 3..];
    }
}

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(bytes)))
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(bytes.to_owned())))
    }
}

// === objects ===

/// A JSON object that takes its entries one by one.
trait Entries<'de>: Default {
    /// Takes the value of `key`, or leaves it by [`IgnoredAny`].
    fn take<A: MapAccess<'de>>(&mut self, key: Text<'de>, map: &mut A) -> Result<(), A::Error>;
}

impl<'de> Entries<'de> for Object<'de> {
    fn take<A: MapAccess<'de>>(&mut self, key: Text<'de>, map: &mut A) -> Result<(), A::Error> {
        if key.is("body") {
            self.body = map.next_value()?;
        } else if key.is("protocol") {
            self.protocol = map.next_value()?;
        } else {
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

impl<'de> Entries<'de> for Protocol<'de> {
    fn take<A: MapAccess<'de>>(&mut self, key: Text<'de>, map: &mut A) -> Result<(), A::Error> {
        if key.is("status_code") {
            self.status_code = map.next_value()?;
        } else if key.is("headers") {
            self.headers = map.next_value()?;
        } else {
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

impl<'de> Entries<'de> for Headers<'de> {
    fn take<A: MapAccess<'de>>(&mut self, key: Text<'de>, map: &mut A) -> Result<(), A::Error> {
        self.0.push((key, map.next_value()?));
        Ok(())
    }
}

struct EntriesVisitor<T>(PhantomData<T>);

impl<'de, T: Entries<'de>> Visitor<'de> for EntriesVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut entries = T::default();
        while let Some(key) = map.next_key()? {
            entries.take(key, &mut map)?;
        }
        Ok(entries)
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Protocol<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Headers<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor(PhantomData))
    }
}
