//! A container at work: one exchange at a time over its stdin and stdout, or over a connection to its socket, with its
//! log and its samples going to the call that executes and to nobody else.
//!
//! **Invariant:** a container that missed a deadline, broke its format, wrote to stdout outside an answer, or did
//! not take its request to the last byte is [`Spent`](Fate::Spent): it is removed and never used again.

mod end;
mod exchange;
mod tail;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Fuse};
use hearth_drivers::{Chain, Connection, Driver, Exit, Guard, Phase, Running, Socket};
use hearth_models::{Error, Format, Reason};
use tokio::io::AsyncWrite;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::Instrument;

use self::tail::Tail;
use crate::alarm::Alarm;
use crate::dispatch::Dispatch;
use crate::formats::is_ignorable;
use crate::incoming::{Incoming, Piece, Wanted};
use crate::lateness::{DrainRule, Lateness};
use crate::probe::Probe;
use crate::quiet::Quiet;
use crate::stop::Stop;
use crate::work::Work;

/// What nobody tells of is looked at so often.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// A container whose output ended gets so long to say how it ended, where that does not decide the outcome alone.
const TELL_EXIT: Duration = Duration::from_secs(2);
/// A socket that is there gets so long to take connections.
const LISTEN: Duration = Duration::from_millis(500);

/// For the sake of its log so much is passed over that a container answers out of turn.
const MOST_OUT_OF_TURN: usize = 64 * 1024;

/// So much of what a container says before its first call is kept.
const LONGEST_LAST_WORDS: usize = 64 * 1024;

/// Whether a container may serve another call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Reusable,
    Spent,
}

/// The streams of a running container.
pub(crate) struct Wire {
    /// Where requests go: stdin, or the connection.
    requests: Pin<Box<dyn AsyncWrite + Send>>,
    incoming: Incoming,
    /// What a function with a socket is connected to.
    socket: Option<Box<dyn Socket>>,
    /// The connection has carried an exchange before.
    used: bool,
    /// It answered although nobody had asked.
    spoke: bool,
    exit: Fuse<BoxFuture<'static, Exit>>,
    probe: Probe,
    tail: Tail,
    quiet: Quiet,
    /// For what a call may take, and for how long a container may idle.
    alarm: Alarm,
    /// For what becomes due while a call goes on.
    soon: Alarm,
    drain: DrainRule,
    lateness: Lateness,
    /// What it said before its first call, which is told to whoever waited for it if it is never fit for one.
    said: Option<Vec<u8>>,
    /// Of its start, for the trace of its first call.
    phases: Vec<Phase>,
    driver: Arc<dyn Driver>,
    guard: Guard,
}

/// What a container did while it should have been still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Idle {
    /// It is as it should be.
    Still,
    /// It died, or wrote what nobody asked for.
    Over,
}

impl Wire {
    pub(crate) fn new(
        running: Running,
        probe: impl FnOnce(hearth_drivers::StatsSource) -> Probe,
        quiet: Quiet,
        dispatch: &Dispatch,
    ) -> Self {
        let Running { stdin, socket, output, tap, stats, exit, guard } = running;
        let incoming = if socket.is_some() { Incoming::over_socket(output) } else { Incoming::over_pipes(output) };
        Self {
            requests: stdin,
            incoming,
            socket,
            used: false,
            spoke: false,
            exit: exit.fuse(),
            probe: probe(stats),
            tail: Tail::new(tap),
            quiet,
            alarm: Alarm::new(),
            soon: Alarm::new(),
            drain: dispatch.drain_rule(),
            lateness: Lateness::default(),
            said: Some(Vec::new()),
            phases: Vec::new(),
            driver: Arc::clone(&dispatch.driver),
            guard,
        }
    }

    pub(crate) fn id(&self) -> &str {
        self.guard.id()
    }

    /// Watches over the container between calls, until `end` or until it is no longer fit for one. Cancelling this loses
    /// nothing.
    pub(crate) async fn idle(&mut self, format: Format, end: Instant) -> Idle {
        loop {
            tokio::select! {
                // One that does not stop writing is no reason to keep it.
                biased;
                () = self.alarm.until(end) => return Idle::Still,
                _sample = self.probe.next() => {}
                piece = self.incoming.next(Wanted::All) => {
                    if self.between(piece, format) == Idle::Over {
                        return Idle::Over;
                    }
                }
            }
        }
    }

