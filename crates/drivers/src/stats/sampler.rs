//! Samples of one container.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use hearth_models::{Metrics, Stat, Timestamp};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::param::clock_ticks_per_second;
use rustix::system::sysinfo;
use tokio::time::Instant;

use super::layout::Group;
use super::parse::{self, CpuTime, Traffic};
use crate::Sampler;

/// One read takes all of any of these files, but for machines with very many devices.
const BUFFER_BYTES: usize = 4096;

/// Reads one container's files, which stay open: a sample is a handful of reads and no path look-up.
#[derive(Debug)]
pub(crate) struct CgroupSampler {
    cpu: Cpu,
    memory: File,
    memory_limit: u64,
    disk: Disk,
    network: File,
    stdin: Stdin,
    process: u64,
    buffer: Vec<u8>,
    /// What the next sample's CPU figures count from.
    mark: Option<(Instant, CpuTime)>,
}

/// The pipe that is the stdin of the container's first process.
#[derive(Debug)]
enum Stdin {
    /// Nothing is ever read here. An open end keeps the pipe after the container, which nobody minds: that a container
    /// is gone shows in its output and its exit, not in its input.
    Seen(OwnedFd),
    /// This server may not look into it.
    Hidden,
    /// The container ended before it was looked at.
    Gone,
}

#[derive(Debug)]
enum Cpu {
    V1 { usage: File, stat: File, nanos_per_tick: u64 },
    V2 { stat: File },
}

#[derive(Debug)]
enum Disk {
    /// Which of these files counts depends on the device's scheduler and the kernel's age; the others stay empty.
    V1(Vec<File>),
    /// None where the controller is not delegated.
    V2(Option<File>),
}

// === impl CgroupSampler ===

impl CgroupSampler {
    /// Opens the files of `group`, which holds a running container.
    pub(crate) fn open(group: &Group) -> io::Result<Self> {
        let Some(pid) = group.process()? else {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no process is in the control group"));
        };
        let network = File::open(format!("/proc/{pid}/net/dev"))?;
        let stdin = Stdin::open(pid);
        Ok(Self { stdin, process: pid, ..Self::open_with(group, network)? })
    }

    /// Whether what a container has not read can be seen; none when it ended before it was looked at.
    pub(crate) const fn sees_stdin(&self) -> Option<bool> {
        match self.stdin {
            Stdin::Seen(_) => Some(true),
            Stdin::Hidden => Some(false),
            Stdin::Gone => None,
        }
    }

    /// The first process of the container.
    pub(crate) const fn process(&self) -> u64 {
        self.process
    }

    fn open_with(group: &Group, network: File) -> io::Result<Self> {
        let mut buffer = vec![0; BUFFER_BYTES];
        let (cpu, memory, limit, disk) = match group {
            Group::V1 { cpuacct, memory, blkio } => {
                let cpu = Cpu::V1 {
                    usage: File::open(cpuacct.join("cpuacct.usage"))?,
                    stat: File::open(cpuacct.join("cpuacct.stat"))?,
                    nanos_per_tick: 1_000_000_000 / clock_ticks_per_second().max(1),
                };
                let limit = File::open(memory.join("memory.limit_in_bytes"))?;
                let usage = File::open(memory.join("memory.usage_in_bytes"))?;
                (cpu, usage, limit, Disk::V1(blkio.as_deref().map(open_blkio).unwrap_or_default()))
            }
            Group::V2 { path } => {
                let cpu = Cpu::V2 { stat: File::open(path.join("cpu.stat"))? };
                let limit = File::open(path.join("memory.max"))?;
                let usage = File::open(path.join("memory.current"))?;
                (cpu, usage, limit, Disk::V2(File::open(path.join("io.stat")).ok()))
            }
        };
        let all = sysinfo();
        let all = u64::from(all.mem_unit).saturating_mul(all.totalram);
        let memory_limit = parse::limit(read(&limit, &mut buffer)?).map_or(all, |limit| limit.min(all));
        let (stdin, process) = (Stdin::Gone, 0);
        let mut sampler = Self { cpu, memory, memory_limit, disk, network, stdin, process, buffer, mark: None };
        sampler.mark();
        Ok(sampler)
    }

