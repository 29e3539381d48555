//! Samples of a container, told apart by whose they are: of the call that executes, or of no call.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use hearth_drivers::{Sampler, StatsSource};
use hearth_models::Stat;
use tokio::time::Instant;

use crate::alarm::Alarm;
use crate::metrics::{Series, Span};

/// Executions shorter than this have no samples of their own.
const SHORTEST: Duration = Duration::from_millis(50);
/// The CPU figures of an execution count from here, so that the many that are shorter need not be measured at all.
const MARK: Duration = Duration::from_millis(5);
const INTERVAL: Duration = Duration::from_secs(1);

/// The samples of one container. Every one of them goes to the metrics as well.
pub(crate) struct Probe {
    source: Option<StatsSource>,
    next_at: Instant,
    alarm: Alarm,
    executing: Option<Execution>,
    series: Arc<Series>,
    began: Instant,
}

/// The execution that samples belong to.
#[derive(Clone, Copy, Debug)]
struct Execution {
    since: Instant,
    /// Its CPU figures have begun to count.
    marked: bool,
}

impl Probe {
    pub(crate) fn new(source: StatsSource, series: Arc<Series>) -> Self {
        let began = Instant::now();
        Self { source: Some(source), next_at: began + INTERVAL, alarm: Alarm::new(), executing: None, series, began }
    }

    /// Bytes that the container was sent and has not read, where that can be seen.
    pub(crate) fn unread(&self) -> Option<u64> {
        match &self.source {
            Some(StatsSource::Direct(sampler)) => sampler.unread(),
            _ => None,
        }
    }

    /// An execution begins: what comes from now on is its own.
    pub(crate) fn begin(&mut self) {
        let now = Instant::now();
        self.executing = Some(Execution { since: now, marked: false });
        self.next_at = now + MARK;
    }

    /// The next sample, when it is due. Never, once there are none any more. Cancelling this loses nothing.
    pub(crate) async fn next(&mut self) -> Stat {
        let sample = match &mut self.source {
            None => return pending().await,
            Some(StatsSource::Stream(stream)) => stream.next().await,
            Some(StatsSource::Direct(sampler)) => {
                self.alarm.until(self.next_at).await;
                if let Some(execution) = self.executing.as_mut().filter(|execution| !execution.marked) {
                    sampler.mark();
                    execution.marked = true;
                    self.next_at = execution.since + SHORTEST;
                    self.alarm.until(self.next_at).await;
                }
                self.next_at = match self.executing {
                    Some(Execution { since, .. }) if self.next_at < since + INTERVAL => since + INTERVAL,
                    _ => self.next_at + INTERVAL,
                };
                sample_of(&mut **sampler, &self.series)
            }
        };
        match sample {
            Some(stat) => self.seen(stat),
            None => {
                self.source = None;
                pending().await
            }
        }
    }

    /// The execution is over. Its last sample, if it was long enough for one and samples can be had at any time.
    pub(crate) fn end(&mut self) -> Option<Stat> {
        let Execution { since, marked } = self.executing.take()?;
        self.next_at = Instant::now() + INTERVAL;
        let Some(StatsSource::Direct(sampler)) = &mut self.source else { return None };
        if since.elapsed() < SHORTEST {
            return None;
        }
        if !marked {
            // Nobody looked at the clock in time. What was used before is not this execution's.
            sampler.mark();
        }
        let stat = sample_of(&mut **sampler, &self.series)?;
        Some(self.seen(stat))
    }

    fn seen(&self, stat: Stat) -> Stat {
        self.series.sampled(&stat);
        stat
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.series.took(Span::CollectStats, self.began.elapsed());
    }
}

fn sample_of(sampler: &mut dyn Sampler, series: &Series) -> Option<Stat> {
    let began = Instant::now();
    let stat = sampler.sample();
    series.took(Span::Stats, began.elapsed());
    stat
}
