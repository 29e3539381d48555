//! The listener and its connections. axum's own server sets no timer, so a client that never finishes its request
//! would hold a connection, and shutdown, for ever; here every wait for a client has an end.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::alarm::Alarm;
use crate::api::{Api, Inside};
use crate::extend::HttpService;
use crate::paths::Door;
use crate::patient::Patient;
use crate::requests::{Count, Requests};
use crate::{Parts, Settings, sweep};

/// Once the server drains, a connection on which nothing is asked gets this long for a request that is on its way.
const LAST_HEAD: Duration = Duration::from_millis(500);

/// How long accepting pauses when the process is out of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// When so much of an answer waits for its client to take it, no more is asked for.
const UNSENT_BYTES: usize = 64 * 1024;

/// Connections of operators at a time.
const MAX_ADMIN_CONNECTIONS: usize = 100;

/// A server that listens and does not serve yet.
#[derive(Debug)]
pub struct Server {
    public: Listener,
    admin: Option<Listener>,
    api: Arc<Api>,
}

#[derive(Debug)]
struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

/// A server that serves, until it is drained and closed.
#[derive(Debug)]
pub struct Serving {
    public: Open,
    /// Operators can look until the very end.
    admin: Option<Open>,
}

/// A door that is open.
#[derive(Debug)]
struct Open {
    address: SocketAddr,
    draining: CancellationToken,
    closed: CancellationToken,
    tasks: TaskTracker,
    slots: Arc<Semaphore>,
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
    header_timeout: Duration,
    write_timeout: Duration,
    api: Arc<Api>,
    door: Door,
    layers: Option<HttpService>,
    draining: CancellationToken,
    closed: CancellationToken,
}

// === impl Server ===

impl Server {
    /// Listens where `settings` says, as the door to `parts`.
    ///
    /// # Errors
    /// An address is taken or may not be used.
    pub async fn bind(settings: Settings, parts: Parts) -> Result<Self, BindError> {
        let public = Listener::bind(settings.listen).await?;
        let admin = match settings.admin_listen {
            Some(address) => Some(Listener::bind(address).await?),
            None => None,
        };
        let api = Arc::new(Api::new(settings, parts)?);
        Ok(Self { public, admin, api })
    }

    /// Where it listens, with the port that the system chose when the setting left it open.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.public.address
    }

    /// Begins to accept connections.
    #[must_use]
    pub fn serve(self) -> Serving {
        let Self { public, admin, api } = self;
        let max_connections = api.settings.max_connections;
        // What the API has begun for a client is waited for with the connections of clients.
        let tasks = api.tasks.clone();
        let public = public.open(Door::Public, &api, max_connections, tasks.clone());
        tasks.spawn(sweep::run(Arc::clone(&api), public.draining.clone()));
        Serving {
            admin: admin.map(|admin| admin.open(Door::Admin, &api, MAX_ADMIN_CONNECTIONS, TaskTracker::new())),
            public,
        }
    }
}

// === impl Listener ===

impl Listener {
    async fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let cannot = |source| BindError::Listen { address, source };
        let socket = TcpListener::bind(address).await.map_err(cannot)?;
        let address = socket.local_addr().map_err(cannot)?;
        Ok(Self { socket, address })
    }

    fn open(self, door: Door, api: &Arc<Api>, max_connections: usize, tasks: TaskTracker) -> Open {
        let settings = &api.settings;
        let open = Open {
            address: self.address,
            draining: CancellationToken::new(),
            closed: CancellationToken::new(),
            tasks,
            slots: Arc::new(Semaphore::new(max_connections)),
            max_connections,
        };
        let layers = match door {
            Door::Public => api.extensions.layers.around(Inside { api: Arc::clone(api), door }),
            Door::Admin => None,
        };
        let connections = Connections {
            http: http(settings),
            header_timeout: settings.header_timeout,
            write_timeout: settings.write_timeout,
            api: Arc::clone(api),
            door,
            layers,
            draining: open.draining.clone(),
            closed: open.closed.clone(),
        };
        open.tasks.spawn(accept(self.socket, Arc::clone(&open.slots), connections, open.tasks.clone()));
        open
    }
}

// === impl Serving ===

