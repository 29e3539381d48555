//! The pipes that a container's stdout and stderr are, seen from outside.
//!
//! They are looked for behind the descriptors of its first process, where a function may have put anything by then. So they
//! count only if the shim of the engine's runtime, one process per container, has them too. They are held by descriptors
//! that neither read nor write: one that writes would keep the pipe from ending with its container.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, open};
use rustix::io::Errno;

/// How the shim is called, as far as the kernel keeps names.
const SHIM: &str = "containerd-shim";

/// One of the pipes.
#[derive(Debug)]
pub(super) struct Pipe(OwnedFd);

/// Those of the container whose first process this is. None where this server may not look, where it is another runtime's,
/// or where the function has put something else in their place.
pub(super) fn of(pid: u64) -> Option<[Pipe; 2]> {
    let shim = parent(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
    let name = fs::read_to_string(format!("/proc/{shim}/comm")).ok()?;
    let shims = name.starts_with(SHIM).then(|| descriptors(shim))?.ok()?;
    let pipe = |number: u32| {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let pipe = open(format!("/proc/{pid}/fd/{number}"), flags, Mode::empty()).ok()?;
        let status = fstat(&pipe).ok()?;
        let its = FileType::from_raw_mode(status.st_mode) == FileType::Fifo && shims.contains(&identity(&status));
        its.then_some((identity(&status), Pipe(pipe)))
    };
    let ((first, stdout), (second, stderr)) = (pipe(1)?, pipe(2)?);
    (first != second).then_some([stdout, stderr])
}

/// What the process has open.
fn descriptors(pid: u64) -> io::Result<HashSet<(u64, u64)>> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))?;
    // One that was closed meanwhile is none of those that stay.
    let status = |entry: fs::DirEntry| rustix::fs::stat(entry.path()).ok();
    entries
        .filter_map(|entry| entry.map(status).transpose())
        .map(|status| status.map(|status| identity(&status)))
        .collect()
}

const fn identity(status: &Stat) -> (u64, u64) {
    (status.st_dev, status.st_ino)
}

/// The parent of a process. Fields are counted behind the name, which may hold anything.
fn parent(stat: &str) -> Option<u64> {
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

// === impl Pipe ===

impl Pipe {
    /// A path that leads to it while this is there.
    pub(super) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }

    /// Writes all of `bytes` in one piece, or nothing: false when there is no room for them.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<bool> {
        let pipe = open(self.path(), OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
        match rustix::io::write(&pipe, bytes) {
            Ok(written) if written == bytes.len() => Ok(true),
            // The kernel does not divide what is this short.
            Ok(_) => Err(io::ErrorKind::WriteZero.into()),
            Err(Errno::AGAIN) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_found_behind_any_name() {
        assert_eq!(parent("42 (odd) name) S 7 42 42 0 -1"), Some(7));
        assert_eq!(parent("nonsense"), None);
    }

    #[test]
    fn a_process_that_no_shim_started_has_none() {
        assert!(of(u64::from(std::process::id())).is_none());
    }
}
