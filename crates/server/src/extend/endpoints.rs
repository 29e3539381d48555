//! Endpoints of an embedder, below `/v1` and below an app. The server's own come first, and none of these can be one of
//! them; limits of bodies, CORS, layers and the guard against panics hold for them like for all.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hearth_models::{App, Error};
use http::Method;

use super::Extensions;
use crate::paths::{self, Door};

/// The parameters of an endpoint's path, by name.
pub type Params = BTreeMap<String, String>;

/// A request to an endpoint of an embedder.
#[derive(Debug)]
pub struct EndpointRequest {
    /// The request, its body under the server's limits.
    pub request: Request,
    /// What stands in place of `{name}` in its path, decoded.
    pub params: Params,
    /// The app, of an endpoint below one.
    pub app: Option<App>,
}

/// Why an endpoint cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongEndpoint {
    /// Paths begin with a slash, do not end with one, and have no empty parts.
    #[error("{0} is no path of an endpoint")]
    Path(String),
    /// A request to it would be a request to something else.
    #[error("{0} {1} is taken")]
    Taken(Method, String),
}

type Handler = dyn Fn(EndpointRequest) -> BoxFuture<'static, Result<Response, Error>> + Send + Sync;

/// The endpoints in the order in which they were added.
#[derive(Clone, Debug, Default)]
pub(crate) struct Endpoints(Vec<Endpoint>);

#[derive(Clone)]
struct Endpoint {
    method: Method,
    /// As it was added.
    path: String,
    of_app: bool,
    handler: Arc<Handler>,
}

/// The endpoint that a request is for.
pub(crate) struct Found {
    pub(crate) app: Option<String>,
    params: Params,
    handler: Arc<Handler>,
}

impl Extensions {
    /// Adds an endpoint at `/v1` and `path`, like `/custom/{name}`: each `{name}` is one part of the path.
    ///
    /// # Errors
    /// The path is none, or taken.
    pub fn endpoint<H, F>(&mut self, method: Method, path: &str, handler: H) -> Result<(), WrongEndpoint>
    where
        H: Fn(EndpointRequest) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Response, Error>> + Send + 'static,
    {
        self.endpoints.add(method, path, false, Arc::new(move |request| handler(request).boxed()))
    }

    /// Adds an endpoint at `/v1/apps/{app}` and `path`. The app is looked up before, and not finding it is answered with
    /// the contract's 404.
    ///
    /// # Errors
    /// The path is none, or taken.
    pub fn app_endpoint<H, F>(&mut self, method: Method, path: &str, handler: H) -> Result<(), WrongEndpoint>
    where
        H: Fn(EndpointRequest) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Response, Error>> + Send + 'static,
    {
        self.endpoints.add(method, path, true, Arc::new(move |request| handler(request).boxed()))
    }
}

impl Endpoints {
    fn add(&mut self, method: Method, path: &str, of_app: bool, handler: Arc<Handler>) -> Result<(), WrongEndpoint> {
        let well_formed = path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(|part| !part.is_empty()));
        if !well_formed {
            return Err(WrongEndpoint::Path(path.to_owned()));
        }
        let endpoint = Endpoint { method, path: path.to_owned(), of_app, handler };
        // A request that only this could be for.
        let example = endpoint.template().replace(['{', '}'], "-");
        let taken = paths::resolve(Door::Public, &endpoint.method, &example).is_ok()
            || self.find(&endpoint.method, &example).is_some();
        if taken {
            return Err(WrongEndpoint::Taken(endpoint.method.clone(), endpoint.template()));
        }
        self.0.push(endpoint);
        Ok(())
    }

    /// The endpoint for `method` on the decoded `path`, if there is one.
    pub(crate) fn find(&self, method: &Method, path: &str) -> Option<Found> {
        let fitting = self.0.iter().filter(|endpoint| endpoint.method == method);
        fitting.filter_map(|endpoint| endpoint.take(path)).next()
    }
}

impl Endpoint {
    fn template(&self) -> String {
        let base = if self.of_app { "/v1/apps/{app}" } else { "/v1" };
        format!("{base}{}", self.path)
    }

    fn take(&self, path: &str) -> Option<Found> {
        let template = self.template();
        let (mut template, mut path) = (template.split('/'), path.split('/'));
        let mut params = Params::new();
        loop {
            match (template.next(), path.next()) {
                (None, None) => break,
                (Some(part), Some(given)) => match part.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                    Some(name) if !given.is_empty() => drop(params.insert(name.to_owned(), given.to_owned())),
                    None if part == given => {}
                    _ => return None,
                },
                _ => return None,
            }
        }
        let app = if self.of_app { params.remove("app") } else { None };
        Some(Found { app, params, handler: Arc::clone(&self.handler) })
    }
}

impl Found {
    pub(crate) async fn answer(self, request: Request, app: Option<App>) -> Result<Response, Error> {
        (self.handler)(EndpointRequest { request, params: self.params, app }).await
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&self.method).field(&self.template()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn nothing(_: EndpointRequest) -> Result<Response, Error> {
        Err(Error::PathNotFound)
    }

    #[test]
    fn paths_that_are_none_or_taken_are_refused() {
        let mut all = Extensions::default();
        for path in ["", "x", "/", "/x/", "//x"] {
            let refused = all.endpoint(Method::GET, path, nothing);
            assert_eq!(refused, Err(WrongEndpoint::Path(path.to_owned())));
        }
        for (method, path) in [(Method::GET, "/apps"), (Method::GET, "/apps/{x}"), (Method::DELETE, "/apps/{x}")] {
            assert!(matches!(all.endpoint(method, path, nothing), Err(WrongEndpoint::Taken(..))), "{path}");
        }
        for path in ["/routes", "/routes/{a}/{b}", "/calls/{x}"] {
            assert!(matches!(all.app_endpoint(Method::GET, path, nothing), Err(WrongEndpoint::Taken(..))), "{path}");
        }
        assert_eq!(all.endpoint(Method::GET, "/custom/{x}", nothing), Ok(()));
        assert!(matches!(all.endpoint(Method::GET, "/custom/{y}", nothing), Err(WrongEndpoint::Taken(..))));
        assert_eq!(all.endpoint(Method::POST, "/custom/{y}", nothing), Ok(()));
        assert_eq!(all.app_endpoint(Method::GET, "/custom", nothing), Ok(()));
    }

    #[test]
    fn parameters_are_whole_parts_of_the_path() {
        let mut all = Extensions::default();
        all.endpoint(Method::GET, "/a/{x}/b/{y}", nothing).unwrap();
        all.app_endpoint(Method::GET, "/c/{z}", nothing).unwrap();
        let of = |path: &str| all.endpoints.find(&Method::GET, path).map(|found| (found.app, found.params));
        let params = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        assert_eq!(of("/v1/a/1/b/2"), Some((None, params(&[("x", "1"), ("y", "2")]))));
        assert_eq!(of("/v1/apps/app/c/3"), Some((Some("app".to_owned()), params(&[("z", "3")]))));
        for path in ["/v1/a/1/b", "/v1/a//b/2", "/v1/a/1/b/2/3", "/a/1/b/2", "/v1/apps//c/3"] {
            assert_eq!(of(path), None, "{path}");
        }
    }
}
