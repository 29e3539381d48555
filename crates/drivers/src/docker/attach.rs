//! The connection to a container's stdin, stdout and stderr.
//!
//! This is the hot path of every call, so it does without the HTTP client: one request is written by hand, and from
//! the answer on the socket is ours, each half without a lock or a task of its own. It also lets us tell a
//! connection that broke inside a frame from one that ended.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::stream::{BoxStream, Stream, StreamExt};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::io::poll_read_buf;

use super::address::Address;
use super::engine::Fault;
use super::marks::{Marks, Secret};
use crate::{Error, Frame, Outlet};

/// The most an answer's head, or the message of a refusal, may take.
const MAX_ANSWER: usize = 64 * 1024;

/// Room for a read. The engine copies in pieces of 32 KiB, so one read takes a whole piece with its header.
const READ_BYTES: usize = 33 * 1024;

/// Below this much room a read is given new room, so that small answers share one allocation.
const LOW_WATER: usize = 4 * 1024;

/// Stream, three zeroes, length (big endian).
const HEADER_BYTES: usize = 8;

/// A container's input and output.
pub(super) struct Attached {
    pub(super) stdin: Pin<Box<dyn AsyncWrite + Send>>,
    pub(super) output: BoxStream<'static, Result<Frame, Error>>,
}

/// What a container writes, frame by frame as pieces arrive: a frame may come in several items.
struct Output<R> {
    /// None once the stream ended, well or badly.
    reader: Option<R>,
    buffer: BytesMut,
    /// The frame under way, and how much of it is still to come.
    frame: Option<(Outlet, usize)>,
    /// Where there may be marks: what takes them out, and what came of a piece.
    marks: Option<(Marks, VecDeque<Frame>)>,
    /// How it ended, until that is told.
    failure: Option<Error>,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

/// Attaches to the container `id`, which need not run yet. Where there is a secret, marks with it may be in its output.
pub(super) async fn attach(address: &Address, id: &str, secret: Option<Secret>) -> Result<Attached, Fault> {
    match address {
        Address::Unix(path) => {
            let (reader, writer) = UnixStream::connect(path).await?.into_split();
            hijack(reader, writer, "docker", id, secret).await
        }
        Address::Tcp(authority) => {
            let stream = TcpStream::connect(authority).await?;
            stream.set_nodelay(true)?;
            let (reader, writer) = stream.into_split();
            hijack(reader, writer, authority, id, secret).await
        }
    }
}

async fn hijack(
    mut reader: impl AsyncRead + Send + Unpin + 'static,
    mut writer: impl AsyncWrite + Send + Unpin + 'static,
    host: &str,
    id: &str,
    secret: Option<Secret>,
) -> Result<Attached, Fault> {
    let request = format!(
        "POST /containers/{id}/attach?stream=1&stdin=1&stdout=1&stderr=1 HTTP/1.1\r\nHost: {host}\r\n\
         Content-Length: 0\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    );
    writer.write_all(request.as_bytes()).await?;
    let mut buffer = BytesMut::with_capacity(READ_BYTES);
    let head = loop {
        if let Some(head) = Head::parse(&buffer)? {
            break head;
        }
        if buffer.len() >= MAX_ANSWER || reader.read_buf(&mut buffer).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    };
    buffer.advance(head.bytes);
    if !matches!(head.status, 101 | 200) {
        return Err(refusal(reader, buffer, &head).await?);
    }
    Ok(Attached { stdin: Box::pin(writer), output: Output::new(reader, buffer, secret).boxed() })
}

/// Reads why the engine does not attach us.
async fn refusal(mut reader: impl AsyncRead + Unpin, mut buffer: BytesMut, head: &Head) -> io::Result<Fault> {
    let length = head.content_length.unwrap_or(usize::MAX).min(MAX_ANSWER);
    while buffer.len() < length && reader.read_buf(&mut buffer).await? > 0 {}
    let message = serde_json::from_slice(&buffer)
        .map_or_else(|_| String::from_utf8_lossy(&buffer).trim().to_owned(), |Refusal { message }| message);
    Ok(Fault::Refused { status: head.status, message })
}

struct Head {
    status: u16,
    bytes: usize,
    content_length: Option<usize>,
}

// === impl Head ===

impl Head {
    fn parse(bytes: &[u8]) -> Result<Option<Self>, Fault> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(bytes).map_err(|error| Fault::Nonsense(Arc::new(error)))?;
        let httparse::Status::Complete(length) = parsed else {
            return Ok(None);
        };
        let status = response.code.unwrap_or_default();
        let mut headers = response.headers.iter();
        let content_length = headers
            .find(|header| header.name.eq_ignore_ascii_case("content-length"))
            .and_then(|header| std::str::from_utf8(header.value).ok()?.trim().parse().ok());
        Ok(Some(Self { status, bytes: length, content_length }))
    }
}

// === impl Output ===

impl<R: AsyncRead + Unpin> Output<R> {
    fn new(reader: R, buffer: BytesMut, secret: Option<Secret>) -> Self {
        let marks = secret.map(|secret| (Marks::new(secret), VecDeque::new()));
        Self { reader: Some(reader), buffer, frame: None, marks, failure: None }
    }

