//! From a method and a path to what is asked for: a pure function, so that the router's every rule stands in a table.
//!
//! The rules are those of v1 contract B.1.1 with A.1, and no general-purpose router has them: the path is taken
//! percent-decoded (`%2F` is a slash), empty segments count, one trailing slash too many or too few is answered with
//! a redirect, a wrong method is not told from an unknown path, and HEAD is answered wherever GET is.
//!
//! API v2 has rules of its own where the contract's second part has: a wrong method is 405, and HEAD is no GET.
//!
//! What there is to ask for stands in one table (`endpoints`), to which the API's description is held too.

pub(crate) mod endpoints;
mod v2;

use std::borrow::Cow;

use hearth_models::{Error, v2::Error as V2Error};
use http::{Method, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use self::endpoints::{ADMIN_ENDPOINTS, ENDPOINTS, Endpoint};
pub(crate) use self::v2::{AnyCall, Managed, Version};

/// What a request asks for. Names and paths are as they stand in the decoded path of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation<'p> {
    Root,
    Version,
    Stats,
    Metrics,
    Live,
    Ready,
    OpenApi,
    GetLogLevel,
    SetLogLevel,
    ListApps,
    CreateApp,
    GetApp(&'p str),
    UpdateApp(&'p str),
    DeleteApp(&'p str),
    ListRoutes(&'p str),
    CreateRoute(&'p str),
    GetRoute(RouteRef<'p>),
    PutRoute(RouteRef<'p>),
    UpdateRoute(RouteRef<'p>),
    DeleteRoute(RouteRef<'p>),
    ListCalls(&'p str),
    GetCall(CallRef<'p>),
    GetLog(CallRef<'p>),
    CancelCall(CallRef<'p>),
    ListDeadCalls(&'p str),
    RedriveCall(CallRef<'p>),
    /// Run a function. `rest` is what follows the app, slash included; none for the bare app.
    Invoke {
        app: &'p str,
        rest: Option<&'p str>,
    },
    /// Run a function that is named by its id.
    InvokeFn(&'p str),
    /// Run the function of a trigger. The source begins with a slash.
    CallTrigger {
        app: &'p str,
        source: &'p str,
    },
    /// What API v2 manages.
    V2(Managed<'p>),
}

/// A route as a URL names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RouteRef<'p> {
    pub(crate) app: &'p str,
    /// Rooted, and not cleaned.
    pub(crate) path: &'p str,
}

/// A call as a URL names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallRef<'p> {
    pub(crate) app: &'p str,
    pub(crate) call: &'p str,
}

/// Why a path leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Error(Error),
    /// It leads somewhere with other methods only.
    Method {
        error: Error,
        /// These.
        allow: String,
    },
    /// With one slash less, or one more, it would lead somewhere.
    Redirect {
        status: StatusCode,
        /// The corrected path, percent-encoded.
        path: String,
    },
}

/// Characters that a path keeps when it is encoded again.
const KEPT_IN_PATHS: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b',')
    .remove(b'/')
    .remove(b':')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');

/// The path of a request as the router sees it.
///
/// # Errors
/// [`Error::PathMalformed`] when an escape is broken or stands for a control character or for no UTF-8: no stored
/// path can have those.
pub(crate) fn decode(raw: &str) -> Result<Cow<'_, str>, Error> {
    let path = if raw.contains('%') { unescape(raw)? } else { Cow::Borrowed(raw) };
    if path.bytes().any(|byte| byte.is_ascii_control()) { Err(Error::PathMalformed) } else { Ok(path) }
}

fn unescape(raw: &str) -> Result<Cow<'_, str>, Error> {
    let whole = raw.split('%').skip(1).all(|after| {
        let hex = after.as_bytes();
        hex.len() >= 2 && hex[..2].iter().all(u8::is_ascii_hexdigit)
    });
    if !whole {
        return Err(Error::PathMalformed);
    }
    percent_decode_str(raw).decode_utf8().map_err(|_| Error::PathMalformed)
}

/// Through which door a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// The one for everybody.
    Public,
    /// The one for operators.
    Admin,
}

/// What `method` on the decoded `path` asks for, at `door`.
///
/// # Errors
/// The path leads nowhere, or only with a slash more or less.
pub(crate) fn resolve<'p>(door: Door, method: &Method, path: &'p str) -> Result<Operation<'p>, Refusal> {
    match find(door, method, path) {
        Err(Error::PathNotFound) => Err(redirect(door, method, path).unwrap_or_else(|| nowhere(door, method, path))),
        found => found.map_err(Refusal::Error),
    }
}

fn nowhere(door: Door, method: &Method, path: &str) -> Refusal {
    let (asked, named) = (method.to_string(), path.to_owned());
    match (Version::of(path), v2::allowed(endpoints(door), path)) {
        (Version::V1, _) => Refusal::Error(Error::PathNotFound),
        (Version::V2, None) => Refusal::Error(V2Error::PathNotFound { method: asked, path: named }.into()),
        (Version::V2, Some(allow)) => {
            Refusal::Method { error: V2Error::MethodNotAllowed { method: asked, path: named }.into(), allow }
        }
    }
}

fn redirect(door: Door, method: &Method, path: &str) -> Option<Refusal> {
    let corrected = match path.strip_suffix('/') {
        // The reference's routes below an app absorb the slash of `GET /v1/apps/x/`.
        Some(shorter) => match find(door, method, shorter) {
            Err(Error::PathNotFound) | Ok(Operation::GetApp(_)) => None,
            _ => Some(Cow::Borrowed(shorter)),
        },
        None => {
            let longer = format!("{path}/");
            find(door, method, &longer).is_ok().then_some(Cow::Owned(longer))
        }
    };
    let corrected = corrected?;
    let status = if is_get(method) { StatusCode::MOVED_PERMANENTLY } else { StatusCode::TEMPORARY_REDIRECT };
    Some(Refusal::Redirect { status, path: utf8_percent_encode(&corrected, KEPT_IN_PATHS).to_string() })
}

const fn endpoints(door: Door) -> &'static [Endpoint] {
    match door {
        Door::Public => ENDPOINTS,
        Door::Admin => ADMIN_ENDPOINTS,
    }
}

fn find<'p>(door: Door, method: &Method, path: &'p str) -> Result<Operation<'p>, Error> {
    for endpoint in endpoints(door).iter().filter(|endpoint| endpoint.methods.include(method)) {
        if let Some(taken) = endpoint.take(path) {
            let nameless = taken.app == Some("");
            return if nameless { Err(Error::MissingAppName) } else { Ok((endpoint.operation)(taken)) };
        }
    }
    Err(Error::PathNotFound)
}

/// `path` up to its first slash, and from there on.
fn cut(path: &str) -> (&str, &str) {
    // Segments are short: looking at each byte is quicker than preparing a search.
    path.split_at(path.bytes().position(|byte| byte == b'/').unwrap_or(path.len()))
}

fn is_get(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

#[cfg(test)]
mod tests;
