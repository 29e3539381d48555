//! What the handlers work with, and the way of every request through the server.

use std::any::Any;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::response::Response;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hearth_agent::{Agent, Series};
use hearth_datastore::{Cancelled, DefinitionStore, Recorder};
use hearth_drivers::Driver;
use hearth_models::{AppId, CallId, Error};
use hearth_queue::Queue;
use http::header::ALLOW;
use http::{HeaderValue, Method, request};
use prometheus::Registry;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::answer::Answered;
use crate::cors::{self, Verdict};
use crate::error::{Failed, envelope};
use crate::extend::{Extensions, Found, HttpService, Next};
use crate::paths::{self, Door, Operation, Refusal, Version};
use crate::query::Query;
use crate::redirect;
use crate::request_body::ClientBody;
use crate::v1::{apps, calls, dead_calls, routes};
use crate::{LogLevel, Readiness, Settings, invoke, operations, v2};

/// The parts of Hearth that the server is the door to.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Apps, functions and triggers; the one in front of the stores, which answers the hot path from memory.
    pub datastore: Arc<dyn DefinitionStore>,
    /// Calls and logs.
    pub recorder: Recorder,
    /// Runs calls.
    pub agent: Agent,
    /// Takes the calls that nobody waits for.
    pub queue: Queue,
    /// Asked whether the engine answers.
    pub engine: Arc<dyn Driver>,
    /// What `/metrics` shows. The server adds its own metrics to it.
    pub registry: Registry,
    /// Whether requests had better go elsewhere.
    pub readiness: Readiness,
    /// What the server logs, for operators to change.
    pub log_level: Arc<dyn LogLevel>,
    /// What is added to it.
    pub extensions: Extensions,
}

/// What the handlers work with.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) datastore: Arc<dyn DefinitionStore>,
    pub(crate) recorder: Recorder,
    pub(crate) agent: Agent,
    pub(crate) queue: Queue,
    pub(crate) engine: Arc<dyn Driver>,
    pub(crate) registry: Registry,
    pub(crate) readiness: Readiness,
    pub(crate) log_level: Arc<dyn LogLevel>,
    pub(crate) settings: Settings,
    pub(crate) extensions: Extensions,
    /// Owns the connections, changes of what is stored, and what reads the rest of a body that no handler wanted.
    pub(crate) tasks: TaskTracker,
}

impl Api {
    pub(crate) fn new(settings: Settings, parts: Parts) -> prometheus::Result<Self> {
        Ok(Self {
            datastore: parts.datastore,
            recorder: parts.recorder,
            agent: parts.agent,
            queue: parts.queue,
            engine: parts.engine,
            registry: parts.registry,
            readiness: parts.readiness,
            log_level: parts.log_level,
            extensions: parts.extensions,
            settings,
            tasks: TaskTracker::new(),
        })
    }

    /// Makes a change of what is stored and tells the agent, in a task that the server owns: a client that leaves
    /// meanwhile stops neither. The store bounds how long a change takes.
    ///
    /// # Errors
    /// Those of `change`.
    pub(crate) async fn change<T, F>(self: &Arc<Self>, change: impl FnOnce(Arc<Self>) -> F) -> Result<T, Failed>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failed>> + Send + 'static,
    {
        let changed = self.tasks.spawn(change(Arc::clone(self))).await;
        changed.unwrap_or_else(|error| Err(Failed::internal(error)))
    }

    /// Cancels a queued call of this app: one that waits will not run, one that runs is stopped as far as that goes.
    ///
    /// # Errors
    /// There is no such call, it has ended, or somebody waits for it.
    pub(crate) async fn cancel(self: &Arc<Self>, app: AppId, id: CallId) -> Result<(), Failed> {
        let cancelling = self.change(async move |api| match api.queue.cancel(app, id).await {
            Err(hearth_datastore::Error::Model(Error::CallNotFound)) => {
                // What somebody waits for is stored when it has ended. Until then the recorder knows of it.
                let call = api.recorder.call(app, id).await?;
                Ok(if call.status().is_final() { Cancelled::Ended } else { Cancelled::NotQueued })
            }
            met => Ok(met?),
        });
        match cancelling.await? {
            Cancelled::Waiting | Cancelled::Running(_) => Ok(()),
            Cancelled::Ended => Err(Error::CallEnded.into()),
            Cancelled::NotQueued => Err(Error::CallNotQueued.into()),
        }
    }

