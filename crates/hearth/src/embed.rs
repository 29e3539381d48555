//! Hearth inside another program: everything that `hearth serve` starts, with what the program adds to it or puts in the
//! place of a part (v1 contract B.10; docs/embedding.md).

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use hearth_agent::{Agent, CallListener};
use hearth_datastore::{Datastore, DefinitionStore, LogStore};
use hearth_drivers::Driver;
use hearth_models::Error;
use hearth_queue::Broker;
use hearth_server::{AppListener, EndpointRequest, HttpService, LogLevel, Next, Request, Response, WrongEndpoint};
use http::Method;
use prometheus::Registry;
use tower::{Layer, Service};

use crate::settings::{ALL, Settings, Source};
use crate::wiring::{self, Hearth, Own};

/// A server that runs inside this program.
#[derive(Debug)]
pub struct Server(Hearth);

/// What a server is made of. Begin with [`Server::builder`].
#[derive(Debug, Default)]
pub struct Builder {
    source: Source,
    own: Own,
    problems: Vec<StartError>,
}

/// Why a server did not come up.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct StartError(#[from] Cause);

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error("no setting is called {0}")]
    NoSuchSetting(String),
    #[error("{0}")]
    Settings(#[from] crate::settings::Invalid),
    #[error(transparent)]
    Endpoint(#[from] WrongEndpoint),
    #[error(transparent)]
    Start(#[from] wiring::StartError),
}

// === impl Server ===

impl Server {
    /// A server with the default of every setting and nothing of the program's own.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// Where it listens for operators, if it does.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.0.admin_address()
    }

    /// Apps, routes and functions, as the server's endpoints see them.
    #[must_use]
    pub fn definitions(&self) -> &Arc<dyn DefinitionStore> {
        self.0.definitions()
    }

    /// What runs calls.
    #[must_use]
    pub const fn agent(&self) -> &Agent {
        self.0.agent()
    }

    /// Waits until what an earlier process left is cleaned up: `/ready` says so too.
    pub async fn ready(&self) {
        self.0.ready().await;
    }

    /// Returns when a part of it has died, which none does by itself: it had better be stopped then.
    pub async fn failed(&mut self) {
        let error = self.0.failure().await;
        tracing::error!(%error, "a service of the server failed");
    }

    /// Stops it as SIGTERM stops `hearth serve`: no new connections, accepted calls run to their end within the drain
    /// timeout, records are stored, containers removed. Returns how many records of calls could not be stored, because the
    /// database was away to the end: they are lost.
    pub async fn stop(self) -> u64 {
        self.0.stop().await
    }
}

// === impl Builder ===

impl Builder {
    /// Gives a setting its value, by the name of its flag: `set("max-request", "1MiB")`. docs/configuration.md has them all.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        match ALL.iter().find(|setting| setting.flag == name) {
            Some(setting) => drop(self.source.flags.insert(setting.flag, value.into())),
            None => self.problems.push(Cause::NoSuchSetting(name.to_owned()).into()),
        }
        self
    }

    /// Takes the variables of this process into account, like `hearth serve`. What is [set](Self::set) wins.
    #[must_use]
    pub fn environment(mut self) -> Self {
        self.source.environment = crate::command::environment();
        self
    }

    /// Asks `listener` before apps are made, changed and deleted, and tells it after.
    #[must_use]
    pub fn app_listener(mut self, listener: impl AppListener) -> Self {
        self.own.extensions.listen_to_apps(Arc::new(listener));
        self
    }

    /// Asks `listener` before calls, and tells it after.
    #[must_use]
    pub fn call_listener(mut self, listener: impl CallListener) -> Self {
        self.own.call_listeners.push(Arc::new(listener));
        self
    }

    /// Puts a tower layer around every endpoint of the public door: API, invocations, the program's own endpoints. The
    /// first that is added is the outermost.
    #[must_use]
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<HttpService> + Send + Sync + 'static,
        L::Service: Service<Request, Response = Response, Error = std::convert::Infallible>,
        L::Service: Clone + Send + Sync + 'static,
        <L::Service as Service<Request>>::Future: Send + 'static,
    {
        self.own.extensions.layer(layer);
        self
    }

    /// The same for a function of a request and of what is inside, which may do without that.
    #[must_use]
    pub fn middleware<M, F>(mut self, middleware: M) -> Self
    where
        M: Fn(Request, Next) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response> + Send + 'static,
    {
        self.own.extensions.middleware(middleware);
        self
    }

    /// Adds an endpoint at `/v1` and `path`, like `/hello/{name}`.
    #[must_use]
    pub fn endpoint<H, F>(mut self, method: Method, path: &str, handler: H) -> Self
    where
        H: Fn(EndpointRequest) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Response, Error>> + Send + 'static,
    {
        let added = self.own.extensions.endpoint(method, path, handler);
        self.problems.extend(added.err().map(|error| Cause::from(error).into()));
        self
    }

    /// Adds an endpoint at `/v1/apps/{app}` and `path`. The app is looked up before.
    #[must_use]
    pub fn app_endpoint<H, F>(mut self, method: Method, path: &str, handler: H) -> Self
    where
        H: Fn(EndpointRequest) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Response, Error>> + Send + 'static,
    {
        let added = self.own.extensions.app_endpoint(method, path, handler);
        self.problems.extend(added.err().map(|error| Cause::from(error).into()));
        self
    }

    /// Keeps everything in `datastore`, whatever `db-url` says. It is closed when the server stops.
    #[must_use]
    pub fn datastore(mut self, datastore: Arc<dyn Datastore>) -> Self {
        self.own.datastore = Some(datastore);
        self
    }

    /// Keeps logs in `logs`, whatever `logstore-url` says. It is closed when the server stops.
    #[must_use]
    pub fn log_store(mut self, logs: Arc<dyn LogStore>) -> Self {
        self.own.logs = Some(logs);
        self
    }

    /// Keeps the order of queued calls in `broker`, whatever `mq-url` says. The calls are in the datastore.
    #[must_use]
    pub fn broker(mut self, broker: Arc<dyn Broker>) -> Self {
        self.own.broker = Some(broker);
        self
    }

    /// Runs containers with `driver` rather than Docker.
    #[must_use]
    pub fn driver(mut self, driver: Arc<dyn Driver>) -> Self {
        self.own.driver = Some(driver);
        self
    }

    /// Registers the server's metrics there too. `/metrics` shows all that is in it.
    #[must_use]
    pub fn registry(mut self, registry: Registry) -> Self {
        self.own.registry = registry;
        self
    }

    /// Lets operators change the level of the program's log, which is otherwise the program's alone.
    #[must_use]
    pub fn log_level(mut self, level: Arc<dyn LogLevel>) -> Self {
        self.own.log_level = level;
        self
    }

    /// Starts it. It listens when this returns, on the settings' address, and is [ready](Server::ready) a moment later.
    ///
    /// Must be called on a tokio runtime. If the process has chosen no TLS provider for rustls yet, it is ring from now on.
    ///
    /// # Errors
    /// A setting or an endpoint is wrong; the engine, the database or an address cannot be had.
    pub async fn start(self) -> Result<Server, StartError> {
        if let Some(problem) = self.problems.into_iter().next() {
            return Err(problem);
        }
        rustls::crypto::ring::default_provider().install_default().unwrap_or_default();
        let settings = Settings::read(&self.source).map_err(Cause::from)?;
        for warning in &settings.warnings {
            tracing::warn!("{warning}");
        }
        // Boxed, so that the future of who embeds it stays small.
        let hearth = Box::pin(Hearth::start(settings, self.own)).await.map_err(Cause::from)?;
        Ok(Server(hearth))
    }
}

/// A level that nobody can change from outside.
#[derive(Debug)]
pub(crate) struct Fixed;

impl LogLevel for Fixed {
    fn get(&self) -> String {
        tracing::level_filters::LevelFilter::current().to_string()
    }

    fn set(&self, _word: &str) -> bool {
        false
    }
}
