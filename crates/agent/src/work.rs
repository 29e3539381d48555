//! A call on its way from the line into a container: all that either needs of it, in one box.

use hearth_drivers::Image;
use hearth_models::{Error, Format, Timestamp};
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use crate::answer::{Reply, Responder};
use crate::background::Transcript;
use crate::formats::Decoder;
use crate::live::LiveCall;
use crate::outgoing::{Outgoing, Prefix};
use crate::slots::StartFailure;
use crate::{Invocation, Settings, Timing};

/// An answer is held back for so long after its first byte.
const HOLD: Duration = Duration::from_millis(20);
/// The same for `default`, where the exit code is part of the outcome.
const HOLD_COLD: Duration = Duration::from_millis(100);

/// The times of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// A call that has not started by then is refused.
    pub(crate) start_by: Instant,
    /// A call that is not over by then is stopped. Until it starts, the latest that this can become.
    pub(crate) deadline: Instant,
    /// Its deadline counts from its start.
    from_slot: bool,
}

impl Clock {
    pub(crate) fn start(live: &LiveCall, invocation: &Invocation) -> Self {
        /// That a short timeout of its execution leaves for its wait.
        const SHORTEST_WAIT: Duration = Duration::from_secs(30);
        let (accepted, timeout) = (live.accepted(), invocation.function.limits.timeout());
        match invocation.timing {
            Timing::FromAccept => {
                Self { start_by: accepted + timeout / 2, deadline: accepted + timeout, from_slot: false }
            }
            Timing::FromSlot => Self::from_slot(accepted + timeout.max(SHORTEST_WAIT), timeout),
        }
    }

    /// That of a call of the queue, whose execution alone is limited.
    pub(crate) fn unattended(live: &LiveCall, invocation: &Invocation) -> Self {
        /// For a container of its own.
        const PREPARE: Duration = Duration::from_secs(300);
        Self::from_slot(live.accepted() + PREPARE, invocation.function.limits.timeout())
    }

    /// Until when it waits for its image. Where the execution alone is limited a pull is no wait for a container, and has a
    /// limit of its own, the driver's.
    pub(crate) fn image_by(&self) -> Option<Instant> {
        (!self.from_slot).then_some(self.start_by)
    }

    /// It waited for its image for so long.
    pub(crate) fn had_no_image(&mut self, time: Duration) {
        if self.from_slot {
            self.start_by += time;
            self.deadline += time;
        }
    }

    fn from_slot(start_by: Instant, timeout: Duration) -> Self {
        Self { start_by, deadline: start_by + timeout, from_slot: true }
    }
}

/// A call with everything that a container needs to execute it.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) invocation: Invocation,
    /// What its container is made of.
    pub(crate) image: Image,
    pub(crate) live: LiveCall,
    pub(crate) responder: Responder,
    pub(crate) request: Outgoing,
    pub(crate) decoder: Decoder,
    pub(crate) format: Format,
    pub(crate) clock: Clock,
    pub(crate) unattended: Option<Unattended>,
    /// What the function answered instead of an answer for the caller.
    pub(crate) refused: Option<Error>,
}

/// What a call has that nobody waits for. Only its execution is limited.
#[derive(Debug)]
pub(crate) struct Unattended {
    /// Cancelled when nothing will come of it any more.
    pub(crate) lost: CancellationToken,
    pub(crate) transcript: Transcript,
}

impl Work {
    /// A call that is ready to run; `caller` hears what becomes of it.
    pub(crate) fn new(
        invocation: Invocation,
        (image, prefix): (Image, Prefix),
        live: LiveCall,
        clock: Clock,
        caller: oneshot::Sender<Reply>,
        settings: &Settings,
    ) -> Box<Self> {
        let format = invocation.function.format;
        let hold = if format.is_hot() { HOLD } else { HOLD_COLD };
        Box::new(Self {
            live,
            responder: Responder::new(caller, hold),
            request: Outgoing::new(prefix),
            decoder: Decoder::for_call(
                format,
                invocation.request.via,
                &invocation.request.method,
                settings.max_response,
            )
            .with_head(settings.max_response_head),
            format,
            clock,
            unattended: None,
            refused: None,
            image,
            invocation,
        })
    }

    /// When it leaves the line, if it stands there still. A call of the queue stands as well in the queue, where another
    /// server may find it.
    pub(crate) fn leave_line_by(&self) -> Instant {
        const IN_LINE: Duration = Duration::from_secs(10);
        match self.unattended {
            Some(_) => self.clock.start_by.min(Instant::now() + IN_LINE),
            None => self.clock.start_by,
        }
    }

    /// Its execution begins.
    pub(crate) fn begin(&mut self) {
        self.live.start();
        self.responder.started(self.live.waited());
        if self.clock.from_slot {
            self.clock.deadline = Instant::now() + self.invocation.function.limits.timeout();
        }
        // The others are not told, and two looks at the clock are more than nothing.
        if self.format == Format::HttpStream {
            self.request.due(Timestamp::now().after(self.clock.deadline - Instant::now()));
        }
    }

    /// Returns when nothing will come of it any more.
    pub(crate) async fn lost(unattended: Option<CancellationToken>) {
        match unattended {
            Some(lost) => lost.cancelled().await,
            None => std::future::pending().await,
        }
    }

    /// It will not run, because a start failed that it waited for. What the container said is in its log.
    pub(crate) fn not_started(mut self: Box<Self>, failure: &StartFailure) {
        self.live.log(&failure.said);
        self.refuse(&failure.error);
    }

    /// It will not run.
    pub(crate) fn refuse(mut self: Box<Self>, error: &Error) {
        self.responder.started(self.live.waited());
        self.responder.fail(error);
        self.live.end(Err(error));
    }

    /// Its container was gone before it could see the request: its caller has it try another.
    pub(crate) fn bounce(mut self: Box<Self>) {
        if let Some(caller) = self.responder.take_caller() {
            // A caller that left meanwhile drops the work, which records it as cancelled.
            drop(caller.send(Reply::Bounced(self)));
        }
    }
}
