//! The files of control groups and `/proc`, as text. No I/O here.

/// Bytes read and written, or received and sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) inward: u64,
    pub(super) outward: u64,
}

/// CPU time used so far, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CpuTime {
    pub(super) total: u64,
    pub(super) user: u64,
    pub(super) kernel: u64,
}

/// A file that holds one number.
pub(super) fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// A limit: a number, or none where there is no limit.
pub(super) fn limit(text: &str) -> Option<u64> {
    number(text).filter(|limit| *limit > 0)
}

/// The value of `key` in a file of keys and values.
pub(super) fn field(text: &str, key: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find_map(|(name, value)| if name == key { number(value) } else { None })
}

/// What `cpuacct.usage` (nanoseconds) and `cpuacct.stat` (ticks) of version 1 say.
pub(super) fn cpu_v1(total: u64, stat: &str, nanos_per_tick: u64) -> Option<CpuTime> {
    Some(CpuTime {
        total,
        user: field(stat, "user")?.saturating_mul(nanos_per_tick),
        kernel: field(stat, "system")?.saturating_mul(nanos_per_tick),
    })
}

/// `cpu.stat` (microseconds) of version 2.
pub(super) fn cpu_v2(stat: &str) -> Option<CpuTime> {
    let nanos = |key| field(stat, key).map(|micros| micros.saturating_mul(1000));
    Some(CpuTime { total: nanos("usage_usec")?, user: nanos("user_usec")?, kernel: nanos("system_usec")? })
}

/// `blkio.*.io_service_bytes*` of version 1: lines of device, operation and bytes, and a total.
pub(super) fn disk_v1(text: &str) -> Traffic {
    let mut sum = Traffic::default();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(_device), Some(operation), Some(bytes)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let bytes = number(bytes).unwrap_or_default();
        if operation.eq_ignore_ascii_case("read") {
            sum.inward = sum.inward.saturating_add(bytes);
        } else if operation.eq_ignore_ascii_case("write") {
            sum.outward = sum.outward.saturating_add(bytes);
        }
    }
    sum
}

/// `io.stat` of version 2: a line of keys and values for each device.
pub(super) fn disk_v2(text: &str) -> Traffic {
    let mut sum = Traffic::default();
    for pair in text.split_ascii_whitespace().filter_map(|word| word.split_once('=')) {
        match pair {
            ("rbytes", bytes) => sum.inward = sum.inward.saturating_add(number(bytes).unwrap_or(0)),
            ("wbytes", bytes) => sum.outward = sum.outward.saturating_add(number(bytes).unwrap_or(0)),
            _ => {}
        }
    }
    sum
}

/// `/proc/PID/net/dev`: two lines of headings, then a line for each interface. The loopback interface is not
/// counted: the engine does not either.
pub(super) fn network(text: &str) -> Traffic {
    let mut sum = Traffic::default();
    for (name, counters) in text.lines().filter_map(|line| line.split_once(':')) {
        if name.trim() == "lo" {
            continue;
        }
        let mut counters = counters.split_ascii_whitespace().map(|word| number(word).unwrap_or(0));
        sum.inward = sum.inward.saturating_add(counters.next().unwrap_or(0));
        // Eight counters of what came in go before the first of what went out.
        sum.outward = sum.outward.saturating_add(counters.nth(7).unwrap_or(0));
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_files_are_read() {
        let cpu = cpu_v1(1_234_567_890, "user 80\nsystem 42\n", 10_000_000).unwrap();
        assert_eq!((cpu.total, cpu.user, cpu.kernel), (1_234_567_890, 800_000_000, 420_000_000));
        let disk = disk_v1("8:0 Read 4096\n8:0 Write 512\n8:0 Sync 0\n8:16 Read 1\n8:16 Discard 7\nTotal 4616\n");
        assert_eq!((disk.inward, disk.outward), (4097, 512));
        assert_eq!(disk_v1("Total 0\n"), Traffic::default());
        assert_eq!(limit("134217728\n"), Some(134_217_728));
        assert_eq!(limit("-1"), None);
    }

    #[test]
    fn version_2_files_are_read() {
        let stat = "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nnice_usec 0\nnr_periods 0\n";
        let cpu = cpu_v2(stat).unwrap();
        assert_eq!((cpu.total, cpu.user, cpu.kernel), (1_500_000, 1_000_000, 500_000));
        let disk = disk_v2("8:0 rbytes=4096 wbytes=512 rios=1 wios=1 dbytes=9 dios=0\n252:0 rbytes=1 wbytes=2\n");
        assert_eq!((disk.inward, disk.outward), (4097, 514));
        assert_eq!(disk_v2(""), Traffic::default());
        assert_eq!(limit("max\n"), None);
        assert_eq!(cpu_v2("usage_usec 1500\n"), None);
    }

    #[test]
    fn interfaces_are_summed_without_the_loopback() {
        let dev = "Inter-|   Receive                                                |  Transmit\n \
            face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
            lo:  999       9    0    0    0     0          0         0      999       9    0    0    0     0       0          0\n  \
            eth0: 1006      13    0    0    0     0          0         0       70       1    0    0    0     0       0          0\n  \
            eth1:4294967296 1   0    0    0     0          0         0        8       1    0    0    0     0       0          0\n";
        let traffic = network(dev);
        assert_eq!((traffic.inward, traffic.outward), (1006 + 4_294_967_296, 78));
        assert_eq!(network(""), Traffic::default());
    }

    #[test]
    fn nonsense_is_no_figure() {
        assert_eq!(number("12a"), None);
        assert_eq!(cpu_v1(1, "system 1\n", 1), None);
        assert_eq!(disk_v1("8:0 Read many\n\n8:0\n"), Traffic::default());
        assert_eq!(network("eth0:\n"), Traffic::default());
    }
}
