//! Tells when something appears in a directory.
//!
//! One inotify instance serves all directories: the kernel allows a user few of them.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Events that are read at a time; a name has 255 bytes at most.
const BUFFER: usize = 8 * 1024;

/// Watches directories. Clones are handles of the same instance.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    inotify: AsyncFd<OwnedFd>,
    directories: Mutex<HashMap<i32, Arc<Notify>>>,
}

/// A directory that is watched, until this is dropped.
#[derive(Debug)]
pub(super) struct Watched {
    shared: Arc<Shared>,
    descriptor: i32,
    changed: Arc<Notify>,
}

// === impl Watch ===

impl Watch {
    /// Must be called within a runtime. Nothing is told before [`run`](Self::run) runs.
    pub(super) fn new() -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        #[expect(deprecated, reason = "its successor is unsafe for descriptors that others may close; we own ours")]
        let inotify = AsyncFd::new(inotify)?;
        Ok(Self { shared: Arc::new(Shared { inotify, directories: Mutex::default() }) })
    }

    /// Passes on what the kernel tells until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        let passing = async {
            loop {
                let mut ready = self.shared.inotify.readable().await?;
                self.shared.pass_on()?;
                ready.clear_ready();
            }
        };
        let failed: Option<io::Result<()>> = stop.run_until_cancelled(passing).await;
        if let Some(Err(error)) = failed {
            tracing::error!(%error, "socket directories cannot be watched any more: containers with sockets will not start");
        }
    }

    /// Watches `directory`. What is there already is not told.
    pub(super) fn directory(&self, directory: &Path) -> io::Result<Watched> {
        let flags = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
        let changed = Arc::new(Notify::new());
        // Under the lock, so that no event comes before it is known whose it is.
        let mut directories = self.shared.lock();
        let descriptor = inotify::add_watch(self.shared.inotify.get_ref(), directory, flags)?;
        directories.insert(descriptor, Arc::clone(&changed));
        drop(directories);
        Ok(Watched { shared: Arc::clone(&self.shared), descriptor, changed })
    }
}

// === impl Shared ===

impl Shared {
    /// Reads all events there are.
    fn pass_on(&self) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut events = inotify::Reader::new(self.inotify.get_ref(), &mut buffer);
        loop {
            let (descriptor, kind) = match events.next() {
                Ok(event) => (event.wd(), event.events()),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let directories = self.lock();
            if kind.contains(ReadFlags::QUEUE_OVERFLOW) {
                directories.values().for_each(|changed| changed.notify_one());
            } else if let Some(changed) = directories.get(&descriptor) {
                changed.notify_one();
            }
        }
    }

    /// The map is whole between any two statements.
    fn lock(&self) -> MutexGuard<'_, HashMap<i32, Arc<Notify>>> {
        self.directories.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Watched ===

impl Watched {
    /// Returns when something has appeared since the last time, or may have. Cancelling this loses nothing.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.shared.lock().remove(&self.descriptor);
        // A directory that is gone took its watch along.
        inotify::remove_watch(self.shared.inotify.get_ref(), self.descriptor).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn each_directory_is_told_of_its_own_changes() {
        let watch = Watch::new().unwrap();
        let stop = CancellationToken::new();
        #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
        tokio::spawn(watch.clone().run(stop.clone()));
        let root = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| root.path().join(name));
        std::fs::create_dir(&a).unwrap();
        std::fs::create_dir(&b).unwrap();
        let (in_a, in_b) = (watch.directory(&a).unwrap(), watch.directory(&b).unwrap());
        std::fs::write(a.join("created"), "").unwrap();
        timeout(Duration::from_secs(10), in_a.changed()).await.unwrap();
        std::fs::write(root.path().join("elsewhere"), "").unwrap();
        std::fs::rename(root.path().join("elsewhere"), b.join("moved")).unwrap();
        timeout(Duration::from_secs(10), in_b.changed()).await.unwrap();
        assert!(in_a.changed().now_or_never().is_none(), "that was in b");
        drop(in_a);
        drop(in_b);
        assert!(watch.shared.lock().is_empty());
    }
}
