//! API v1: apps, routes, calls and logs. A handler reads its input, makes one call to the domain and shows the result.

pub(crate) mod apps;
pub(crate) mod calls;
pub(crate) mod dead_calls;
pub(crate) mod routes;

use serde::Serialize;

/// The body of a success that shows nothing.
#[derive(Debug, Serialize)]
struct Done {
    message: &'static str,
}
