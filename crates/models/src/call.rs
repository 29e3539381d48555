//! Calls: one execution of a function, from the moment it is accepted to its final state.

use serde::{Deserialize, Serialize};

use crate::format::words;
use crate::{AppId, CallId, CallType, FnId, PerPage, Stat, Timestamp, TriggerId};

words! {
    /// Where a call stands. Nothing leaves a final state.
    Status {
        /// Asynchronous, waiting for its time.
        Delayed = "delayed",
        /// Waiting for a slot.
        Queued = "queued",
        /// In a container.
        Running = "running",
        /// Ended with the function's answer.
        Success = "success",
        /// Ended without one; the reason says why.
        Error = "error",
        /// Stopped at its deadline.
        Timeout = "timeout",
        /// Given up by its caller.
        Cancelled = "cancelled",
    }
}

words! {
    /// Why a call did not succeed.
    Reason {
        /// Its deadline passed while it ran.
        Timeout = "timeout",
        /// Its container was killed from outside.
        Killed = "killed",
        /// Its container used more memory than it may.
        OutOfMemory = "out_of_memory",
        /// Its container exited with another code than 0, or without an answer.
        BadExit = "bad_exit",
        /// Its output broke the format.
        BadOutput = "bad_output",
        /// Its image could not be had.
        Image = "image",
        /// No slot came free in time.
        NoCapacity = "no_capacity",
        /// Hearth, Docker or a store failed.
        Platform = "platform",
        /// The client went away.
        ClientRequest = "client_request",
        /// An API request ended it.
        ApiRequest = "api_request",
    }
}

/// A change of status that the life of a call does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a call that is {from} cannot become {to}")]
pub struct InvalidTransition {
    /// Where the call stands.
    pub from: Status,
    /// What was asked.
    pub to: Status,
}

impl Reason {
    /// What a call becomes that ends for this reason.
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::Timeout => Status::Timeout,
            Self::ClientRequest | Self::ApiRequest => Status::Cancelled,
            _ => Status::Error,
        }
    }
}

impl Status {
    /// Whether the call has ended.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Success | Self::Error | Self::Timeout | Self::Cancelled)
    }

    const fn can_become(self, to: Self, call_type: CallType) -> bool {
        match self {
            Self::Delayed => matches!(to, Self::Queued | Self::Cancelled | Self::Error),
            Self::Queued => matches!(to, Self::Running | Self::Cancelled | Self::Error),
            Self::Running => match to {
                Self::Success | Self::Error | Self::Timeout | Self::Cancelled => true,
                Self::Queued | Self::Delayed => matches!(call_type, CallType::Async),
                Self::Running => false,
            },
            Self::Success | Self::Error | Self::Timeout | Self::Cancelled => false,
        }
    }
}

/// The record of one execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Its id.
    pub id: CallId,
    /// The app of its function.
    pub app_id: AppId,
    /// Its function.
    pub fn_id: FnId,
    /// The trigger it came through, if it came through one.
    pub trigger_id: Option<TriggerId>,
    /// The path of that trigger, empty without one.
    pub path: String,
    /// Whether its caller waits.
    pub call_type: CallType,
    status: Status,
    reason: Option<Reason>,
    error: Option<String>,
    /// How often it was begun: of a synchronous call its executions, of an asynchronous one its leases, as the queue
    /// counts them.
    pub attempts: u32,
    /// When it was accepted.
    pub created_at: Timestamp,
    started_at: Option<Timestamp>,
    completed_at: Option<Timestamp>,
    /// What it used, at most [`MAX_POINTS`](crate::MAX_POINTS) points.
    pub stats: Vec<Stat>,
}

/// The parts of a stored call that only a store may put together again.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are those of Call")]
pub struct StoredState {
    pub status: Status,
    pub reason: Option<Reason>,
    pub error: Option<String>,
    pub started_at: Option<Timestamp>,
    pub completed_at: Option<Timestamp>,
}

impl Call {
    /// A call that was accepted just now.
    #[must_use]
    pub fn accept(app_id: AppId, fn_id: FnId, call_type: CallType) -> Self {
        Self {
            id: CallId::generate(),
            app_id,
            fn_id,
            trigger_id: None,
            path: String::new(),
            call_type,
            status: Status::Queued,
            reason: None,
            error: None,
            attempts: 0,
            created_at: Timestamp::now(),
            started_at: None,
            completed_at: None,
            stats: Vec::new(),
        }
    }

    /// An asynchronous call that was accepted just now and is not to begin yet.
    #[must_use]
    pub fn accept_delayed(app_id: AppId, fn_id: FnId) -> Self {
        Self { status: Status::Delayed, ..Self::accept(app_id, fn_id, CallType::Async) }
    }

    /// This call with the state a store kept.
    #[must_use]
    pub fn restore(self, state: StoredState) -> Self {
        let StoredState { status, reason, error, started_at, completed_at } = state;
        Self { status, reason, error, started_at, completed_at, ..self }
    }

