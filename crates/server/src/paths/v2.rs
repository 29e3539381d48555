//! What requests of API v2 ask for, and how its paths are told from those of API v1.

use percent_encoding::percent_decode_str;

use super::cut;
use super::endpoints::{Endpoint, Methods};

/// Which API a path is of, also one that leads nowhere: it decides the form of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// API v1, and the server's own endpoints.
    V1,
    /// API v2.
    V2,
}

/// What is asked of API v2. Names and ids are as they stand in the decoded path of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Managed<'p> {
    OpenApi,
    ListApps,
    CreateApp,
    GetApp(&'p str),
    UpdateApp(&'p str),
    DeleteApp(&'p str),
    ListFns,
    CreateFn,
    GetFn(&'p str),
    UpdateFn(&'p str),
    DeleteFn(&'p str),
    ListTriggers,
    CreateTrigger,
    GetTrigger(&'p str),
    UpdateTrigger(&'p str),
    DeleteTrigger(&'p str),
    ListAppCalls(&'p str),
    GetAppCall(AnyCall<'p>),
    GetAppLog(AnyCall<'p>),
    CancelAppCall(AnyCall<'p>),
    ListFnCalls(&'p str),
    GetFnCall(AnyCall<'p>),
    GetFnLog(AnyCall<'p>),
    CancelFnCall(AnyCall<'p>),
}

/// A call as a URL names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AnyCall<'p> {
    /// The app or the function.
    pub(crate) of: &'p str,
    pub(crate) call: &'p str,
}

impl Version {
    /// The API of a path, decoded or not.
    pub(crate) fn of(path: &str) -> Self {
        let (_, rooted) = cut(path);
        let (first, _) = cut(rooted.strip_prefix('/').unwrap_or_default());
        let first = percent_decode_str(first);
        let is_v2 = ["v2", "invoke", "t"].iter().any(|name| first.clone().eq(name.bytes()));
        if is_v2 { Self::V2 } else { Self::V1 }
    }
}

/// The methods with which `path` would lead somewhere, as `Allow` has them; none if there are none.
pub(super) fn allowed(endpoints: &[Endpoint], path: &str) -> Option<String> {
    let fits = |endpoint: &&Endpoint| endpoint.take(path).is_some();
    let methods: Vec<&str> = endpoints.iter().filter(fits).flat_map(|endpoint| names(&endpoint.methods)).collect();
    (!methods.is_empty()).then(|| methods.join(", "))
}

fn names(methods: &Methods) -> Vec<&str> {
    match methods {
        Methods::Get => vec!["GET", "HEAD"],
        Methods::One(one) => vec![one.as_str()],
        Methods::Any => Methods::ALL.iter().map(http::Method::as_str).collect(),
    }
}
