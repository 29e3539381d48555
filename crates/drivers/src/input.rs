//! The input of a container, whose end is never an accident.
//!
//! A function of the format `default` takes the end of its input for the end of its request. Whoever gives up a request
//! in the middle lets go of the input, and then of the container, which lives a moment longer: were the input closed by
//! then, a request that was cut off would pass for a whole one. So what was not shut down is held open until the
//! container is gone, which is when its [`Keeper`] is dropped.
//!
//! Where input and output are one connection, the output stays open with it. Somebody has to take it then, or the engine
//! waits for that and does not let the container go: whoever removes the container does.

use std::convert::Infallible;
use std::future::pending;
use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};

use futures_util::stream::{BoxStream, Stream, StreamExt, empty};
use tokio::io::{AsyncWrite, sink};

use crate::{Error, Frame};

type Writer = Pin<Box<dyn AsyncWrite + Send>>;
type Frames = BoxStream<'static, Result<Frame, Error>>;

/// Holds an input open that nobody writes to any more. Belongs to whatever ends the container.
#[derive(Default)]
pub(crate) struct Keeper(Arc<Mutex<Held>>);

/// The way to the [`Keeper`] of a container.
#[derive(Clone)]
pub(crate) struct Kept(Weak<Mutex<Held>>);

#[derive(Default)]
struct Held {
    input: Option<Writer>,
    output: Option<Frames>,
}

/// What a caller writes to.
struct Input {
    writer: Writer,
    /// Its end is meant.
    ended: bool,
    kept: Kept,
}

/// What a caller reads from.
struct Output {
    frames: Frames,
    kept: Kept,
}

// === impl Keeper ===

impl Keeper {
    pub(crate) fn kept(&self) -> Kept {
        Kept(Arc::downgrade(&self.0))
    }

    /// Takes what comes out of a container whose input is held open. Never ends.
    pub(crate) async fn read_out(&self) -> Infallible {
        let output = {
            let mut held = lock(&self.0);
            let output = held.output.take();
            output.filter(|_| held.input.is_some())
        };
        if let Some(mut output) = output {
            while output.next().await.is_some() {}
        }
        pending().await
    }
}

// === impl Kept ===

impl Kept {
    /// The input that `writer` leads to.
    pub(crate) fn input(self, writer: impl AsyncWrite + Send + 'static) -> Writer {
        Box::pin(Input { writer: Box::pin(writer), ended: false, kept: self })
    }

    /// The output `frames`, which comes over the same connection.
    pub(crate) fn output(self, frames: Frames) -> Frames {
        Output { frames, kept: self }.boxed()
    }
}

// === impl Input ===

impl AsyncWrite for Input {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writer.as_mut().poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = ready!(self.writer.as_mut().poll_shutdown(cx));
        self.ended = true;
        Poll::Ready(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writer.as_mut().poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.writer.is_write_vectored()
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // Without a keeper the container is gone, and this goes with it.
        let Some(keeper) = self.kept.0.upgrade() else { return };
        lock(&keeper).input = Some(mem::replace(&mut self.writer, Box::pin(sink())));
    }
}

// === impl Output ===

impl Stream for Output {
    type Item = Result<Frame, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.frames.poll_next_unpin(cx)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let Some(keeper) = self.kept.0.upgrade() else { return };
        lock(&keeper).output = Some(mem::replace(&mut self.frames, empty().boxed()));
    }
}

/// Nothing panics while it holds the lock, so poison is no reason to stop.
fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
