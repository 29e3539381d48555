//! Where this machine keeps control groups, and which of them is a container's.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Where drivers of the engine put a container's group below the root, most common first.
const PLACES: [(&str, &str); 2] = [
    // cgroupfs
    ("docker/", ""),
    // systemd
    ("system.slice/docker-", ".scope"),
];

/// The version of the control groups that count memory, which is the one the engine uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// One hierarchy for each controller.
    V1 { cpuacct: PathBuf, memory: PathBuf, blkio: Option<PathBuf> },
    /// One hierarchy.
    V2 { root: PathBuf },
}

/// The control groups of this machine.
#[derive(Debug)]
pub(crate) struct Layout {
    version: Version,
    /// What goes before and after a container's id. Known once a container was found.
    place: OnceLock<(String, String)>,
}

/// The directories of one container's group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    V1 { cpuacct: PathBuf, memory: PathBuf, blkio: Option<PathBuf> },
    V2 { path: PathBuf },
}

// === impl Layout ===

impl Layout {
    /// What `mountinfo` of this process says. None where control groups are not mounted.
    pub(crate) fn detect() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        Version::parse(&mounts).map(Self::new)
    }

    /// Whether it is that of the machine, and not the part of it that a container sees, which other containers are not in.
    pub(crate) fn is_whole(&self) -> bool {
        self.version.is_whole()
    }

    pub(crate) fn new(version: Version) -> Self {
        Self { version, place: OnceLock::new() }
    }

    /// Some container was found, so where one is not found it is gone.
    pub(crate) fn is_known(&self) -> bool {
        self.place.get().is_some()
    }

    /// The group of the container `id`, if it is where containers are.
    pub(crate) fn find(&self, id: &str) -> Option<Group> {
        if let Some((before, after)) = self.place.get() {
            return self.group(&format!("{before}{id}{after}"));
        }
        PLACES.iter().find_map(|(before, after)| self.learn(before, id, after))
    }

    /// Looks where the process `pid`, which the engine says is the container's, says that it is. What it says
    /// counts only if it names the container: seen from another PID namespace, `pid` is somebody else.
    pub(crate) fn find_by_process(&self, id: &str, pid: u64) -> Option<Group> {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let (before, after) = text.lines().find_map(|line| {
            let path = line.splitn(3, ':').nth(2)?;
            path.trim_start_matches('/').split_once(id)
        })?;
        self.learn(before, id, after)
    }

    fn learn(&self, before: &str, id: &str, after: &str) -> Option<Group> {
        let group = self.group(&format!("{before}{id}{after}"))?;
        // Whoever comes second learned the same.
        self.place.set((before.to_owned(), after.to_owned())).ok();
        Some(group)
    }

    fn group(&self, path: &str) -> Option<Group> {
        let group = match &self.version {
            Version::V1 { cpuacct, memory, blkio } => Group::V1 {
                cpuacct: cpuacct.join(path),
                memory: memory.join(path),
                blkio: blkio.as_ref().map(|root| root.join(path)),
            },
            Version::V2 { root } => Group::V2 { path: root.join(path) },
        };
        group.main().is_dir().then_some(group)
    }
}

// === impl Group ===

impl Group {
    /// A process of the group. Those of a container share its network. An error where they may not be seen.
    pub(crate) fn process(&self) -> io::Result<Option<u64>> {
        let text = fs::read_to_string(self.main().join("cgroup.procs"))?;
        match text.lines().next().and_then(|line| line.parse().ok()) {
            Some(0) => Err(io::Error::new(io::ErrorKind::PermissionDenied, "the process is of another PID namespace")),
            first => Ok(first),
        }
    }

    fn main(&self) -> &Path {
        match self {
            Self::V1 { memory, .. } => memory,
            Self::V2 { path } => path,
        }
    }
}

// === impl Version ===

impl Version {
    /// The root of a hierarchy has what no group below it has, or lacks what each of them has.
    fn is_whole(&self) -> bool {
        match self {
            Self::V1 { memory, .. } => memory.join("release_agent").exists(),
            Self::V2 { root } => !root.join("cgroup.type").exists(),
        }
    }

