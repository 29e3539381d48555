//! Where the engine has what this server has: what a container mounts is a path of the engine's machine, and a server that
//! runs in a container itself sees other paths.
//!
//! Such a server finds out by itself: the engine tells what is mounted into its container. Whether the engine sees a
//! directory is asked by having it make a container of it from an image that there cannot be: it looks for the directory
//! first.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use bollard::errors::Error as ApiError;
use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountPoint, MountType};
use bollard::query_parameters::{CreateContainerOptions, InspectContainerOptions};
use tokio::time::timeout;
use ulid::Ulid;

use super::address::Address;
use super::config::SocketConfig;
use super::engine::{Engine, Fault};
use super::observer::{Operation, Unobserved};
use crate::{Error, SOCKET_DIRECTORY};

/// The settings that are at fault when a place cannot be used.
pub(super) const DIRECTORY: &str = "FN_IOFS_PATH";
const ENGINE_DIRECTORY: &str = "FN_IOFS_DOCKER_PATH";

const LIMIT: Duration = Duration::from_secs(10);

/// Names in this domain are nobody's (RFC 2606), and no engine takes an image without one.
const NO_IMAGE: &str = "hearth.invalid/no-such-image:none";

/// Whether the engine sees a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It could be mounted into a container.
    Yes,
    /// The engine has no such directory.
    No,
    /// That cannot be told, for this reason.
    Unknown(String),
}

/// What is to be done where the engine does not see the directories.
pub const SEE_TO_IT: &str = "give --iofs-path a directory of the engine's machine, mounted into the server's container if \
    it runs in one, and FN_IOFS_DOCKER_PATH the engine's name of it if it cannot be found out";

/// Where socket directories would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketPlace {
    /// That, or the nearest directory above it that is there.
    pub directory: PathBuf,
    /// The same on the engine's machine; none where the container that this process is in has it to itself.
    pub engine_directory: Option<PathBuf>,
    /// Whether the engine sees what is made there.
    pub seen: Seen,
    /// The kind of its file system, if that is one on which sockets may not work between processes.
    pub doubtful: Option<&'static str>,
}

/// Tries the place of socket directories, for who wants to know before a server starts. A directory is made and removed.
///
/// # Errors
/// Nothing can be made there, or the engine is away or of no use.
pub async fn socket_place(host: Option<&str>, config: &SocketConfig) -> Result<SocketPlace, Error> {
    let engine = Engine::connect(Address::parse(host)?, Arc::new(Unobserved)).await?;
    let unusable = |error: io::Error| Error::Setting { name: DIRECTORY, message: error.to_string() };
    let wanted = std::path::absolute(&config.directory).map_err(unusable)?;
    let above = wanted.ancestors().find(|above| above.is_dir()).unwrap_or_else(|| Path::new("/"));
    let directory = above.canonicalize().map_err(unusable)?;
    let engine_directory = match &config.engine_directory {
        None => on_engine(&engine, &directory).await,
        Some(told_of) => Some(told(&engine, told_of).await?),
    };
    let seen = match &engine_directory {
        None => Seen::No,
        Some(_) if above != wanted && config.engine_directory.is_some() => {
            Seen::Unknown("it is not there yet".to_owned())
        }
        Some(there) => {
            let name = format!(".hearth-{}", Ulid::generate());
            fs::create_dir(directory.join(&name)).map_err(unusable)?;
            let seen = is_seen(&engine, &there.join(&name)).await;
            fs::remove_dir(directory.join(&name)).map_err(unusable)?;
            seen
        }
    };
    let doubtful = doubtful(&directory).map_err(unusable)?;
    Ok(SocketPlace { directory, engine_directory, seen, doubtful })
}

/// The kind of a file system that is another machine's, or a program's, if `directory` is on one.
fn doubtful(directory: &Path) -> io::Result<Option<&'static str>> {
    const KINDS: [(u64, &str); 6] = [
        (0x6969, "nfs"),
        (0xff53_4d42, "cifs"),
        (0xfe53_4d42, "smb2"),
        (0x0102_1997, "9p"),
        (0x6573_5546, "fuse"),
        (0x00c3_6400, "ceph"),
    ];
    let kind = rustix::fs::statfs(directory)?.f_type;
    let kind = u64::from(u32::try_from(kind & 0xffff_ffff).unwrap_or_default());
    Ok(KINDS.iter().find(|(known, _)| *known == kind).map(|(_, name)| *name))
}

/// What the operator said that the engine has: a path, or the name of a volume.
pub(super) async fn told(engine: &Engine, path_or_volume: &str) -> Result<PathBuf, Error> {
    if path_or_volume.starts_with('/') {
        return Ok(path_or_volume.into());
    }
    mount_point(engine, path_or_volume).await
}

/// Where the engine keeps `volume` on its machine. A directory in there can be mounted by that path, by engines that
/// cannot mount a part of a volume as well.
async fn mount_point(engine: &Engine, volume: &str) -> Result<PathBuf, Error> {
    let request = async { engine.api().inspect_volume(volume).await.map_err(Fault::from) };
    let setting = |message| Error::Setting { name: ENGINE_DIRECTORY, message };
    match engine.call(Operation::InspectVolume, LIMIT, request).await {
        Ok(found) if found.mountpoint.starts_with('/') => Ok(found.mountpoint.into()),
        Ok(found) => {
            Err(setting(format!("the volume {volume} of driver {} has no place on the machine", found.driver)))
        }
        Err(fault) if fault.is_not_found() => {
            Err(setting(format!("{volume} is no absolute path, and the engine has no volume of this name")))
        }
        Err(fault) => Err(fault.into_error(Operation::InspectVolume)),
    }
}