    /// The next frame of what is here.
    fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            if let Some((_, ready)) = &mut self.marks
                && let Some(frame) = ready.pop_front()
            {
                return Ok(Some(frame));
            }
            let Some((kind, piece)) = self.decode()? else { return Ok(None) };
            match &mut self.marks {
                Some((marks, ready)) => marks.split(kind, piece, |frame| ready.push_back(frame)),
                None => return Ok(Some(kind.frame(piece))),
            }
        }
    }

    /// Takes what there is of a frame. Its end need not be there: a frame is the engine's unit, not the container's.
    fn decode(&mut self) -> Result<Option<(Outlet, Bytes)>, Error> {
        while self.frame.is_none_or(|(_, left)| left == 0) {
            let Some((header, _)) = self.buffer.split_first_chunk::<HEADER_BYTES>() else {
                self.frame = None;
                return Ok(None);
            };
            self.frame = Some(parse_header(*header)?);
            self.buffer.advance(HEADER_BYTES);
        }
        let Some((kind, left)) = &mut self.frame else {
            return Ok(None);
        };
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let piece = self.buffer.split_to(self.buffer.len().min(*left)).freeze();
        *left -= piece.len();
        Ok(Some((*kind, piece)))
    }

    /// Once nothing more comes: what was held back, and how it ended.
    fn last(&mut self) -> Option<Result<Frame, Error>> {
        let held = self.marks.as_mut().and_then(|(_, ready)| ready.pop_front());
        held.map(Ok).or_else(|| self.failure.take().map(Err))
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(reader) = &mut self.reader else {
            return Poll::Ready(Ok(0));
        };
        if self.buffer.capacity() - self.buffer.len() < LOW_WATER {
            // Takes the old room back when every frame cut from it is gone; allocates otherwise.
            self.buffer.reserve(READ_BYTES);
        }
        poll_read_buf(Pin::new(reader), cx, &mut self.buffer)
    }

    /// Between two frames is where a container's output ends; anywhere else is where a connection breaks.
    fn is_between_frames(&self) -> bool {
        self.buffer.is_empty() && self.frame.is_none_or(|(_, left)| left == 0)
    }
}

impl<R: AsyncRead + Unpin> Stream for Output<R> {
    type Item = Result<Frame, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.reader.is_none() {
            return Poll::Ready(this.last());
        }
        let failure = loop {
            match this.next_frame() {
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(None) => {}
                Err(error) => break Some(error),
            }
            match ready!(this.poll_fill(cx)) {
                Ok(0) if this.is_between_frames() => break None,
                Ok(0) => break Some(Error::Cut { source: None }),
                Ok(_) => {}
                Err(error) => break Some(Error::cut(error)),
            }
        };
        this.reader = None;
        if let Some((marks, ready)) = &mut this.marks {
            marks.end(|frame| ready.push_back(frame));
        }
        this.failure = failure;
        Poll::Ready(this.last())
    }
}

fn parse_header(header: [u8; HEADER_BYTES]) -> Result<(Outlet, usize), Error> {
    let [stream, 0, 0, 0, length @ ..] = header else {
        return Err(not_a_header(header));
    };
    let kind = match stream {
        // What the engine calls stdin is stdin's echo, which belongs to stdout.
        0 | 1 => Outlet::Stdout,
        2 => Outlet::Stderr,
        _ => return Err(not_a_header(header)),
    };
    Ok((kind, u32::from_be_bytes(length) as usize))
}

fn not_a_header(header: [u8; HEADER_BYTES]) -> Error {
    Error::cut(io::Error::new(io::ErrorKind::InvalidData, format!("not the header of a frame: {header:02x?}")))
}

#[cfg(test)]
mod tests;
