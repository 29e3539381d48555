//! Routes: the view that API v1 has of a trigger together with its function.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::path::validate_route_path;
use crate::{
    Annotations, App, CallType, Config, ConfigPatch, Error, FnId, Format, Function, FunctionLimits, Headers,
    HeadersPatch, Timestamp, Trigger, TriggerId, clean_path,
};

/// One HTTP trigger and its function, as API v1 shows them. Keys in the contract's order (B.1.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of Trigger and Function")]
pub struct Route {
    pub app_name: String,
    pub path: String,
    pub image: String,
    pub memory: u64,
    #[serde(skip_serializing_if = "Headers::is_empty", default)]
    pub headers: Headers,
    #[serde(rename = "type")]
    pub call_type: CallType,
    pub format: Format,
    pub timeout: u32,
    pub idle_timeout: u32,
    #[serde(skip_serializing_if = "Config::is_empty", default)]
    pub config: Config,
    pub created_at: Timestamp,
}

impl Route {
    /// The view of `trigger` and the function it leads to.
    #[must_use]
    pub fn of(app_name: &str, trigger: Trigger, function: Function) -> Self {
        Self {
            app_name: app_name.to_owned(),
            path: trigger.source,
            image: function.image,
            memory: function.limits.memory_mb,
            headers: trigger.headers,
            call_type: function.call_type,
            format: function.format,
            timeout: function.limits.timeout_secs,
            idle_timeout: function.limits.idle_timeout_secs,
            config: function.config,
            created_at: trigger.created_at,
        }
    }

    /// A new function and trigger of `app` that this route is the view of. Both names derive from the path
    /// (`/hello/world` is `hello-world`); whoever stores them makes them unique.
    #[must_use]
    pub fn split(self, app: &App) -> (Function, Trigger) {
        let name = derived_name(&self.path);
        let function = Function {
            id: FnId::generate(),
            app_id: app.id,
            name: name.clone(),
            image: self.image,
            format: self.format,
            call_type: self.call_type,
            limits: FunctionLimits {
                memory_mb: self.memory,
                timeout_secs: self.timeout,
                idle_timeout_secs: self.idle_timeout,
            },
            config: self.config,
            annotations: Annotations::default(),
            shape: app.shape.clone(),
            made_by_route: true,
            created_at: self.created_at,
            updated_at: self.created_at,
        };
        let trigger = Trigger {
            id: TriggerId::generate(),
            app_id: app.id,
            fn_id: function.id,
            name,
            source: self.path,
            headers: self.headers,
            annotations: Annotations::default(),
            created_at: self.created_at,
            updated_at: self.created_at,
        };
        (function, trigger)
    }
}

/// A name of ASCII letters, digits, `-` and `_` that tells which path it was made for; at most 200 bytes.
fn derived_name(path: &str) -> String {
    const MAX: usize = 200;
    let mut name = String::with_capacity(path.len());
    for c in path.trim_matches('/').chars() {
        match c {
            c if c.is_ascii_alphanumeric() || c == '-' || c == '_' => name.push(c),
            '/' | '.' | ' ' => name.push('-'),
            // Writing to a String cannot fail.
            other => drop(write!(name, "x{:x}", u32::from(other))),
        }
        if name.len() >= MAX {
            break;
        }
    }
    if name.is_empty() { "root".to_owned() } else { name }
}

/// What an API v1 request says about a route. Absent, null, empty and zero mean "not said".
#[derive(Clone, Debug, Default, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of Route")]
pub struct RoutePatch {
    pub path: Option<String>,
    pub image: Option<String>,
    pub memory: Option<u64>,
    pub headers: Option<HeadersPatch>,
    #[serde(rename = "type")]
    pub call_type: Option<String>,
    pub format: Option<String>,
    pub timeout: Option<i32>,
    pub idle_timeout: Option<i32>,
    pub config: Option<ConfigPatch>,
    /// Must be well-formed, and is ignored.
    pub created_at: Option<GivenTime>,
}

/// A time that a client may give: RFC 3339, or empty.
#[derive(Clone, Copy, Debug)]
pub struct GivenTime;

impl<'de> Deserialize<'de> for GivenTime {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        if !text.is_empty() {
            text.parse::<Timestamp>().map_err(serde::de::Error::custom)?;
        }
        Ok(Self)
    }
}

