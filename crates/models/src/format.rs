//! How a function is spoken to, and whether its callers wait.

/// The text is none of the words that are known here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown word '{0}'")]
pub struct UnknownWord(pub String);

/// An enum that stands as a fixed word on the wire and in tables.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word of the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::UnknownWord;

            fn from_str(text: &str) -> Result<Self, $crate::UnknownWord> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    other => Err($crate::UnknownWord(other.to_owned())),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use words;

words! {
    /// How a request reaches a function and how its answer comes back.
    #[derive(Default)]
    Format {
        /// Cold: a container per call, body on stdin, answer on stdout, result in the exit code.
        #[default]
        Default = "default",
        /// Hot: HTTP/1.1 over stdin and stdout.
        Http = "http",
        /// Hot: one JSON object per call over stdin and stdout.
        Json = "json",
        /// Hot: HTTP/1.1 over a Unix socket that the function listens on.
        HttpStream = "http-stream",
    }
}

impl Format {
    /// Whether one container serves many calls.
    #[must_use]
    pub const fn is_hot(self) -> bool {
        !matches!(self, Self::Default)
    }
}

words! {
    /// Whether the caller waits for the result.
    #[derive(Default)]
    CallType {
        /// The answer is the response.
        #[default]
        Sync = "sync",
        /// The call is queued and its id is the response.
        Async = "async",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back() {
        for format in Format::ALL {
            assert_eq!(format.as_str().parse(), Ok(*format));
        }
        assert_eq!("HTTP".parse::<Format>(), Err(UnknownWord("HTTP".into())));
        assert_eq!("async".parse(), Ok(CallType::Async));
    }
}
