//! The data directory: one server at a time, and the same id over all its restarts.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use hearth_models::ServerId;

/// A data directory that is ours until this is dropped.
#[derive(Debug)]
pub(crate) struct DataDir {
    pub(crate) server_id: ServerId,
    // The lock goes with the file.
    _lock: File,
}

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClaimError {
    #[error("another hearth{} uses the data directory {}; stop it, or choose another with --data-dir", by(.pid), .directory.display())]
    InUse { directory: PathBuf, pid: String },
    #[error("{} does not hold a server id (26 characters, a ULID); mend or remove it", .0.display())]
    NoId(PathBuf),
    #[error("cannot use {}", .path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

fn by(pid: &str) -> String {
    if pid.is_empty() { String::new() } else { format!(" (process {pid})") }
}

impl DataDir {
    /// Makes `directory` if need be, locks it, and finds out whose it is: `given`, else what it holds, else a new id.
    pub(crate) fn claim(directory: &Path, given: Option<ServerId>) -> Result<Self, ClaimError> {
        fs::create_dir_all(directory).map_err(failed(directory))?;
        let lock = lock(directory)?;
        let server_id = match given {
            Some(id) => id,
            None => kept_id(&directory.join("server-id"))?,
        };
        Ok(Self { server_id, _lock: lock })
    }
}

/// Locks the directory. The file holds the number of the process, for whoever is refused.
fn lock(directory: &Path) -> Result<File, ClaimError> {
    let path = directory.join("lock");
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = options.map_err(failed(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            file.read_to_string(&mut pid).map_err(failed(&path))?;
            return Err(ClaimError::InUse { directory: directory.to_owned(), pid: pid.trim().to_owned() });
        }
        Err(TryLockError::Error(source)) => return Err(failed(&path)(source)),
    }
    let written = file.set_len(0).and_then(|()| file.rewind());
    written.and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed(&path))?;
    Ok(file)
}

fn kept_id(path: &Path) -> Result<ServerId, ClaimError> {
    match fs::read_to_string(path) {
        Ok(text) => text.trim().parse().map_err(|_| ClaimError::NoId(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = ServerId::generate();
            store(path, &format!("{id}\n")).map_err(failed(path))?;
            Ok(id)
        }
        Err(error) => Err(failed(path)(error)),
    }
}

/// Writes a file so that after a crash it is there whole or not at all.
fn store(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> ClaimError {
    let path = path.to_owned();
    |source| ClaimError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_keeps_its_id() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("deep/data");
        let first = DataDir::claim(&directory, None).unwrap().server_id;
        assert_eq!(DataDir::claim(&directory, None).unwrap().server_id, first);
        let given = ServerId::generate();
        assert_eq!(DataDir::claim(&directory, Some(given)).unwrap().server_id, given);
        assert_eq!(DataDir::claim(&directory, None).unwrap().server_id, first);
    }

    #[test]
    fn a_second_server_is_refused_in_one_line_that_names_the_first() {
        let home = tempfile::tempdir().unwrap();
        let first = DataDir::claim(home.path(), None).unwrap();
        let refused = DataDir::claim(home.path(), None).unwrap_err().to_string();
        let expected = format!(
            "another hearth (process {}) uses the data directory {}; stop it, or choose another with --data-dir",
            std::process::id(),
            home.path().display()
        );
        assert_eq!(refused, expected);
        drop(first);
        assert!(DataDir::claim(home.path(), None).is_ok());
    }

    #[test]
    fn an_id_that_is_none_is_not_replaced() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("server-id"), "me").unwrap();
        assert!(matches!(DataDir::claim(home.path(), None), Err(ClaimError::NoId(_))));
        assert_eq!(fs::read_to_string(home.path().join("server-id")).unwrap(), "me");
    }
}
