//! The body of an answer: complete, or a stream that ends well or is aborted.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

/// The function failed after the head of its answer had gone out; what is left of the body will not come.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("answer aborted: {0}")]
pub struct Aborted(pub hearth_models::Error);

/// The body of an answer.
#[derive(Debug)]
pub struct AnswerBody {
    first: Bytes,
    taken: bool,
    rest: Option<mpsc::Receiver<Piece>>,
    length: Option<u64>,
}

/// What follows the first part of a streamed body.
#[derive(Debug)]
pub(crate) enum Piece {
    /// More of it.
    Data(Bytes),
    /// All of it was sent.
    End,
    /// It ends here, unfinished. A sender that is dropped without a word means the same.
    Abort(hearth_models::Error),
}

impl AnswerBody {
    /// A body that is complete.
    #[must_use]
    pub fn complete(bytes: Bytes) -> Self {
        let length = Some(bytes.len() as u64);
        Self { first: bytes, taken: false, rest: None, length }
    }

    /// A body that begins with `first` and continues with `rest`; `length` is its whole length where it is known.
    pub(crate) fn streamed(first: Bytes, rest: mpsc::Receiver<Piece>, length: Option<u64>) -> Self {
        Self { first, taken: false, rest: Some(rest), length }
    }

    /// What is known of the beginning of the body; empty only when the body is.
    #[must_use]
    pub fn beginning(&self) -> &Bytes {
        &self.first
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        let this = self.get_mut();
        if !this.taken {
            this.taken = true;
            if !this.first.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.first)))));
            }
        }
        let Some(rest) = this.rest.as_mut() else {
            return Poll::Ready(None);
        };
        let piece = std::task::ready!(rest.poll_recv(cx));
        let end = match piece {
            Some(Piece::Data(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Some(Piece::End) => None,
            Some(Piece::Abort(error)) => Some(Err(Aborted(error))),
            None => Some(Err(Aborted(hearth_models::Error::Internal))),
        };
        this.rest = None;
        Poll::Ready(end)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && (self.taken || self.first.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self.length {
            Some(length) if !self.taken => SizeHint::with_exact(length),
            _ => SizeHint::default(),
        }
    }
}
