//! The process itself, under the names that every Prometheus client library gives these figures.

use std::io;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, Registry};
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

struct Process(Vec<Desc>);

/// What the kernel says of this process.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    cpu_seconds: f64,
    threads: f64,
    virtual_bytes: f64,
    resident_bytes: f64,
    open_fds: f64,
    max_fds: f64,
    start_time: f64,
}

/// Makes `/metrics` tell of this process.
pub(crate) fn register(registry: &Registry) -> prometheus::Result<()> {
    let descriptions = metrics(&Usage::default())?.iter().flat_map(|metric| metric.desc()).cloned().collect();
    registry.register(Box::new(Process(descriptions)))
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.0.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // A process that cannot look at itself tells nothing rather than something wrong.
        let Ok(usage) = Usage::now() else { return Vec::new() };
        let metrics = metrics(&usage).unwrap_or_default();
        metrics.iter().flat_map(|metric| metric.collect()).collect()
    }
}

fn metrics(usage: &Usage) -> prometheus::Result<Vec<Box<dyn Collector>>> {
    let cpu = Counter::new("process_cpu_seconds_total", "CPU time of this process, in user space and in the kernel")?;
    cpu.inc_by(usage.cpu_seconds);
    let mut metrics: Vec<Box<dyn Collector>> = vec![Box::new(cpu)];
    for (name, help, value) in [
        ("process_threads", "Threads of this process", usage.threads),
        ("process_virtual_memory_bytes", "Its address space", usage.virtual_bytes),
        ("process_resident_memory_bytes", "Its memory", usage.resident_bytes),
        ("process_open_fds", "Its open files", usage.open_fds),
        ("process_max_fds", "The most that it may have open", usage.max_fds),
        ("process_start_time_seconds", "When it started, since 1970", usage.start_time),
    ] {
        let gauge = Gauge::new(name, help)?;
        gauge.set(value);
        metrics.push(Box::new(gauge));
    }
    Ok(metrics)
}

impl Usage {
    #[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
    fn now() -> io::Result<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat")?;
        let kernel = std::fs::read_to_string("/proc/stat")?;
        let boot =
            kernel.lines().find_map(|line| line.strip_prefix("btime ")).and_then(|time| time.trim().parse().ok());
        let ticks = clock_ticks_per_second() as f64;
        let mut usage = Self::read(&stat, ticks, page_size() as f64, boot.unwrap_or_default())
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        usage.open_fds = std::fs::read_dir("/proc/self/fd")?.count() as f64;
        usage.max_fds = getrlimit(Resource::Nofile).current.map_or(f64::INFINITY, |limit| limit as f64);
        Ok(usage)
    }

    /// From the line of `/proc/self/stat`. The name in parentheses may hold anything, so fields count from behind it.
    fn read(stat: &str, ticks: f64, page: f64, boot: f64) -> Option<Self> {
        let fields: Vec<f64> =
            stat.rsplit_once(") ")?.1.split(' ').map(|text| text.trim().parse().unwrap_or(0.0)).collect();
        // proc(5) numbers them from 1, and the first one here is its third.
        let field = |number: usize| fields.get(number - 3).copied();
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / ticks,
            threads: field(20)?,
            start_time: boot + field(22)? / ticks,
            virtual_bytes: field(23)?,
            resident_bytes: field(24)? * page,
            ..Self::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_whatever_the_process_is_called() {
        let line =
            "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 1200 4096000 300 18446744073709551615\n";
        let usage = Usage::read(line, 100.0, 4096.0, 1_000.0).unwrap();
        assert_eq!((usage.cpu_seconds, usage.threads, usage.start_time), (3.0, 9.0, 1_012.0));
        assert_eq!((usage.virtual_bytes, usage.resident_bytes), (4_096_000.0, 300.0 * 4096.0));
        assert!(Usage::read("nonsense", 100.0, 4096.0, 0.0).is_none());
    }

    #[test]
    fn this_process_has_memory_files_and_a_past() {
        let usage = Usage::now().unwrap();
        assert!(usage.resident_bytes > 0.0 && usage.open_fds > 0.0 && usage.max_fds >= usage.open_fds, "{usage:?}");
        assert!(usage.threads >= 1.0 && usage.start_time > 1_000_000_000.0, "{usage:?}");
    }
}
