//! Apps: the owners of functions and triggers.

use serde::{Deserialize, Serialize};

use crate::{Annotations, AppId, Config, ConfigPatch, Error, Timestamp};

/// A named group of functions that share configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct App {
    /// Its id; the name may be used again after a deletion, the id never.
    pub id: AppId,
    /// Unique on the server.
    pub name: String,
    /// Environment of all its functions.
    pub config: Config,
    /// Free notes of API v2, by key.
    pub annotations: Annotations,
    /// Where API v2 clients asked logs to be sent, as they wrote it: [`syslog_address`](Self::syslog_address) is what it says.
    pub syslog_url: Option<String>,
    /// Machine shape, stored for API v2 clients; it influences nothing.
    pub shape: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl App {
    /// A new app with `name` and `config`, checked for API v1.
    ///
    /// # Errors
    /// What [`validate_app_name`] refuses.
    pub fn new(name: impl Into<String>, config: Config) -> Result<Self, Error> {
        let name = name.into();
        validate_app_name(&name)?;
        let now = Timestamp::now();
        Ok(Self {
            id: AppId::generate(),
            name,
            config,
            annotations: Annotations::default(),
            syslog_url: None,
            shape: String::new(),
            created_at: now,
            updated_at: now,
        })
    }

    /// Where what its functions write is to be sent, if anywhere. An empty URL is none, blanks around it do not count, and its
    /// scheme is in lower case: engines know no other.
    #[must_use]
    pub fn syslog_address(&self) -> Option<String> {
        let url = self.syslog_url.as_deref().map(str::trim).filter(|url| !url.is_empty())?;
        let (scheme, rest) = url.split_at(url.find(':').unwrap_or_default());
        Some(scheme.to_ascii_lowercase() + rest)
    }
}

/// What an API v1 request says about an app.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct AppPatch {
    /// The name; required to create, forbidden to update.
    pub name: Option<String>,
    /// Configuration to take over.
    pub config: Option<ConfigPatch>,
}

impl AppPatch {
    /// The app this request creates.
    ///
    /// # Errors
    /// A name that is missing, too long or has other characters than the contract allows.
    pub fn create(self) -> Result<App, Error> {
        App::new(self.name.unwrap_or_default(), self.config.unwrap_or_default().into_new())
    }

    /// Checks what can be checked of an update before the app is known.
    ///
    /// # Errors
    /// [`Error::NameImmutable`] when the request names the app, even with its own name.
    pub fn validate_update(&self) -> Result<(), Error> {
        if self.name.as_deref().is_none_or(str::is_empty) { Ok(()) } else { Err(Error::NameImmutable) }
    }

    /// Changes `app` as the request says.
    pub fn apply(self, app: &mut App) {
        if let Some(config) = self.config {
            app.config.merge(config);
            app.updated_at = Timestamp::now();
        }
    }
}

/// The most bytes of an app's name in API v1.
const MAX_NAME: usize = 30;

/// Checks an app name for API v1: 1 to 30 of `A-Z a-z 0-9 - _`.
///
/// # Errors
/// In this order: missing, too long, wrong characters.
pub fn validate_app_name(name: &str) -> Result<(), Error> {
    if name.is_empty() {
        Err(Error::MissingAppName)
    } else if name.len() > MAX_NAME {
        Err(Error::AppNameTooLong)
    } else if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
        Err(Error::InvalidAppName)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_in_the_contracts_order() {
        for name in ["a", "Aa-Zz_09", &"x".repeat(30)] {
            assert_eq!(validate_app_name(name), Ok(()), "{name}");
        }
        assert_eq!(validate_app_name(""), Err(Error::MissingAppName));
        assert_eq!(validate_app_name(&"/".repeat(31)), Err(Error::AppNameTooLong));
        assert_eq!(validate_app_name(&"é".repeat(16)), Err(Error::AppNameTooLong));
        for name in ["a b", "a.b", "a/b", "[", "~", "é", "a\0"] {
            assert_eq!(validate_app_name(name), Err(Error::InvalidAppName), "{name}");
        }
    }

    #[test]
    fn an_empty_syslog_url_is_none_and_blanks_and_case_do_not_count() {
        let mut app = App::new("a", Config::default()).unwrap();
        for (url, address) in
            [(None, None), (Some(""), None), (Some(" \t"), None), (Some(" UDP://H:1\n"), Some("udp://H:1"))]
        {
            app.syslog_url = url.map(str::to_owned);
            assert_eq!(app.syslog_address().as_deref(), address, "{url:?}");
        }
    }

    #[test]
    fn an_update_may_not_name_the_app() {
        let patch = |json: &str| serde_json::from_str::<AppPatch>(json).unwrap();
        assert_eq!(patch(r#"{"name":"x"}"#).validate_update(), Err(Error::NameImmutable));
        assert_eq!(patch(r#"{"name":"","config":null}"#).validate_update(), Ok(()));
    }
}
