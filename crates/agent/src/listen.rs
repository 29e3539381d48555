//! Listeners of calls: code of an embedder that is asked before a call runs and told when it has ended.
//!
//! Who is asked may change the call or refuse it, and the call waits for that. Who is told holds up nothing: ended calls
//! stand in a line of their own. What a listener fails at is logged and counted; nothing of it is lost in silence.

use std::fmt::{Debug, Display};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt, stream};
use hearth_models::{Call, Error};
use prometheus::{IntCounterVec, Opts, Registry};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Invocation;

/// Ended calls that listeners have not been told of.
const LINE: usize = 10_000;
/// Ended calls that they are told of at a time.
const AT_ONCE: usize = 16;
/// Time for one listener to be asked, or told.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time for all of them when the agent stops.
const LAST: Duration = Duration::from_secs(10);

/// Why a listener failed, for the log.
pub type ListenerError = Box<dyn std::error::Error + Send + Sync>;

/// Takes part in calls, whichever door they come by, queued ones included.
#[async_trait]
pub trait CallListener: Debug + Send + Sync + 'static {
    /// A call was accepted and is about to wait for its container. It may be changed, all but its id, or refused: its client
    /// gets the error, and its record has it. A queued call ends with that; so it does not when [`Error::Internal`] or
    /// another failure of the platform is given, which is tried again like every other.
    ///
    /// # Errors
    /// Why it is refused; [`Error::Refused`] has a status and a text of the listener's own.
    async fn before_call(&self, invocation: &mut Invocation) -> Result<(), Error> {
        let _unchanged = invocation;
        Ok(())
    }

    /// A call has ended. An attempt at a queued call that will be tried again is no end.
    ///
    /// # Errors
    /// What is to be logged and counted. It changes nothing any more.
    async fn after_call(&self, call: &Call) -> Result<(), ListenerError> {
        let _unread = call;
        Ok(())
    }
}

/// Failures of listeners, whatever they listen to.
#[derive(Clone, Debug)]
pub struct ListenerFailures(IntCounterVec);

impl ListenerFailures {
    /// What listeners are told of.
    const EVENTS: [&str; 4] = ["after_create", "after_update", "after_delete", "after_call"];

    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let options = Opts::new("hearth_listener_failures_total", "Failures of listeners by what they were told of");
        let failures = IntCounterVec::new(options, &["event"])?;
        registry.register(Box::new(failures.clone()))?;
        // There from the beginning, so that the first failure can be seen as one.
        Self::EVENTS.iter().for_each(|event| drop(failures.with_label_values(&[event])));
        Ok(Self(failures))
    }

    /// A listener that was told of `event` failed.
    pub fn count(&self, event: &str, error: &dyn Display) {
        tracing::error!(event, %error, "a listener failed");
        self.0.with_label_values(&[event]).inc();
    }
}

/// The listeners of an agent, and the line of ended calls before them.
#[derive(Debug)]
pub(crate) struct Listeners {
    all: Arc<[Arc<dyn CallListener>]>,
    /// None where nobody listens.
    line: Option<Line>,
    telling: TaskTracker,
    stop: CancellationToken,
}

/// The way to who is told.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    ended: mpsc::Sender<Call>,
    failures: ListenerFailures,
}

impl Listeners {
    pub(crate) fn start(all: Vec<Arc<dyn CallListener>>, failures: ListenerFailures) -> Self {
        let (all, telling, stop): (Arc<[_]>, _, _) = (all.into(), TaskTracker::new(), CancellationToken::new());
        let line = (!all.is_empty()).then(|| {
            let (line, ended) = mpsc::channel(LINE);
            telling.spawn(tell(Arc::clone(&all), ended, failures.clone(), stop.clone()));
            Line { ended: line, failures }
        });
        telling.close();
        Self { all, line, telling, stop }
    }

    /// Asks them all, one after the other, until one refuses.
    pub(crate) async fn ask(&self, invocation: &mut Invocation) -> Result<(), Error> {
        for listener in &*self.all {
            let asked = timeout(PATIENCE, listener.before_call(invocation)).await;
            asked.unwrap_or_else(|_late| {
                tracing::error!(call.id = %invocation.id, ?listener, "a listener did not answer");
                Err(Error::Internal)
            })?;
        }
        Ok(())
    }

    /// Where ended calls go, if anybody is told of them.
    pub(crate) fn line(&self) -> Option<Line> {
        self.line.clone()
    }

    /// Waits until all are told of, for a while. No call may end any more.
    pub(crate) async fn shutdown(&self) {
        self.stop.cancel();
        if timeout(LAST, self.telling.wait()).await.is_err() {
            tracing::error!("listeners were not told of the last calls");
        }
    }
}

impl Line {
    /// The call has ended.
    pub(crate) fn tell(&self, call: &Call) {
        if let Err(full) = self.ended.try_send(call.clone()) {
            self.failures.count("after_call", &full);
        }
    }
}

/// Tells of every call, until `stop` and then of those that are left.
async fn tell(
    all: Arc<[Arc<dyn CallListener>]>,
    ended: mpsc::Receiver<Call>,
    failures: ListenerFailures,
    stop: CancellationToken,
) {
    let calls = stream::unfold((ended, stop), async |(mut ended, stop)| {
        let next = match stop.run_until_cancelled(ended.recv()).await {
            Some(next) => next,
            None => {
                ended.close();
                ended.recv().await
            }
        };
        Some((next?, (ended, stop)))
    });
    let tell_all = async |call: Call| {
        for listener in &*all {
            // A listener that panics is one that fails.
            let told = AssertUnwindSafe(listener.after_call(&call)).catch_unwind();
            match timeout(PATIENCE, told).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => failures.count("after_call", &error),
                Ok(Err(_panic)) => failures.count("after_call", &format_args!("{listener:?} panicked")),
                Err(late) => failures.count("after_call", &late),
            }
        }
    };
    calls.for_each_concurrent(AT_ONCE, tell_all).await;
}
