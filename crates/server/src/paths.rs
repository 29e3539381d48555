//! From a method and a path to what is asked for: a pure function, so that the router's every rule stands in a table.
//!
//! The rules are those of v1 contract B.1.1 with A.1, and no general-purpose router has them: the path is taken
//! percent-decoded (`%2F` is a slash), empty segments count, one trailing slash too many or too few is answered with
//! a redirect, a wrong method is not told from an unknown path, and HEAD is answered wherever GET is.

use std::borrow::Cow;

use hearth_models::Error;
use http::{Method, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What a request asks for. Names and paths are as they stand in the decoded path of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation<'p> {
    Root,
    Version,
    Stats,
    Metrics,
    Live,
    Ready,
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
    let whole = raw.split('%').skip(1).all(|after| {
        let hex = after.as_bytes();
        hex.len() >= 2 && hex[..2].iter().all(u8::is_ascii_hexdigit)
    });
    if !whole {
        return Err(Error::PathMalformed);
    }
    match percent_decode_str(raw).decode_utf8() {
        Ok(path) if !path.bytes().any(|byte| byte.is_ascii_control()) => Ok(path),
        _ => Err(Error::PathMalformed),
    }
}

/// What `method` on the decoded `path` asks for.
///
/// # Errors
/// The path leads nowhere, or only with a slash more or less.
pub(crate) fn resolve<'p>(method: &Method, path: &'p str) -> Result<Operation<'p>, Refusal> {
    match find(method, path) {
        Err(Error::PathNotFound) => Err(redirect(method, path)),
        found => found.map_err(Refusal::Error),
    }
}

fn redirect(method: &Method, path: &str) -> Refusal {
    let corrected = match path.strip_suffix('/') {
        // The reference's routes below an app absorb the slash of `GET /v1/apps/x/`.
        Some(shorter) => match find(method, shorter) {
            Err(Error::PathNotFound) | Ok(Operation::GetApp(_)) => None,
            _ => Some(Cow::Borrowed(shorter)),
        },
        None => {
            let longer = format!("{path}/");
            find(method, &longer).is_ok().then_some(Cow::Owned(longer))
        }
    };
    let Some(corrected) = corrected else {
        return Refusal::Error(Error::PathNotFound);
    };
    let status = if is_get(method) { StatusCode::MOVED_PERMANENTLY } else { StatusCode::TEMPORARY_REDIRECT };
    Refusal::Redirect { status, path: utf8_percent_encode(&corrected, KEPT_IN_PATHS).to_string() }
}

fn find<'p>(method: &Method, path: &'p str) -> Result<Operation<'p>, Error> {
    if let Some(rest) = path.strip_prefix("/r/") {
        return invocation(method, rest);
    }
    if let Some(rest) = path.strip_prefix("/v1/apps") {
        return management(method, rest);
    }
    let operation = match path {
        "/" => Operation::Root,
        "/version" => Operation::Version,
        "/stats" => Operation::Stats,
        "/metrics" => Operation::Metrics,
        "/live" => Operation::Live,
        "/ready" => Operation::Ready,
        _ => return Err(Error::PathNotFound),
    };
    is_get(method).then_some(operation).ok_or(Error::PathNotFound)
}

fn invocation<'p>(method: &Method, rest: &'p str) -> Result<Operation<'p>, Error> {
    if rest.is_empty() || !is_standard(method) {
        return Err(Error::PathNotFound);
    }
    let end = rest.find('/').unwrap_or(rest.len());
    let (app, rest) = rest.split_at(end);
    if app.is_empty() {
        return Err(Error::MissingAppName);
    }
    let rest = Some(rest).filter(|rest| !rest.is_empty());
    Ok(Operation::Invoke { app, rest })
}

/// What stands below `/v1/apps`; `rest` is the path after that.
fn management<'p>(method: &Method, rest: &'p str) -> Result<Operation<'p>, Error> {
    let operation = if rest.is_empty() {
        apps(method)
    } else {
        let below = rest.strip_prefix('/').ok_or(Error::PathNotFound)?;
        match below.split_once('/') {
            None => app(method, below),
            Some((app, below)) => below_app(method, app, below),
        }
    };
    operation.unwrap_or(Err(Error::PathNotFound))
}