/// The path that the engine has for `directory`, whose container is told nothing of it: the same, unless this process is in
/// a container of that engine. None where that container has it to itself.
pub(super) async fn on_engine(engine: &Engine, directory: &Path) -> Option<PathBuf> {
    match own_mounts(engine).await {
        None => Some(directory.to_owned()),
        Some(mounts) => translate(directory, &mounts),
    }
}

/// What is mounted into the container that this process is in, if it is in one of this engine.
async fn own_mounts(engine: &Engine) -> Option<Vec<MountPoint>> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let id = own_container(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"))?;
    let inspect = engine.api().inspect_container(&id, None::<InspectContainerOptions>);
    match timeout(LIMIT, inspect).await {
        Ok(Ok(found)) => Some(found.mounts.unwrap_or_default()),
        // A container of another engine, so that this one has the paths that are here, or nobody knows which.
        Ok(Err(error)) => {
            tracing::debug!(container_id = id, %error, "this process is in a container that the engine does not know");
            None
        }
        Err(_late) => None,
    }
}

/// The id of the container that this process is in. The engine mounts three files into every one, from a directory with its
/// id as name; its control group may have it too.
fn own_container(mountinfo: &str, cgroup: &str) -> Option<String> {
    const MOUNTED: [&str; 3] = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];
    let mounted = mountinfo.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(3);
        let (from, at) = (fields.next()?, fields.next()?);
        from.split('/').find(|part| MOUNTED.contains(&at) && is_id(part))
    });
    let grouped = cgroup.lines().filter_map(|line| {
        let last = line.rsplit('/').next()?;
        let id = last.strip_suffix(".scope").unwrap_or(last).rsplit('-').next()?;
        is_id(id).then_some(id)
    });
    mounted.chain(grouped).next().map(str::to_owned)
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Where the engine has `path` of a container with these mounts.
fn translate(path: &Path, mounts: &[MountPoint]) -> Option<PathBuf> {
    let below = |mount: &MountPoint| {
        let rest = path.strip_prefix(mount.destination.as_deref()?).ok()?.to_owned();
        Some((rest, mount.source.clone().unwrap_or_default()))
    };
    // The innermost hides the others. One in memory has no source.
    let (rest, source) = mounts.iter().filter_map(below).min_by_key(|(rest, _)| rest.components().count())?;
    source.starts_with('/').then(|| Path::new(&source).join(rest))
}

/// Whether the engine sees the directory at `path` of its machine.
pub(super) async fn is_seen(engine: &Engine, path: &Path) -> Seen {
    let mount = Mount {
        typ: Some(MountType::BIND),
        source: Some(path.to_string_lossy().into_owned()),
        target: Some(SOCKET_DIRECTORY.to_owned()),
        ..Mount::default()
    };
    let body = ContainerCreateBody {
        image: Some(NO_IMAGE.to_owned()),
        host_config: Some(HostConfig { mounts: Some(vec![mount]), ..HostConfig::default() }),
        ..ContainerCreateBody::default()
    };
    let asked = Box::pin(engine.api().create_container(None::<CreateContainerOptions>, body));
    match timeout(LIMIT, asked).await {
        Ok(Err(ApiError::DockerResponseServerError { status_code: 404, .. })) => Seen::Yes,
        Ok(Err(ApiError::DockerResponseServerError { message, .. })) if message.contains("does not exist") => Seen::No,
        Ok(Err(error)) => Seen::Unknown(error.to_string()),
        Ok(Ok(_made)) => Seen::Unknown(format!("the engine has an image {NO_IMAGE}")),
        Err(_late) => Seen::Unknown(format!("the engine did not answer within {LIMIT:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn a_process_in_a_container_knows_its_container() {
        let docker = format!(
            "604 582 254:1 /var/lib/docker/containers/{ID}/resolv.conf /etc/resolv.conf rw - ext4 /dev/vda rw\n\
             606 582 254:1 /srv/data /data rw - ext4 /dev/vda rw"
        );
        assert_eq!(own_container(&docker, "0::/").as_deref(), Some(ID));
        let podman =
            format!("1 2 0:23 /containers/overlay-containers/{ID}/userdata/hosts /etc/hosts rw - tmpfs tmpfs rw");
        assert_eq!(own_container(&podman, "").as_deref(), Some(ID));
        for group in [format!("4:memory:/docker/{ID}"), format!("0::/system.slice/docker-{ID}.scope")] {
            assert_eq!(own_container("", &group).as_deref(), Some(ID));
        }
    }

    #[test]
    fn a_process_beside_containers_is_in_none() {
        let host =
            format!("99 27 0:50 / /var/lib/docker/containers/{ID}/mounts/shm rw - tmpfs shm rw\n27 1 254:0 / / rw -");
        assert_eq!(own_container(&host, "0::/system.slice/hearth.service\n1:cpu:/"), None);
    }

    #[test]
    fn a_path_is_where_its_innermost_mount_comes_from() {
        let mount = |source: &str, destination: &str| MountPoint {
            source: Some(source.to_owned()),
            destination: Some(destination.to_owned()),
            ..MountPoint::default()
        };
        let mounts = [
            mount("/var/lib/docker/volumes/v/_data", "/data"),
            mount("/run/sockets", "/data/iofs"),
            mount("", "/data/memory"),
            mount("/var/run/docker.sock", "/var/run/docker.sock"),
        ];
        for (path, there) in [
            ("/data/iofs/01ABC", Some("/run/sockets/01ABC")),
            ("/data/other", Some("/var/lib/docker/volumes/v/_data/other")),
            ("/data", Some("/var/lib/docker/volumes/v/_data")),
            ("/database", None),
            ("/data/memory/x", None),
            ("/tmp", None),
        ] {
            assert_eq!(translate(Path::new(path), &mounts), there.map(PathBuf::from), "{path}");
        }
    }
}
