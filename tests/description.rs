//! `api-spec/v1.yaml` and `v2.yaml`, by which every response has to be valid that a test of the server's HTTP or an
//! end-to-end test gets: their clients include this file.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use http::Method;
use http::header::{CONTENT_TYPE, ORIGIN};
use http::{HeaderMap, StatusCode};
use jsonschema::Validator;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

static V1: LazyLock<Map<String, Value>> =
    LazyLock::new(|| serde_saphyr::from_str(include_str!("../api-spec/v1.yaml")).unwrap());
static V2: LazyLock<Map<String, Value>> =
    LazyLock::new(|| serde_saphyr::from_str(include_str!("../api-spec/v2.yaml")).unwrap());

/// One of the two.
type Document = &'static Map<String, Value>;

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
            assert!(matches!(status, 301 | 307 | 400 | 404 | 405 | 413), "{self:?} is not described: {answer:?}");
            return;
        };
        let place = [format!("{operation}/responses/{status}"), format!("{operation}/responses/default")];
        let place = place.into_iter().find(|place| at(self.document(), place).is_some());
        let place = place.unwrap_or_else(|| panic!("{status} to {self:?} is not described: {answer:?}"));
        self.has_described_body(&place, answer);
    }

    /// Where it is described.
    fn document(&self) -> Document {
        match self.path.split('/').nth(1) {
            Some("v2" | "invoke" | "t") => &V2,
            _ => &V1,
        }
    }

    /// Where the description has what was asked.
    fn operation(&self) -> Option<String> {
        let path = percent_decode_str(&self.path).decode_utf8_lossy();
        let document = self.document();
        let templates = document["paths"].as_object().unwrap();
        let template = templates.keys().find(|template| fits(template, &path))?;
        let place = |method: &Method| format!("/paths/{}/{}", escaped(template), method.as_str().to_lowercase());
        let own = Some(place(&self.method)).filter(|place| at(document, place).is_some());
        // HEAD goes with GET where it has no description of its own. In API v2 it is a method like others.
        let implied = self.method == Method::HEAD && std::ptr::eq(document, &*V1);
        own.or_else(|| implied.then(|| place(&Method::GET)).filter(|place| at(document, place).is_some()))
    }

    #[track_caller]
    fn has_described_body(&self, place: &str, answer: &Answered<'_>) {
        let document = self.document();
        let content = at(document, &format!("{place}/content")).and_then(|content| content.as_object()).unwrap();
        if content.contains_key("*/*") {
            return;
        }
        let given = answer.headers.get(CONTENT_TYPE).unwrap_or_else(|| panic!("no content type: {answer:?}"));
        let given = given.to_str().unwrap().split(';').next().unwrap();
        assert!(content.contains_key(given), "{given} to {self:?} is not described");
        if given == "application/json" && self.method != Method::HEAD {
            let schema = format!("{place}/content/{}/schema", escaped(given));
            let body = serde_json::from_slice(answer.body).unwrap();
            let faults: Vec<String> =
                validator(document, &schema).iter_errors(&body).map(|fault| fault.to_string()).collect();
            assert!(faults.is_empty(), "the body of {answer:?} to {self:?} is not as {schema} has it: {faults:?}");
        }
    }
}

/// The schema at this place, which may refer to those that all share.
fn validator(document: Document, place: &str) -> Arc<Validator> {
    type Made = HashMap<(bool, String), Arc<Validator>>;
    static MADE: LazyLock<Mutex<Made>> = LazyLock::new(Mutex::default);
    let mut made = MADE.lock().unwrap();
    let make = || {
        let mut schema = at(document, place).unwrap_or_else(|| panic!("{place}")).clone();
        schema["components"] = document["components"].clone();
        Arc::new(jsonschema::draft202012::options().should_validate_formats(true).build(&schema).unwrap())
    };
    Arc::clone(made.entry((std::ptr::eq(document, &*V1), place.to_owned())).or_insert_with(make))
}

/// What stands at this JSON pointer, by way of what the places above it refer to.
fn at(document: Document, place: &str) -> Option<&'static Value> {
    let mut found = None::<&Value>;
    for key in place.split('/').skip(1) {
        let key = key.replace("~1", "/").replace("~0", "~");
        let here = match found {
            None => document.get(&key),
            Some(Value::Array(items)) => items.get(key.parse::<usize>().ok()?),
            Some(value) => value.get(&key),
        }?;
        let refers = here.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix('#'));
        found = Some(refers.map_or(Some(here), |to| at(document, to))?);
    }
    found
}

/// A key as a JSON pointer has it.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Whether a path has this form: `{route}` and `{source}` are all that is left, other parameters are one segment.
fn fits(template: &str, path: &str) -> bool {
    let (mut parts, mut segments) = (template.split('/'), path.split('/'));
    loop {
        match (parts.next(), segments.next()) {
            (None, None) => return true,
            (Some("{route}" | "{source}"), Some(_)) => return true,
            (Some(part), Some(segment)) if part.starts_with('{') && !segment.is_empty() || part == segment => {}
            _ => return false,
        }
    }
}

#[test]
fn every_example_is_valid() {
    for document in [&*V1, &*V2] {
        let mut checked = 0;
        for (key, value) in document {
            check_examples(document, &format!("/{key}"), value, &mut checked);
        }
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            if let Some(example) = schema.get("example") {
                assert!(validator(document, &format!("/components/schemas/{name}")).is_valid(example), "{name}");
                checked += 1;
            }
        }
        assert!(checked > 30, "{checked}");
    }
}

fn check_examples(document: Document, place: &str, value: &Value, checked: &mut usize) {
    if let (Some(example), true) = (value.get("example"), value.get("schema").is_some()) {
        let validator = validator(document, &format!("{place}/schema"));
        let faults: Vec<_> = validator.iter_errors(example).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{place}: {faults:?}");
        *checked += 1;
    }
    let mut below = |key: &str, value| check_examples(document, &format!("{place}/{key}"), value, checked);
    match value {
        Value::Object(entries) => entries.iter().for_each(|(key, value)| below(&escaped(key), value)),
        Value::Array(items) => items.iter().enumerate().for_each(|(n, value)| below(&n.to_string(), value)),
        _ => {}
    }
}
