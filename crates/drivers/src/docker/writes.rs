//! Tells whether anybody has written to a pipe.
//!
//! The kernel notes a write before it returns to who wrote, and so before that can do anything else: whoever sees an
//! answer that was given after a line was written finds the line noted, wherever the line itself is by then. Nothing is
//! waited for here, and a pipe that nobody writes to costs nothing. One inotify instance serves all pipes: the kernel allows
//! a user few of them.

use std::collections::HashMap;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

/// Events that are read at a time. They have no names.
const BUFFER: usize = 4 * 1024;

/// Watches pipes. Clones are handles of the same instance.
#[derive(Clone, Debug)]
pub(super) struct Writes {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    inotify: OwnedFd,
    /// Whether the pipe was written to. Held while events are read: who finds none left must find what they said.
    written: Mutex<HashMap<i32, bool>>,
}

/// A pipe that is watched, until this is dropped.
#[derive(Debug)]
pub(super) struct Watched {
    shared: Arc<Shared>,
    descriptor: i32,
}

// === impl Writes ===

impl Writes {
    pub(super) fn new() -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let writes = Self { shared: Arc::new(Shared { inotify, written: Mutex::default() }) };
        writes.prove()?;
        Ok(writes)
    }

    /// A kernel that does not note what is written to pipes lets them be watched all the same.
    fn prove(&self) -> io::Result<()> {
        let (reader, mut writer) = io::pipe()?;
        let watched = [self.watch(format!("/proc/self/fd/{}", reader.as_raw_fd()).as_ref())?];
        take(&watched);
        writer.write_all(b"x")?;
        let [noted] = take(&watched);
        noted.then_some(()).ok_or_else(|| io::Error::other("the kernel does not note what is written to a pipe"))
    }

    /// Watches the pipe at `path`. It counts as written to, because nobody knows.
    pub(super) fn watch(&self, path: &Path) -> io::Result<Watched> {
        let mut written = self.shared.lock();
        let descriptor = inotify::add_watch(&self.shared.inotify, path, WatchFlags::MODIFY)?;
        written.insert(descriptor, true);
        drop(written);
        Ok(Watched { shared: Arc::clone(&self.shared), descriptor })
    }
}

// === impl Shared ===

impl Shared {
    /// What is written to which, after all that the kernel has noted.
    fn up_to_date(&self) -> MutexGuard<'_, HashMap<i32, bool>> {
        let mut written = self.lock();
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut events = inotify::Reader::new(&self.inotify, &mut buffer);
        loop {
            match events.next() {
                Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => all(&mut written),
                Ok(event) => {
                    // One that is watched no longer is nobody's.
                    if let Some(written) = written.get_mut(&event.wd()) {
                        *written = true;
                    }
                }
                Err(Errno::AGAIN) => return written,
                Err(Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "it cannot be seen any more which functions write");
                    all(&mut written);
                    return written;
                }
            }
        }
    }

    /// The map is whole between any two statements.
    fn lock(&self) -> MutexGuard<'_, HashMap<i32, bool>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn all(written: &mut HashMap<i32, bool>) {
    written.values_mut().for_each(|written| *written = true);
}

// === impl Watched ===

/// Which of `pipes`, which are watched by one instance, were written to since this was last asked of them, or may have been.
pub(super) fn take<const N: usize>(pipes: &[Watched; N]) -> [bool; N] {
    let Some(first) = pipes.first() else { return [false; N] };
    let mut written = first.shared.up_to_date();
    pipes.each_ref().map(|pipe| written.get_mut(&pipe.descriptor).is_none_or(std::mem::take))
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.shared.lock().remove(&self.descriptor);
        // A pipe that is gone took its watch along.
        inotify::remove_watch(&self.shared.inotify, self.descriptor).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipe(writes: &Writes) -> (io::PipeReader, io::PipeWriter, Watched) {
        let (reader, writer) = io::pipe().unwrap();
        let watched = writes.watch(format!("/proc/self/fd/{}", reader.as_raw_fd()).as_ref()).unwrap();
        (reader, writer, watched)
    }

    #[test]
    fn each_pipe_is_told_of_its_own_writes_whoever_asks_first() {
        let writes = Writes::new().unwrap();
        let (_in_a, mut a, of_a) = pipe(&writes);
        let (_in_b, mut b, of_b) = pipe(&writes);
        let both = [of_a, of_b];
        assert_eq!(take(&both), [true; 2], "nobody knows what was before");
        assert_eq!(take(&both), [false; 2]);
        a.write_all(b"line\n").unwrap();
        assert_eq!(take(&both), [true, false]);
        b.write_all(b"line\n").unwrap();
        b.write_all(b"line\n").unwrap();
        let [of_a, of_b] = both;
        assert_eq!(take(&[of_a]), [false]);
        assert_eq!(take(&[of_b]), [true], "told to the other one first");
        assert!(writes.shared.lock().is_empty());
    }

    #[test]
    fn a_write_is_seen_though_it_was_read_at_once() {
        let writes = Writes::new().unwrap();
        let (mut reader, mut writer, watched) = pipe(&writes);
        let watched = [watched];
        take(&watched);
        writer.write_all(b"x").unwrap();
        io::Read::read_exact(&mut reader, &mut [0]).unwrap();
        assert_eq!(take(&watched), [true]);
        assert_eq!(take(&watched), [false], "reading is no writing");
    }

    #[test]
    fn more_than_the_kernel_remembers_is_a_write_to_all() {
        let writes = Writes::new().unwrap();
        let (in_a, a, of_a) = pipe(&writes);
        let (in_b, b, of_b) = pipe(&writes);
        let (_in_c, _c, of_c) = pipe(&writes);
        let all = [of_a, of_b, of_c];
        take(&all);
        // In turns, because the kernel notes what it has noted last only once.
        let queued: usize =
            std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
        let mut buffer = [0; 1];
        for n in 0..=queued {
            let (reader, mut writer) = if n % 2 == 0 { (&in_a, &a) } else { (&in_b, &b) };
            writer.write_all(b"x").unwrap();
            io::Read::read_exact(&mut { reader }, &mut buffer).unwrap();
        }
        assert_eq!(take(&all), [true; 3]);
        assert_eq!(take(&all), [false; 3]);
    }
}
