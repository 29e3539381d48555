//! What `/metrics` tells of asynchronous calls: how full the queue is, and what this server has done with it.

use hearth_models::Timestamp;
use hearth_queue::{Attempts, Counted, Queue, QueueCounts};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// Asks the queue each time what it has counted last. Nobody counts because of that.
struct QueueMetrics {
    queue: Queue,
    descriptions: Vec<Desc>,
}

/// Makes `/metrics` tell of `queue`.
pub(crate) fn register(registry: &Registry, queue: Queue) -> prometheus::Result<()> {
    let metrics = metrics(&QueueCounts::default(), None, Timestamp::now())?;
    let descriptions = metrics.iter().flat_map(|metric| metric.desc()).cloned().collect();
    registry.register(Box::new(QueueMetrics { queue, descriptions }))
}

impl Collector for QueueMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Their names and labels were good when they were registered, and are the same now.
        let metrics = metrics(&self.queue.counts(), self.queue.counted(), Timestamp::now()).unwrap_or_default();
        metrics.iter().flat_map(|metric| metric.collect()).collect()
    }
}

type Metrics = Vec<Box<dyn Collector>>;

fn metrics(counts: &QueueCounts, counted: Option<Counted>, now: Timestamp) -> prometheus::Result<Metrics> {
    let mut metrics = fullness(counted, now)?;
    metrics.extend(done(counts)?);
    metrics.extend(attempts(&counts.attempts)?);
    Ok(metrics)
}

/// Zeros until it was counted for the first time, which `counted` tells.
fn fullness(counted: Option<Counted>, now: Timestamp) -> prometheus::Result<Metrics> {
    let depth = counted.map(|counted| counted.depth).unwrap_or_default();
    let calls = Opts::new("hearth_queue_calls", "Asynchronous calls that have not ended, and those that were given up");
    let calls = IntGaugeVec::new(calls, &["state"])?;
    for (state, count) in
        [("ready", depth.ready), ("delayed", depth.delayed), ("leased", depth.leased), ("dead", depth.dead)]
    {
        calls.with_label_values(&[state]).set(signed(count));
    }
    let age = depth.oldest.map_or(0, |oldest| now.since(oldest).as_secs());
    let at = counted.map_or(0, |counted| counted.at.as_millis() / 1000);
    Ok(vec![
        Box::new(calls),
        gauge("hearth_queue_oldest_ready_seconds", "How long ago the oldest ready call could first run", signed(age))?,
        gauge("hearth_queue_counted_timestamp_seconds", "When the calls were last counted", at)?,
    ])
}

fn done(counts: &QueueCounts) -> prometheus::Result<Metrics> {
    let refused = Opts::new("hearth_queue_refused_total", "Calls that were not queued");
    let refused = IntCounterVec::new(refused, &["reason"])?;
    for (reason, count) in [("full", counts.full), ("failed", counts.failed)] {
        refused.with_label_values(&[reason]).inc_by(count);
    }
    Ok(vec![
        Box::new(refused),
        counter("hearth_queue_accepted_total", "Calls that were queued", counts.accepted)?,
        counter("hearth_queue_cancelled_total", "Calls that were cancelled by a request", counts.cancelled)?,
        counter("hearth_queue_lapsed_total", "Leases that this server let lapse, whoever held them", counts.lapsed)?,
        counter("hearth_queue_dead_total", "Calls that were given up", counts.dead)?,
        counter("hearth_queue_redriven_total", "Calls that were given up and queued once more", counts.redriven)?,
    ])
}

fn attempts(attempts: &Attempts) -> prometheus::Result<Metrics> {
    let outcomes = Opts::new("hearth_queue_attempts_total", "Leases of this server by what became of them");
    let outcomes = IntCounterVec::new(outcomes, &["outcome"])?;
    for (outcome, count) in [
        ("recorded", attempts.recorded),
        ("retried", attempts.retried),
        ("given_up", attempts.given_up),
        ("given_back", attempts.given_back),
        ("discarded", attempts.discarded),
        ("lost", attempts.lost),
    ] {
        outcomes.with_label_values(&[outcome]).inc_by(count);
    }
    let held = signed(attempts.held());
    Ok(vec![
        Box::new(outcomes),
        counter("hearth_queue_leases_total", "Leases that this server was given", attempts.leased)?,
        gauge("hearth_queue_leases_held", "Those that it works for now", held)?,
    ])
}

fn counter(name: &str, help: &str, value: u64) -> prometheus::Result<Box<dyn Collector>> {
    let counter = IntCounter::new(name, help)?;
    counter.inc_by(value);
    Ok(Box::new(counter))
}

fn gauge(name: &str, help: &str, value: i64) -> prometheus::Result<Box<dyn Collector>> {
    let gauge = IntGauge::new(name, help)?;
    gauge.set(value);
    Ok(Box::new(gauge))
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hearth_datastore::Depth;

    use super::*;

    fn shown(counts: &QueueCounts, counted: Option<Counted>, now: Timestamp) -> String {
        let metrics = metrics(counts, counted, now).unwrap();
        let families: Vec<MetricFamily> = metrics.iter().flat_map(|metric| metric.collect()).collect();
        prometheus::TextEncoder::new().encode_to_string(&families).unwrap()
    }

    #[test]
    fn what_was_counted_is_shown_under_its_own_name() {
        let attempts =
            Attempts { leased: 40, recorded: 20, retried: 6, given_up: 5, given_back: 3, discarded: 2, lost: 1 };
        let counts =
            QueueCounts { accepted: 50, full: 7, failed: 8, cancelled: 9, lapsed: 10, dead: 11, redriven: 4, attempts };
        let at = Timestamp::from_millis(1_795_287_584_890);
        let depth = Depth { ready: 12, delayed: 13, leased: 14, dead: 15, oldest: Some(at) };
        let now = at.after(Duration::from_millis(90_500));
        let text = shown(&counts, Some(Counted { depth, at }), now);
        for line in [
            "hearth_queue_calls{state=\"ready\"} 12",
            "hearth_queue_calls{state=\"delayed\"} 13",
            "hearth_queue_calls{state=\"leased\"} 14",
            "hearth_queue_calls{state=\"dead\"} 15",
            "hearth_queue_oldest_ready_seconds 90",
            "hearth_queue_counted_timestamp_seconds 1795287584",
            "hearth_queue_accepted_total 50",
            "hearth_queue_refused_total{reason=\"full\"} 7",
            "hearth_queue_refused_total{reason=\"failed\"} 8",
            "hearth_queue_cancelled_total 9",
            "hearth_queue_lapsed_total 10",
            "hearth_queue_dead_total 11",
            "hearth_queue_redriven_total 4",
            "hearth_queue_leases_total 40",
            "hearth_queue_leases_held 3",
            "hearth_queue_attempts_total{outcome=\"recorded\"} 20",
            "hearth_queue_attempts_total{outcome=\"retried\"} 6",
            "hearth_queue_attempts_total{outcome=\"given_up\"} 5",
            "hearth_queue_attempts_total{outcome=\"given_back\"} 3",
            "hearth_queue_attempts_total{outcome=\"discarded\"} 2",
            "hearth_queue_attempts_total{outcome=\"lost\"} 1",
        ] {
            assert!(text.lines().any(|told| told == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn before_the_first_count_there_are_zeros_that_say_so() {
        let text = shown(&QueueCounts::default(), None, Timestamp::now());
        for line in ["hearth_queue_calls{state=\"ready\"} 0", "hearth_queue_counted_timestamp_seconds 0"] {
            assert!(text.lines().any(|told| told == line), "{line} in\n{text}");
        }
    }
}