    /// Takes what the container wrote between calls, as far as it is here already: it belongs to no call, because
    /// the container cannot have seen the next request yet.
    pub(crate) fn settle(&mut self, format: Format) -> Idle {
        if !self.is_fit() {
            return Idle::Over;
        }
        while let Some(piece) = self.incoming.next(Wanted::All).now_or_never() {
            if self.between(piece, format) == Idle::Over {
                return Idle::Over;
            }
        }
        Idle::Still
    }

    fn between(&mut self, piece: Piece, format: Format) -> Idle {
        match piece {
            Piece::Log(_, bytes) => {
                self.log_between(&bytes);
                Idle::Still
            }
            Piece::Answer(bytes) if is_ignorable(format, &bytes) => Idle::Still,
            Piece::Answer(bytes) => {
                tracing::warn!(container_id = self.id(), bytes = bytes.len(), "container answered between calls");
                self.spoke = true;
                Idle::Over
            }
            Piece::Mark(outlet, number) => {
                self.passed(outlet, number);
                Idle::Still
            }
            // A connection that is not used may be closed; the next call gets another.
            Piece::HungUp(_) => Idle::Still,
            Piece::Over(_) => Idle::Over,
        }
    }

    /// What it said before its first call.
    pub(crate) fn said(&mut self) -> Bytes {
        self.said.take().unwrap_or_default().into()
    }

    fn log_between(&mut self, bytes: &[u8]) {
        if let Some(said) = &mut self.said {
            said.extend(bytes.iter().take(LONGEST_LAST_WORDS.saturating_sub(said.len())));
        }
        tracing::debug!(container_id = self.id(), between_log = true, "{}", String::from_utf8_lossy(bytes).trim_end());
    }

    /// This was its start, for the trace of its first call.
    pub(crate) fn came_through(&mut self, phases: Vec<Phase>) {
        self.phases = phases;
    }

    /// It has done nothing wrong between calls.
    pub(crate) fn is_fit(&self) -> bool {
        !self.incoming.is_over() && !self.spoke
    }

    /// What it did wrong before its first call, for a container that is not [fit](Self::is_fit).
    pub(crate) async fn why_unfit(&mut self, format: Format) -> Error {
        let error = if self.incoming.is_over() {
            self.end_of_output(format, Instant::now() + TELL_EXIT).await.err().unwrap_or(Error::NoResponse)
        } else {
            Error::BadOutput(format!("{format}: output before the first request"))
        };
        match (format, error) {
            (Format::HttpStream, error) if error != Error::Vanished => Error::NotReceived(error.reason()),
            (_, error) => error,
        }
    }

    /// Waits until the function has opened its socket and takes a connection, where it is to have one.
    pub(crate) async fn open(&mut self, patience: Duration) -> Result<(), Error> {
        let end = Instant::now() + patience;
        loop {
            let Some(socket) = &mut self.socket else { return Ok(()) };
            let piece = tokio::select! {
                biased;
                opened = socket.opened() => match opened {
                    Ok(()) => break,
                    Err(error) => {
                        tracing::warn!(container_id = self.id(), error = %Chain(&error), "function did not open its socket");
                        return Err(Error::InitFailed(Reason::BadOutput));
                    }
                },
                piece = self.incoming.next(Wanted::Log) => piece,
                () = sleep_until(end) => return Err(Error::InitTimedOut),
            };
            self.initializing(piece).await?;
        }
        self.first_connection().await
    }

    /// What a function binds can be seen a moment before it may be connected to, and nobody tells when that is.
    async fn first_connection(&mut self) -> Result<(), Error> {
        let end = Instant::now() + LISTEN;
        while let Err(error) = self.connect().await {
            if Instant::now() >= end {
                tracing::warn!(container_id = self.id(), %error, "function cannot be connected to");
                return Err(Error::NotReceived(Reason::BadExit));
            }
            let again = Instant::now() + LOOK_AGAIN;
            while let Ok(piece) = timeout_at(again, self.incoming.next(Wanted::Log)).await {
                self.initializing(piece).await?;
            }
        }
        Ok(())
    }