impl Serving {
    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.public.address
    }

    /// Where it listens for operators, if it does.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|admin| admin.address)
    }

    /// Closes the listener at once and lets the requests that have come run to their end, for at most `deadline`.
    /// Returns how many connections are left then. Operators are served as before.
    pub async fn drain(&self, deadline: Duration) -> usize {
        self.public.drain(deadline).await
    }

    /// Lets answers that are on their way out go, for at most `grace`, and cuts the connections that are left, those of
    /// operators included.
    pub async fn close(self, grace: Duration) {
        let left = self.public.close(grace).await;
        if left > 0 {
            tracing::warn!(connections = left, "connections are cut");
        }
        if let Some(admin) = self.admin {
            // One that reads how the server ends is let go with it.
            admin.close(Duration::ZERO).await;
        }
    }
}

// === impl Open ===

impl Open {
    async fn drain(&self, deadline: Duration) -> usize {
        self.draining.cancel();
        self.tasks.close();
        match timeout(deadline, self.tasks.wait()).await {
            Ok(()) => 0,
            Err(_) => self.max_connections - self.slots.available_permits(),
        }
    }

    /// Returns how many connections were cut.
    async fn close(self, grace: Duration) -> usize {
        let left = self.drain(grace).await;
        self.closed.cancel();
        self.tasks.wait().await;
        left
    }
}

async fn accept(listener: TcpListener, slots: Arc<Semaphore>, connections: Connections, tasks: TaskTracker) {
    let draining = connections.draining.clone();
    loop {
        let slot = draining.run_until_cancelled(Arc::clone(&slots).acquire_owned());
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
    if let Err(error) = accept_last(listener, &slots, &connections, &tasks) {
        tracing::warn!(%error, "connections that had come may be reset");
    }
}

/// Accepts what the kernel has accepted already, before the listener closes: those clients take themselves for
/// connected, and would be reset in the middle of their requests.
fn accept_last(
    listener: TcpListener,
    slots: &Arc<Semaphore>,
    connections: &Connections,
    tasks: &TaskTracker,
) -> io::Result<()> {
    // tokio's own may not have heard of the last ones.
    let listener = listener.into_std()?;
    while let Ok(slot) = Arc::clone(slots).try_acquire_owned() {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(true)?;
                tasks.spawn(connections.clone().serve(TcpStream::from_std(stream)?, slot));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A client that is gone before it was accepted concerns nobody; anything else will not pass at once.
async fn accept_failed(error: &io::Error) {
    if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        return;
    }
    tracing::warn!(%error, "connections cannot be accepted");
    sleep(ACCEPT_PAUSE).await;
}

/// How requests are read and answers written.
fn http(settings: &Settings) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.title_case_headers(true);
    // One limit for both directions, hyper's own being 400 KiB: a head has to fit as well.
    http.max_header_size(settings.max_head).max_buf_size(settings.max_head.max(UNSENT_BYTES));
    http
}

// === impl Connections ===

impl Connections {
    async fn serve(mut self, stream: TcpStream, _slot: OwnedSemaphorePermit) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY cannot be set");
        }
        let stream = Patient::new(stream, self.write_timeout);
        let requests = Arc::new(Requests {
            api: self.api,
            door: self.door,
            layers: self.layers,
            draining: self.draining.clone(),
            count: Count::default(),
        });
        let service = {
            let requests = Arc::clone(&requests);
            service_fn(move |request| Arc::clone(&requests).begin(request))
        };
        self.http.timer(Alarm::default()).header_read_timeout(self.header_timeout);
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), service));
        // Nothing is closed that does not drain.
        let mut served = tokio::select! {
            biased;
            served = connection.as_mut() => Some(served),
            () = self.draining.cancelled() => None,
        };
        if served.is_none() && requests.count.idle() {
            // hyper would close at once, and a request that is on its way would fail.
            served = tokio::select! {
                biased;
                () = self.closed.cancelled() => return,
                served = requests.count.next(connection.as_mut()) => served,
                () = sleep(LAST_HEAD) => None,
            };
            if served.is_none() && requests.count.is_zero() {
                return;
            }
        }
        let served = if let Some(served) = served {
            served
        } else {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                biased;
                () = self.closed.cancelled() => return,
                served = connection => served,
            }
        };
        if let Err(error) = served {
            // A client that left or timed out, or an answer that was aborted on purpose.
            tracing::debug!(%error, "connection ended early");
        }
    }
}

#[cfg(test)]
mod tests;
