//! The socket on which a function of the `http-stream` contract listens.
//!
//! The function finds a directory at [`SOCKET_DIRECTORY`] and opens its socket there, as [`SOCKET_NAME`] or as a
//! relative symlink of that name to another socket in the same directory.

use std::fmt::{self, Debug};
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

/// Where a container has its socket directory.
pub const SOCKET_DIRECTORY: &str = "/tmp/iofs";

/// The name in there that says, once it is there, that the function is ready.
pub const SOCKET_NAME: &str = "lsnr.sock";

/// A socket that a function opens, seen from outside.
#[async_trait]
pub trait Socket: Send + 'static {
    /// Returns once the function has opened it. Cancelling this loses nothing.
    async fn opened(&mut self) -> Result<(), SocketError>;

    /// A new connection to it.
    async fn connect(&mut self) -> io::Result<Connection>;
}

/// A connection to a function.
pub struct Connection {
    /// What the function sends.
    pub reader: Pin<Box<dyn AsyncRead + Send>>,
    /// What it is sent.
    pub writer: Pin<Box<dyn AsyncWrite + Send>>,
}

/// Why a function cannot be spoken to.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SocketError {
    /// What has the name of the socket is something else.
    #[error("listener file is not a socket")]
    NotASocket,
    /// The symlink leads out of the directory, or may.
    #[error("invalid unix socket symlink, symlinks must be relative within the unix socket directory")]
    BadLink,
    /// The directory cannot be looked at.
    #[error("socket directory cannot be read")]
    Directory(#[source] Arc<io::Error>),
}

impl Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

impl From<io::Error> for SocketError {
    fn from(error: io::Error) -> Self {
        Self::Directory(Arc::new(error))
    }
}