    fn parse(mountinfo: &str) -> Option<Self> {
        let mounts: Vec<Mount<'_>> = mountinfo.lines().filter_map(Mount::parse).collect();
        let controller = |name: &str| {
            let found = mounts
                .iter()
                .find(|mount| mount.kind == "cgroup" && mount.options.split(',').any(|option| option == name));
            found.map(|mount| PathBuf::from(mount.path))
        };
        // In hybrid set-ups version 2 is mounted too, but counts nothing.
        match (controller("memory"), controller("cpuacct")) {
            (Some(memory), Some(cpuacct)) => Some(Self::V1 { cpuacct, memory, blkio: controller("blkio") }),
            _ => {
                let unified = mounts.iter().find(|mount| mount.kind == "cgroup2")?;
                Some(Self::V2 { root: PathBuf::from(unified.path) })
            }
        }
    }
}

struct Mount<'a> {
    path: &'a str,
    kind: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    /// `31 23 0:28 / /sys/fs/cgroup rw,relatime [optional fields] - tmpfs tmpfs rw,mode=755`
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, super_block) = line.split_once(" - ")?;
        let path = mount.split(' ').nth(4)?;
        let mut words = super_block.split(' ');
        let kind = words.next()?;
        let options = words.nth(1)?;
        Some(Self { path, kind, options })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_container_sees_of_control_groups_is_not_the_whole() {
        let (machine, container) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(machine.path().join("release_agent"), "").unwrap();
        fs::write(container.path().join("cgroup.type"), "domain\n").unwrap();
        let v1 = |path: &Path| Version::V1 { cpuacct: path.to_owned(), memory: path.to_owned(), blkio: None };
        let v2 = |path: &Path| Version::V2 { root: path.to_owned() };
        assert_eq!((v1(machine.path()).is_whole(), v1(container.path()).is_whole()), (true, false));
        assert_eq!((v2(machine.path()).is_whole(), v2(container.path()).is_whole()), (true, false));
    }

    #[test]
    fn hierarchies_are_found_in_each_kind_of_set_up() {
        let hybrid = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
            33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct\n\
            35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n\
            38 31 0:35 / /sys/fs/cgroup/blkio rw,relatime - cgroup cgroup rw,blkio\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        let expected = Version::V1 {
            cpuacct: "/sys/fs/cgroup/cpuacct".into(),
            memory: "/sys/fs/cgroup/memory".into(),
            blkio: Some("/sys/fs/cgroup/blkio".into()),
        };
        assert_eq!(Version::parse(hybrid), Some(expected));
        let joined = "1 1 0:1 / /c/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n2 1 0:2 / /c/memory rw - cgroup cgroup rw,memory\n";
        let expected = Version::V1 { cpuacct: "/c/cpu,cpuacct".into(), memory: "/c/memory".into(), blkio: None };
        assert_eq!(Version::parse(joined), Some(expected));
        let unified = "29 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(Version::parse(unified), Some(Version::V2 { root: "/sys/fs/cgroup".into() }));
        assert_eq!(Version::parse("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"), None);
    }

    #[test]
    fn a_container_is_found_where_drivers_put_it_and_its_place_is_learnt() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(Version::V2 { root: root.path().to_owned() });
        assert!(layout.find("abc").is_none() && !layout.is_known());
        let path = root.path().join("system.slice/docker-abc.scope");
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("cgroup.procs"), "41\n42\n").unwrap();
        let group = layout.find("abc").unwrap();
        assert_eq!(group, Group::V2 { path: path.clone() });
        assert_eq!(group.process().unwrap(), Some(41));
        assert!(layout.is_known());
        fs::create_dir_all(root.path().join("docker/other")).unwrap();
        assert!(layout.find("other").is_none(), "one engine puts all its containers in one place");
        fs::write(path.join("cgroup.procs"), "0\n").unwrap();
        assert_eq!(group.process().unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_process_that_is_not_the_containers_leads_nowhere() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(Version::V2 { root: root.path().to_owned() });
        let own = u64::from(std::process::id());
        assert!(layout.find_by_process("no-such-container", own).is_none());
        assert!(!layout.is_known());
    }
}
