//! Socket directories: one per container, made before it and removed after it.
//!
//! They stand in a directory of the server that nobody else may enter, for each is open to every user: the one in the
//! container is an ordinary one. What is in them is in the hands of the function, so nothing is looked up there
//! twice: the socket is opened without following links and connected to by its descriptor.

use std::ffi::CString;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use hearth_models::ServerId;
use rustix::fs::{FileType, Mode, OFlags, fstat, open, openat, readlinkat};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tokio::net::UnixStream;

use super::config::SocketConfig;
use super::direct::Direct;
use super::engine::Engine;
use super::launch;
use super::place::{self, DIRECTORY, SEE_TO_IT, Seen};
use super::stream;
use super::watch::{Watch, Watched};
use crate::{Connection, Error, SOCKET_NAME, Socket, SocketError};

/// The settings that are at fault when directories cannot be mounted.
const TMPFS: &str = "FN_IOFS_TMPFS";
const MOUNT_OPTIONS: &str = "FN_IOFS_OPTS";

/// Makes socket directories.
#[derive(Debug)]
pub(super) struct Sockets {
    /// The directory of this server.
    root: PathBuf,
    /// The same as the engine sees it.
    engine_root: PathBuf,
    /// Options of the file system that each directory is, if it is one of its own.
    tmpfs: Option<CString>,
    /// What launches functions, where the engine finds it; none where it does not run.
    launch: Option<String>,
    watch: Watch,
    next: AtomicU64,
    /// Left by an earlier process, whose containers may still use them.
    leftovers: Mutex<Vec<PathBuf>>,
}

/// The socket directory of one container. Removed when dropped.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// Where the engine finds it.
    pub(super) source: String,
    /// Where the engine finds what the function is launched with, if there is a pipe for its log.
    pub(super) launch: Option<String>,
}

/// What there is for a container that listens on a socket.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) directory: Directory,
    /// The socket that will be in it.
    pub(super) listener: Listener,
    /// Where its log comes out.
    pub(super) log: Option<Direct>,
}

/// The socket of one container.
#[derive(Debug)]
pub(super) struct Listener {
    directory: OwnedFd,
    /// Until the socket is there.
    watched: Option<Watched>,
}

// === impl Sockets ===

impl Sockets {
    /// Makes the directory of `server`, whose earlier process is gone.
    pub(super) async fn open(config: &SocketConfig, server: ServerId, engine: &Engine) -> Result<(Self, Watch), Error> {
        let setting =
            |what: String| move |error| Error::Setting { name: DIRECTORY, message: format!("{what}: {error}") };
        let unusable = format!("{} cannot be used for socket directories", config.directory.display());
        let (root, leftovers) = prepare(&config.directory, server).map_err(setting(unusable))?;
        let engine_root = match &config.engine_directory {
            None => place::on_engine(engine, &root).await.unwrap_or_else(|| root.clone()),
            Some(told) => place::told(engine, told).await?.join(server.to_string()),
        };
        let unwatched = "socket directories cannot be watched (the limit may be fs.inotify.max_user_instances)";
        let watch = Watch::new().map_err(setting(unwatched.to_owned()))?;
        let tmpfs = config
            .tmpfs
            .as_deref()
            .map(CString::new)
            .transpose()
            .map_err(|error| Error::Setting { name: MOUNT_OPTIONS, message: error.to_string() })?;
        let leftovers = Mutex::new(leftovers);
        let launch = (!config.contract.engine_logs).then(|| launch::lay_down(&root)).flatten();
        let launch = launch.map(|_| engine_root.join(launch::NAME).to_string_lossy().into_owned());
        let next = AtomicU64::new(1);
        let this = Self { root, engine_root, tmpfs, launch, watch: watch.clone(), next, leftovers };
        this.try_one(engine).await?;
        Ok((this, watch))
    }

    /// Makes one, so that what is wrong with the place shows before a function is called. Functions that need none can do
    /// without.
    async fn try_one(&self, engine: &Engine) -> Result<(), Error> {
        let (name, cannot) = match &self.tmpfs {
            Some(_) => (TMPFS, "socket directories cannot be file systems of their own (mounting takes CAP_SYS_ADMIN)"),
            None => (DIRECTORY, "socket directories cannot be made"),
        };
        let setting = |error| Error::Setting { name, message: format!("{cannot}: {error}") };
        let Place { directory, .. } = self.make(true).map_err(setting)?;
        let (here, there) = (self.root.display(), self.engine_root.display());
        match place::is_seen(engine, Path::new(&directory.source)).await {
            Seen::Yes => {
                tracing::debug!(directory = %here, engine_directory = %there, "the engine sees socket directories")
            }
            Seen::No => tracing::warn!(
                directory = %here, engine_directory = %there,
                "http-stream functions cannot run: the engine does not see their socket directories; {SEE_TO_IT}"
            ),
            Seen::Unknown(why) => tracing::warn!(
                directory = %here, engine_directory = %there, why,
                "it is not known whether the engine sees the socket directories of http-stream functions"
            ),
        }
        Ok(())
    }

