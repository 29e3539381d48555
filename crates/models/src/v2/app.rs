//! What a request says of an app (v2 contract B.1.6).

use super::members::{Text, Time, members};
use super::{Error, names, syslog};
use crate::annotations::AnnotationsPatch;
use crate::{Annotations, App, AppId, ConfigPatch, Error as AnyError, Timestamp};

members! {
    /// What an API v2 request says of an app. Absent and null mean "not said", and so does an empty text but for
    /// `syslog_url`.
    pub AppPatch {
        /// Of no new app, and only the right one.
        id("id"): Text,
        /// Of a new app only.
        name("name"): Text,
        /// Configuration to take over.
        config("config"): ConfigPatch,
        /// Annotations to take over.
        annotations("annotations"): AnnotationsPatch,
        /// Where to send logs. Empty, it is cleared.
        syslog_url("syslog_url"): Text,
        /// Of a new app only; ignored afterwards.
        shape("shape"): Text,
        /// Must be a time, and is ignored.
        created_at("created_at"): Time,
        /// Must be a time, and is ignored.
        updated_at("updated_at"): Time,
    }
}

const SHAPES: [&str; 4] = ["", "GENERIC_X86", "GENERIC_ARM", "GENERIC_X86_ARM"];

impl AppPatch {
    /// The app that this request makes.
    ///
    /// # Errors
    /// The first rule broken, in the contract's order: id, name, annotations, syslog URL, shape.
    pub fn create(self) -> Result<App, AnyError> {
        if Text::is(self.id.as_ref()) {
            return Err(Error::AppIdOnCreate.into());
        }
        let name = Text::or_empty(self.name);
        validate_name(&name)?;
        let annotations = Annotations::new(self.annotations.unwrap_or_default())?;
        if let Some(url) = &self.syslog_url {
            syslog::validate(url.as_str())?;
        }
        let shape = Text::or_empty(self.shape);
        if !SHAPES.contains(&shape.as_str()) {
            return Err(Error::InvalidShape.into());
        }
        let now = Timestamp::now();
        Ok(App {
            id: AppId::generate(),
            name,
            config: self.config.unwrap_or_default().into_new(),
            annotations,
            syslog_url: self.syslog_url.map(|url| Text::or_empty(Some(url))),
            shape,
            created_at: now,
            updated_at: now,
        })
    }

    /// Checks that the body is about the app that the URL names, before anybody looks for it.
    ///
    /// # Errors
    /// [`Error::AppIdMismatch`].
    pub fn validate_id(&self, id: &str) -> Result<(), Error> {
        match &self.id {
            Some(own) if Text::is(Some(own)) && own.as_str() != id => Err(Error::AppIdMismatch),
            _ => Ok(()),
        }
    }

    /// Changes `app` as the request says. Its time of change is another one only if something else is. Nothing is
    /// changed on error.
    ///
    /// # Errors
    /// The first rule broken: name, annotations, syslog URL.
    pub fn apply(self, app: &mut App) -> Result<(), AnyError> {
        if Text::said(self.name).is_some_and(|name| name != app.name) {
            return Err(AnyError::NameImmutable);
        }
        let mut annotations = app.annotations.clone();
        annotations.merge(self.annotations.unwrap_or_default())?;
        let mut syslog_url = app.syslog_url.clone();
        if let Some(url) = self.syslog_url {
            syslog::validate(url.as_str())?;
            syslog_url = Text::said(Some(url));
        }
        let mut config = app.config.clone();
        config.merge(self.config.unwrap_or_default());
        if (&config, &annotations, &syslog_url) != (&app.config, &app.annotations, &app.syslog_url) {
            app.updated_at = Timestamp::now();
        }
        (app.config, app.annotations, app.syslog_url) = (config, annotations, syslog_url);
        Ok(())
    }
}

fn validate_name(name: &str) -> Result<(), AnyError> {
    if name.is_empty() {
        Err(Error::MissingAppName.into())
    } else if name.len() > names::MAX {
        Err(Error::AppNameTooLong.into())
    } else if !names::is_word(name) {
        Err(AnyError::InvalidAppName)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(json: &str) -> AppPatch {
        serde_json::from_str(json).unwrap()
    }

    fn app(json: &str) -> App {
        let mut app = patch(json).create().unwrap();
        app.updated_at = Timestamp::from_millis(1);
        app
    }

    #[test]
    fn the_first_broken_rule_wins_in_the_contracts_order() {
        let long = format!(r#"{{"name":"{}"}}"#, "/".repeat(256));
        for (json, error) in [
            (r#"{"id":"x"}"#, AnyError::from(Error::AppIdOnCreate)),
            ("{}", Error::MissingAppName.into()),
            (&long, Error::AppNameTooLong.into()),
            (r#"{"name":"a.b","annotations":{"":1}}"#, AnyError::InvalidAppName),
            (r#"{"name":"a","annotations":{"":1},"syslog_url":"x"}"#, Error::InvalidAnnotationKey.into()),
            (r#"{"name":"a","shape":"ROUND"}"#, Error::InvalidShape.into()),
        ] {
            assert_eq!(patch(json).create().unwrap_err(), error, "{json}");
        }
    }

    #[test]
    fn an_empty_syslog_url_is_kept_by_create_and_cleared_by_update() {
        let mut app = app(r#"{"name":"a","syslog_url":""}"#);
        assert_eq!(app.syslog_url.as_deref(), Some(""));
        patch(r#"{"syslog_url":"tcp://h"}"#).apply(&mut app).unwrap();
        assert_eq!(app.syslog_url.as_deref(), Some("tcp://h"));
        patch("{}").apply(&mut app).unwrap();
        assert_eq!(app.syslog_url.as_deref(), Some("tcp://h"));
        patch(r#"{"syslog_url":""}"#).apply(&mut app).unwrap();
        assert_eq!(app.syslog_url, None);
    }

    #[test]
    fn the_time_of_change_is_that_of_a_change() {
        let mut app = app(r#"{"name":"a","config":{"k":"v"},"annotations":{"n":[1, 2]},"syslog_url":"tcp://h"}"#);
        let same = r#"{"name":"a","config":{"k":"v","none":""},"annotations":{"n":[1,2],"none":null},
            "syslog_url":"tcp://h","shape":"GENERIC_ARM","created_at":"","updated_at":"2026-01-01T00:00:00Z"}"#;
        patch(same).apply(&mut app).unwrap();
        assert_eq!((app.updated_at, app.shape.as_str()), (Timestamp::from_millis(1), ""));
        patch(r#"{"annotations":{"n":[1,2.0]}}"#).apply(&mut app).unwrap();
        assert!(app.updated_at > Timestamp::from_millis(1));
    }

    #[test]
    fn a_refused_change_changes_nothing() {
        let mut app = app(r#"{"name":"a"}"#);
        let before = format!("{app:?}");
        for (json, error) in [
            (r#"{"name":"b","config":{"k":"v"}}"#, AnyError::NameImmutable),
            (r#"{"config":{"k":"v"},"annotations":{" ":1}}"#, Error::InvalidAnnotationKey.into()),
        ] {
            assert_eq!(patch(json).apply(&mut app), Err(error));
            assert_eq!(format!("{app:?}"), before);
        }
    }
}
