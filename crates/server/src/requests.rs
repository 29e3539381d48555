//! The requests of one connection: what they are answered with, and how many there were.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::HeaderValue;
use http::header::CONNECTION;
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

use crate::api::{self, Api};
use crate::extend::HttpService;
use crate::paths::Door;

/// What the requests of one connection are answered with.
#[derive(Debug)]
pub(crate) struct Requests {
    pub(crate) api: Arc<Api>,
    pub(crate) door: Door,
    pub(crate) layers: Option<HttpService>,
    pub(crate) draining: CancellationToken,
    pub(crate) count: Count,
}

impl Requests {
    /// Begins to answer one.
    pub(crate) fn begin(
        self: Arc<Self>,
        request: http::Request<Incoming>,
    ) -> impl Future<Output = Result<Response, Infallible>> {
        self.count.begun.fetch_add(1, Ordering::Relaxed);
        self.answer(request.map(Body::new))
    }

    async fn answer(self: Arc<Self>, request: Request) -> Result<Response, Infallible> {
        let mut response = api::serve(&self.api, self.door, self.layers.as_ref(), request).await;
        self.count.answered.fetch_add(1, Ordering::Relaxed);
        if self.draining.is_cancelled() {
            // hyper does the same once it knows, which may be after an answer that was there at once.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }
}

/// How many there were.
#[derive(Debug, Default)]
pub(crate) struct Count {
    /// Their heads have come.
    begun: AtomicU64,
    /// The heads of their answers are there.
    answered: AtomicU64,
}

impl Count {
    /// Whether all of them are answered.
    pub(crate) fn idle(&self) -> bool {
        self.begun.load(Ordering::Relaxed) == self.answered.load(Ordering::Relaxed)
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.begun.load(Ordering::Relaxed) == 0
    }

    /// Lets `connection` go on until it is over, or nothing when another request has begun on it. Requests begin nowhere
    /// but in its polling.
    pub(crate) async fn next<C: Future>(&self, mut connection: Pin<&mut C>) -> Option<C::Output> {
        let before = self.begun.load(Ordering::Relaxed);
        poll_fn(|context| match connection.as_mut().poll(context) {
            Poll::Ready(served) => Poll::Ready(Some(served)),
            Poll::Pending if self.begun.load(Ordering::Relaxed) > before => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}