    /// A fresh directory with all that belongs there.
    pub(super) fn make(&self, with_log: bool) -> io::Result<Place> {
        let (name, path) = loop {
            let name = format!("{:x}", self.next.fetch_add(1, Ordering::Relaxed));
            let path = self.root.join(&name);
            match fs::create_dir(&path) {
                Ok(()) => break (name, path),
                // An earlier process made it.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        };
        let source = self.engine_root.join(&name).to_string_lossy().into_owned();
        let mut directory = Directory { source, path, launch: None };
        if let Some(options) = &self.tmpfs {
            let flags = MountFlags::NOEXEC | MountFlags::NOSUID | MountFlags::NODEV;
            mount("tmpfs", &directory.path, "tmpfs", flags, options.as_c_str())?;
        }
        // Whatever the umask: the user in the container is another.
        fs::set_permissions(&directory.path, Permissions::from_mode(0o777))?;
        let mut log = None;
        if with_log && self.launch.is_some() {
            match Direct::make(&directory.path.join(launch::PIPE)) {
                Ok(made) => {
                    log = Some(made);
                    directory.launch.clone_from(&self.launch);
                }
                // What is written there comes through the engine instead.
                Err(error) => tracing::warn!(%error, "there is no room for the pipe of a log in a socket directory"),
            }
        }
        let listener = Listener {
            directory: open(&directory.path, OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?,
            watched: Some(self.watch.directory(&directory.path)?),
        };
        Ok(Place { directory, listener, log })
    }

    /// Removes what an earlier process left. Its containers have to be gone.
    pub(super) fn remove_leftovers(&self) {
        let leftovers = std::mem::take(&mut *self.leftovers.lock().unwrap_or_else(PoisonError::into_inner));
        leftovers.iter().for_each(|path| remove(path));
    }
}

/// The directory of `server` below `directory`, and what is in it.
fn prepare(directory: &Path, server: ServerId) -> io::Result<(PathBuf, Vec<PathBuf>)> {
    fs::create_dir_all(directory)?;
    let root = fs::canonicalize(directory)?.join(server.to_string());
    DirBuilder::new().recursive(true).mode(0o700).create(&root)?;
    let mut leftovers = fs::read_dir(&root)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    leftovers.retain(|path| path.is_dir());
    Ok((root, leftovers))
}

fn remove(path: &Path) {
    let removed = match fs::remove_dir_all(path) {
        // It is a file system of its own.
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            unmount(path, UnmountFlags::DETACH).map_err(io::Error::from).and_then(|()| fs::remove_dir(path))
        }
        other => other,
    };
    if let Err(error) = removed
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "a socket directory cannot be removed; the next start will try again");
    }
}

// === impl Directory ===

#[cfg(test)]
impl Directory {
    /// One that the engine finds at `source`.
    pub(super) fn found_at(source: &str, launch: Option<&str>) -> Self {
        Self { path: "/nowhere".into(), source: source.to_owned(), launch: launch.map(str::to_owned) }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

// === impl Listener ===

impl Listener {
    /// The socket, if it is there.
    fn find(&self) -> Result<Option<OwnedFd>, SocketError> {
        let target = match readlinkat(&self.directory, SOCKET_NAME, Vec::new()) {
            Ok(target) => Some(target.into_bytes()),
            Err(Errno::INVAL) => None,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(io::Error::from(error).into()),
        };
        let name = match &target {
            Some(target) if target.contains(&b'/') => return Err(SocketError::BadLink),
            Some(target) => std::ffi::OsStr::from_bytes(target),
            None => SOCKET_NAME.as_ref(),
        };
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let socket = match openat(&self.directory, name, flags, Mode::empty()) {
            Ok(socket) => socket,
            Err(Errno::NOENT) if target.is_none() => return Ok(None),
            Err(Errno::NOENT) => return Err(SocketError::NotASocket),
            Err(error) => return Err(io::Error::from(error).into()),
        };
        let status = fstat(&socket).map_err(io::Error::from)?;
        match FileType::from_raw_mode(status.st_mode) {
            FileType::Socket => Ok(Some(socket)),
            _ => Err(SocketError::NotASocket),
        }
    }
}

#[async_trait]
impl Socket for Listener {
    async fn opened(&mut self) -> Result<(), SocketError> {
        while let Some(watched) = &self.watched {
            if self.find()?.is_some() {
                // What else happens in there is of no interest.
                self.watched = None;
            } else {
                watched.changed().await;
            }
        }
        Ok(())
    }

    async fn connect(&mut self) -> io::Result<Connection> {
        let socket = match self.find() {
            Ok(Some(socket)) => socket,
            Ok(None) => return Err(io::ErrorKind::NotFound.into()),
            Err(error) => return Err(io::Error::other(error)),
        };
        // By its descriptor: no other file can have taken its place, and the path is short enough for an address.
        stream::split(UnixStream::connect(format!("/proc/self/fd/{}", socket.as_raw_fd())).await?)
    }
}
