//! What a container says: its answers, and its log.
//!
//! Over pipes both come as one stream of frames, stdout being the answers. A function with a socket answers on a
//! connection to that; stdout and stderr are its log.

use std::future::pending;
use std::io;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use hearth_drivers::{Frame, Outlet};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Room for a read: a piece of an answer is no longer. Several of them are kept for a client that is slow.
const READ_BYTES: usize = 32 * 1024;

/// Below this much room a read is given new room, so that small answers share one allocation.
const LOW_WATER: usize = 4 * 1024;

/// Everything that a container says, as it comes.
pub(crate) struct Incoming {
    frames: BoxStream<'static, Result<Frame, hearth_drivers::Error>>,
    /// Its output ended, well or badly.
    over: bool,
    answers: Answers,
}

/// What brings the answers.
enum Answers {
    Stdout,
    /// A connection, while there is one.
    Connection(Option<Reader>),
}

struct Reader {
    half: Pin<Box<dyn AsyncRead + Send>>,
    buffer: BytesMut,
}

/// What can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    All,
    /// The log can wait. Over pipes it comes with the answer.
    Answer,
    /// Nobody can take more of the answer. Over pipes the log has to wait as well.
    Log,
}

/// Something that a container said.
#[derive(Debug)]
pub(crate) enum Piece {
    /// More of an answer.
    Answer(Bytes),
    /// More of the log.
    Log(Outlet, Bytes),
    /// All of the log that was written to this outlet before this [mark](hearth_drivers::Tap::mark) has come.
    Mark(Outlet, u32),
    /// The function closed the connection. With bytes in it that it had not read, when there is an error.
    HungUp(io::Result<()>),
    /// The container closed its output, or that was lost. Said once.
    Over(Result<(), hearth_drivers::Error>),
}

// === impl Incoming ===

impl Incoming {
    /// Of a container whose answers come over stdout.
    pub(crate) fn over_pipes(frames: BoxStream<'static, Result<Frame, hearth_drivers::Error>>) -> Self {
        Self { frames, over: false, answers: Answers::Stdout }
    }

    /// Of a container whose answers come over connections. There is none yet.
    pub(crate) fn over_socket(frames: BoxStream<'static, Result<Frame, hearth_drivers::Error>>) -> Self {
        Self { frames, over: false, answers: Answers::Connection(None) }
    }

    /// Answers come over this connection from now on.
    pub(crate) fn connect(&mut self, half: Pin<Box<dyn AsyncRead + Send>>) {
        self.answers = Answers::Connection(Some(Reader { half, buffer: BytesMut::new() }));
    }

    /// Lets go of the connection, if answers come over one.
    pub(crate) fn hang_up(&mut self) {
        if let Answers::Connection(reader) = &mut self.answers {
            *reader = None;
        }
    }

    /// There is a connection.
    pub(crate) const fn is_connected(&self) -> bool {
        matches!(self.answers, Answers::Connection(Some(_)))
    }

    /// The container's output ended.
    pub(crate) const fn is_over(&self) -> bool {
        self.over
    }

    /// The next piece. Cancelling this loses nothing.
    pub(crate) async fn next(&mut self, wanted: Wanted) -> Piece {
        match (&mut self.answers, wanted) {
            // There they come one after the other.
            (Answers::Stdout, Wanted::Log) => pending().await,
            (Answers::Stdout, _) if self.over => pending().await,
            (Answers::Stdout, Wanted::All | Wanted::Answer) => {
                let frame = self.frames.next().await;
                self.stdio(frame)
            }
            (Answers::Connection(None), _) | (Answers::Connection(_), Wanted::Log) if self.over => pending().await,
            (Answers::Connection(None), _) | (Answers::Connection(_), Wanted::Log) => {
                let frame = self.frames.next().await;
                self.log(frame)
            }
            (Answers::Connection(Some(reader)), Wanted::Answer) => {
                let read = reader.read().await;
                self.answer(read)
            }
            (Answers::Connection(Some(reader)), Wanted::All) => {
                // In no order: a flood in one must not hold up the other.
                tokio::select! {
                    frame = self.frames.next(), if !self.over => self.log(frame),
                    read = reader.read() => self.answer(read),
                }
            }
        }
    }

    fn stdio(&mut self, frame: Option<Result<Frame, hearth_drivers::Error>>) -> Piece {
        match frame {
            Some(Ok(Frame::Stdout(bytes))) => Piece::Answer(bytes),
            other => self.log(other),
        }
    }

    fn log(&mut self, frame: Option<Result<Frame, hearth_drivers::Error>>) -> Piece {
        match frame {
            Some(Ok(Frame::Stdout(bytes))) => Piece::Log(Outlet::Stdout, bytes),
            Some(Ok(Frame::Stderr(bytes))) => Piece::Log(Outlet::Stderr, bytes),
            Some(Ok(Frame::Mark(outlet, number))) => Piece::Mark(outlet, number),
            Some(Err(error)) => {
                self.over = true;
                Piece::Over(Err(error))
            }
            None => {
                self.over = true;
                Piece::Over(Ok(()))
            }
        }
    }

    fn answer(&mut self, read: io::Result<Option<Bytes>>) -> Piece {
        let end = match read {
            Ok(Some(bytes)) => return Piece::Answer(bytes),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        self.hang_up();
        Piece::HungUp(end)
    }
}

// === impl Reader ===

impl Reader {
    /// What came; none at the end.
    async fn read(&mut self) -> io::Result<Option<Bytes>> {
        if self.buffer.capacity() < LOW_WATER {
            // Takes the old room back when every piece cut from it is gone; allocates otherwise.
            self.buffer.reserve(READ_BYTES);
        }
        let read = self.half.read_buf(&mut self.buffer).await?;
        Ok((read > 0).then(|| self.buffer.split().freeze()))
    }
}