    /// An embedder's endpoint, if there is one. Operators have none.
    fn endpoint(&self, door: Door, method: &Method, path: &str) -> Option<Found> {
        (door == Door::Public).then(|| self.extensions.endpoints.find(method, path))?
    }

    fn body(&self, head: &request::Parts, body: axum::body::Body, max: u64) -> Limited {
        let limits = (max, self.settings.body_timeout);
        ClientBody::new(&head.headers, body, limits, &self.tasks)
    }
}

type Limited = Result<ClientBody, Error>;

/// When the head of a request was there; left in it for its call's trace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived(pub(crate) Instant);

/// Answers every request. There is no router, because the contract's rules of paths are no general router's.
pub(crate) async fn serve(api: &Arc<Api>, door: Door, layers: Option<&HttpService>, mut request: Request) -> Response {
    let began = Instant::now();
    if api.agent.is_traced() {
        request.extensions_mut().insert(Arrived(began));
    }
    let Answered { response, series } = match api.settings.cors.judge(request.method(), request.headers()) {
        Verdict::Answered(response) => response.into(),
        Verdict::Untouched => layered(api, door, layers, request).await,
        Verdict::Allowed(origin) => {
            let mut answered = layered(api, door, layers, request).await;
            cors::allow(&mut answered.response, origin);
            answered
        }
    };
    match series {
        Some(series) => series.served(began.elapsed()),
        None => api.agent.metrics().served_elsewhere(began.elapsed()),
    }
    response
}

/// Through the layers of an embedder, if there are any. A panic of theirs is answered like one of a handler.
async fn layered(api: &Arc<Api>, door: Door, layers: Option<&HttpService>, request: Request) -> Answered {
    let Some(layers) = layers else { return guarded(api, door, request).await };
    let version = Version::of(request.uri().path());
    let answered = AssertUnwindSafe(Next::new(layers.clone()).run(request)).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|panic| Failed::internal(panic_text(&*panic)).into_response(version));
    let series = response.extensions_mut().remove().map(|Served(series)| series);
    Answered { response, series }
}

/// Where a request led, left on its response for its way through the layers.
#[derive(Clone, Debug)]
struct Served(Arc<Series>);

/// All that the layers of an embedder are around.
#[derive(Clone, Debug)]
pub(crate) struct Inside {
    pub(crate) api: Arc<Api>,
    pub(crate) door: Door,
}

impl Service<Request> for Inside {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let Self { api, door } = self.clone();
        async move {
            let Answered { mut response, series } = guarded(&api, door, request).await;
            if let Some(series) = series {
                response.extensions_mut().insert(Served(series));
            }
            Ok(response)
        }
        .boxed()
    }
}

/// A panic of a handler is answered like every other failure of the server.
async fn guarded(api: &Arc<Api>, door: Door, request: Request) -> Answered {
    let version = Version::of(request.uri().path());
    // Nothing that a handler shares is left half-changed by a panic: it holds no locks of its own.
    let handled = AssertUnwindSafe(Box::pin(dispatch(api, door, request))).catch_unwind();
    match handled.await {
        Ok(Ok(answered)) => answered,
        Ok(Err(failed)) => failed.into_response(version).into(),
        Err(panic) => Failed::internal(panic_text(&*panic)).into_response(version).into(),
    }
}

