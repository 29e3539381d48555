//! The log of a container, straight from its processes.
//!
//! What a container writes to the pipes of its engine passes through two processes before it is here, and nobody can tell
//! when it will be. So a function with a socket is [launched](super::launch) with a named pipe of this server for its
//! stdout and stderr. What it wrote is then known as soon as it is written, and here as soon as it is asked for: the end of
//! a call's log is the end of what can be read.
//!
//! What launches it greets first. As long as it has not, its log may come another way, and nothing is known of it.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, Stream};
use rustix::buffer::spare_capacity;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use rustix::io::{Errno, ioctl_fionread, read};
use rustix::pipe::fcntl_setpipe_size;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::{Error, Frame, Mark, Outlet, Tap};

/// Read at a time, at most.
const READ_BYTES: usize = 64 * 1024;

/// So much the pipe holds, where that is allowed: until it is healthy, and in calls that are soon over, nobody reads what a
/// container writes.
const PIPE_BYTES: usize = 1024 * 1024;

/// It is said once that functions are not launched.
static TOLD: Once = Once::new();

/// What `crates/launch` writes first.
const GREETING: u8 = 6;

/// The pipe that a container's log is written to.
#[derive(Clone, Debug)]
pub(super) struct Direct {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    pipe: OwnedFd,
    /// It holds as much as it should. The kernel leaves many large pipes to root alone.
    large: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What was read and not taken yet.
    ready: VecDeque<Frame>,
    /// Something was read since the last mark.
    read: bool,
    /// The log comes this way.
    greeted: bool,
}

/// Tells of what is written to the pipe.
#[derive(Debug)]
struct DirectTap {
    shared: Arc<Shared>,
    number: u32,
}

/// What comes out of the pipe, and what of the engine, which tells when the container is gone.
struct Output {
    attached: Option<BoxStream<'static, Result<Frame, Error>>>,
    /// How that ended, until it is told.
    failure: Option<Error>,
    pipe: AsyncFd<Arc<Shared>>,
}

// === impl Direct ===

impl Direct {
    /// Makes the pipe at `path`. Every user may write to it.
    pub(super) fn make(path: &Path) -> io::Result<Self> {
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        // Opened to be written to as well, so that it does not end before its first writer has come.
        let pipe = open(path, OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())?;
        // Whatever the umask. Functions may open what they were given anew, to read as well.
        rustix::fs::fchmod(&pipe, Mode::from_raw_mode(0o666))?;
        let sized = fcntl_setpipe_size(&pipe, PIPE_BYTES);
        if let Err(error) = &sized {
            tracing::debug!(%error, "the pipe of a log stays as small as it is");
        }
        Ok(Self { shared: Arc::new(Shared { pipe, large: sized.is_ok(), state: Mutex::default() }) })
    }

    pub(super) fn tap(&self) -> Box<dyn Tap> {
        Box::new(DirectTap { shared: Arc::clone(&self.shared), number: 0 })
    }

    /// What the container writes: to the pipe, and to what it was given by the engine (its first process does).
    pub(super) fn output(
        self,
        attached: BoxStream<'static, Result<Frame, Error>>,
    ) -> io::Result<BoxStream<'static, Result<Frame, Error>>> {
        #[expect(deprecated, reason = "its successor is unsafe for descriptors that others may close; we own ours")]
        let pipe = AsyncFd::with_interest(self.shared, Interest::READABLE)?;
        Ok(Output { attached: Some(attached), failure: None, pipe }.boxed())
    }
}

// === impl Shared ===

impl AsRawFd for Shared {
    fn as_raw_fd(&self) -> RawFd {
        self.pipe.as_raw_fd()
    }
}