    /// What a container says before its socket is there.
    async fn initializing(&mut self, piece: Piece) -> Result<(), Error> {
        match piece {
            Piece::Log(_, bytes) => self.log_between(&bytes),
            Piece::Answer(_) | Piece::Mark(..) | Piece::HungUp(_) => {}
            Piece::Over(_) => {
                let ended = self.end_of_output(Format::HttpStream, Instant::now() + TELL_EXIT).await;
                return Err(match ended {
                    Ok(()) => Error::InitFailed(Reason::BadExit),
                    Err(Error::Vanished) => Error::Vanished,
                    Err(error) => Error::InitFailed(error.reason()),
                });
            }
        }
        Ok(())
    }

    /// Sees to it that there is a connection, where one is needed.
    pub(crate) async fn connect(&mut self) -> io::Result<()> {
        let Some(socket) = self.socket.as_mut().filter(|_| !self.incoming.is_connected()) else { return Ok(()) };
        let Connection { reader, writer } = socket.connect().await?;
        self.incoming.connect(reader);
        self.requests = writer;
        self.used = false;
        Ok(())
    }

    /// The next call is to have another connection, where it has one.
    pub(crate) fn disconnect(&mut self) {
        if self.socket.is_some() {
            self.hang_up();
        }
    }

    fn hang_up(&mut self) {
        self.incoming.hang_up();
        self.requests = Box::pin(tokio::io::sink());
    }

    /// Executes one call: its answer is delivered, its record ended. `answered` is told just before the caller is.
    pub(crate) async fn execute(&mut self, work: Box<Work>, stop: &mut Stop, answered: impl FnOnce()) -> Fate {
        // The task is the container's; what is logged meanwhile is the call's.
        let span = work.live.span();
        self.execute_inside(work, stop, answered).instrument(span).await
    }

    async fn execute_inside(&mut self, mut work: Box<Work>, stop: &mut Stop, answered: impl FnOnce()) -> Fate {
        work.begin();
        self.said = None;
        let phases = std::mem::take(&mut self.phases);
        if let Some(trace) = work.live.traced() {
            trace.launch = phases;
        }
        self.probe.begin();
        self.begin_log();
        let lost = work.unattended.as_ref().map(|unattended| unattended.lost.clone());
        let mut result = tokio::select! {
            biased;
            () = stop.requested() => Err(Error::ShuttingDown),
            conversed = self.converse(&mut work) => conversed,
            () = Work::lost(lost) => Err(Error::ClientGone),
        };
        let last = self.probe.end();
        let live = &work.live;
        let told = || {
            live.answered();
            answered();
        };
        let mut taken = true;
        let refused = work.refused.take();
        if result.is_ok() && refused.is_none() {
            tokio::select! {
                biased;
                by_somebody = work.responder.succeed(told) => taken = by_somebody,
                () = self.alarm.until(work.clock.deadline) => result = Err(Error::TimedOut),
                () = stop.requested() => result = Err(Error::ShuttingDown),
            }
        } else {
            if result.is_err() {
                work.request.give_up();
            }
            told();
        }
        let mut error = result.as_ref().err().cloned().or(refused);
        if let Some(error) = &error {
            work.responder.fail(error);
        }
        work.live.timeline().executed = Some(Instant::now());
        let mut fate = result.as_ref().copied().unwrap_or(Fate::Spent);
        if result.is_ok() && !self.incoming.is_over() {
            fate = fate.and(self.finish_request(&mut work).await);
        }
        fate = if self.incoming.is_over() { Fate::Spent } else { fate.and(self.end_log(&mut work).await) };
        if self.incoming.is_over() {
            self.claim_log(&mut work);
        }
        if fate == Fate::Reusable && self.socket.is_none() {
            fate = self.request_is_read(&mut work).await;
        }
        last.into_iter().for_each(|stat| work.live.sample(stat));
        if let Some(Error::NotReceived(reason @ Reason::BadExit)) = &mut error {
            *reason = self.why_it_hung_up().await;
        }
        work.live.end(match &error {
            Some(error) => Err(error),
            None if taken || work.unattended.is_some() => Ok(()),
            None => Err(&Error::ClientGone),
        });
        self.used = true;
        fate
    }
}

impl Fate {
    fn and(self, other: Self) -> Self {
        if self == Self::Reusable { other } else { Self::Spent }
    }
}
