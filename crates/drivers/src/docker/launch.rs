//! What starts functions with a socket in their containers, so that their log comes [directly](super::direct).
//!
//! It is a static program that is built along with this library (`crates/launch`), laid down once in the directory of the
//! server, and mounted into containers where they cannot change it.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use bollard::models::{ContainerCreateBody, Mount, MountType};
use tokio::time::Instant;

use crate::SOCKET_DIRECTORY;

/// The program. Empty where none could be built.
const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/launch"));

/// Its name in the directory of the server. No container's directory is called so.
pub(super) const NAME: &str = "launch";

/// Where a container finds it.
const INSIDE: &str = "/.hearth/launch";

/// The name of the pipe in a container's socket directory.
pub(super) const PIPE: &str = ".hearth.log";

/// Whoever holds the program open to write to it by then does not let go.
const NOT_BUSY: Duration = Duration::from_secs(1);

/// Lays the program down in `directory`. None where it would not run.
pub(super) fn lay_down(directory: &Path) -> Option<PathBuf> {
    let path = directory.join(NAME);
    match try_to(&path) {
        Ok(()) => Some(path),
        Err(error) => {
            tracing::warn!(
                directory = %directory.display(), %error,
                "functions cannot be launched from here: their logs go through the engine, which takes longer"
            );
            None
        }
    }
}

fn try_to(path: &Path) -> io::Result<()> {
    if PROGRAM.is_empty() {
        return Err(io::Error::other("this server was built without what launches them"));
    }
    // Containers of an earlier process may still run the one that is there.
    let new = path.with_extension("new");
    // One that was left half done cannot be written to.
    fs::remove_file(&new).ok();
    fs::write(&new, PROGRAM)?;
    fs::set_permissions(&new, Permissions::from_mode(0o555))?;
    fs::rename(&new, path)?;
    // Not where programs are forbidden.
    let end = Instant::now() + NOT_BUSY;
    let status = loop {
        let mut command = Command::new(path);
        match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status() {
            // Another thread forked while the program was written, and its child has not become another yet.
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && Instant::now() < end => {
                std::thread::yield_now();
            }
            status => break status?,
        }
    };
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("it fails: {status}"))) }
}

/// Has a container whose image says that it runs `command` launched by the program, which the engine finds at `source`.
pub(super) fn launches(body: &mut ContainerCreateBody, command: &[String], source: &str) {
    body.entrypoint = Some(vec![INSIDE.to_owned(), format!("{SOCKET_DIRECTORY}/{PIPE}")]);
    body.cmd = Some(command.to_vec());
    let host = body.host_config.get_or_insert_default();
    host.mounts.get_or_insert_default().push(Mount {
        typ: Some(MountType::BIND),
        source: Some(source.to_owned()),
        target: Some(INSIDE.to_owned()),
        read_only: Some(true),
        ..Mount::default()
    });
}