impl Shared {
    /// What is in the pipe, at most so much of it. None when that is nothing.
    fn read(&self, most: usize) -> io::Result<Option<Bytes>> {
        let mut bytes = Vec::with_capacity(most);
        loop {
            match read(&self.pipe, spare_capacity(&mut bytes)) {
                Ok(0) | Err(Errno::AGAIN) => return Ok(None),
                Ok(_) => return Ok(Some(bytes.into())),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn unread(&self) -> io::Result<usize> {
        Ok(usize::try_from(ioctl_fionread(&self.pipe)?).unwrap_or(usize::MAX))
    }

    /// Takes what is in the pipe now, and not what is written meanwhile: there may be no end of that.
    fn take(&self, state: &mut State) -> io::Result<()> {
        let mut left = self.unread()?;
        while left > 0
            && let Some(bytes) = self.read(left)?
        {
            left -= bytes.len();
            let frame = state.without_greeting(bytes);
            state.ready.extend(frame);
        }
        Ok(())
    }

    /// The state is whole between any two statements.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    fn without_greeting(&mut self, mut bytes: Bytes) -> Option<Frame> {
        if !std::mem::replace(&mut self.greeted, true) && bytes.first() == Some(&GREETING) {
            bytes.advance(1);
        }
        (!bytes.is_empty()).then_some(Frame::Stderr(bytes))
    }
}

// === impl DirectTap ===

impl Tap for DirectTap {
    fn wrote(&mut self) -> bool {
        let state = self.shared.state();
        // Of what cannot be looked into nobody knows.
        state.read || !state.greeted || !matches!(self.shared.unread(), Ok(0))
    }

    fn has_room(&self) -> bool {
        self.shared.large
    }

    fn mark(&mut self) -> io::Result<Option<Mark>> {
        let mut state = self.shared.state();
        self.shared.take(&mut state)?;
        if !state.greeted {
            TOLD.call_once(|| {
                tracing::warn!(
                    "functions are not launched with the pipe of this server: their logs go through the engine"
                )
            });
            return Err(io::Error::other("nobody has greeted"));
        }
        self.number = self.number.wrapping_add(1);
        state.ready.push_back(Frame::Mark(Outlet::Stderr, self.number));
        state.read = false;
        Ok(Some(Mark { number: self.number, on: [false, true] }))
    }
}

// === impl Output ===

impl Output {
    fn poll_pipe(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, Error>> {
        loop {
            let mut ready = ready!(self.pipe.poll_read_ready(cx)).map_err(Error::cut)?;
            let shared = self.pipe.get_ref();
            let mut state = shared.state();
            match shared.read(READ_BYTES).map_err(Error::cut)? {
                Some(bytes) => {
                    if let Some(frame) = state.without_greeting(bytes) {
                        state.read = true;
                        return Poll::Ready(Ok(frame));
                    }
                }
                None => ready.clear_ready(),
            }
        }
    }
}

impl Stream for Output {
    type Item = Result<Frame, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(frame) = this.pipe.get_ref().state().ready.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        match this.attached.as_mut().map(|attached| attached.poll_next_unpin(cx)) {
            Some(Poll::Pending) => return this.poll_pipe(cx).map(Some),
            Some(Poll::Ready(Some(Ok(frame)))) => return Poll::Ready(Some(Ok(frame))),
            // Its processes are gone, or may be: what they wrote is there.
            Some(Poll::Ready(end)) => {
                this.attached = None;
                this.failure = end.and_then(Result::err);
                let shared = this.pipe.get_ref();
                let mut state = shared.state();
                if let Err(error) = shared.take(&mut state) {
                    this.failure.get_or_insert_with(|| Error::cut(error));
                }
                if let Some(frame) = state.ready.pop_front() {
                    return Poll::Ready(Some(Ok(frame)));
                }
            }
            None => {}
        }
        Poll::Ready(this.failure.take().map(Err))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::io::Write;
    use std::time::Duration;

    use futures_util::{FutureExt, stream};
    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;

    /// A pipe, who writes to it, what comes out, and what ends that.
    fn pipe() -> (Direct, File, BoxStream<'static, Result<Frame, Error>>, oneshot::Sender<()>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let direct = Direct::make(&path).unwrap();
        let mut writer = OpenOptions::new().write(true).open(path).unwrap();
        let mut tap = direct.tap();
        assert!(tap.wrote() && tap.mark().is_err(), "nobody has greeted");
        writer.write_all(&[GREETING]).unwrap();
        let (end, ended) = oneshot::channel::<()>();
        let attached = stream::once(ended).filter_map(|_| async { None }).boxed();
        let output = direct.clone().output(attached).unwrap();
        (direct, writer, output, end)
    }

    fn text(frame: Option<Result<Frame, Error>>) -> String {
        match frame {
            Some(Ok(Frame::Stderr(bytes))) => String::from_utf8(bytes.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_was_written_is_here_at_once_and_a_mark_behind_it() {
        let (direct, mut writer, mut output, _end) = pipe();
        let mut tap = direct.tap();
        let first = tap.mark().unwrap().unwrap();
        assert_eq!(output.next().await.unwrap().unwrap(), Frame::Mark(Outlet::Stderr, first.number));
        assert!(!tap.wrote());
        writer.write_all(b"one\n").unwrap();
        assert!(tap.wrote());
        let mark = tap.mark().unwrap().unwrap();
        writer.write_all(b"two\n").unwrap();
        assert_eq!(text(output.next().now_or_never().unwrap()), "one\n");
        let come = output.next().now_or_never().unwrap().unwrap().unwrap();
        assert_eq!((come, mark.on), (Frame::Mark(Outlet::Stderr, mark.number), [false, true]));
        assert_eq!(text(timeout(Duration::from_secs(10), output.next()).await.unwrap()), "two\n");
        assert!(tap.wrote(), "since the mark, although it is here");
        tap.mark().unwrap().unwrap();
        assert!(!tap.wrote());
    }

    #[tokio::test]
    async fn a_flood_does_not_keep_a_mark_from_coming() {
        let (direct, mut writer, mut output, _end) = pipe();
        let mut tap = direct.tap();
        let flood = std::thread::spawn(move || while writer.write_all(&[b'x'; 4096]).is_ok() {});
        let mark = tap.mark().unwrap().unwrap();
        while output.next().await.unwrap().unwrap() != Frame::Mark(Outlet::Stderr, mark.number) {}
        // Nobody reads any more.
        drop((output, tap, direct));
        drop(flood);
    }

    #[tokio::test]
    async fn what_a_container_wrote_last_comes_before_its_end() {
        let (_direct, mut writer, mut output, end) = pipe();
        assert!(output.next().now_or_never().is_none());
        writer.write_all(b"last words\n").unwrap();
        drop(writer);
        assert_eq!(text(timeout(Duration::from_secs(10), output.next()).await.unwrap()), "last words\n");
        assert!(output.next().now_or_never().is_none(), "others may still write");
        end.send(()).unwrap();
        assert!(output.next().await.is_none());
        assert!(output.next().await.is_none());
    }
}
