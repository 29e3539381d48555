//! The listener and its connections. axum's own server sets no timer, so a client that never finishes its request
//! would hold a connection, and shutdown, for ever; here every wait for a client has an end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::{self, Api};
use crate::patient::Patient;
use crate::{Parts, Settings};

/// Once the server drains, a connection on which no request ever began gets this long for one that is on its way.
const LAST_HEAD: Duration = Duration::from_millis(500);

/// How long accepting pauses when the process is out of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A server that listens and does not serve yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    api: Arc<Api>,
}

/// A server that serves, until it is drained and closed.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    draining: CancellationToken,
    closed: CancellationToken,
    tasks: TaskTracker,
    open: Arc<Semaphore>,
    max_connections: usize,
}

/// Why a server did not come up.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The registry has metrics of these names already.
    #[error("cannot register the server's metrics")]
    Metrics(#[from] prometheus::Error),
}

/// What every connection is served with.
#[derive(Clone)]
struct Connections {
    http: http1::Builder,
    write_timeout: Duration,
    api: Arc<Api>,
    draining: CancellationToken,
    closed: CancellationToken,
}

// === impl Server ===

impl Server {
    /// Listens where `settings` says, as the door to `parts`.
    ///
    /// # Errors
    /// The address is taken or may not be used.
    pub async fn bind(settings: Settings, parts: Parts) -> Result<Self, BindError> {
        let listen = settings.listen;
        let cannot = |source| BindError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let api = Arc::new(Api::new(settings, parts)?);
        Ok(Self { listener, address, api })
    }

    /// Where it listens, with the port that the system chose when the setting left it open.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins to accept connections.
    #[must_use]
    pub fn serve(self) -> Serving {
        let settings = &self.api.settings;
        let serving = Serving {
            address: self.address,
            draining: CancellationToken::new(),
            closed: CancellationToken::new(),
            tasks: self.api.tasks.clone(),
            open: Arc::new(Semaphore::new(settings.max_connections)),
            max_connections: settings.max_connections,
        };
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(settings.header_timeout).title_case_headers(true);
        http.max_header_size(settings.max_head);
        let connections = Connections {
            http,
            write_timeout: settings.write_timeout,
            api: Arc::clone(&self.api),
            draining: serving.draining.clone(),
            closed: serving.closed.clone(),
        };
        let accepting = accept(self.listener, Arc::clone(&serving.open), connections, serving.tasks.clone());
        serving.tasks.spawn(accepting);
        serving
    }
}

// === impl Serving ===

impl Serving {
    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the listener at once and lets the requests that have come run to their end, for at most `deadline`.
    /// Returns how many connections are left then.
    pub async fn drain(&self, deadline: Duration) -> usize {
        self.draining.cancel();
        self.tasks.close();
        match timeout(deadline, self.tasks.wait()).await {
            Ok(()) => 0,
            Err(_) => self.max_connections - self.open.available_permits(),
        }
    }

    /// Lets answers that are on their way out go, for at most `grace`, and cuts the connections that are left.
    pub async fn close(self, grace: Duration) {
        let left = self.drain(grace).await;
        if left > 0 {
            tracing::warn!(connections = left, "connections are cut");
        }
        self.closed.cancel();
        self.tasks.wait().await;
    }
}

async fn accept(listener: TcpListener, open: Arc<Semaphore>, connections: Connections, tasks: TaskTracker) {
    let draining = connections.draining.clone();
    loop {
        let slot = draining.run_until_cancelled(Arc::clone(&open).acquire_owned());
        // The semaphore is never closed, so that no slot means that the server drains.
        let Some(Ok(slot)) = slot.await else { break };
        match draining.run_until_cancelled(listener.accept()).await {
            None => break,
            Some(Ok((stream, _))) => {
                tasks.spawn(connections.clone().serve(stream, slot));
            }
            Some(Err(error)) => accept_failed(&error).await,
        }
    }
}

/// A client that is gone before it was accepted concerns nobody; anything else will not pass at once.
async fn accept_failed(error: &io::Error) {
    if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        return;
    }
    tracing::warn!(%error, "connections cannot be accepted");
    sleep(ACCEPT_PAUSE).await;
}

// === impl Connections ===

impl Connections {
    async fn serve(self, stream: TcpStream, _slot: OwnedSemaphorePermit) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY cannot be set");
        }
        let stream = Patient::new(stream, self.write_timeout);
        let spoke = Arc::new(AtomicBool::new(false));
        let service = {
            let (api, spoke) = (self.api, Arc::clone(&spoke));
            service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                spoke.store(true, Ordering::Relaxed);
                let response = api::serve(Arc::clone(&api), request.map(Body::new));
                async move { Ok::<_, Infallible>(response.await) }
            })
        };
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), service));
        let served = tokio::select! {
            biased;
            () = self.closed.cancelled() => return,
            served = connection.as_mut() => Some(served),
            () = self.draining.cancelled() => None,
        };
        let served = if let Some(served) = served {
            served
        } else {
            connection.as_mut().graceful_shutdown();
            let silent = async {
                sleep(LAST_HEAD).await;
                if spoke.load(Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                biased;
                () = self.closed.cancelled() => return,
                served = connection => served,
                () = silent => return,
            }
        };
        if let Err(error) = served {
            // A client that left or timed out, or an answer that was aborted on purpose.
            tracing::debug!(%error, "connection ended early");
        }
    }
}
