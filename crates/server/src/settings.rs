//! What can be set of the server, with its defaults.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::Cors;

/// Settings of the server. Sizes are bytes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where it listens for operators, if it does.
    pub admin_listen: Option<SocketAddr>,
    /// Connections at most; a client beyond that waits to be accepted.
    pub max_connections: usize,
    /// How long a client may take to send the head of a request. A kept-alive connection on which nothing comes for
    /// so long is closed too.
    pub header_timeout: Duration,
    /// Request line and headers of a request. What is longer is refused with 431: every header becomes a variable of a
    /// cold container, which cannot be longer than 128 KiB.
    pub max_head: usize,
    /// How long the next piece of a request body may take to come.
    pub body_timeout: Duration,
    /// How long a client may take nothing of its answer before the connection is cut.
    pub write_timeout: Duration,
    /// Body of a management request.
    pub max_api_body: u64,
    /// Body of a request to a function.
    pub max_body: u64,
    /// How often what is counted is looked through for what was removed through another server.
    pub sweep: Duration,
    /// Where clients of API v2 are told to invoke functions; by default where they asked. Without a slash at the end.
    pub public_url: Option<String>,
    /// Which web pages may use the API.
    pub cors: Cors,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            admin_listen: None,
            max_connections: 10_000,
            header_timeout: Duration::from_secs(30),
            max_head: 64 * 1024,
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            max_api_body: 1024 * 1024,
            max_body: 64 * 1024 * 1024,
            sweep: Duration::from_secs(60),
            public_url: None,
            cors: Cors::default(),
        }
    }
}