impl RoutePatch {
    /// The route this request creates at `path`: the body's own path for POST, the URL's for PUT.
    ///
    /// # Errors
    /// The first rule broken, in the contract's order: path, image, type, format, timeout, idle timeout, memory.
    pub fn create(self, app_name: &str, path: &str) -> Result<Route, Error> {
        if app_name.is_empty() {
            return Err(Error::MissingRouteAppName);
        }
        validate_route_path(path)?;
        let image = self.image.filter(|image| !image.is_empty()).ok_or(Error::MissingRouteImage)?;
        let call_type = call_type(self.call_type.as_deref())?.unwrap_or_default();
        let format = format(self.format.as_deref())?.unwrap_or_default();
        let defaults = FunctionLimits::default();
        let timeout = said(self.timeout).map_or(Ok(defaults.timeout_secs), |seconds| {
            FunctionLimits::route_timeout(i64::from(seconds), call_type)
        })?;
        let idle_timeout =
            said(self.idle_timeout).map_or(Ok(defaults.idle_timeout_secs), FunctionLimits::route_idle_timeout)?;
        let memory = said(self.memory).map_or(Ok(defaults.memory_mb), FunctionLimits::route_memory)?;
        Ok(Route {
            app_name: app_name.to_owned(),
            path: clean_path(path).into_owned(),
            image,
            memory,
            headers: self.headers.unwrap_or_default().into_new(),
            call_type,
            format,
            timeout,
            idle_timeout,
            config: self.config.unwrap_or_default().into_new(),
            created_at: Timestamp::now(),
        })
    }

    /// Checks that the body names no other path than the URL's `path`, which is in cleaned form.
    ///
    /// # Errors
    /// [`Error::PathImmutable`] when it does.
    pub fn validate_path(&self, path: &str) -> Result<(), Error> {
        match self.path.as_deref() {
            None | Some("") => Ok(()),
            Some(own) if own == path => Ok(()),
            Some(_) => Err(Error::PathImmutable),
        }
    }

    /// Changes `function` and `trigger` as the request says. Limits are checked for what the request changes only,
    /// because the other door may have set what this one would refuse. Nothing is changed on error.
    ///
    /// # Errors
    /// The first rule broken, in the contract's order: type, format, timeout, idle timeout, memory.
    pub fn apply(self, function: &mut Function, trigger: &mut Trigger) -> Result<(), Error> {
        let new_type = call_type(self.call_type.as_deref())?;
        let new_format = format(self.format.as_deref())?;
        let call_type = new_type.unwrap_or(function.call_type);
        let mut limits = function.limits;
        if let Some(seconds) = said(self.timeout).map(i64::from) {
            limits.timeout_secs = FunctionLimits::route_timeout(seconds, call_type)?;
        } else if new_type.is_some_and(|new| new != function.call_type) {
            limits.timeout_secs = FunctionLimits::route_timeout(i64::from(limits.timeout_secs), call_type)?;
        }
        if let Some(seconds) = said(self.idle_timeout) {
            limits.idle_timeout_secs = FunctionLimits::route_idle_timeout(seconds)?;
        }
        if let Some(mb) = said(self.memory) {
            limits.memory_mb = FunctionLimits::route_memory(mb)?;
        }

        function.limits = limits;
        function.call_type = call_type;
        function.format = new_format.unwrap_or(function.format);
        if let Some(image) = self.image.filter(|image| !image.is_empty()) {
            function.image = image;
        }
        if let Some(config) = self.config {
            function.config.merge(config);
        }
        if let Some(headers) = self.headers {
            trigger.headers.merge(headers);
        }
        function.updated_at = Timestamp::now();
        trigger.updated_at = function.updated_at;
        Ok(())
    }
}

/// Zero means "not said".
fn said<T: Default + PartialEq>(value: Option<T>) -> Option<T> {
    value.filter(|value| *value != T::default())
}

fn call_type(text: Option<&str>) -> Result<Option<CallType>, Error> {
    let word = text.filter(|text| !text.is_empty());
    word.map(|word| word.parse().map_err(|_| Error::InvalidRouteType)).transpose()
}

