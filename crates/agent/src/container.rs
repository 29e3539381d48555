//! A container at work: one exchange at a time over its stdin and stdout, with its stderr and its samples going to
//! the call that executes and to nobody else.
//!
//! **Invariant:** a container that missed a deadline, broke its format, wrote to stdout outside an answer, or did
//! not take its request to the last byte is [`Spent`](Fate::Spent): it is removed and never used again.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, Fuse};
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use hearth_drivers::{Driver, Exit, Frame, Guard, Phase, Running};
use hearth_models::{Error, Format};
use tokio::io::AsyncWrite;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::dispatch::Dispatch;
use crate::formats::{Decoder, Event, is_ignorable};
use crate::outgoing::SendError;
use crate::probe::Probe;
use crate::quiet::Quiet;
use crate::work::Work;

/// A function that has answered gets so long to take the rest of its request.
const TAKE_REQUEST: Duration = Duration::from_millis(100);
/// Until then its stdin is looked at so often.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// A container whose output ended gets so long to say how it ended, where that does not decide the outcome alone.
const TELL_EXIT: Duration = Duration::from_secs(2);
/// A drain ends after so long even if stderr never falls silent; later where the window is set that wide.
const LONGEST_DRAIN: Duration = Duration::from_millis(20);

/// Whether a container may serve another call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Reusable,
    Spent,
}

/// How the drain window is chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DrainRule {
    pub(crate) shortest: Duration,
    pub(crate) longest: Duration,
}

