//! A request on its way into a container.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use hearth_models::{Error, Format, Timestamp};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http_body_util::BodyExt;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::formats::{http as http_format, json, stream};
use crate::{BodyError, Invocation, RequestBody};

/// Whoever reads a request reads so much of it at once, whatever the size of its buffer.
const SHORT: usize = 4 * 1024;

/// The beginning of a request's body, read before a slot was asked for, and the rest if there is more.
#[derive(Debug)]
pub(crate) struct Prefix {
    bytes: Bytes,
    rest: Option<RequestBody>,
    budget: Option<OwnedSemaphorePermit>,
}

/// Why a request has no [`Prefix`].
#[derive(Debug)]
pub(crate) enum PrefixError {
    /// The client did not send it.
    Body(BodyError),
    /// Too much of other requests is held in memory.
    Full,
}

impl From<PrefixError> for Error {
    fn from(error: PrefixError) -> Self {
        match error {
            PrefixError::Body(error) => error.into(),
            PrefixError::Full => Self::NoCapacity("too much of other requests is held in memory".to_owned()),
        }
    }
}

/// The share of what may be held goes back with the bytes.
impl AsRef<[u8]> for Prefix {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Prefix {
    /// Reads `body` until it ends or `limit` bytes are there, so that a slow uploader does not hold a container. What
    /// is read counts against `budget`, in bytes, until the request has been executed.
    pub(crate) async fn read(
        mut body: RequestBody,
        limit: usize,
        budget: &Arc<Semaphore>,
    ) -> Result<Self, PrefixError> {
        let mut first = Bytes::new();
        let mut bytes = BytesMut::new();
        let mut held: Option<OwnedSemaphorePermit> = None;
        while first.len() + bytes.len() < limit {
            let Some(frame) = body.frame().await else {
                return Ok(Self { bytes: join(first, bytes), rest: None, budget: held });
            };
            let Ok(data) = frame.map_err(PrefixError::Body)?.into_data() else { continue };
            let size = u32::try_from(data.len()).map_err(|_| PrefixError::Full)?;
            let more = Arc::clone(budget).try_acquire_many_owned(size).map_err(|_| PrefixError::Full)?;
            match &mut held {
                Some(held) => held.merge(more),
                None => held = Some(more),
            }
            if first.is_empty() {
                first = data;
            } else {
                bytes.put(data);
            }
        }
        Ok(Self { bytes: join(first, bytes), rest: Some(body), budget: held })
    }
}

fn join(first: Bytes, more: BytesMut) -> Bytes {
    if more.is_empty() {
        return first;
    }
    let mut all = BytesMut::with_capacity(first.len() + more.len());
    all.put(first);
    all.put(more);
    all.freeze()
}

/// A request on its way into a container.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// What has been read of the body, until the request is written in its format. Not before it is sent: what it
    /// becomes may be a multiple of it.
    prefix: Option<Prefix>,
    pending: Bytes,
    rest: Option<RequestBody>,
    chunked: bool,
    done: bool,
    budget: Option<OwnedSemaphorePermit>,
    /// All of the request, where it is short.
    whole: Option<Bytes>,
    sent: u64,
    deadline: Timestamp,
}

/// Why a request could not be sent to its end.
#[derive(Debug)]
pub(crate) enum SendError {
    /// The client did not send it to its end.
    Body(BodyError),
    /// The container does not take it.
    Pipe,
}

impl Outgoing {
    /// A request whose body begins with `prefix`.
    pub(crate) fn new(prefix: Prefix) -> Self {
        Self {
            prefix: Some(prefix),
            pending: Bytes::new(),
            rest: None,
            chunked: false,
            done: false,
            budget: None,
            whole: None,
            sent: 0,
            deadline: Timestamp::ZERO,
        }
    }

    /// Its execution begins, and has to be over by `deadline`.
    pub(crate) fn due(&mut self, deadline: Timestamp) {
        self.deadline = deadline;
    }

