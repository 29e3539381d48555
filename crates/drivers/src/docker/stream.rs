//! A connection to a function's socket.
//!
//! tokio's own wakes its reader whenever the function has read what it was sent, because it waits for room to write
//! as well: once a call, for nothing. This one waits for room only when there is none.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream as Stream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::UnixStream;

use crate::Connection;

/// What is read at once as long as no more is there.
const SMALL: usize = 8 * 1024;

/// What the function sends.
struct Reader {
    stream: AsyncFd<Arc<Stream>>,
    /// Memory that needs no clearing before it is read into.
    small: Box<[u8; SMALL]>,
    /// The last read filled what it was given.
    much: bool,
}

/// What the function is sent.
struct Writer {
    stream: Arc<Stream>,
    /// While there was no room.
    room: Option<AsyncFd<Stream>>,
}

/// Both halves of `stream`. Must be called within a runtime.
pub(super) fn split(stream: UnixStream) -> io::Result<Connection> {
    let stream = Arc::new(stream.into_std()?);
    let reader =
        Reader { stream: watch(Arc::clone(&stream), Interest::READABLE)?, small: Box::new([0; SMALL]), much: false };
    Ok(Connection { reader: Box::pin(reader), writer: Box::pin(Writer { stream, room: None }) })
}

fn watch<T: std::os::fd::AsRawFd>(stream: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    #[expect(deprecated, reason = "its successor is unsafe for descriptors that others may close; we own ours")]
    AsyncFd::with_interest(stream, interest)
}

// === impl Reader ===

impl AsyncRead for Reader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, small, much } = self.get_mut();
        if into.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            // From before the read: what comes after that must not be forgotten with it.
            let mut ready = ready!(stream.poll_read_ready(cx))?;
            let small = (!*much).then_some(&mut **small);
            match read(ready.get_inner(), small, into) {
                Ok((bytes, asked)) => {
                    *much = bytes == asked;
                    if bytes > 0 && bytes < asked {
                        // That was all there is; the next is told anew.
                        ready.clear_ready();
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

/// How much was read, and how much was asked for.
fn read(mut stream: &Stream, small: Option<&mut [u8; SMALL]>, into: &mut ReadBuf<'_>) -> io::Result<(usize, usize)> {
    let Some(small) = small else {
        let room = into.initialize_unfilled();
        let (read, asked) = (stream.read(room)?, room.len());
        into.advance(read);
        return Ok((read, asked));
    };
    let asked = into.remaining().min(SMALL);
    let read = stream.read(&mut small[..asked])?;
    into.put_slice(&small[..read]);
    Ok((read, asked))
}

// === impl Writer ===

impl AsyncWrite for Writer {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self { stream, room } = self.get_mut();
        loop {
            let ready = match room {
                Some(room) => Some(ready!(room.poll_write_ready(cx))?),
                None => None,
            };
            match (&**stream).write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => match ready {
                    Some(mut ready) => ready.clear_ready(),
                    // Of a descriptor of its own, for the other is watched already.
                    None => *room = Some(watch(stream.try_clone()?, Interest::WRITABLE)?),
                },
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => {
                    *room = None;
                    return Poll::Ready(written);
                }
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.shutdown(Shutdown::Write))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn what_is_large_goes_both_ways_at_once_and_ends() {
        let (near, far) = UnixStream::pair().unwrap();
        let Connection { mut reader, mut writer } = split(near).unwrap();
        let (mut there, mut back) = far.into_split();
        let sent: Vec<u8> = (0..3_000_000u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
        let mut received = Vec::new();
        let write = async {
            writer.write_all(&sent).await.unwrap();
            writer.shutdown().await.unwrap();
        };
        let echo = async {
            tokio::io::copy(&mut there, &mut back).await.unwrap();
            drop(back);
        };
        tokio::join!(write, echo, async { reader.read_to_end(&mut received).await.unwrap() });
        assert!(received == sent);
    }

    #[tokio::test]
    async fn pieces_come_as_they_were_sent_and_a_close_is_seen() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let Connection { mut reader, mut writer } = split(near).unwrap();
        let mut buffer = vec![0; 64 * 1024];
        for size in [1, SMALL - 1, SMALL, SMALL + 1, 3 * SMALL, 1] {
            far.write_all(&vec![7; size]).await.unwrap();
            reader.read_exact(&mut buffer[..size]).await.unwrap();
            assert!(buffer[..size].iter().all(|byte| *byte == 7));
            writer.write_all(b"y").await.unwrap();
            far.read_exact(&mut buffer[..1]).await.unwrap();
        }
        drop(far);
        assert_eq!(reader.read(&mut buffer).await.unwrap(), 0);
        assert_eq!(writer.write_all(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
