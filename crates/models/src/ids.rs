//! Typed ids. All are ULIDs: 26 characters of Crockford base32, sortable by time, unique across nodes.

use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use ulid::{Generator, Ulid};

use crate::Timestamp;

/// The text is not an id in its canonical 26-character form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id of 26 base32 characters")]
pub struct InvalidId;

/// Makes ids that sort in the order they were made, also within one millisecond of this process.
static GENERATOR: Mutex<Generator> = Mutex::new(Generator::new());

fn generate() -> Ulid {
    let mut guard = GENERATOR.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // The generator refuses only when 2^80 ids of one millisecond are used up; a fresh random id is right then.
    guard.generate().unwrap_or_else(|_| Ulid::generate())
}

fn parse(text: &str) -> Result<Ulid, InvalidId> {
    let id = Ulid::from_string(text).map_err(|_| InvalidId)?;
    let mut buffer = [0; ulid::ULID_LEN];
    if id.array_to_str(&mut buffer) == text { Ok(id) } else { Err(InvalidId) }
}

/// An id as its 26 characters, without an allocation.
#[derive(Clone, Copy)]
pub struct IdText([u8; ulid::ULID_LEN]);

impl std::ops::Deref for IdText {
    type Target = str;

    fn deref(&self) -> &str {
        // The alphabet of ids is ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for IdText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Ulid);

        impl $name {
            /// A new id, greater than every id this process made before.
            #[must_use]
            pub fn generate() -> Self {
                Self(generate())
            }

            /// The id as text, for where it is written often.
            #[must_use]
            pub fn text(&self) -> IdText {
                let mut buffer = [0; ulid::ULID_LEN];
                self.0.array_to_str(&mut buffer);
                IdText(buffer)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.text())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

id! {
    /// An [`App`](crate::App).
    AppId;
    /// A [`Function`](crate::Function).
    FnId;
    /// A [`Trigger`](crate::Trigger).
    TriggerId;
    /// A [`Call`](crate::Call). Call ids sort by the time the call was accepted.
    CallId;
    /// One data directory, over all restarts of the server that owns it.
    ServerId;
    /// One process of a server.
    InstanceId;
}

impl CallId {
    /// When it was made. A clock that was set back does not show: ids of one process never go back.
    #[must_use]
    pub fn made_at(self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(self.0.timestamp_ms()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_process_sort_in_the_order_they_were_made() {
        let ids: Vec<CallId> = (0..10_000).map(|_| CallId::generate()).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1] && pair[0].to_string() < pair[1].to_string()));
    }

    #[test]
    fn only_the_canonical_text_is_an_id() {
        let id = CallId::generate();
        let text = id.to_string();
        assert_eq!(text.len(), 26);
        assert_eq!(*id.text(), *text);
        assert_eq!(text.parse(), Ok(id));
        for bad in ["", "x", &text.to_lowercase(), &text[1..], "8ZZZZZZZZZZZZZZZZZZZZZZZZZ"] {
            assert_eq!(bad.parse::<CallId>(), Err(InvalidId), "{bad}");
        }
    }
}
