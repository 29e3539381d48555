//! Whether the server should be sent requests: a latch that start-up opens once and shutdown closes for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

const STARTING: u8 = 0;
const READY: u8 = 1;
const DRAINING: u8 = 2;

/// The latch. Clones are handles of the same one.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicU8>);

impl Readiness {
    /// Start-up is over: what an earlier process left behind is cleaned up. Does nothing once shutdown began.
    pub fn open(&self) {
        let opened = self.0.compare_exchange(STARTING, READY, Ordering::AcqRel, Ordering::Acquire);
        if let Err(state) = opened {
            tracing::debug!(state, "readiness was decided before");
        }
    }

    /// Shutdown begins.
    pub fn close(&self) {
        self.0.store(DRAINING, Ordering::Release);
    }

    /// Why requests had better go elsewhere.
    pub(crate) fn obstacle(&self) -> Option<&'static str> {
        match self.0.load(Ordering::Acquire) {
            STARTING => Some("starting"),
            READY => None,
            _ => Some("shutting down"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latch_opens_once_and_closes_for_good() {
        let latch = Readiness::default();
        assert_eq!(latch.obstacle(), Some("starting"));
        latch.open();
        assert_eq!(latch.obstacle(), None);
        latch.close();
        latch.open();
        assert_eq!(latch.obstacle(), Some("shutting down"));
    }
}
