//! What a request says of a trigger (v2 contract B.1.6), and where a list of triggers goes on.

use super::members::{Text, Time, members};
use super::{Error, HTTP_ENDPOINT, names};
use crate::annotations::AnnotationsPatch;
use crate::{Annotations, AppId, Cursor, FnId, Headers, Timestamp, Trigger, TriggerId};

members! {
    /// What an API v2 request says of a trigger. Absent, null and empty mean "not said".
    pub TriggerPatch {
        /// Of no new trigger, and only the right one.
        id("id"): Text,
        /// Unique per function.
        name("name"): Text,
        /// Of a new trigger only; ignored afterwards.
        app_id("app_id"): Text,
        /// The function that it leads to.
        fn_id("fn_id"): Text,
        /// Of no new trigger; must be a time, and is ignored afterwards.
        created_at("created_at"): Time,
        /// Of no new trigger; must be a time, and is ignored afterwards.
        updated_at("updated_at"): Time,
        /// Of a new trigger only; ignored afterwards.
        trigger_type("type"): Text,
        /// The path.
        source("source"): Text,
        /// Annotations to take over.
        annotations("annotations"): AnnotationsPatch,
    }
}

/// The only type there is.
const HTTP: &str = "http";

impl TriggerPatch {
    /// The trigger that this request makes.
    ///
    /// # Errors
    /// The first rule broken, in the contract's order: id, times, app, name, function, type, source, annotations.
    pub fn create(self) -> Result<Trigger, Error> {
        if Text::is(self.id.as_ref()) {
            return Err(Error::TriggerIdOnCreate);
        }
        if Time::is_given(self.created_at) {
            return Err(Error::CreatedAtOnCreate);
        }
        if Time::is_given(self.updated_at) {
            return Err(Error::UpdatedAtOnCreate);
        }
        let app_id = Text::said(self.app_id).ok_or(Error::MissingAppIdOnTrigger)?;
        let name = Text::or_empty(self.name);
        validate_name(&name)?;
        let fn_id = Text::said(self.fn_id).ok_or(Error::MissingFnIdOnTrigger)?;
        if Text::or_empty(self.trigger_type) != HTTP {
            return Err(Error::UnknownTriggerType);
        }
        let source = Text::or_empty(self.source);
        validate_source(&source)?;
        let annotations = Annotations::new(self.annotations.unwrap_or_default().without(HTTP_ENDPOINT))?;
        let now = Timestamp::now();
        Ok(Trigger {
            id: TriggerId::generate(),
            // What is no id is the id of nothing, and so is one that is made here: the store will not find it.
            app_id: app_id.parse().unwrap_or_else(|_| AppId::generate()),
            fn_id: fn_id.parse().unwrap_or_else(|_| FnId::generate()),
            name,
            source,
            headers: Headers::default(),
            annotations,
            created_at: now,
            updated_at: now,
        })
    }

    /// Checks that the body is about the trigger that the URL names, before anybody looks for it.
    ///
    /// # Errors
    /// [`Error::TriggerIdMismatch`].
    pub fn validate_id(&self, id: &str) -> Result<(), Error> {
        match &self.id {
            Some(own) if Text::is(Some(own)) && own.as_str() != id => Err(Error::TriggerIdMismatch),
            _ => Ok(()),
        }
    }

    /// Changes `trigger` as the request says. Its time of change is another one only if something else is. Nothing is
    /// changed on error. Whether the function is there, and name and source are free, is the store's to say.
    ///
    /// # Errors
    /// The first rule broken: name, source, annotations.
    pub fn apply(self, trigger: &mut Trigger) -> Result<(), Error> {
        let mut changed = trigger.clone();
        if let Some(name) = Text::said(self.name).filter(|name| *name != trigger.name) {
            validate_name(&name)?;
            changed.name = name;
        }
        if let Some(fn_id) = Text::said(self.fn_id) {
            // As in `create`.
            changed.fn_id = fn_id.parse().unwrap_or_else(|_| FnId::generate());
        }
        if let Some(source) = Text::said(self.source) {
            validate_source(&source)?;
            changed.source = source;
        }
        changed.annotations.merge(self.annotations.unwrap_or_default().without(HTTP_ENDPOINT))?;
        let parts = |of: &Trigger| (of.fn_id, of.name.clone(), of.source.clone());
        if parts(&changed) != parts(trigger) || changed.annotations != trigger.annotations {
            changed.updated_at = Timestamp::now();
        }
        *trigger = changed;
        Ok(())
    }
}

fn validate_name(name: &str) -> Result<(), Error> {
    if name.is_empty() {
        Err(Error::MissingTriggerName)
    } else if name.len() > names::MAX {
        Err(Error::TriggerNameTooLong)
    } else if !names::is_word(name) {
        Err(Error::InvalidTriggerName)
    } else {
        Ok(())
    }
}

fn validate_source(source: &str) -> Result<(), Error> {
    if source.is_empty() {
        Err(Error::MissingSource)
    } else if !source.starts_with('/') {
        Err(Error::SourceWithoutSlash)
    } else {
        Ok(())
    }
}

