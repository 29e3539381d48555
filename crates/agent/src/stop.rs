//! The end of the server, which every task that serves calls waits for all its life.

use std::pin::Pin;

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Waits for the moment from when on the server cannot wait any longer.
///
/// All tasks wait for the same token, behind one lock. Whoever waits anew for each call goes to the end of that queue and
/// leaves it, under the lock, twice per call; this one stays in it.
pub(crate) struct Stop {
    requested: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Stop {
    pub(crate) fn new(token: &CancellationToken) -> Self {
        Self { requested: Box::pin(token.clone().cancelled_owned()) }
    }

    /// Returns once it is time to stop, and at once from then on. Cancelling this loses nothing.
    pub(crate) async fn requested(&mut self) {
        self.requested.as_mut().await;
    }
}
