//! Lets what was written of an answer reach its client before the answer is aborted.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hearth_agent::{Aborted, AnswerBody};
use http_body::{Body, Frame, SizeHint};

/// The body of an answer, as it goes out. An error closes the connection at once, with whatever the connection still
/// has in its buffer; so the error is held back for one turn, in which the connection flushes.
#[derive(Debug)]
pub(crate) struct Outgoing {
    body: AnswerBody,
    aborted: Option<Aborted>,
}

impl Outgoing {
    pub(crate) const fn new(body: AnswerBody) -> Self {
        Self { body, aborted: None }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        let this = self.get_mut();
        if let Some(aborted) = this.aborted.take() {
            return Poll::Ready(Some(Err(aborted)));
        }
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Err(aborted))) => {
                this.aborted = Some(aborted);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.aborted.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
