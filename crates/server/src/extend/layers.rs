//! Middleware: tower layers around everything that the public door answers, invocations and an embedder's own endpoints
//! too. The first that was added is the outermost. The operators' door has none, so that health can always be asked.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use futures_util::FutureExt;
use tower::layer::layer_fn;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt, service_fn};

use super::Extensions;

/// What a layer is put around: it answers every request, and never fails.
pub type HttpService = BoxCloneSyncService<Request, Response, Infallible>;

type Wrap = dyn Fn(HttpService) -> HttpService + Send + Sync;

/// Layers in the order in which they were added.
#[derive(Clone, Default)]
pub(crate) struct Layers(Vec<Arc<Wrap>>);

impl Extensions {
    /// Puts a layer around every endpoint of the public door. It sees requests before anything is known of them, and
    /// responses when they are complete but for their bodies.
    pub fn layer<L>(&mut self, layer: L)
    where
        L: Layer<HttpService> + Send + Sync + 'static,
        L::Service: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request>>::Future: Send + 'static,
    {
        let wrap = move |inner| BoxCloneSyncService::new(layer.layer(inner));
        self.layers.0.push(Arc::new(wrap));
    }

    /// The same for a function: it is given the request and what is inside, and may do without that.
    pub fn middleware<M, F>(&mut self, middleware: M)
    where
        M: Fn(Request, Next) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response> + Send + 'static,
    {
        self.layer(layer_fn(move |inner: HttpService| {
            let middleware = middleware.clone();
            service_fn(move |request| middleware(request, Next(inner.clone())).map(Ok))
        }));
    }
}

impl Layers {
    /// All layers around `inner`; none when there are none, so that nothing is paid for them.
    pub(crate) fn around<S>(&self, inner: S) -> Option<HttpService>
    where
        S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        if self.0.is_empty() {
            return None;
        }
        let inner = BoxCloneSyncService::new(inner);
        Some(self.0.iter().rev().fold(inner, |inner, wrap| wrap(inner)))
    }
}

/// What is inside of a layer.
#[derive(Clone, Debug)]
pub struct Next(HttpService);

impl Next {
    pub(crate) const fn new(service: HttpService) -> Self {
        Self(service)
    }

    /// Its answer.
    pub async fn run(self, request: Request) -> Response {
        match self.0.oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Layers").field(&self.0.len()).finish()
    }
}
