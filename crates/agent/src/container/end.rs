//! What has to be over before a container is a call's no longer, and how the container itself ended where it did.

use std::sync::Arc;
use std::time::Duration;

use hearth_drivers::Exit;
use hearth_models::{Error, Format, Reason};
use tokio::time::{Instant, timeout_at};

use super::{Fate, LOOK_AGAIN, MOST_OUT_OF_TURN, TELL_EXIT, Wire};
use crate::formats::is_ignorable;
use crate::incoming::{Piece, Wanted};
use crate::work::Work;

/// A function that has answered gets so long to take the rest of its request.
const TAKE_REQUEST: Duration = Duration::from_millis(100);
/// A function that hung up gets so long to be seen dead: that is the reason then.
const TELL_DEATH: Duration = Duration::from_secs(1);
/// A drain ends after so long even if stderr never falls silent; later where the window is set that wide.
const LONGEST_DRAIN: Duration = Duration::from_millis(20);

impl Wire {
    /// The answer is out; the container gets a moment to take what is left of its request.
    pub(super) async fn finish_request(&mut self, work: &mut Work) -> Fate {
        let end = Instant::now() + TAKE_REQUEST;
        while !work.request.is_done() {
            let step = timeout_at(end, work.request.step(&work.invocation, &mut self.requests)).await;
            if !matches!(step, Ok(Ok(()))) {
                work.request.give_up();
                return Fate::Spent;
            }
        }
        Fate::Reusable
    }

    /// What a function leaves unread of one request it would take for the beginning of the next: whoever sent it could
    /// make up a request of another caller. Where the pipe can be seen, it has to be empty.
    pub(super) async fn request_is_read(&mut self, work: &mut Work) -> Fate {
        let end = Instant::now() + TAKE_REQUEST;
        while self.probe.unread().is_some_and(|unread| unread > may_stay_unread(work.format)) {
            if Instant::now() >= end {
                let (id, app, route) = work.live.whose();
                tracing::warn!(
                    call.id = %id, app, route, container_id = self.id(),
                    "container answered and did not read its request to the end"
                );
                return Fate::Spent;
            }
            // The kernel tells nobody when a pipe becomes empty.
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Fate::Reusable
    }

    /// Waits for late log lines of the call until stderr has been silent for the window.
    pub(super) async fn drain(&mut self, work: &mut Work) -> Fate {
        let begun = Instant::now();
        let window = self.lateness.window(self.drain);
        let mut latest = Duration::ZERO;
        let (mut fate, mut out_of_turn) = (Fate::Reusable, 0);
        loop {
            let piece = tokio::select! {
                biased;
                piece = self.incoming.next(Wanted::All) => piece,
                () = self.quiet.wait(window) => break,
            };
            match piece {
                Piece::Log(outlet, bytes) => {
                    latest = begun.elapsed();
                    self.log(work, outlet, bytes);
                }
                Piece::Answer(bytes) if is_ignorable(work.format, &bytes) => {}
                // Its log is wanted all the same.
                Piece::Answer(bytes) => {
                    fate = Fate::Spent;
                    out_of_turn += bytes.len();
                }
                Piece::Over(_) => {
                    fate = Fate::Spent;
                    break;
                }
                Piece::Mark(outlet, number) => self.passed(outlet, number),
                Piece::HungUp(_) => {}
            }
            if begun.elapsed() > LONGEST_DRAIN.max(2 * window) || out_of_turn > MOST_OUT_OF_TURN {
                break;
            }
        }
        self.lateness.add(latest);
        fate
    }

    /// Waits for the container's exit, an error if it was a bad one, or if it was not the container that ended: the engine
    /// carries its output, and what that is missing when the engine dies nobody can say.
    pub(super) async fn end_of_output(&mut self, format: Format, deadline: Instant) -> Result<(), Error> {
        let driver = Arc::clone(&self.driver);
        let mut ended = std::pin::pin!(self.how_it_ended(format, deadline));
        tokio::select! {
            biased;
            ended = &mut ended => ended,
            engine = driver.ping() => match engine {
                Ok(()) => ended.await,
                Err(_away) => Err(Error::Vanished),
            },
        }
    }

    /// Waits for the container's exit. An error if it was a bad one.
    async fn how_it_ended(&mut self, format: Format, deadline: Instant) -> Result<(), Error> {
        let bound = match format {
            // Its exit code is part of its answer.
            Format::Default => deadline,
            Format::Http | Format::Json | Format::HttpStream => deadline.min(Instant::now() + TELL_EXIT),
        };
        let mut exit = timeout_at(bound, &mut self.exit).await;
        if exit.is_err() && format != Format::Default {
            // It lives on without its output, or the engine went away after all and is yet to tell what became of it.
            self.driver.ping().await.map_err(|_away| Error::Vanished)?;
            exit = timeout_at(deadline.min(Instant::now() + TELL_EXIT), &mut self.exit).await;
        }
        match exit {
            Ok(Exit::Code(0)) => Ok(()),
            // 128 + SIGKILL: somebody killed it, and it was not for its memory.
            Ok(Exit::Code(137)) => Err(Error::Killed),
            Ok(Exit::Code(code)) => Err(Error::ExitCode(code)),
            Ok(Exit::OutOfMemory) => Err(Error::OutOfMemory),
            Ok(Exit::Vanished) => Err(Error::Vanished),
            Err(_) if format == Format::Default => Err(Error::TimedOut),
            Err(_) => Ok(()),
        }
    }

    /// Why a function hung up.
    pub(super) async fn why_it_hung_up(&mut self) -> Reason {
        match timeout_at(Instant::now() + TELL_DEATH, &mut self.exit).await {
            Ok(Exit::OutOfMemory) => Reason::OutOfMemory,
            Ok(Exit::Code(137) | Exit::Vanished) => Reason::Killed,
            Ok(Exit::Code(_)) => Reason::BadExit,
            // It lives on.
            Err(_) => Reason::BadOutput,
        }
    }
}

/// A reader of `json` may stop at the closing brace; the two line ends behind it mean nothing.
const fn may_stay_unread(format: Format) -> u64 {
    match format {
        Format::Json => 2,
        Format::Default | Format::Http | Format::HttpStream => 0,
    }
}