    /// Where it stands.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.status
    }

    /// Why it did not succeed; none while it may still, and after success.
    #[must_use]
    pub const fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// The reason as a sentence for a person.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// When its execution began.
    #[must_use]
    pub const fn started_at(&self) -> Option<Timestamp> {
        self.started_at
    }

    /// When it ended.
    #[must_use]
    pub const fn completed_at(&self) -> Option<Timestamp> {
        self.completed_at
    }

    /// Its execution begins now, which counts as an attempt unless its lease has been counted.
    ///
    /// # Errors
    /// When it was not queued.
    pub fn start(&mut self) -> Result<(), InvalidTransition> {
        self.become_(Status::Running)?;
        self.attempts += u32::from(self.call_type == CallType::Sync);
        self.started_at = Some(Timestamp::now());
        Ok(())
    }

    /// It ends now, with its function's answer.
    ///
    /// # Errors
    /// When it was not running.
    pub fn succeed(&mut self) -> Result<(), InvalidTransition> {
        self.become_(Status::Success)?;
        self.completed_at = Some(Timestamp::now());
        Ok(())
    }

    /// It ends now, for `reason`, which decides between `timeout`, `cancelled` and `error`.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn fail(&mut self, reason: Reason, error: impl Into<String>) -> Result<(), InvalidTransition> {
        self.become_(reason.status())?;
        self.reason = Some(reason);
        self.error = Some(error.into());
        self.completed_at = Some(Timestamp::now());
        Ok(())
    }

    fn become_(&mut self, to: Status) -> Result<(), InvalidTransition> {
        if self.status.can_become(to, self.call_type) {
            self.status = to;
            Ok(())
        } else {
            Err(InvalidTransition { from: self.status, to })
        }
    }
}

/// Which calls of an app a list shows: newest first, one page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallFilter {
    /// Only calls of this function.
    pub fn_id: Option<FnId>,
    /// Only calls of this exact path.
    pub path: Option<String>,
    /// Only calls accepted later than this.
    pub from_time: Option<Timestamp>,
    /// Only calls accepted earlier than this.
    pub to_time: Option<Timestamp>,
    /// Only calls in this status.
    pub status: Option<Status>,
    /// Only calls that ended for this reason.
    pub reason: Option<Reason>,
    /// Only ids less than this text.
    pub cursor: Option<String>,
    /// At most this many.
    pub per_page: PerPage,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(call_type: CallType) -> Call {
        Call::accept(AppId::generate(), FnId::generate(), call_type)
    }

    #[test]
    fn the_transitions_are_those_of_the_architecture() {
        use Status::*;
        let allowed = |from: Status, call_type| -> Vec<Status> {
            Status::ALL.iter().copied().filter(|to| from.can_become(*to, call_type)).collect()
        };
        assert_eq!(allowed(Delayed, CallType::Async), [Queued, Error, Cancelled]);
        assert_eq!(allowed(Queued, CallType::Sync), [Running, Error, Cancelled]);
        assert_eq!(allowed(Running, CallType::Sync), [Success, Error, Timeout, Cancelled]);
        assert_eq!(allowed(Running, CallType::Async), [Delayed, Queued, Success, Error, Timeout, Cancelled]);
        for status in Status::ALL.iter().filter(|status| status.is_final()) {
            assert_eq!(allowed(*status, CallType::Async), [], "{status}");
        }
    }

    #[test]
    fn a_call_that_ended_stays_as_it_ended() {
        let mut call = call(CallType::Sync);
        call.start().unwrap();
        call.fail(Reason::Timeout, "Timed out").unwrap();
        let ended = call.clone();
        assert_eq!(ended.status(), Status::Timeout);
        assert_eq!(call.succeed(), Err(InvalidTransition { from: Status::Timeout, to: Status::Success }));
        assert!(call.fail(Reason::Platform, "late").is_err());
        assert!(call.start().is_err());
        assert_eq!(call, ended);
    }

    #[test]
    fn attempts_of_a_queued_call_are_those_of_its_lease() {
        for (call_type, attempts) in [(CallType::Sync, 1), (CallType::Async, 0)] {
            let mut call = call(call_type);
            call.start().unwrap();
            assert_eq!(call.attempts, attempts, "{call_type}");
        }
    }

    #[test]
    fn the_reason_decides_the_status() {
        for reason in Reason::ALL {
            let mut call = call(CallType::Sync);
            call.start().unwrap();
            call.fail(*reason, "why").unwrap();
            let status = match reason {
                Reason::Timeout => Status::Timeout,
                Reason::ClientRequest | Reason::ApiRequest => Status::Cancelled,
                _ => Status::Error,
            };
            assert_eq!((call.status(), call.reason(), call.error()), (status, Some(*reason), Some("why")));
        }
    }
}
