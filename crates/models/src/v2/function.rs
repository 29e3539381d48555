//! What a request says of a function (v2 contract B.1.6, and `format` of A).

use super::members::{Text, Time, members};
use super::{Error, INVOKE_ENDPOINT, names};
use crate::annotations::AnnotationsPatch;
use crate::{
    Annotations, AppId, CallType, ConfigPatch, Error as AnyError, FnId, Format, Function, FunctionLimits, Timestamp,
};

members! {
    /// What an API v2 request says of a function. Absent, null, empty and zero mean "not said".
    pub FnPatch {
        /// Of no new function, and only the right one.
        id("id"): Text,
        /// Of a new function only; ignored afterwards.
        name("name"): Text,
        /// Of a new function only; ignored afterwards.
        app_id("app_id"): Text,
        /// The image.
        image("image"): Text,
        /// How it is spoken to.
        format("format"): Text,
        /// Memory of a container, in MiB.
        memory("memory"): u64,
        /// Longest execution, in seconds.
        timeout("timeout"): i32,
        /// How long a container may idle, in seconds.
        idle_timeout("idle_timeout"): i32,
        /// Configuration to take over.
        config("config"): ConfigPatch,
        /// Annotations to take over.
        annotations("annotations"): AnnotationsPatch,
        /// Ignored: it is that of the app.
        shape("shape"): Text,
        /// Must be a time, and is ignored.
        created_at("created_at"): Time,
        /// Must be a time, and is ignored.
        updated_at("updated_at"): Time,
    }
}

const MAX_MEMORY_MB: u64 = 8192;
const MAX_TIMEOUT: u32 = 300;
const MAX_IDLE_TIMEOUT: u32 = 3600;
/// What the kits of API v2 speak.
const DEFAULT_FORMAT: Format = Format::HttpStream;

impl FnPatch {
    /// The function that this request makes. Its shape is the app's, for the store to look up.
    ///
    /// # Errors
    /// The first rule broken, in the contract's order: id, app, name, image, timeout, idle timeout, memory, format,
    /// annotations. An app id that is none is told last: there is no such app.
    pub fn create(self) -> Result<Function, AnyError> {
        if Text::is(self.id.as_ref()) {
            return Err(Error::FnIdOnCreate.into());
        }
        let app_id = Text::said(self.app_id).ok_or(Error::MissingAppIdOnFn)?;
        let name = Text::or_empty(self.name);
        validate_name(&name)?;
        let image = Text::said(self.image).ok_or(Error::MissingFnImage)?;
        let mut limits = FunctionLimits::default();
        change_limits(&mut limits, self.timeout, self.idle_timeout, self.memory)?;
        let format = format(self.format)?.unwrap_or(DEFAULT_FORMAT);
        let annotations = Annotations::new(self.annotations.unwrap_or_default().without(INVOKE_ENDPOINT))?;
        let now = Timestamp::now();
        Ok(Function {
            id: FnId::generate(),
            app_id: app_id.parse::<AppId>().map_err(|_| AnyError::AppNotFound)?,
            name,
            image,
            format,
            call_type: CallType::Sync,
            limits,
            config: self.config.unwrap_or_default().into_new(),
            annotations,
            shape: String::new(),
            made_by_route: false,
            created_at: now,
            updated_at: now,
        })
    }

    /// Checks that the body is about the function that the URL names, before anybody looks for it.
    ///
    /// # Errors
    /// [`Error::FnIdMismatch`].
    pub fn validate_id(&self, id: &str) -> Result<(), Error> {
        match &self.id {
            Some(own) if Text::is(Some(own)) && own.as_str() != id => Err(Error::FnIdMismatch),
            _ => Ok(()),
        }
    }

    /// Changes `function` as the request says. Its time of change is another one only if something else is. Nothing is
    /// changed on error.
    ///
    /// # Errors
    /// The first rule broken: timeout, idle timeout, memory, format, annotations.
    pub fn apply(self, function: &mut Function) -> Result<(), AnyError> {
        let mut changed = function.clone();
        change_limits(&mut changed.limits, self.timeout, self.idle_timeout, self.memory)?;
        changed.format = format(self.format)?.unwrap_or(changed.format);
        changed.annotations.merge(self.annotations.unwrap_or_default().without(INVOKE_ENDPOINT))?;
        changed.image = Text::said(self.image).unwrap_or(changed.image);
        changed.config.merge(self.config.unwrap_or_default());
        if !(changed.runs_like(function) && changed.annotations == function.annotations) {
            changed.updated_at = Timestamp::now();
        }
        *function = changed;
        Ok(())
    }
}

fn validate_name(name: &str) -> Result<(), Error> {
    if name.is_empty() {
        Err(Error::MissingFnName)
    } else if name.len() > names::MAX {
        Err(Error::FnNameTooLong)
    } else if !names::is_segment(name) {
        Err(Error::InvalidFnName)
    } else {
        Ok(())
    }
}

