//! What can go wrong in a store.

use std::error::Error as StdError;

/// A cause kept for the log; never shown to a client.
pub type Source = Box<dyn StdError + Send + Sync>;

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request itself: what the client is told, with its status.
    #[error(transparent)]
    Model(#[from] hearth_models::Error),
    /// The setting that names the store is wrong. The text is one line and holds no password.
    #[error("{0}")]
    Config(String),
    /// The store is away, locked, full or too slow. The same request may succeed later.
    #[error("datastore unavailable")]
    Unavailable(#[source] Source),
    /// The store looked at the data and refused it. The same data will be refused again.
    #[error("datastore refused the data")]
    Refused(#[source] Source),
    /// A stored value cannot be read back.
    #[error("stored value is corrupt: {what}")]
    Corrupt {
        /// Which value of which object.
        what: String,
        /// Why it cannot be read.
        #[source]
        source: Source,
    },
    /// The store failed in a way that is neither the data's fault nor known to pass.
    #[error("datastore failed")]
    Database(#[source] Source),
}

/// The result of an operation of a store.
pub type Result<T> = std::result::Result<T, Error>;

impl From<hearth_models::v2::Error> for Error {
    fn from(error: hearth_models::v2::Error) -> Self {
        Self::Model(error.into())
    }
}

impl Error {
    /// What the client is told: its own mistakes, that the store is away, or nothing but that something failed.
    #[must_use]
    pub fn to_model(&self) -> hearth_models::Error {
        match self {
            Self::Model(error) => error.clone(),
            Self::Unavailable(_) => hearth_models::Error::StoreUnavailable,
            _ => hearth_models::Error::Internal,
        }
    }

    /// Whether the store is away, so that waiting or an older copy of the answer helps.
    #[must_use]
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// This error with its causes, on one line, for the log.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }

    pub(crate) fn corrupt(what: impl Into<String>, source: impl Into<Source>) -> Self {
        Self::Corrupt { what: what.into(), source: source.into() }
    }
}
