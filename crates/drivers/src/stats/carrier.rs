//! Whoever carries the output of one container away from it.
//!
//! Nothing tells directly whether a container wrote something that is still under way. But what it wrote is in its pipes
//! until the shim of the engine's runtime, one process per container, reads it, and from then on it counts in what the
//! kernel says that process has read. So if the pipes are empty and that figure is what it was, nothing was written.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{Mode, OFlags};

/// How the process is called, as far as the kernel keeps names.
const SHIM: &str = "containerd-shim";

/// The pipes of a container's output, and what was read from them.
#[derive(Debug)]
pub(super) struct Carrier {
    /// stdout and stderr. Nothing is ever read here. An open end keeps the pipe after the container, which nobody minds.
    pipes: [OwnedFd; 2],
    /// The kernel's account of the shim.
    account: File,
}

// === impl Carrier ===

impl Carrier {
    /// Of the container whose first process this is. None where this server may not look, or where it is another
    /// runtime's.
    pub(super) fn open(pid: u64) -> Option<Self> {
        let shim = parent(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
        let name = fs::read_to_string(format!("/proc/{shim}/comm")).ok()?;
        let account = name.starts_with(SHIM).then(|| File::open(format!("/proc/{shim}/io")))?.ok()?;
        let carrier = Self { pipes: [pipe(pid, 1)?, pipe(pid, 2)?], account };
        // Whether it may be read shows in the reading.
        carrier.read_by_shim().map(|_| carrier)
    }

    /// See [`Sampler::carried`](crate::Sampler::carried).
    pub(super) fn carried(&self) -> Option<u64> {
        // First the pipes: what leaves them meanwhile is in the account then.
        let empty = |pipe: &OwnedFd| rustix::io::ioctl_fionread(pipe).is_ok_and(|bytes| bytes == 0);
        if self.pipes.iter().all(empty) { self.read_by_shim() } else { None }
    }

    fn read_by_shim(&self) -> Option<u64> {
        let mut buffer = [0; 256];
        let length = self.account.read_at(&mut buffer, 0).ok()?;
        read_bytes(std::str::from_utf8(&buffer[..length]).ok()?)
    }
}

fn pipe(pid: u64, number: u32) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(format!("/proc/{pid}/fd/{number}"), flags, Mode::empty()).ok()
}

/// The parent of a process. Fields are counted behind the name, which may hold anything.
fn parent(stat: &str) -> Option<u64> {
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// All bytes that a process has read, from whatever it was.
fn read_bytes(account: &str) -> Option<u64> {
    account.lines().find_map(|line| line.strip_prefix("rchar: "))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_found() {
        assert_eq!(parent("42 (odd) name) S 7 42 42 0 -1"), Some(7));
        assert_eq!(read_bytes("rchar: 123\nwchar: 4\n"), Some(123));
        assert_eq!((parent("nonsense"), read_bytes("")), (None, None));
    }

    #[test]
    fn a_process_that_no_shim_started_has_none() {
        assert!(Carrier::open(u64::from(std::process::id())).is_none());
    }
}
