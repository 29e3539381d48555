//! Annotations: what clients of API v2 note on apps, functions and triggers (v2 contract B.1.7 with A).
//!
//! A value is any JSON but the empty text, kept as the client wrote it without the blanks between: the order of members,
//! the spelling of numbers and escapes stay. So two values are equal when their texts are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::v2::Error;

/// Notes, by key.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Annotations(BTreeMap<String, Box<RawValue>>);

/// What a request says of annotations. An empty text and null delete a key of what is there.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct AnnotationsPatch(BTreeMap<String, Box<RawValue>>);

const MAX_KEY: usize = 128;
const MAX_VALUE: usize = 512;
const MAX_KEYS: usize = 100;

// === impl Annotations ===

impl Annotations {
    /// The annotations of a new object.
    ///
    /// # Errors
    /// A key or value that may not be, the first by key; then that there are too many.
    pub fn new(patch: AnnotationsPatch) -> Result<Self, Error> {
        let mut annotations = Self::default();
        for (key, value) in patch.0 {
            check_key(&key)?;
            let value = said(&value).ok_or(Error::InvalidAnnotationValue)?;
            annotations.0.insert(key, stored(value)?);
        }
        annotations.count()
    }

    /// Takes over `patch`, key by key.
    ///
    /// # Errors
    /// As [`new`](Self::new); some of it is taken over then.
    pub fn merge(&mut self, patch: AnnotationsPatch) -> Result<(), Error> {
        for (key, value) in patch.0 {
            let Some(value) = said(&value) else {
                // Nothing is stored under a key that may not be, so there is nothing wrong with deleting it.
                self.0.remove(&key);
                continue;
            };
            check_key(&key)?;
            self.0.insert(key, stored(value)?);
        }
        *self = std::mem::take(self).count()?;
        Ok(())
    }

    /// These with one more, a text that the server shows and no rule is for.
    #[must_use]
    pub fn showing(mut self, key: &str, text: &str) -> Self {
        // A text can always be written.
        if let Ok(value) = serde_json::value::to_raw_value(text) {
            self.0.insert(key.to_owned(), value);
        }
        self
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn count(self) -> Result<Self, Error> {
        if self.0.len() > MAX_KEYS { Err(Error::TooManyAnnotations) } else { Ok(self) }
    }
}

impl PartialEq for Annotations {
    fn eq(&self, other: &Self) -> bool {
        let texts =
            |of: &Self| of.0.iter().map(|(key, value)| (key.clone(), value.get().to_owned())).collect::<Vec<_>>();
        self.0.len() == other.0.len() && texts(self) == texts(other)
    }
}

impl Eq for Annotations {}

// === impl AnnotationsPatch ===

impl AnnotationsPatch {
    /// This without what it says of `key`.
    #[must_use]
    pub fn without(mut self, key: &str) -> Self {
        self.0.remove(key);
        self
    }
}

fn check_key(key: &str) -> Result<(), Error> {
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        Err(Error::InvalidAnnotationKey)
    } else if key.len() > MAX_KEY {
        Err(Error::AnnotationKeyTooLong)
    } else {
        Ok(())
    }
}

/// The value without its blanks, unless it is one of the two that say that there is to be none.
fn said(value: &RawValue) -> Option<String> {
    Some(compact(value.get())).filter(|value| value != "null" && value != "\"\"")
}

fn stored(value: String) -> Result<Box<RawValue>, Error> {
    if value.len() > MAX_VALUE {
        return Err(Error::AnnotationValueTooLong);
    }
    // It was JSON, and is without its blanks.
    RawValue::from_string(value).map_err(|_| Error::InvalidAnnotationValue)
}

/// A JSON text without the blanks between its tokens.
fn compact(json: &str) -> String {
    let (mut in_text, mut escaped) = (false, false);
    let keep = |c: &char| {
        let keep = in_text || !c.is_ascii_whitespace();
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = in_text,
            '"' => in_text = !in_text,
            _ => {}
        }
        keep
    };
    json.chars().filter(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(json: &str) -> AnnotationsPatch {
        serde_json::from_str(json).unwrap()
    }

    fn new(json: &str) -> Result<String, Error> {
        Annotations::new(patch(json)).map(|annotations| serde_json::to_string(&annotations).unwrap())
    }

    #[test]
    fn values_are_kept_as_they_were_written_without_blanks() {
        let written = r#"{ "b" : { "z" : 1e3 , "a" : [ true, 1.50 ] }, "a" : "x \" y\\" , "u": "\u00e9 \ud800" }"#;
        let kept = r#"{"a":"x \" y\\","b":{"z":1e3,"a":[true,1.50]},"u":"\u00e9 \ud800"}"#;
        assert_eq!(new(written).as_deref(), Ok(kept));
    }

    #[test]
    fn keys_and_values_are_held_to_their_rules_in_order() {
        let value = |length: usize| format!(r#"{{"k":"{}"}}"#, "x".repeat(length));
        let key = |length: usize| format!(r#"{{"{}":1}}"#, "k".repeat(length));
        for json in [&value(510), &key(128), r#"{"!~":false}"#, r#"{"k":{}}"#, r#"{"k":[]}"#, r#"{"k":0}"#] {
            assert!(new(json).is_ok(), "{json}");
        }
        let wide = format!(r#"{{"{}":"{}"}}"#, "k".repeat(129), "x".repeat(511));
        for (json, error) in [
            (r#"{"":""}"#, Error::InvalidAnnotationKey),
            (r#"{"a b":1}"#, Error::InvalidAnnotationKey),
            (r#"{"é":1}"#, Error::InvalidAnnotationKey),
            (&key(129), Error::AnnotationKeyTooLong),
            (&wide, Error::AnnotationKeyTooLong),
            (r#"{"k":""}"#, Error::InvalidAnnotationValue),
            (r#"{"k": null }"#, Error::InvalidAnnotationValue),
            (&value(511), Error::AnnotationValueTooLong),
        ] {
            assert_eq!(new(json), Err(error), "{json}");
        }
    }

    #[test]
    fn there_are_at_most_a_hundred_after_a_merge() {
        let many = |from: usize, to: usize| {
            let entries: Vec<String> = (from..to).map(|n| format!(r#""k{n}":{n}"#)).collect();
            format!("{{{}}}", entries.join(","))
        };
        let mut annotations = Annotations::new(patch(&many(0, 100))).unwrap();
        assert_eq!(new(&many(0, 101)), Err(Error::TooManyAnnotations));
        assert_eq!(annotations.clone().merge(patch(&many(100, 101))), Err(Error::TooManyAnnotations));
        assert_eq!(annotations.merge(patch(r#"{"k0":"","k1":null,"n":1,"m":2}"#)), Ok(()));
    }

    #[test]
    fn a_merge_replaces_whole_values_and_deletes() {
        let mut annotations = Annotations::new(patch(r#"{"a":{"x":1},"b":2,"c":3}"#)).unwrap();
        annotations.merge(patch(r#"{"a":{"y":2},"b":"","c":null,"none":"","bad key":""}"#)).unwrap();
        assert_eq!(serde_json::to_string(&annotations).unwrap(), r#"{"a":{"y":2}}"#);
        assert_eq!(annotations, Annotations::new(patch(r#"{"a": {"y": 2}}"#)).unwrap());
        assert_ne!(annotations, Annotations::new(patch(r#"{"a":{"y":2.0}}"#)).unwrap());
    }
}
