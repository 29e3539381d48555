//! The socket of a scripted container: connections are pipes in memory.

use std::future::pending;
use std::io;

use async_trait::async_trait;
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, watch};

use crate::{Connection, Socket, SocketError};

/// What is under way in each direction, as a kernel would buffer it.
const BUFFER: usize = 64 * 1024;

/// Connections that were made and not accepted.
const BACKLOG: usize = 8;

/// None until the program has opened it.
type State = Option<Result<(), SocketError>>;

/// The outside.
#[derive(Debug)]
pub(super) struct ScriptedSocket {
    state: watch::Receiver<State>,
    connections: mpsc::Sender<DuplexStream>,
}

/// The inside.
#[derive(Debug)]
pub(super) struct Listening {
    state: watch::Sender<State>,
    connections: mpsc::Receiver<DuplexStream>,
}

/// Both sides of a socket that is not open yet.
pub(super) fn socket() -> (ScriptedSocket, Listening) {
    let (sender, state) = watch::channel(None);
    let (connections, receiver) = mpsc::channel(BACKLOG);
    (ScriptedSocket { state, connections }, Listening { state: sender, connections: receiver })
}

// === impl ScriptedSocket ===

#[async_trait]
impl Socket for ScriptedSocket {
    async fn opened(&mut self) -> Result<(), SocketError> {
        let opened = self.state.wait_for(Option::is_some).await.map(|state| state.clone());
        match opened {
            Ok(Some(opened)) => opened,
            // Its program ended; nothing will appear any more.
            Ok(None) | Err(_) => pending().await,
        }
    }

    async fn connect(&mut self) -> io::Result<Connection> {
        let (near, far) = tokio::io::duplex(BUFFER);
        self.connections.try_send(far).map_err(|_refused| io::Error::from(io::ErrorKind::ConnectionRefused))?;
        let (reader, writer) = tokio::io::split(near);
        Ok(Connection { reader: Box::pin(reader), writer: Box::pin(writer) })
    }
}

// === impl Listening ===

impl Listening {
    pub(super) fn open(&self, result: Result<(), SocketError>) {
        self.state.send_replace(Some(result));
    }

    pub(super) fn close(&mut self) {
        self.connections.close();
    }

    pub(super) async fn accept(&mut self) -> Option<DuplexStream> {
        self.connections.recv().await
    }
}
