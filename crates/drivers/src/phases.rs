//! What comes before a container can be used, part by part: how long each took, and which one it was that was never done.

use tokio::time::Instant;

/// A part of what comes before a container can be used, and when it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    /// What: `pull`, `create`, `attach`, `start`, `ready` or `listen`.
    pub name: &'static str,
    /// When it began.
    pub began: Instant,
    /// When it ended.
    pub ended: Instant,
}

/// The phases of one start as they pass. Whoever starts a container keeps them, so that a start that fails or is given up
/// can be told from where it was.
#[derive(Clone, Debug, Default)]
pub struct Phases {
    done: Vec<Phase>,
    open: Option<(&'static str, Instant)>,
}

// === impl Phase ===

impl Phase {
    /// A phase that ends now.
    #[must_use]
    pub fn done(name: &'static str, began: Instant) -> Self {
        Self { name, began, ended: Instant::now() }
    }
}

// === impl Phases ===

impl Phases {
    /// A phase begins. The one before it is done.
    pub fn begin(&mut self, name: &'static str) {
        self.end();
        self.open = Some((name, Instant::now()));
    }

    /// The phase that began last is done.
    pub fn end(&mut self) {
        let done = self.open.take().map(|(name, began)| Phase::done(name, began));
        self.done.extend(done);
    }

    /// Those that are done, in order.
    #[must_use]
    pub fn done(&self) -> &[Phase] {
        &self.done
    }

    /// The one that is not, until now.
    #[must_use]
    pub fn open(&self) -> Option<Phase> {
        self.open.map(|(name, began)| Phase::done(name, began))
    }
}
