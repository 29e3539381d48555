//! How much memory containers may reserve together when no setting says it.

use std::fs;

/// What is assumed where the system does not tell.
const UNKNOWN: u64 = 2 << 30;

/// Limits of the control group that the server is in; version 2, then version 1.
const LIMITS: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// Nine tenths of the memory that is free now or that the server's control group allows, whichever is less. The rest
/// is for the engine and for Hearth.
pub(crate) fn detect() -> u64 {
    let free = fs::read_to_string("/proc/meminfo").ok().and_then(|text| available(&text));
    let limits = LIMITS.iter().filter_map(|path| limit(&fs::read_to_string(path).ok()?));
    share(limits.chain(free).min())
}

fn share(bytes: Option<u64>) -> u64 {
    bytes.map_or(UNKNOWN, |bytes| bytes / 10 * 9)
}

/// `MemAvailable` of `/proc/meminfo`.
fn available(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// A limit in bytes. `max` is none; version 1 writes a number that no machine has, which the minimum ignores.
fn limit(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_words_are_read() {
        let text = "MemTotal:       16000000 kB\nMemFree: 1 kB\nMemAvailable:    8000000 kB\n";
        assert_eq!(available(text), Some(8_000_000 * 1024));
        assert_eq!(available("MemTotal: 1 kB"), None);
        assert_eq!((limit("max\n"), limit("1073741824\n")), (None, Some(1 << 30)));
        assert_eq!((share(Some(1000)), share(None)), (900, UNKNOWN));
    }

    #[test]
    fn this_machine_has_some() {
        assert!(detect() > 0);
    }
}
