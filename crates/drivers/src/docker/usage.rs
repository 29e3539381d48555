//! Samples from the engine's own stream, for servers that cannot see their containers' control groups.

use bollard::models::{ContainerCpuStats, ContainerStatsResponse};
use bollard::query_parameters::StatsOptionsBuilder;
use futures_util::stream::{BoxStream, StreamExt};
use hearth_models::{Metrics, Stat, Timestamp};

use super::engine::Engine;

/// What the engine writes for a time that it has no sample of.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Samples of the container `id`, about one a second, until it is removed. Nothing is asked until it is polled.
pub(super) fn stream(engine: &Engine, id: String) -> BoxStream<'static, Stat> {
    let options = StatsOptionsBuilder::new().stream(true).one_shot(false).build();
    let samples = engine.api().stats(&id, Some(options));
    samples
        .map(move |sample| {
            sample.inspect_err(|error| {
                let error = crate::Chain(error);
                tracing::debug!(container.id = id, %error, "the engine's statistics of a container ended");
            })
        })
        // A container's connection breaks together with this one, which ends its life: there is nothing to resume.
        .take_while(|sample| std::future::ready(sample.is_ok()))
        .filter_map(async |sample| stat(&sample.ok()?))
        .boxed()
}

/// The nine figures of a sample, or none if the container did not run when it was taken.
fn stat(sample: &ContainerStatsResponse) -> Option<Stat> {
    let timestamp = sample.read.as_deref().filter(|read| *read != NEVER)?;
    let timestamp: Timestamp = timestamp.parse().ok()?;
    let memory = sample.memory_stats.as_ref();
    let (cpu_total, cpu_user, cpu_kernel) = cpu(sample).unwrap_or_default();
    let (net_rx, net_tx) = network(sample);
    Some(Stat {
        timestamp,
        metrics: Metrics {
            cpu_kernel,
            cpu_total,
            cpu_user,
            disk_read: disk(sample, "read"),
            disk_write: disk(sample, "write"),
            mem_limit: memory.and_then(|memory| memory.limit).unwrap_or_default(),
            mem_usage: memory.and_then(|memory| memory.usage).unwrap_or_default(),
            net_rx,
            net_tx,
        },
    })
}

/// Percent of one core since the sample before. The system's time is that of all its cores together, so the share is
/// multiplied by their number; version 2 of control groups does not list them one by one.
fn cpu(sample: &ContainerStatsResponse) -> Option<(u64, u64, u64)> {
    let (now, before) = (sample.cpu_stats.as_ref()?, sample.precpu_stats.as_ref()?);
    let listed = now.cpu_usage.as_ref()?.percpu_usage.as_ref().map_or(0, Vec::len);
    let cores = now.online_cpus.map_or(listed as u64, u64::from);
    let system = now.system_cpu_usage?.checked_sub(before.system_cpu_usage.unwrap_or(0))?;
    let share = |of: fn(&ContainerCpuStats) -> Option<u64>| {
        let used = u128::from(of(now)?.saturating_sub(of(before).unwrap_or(0)));
        let percent = (used * u128::from(cores) * 100).checked_div(u128::from(system))?;
        u64::try_from(percent).ok()
    };
    Some((
        share(|cpu| cpu.cpu_usage.as_ref()?.total_usage)?,
        share(|cpu| cpu.cpu_usage.as_ref()?.usage_in_usermode)?,
        share(|cpu| cpu.cpu_usage.as_ref()?.usage_in_kernelmode)?,
    ))
}

fn disk(sample: &ContainerStatsResponse, operation: &str) -> u64 {
    let entries = sample.blkio_stats.as_ref().and_then(|disk| disk.io_service_bytes_recursive.as_ref());
    let matching = entries
        .into_iter()
        .flatten()
        .filter(|entry| entry.op.as_deref().is_some_and(|op| op.eq_ignore_ascii_case(operation)));
    matching.filter_map(|entry| entry.value).fold(0, u64::saturating_add)
}

fn network(sample: &ContainerStatsResponse) -> (u64, u64) {
    let interfaces = sample.networks.iter().flat_map(|networks| networks.values());
    interfaces.fold((0, 0), |(rx, tx): (u64, u64), interface| {
        let received = interface.rx_bytes.unwrap_or_default();
        let sent = interface.tx_bytes.unwrap_or_default();
        (rx.saturating_add(received), tx.saturating_add(sent))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(json: &str) -> Option<Stat> {
        stat(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn version_1_samples_give_all_nine_figures() {
        let stat = recorded(include_str!("fixtures/stats_v1.json")).unwrap();
        assert_eq!(stat.timestamp.to_string(), "2026-11-21T21:06:18.735Z");
        let expected = Metrics {
            cpu_total: 100,
            cpu_user: 74,
            cpu_kernel: 25,
            disk_read: 4100,
            disk_write: 512,
            mem_limit: 134_217_728,
            mem_usage: 774_144,
            net_rx: 646,
            net_tx: 0,
        };
        assert_eq!(stat.metrics, expected);
    }

    #[test]
    fn version_2_samples_give_all_nine_figures() {
        let stat = recorded(include_str!("fixtures/stats_v2.json")).unwrap();
        let expected = Metrics {
            cpu_total: 100,
            cpu_user: 76,
            cpu_kernel: 25,
            disk_read: 4096,
            disk_write: 512,
            mem_limit: 134_217_728,
            mem_usage: 774_144,
            net_rx: 650,
            net_tx: 11,
        };
        assert_eq!(stat.metrics, expected);
    }

    #[test]
    fn the_first_sample_has_no_cpu_and_one_without_a_time_is_skipped() {
        let stat = recorded(include_str!("fixtures/stats_v1_first.json")).unwrap();
        assert_eq!((stat.metrics.cpu_total, stat.metrics.mem_usage), (0, 774_144));
        assert_eq!(recorded(include_str!("fixtures/stats_zero.json")), None);
    }
}