async fn dispatch(api: &Arc<Api>, door: Door, request: Request) -> Result<Answered, Failed> {
    let (head, body) = request.into_parts();
    let path = match paths::decode(head.uri.path()) {
        Ok(path) => path.into_owned(),
        Err(error) => return Ok(refuse(api, &head, body, &Refusal::Error(error)).into()),
    };
    match paths::resolve(door, &head.method, &path) {
        Err(refusal) => match api.endpoint(door, &head.method, &path) {
            Some(found) => Ok(custom(api, found, head, body).await?.into()),
            None => Ok(refuse(api, &head, body, &refusal).into()),
        },
        Ok(Operation::Invoke { app, rest }) => {
            let body = api.body(&head, body, api.settings.max_body)?;
            invoke::invoke(api, app, rest, head, body).await
        }
        Ok(Operation::InvokeFn(id)) => {
            let body = api.body(&head, body, api.settings.max_body)?;
            v2::invoke::direct(api, id, head, body).await
        }
        Ok(Operation::CallTrigger { app, source }) => {
            let body = api.body(&head, body, api.settings.max_body)?;
            v2::invoke::trigger(api, app, source, head, body).await
        }
        Ok(Operation::V2(operation)) => {
            let body = api.body(&head, body, api.settings.max_api_body)?;
            Ok(v2::manage(api, operation, &head, body).await?.into())
        }
        Ok(operation) => {
            let body = api.body(&head, body, api.settings.max_api_body)?;
            Ok(manage(api, operation, &Query::parse(head.uri.query()), body).await?.into())
        }
    }
}

/// An embedder's endpoint.
async fn custom(api: &Api, found: Found, head: request::Parts, body: axum::body::Body) -> Result<Response, Failed> {
    let body = api.body(&head, body, api.settings.max_api_body)?;
    let app = match &found.app {
        Some(name) => Some(api.datastore.app(name).await?),
        None => None,
    };
    let request = Request::from_parts(head, axum::body::Body::new(body));
    Ok(found.answer(request, app).await?)
}

fn refuse(api: &Api, head: &request::Parts, body: axum::body::Body, refusal: &Refusal) -> Response {
    // Nobody reads this body; dropping it under our limits does what that takes.
    drop(api.body(head, body, 0));
    match refusal {
        Refusal::Error(error) => envelope(error, Version::of(head.uri.path())),
        Refusal::Method { error, allow } => {
            let mut response = envelope(error, Version::of(head.uri.path()));
            if let Ok(allow) = HeaderValue::from_str(allow) {
                response.headers_mut().insert(ALLOW, allow);
            }
            response
        }
        Refusal::Redirect { status, path } => redirect::to(*status, path, head),
    }
}

async fn manage(
    api: &Arc<Api>,
    operation: Operation<'_>,
    query: &Query<'_>,
    body: ClientBody,
) -> Result<Response, Failed> {
    match operation {
        Operation::Root => operations::root(),
        Operation::Version => operations::version(),
        Operation::Stats => operations::stats(api),
        Operation::Metrics => operations::metrics(api),
        Operation::Live => operations::live(),
        Operation::Ready => operations::ready(api).await,
        Operation::GetLogLevel => operations::log_level(api),
        Operation::SetLogLevel => operations::set_log_level(api, &body.read().await?),
        Operation::OpenApi => Ok(operations::openapi()),
        Operation::ListApps => apps::list(api, query).await,
        Operation::CreateApp => apps::create(api, &body.read().await?).await,
        Operation::GetApp(app) => apps::get(api, app).await,
        Operation::UpdateApp(app) => apps::update(api, app, &body.read().await?).await,
        Operation::DeleteApp(app) => apps::delete(api, app).await,
        Operation::ListRoutes(app) => routes::list(api, app, query).await,
        Operation::CreateRoute(app) => routes::create(api, app, &body.read().await?).await,
        Operation::GetRoute(route) => routes::get(api, route).await,
        Operation::PutRoute(route) => routes::put(api, route, &body.read().await?).await,
        Operation::UpdateRoute(route) => routes::update(api, route, &body.read().await?).await,
        Operation::DeleteRoute(route) => routes::delete(api, route).await,
        Operation::ListCalls(app) => calls::list(api, app, query).await,
        Operation::GetCall(call) => calls::get(api, call).await,
        Operation::GetLog(call) => calls::log(api, call).await,
        Operation::CancelCall(call) => calls::cancel(api, call).await,
        Operation::ListDeadCalls(app) => dead_calls::list(api, app, query).await,
        Operation::RedriveCall(call) => dead_calls::redrive(api, call).await,
        // Dispatched before, because they take the request apart themselves.
        Operation::Invoke { .. } | Operation::InvokeFn(_) | Operation::CallTrigger { .. } | Operation::V2(_) => {
            Err(Error::PathNotFound.into())
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a handler panicked: {}", text.unwrap_or("no text"))
}
