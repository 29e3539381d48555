//! When a call passed from one phase into the next: what its histograms and the spans of its trace are made of.

use tokio::time::Instant;

use crate::metrics::{Series, Span};

/// The times of one call. A call that ends early has no later ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeline {
    pub(crate) accepted: Instant,
    /// The beginning of its body was there.
    pub(crate) body: Option<Instant>,
    /// Its image was known, and a slot was asked for.
    pub(crate) image: Option<Instant>,
    /// It had a container.
    pub(crate) started: Option<Instant>,
    /// Its answer was out, or it was known that there would be none.
    pub(crate) executed: Option<Instant>,
}

impl Timeline {
    pub(crate) fn begin() -> Self {
        Self { accepted: Instant::now(), body: None, image: None, started: None, executed: None }
    }

    /// Counts the phases of a call that ends `now`.
    pub(crate) fn observe(&self, series: &Series, cold: bool, now: Instant) {
        series.took(Span::Submit, now - self.accepted);
        let Some(started) = self.started else { return };
        let execution = self.executed.unwrap_or(now) - started;
        series.took(Span::GetSlot, started - self.image.unwrap_or(self.accepted));
        series.took(if cold { Span::ColdExec } else { Span::HotExec }, execution);
        series.waited(started - self.accepted);
        series.executed(execution);
    }
}