fn format(text: Option<&str>) -> Result<Option<Format>, Error> {
    let word = text.filter(|text| !text.is_empty());
    word.map(|word| word.parse().map_err(|_| Error::InvalidRouteFormat)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(json: &str) -> RoutePatch {
        serde_json::from_str(json).unwrap()
    }

    fn create(json: &str) -> Result<Route, Error> {
        let patch = patch(json);
        let path = patch.path.clone().unwrap_or_default();
        patch.create("app", &path)
    }

    #[test]
    fn zero_and_absent_get_the_defaults() {
        let route = create(r#"{"path":"/b/../a/","image":"i","memory":0,"timeout":0,"idle_timeout":0,"type":""}"#);
        let mut json = serde_json::to_value(route.unwrap()).unwrap();
        json.as_object_mut().unwrap().remove("created_at");
        assert_eq!(
            json,
            serde_json::json!({"app_name":"app","path":"/a","image":"i","memory":128,"type":"sync",
                "format":"default","timeout":30,"idle_timeout":30})
        );
    }

    #[test]
    fn the_first_broken_rule_wins_in_the_contracts_order() {
        for (json, error) in [
            (r#"{"image":"i"}"#, Error::MissingRoutePath),
            (r#"{"path":"/a%zz"}"#, Error::PathMalformed),
            (r#"{"path":"/a","type":"x"}"#, Error::MissingRouteImage),
            (r#"{"path":"/a","image":"i","type":"x","format":"y"}"#, Error::InvalidRouteType),
            (r#"{"path":"/a","image":"i","format":"y","timeout":-1}"#, Error::InvalidRouteFormat),
            (r#"{"path":"/a","image":"i","timeout":121,"idle_timeout":-1}"#, Error::InvalidTimeout),
            (r#"{"path":"/a","image":"i","timeout":-1}"#, Error::InvalidTimeout),
            (r#"{"path":"/a","image":"i","type":"async","timeout":3601}"#, Error::InvalidTimeout),
            (r#"{"path":"/a","image":"i","idle_timeout":3601,"memory":8193}"#, Error::InvalidIdleTimeout),
            (r#"{"path":"/a","image":"i","memory":8193}"#, Error::InvalidMemory),
        ] {
            assert_eq!(create(json), Err(error), "{json}");
        }
        for json in [
            r#"{"path":"/a","image":"i","timeout":120,"idle_timeout":3600,"memory":8192}"#,
            r#"{"path":"/a","image":"i","type":"async","timeout":3600}"#,
            r#"{"path":"/a","image":"i","created_at":""}"#,
            r#"{"path":"/a","image":"i","created_at":"2026-01-02T03:04:05.678901234+01:00"}"#,
        ] {
            assert!(create(json).is_ok(), "{json}");
        }
    }

    #[test]
    fn wrong_types_are_refused_when_read() {
        for json in [
            r#"{"memory":-1}"#,
            r#"{"memory":1.5}"#,
            r#"{"timeout":1.5}"#,
            r#"{"timeout":2147483648}"#,
            r#"{"headers":{"a":"b"}}"#,
            r#"{"config":{"a":1}}"#,
            r#"{"created_at":"yesterday"}"#,
        ] {
            assert!(serde_json::from_str::<RoutePatch>(json).is_err(), "{json}");
        }
    }

    fn stored(json: &str) -> (Function, Trigger) {
        create(json).unwrap().split(&App::new("app", Config::default()).unwrap())
    }

    #[test]
    fn an_update_changes_what_it_says_and_checks_no_more() {
        let (mut function, mut trigger) = stored(r#"{"path":"/a","image":"i","config":{"k":"v","l":"w"}}"#);
        function.limits.timeout_secs = 300;
        let update = patch(r#"{"image":"j","config":{"k":""},"headers":{"x-a":["1"]},"memory":256}"#);
        update.apply(&mut function, &mut trigger).unwrap();
        let route = Route::of("app", trigger, function);
        assert_eq!((route.image.as_str(), route.memory, route.timeout), ("j", 256, 300));
        assert_eq!(serde_json::to_string(&route.config).unwrap(), r#"{"l":"w"}"#);
        assert_eq!(serde_json::to_string(&route.headers).unwrap(), r#"{"X-A":["1"]}"#);
    }

    #[test]
    fn a_change_of_type_checks_the_stored_timeout() {
        let (mut function, mut trigger) = stored(r#"{"path":"/a","image":"i","type":"async","timeout":3600}"#);
        let change = |json: &str, f: &mut Function, t: &mut Trigger| patch(json).apply(f, t);
        assert_eq!(change(r#"{"type":"sync"}"#, &mut function, &mut trigger), Err(Error::InvalidTimeout));
        assert_eq!(function.call_type, CallType::Async);
        assert_eq!(change(r#"{"type":"sync","timeout":60}"#, &mut function, &mut trigger), Ok(()));
        assert_eq!(function.call_type, CallType::Sync);
    }

    #[test]
    fn names_derive_from_the_path() {
        for (path, name) in [("/", "root"), ("/hello/world", "hello-world"), ("/a.b", "a-b"), ("/é*", "xe9x2a")] {
            assert_eq!(derived_name(path), name);
        }
        assert!(derived_name(&format!("/{}", "é".repeat(1000))).len() < 255);
    }
}