    fn read(&mut self) -> io::Result<Metrics> {
        let now = Instant::now();
        let cpu = self.cpu.read(&mut self.buffer)?;
        let (since, before) = self.mark.replace((now, cpu)).unwrap_or((now, cpu));
        let nanos = u64::try_from(now.duration_since(since).as_nanos()).unwrap_or(u64::MAX);
        let buffer = &mut self.buffer;
        let mem_usage = parse::number(read(&self.memory, buffer)?).ok_or(io::ErrorKind::InvalidData)?;
        let disk = self.disk.read(buffer)?;
        let network = parse::network(read(&self.network, buffer)?);
        Ok(Metrics {
            cpu_kernel: percent(before.kernel, cpu.kernel, nanos),
            cpu_total: percent(before.total, cpu.total, nanos),
            cpu_user: percent(before.user, cpu.user, nanos),
            disk_read: disk.inward,
            disk_write: disk.outward,
            mem_limit: self.memory_limit,
            mem_usage,
            net_rx: network.inward,
            net_tx: network.outward,
        })
    }
}

impl Sampler for CgroupSampler {
    fn unread(&self) -> Option<u64> {
        match &self.stdin {
            Stdin::Seen(pipe) => rustix::io::ioctl_fionread(pipe).ok(),
            Stdin::Hidden | Stdin::Gone => None,
        }
    }

    fn mark(&mut self) {
        let now = Instant::now();
        // A group that is gone has no figures; the next sample will say so.
        self.mark = self.cpu.read(&mut self.buffer).ok().map(|cpu| (now, cpu));
    }

    fn sample(&mut self) -> Option<Stat> {
        let metrics = self.read().ok()?;
        Some(Stat { timestamp: Timestamp::now(), metrics })
    }
}

// === impl Stdin ===

impl Stdin {
    fn open(pid: u64) -> Self {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::open(format!("/proc/{pid}/fd/0"), flags, Mode::empty()) {
            Ok(pipe) => Self::Seen(pipe),
            Err(Errno::ACCESS | Errno::PERM) => Self::Hidden,
            Err(_) => Self::Gone,
        }
    }
}

// === impl Cpu ===

impl Cpu {
    fn read(&self, buffer: &mut Vec<u8>) -> io::Result<CpuTime> {
        let time = match self {
            Self::V1 { usage, stat, nanos_per_tick } => {
                let total = parse::number(read(usage, buffer)?).ok_or(io::ErrorKind::InvalidData)?;
                parse::cpu_v1(total, read(stat, buffer)?, *nanos_per_tick)
            }
            Self::V2 { stat } => parse::cpu_v2(read(stat, buffer)?),
        };
        time.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

// === impl Disk ===

impl Disk {
    fn read(&self, buffer: &mut Vec<u8>) -> io::Result<Traffic> {
        match self {
            Self::V1(files) => {
                for file in files {
                    let traffic = parse::disk_v1(read(file, buffer)?);
                    if traffic != Traffic::default() {
                        return Ok(traffic);
                    }
                }
                Ok(Traffic::default())
            }
            Self::V2(file) => {
                file.as_ref().map_or_else(|| Ok(Traffic::default()), |file| Ok(parse::disk_v2(read(file, buffer)?)))
            }
        }
    }
}

/// In the order in which the engine prefers them.
fn open_blkio(group: &Path) -> Vec<File> {
    let names = [
        "blkio.io_service_bytes_recursive",
        "blkio.bfq.io_service_bytes_recursive",
        "blkio.throttle.io_service_bytes_recursive",
        "blkio.throttle.io_service_bytes",
    ];
    // The last is what kernels have that lack the one before.
    names.iter().filter_map(|name| File::open(group.join(name)).ok()).take(3).collect()
}

/// The share of one core, in percent, that `after - before` nanoseconds of CPU are of `wall` nanoseconds.
fn percent(before: u64, after: u64, wall: u64) -> u64 {
    let used = u128::from(after.saturating_sub(before));
    let share = used.saturating_mul(100).checked_div(u128::from(wall)).unwrap_or(0);
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// All of `file` as it is now. The buffer grows where it has to and is kept.
fn read<'a>(file: &File, buffer: &'a mut Vec<u8>) -> io::Result<&'a str> {
    let mut length = 0;
    loop {
        let n = file.read_at(&mut buffer[length..], length as u64)?;
        length += n;
        // A short read is the end of the small files; the kernel hands larger ones out page by page.
        if n == 0 || (length < buffer.len() && length < BUFFER_BYTES / 2) {
            break;
        }
        if length == buffer.len() {
            buffer.resize(2 * length, 0);
        }
    }
    std::str::from_utf8(&buffer[..length]).map_err(|_| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests;
