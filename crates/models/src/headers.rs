//! Response headers of a route, and the canonical spelling of header names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Header names, in canonical spelling, and their values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Headers(pub BTreeMap<String, Vec<String>>);

impl Headers {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes over the keys of `patch`, whatever their casing: a list replaces the stored one, an empty list or
    /// null deletes it.
    pub fn merge(&mut self, patch: HeadersPatch) {
        for (name, values) in patch.0 {
            let name = canonical_header_name(&name);
            match values {
                Some(values) if !values.is_empty() => self.0.insert(name, values),
                _ => self.0.remove(&name),
            };
        }
    }
}

/// What a request says about a route's headers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct HeadersPatch(pub BTreeMap<String, Option<Vec<String>>>);

impl HeadersPatch {
    /// The headers of a new route: empty lists are kept as given.
    #[must_use]
    pub fn into_new(self) -> Headers {
        let canonical =
            |(name, values): (String, Option<Vec<String>>)| (canonical_header_name(&name), values.unwrap_or_default());
        Headers(self.0.into_iter().map(canonical).collect())
    }
}

/// The canonical spelling of a header name: the first letter and every letter after `-` upper case, the rest
/// lower case (`fn_CALL_id` is `Fn_call_id`). A name that is no HTTP token stays as it is.
#[must_use]
pub fn canonical_header_name(name: &str) -> String {
    let mut upper = true;
    let mut canonical = String::with_capacity(name.len());
    for byte in name.bytes() {
        if !matches!(byte, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
        {
            return name.to_owned();
        }
        canonical.push(char::from(if upper { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() }));
        upper = byte == b'-';
    }
    canonical
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_get_their_canonical_spelling() {
        for (name, canonical) in [
            ("content-type", "Content-Type"),
            ("FN_CALL_ID", "Fn_call_id"),
            ("MODE", "Mode"),
            ("app_cfg", "App_cfg"),
            ("x-FOO-bar", "X-Foo-Bar"),
            ("not a token", "not a token"),
            ("", ""),
        ] {
            assert_eq!(canonical_header_name(name), canonical);
        }
    }

    #[test]
    fn keys_are_canonical_when_stored_and_deleted_in_any_casing() {
        let patch = |json: &str| serde_json::from_str::<HeadersPatch>(json).unwrap();
        let mut headers = patch(r#"{"x-a":["1","2"],"X-B":["b"],"x-empty":[]}"#).into_new();
        headers.merge(patch(r#"{"x-b":[],"X-A":["3"],"x-c":["c"],"x-none":null}"#));
        assert_eq!(serde_json::to_string(&headers).unwrap(), r#"{"X-A":["3"],"X-C":["c"],"X-Empty":[]}"#);
    }
}