/// The trigger after which a list goes on. Among those of one function its name says which; among those of an app
/// several may have that name, and its id says which of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TriggerCursor {
    /// The name.
    pub name: String,
    /// The id. None: after all of that name.
    pub id: Option<TriggerId>,
}

impl TriggerCursor {
    /// The cursor of a list of one function's triggers.
    #[must_use]
    pub fn in_function(last: &Trigger) -> Cursor {
        Cursor::after(last.name.as_str())
    }

    /// The cursor of a list of an app's triggers.
    #[must_use]
    pub fn in_app(last: &Trigger) -> Cursor {
        // No name has a slash.
        Cursor::after(format!("{}/{}", last.name, last.id))
    }

    /// Reads both.
    ///
    /// # Errors
    /// [`Error::InvalidCursor`]: there is a slash, and no id after it.
    pub fn read(cursor: &Cursor) -> Result<Self, Error> {
        match cursor.as_str().split_once('/') {
            None => Ok(Self { name: cursor.as_str().to_owned(), id: None }),
            Some((name, id)) => {
                let id = id.parse().map_err(|_| Error::InvalidCursor)?;
                Ok(Self { name: name.to_owned(), id: Some(id) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(json: &str) -> TriggerPatch {
        serde_json::from_str(json).unwrap()
    }

    fn trigger() -> Trigger {
        let mut trigger = patch(
            r#"{"app_id":"a","fn_id":"f","name":"t","type":"http","source":"/s","created_at":"0001-01-01T00:00:00Z"}"#,
        )
        .create()
        .unwrap();
        trigger.updated_at = Timestamp::from_millis(1);
        trigger
    }

    #[test]
    fn the_first_broken_rule_wins_in_the_contracts_order() {
        for (json, error) in [
            (r#"{"id":"x","created_at":""}"#, Error::TriggerIdOnCreate),
            (r#"{"created_at":"","updated_at":""}"#, Error::CreatedAtOnCreate),
            (r#"{"updated_at":"2026-01-01T00:00:00Z"}"#, Error::UpdatedAtOnCreate),
            ("{}", Error::MissingAppIdOnTrigger),
            (r#"{"app_id":"a"}"#, Error::MissingTriggerName),
            (r#"{"app_id":"a","name":"a b"}"#, Error::InvalidTriggerName),
            (r#"{"app_id":"a","name":"t"}"#, Error::MissingFnIdOnTrigger),
            (r#"{"app_id":"a","name":"t","fn_id":"f"}"#, Error::UnknownTriggerType),
            (r#"{"app_id":"a","name":"t","fn_id":"f","type":"HTTP"}"#, Error::UnknownTriggerType),
            (r#"{"app_id":"a","name":"t","fn_id":"f","type":"http"}"#, Error::MissingSource),
            (r#"{"app_id":"a","name":"t","fn_id":"f","type":"http","source":"s"}"#, Error::SourceWithoutSlash),
            (
                r#"{"app_id":"a","name":"t","fn_id":"f","type":"http","source":"/","annotations":{"a":""}}"#,
                Error::InvalidAnnotationValue,
            ),
        ] {
            assert_eq!(patch(json).create().unwrap_err(), error, "{json}");
        }
    }

    #[test]
    fn an_update_takes_what_is_said() {
        let mut trigger = trigger();
        let (app_id, fn_id) = (trigger.app_id, FnId::generate());
        patch(r#"{"type":"other","app_id":"other","name":"t","source":""}"#).apply(&mut trigger).unwrap();
        assert_eq!((trigger.updated_at, trigger.app_id), (Timestamp::from_millis(1), app_id));
        patch(&format!(r#"{{"fn_id":"{fn_id}","name":"u","source":"/x"}}"#)).apply(&mut trigger).unwrap();
        assert_eq!((trigger.fn_id, trigger.name.as_str(), trigger.source.as_str()), (fn_id, "u", "/x"));
        assert!(trigger.updated_at > Timestamp::from_millis(1));
        for (json, error) in [
            (r#"{"name":" ","source":"x"}"#, Error::InvalidTriggerName),
            (r#"{"name":"v","source":"x"}"#, Error::SourceWithoutSlash),
        ] {
            assert_eq!(patch(json).apply(&mut trigger), Err(error));
            assert_eq!(trigger.name, "u");
        }
    }

    #[test]
    fn cursors_come_back() {
        let trigger = trigger();
        let read = |cursor: Cursor| TriggerCursor::read(&Cursor::decode(&cursor.to_string()).unwrap());
        let name = trigger.name.clone();
        assert_eq!(read(TriggerCursor::in_function(&trigger)), Ok(TriggerCursor { name: name.clone(), id: None }));
        assert_eq!(read(TriggerCursor::in_app(&trigger)), Ok(TriggerCursor { name, id: Some(trigger.id) }));
        assert_eq!(read(Cursor::after("t/x")), Err(Error::InvalidCursor));
    }
}