type Found<'p> = Option<Result<Operation<'p>, Error>>;

fn apps<'p>(method: &Method) -> Found<'p> {
    match *method {
        Method::GET | Method::HEAD => Some(Ok(Operation::ListApps)),
        Method::POST => Some(Ok(Operation::CreateApp)),
        _ => None,
    }
}

fn app<'p>(method: &Method, app: &'p str) -> Found<'p> {
    let operation = match *method {
        // Without a name it is the list with a slash too many.
        Method::GET | Method::HEAD if app.is_empty() => return None,
        Method::GET | Method::HEAD => Operation::GetApp(app),
        Method::PATCH => Operation::UpdateApp(app),
        Method::DELETE => Operation::DeleteApp(app),
        _ => return None,
    };
    Some(named(app, operation))
}

fn below_app<'p>(method: &Method, app: &'p str, below: &'p str) -> Found<'p> {
    let operation = if let Some(path) = below.strip_prefix("routes") {
        routes(method, app, path)?
    } else if let Some(rest) = below.strip_prefix("dead-calls") {
        dead_calls(method, app, rest)?
    } else {
        calls(method, app, below.strip_prefix("calls")?)?
    };
    Some(named(app, operation))
}

fn routes<'p>(method: &Method, app: &'p str, path: &'p str) -> Option<Operation<'p>> {
    let route = RouteRef { app, path };
    match (method, path.is_empty()) {
        (&Method::GET | &Method::HEAD, true) => Some(Operation::ListRoutes(app)),
        (&Method::POST, true) => Some(Operation::CreateRoute(app)),
        _ if !path.starts_with('/') => None,
        (&Method::GET | &Method::HEAD, _) => Some(Operation::GetRoute(route)),
        (&Method::PUT, _) => Some(Operation::PutRoute(route)),
        (&Method::PATCH, _) => Some(Operation::UpdateRoute(route)),
        (&Method::DELETE, _) => Some(Operation::DeleteRoute(route)),
        _ => None,
    }
}

fn calls<'p>(method: &Method, app: &'p str, rest: &'p str) -> Option<Operation<'p>> {
    if *method == Method::DELETE {
        let call = rest.strip_prefix('/').filter(|call| !call.is_empty() && !call.contains('/'))?;
        return Some(Operation::CancelCall(CallRef { app, call }));
    }
    if !is_get(method) {
        return None;
    }
    if rest.is_empty() {
        return Some(Operation::ListCalls(app));
    }
    let rest = rest.strip_prefix('/')?;
    let (call, log) = match rest.split_once('/') {
        None => (rest, false),
        Some((call, "log")) => (call, true),
        Some(_) => return None,
    };
    let call = CallRef { app, call };
    match (call.call.is_empty(), log) {
        (true, _) => None,
        (false, true) => Some(Operation::GetLog(call)),
        (false, false) => Some(Operation::GetCall(call)),
    }
}

fn dead_calls<'p>(method: &Method, app: &'p str, rest: &'p str) -> Option<Operation<'p>> {
    if rest.is_empty() {
        return is_get(method).then_some(Operation::ListDeadCalls(app));
    }
    let call = rest.strip_prefix('/')?.strip_suffix("/redrive")?;
    let is_one = *method == Method::POST && !call.is_empty() && !call.contains('/');
    is_one.then_some(Operation::RedriveCall(CallRef { app, call }))
}

fn named<'p>(app: &str, operation: Operation<'p>) -> Result<Operation<'p>, Error> {
    if app.is_empty() { Err(Error::MissingAppName) } else { Ok(operation) }
}

fn is_get(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Whether a function may be called with this method.
fn is_standard(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET
            | Method::POST
            | Method::PUT
            | Method::PATCH
            | Method::HEAD
            | Method::OPTIONS
            | Method::DELETE
            | Method::CONNECT
            | Method::TRACE
    )
}

#[cfg(test)]
mod tests;
