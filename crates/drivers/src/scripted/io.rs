//! The inside of a scripted container's pipes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::socket::Listening;
use crate::{ContainerSpec, Error, Frame, Mark, Outlet, SocketError, Tap};

/// The engine forwards at most this much of a write in one frame.
const FRAME_BYTES: usize = 32 * 1024;

/// What a scripted program reads and writes.
///
/// Writing waits while whoever holds the output does not read it, as a full pipe makes a process wait. Once nobody
/// holds the output any more, writes go nowhere and do not wait: an engine reads on for a client that left.
#[derive(Debug)]
pub struct ScriptIo {
    /// What the caller writes to the container. EOF when the caller shuts it down. Dropping it closes
    /// stdin; keeping it without reading is a program that never reads.
    pub stdin: DuplexStream,
    /// What the container was made of.
    pub spec: ContainerSpec,
    listening: Listening,
    output: Option<mpsc::Sender<Result<Frame, Error>>>,
    wrote: Arc<AtomicBool>,
}

/// Sees what the program writes.
#[derive(Debug)]
pub(super) struct ScriptedTap {
    /// The program's alone is the end of its output.
    output: mpsc::WeakSender<Result<Frame, Error>>,
    wrote: Arc<AtomicBool>,
    number: u32,
}

impl ScriptIo {
    pub(super) fn new(
        stdin: DuplexStream,
        listening: Listening,
        output: mpsc::Sender<Result<Frame, Error>>,
        spec: ContainerSpec,
    ) -> Self {
        Self { stdin, spec, listening, output: Some(output), wrote: Arc::default() }
    }

    pub(super) fn tap(&self) -> Option<ScriptedTap> {
        let output = self.output.as_ref()?.downgrade();
        Some(ScriptedTap { output, wrote: Arc::clone(&self.wrote), number: 0 })
    }

    /// Opens the container's socket.
    pub fn listen(&self) {
        self.listening.open(Ok(()));
    }

    /// Puts something in the place of the socket that is none.
    pub fn listen_badly(&self, error: SocketError) {
        self.listening.open(Err(error));
    }

    /// Closes the socket; connections that are there go on, new ones are refused.
    pub fn stop_listening(&mut self) {
        self.listening.close();
    }

    /// The next connection to the socket; none once nobody can make one any more.
    pub async fn accept(&mut self) -> Option<DuplexStream> {
        self.listening.accept().await
    }

    /// Writes to stdout.
    pub async fn stdout(&self, bytes: impl Into<Bytes>) {
        self.write(bytes.into(), Frame::Stdout).await;
    }

    /// Writes to stderr.
    pub async fn stderr(&self, bytes: impl Into<Bytes>) {
        self.write(bytes.into(), Frame::Stderr).await;
    }

    /// Closes stdout and stderr; the program goes on.
    pub fn close_output(&mut self) {
        self.output = None;
    }

    /// The connection to the container's input and output breaks, in both directions; the program goes on.
    pub async fn cut(&mut self) {
        if let Some(output) = self.output.take() {
            output.send(Err(Error::Cut { source: None })).await.ok();
        }
        self.stdin = tokio::io::duplex(1).0;
    }

    /// A variable of the container's environment.
    #[must_use]
    pub fn env(&self, name: &str) -> Option<&str> {
        let mut vars = self.spec.env.iter();
        vars.find_map(|(key, value)| (key == name).then_some(value.as_str()))
    }

    async fn write(&self, mut bytes: Bytes, frame: fn(Bytes) -> Frame) {
        let Some(output) = &self.output else { return };
        self.wrote.store(true, Ordering::SeqCst);
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(FRAME_BYTES));
            if output.send(Ok(frame(piece))).await.is_err() {
                return;
            }
        }
    }
}

// === impl ScriptedTap ===

impl Tap for ScriptedTap {
    fn wrote(&mut self) -> bool {
        self.wrote.load(Ordering::SeqCst)
    }

    fn has_room(&self) -> bool {
        true
    }

    fn mark(&mut self) -> io::Result<Option<Mark>> {
        let output = self.output.upgrade().ok_or(io::ErrorKind::BrokenPipe)?;
        let outlets = [Outlet::Stdout, Outlet::Stderr];
        let room = match output.try_reserve_many(outlets.len()) {
            Ok(room) => room,
            Err(TrySendError::Full(())) => return Ok(None),
            Err(TrySendError::Closed(())) => return Err(io::ErrorKind::BrokenPipe.into()),
        };
        self.number += 1;
        self.wrote.store(false, Ordering::SeqCst);
        for (room, outlet) in room.zip(outlets) {
            room.send(Ok(Frame::Mark(outlet, self.number)));
        }
        Ok(Some(Mark { number: self.number, on: [true; 2] }))
    }
}
