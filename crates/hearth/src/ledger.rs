//! What `/metrics` tells of the record of calls: what became of those that ended, and what was removed again.

use hearth_datastore::{Counts, KeeperWatch, Kept, Recorder};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Asks the recorder and the keeper anew each time, so that the figures of one look belong together:
/// `accepted = stored + discarded + superseded + refused + pending`.
struct Ledger {
    recorder: Recorder,
    keeper: KeeperWatch,
    descriptions: Vec<Desc>,
}

/// Makes `/metrics` tell of these two.
pub(crate) fn register(registry: &Registry, recorder: Recorder, keeper: KeeperWatch) -> prometheus::Result<()> {
    let metrics = metrics(&Counts::default(), &Kept::default())?;
    let descriptions = metrics.iter().flat_map(|metric| metric.desc()).cloned().collect();
    registry.register(Box::new(Ledger { recorder, keeper, descriptions }))
}

impl Collector for Ledger {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Their names and labels were good when they were registered, and are the same now.
        let metrics = metrics(&self.recorder.counts(), &self.keeper.kept()).unwrap_or_default();
        metrics.iter().flat_map(|metric| metric.collect()).collect()
    }
}

fn metrics(counts: &Counts, kept: &Kept) -> prometheus::Result<Vec<Box<dyn Collector>>> {
    let outcomes = Opts::new("hearth_records_total", "Ended calls by what became of their records");
    let outcomes = IntCounterVec::new(outcomes, &["outcome"])?;
    for (outcome, count) in [
        ("stored", counts.stored),
        ("discarded", counts.discarded),
        ("superseded", counts.superseded),
        ("refused", counts.refused),
    ] {
        outcomes.with_label_values(&[outcome]).inc_by(count);
    }
    let last = kept.last_round.map_or(0, |time| time.as_millis() / 1000);
    Ok(vec![
        Box::new(outcomes),
        counter("hearth_records_accepted_total", "Ended calls that were handed to the recorder", counts.accepted)?,
        gauge("hearth_records_pending", "Ended calls that wait to be stored", counts.pending)?,
        gauge("hearth_records_pending_bytes", "Memory that they hold", counts.pending_bytes)?,
        counter("hearth_record_groups_total", "Groups of records written", counts.groups)?,
        counter("hearth_record_retries_total", "Tries to write a group that failed and were repeated", counts.retries)?,
        counter("hearth_record_snapshots_total", "Running calls written because they take long", counts.snapshots)?,
        counter("hearth_calls_trimmed_total", "Calls removed because they were too old or too many", kept.trimmed)?,
        counter("hearth_apps_purged_total", "Removed apps of which nothing is left", kept.purged_apps)?,
        counter("hearth_keeper_failures_total", "Times the store failed the removal of calls", kept.failures)?,
        gauge(
            "hearth_keeper_last_round_timestamp_seconds",
            "When all apps were last gone through for calls to remove",
            u64::try_from(last).unwrap_or(0),
        )?,
    ])
}

fn counter(name: &str, help: &str, value: u64) -> prometheus::Result<Box<dyn Collector>> {
    let counter = IntCounter::new(name, help)?;
    counter.inc_by(value);
    Ok(Box::new(counter))
}

fn gauge(name: &str, help: &str, value: u64) -> prometheus::Result<Box<dyn Collector>> {
    let gauge = IntGauge::new(name, help)?;
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    Ok(Box::new(gauge))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_is_accounted_for() {
        let counts = Counts {
            accepted: 11,
            stored: 5,
            discarded: 2,
            superseded: 1,
            refused: 1,
            pending: 2,
            ..Counts::default()
        };
        let kept = Kept { trimmed: 7, ..Kept::default() };
        let families: Vec<MetricFamily> =
            metrics(&counts, &kept).unwrap().iter().flat_map(|metric| metric.collect()).collect();
        let text = prometheus::TextEncoder::new().encode_to_string(&families).unwrap();
        for line in [
            "hearth_records_total{outcome=\"stored\"} 5",
            "hearth_records_total{outcome=\"discarded\"} 2",
            "hearth_records_total{outcome=\"superseded\"} 1",
            "hearth_records_total{outcome=\"refused\"} 1",
            "hearth_records_accepted_total 11",
            "hearth_records_pending 2",
            "hearth_calls_trimmed_total 7",
            "hearth_keeper_last_round_timestamp_seconds 0",
        ] {
            assert!(text.lines().any(|told| told == line), "{line} in\n{text}");
        }
    }
}
