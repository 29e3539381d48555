//! How API v2 reads a JSON object: names of members match whatever their case, of two with one name the later counts,
//! `null` says nothing, and members that nobody knows are skipped (v2 contract B.1.1).

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::Timestamp;

/// A struct of optional members that is read as said above.
macro_rules! members {
    ($(#[$doc:meta])* $visibility:vis $name:ident { $($(#[$field_doc:meta])* $field:ident ($wire:literal): $type:ty,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default)]
        $visibility struct $name {
            $($(#[$field_doc])* pub $field: Option<$type>,)+
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Members;

                impl<'de> serde::de::Visitor<'de> for Members {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        let mut read = $name::default();
                        while let Some(mut name) = map.next_key::<String>()? {
                            name.make_ascii_lowercase();
                            match name.as_str() {
                                $($wire => read.$field = map.next_value::<Option<$type>>()?.or(read.$field),)+
                                _ => drop(map.next_value::<serde::de::IgnoredAny>()?),
                            }
                        }
                        Ok(read)
                    }
                }

                deserializer.deserialize_map(Members)
            }
        }
    };
}
pub(super) use members;

/// A text that every database can hold: without a NUL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(String);

/// A time that a client gives. The empty text is the year 1970.
#[derive(Clone, Copy, Debug)]
pub struct Time(Timestamp);

impl Text {
    /// The text, unless it is empty, which says nothing.
    pub(super) fn said(text: Option<Self>) -> Option<String> {
        text.map(|Self(text)| text).filter(|text| !text.is_empty())
    }

    /// The text, empty where nothing is said.
    pub(super) fn or_empty(text: Option<Self>) -> String {
        text.map(|Self(text)| text).unwrap_or_default()
    }

    pub(super) fn is(text: Option<&Self>) -> bool {
        text.is_some_and(|Self(text)| !text.is_empty())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Time {
    /// Whether it is a time, and not what clients send for none.
    pub(super) fn is_given(time: Option<Self>) -> bool {
        time.is_some_and(|Self(time)| time != Timestamp::ZERO)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.contains('\0') { Err(D::Error::custom("a NUL in a text")) } else { Ok(Self(text)) }
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self(Timestamp::from_millis(0)));
        }
        text.parse().map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    members! {
        pub(super) Few {
            name("name"): Text,
            made("created_at"): Time,
            size("size"): u64,
        }
    }

    fn read(json: &str) -> Option<(String, bool, Option<u64>)> {
        let few: Few = serde_json::from_str(json).ok()?;
        Some((Text::or_empty(few.name), Time::is_given(few.made), few.size))
    }

    #[test]
    fn names_match_in_any_case_and_the_later_counts() {
        assert_eq!(read(r#"{"NAME":"a","Name":"b","nAmE":null,"more":[{}]}"#), Some(("b".into(), false, None)));
        assert_eq!(read("{}"), Some((String::new(), false, None)));
    }

    #[test]
    fn the_zero_time_is_none_and_the_empty_one_is_1970() {
        for (time, given) in [
            ("0001-01-01T00:00:00.000Z", false),
            ("0001-01-01T00:00:00Z", false),
            ("", true),
            ("2026-11-21T18:59:44.890123456+02:00", true),
        ] {
            let json = format!(r#"{{"created_at":"{time}"}}"#);
            assert_eq!(read(&json), Some((String::new(), given, None)), "{time}");
        }
    }

    #[test]
    fn what_is_of_another_type_is_no_such_object() {
        for json in [
            "[]",
            r#"{"name":1}"#,
            r#"{"name":"a\u0000b"}"#,
            r#"{"created_at":"yesterday"}"#,
            r#"{"size":-1}"#,
            r#"{"size":1.5}"#,
            r#"{"size":"1"}"#,
        ] {
            assert_eq!(read(json), None, "{json}");
        }
    }
}
