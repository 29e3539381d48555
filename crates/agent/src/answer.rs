//! Gets an answer to its caller: held back until it is known to be good or worth streaming, then piece by piece.
//!
//! A container that prints a line and exits with 1 should be a clean 502, and a stream should still stream. So head
//! and body are held until the first of: the answer is complete, 64 KiB of it are here, or some milliseconds have
//! passed since its first byte. From then on every piece is forwarded as it comes; what would complete the answer
//! is kept until the outcome is known. A failure after the head went out aborts the response.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hearth_models::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::body::Piece;
use crate::formats::Head;
use crate::work::Work;
use crate::{Answer, AnswerBody, Failure};

/// Held at most.
const HELD_BYTES: usize = 64 * 1024;
/// Pieces on their way to a client that reads slowly.
const PIECES: usize = 4;

/// What the caller of a container hears.
#[derive(Debug)]
pub(crate) enum Reply {
    Answer(Answer),
    Failure(Failure),
    /// The container was gone before it could see the request; nothing has happened yet.
    Bounced(Box<Work>),
}

/// The way of one answer to its caller.
#[derive(Debug)]
pub(crate) struct Responder {
    caller: Option<oneshot::Sender<Reply>>,
    stage: Stage,
    hold: Duration,
    waited: Duration,
    received: u64,
}

#[derive(Debug)]
enum Stage {
    Waiting,
    Holding { head: Head, body: BytesMut, since: Option<Instant> },
    Streaming { pieces: mpsc::Sender<Piece>, unsent: Option<Bytes>, length: Option<u64> },
    Over,
}

impl Responder {
    pub(crate) fn new(caller: oneshot::Sender<Reply>, hold: Duration) -> Self {
        Self { caller: Some(caller), stage: Stage::Waiting, hold, waited: Duration::ZERO, received: 0 }
    }

    /// The execution begins, after so long.
    pub(crate) fn started(&mut self, waited: Duration) {
        self.waited = waited;
    }

    /// Lets another container try, for a caller that listens to `caller` from now on.
    pub(crate) fn redirect(&mut self, caller: oneshot::Sender<Reply>) {
        self.caller = Some(caller);
    }

    /// Nobody waits for the answer any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.caller.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    pub(crate) fn take_caller(&mut self) -> Option<oneshot::Sender<Reply>> {
        self.caller.take()
    }

    // === what comes from the function ===

    pub(crate) fn head(&mut self, head: Head) {
        self.stage = Stage::Holding { head, body: BytesMut::new(), since: None };
    }

    /// More of the body. To be called only while nothing is [blocked](Self::is_blocked).
    pub(crate) fn data(&mut self, bytes: Bytes) {
        self.received += bytes.len() as u64;
        match &mut self.stage {
            Stage::Holding { body, since, .. } => {
                since.get_or_insert_with(Instant::now);
                body.extend_from_slice(&bytes);
                if body.len() >= HELD_BYTES {
                    self.stream();
                }
            }
            Stage::Streaming { unsent, .. } => *unsent = Some(bytes),
            Stage::Waiting | Stage::Over => {}
        }
    }

    /// When what is held has been held for long enough.
    pub(crate) fn hold_until(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Holding { since, .. } => since.map(|since| since + self.hold),
            _ => None,
        }
    }

    /// Lets the head and what is there of the body go; the rest will follow.
    pub(crate) fn stream(&mut self) {
        let stage = std::mem::replace(&mut self.stage, Stage::Over);
        let Stage::Holding { head, mut body, .. } = stage else {
            self.stage = stage;
            return;
        };
        if head.length.is_some_and(|length| self.received >= length) {
            // The end is here as well; what is complete goes out as a whole.
            self.stage = Stage::Holding { head, body, since: None };
            return;
        }
        let (sender, receiver) = mpsc::channel(PIECES);
        let length = head.length;
        let body = AnswerBody::streamed(body.split().freeze(), receiver, length);
        self.send(Reply::Answer(self.answer(head, body)));
        self.stage = Stage::Streaming { pieces: sender, unsent: None, length };
    }

    /// A piece waits for the client to take the one before.
    pub(crate) fn is_blocked(&self) -> bool {
        match &self.stage {
            Stage::Streaming { unsent: Some(_), length, .. } => length.is_none_or(|length| self.received < length),
            _ => false,
        }
    }

    /// Forwards the piece that waits. Cancelling this loses nothing.
    pub(crate) async fn forward(&mut self) {
        let Stage::Streaming { pieces, unsent, .. } = &mut self.stage else { return };
        // A client that left is not a reason to stop: what comes for it is dropped.
        let permit = pieces.reserve().await;
        if let (Ok(permit), Some(bytes)) = (permit, unsent.take()) {
            permit.send(Piece::Data(bytes));
        }
    }

    // === the outcome ===

    /// The answer is complete and good. Whether somebody took it. `told` is called just before the caller can know.
    pub(crate) async fn succeed(&mut self, told: impl FnOnce()) -> bool {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Holding { head, body, .. } => {
                let body = AnswerBody::complete(body.freeze());
                told();
                self.send(Reply::Answer(self.answer(head, body)))
            }
            Stage::Streaming { pieces, unsent, length } => {
                // A client that reads slowly is waited for first.
                let room = pieces.reserve_many(1 + usize::from(unsent.is_some())).await;
                told();
                match room {
                    Ok(room) => {
                        let rest = unsent.map(Piece::Data).into_iter().chain([Piece::End]);
                        room.zip(rest).for_each(|(room, piece)| room.send(piece));
                        true
                    }
                    // With the last byte of a known length the client has it all, and may go without asking for the end.
                    Err(_) => unsent.is_none() && length.is_some(),
                }
            }
            Stage::Waiting | Stage::Over => {
                told();
                false
            }
        }
    }

    /// There will be no answer, or no more of it.
    pub(crate) fn fail(&mut self, error: &Error) {
        if let Stage::Streaming { pieces, .. } = &self.stage {
            // Where the client is so slow that there is no room, dropping the sender aborts just the same.
            drop(pieces.try_send(Piece::Abort(error.clone())));
        } else {
            self.send(Reply::Failure(Failure { error: error.clone(), waited: self.waited }));
        }
        self.stage = Stage::Over;
    }

    fn send(&mut self, reply: Reply) -> bool {
        self.caller.take().is_some_and(|caller| caller.send(reply).is_ok())
    }

    fn answer(&self, head: Head, body: AnswerBody) -> Answer {
        Answer { status: head.status, headers: head.headers, body, waited: self.waited }
    }
}
