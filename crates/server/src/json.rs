//! JSON as it comes in and goes out: objects only where objects are meant, nothing after them, and the contract's
//! escapes on the way out.

use std::fmt;
use std::marker::PhantomData;

use axum::body::Body;
use axum::response::Response;
use hearth_models::Error;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// A value that only a JSON object is read as. Derived structs would also take an array of their fields.
#[derive(Debug)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OnlyMap<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for OnlyMap<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(OnlyMap(PhantomData)).map(Self)
    }
}

/// Reads the body of a management request: one object, or `null`, which is none. Depth is bounded by the parser.
///
/// # Errors
/// [`Error::InvalidJson`], whatever is wrong with it.
pub(crate) fn read<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<Option<T>, Error> {
    match serde_json::from_slice::<Option<Object<T>>>(body) {
        Ok(object) => Ok(object.map(|Object(value)| value)),
        Err(_) => Err(Error::InvalidJson),
    }
}

/// Reads the body of a request of API v2: the first value in it, an object, or `null`, which is an empty one. What
/// follows is not looked at (v2 contract B.1.1).
///
/// # Errors
/// [`Error::InvalidJson`], whatever is wrong with it.
pub(crate) fn read_first<'de, T: Deserialize<'de> + Default>(body: &'de [u8]) -> Result<T, Error> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let object: Option<T> = Deserialize::deserialize(&mut json).map_err(|_| Error::InvalidJson)?;
    Ok(object.unwrap_or_default())
}

/// `value` as the body of a success.
///
/// # Errors
/// The value refuses to be written, which no value of ours does.
pub(crate) fn reply<T: Serialize>(value: &T) -> serde_json::Result<Response> {
    Ok(response(StatusCode::OK, hearth_models::json::to_vec(value)?))
}

/// A response whose body is JSON text.
pub(crate) fn response(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Inner {
        name: Option<String>,
    }

    #[derive(Debug, Deserialize)]
    struct Outer {
        inner: Option<Object<Inner>>,
    }

    fn name(body: &str) -> Result<Option<Option<String>>, Error> {
        let outer: Option<Outer> = read(body.as_bytes())?;
        let inner = outer.and_then(|outer| outer.inner);
        Ok(inner.map(|Object(inner)| inner.name))
    }

    #[test]
    fn objects_are_read_and_null_is_none() {
        assert_eq!(name(r#" {"inner":{"name":"x","more":[1]}} "#), Ok(Some(Some("x".into()))));
        assert_eq!(name(r#"{"inner":null,"INNER":{}}"#), Ok(None));
        assert_eq!(name("null"), Ok(None));
        assert_eq!(name("{}"), Ok(None));
        // What nobody asks for is skipped without recursion, however deep it is.
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(name(&format!(r#"{{"other":{deep}}}"#)), Ok(None));
    }

    #[test]
    fn everything_else_is_invalid() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for body in [
            "",
            " ",
            "x",
            "{",
            "[]",
            "1",
            r#""text""#,
            r#"[{"name":"x"}]"#,
            r#"{"inner":["x"]}"#,
            r#"{"inner":{"name":1}}"#,
            r#"{"inner":{"name":"x"}} garbage"#,
            r#"{"inner":{"name":"x"}}{}"#,
            "{\"inner\":{\"name\":\"\u{1}\"}}",
            r#"{"inner":{"name":"\ud800"}}"#,
            r#"{"inner":{"name":"a","name":"b"}}"#,
            &deep,
            &format!(r#"{{"inner":{{"name":{deep}}}}}"#),
        ] {
            assert_eq!(name(body), Err(Error::InvalidJson), "{:.60}", body);
        }
        assert!(read::<Outer>(b"{\"inner\":{\"name\":\"\xff\"}}").is_err());
    }
}