    /// Writes the beginning of the request as the function's format has it.
    fn begin(&mut self, invocation: &Invocation, body: Prefix) {
        self.pending = match invocation.function.format {
            Format::Default => body.bytes,
            Format::Json => json::request(invocation, &body.bytes),
            Format::Http => {
                let framing = framing(invocation, body.bytes.len() as u64);
                self.chunked = framing == http_format::BodyFraming::Chunked;
                self.with_head(http_format::request_head(invocation, framing), &body)
            }
            Format::HttpStream => {
                self.chunked = true;
                let bytes = self.with_head(stream::request_head(invocation, self.deadline), &body);
                self.whole = (body.rest.is_none() && bytes.len() <= SHORT).then(|| bytes.clone());
                bytes
            }
        };
        self.rest = body.rest;
        self.budget = body.budget;
    }

    fn with_head(&self, mut bytes: Vec<u8>, body: &Prefix) -> Bytes {
        if self.chunked {
            bytes.reserve(body.bytes.len() + http_format::CHUNK_FRAME + http_format::LAST_CHUNK.len());
            http_format::chunk(&mut bytes, &body.bytes);
            if body.rest.is_none() {
                bytes.extend_from_slice(http_format::LAST_CHUNK);
            }
        } else {
            bytes.extend_from_slice(&body.bytes);
        }
        bytes.into()
    }

    /// Begins again on another connection, for one that was closed before its other end had read anything. Whether that
    /// is so: nothing was sent, or what was is so short that its other end, which left some of it unread, has read nothing.
    pub(crate) fn begin_again(&mut self, left_unread: bool) -> bool {
        if self.sent == 0 {
            return true;
        }
        let Some(whole) = self.whole.as_ref().filter(|_| left_unread) else { return false };
        self.pending = whole.clone();
        self.done = false;
        true
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// Nothing of it is still to come from the client.
    pub(crate) fn is_all_here(&self) -> bool {
        self.rest.is_none() && self.prefix.as_ref().is_none_or(|prefix| prefix.rest.is_none())
    }

    /// Nothing more can be sent.
    pub(crate) fn give_up(&mut self) {
        self.finish();
        self.prefix = None;
        self.whole = None;
        self.pending = Bytes::new();
        self.rest = None;
    }

    /// Does the next step of sending the request of `invocation`. Cancelling it loses nothing.
    pub(crate) async fn step(
        &mut self,
        invocation: &Invocation,
        stdin: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), SendError> {
        if let Some(prefix) = self.prefix.take() {
            self.begin(invocation, prefix);
        }
        if !self.pending.is_empty() {
            let written = stdin.write_buf(&mut self.pending).await.map_err(|_closed| SendError::Pipe)?;
            self.sent += written as u64;
            return Ok(());
        }
        if let Some(rest) = &mut self.rest {
            match rest.frame().await {
                Some(Ok(frame)) => self.put(frame.into_data().unwrap_or_default()),
                Some(Err(error)) => return Err(SendError::Body(error)),
                None => {
                    self.rest = None;
                    if self.chunked {
                        self.pending = Bytes::from_static(http_format::LAST_CHUNK);
                    }
                }
            }
            return Ok(());
        }
        // The end of the request is the end of file, or nothing that can be seen.
        if invocation.function.format == Format::Default {
            stdin.shutdown().await.map_err(|_closed| SendError::Pipe)?;
        } else {
            stdin.flush().await.map_err(|_closed| SendError::Pipe)?;
        }
        self.finish();
        Ok(())
    }

    fn finish(&mut self) {
        self.done = true;
        self.budget = None;
    }

    fn put(&mut self, data: Bytes) {
        self.pending = if self.chunked && !data.is_empty() {
            let mut chunk = Vec::with_capacity(data.len() + http_format::CHUNK_FRAME);
            http_format::chunk(&mut chunk, &data);
            chunk.into()
        } else {
            data
        };
    }
}

/// How the client delimited the body is how the function sees it delimited (v1 contract B.3.2).
fn framing(invocation: &Invocation, read: u64) -> http_format::BodyFraming {
    let headers = &invocation.request.headers;
    if headers.contains_key(TRANSFER_ENCODING) {
        return http_format::BodyFraming::Chunked;
    }
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    match declared {
        Some(length) => http_format::BodyFraming::Length(length),
        None if read > 0 => http_format::BodyFraming::Length(read),
        None => http_format::BodyFraming::Empty,
    }
}