/// The streams of a running container.
pub(crate) struct Wire {
    stdin: Pin<Box<dyn AsyncWrite + Send>>,
    output: BoxStream<'static, Result<Frame, hearth_drivers::Error>>,
    output_ended: bool,
    /// It wrote to stdout although nobody had asked.
    spoke: bool,
    exit: Fuse<BoxFuture<'static, Exit>>,
    probe: Probe,
    quiet: Quiet,
    drain: DrainRule,
    lateness: Lateness,
    /// Of its start, for the trace of its first call.
    phases: Vec<Phase>,
    /// Cancelled when the server cannot wait any longer.
    stop: CancellationToken,
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
        let Running { stdin, output, stats, exit, phases, guard } = running;
        Self {
            stdin,
            output,
            output_ended: false,
            spoke: false,
            exit: exit.fuse(),
            probe: probe(stats),
            quiet,
            drain: dispatch.drain_rule(),
            lateness: Lateness::default(),
            phases,
            stop: dispatch.stop.clone(),
            driver: Arc::clone(&dispatch.driver),
            guard,
        }
    }

    pub(crate) fn id(&self) -> &str {
        self.guard.id()
    }

    /// Watches over the container between calls; returns when it is no longer fit for one. Cancelling this loses
    /// nothing.
    pub(crate) async fn idle(&mut self, format: Format) {
        loop {
            tokio::select! {
                frame = self.output.next(), if !self.output_ended => {
                    if self.between(frame, format) == Idle::Over {
                        return;
                    }
                }
                _sample = self.probe.next() => {}
            }
        }
    }

    /// Takes what the container wrote between calls, as far as it is here already: it belongs to no call, because
    /// the container cannot have seen the next request yet.
    pub(crate) fn settle(&mut self, format: Format) -> Idle {
        if !self.is_fit() {
            return Idle::Over;
        }
        while let Some(frame) = self.output.next().now_or_never() {
            if self.between(frame, format) == Idle::Over {
                return Idle::Over;
            }
        }
        Idle::Still
    }

    fn between(&mut self, frame: Option<Result<Frame, hearth_drivers::Error>>, format: Format) -> Idle {
        match frame {
            Some(Ok(Frame::Stderr(bytes))) => {
                tracing::debug!(
                    container_id = self.id(),
                    between_log = true,
                    "{}",
                    String::from_utf8_lossy(&bytes).trim_end()
                );
                Idle::Still
            }
            Some(Ok(Frame::Stdout(bytes))) if is_ignorable(format, &bytes) => Idle::Still,
            Some(Ok(Frame::Stdout(bytes))) => {
                tracing::warn!(
                    container_id = self.id(),
                    bytes = bytes.len(),
                    "container wrote to stdout between calls"
                );
                self.spoke = true;
                Idle::Over
            }
            Some(Err(_)) | None => {
                self.output_ended = true;
                Idle::Over
            }
        }
    }

    /// It has done nothing wrong between calls.
    pub(crate) fn is_fit(&self) -> bool {
        !self.output_ended && !self.spoke
    }

    /// What it did wrong before its first call, for a container that is not [fit](Self::is_fit).
    pub(crate) async fn why_unfit(&mut self, format: Format) -> Error {
        if !self.output_ended {
            return Error::BadOutput(format!("{format}: output before the first request"));
        }
        self.end_of_output(format, Instant::now() + TELL_EXIT).await.err().unwrap_or(Error::NoResponse)
    }

    /// Executes one call: its answer is delivered, its record ended. `answered` is told just before the caller is.
    pub(crate) async fn execute(&mut self, work: Box<Work>, answered: impl FnOnce()) -> Fate {
        // The task is the container's; what is logged meanwhile is the call's.
        let span = work.live.span();
        self.execute_inside(work, answered).instrument(span).await
    }

    async fn execute_inside(&mut self, mut work: Box<Work>, answered: impl FnOnce()) -> Fate {
        work.begin();
        let phases = std::mem::take(&mut self.phases);
        if let Some(trace) = work.live.traced() {
            trace.launch = phases;
        }
        self.probe.begin();
        let stop = self.stop.clone();
        let lost = work.unattended.as_ref().map(|unattended| unattended.lost.clone());
        let conversed = tokio::select! {
            biased;
            conversed = stop.run_until_cancelled(self.converse(&mut work)) => conversed,
            () = Work::lost(lost) => Some(Err(Error::ClientGone)),
        };
        let mut result = conversed.unwrap_or(Err(Error::ShuttingDown));
        let last = self.probe.end();
        let live = &work.live;
        let told = || {
            live.answered();
            answered();
        };
        let mut taken = true;
        if result.is_ok() {
            let delivered = timeout_at(work.clock.deadline, work.responder.succeed(told));
            tokio::select! {
                biased;
                delivered = delivered => match delivered {
                    Ok(by_somebody) => taken = by_somebody,
                    Err(_) => result = Err(Error::TimedOut),
                },
                () = stop.cancelled() => result = Err(Error::ShuttingDown),
            }
        } else {
            work.request.give_up();
            told();
        }
        if let Err(error) = &result {
            work.responder.fail(error);
        }
        work.live.timeline().executed = Some(Instant::now());
        let mut fate = result.as_ref().copied().unwrap_or(Fate::Spent);
        if result.is_ok() && !self.output_ended {
            fate = fate.and(self.finish_request(&mut work).await);
        }
        if !self.output_ended {
            fate = fate.and(self.drain(&mut work).await);
        }
        if fate == Fate::Reusable {
            fate = self.request_is_read(work.format).await;
        }
        last.into_iter().for_each(|stat| work.live.sample(stat));
        work.live.end(match &result {
            Err(error) => Err(error),
            Ok(_) if taken || work.unattended.is_some() => Ok(()),
            Ok(_) => Err(&Error::ClientGone),
        });
        fate
    }

    /// The exchange itself, until the answer is complete or cannot become so.
    async fn converse(&mut self, work: &mut Work) -> Result<Fate, Error> {
        let mut deadline = std::pin::pin!(sleep_until(work.clock.deadline));
        loop {
            let hold_until = work.responder.hold_until();
            tokio::select! {
                biased;
                () = &mut deadline => return Err(Error::TimedOut),
                frame = self.output.next(), if !work.responder.is_blocked() => match frame {
                    Some(Ok(Frame::Stdout(bytes))) => {
                        work.decoder.push(bytes);
                        if read_answer(work)? {
                            return Ok(fate_of(&work.decoder));
                        }
                    }
                    Some(Ok(Frame::Stderr(bytes))) => work.live.log(&bytes),
                    Some(Err(error)) => {
                        tracing::warn!(container_id = self.guard.id(), error = %hearth_drivers::Chain(&error), "lost the container's output");
                        self.output_ended = true;
                        return Err(self.end_of_output(work.format, work.clock.deadline).await.err().unwrap_or(Error::Vanished));
                    }
                    None => {
                        self.output_ended = true;
                        return self.answer_at_end(work).await;
                    }
                },
                () = work.responder.forward(), if work.responder.is_blocked() => {
                    if read_answer(work)? {
                        return Ok(fate_of(&work.decoder));
                    }
                }
                sent = work.request.step(&work.invocation, &mut self.stdin), if !work.request.is_done() => match sent {
                    Ok(()) => {}
                    Err(SendError::Body(error)) => return Err(error.into()),
                    // Why it does not read any more shows in its output or its exit.
                    Err(SendError::Pipe) => work.request.give_up(),
                },
                () = sleep_until(hold_until.unwrap_or(work.clock.deadline)), if hold_until.is_some() => work.responder.stream(),
                stat = self.probe.next() => work.live.sample(stat),
            }
        }
    }

    /// The container closed its output: what it exited with decides first, then whether the answer is whole.
    async fn answer_at_end(&mut self, work: &mut Work) -> Result<Fate, Error> {
        self.end_of_output(work.format, work.clock.deadline).await?;
        work.decoder.eof();
        while !read_answer(work)? {
            if !work.responder.is_blocked() {
                return Err(Error::NoResponse);
            }
            let forwarded = timeout_at(work.clock.deadline, work.responder.forward()).await;
            forwarded.map_err(|_| Error::TimedOut)?;
        }
        Ok(Fate::Spent)
    }

    /// Waits for the container's exit, an error if it was a bad one, or if it was not the container that ended: the engine
    /// carries its output, and what that is missing when the engine dies nobody can say.
    async fn end_of_output(&mut self, format: Format, deadline: Instant) -> Result<(), Error> {
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

    /// The answer is out; the container gets a moment to take what is left of its request.
    async fn finish_request(&mut self, work: &mut Work) -> Fate {
        let end = Instant::now() + TAKE_REQUEST;
        while !work.request.is_done() {
            let step = timeout_at(end, work.request.step(&work.invocation, &mut self.stdin)).await;
            if !matches!(step, Ok(Ok(()))) {
                work.request.give_up();
                return Fate::Spent;
            }
        }
        Fate::Reusable
    }

    /// What a function leaves unread of one request it would take for the beginning of the next: whoever sent it could
    /// make up a request of another caller. Where the pipe can be seen, it has to be empty.
    async fn request_is_read(&mut self, format: Format) -> Fate {
        let end = Instant::now() + TAKE_REQUEST;
        while self.probe.unread().is_some_and(|unread| unread > may_stay_unread(format)) {
            if Instant::now() >= end {
                tracing::warn!(container_id = self.id(), "container answered and did not read its request to the end");
                return Fate::Spent;
            }
            // The kernel tells nobody when a pipe becomes empty.
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Fate::Reusable
    }

    /// Waits for late log lines of the call until stderr has been silent for the window.
    async fn drain(&mut self, work: &mut Work) -> Fate {
        let begun = Instant::now();
        let window = self.lateness.window(self.drain);
        let mut latest = Duration::ZERO;
        let fate = loop {
            let frame = tokio::select! {
                biased;
                frame = self.output.next() => frame,
                () = self.quiet.wait(window) => break Fate::Reusable,
            };
            match frame {
                Some(Ok(Frame::Stderr(bytes))) => {
                    latest = begun.elapsed();
                    work.live.log(&bytes);
                }
                Some(Ok(Frame::Stdout(bytes))) if is_ignorable(work.format, &bytes) => {}
                Some(Ok(Frame::Stdout(_))) => break Fate::Spent,
                Some(Err(_)) | None => {
                    self.output_ended = true;
                    break Fate::Spent;
                }
            }
            if begun.elapsed() > LONGEST_DRAIN.max(2 * window) {
                break Fate::Reusable;
            }
        };
        self.lateness.add(latest);
        fate
    }
}

impl Fate {
    fn and(self, other: Self) -> Self {
        if self == Self::Reusable { other } else { Self::Spent }
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
        }
    }
    Ok(false)
}

/// A reader of `json` may stop at the closing brace; the two line ends behind it mean nothing.
const fn may_stay_unread(format: Format) -> u64 {
    match format {
        Format::Json => 2,
        Format::Default | Format::Http | Format::HttpStream => 0,
    }
}

fn fate_of(decoder: &Decoder) -> Fate {
    if decoder.surplus() || decoder.must_close() { Fate::Spent } else { Fate::Reusable }
}

/// How late, after the answer, a container's log lines have come of late.
#[derive(Debug, Default)]
struct Lateness(VecDeque<Duration>);

impl Lateness {
    /// The greatest of so many stands for the 99th percentile.
    const KEPT: usize = 64;

    fn add(&mut self, latest: Duration) {
        if self.0.len() == Self::KEPT {
            self.0.pop_front();
        }
        self.0.push_back(latest);
    }

    fn window(&self, rule: DrainRule) -> Duration {
        let late = self.0.iter().max().copied().unwrap_or_default();
        (2 * late).clamp(rule.shortest, rule.longest.max(rule.shortest))
    }
}