/// Changes what is said, and checks no more than that.
fn change_limits(
    limits: &mut FunctionLimits,
    timeout: Option<i32>,
    idle_timeout: Option<i32>,
    memory: Option<u64>,
) -> Result<(), Error> {
    if let Some(seconds) = timeout.filter(|seconds| *seconds != 0) {
        limits.timeout_secs = seconds_up_to(MAX_TIMEOUT, seconds).ok_or(Error::InvalidTimeout)?;
    }
    if let Some(seconds) = idle_timeout.filter(|seconds| *seconds != 0) {
        limits.idle_timeout_secs = seconds_up_to(MAX_IDLE_TIMEOUT, seconds).ok_or(Error::InvalidIdleTimeout)?;
    }
    if let Some(mb) = memory.filter(|mb| *mb != 0) {
        limits.memory_mb = Some(mb).filter(|mb| *mb <= MAX_MEMORY_MB).ok_or(Error::InvalidMemory)?;
    }
    Ok(())
}

fn seconds_up_to(max: u32, seconds: i32) -> Option<u32> {
    u32::try_from(seconds).ok().filter(|seconds| (1..=max).contains(seconds))
}

fn format(text: Option<Text>) -> Result<Option<Format>, Error> {
    Text::said(text).map(|word| word.parse().map_err(|_| Error::InvalidFnFormat)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(json: &str) -> FnPatch {
        serde_json::from_str(json).unwrap()
    }

    fn create(rest: &str) -> Result<Function, AnyError> {
        patch(&format!(r#"{{"app_id":"{}","name":"f",{rest}}}"#, AppId::generate())).create()
    }

    #[test]
    fn zero_and_absent_get_the_defaults() {
        let function = create(r#""image":"i","memory":0,"timeout":0,"idle_timeout":0,"format":"","id":"""#).unwrap();
        assert_eq!(function.limits, FunctionLimits { memory_mb: 128, timeout_secs: 30, idle_timeout_secs: 30 });
        assert_eq!((function.format, function.call_type), (Format::HttpStream, CallType::Sync));
    }

    #[test]
    fn the_first_broken_rule_wins_in_the_contracts_order() {
        for (json, error) in [
            (r#"{"id":"x"}"#, Error::FnIdOnCreate),
            (r#"{"name":"f"}"#, Error::MissingAppIdOnFn),
            (r#"{"app_id":"x"}"#, Error::MissingFnName),
            (r#"{"app_id":"x","name":"a/b"}"#, Error::InvalidFnName),
            (r#"{"app_id":"x","name":"f","timeout":301}"#, Error::MissingFnImage),
            (r#"{"app_id":"x","name":"f","image":"i","timeout":301,"memory":8193}"#, Error::InvalidTimeout),
            (r#"{"app_id":"x","name":"f","image":"i","timeout":-1}"#, Error::InvalidTimeout),
            (r#"{"app_id":"x","name":"f","image":"i","idle_timeout":3601,"memory":8193}"#, Error::InvalidIdleTimeout),
            (r#"{"app_id":"x","name":"f","image":"i","memory":8193,"format":"x"}"#, Error::InvalidMemory),
            (r#"{"app_id":"x","name":"f","image":"i","format":"x","annotations":{"":1}}"#, Error::InvalidFnFormat),
            (r#"{"app_id":"x","name":"f","image":"i","annotations":{"":1}}"#, Error::InvalidAnnotationKey),
        ] {
            assert_eq!(patch(json).create().unwrap_err(), error.into(), "{json}");
        }
        let no_id = r#"{"app_id":"x","name":"f","image":"i"}"#;
        assert_eq!(patch(no_id).create().unwrap_err(), AnyError::AppNotFound);
    }

    #[test]
    fn limits_that_the_other_door_set_stay_unless_they_change() {
        let mut function = create(r#""image":"i""#).unwrap();
        function.limits.timeout_secs = 3600;
        patch(r#"{"memory":256,"name":"other","app_id":"other"}"#).apply(&mut function).unwrap();
        assert_eq!((function.limits.timeout_secs, function.limits.memory_mb), (3600, 256));
        assert_eq!(function.name, "f");
        assert_eq!(patch(r#"{"timeout":3600}"#).apply(&mut function), Err(Error::InvalidTimeout.into()));
    }

    #[test]
    fn what_the_server_shows_is_not_taken_for_a_change() {
        let mut function = create(r#""image":"i","annotations":{"a":1}"#).unwrap();
        function.updated_at = Timestamp::from_millis(1);
        let long = format!(r#"{{"annotations":{{"a": 1,"{INVOKE_ENDPOINT}":"{}"}}}}"#, "x".repeat(600));
        patch(&long).apply(&mut function).unwrap();
        assert_eq!(function.updated_at, Timestamp::from_millis(1));
        assert_eq!(serde_json::to_string(&function.annotations).unwrap(), r#"{"a":1}"#);
    }
}
