//! The configuration of an app or a function: names and values that become its environment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Names and values, in ascending byte order of the names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Config(pub BTreeMap<String, String>);

impl Config {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes over the keys of `patch`; an empty or null value deletes its key.
    pub fn merge(&mut self, patch: ConfigPatch) {
        for (key, value) in patch.0 {
            match value {
                Some(value) if !value.is_empty() => self.0.insert(key, value),
                _ => self.0.remove(&key),
            };
        }
    }
}

/// What a request says about a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct ConfigPatch(pub BTreeMap<String, Option<String>>);

impl ConfigPatch {
    /// The configuration of a new object: empty values are kept as given, null is an empty value.
    #[must_use]
    pub fn into_new(self) -> Config {
        Config(self.0.into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(json: &str) -> ConfigPatch {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_merge_overwrites_adds_and_deletes() {
        let mut config = patch(r#"{"a":"1","b":"2","c":"3","d":""}"#).into_new();
        config.merge(patch(r#"{"a":"9","b":"","c":null,"e":"5","x":""}"#));
        assert_eq!(serde_json::to_string(&config).unwrap(), r#"{"a":"9","d":"","e":"5"}"#);
    }

    #[test]
    fn a_value_that_is_not_text_is_refused() {
        assert!(serde_json::from_str::<ConfigPatch>(r#"{"a":1}"#).is_err());
    }
}
