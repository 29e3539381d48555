//! `api-spec/v1.yaml`, by which every response has to be valid that a test of the server's HTTP or an end-to-end test gets:
//! their clients include this file.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use http::Method;
use http::header::{CONTENT_TYPE, ORIGIN};
use http::{HeaderMap, StatusCode};
use jsonschema::Validator;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

static DESCRIPTION: LazyLock<Map<String, Value>> =
    LazyLock::new(|| serde_saphyr::from_str(include_str!("../api-spec/v1.yaml")).unwrap());

/// What a request has to be known by until its response is here.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    /// The path as it was sent, without the query.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
}

/// A response, read to its end.
#[derive(Debug)]
pub(crate) struct Answered<'a> {
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

impl Asked {
    /// Holds the answer to the description.
    ///
    /// # Panics
    /// It is not valid by it.
    #[track_caller]
    pub(crate) fn is_described_with(&self, answer: &Answered<'_>) {
        let status = answer.status.as_u16();
        // The two that any request may get: a head over its limits, and a web page that may not ask.
        if status == 431 || self.headers.contains_key(ORIGIN) && (status == 403 || self.method == Method::OPTIONS) {
            return;
        }
        let Some(operation) = self.operation() else {
            assert!(matches!(status, 301 | 307 | 400 | 404 | 413), "{self:?} is not described: {answer:?}");
            return;
        };
        let place = [format!("{operation}/responses/{status}"), format!("{operation}/responses/default")];
        let place = place.into_iter().find(|place| at(place).is_some());
        let place = place.unwrap_or_else(|| panic!("{status} to {self:?} is not described: {answer:?}"));
        self.has_described_body(&place, answer);
    }

    /// Where the description has what was asked.
    fn operation(&self) -> Option<String> {
        let path = percent_decode_str(&self.path).decode_utf8_lossy();
        let templates = DESCRIPTION["paths"].as_object().unwrap();
        let template = templates.keys().find(|template| fits(template, &path))?;
        let method = if self.method == Method::HEAD { Method::GET } else { self.method.clone() };
        let place = format!("/paths/{}/{}", escaped(template), method.as_str().to_lowercase());
        at(&place).is_some().then_some(place)
    }

    #[track_caller]
    fn has_described_body(&self, place: &str, answer: &Answered<'_>) {
        let content = at(&format!("{place}/content")).and_then(|content| content.as_object()).unwrap();
        if content.contains_key("*/*") {
            return;
        }
        let given = answer.headers.get(CONTENT_TYPE).unwrap_or_else(|| panic!("no content type: {answer:?}"));
        let given = given.to_str().unwrap().split(';').next().unwrap();
        assert!(content.contains_key(given), "{given} to {self:?} is not described");
        if given == "application/json" && self.method != Method::HEAD {
            let schema = format!("{place}/content/{}/schema", escaped(given));
            let body = serde_json::from_slice(answer.body).unwrap();
            let faults: Vec<String> = validator(&schema).iter_errors(&body).map(|fault| fault.to_string()).collect();
            assert!(faults.is_empty(), "the body of {answer:?} to {self:?} is not as {schema} has it: {faults:?}");
        }
    }
}

/// The schema at this place, which may refer to those that all share.
fn validator(place: &str) -> Arc<Validator> {
    static MADE: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);
    let mut made = MADE.lock().unwrap();
    let make = || {
        let mut schema = at(place).unwrap_or_else(|| panic!("{place}")).clone();
        schema["components"] = DESCRIPTION["components"].clone();
        Arc::new(jsonschema::draft202012::options().should_validate_formats(true).build(&schema).unwrap())
    };
    Arc::clone(made.entry(place.to_owned()).or_insert_with(make))
}

/// What stands at this JSON pointer, by way of what the places above it refer to.
fn at(place: &str) -> Option<&'static Value> {
    let mut found = None::<&Value>;
    for key in place.split('/').skip(1) {
        let key = key.replace("~1", "/").replace("~0", "~");
        let here = match found {
            None => DESCRIPTION.get(&key),
            Some(Value::Array(items)) => items.get(key.parse::<usize>().ok()?),
            Some(value) => value.get(&key),
        }?;
        let refers = here.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix('#'));
        found = Some(refers.map_or(Some(here), at)?);
    }
    found
}

/// A key as a JSON pointer has it.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Whether a path has this form: `{route}` is all that is left, other parameters are one segment.
fn fits(template: &str, path: &str) -> bool {
    let (mut parts, mut segments) = (template.split('/'), path.split('/'));
    loop {
        match (parts.next(), segments.next()) {
            (None, None) => return true,
            (Some("{route}"), Some(_)) => return true,
            (Some(part), Some(segment)) if part.starts_with('{') && !segment.is_empty() || part == segment => {}
            _ => return false,
        }
    }
}

#[test]
fn every_example_is_valid() {
    fn walk(place: &str, value: &Value, checked: &mut usize) {
        if let (Some(example), true) = (value.get("example"), value.get("schema").is_some()) {
            let faults: Vec<_> =
                validator(&format!("{place}/schema")).iter_errors(example).map(|f| f.to_string()).collect();
            assert!(faults.is_empty(), "{place}: {faults:?}");
            *checked += 1;
        }
        match value {
            Value::Object(entries) => {
                entries.iter().for_each(|(key, value)| walk(&format!("{place}/{}", escaped(key)), value, checked));
            }
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(n, value)| walk(&format!("{place}/{n}"), value, checked));
            }
            _ => {}
        }
    }
    let mut checked = 0;
    for (key, value) in &*DESCRIPTION {
        walk(&format!("/{key}"), value, &mut checked);
    }
    for (name, schema) in DESCRIPTION["components"]["schemas"].as_object().unwrap() {
        if let Some(example) = schema.get("example") {
            assert!(validator(&format!("/components/schemas/{name}")).is_valid(example), "{name}");
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked}");
}
