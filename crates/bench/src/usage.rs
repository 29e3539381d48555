//! What the kernel says of processes and of the machine.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::param::{clock_ticks_per_second, page_size};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How often memory is looked at.
const INTERVAL: Duration = Duration::from_millis(50);

/// What the server used during a window.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Usage {
    pub(crate) cpu_seconds: f64,
    /// Resident memory at its highest, in MB of a million bytes.
    pub(crate) rss_mb: f64,
    /// Containers that were started.
    pub(crate) started: u64,
}

/// Watches one process.
#[derive(Debug)]
pub(crate) struct Watch {
    pid: u32,
    cpu_before: f64,
    peak: Arc<AtomicU64>,
    _sampler: JoinSet<()>,
}

// === impl Watch ===

impl Watch {
    pub(crate) fn begin(pid: u32) -> Result<Self> {
        let peak = Arc::new(AtomicU64::new(resident_bytes(pid)?));
        let mut sampler = JoinSet::new();
        sampler.spawn(sample(pid, Arc::clone(&peak)));
        Ok(Self { pid, cpu_before: cpu_seconds(pid)?, peak, _sampler: sampler })
    }

    pub(crate) fn end(self, started: u64) -> Result<Usage> {
        let cpu_seconds = cpu_seconds(self.pid)? - self.cpu_before;
        let peak = self.peak.load(Ordering::Relaxed).max(resident_bytes(self.pid)?);
        Ok(Usage { cpu_seconds, rss_mb: megabytes(peak), started })
    }
}

async fn sample(pid: u32, peak: Arc<AtomicU64>) {
    loop {
        sleep(INTERVAL).await;
        let Ok(bytes) = resident_bytes(pid) else { return };
        peak.fetch_max(bytes, Ordering::Relaxed);
    }
}

/// Resident memory of a process now, in MB of a million bytes.
pub(crate) fn resident_mb(pid: u32) -> Result<f64> {
    resident_bytes(pid).map(megabytes)
}

fn megabytes(bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
    let bytes = bytes as f64;
    bytes / 1e6
}

fn resident_bytes(pid: u32) -> Result<u64> {
    let statm = read(&format!("/proc/{pid}/statm"))?;
    let pages: u64 = statm.split(' ').nth(1).context("no resident pages")?.parse()?;
    Ok(pages * page_size() as u64)
}

/// Processor time that a process used so far, user and kernel, all threads.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = read(&format!("/proc/{pid}/stat"))?;
    ticks(&stat).map(seconds).context("no processor time")
}

/// Fields are counted behind the name, which may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let (user, kernel): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + kernel)
}

/// The share of this machine's processors that is used, measured for `time`.
pub(crate) async fn busy_share(time: Duration) -> Result<f64> {
    let before = machine()?;
    sleep(time).await;
    let after = machine()?;
    let (idle, all) = (after.0.saturating_sub(before.0), after.1.saturating_sub(before.1));
    Ok(1.0 - seconds(idle) / seconds(all.max(1)))
}

/// Idle ticks and all ticks of all processors together.
fn machine() -> Result<(u64, u64)> {
    let stat = read("/proc/stat")?;
    machine_ticks(&stat).context("no processor times in /proc/stat")
}

fn machine_ticks(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    // What guests use is part of the first two already.
    let ticks: Vec<u64> = line.split_whitespace().take(8).map_while(|field| field.parse().ok()).collect();
    Some((ticks.get(3)? + ticks.get(4)?, ticks.iter().sum()))
}

fn seconds(ticks: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 ticks")]
    let (ticks, per_second) = (ticks as f64, clock_ticks_per_second() as f64);
    ticks / per_second
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "42 (odd) name) S 1 42 42 0 -1 4194560 100 0 0 0 7 5 0 0 20 0 4 0 100 1 2";
        assert_eq!(ticks(stat), Some(12));
    }

    #[test]
    fn waiting_for_a_disk_is_idle_and_stolen_time_is_not() {
        assert_eq!(machine_ticks("cpu  1 2 3 40 50 6 7 8 100 100\ncpu0 1\n"), Some((90, 117)));
    }

    #[tokio::test]
    async fn this_process_uses_memory_and_time() {
        let watch = Watch::begin(std::process::id()).unwrap();
        let usage = watch.end(3).unwrap();
        assert!(usage.rss_mb > 0.5 && usage.cpu_seconds >= 0.0, "{usage:?}");
        assert!((0.0..=1.0).contains(&busy_share(INTERVAL).await.unwrap()));
    }
}
