//! Freezing a container that has had nothing to do for a while, and thawing it for its next call (v2 contract B.4.7).
//!
//! **Invariant:** a container of which nobody knows whether it runs has no call: it is removed, and a call that was given it
//! goes to another.

use std::time::Duration;

use hearth_drivers::Chain;
use tokio::time::Instant;

use super::{Hot, Next};

/// How often it is looked whether the log of a container's last call is complete.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Whether a container runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frost {
    Awake,
    Frozen,
    /// Nobody knows: the engine failed to freeze or to thaw it.
    Unknown,
}

impl Hot<'_> {
    /// Freezes the container at `at` if that is before `end`, unless something is to be done before. What it wrote by then
    /// is waited for: its calls are not over before their logs are.
    pub(super) async fn freeze(&mut self, mut at: Instant, end: Instant) -> Option<Next> {
        while self.frost == Frost::Awake && at < end {
            if let Some(next) = self.wait(at).await {
                return Some(next);
            }
            if self.wire.has_whole_logs() {
                return self.freeze_now().await;
            }
            at = Instant::now() + LOOK_AGAIN;
        }
        None
    }

    /// A call that comes meanwhile waits for the engine: a container is not thawed before it is frozen.
    async fn freeze_now(&mut self) -> Option<Next> {
        // A function that had set itself a time for the next request would close the connection as it is thawed, when that
        // may just have been sent.
        self.wire.disconnect();
        self.frost = Frost::Unknown;
        let frozen = self.dispatch.driver.freeze(self.wire.id());
        match self.dispatch.stop.run_until_cancelled(frozen).await {
            Some(Ok(())) => {
                self.frost = Frost::Frozen;
                None
            }
            Some(Err(error)) => {
                self.failed("frozen", &error);
                Some(Next::Over)
            }
            None => Some(Next::Retire),
        }
    }

    /// Sees to it that the container runs. False when nobody knows whether it does.
    pub(super) async fn thaw(&mut self) -> bool {
        if self.frost == Frost::Frozen {
            self.frost = Frost::Unknown;
            let thawed = self.dispatch.driver.thaw(self.wire.id());
            match self.dispatch.stop.run_until_cancelled(thawed).await {
                Some(Ok(())) => self.frost = Frost::Awake,
                Some(Err(error)) => self.failed("thawed", &error),
                None => {}
            }
        }
        self.frost == Frost::Awake
    }

    fn failed(&self, what: &str, error: &hearth_drivers::Error) {
        tracing::warn!(
            app = self.template.series.app(), route = self.template.series.path(), container_id = self.wire.id(),
            error = %Chain(error), "container could not be {what} and is removed"
        );
    }
}
