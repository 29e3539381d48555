//! How much memory containers may reserve together where no setting says so.

use std::path::Path;

/// Where nothing can be found out, as on systems that are not Linux: 2 GiB.
const FALLBACK: u64 = 2 << 30;

/// The memory of this node that containers may use, in bytes: what the kernel calls available, or the limit of the
/// server's own cgroup (v2 or v1) where that is less.
#[must_use]
pub fn memory_capacity() -> u64 {
    capacity_under(Path::new("/")).unwrap_or(FALLBACK)
}

fn capacity_under(root: &Path) -> Option<u64> {
    let available = available(&read(root, "proc/meminfo")?);
    let limit = cgroup_limit(root);
    // A cgroup v1 without a limit says a number near 2^63.
    available.into_iter().chain(limit).min()
}

fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn cgroup_limit(root: &Path) -> Option<u64> {
    let membership = read(root, "proc/self/cgroup")?;
    membership.lines().filter_map(|line| limit_of(root, line)).min()
}

/// `line` is `0::/path` on v2 and `n:memory:/path` on v1. The limits of parents bind as well.
fn limit_of(root: &Path, line: &str) -> Option<u64> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, path) = (fields.next()?, fields.next()?);
    let (mount, file) = match controllers {
        "" => ("sys/fs/cgroup", "memory.max"),
        list if list.split(',').any(|one| one == "memory") => ("sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        _ => return None,
    };
    let base = root.join(mount);
    let own = base.join(path.trim_start_matches('/'));
    // A container sees its own cgroup at the mount point, whatever path the kernel names.
    let dirs = own.ancestors().take_while(|dir| dir.starts_with(&base));
    dirs.filter_map(|dir| std::fs::read_to_string(dir.join(file)).ok()?.trim().parse().ok()).min()
}

fn read(root: &Path, file: &str) -> Option<String> {
    std::fs::read_to_string(root.join(file)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let meminfo = ("proc/meminfo", "MemTotal:  16000 kB\nMemAvailable:    8000 kB\n");
        for (file, text) in files.iter().chain([&meminfo]) {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    fn capacity(files: &[(&str, &str)]) -> Option<u64> {
        capacity_under(node(files).path())
    }

    #[test]
    fn the_least_of_what_is_available_and_what_the_cgroup_allows() {
        let available = 8000 * 1024;
        assert_eq!(capacity(&[]), Some(available));
        let v1 = ("proc/self/cgroup", "5:cpu:/a\n4:blkio,memory:/docker/x\n0::/\n");
        assert_eq!(
            capacity(&[v1, ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")]),
            Some(available)
        );
        assert_eq!(capacity(&[v1, ("sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes", "4096\n")]), Some(4096));
        let v2 = ("proc/self/cgroup", "0::/system.slice/hearth.service\n");
        assert_eq!(capacity(&[v2, ("sys/fs/cgroup/system.slice/memory.max", "8192\n")]), Some(8192));
        assert_eq!(capacity(&[v2, ("sys/fs/cgroup/system.slice/hearth.service/memory.max", "max\n")]), Some(available));
    }
}
