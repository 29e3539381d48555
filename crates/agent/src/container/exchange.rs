//! The exchange of a call with a container: its request goes in and its answer comes out, both at once.

use std::io;

use futures_util::FutureExt;
use hearth_drivers::Chain;
use hearth_models::{Error, Reason};
use tokio::time::{Duration, Instant, timeout_at};

use super::{Fate, Wire};
use crate::formats::{Decoder, Event};
use crate::incoming::{Piece, Wanted};
use crate::outgoing::SendError;
use crate::work::Work;

/// The log of an execution that is over by then is read when it is over. It has room until then.
const LOG_WAITS: Duration = Duration::from_millis(5);

impl Wire {
    /// The exchange itself, until the answer is complete or cannot become so.
    pub(super) async fn converse(&mut self, work: &mut Work) -> Result<Fate, Error> {
        // The function takes what it is sent.
        let mut takes = self.send_at_once(work)?;
        // Of a call that nobody waits for the answer is a part of the log: what was written before it stands before it.
        let log_waits = work.unattended.is_none() && self.tail.can_wait();
        let mut log_at = log_waits.then(|| Instant::now() + LOG_WAITS);
        loop {
            let hold_until = work.responder.hold_until();
            let due_at = hold_until.into_iter().chain(log_at).min();
            let wanted = match log_at {
                _ if work.responder.is_blocked() => Wanted::Log,
                Some(_) => Wanted::Answer,
                None => Wanted::All,
            };
            tokio::select! {
                biased;
                () = self.alarm.until(work.clock.deadline) => return Err(Error::TimedOut),
                piece = self.incoming.next(wanted) => match piece {
                    Piece::Answer(bytes) => {
                        if work.unattended.is_some() {
                            self.log_at_hand(work);
                        }
                        work.decoder.push(bytes);
                        if read_answer(work)? {
                            return Ok(self.fate_after(&work.decoder));
                        }
                    }
                    Piece::Log(outlet, bytes) => self.log(work, outlet, bytes),
                    Piece::Mark(outlet, number) => self.passed(outlet, number),
                    Piece::HungUp(end) => match self.hung_up(work, end).await? {
                        Some(fate) => return Ok(fate),
                        None => takes = true,
                    },
                    // What it answered before may still be under way.
                    Piece::Over(_) if self.incoming.is_connected() => {}
                    Piece::Over(Ok(())) => return self.answer_at_end(work).await,
                    Piece::Over(Err(error)) => {
                        let (id, app, route) = work.live.whose();
                        tracing::warn!(
                            call.id = %id, app, route, container_id = self.guard.id(), error = %Chain(&error),
                            "lost the container's output"
                        );
                        return Err(self.end_of_output(work.format, work.clock.deadline).await.err().unwrap_or(Error::Vanished));
                    }
                },
                () = work.responder.forward(), if work.responder.is_blocked() => {
                    if read_answer(work)? {
                        return Ok(self.fate_after(&work.decoder));
                    }
                }
                sent = work.request.step(&work.invocation, &mut self.requests), if takes && !work.request.is_done() => match sent {
                    Ok(()) => {}
                    Err(SendError::Body(error)) => return Err(error.into()),
                    // Why it does not read any more shows in what it says or in its exit.
                    Err(SendError::Pipe) => takes = false,
                },
                () = self.soon.until(due_at.unwrap_or(work.clock.deadline)), if due_at.is_some() => {
                    if hold_until.is_some() && hold_until == due_at {
                        work.responder.stream();
                    } else {
                        log_at = None;
                    }
                }
                stat = self.probe.next() => work.live.sample(stat),
            }
        }
    }

    /// Takes what is here of the log: what was written before the answer is to stand before it.
    fn log_at_hand(&mut self, work: &mut Work) {
        /// A function that never stops writing is no reason to forget its answer.
        const PIECES: usize = 64;
        for _ in 0..PIECES {
            match self.incoming.next(Wanted::Log).now_or_never() {
                Some(Piece::Log(outlet, bytes)) => self.log(work, outlet, bytes),
                Some(Piece::Mark(outlet, number)) => self.passed(outlet, number),
                // Its output is over, which is remembered, or nothing more is here.
                Some(Piece::Over(_) | Piece::HungUp(_) | Piece::Answer(_)) | None => return,
            }
        }
    }

    /// Sends what the function has room for of a request that is all here, which is nearly always all of it. Whether the
    /// function takes what it is sent.
    fn send_at_once(&mut self, work: &mut Work) -> Result<bool, Error> {
        while work.request.is_all_here() && !work.request.is_done() {
            match work.request.step(&work.invocation, &mut self.requests).now_or_never() {
                Some(Ok(())) => {}
                Some(Err(SendError::Body(error))) => return Err(error.into()),
                Some(Err(SendError::Pipe)) => return Ok(false),
                None => break,
            }
        }
        Ok(true)
    }

    /// The container closed its output: what it exited with decides first, then whether the answer is whole.
    async fn answer_at_end(&mut self, work: &mut Work) -> Result<Fate, Error> {
        self.end_of_output(work.format, work.clock.deadline).await?;
        last_of_answer(work).await?;
        Ok(Fate::Spent)
    }

    /// The function closed the connection before its answer was complete, unless this completes it. Nothing is to be told
    /// where it closed one that it had not used for long, just before it had this request: it gets that on another.
    async fn hung_up(&mut self, work: &mut Work, end: io::Result<()>) -> Result<Option<Fate>, Error> {
        let idled = self.used && work.decoder.is_untouched();
        if idled && work.request.begin_again(end.is_err()) && self.connect().await.is_ok() {
            return Ok(None);
        }
        match last_of_answer(work).await {
            Ok(()) => Ok(Some(self.fate_after(&work.decoder))),
            // Its client need not wait until it is known whether it died.
            Err(Error::NotReceived(_)) => Err(Error::NotReceived(Reason::BadExit)),
            Err(error) => Err(error),
        }
    }

    /// What becomes of the container, and of the connection, once an answer is complete.
    fn fate_after(&mut self, decoder: &Decoder) -> Fate {
        if decoder.surplus() {
            return Fate::Spent;
        }
        match (decoder.must_close(), &self.socket) {
            (false, _) => Fate::Reusable,
            (true, None) => Fate::Spent,
            (true, Some(_)) => {
                self.hang_up();
                Fate::Reusable
            }
        }
    }
}

/// Hands what the decoder has to the responder, as far as that can take it now. Whether the answer is complete.
fn read_answer(work: &mut Work) -> Result<bool, Error> {
    while !work.responder.is_blocked() {
        let Some(event) = work.decoder.next()? else { return Ok(false) };
        if let Some(unattended) = &mut work.unattended {
            unattended.transcript.note(&event, |bytes| work.live.log(bytes));
        }
        match event {
            Event::Head(head) => work.responder.head(head),
            Event::Data(bytes) => work.responder.data(bytes),
            Event::End => return Ok(true),
            Event::Refused(error) => {
                work.refused = Some(error);
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Nothing more will come; the rest of the answer goes to the responder.
async fn last_of_answer(work: &mut Work) -> Result<(), Error> {
    work.decoder.eof();
    while !read_answer(work)? {
        if !work.responder.is_blocked() {
            return Err(Error::NoResponse);
        }
        let forwarded = timeout_at(work.clock.deadline, work.responder.forward()).await;
        forwarded.map_err(|_| Error::TimedOut)?;
    }
    Ok(())
}
