//! How much memory the process may use: what its control group allows, or what the machine has.
//!
//! Files after <https://docs.kernel.org/admin-guide/cgroup-v2.html> and
//! <https://docs.kernel.org/admin-guide/cgroup-v1/memory.html>. Every read is relative to a root, so that a test can
//! lay out a machine of its own.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where control groups are mounted.
const CGROUPS: &str = "sys/fs/cgroup";
/// Below it, the memory controller of version 1.
const CGROUP_V1_MEMORY: &str = "sys/fs/cgroup/memory";
/// `/proc/meminfo` counts in KiB, which it calls kB.
const MEMINFO_UNIT: u64 = 1024;

/// The smallest limit that binds the process, in bytes; none where nothing can be read.
pub(super) fn memory_limit(root: &Path) -> Option<u64> {
    let limits = limit_files(root).into_iter().filter_map(|file| number_in(&file));
    limits.chain(memory_of_the_machine(root)).min()
}

/// The files that may hold a limit: those of the process's own group and of every group above it.
fn limit_files(root: &Path) -> Vec<PathBuf> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mut files =
        vec![root.join(CGROUPS).join("memory.max"), root.join(CGROUP_V1_MEMORY).join("memory.limit_in_bytes")];
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { continue };
        if controllers.is_empty() {
            files.extend(upwards(group).map(|group| root.join(CGROUPS).join(group).join("memory.max")));
        } else if controllers.split(',').any(|name| name == "memory") {
            let v1 = root.join(CGROUP_V1_MEMORY);
            files.extend(upwards(group).map(|group| v1.join(group).join("memory.limit_in_bytes")));
        }
    }
    files
}

/// The group and all above it, as relative paths.
fn upwards(group: &str) -> impl Iterator<Item = &Path> {
    Path::new(group.trim_start_matches('/')).ancestors()
}

/// `max` and whatever else is no number mean no limit.
fn number_in(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn memory_of_the_machine(root: &Path) -> Option<u64> {
    let meminfo = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(MEMINFO_UNIT)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::{fs, path::Path};

    use tempfile::TempDir;

    use super::memory_limit;

    const MIB: u64 = 1 << 20;

    fn machine(files: &[(&str, &str)]) -> TempDir {
        let root = TempDir::new().unwrap();
        for (file, text) in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn limit(files: &[(&str, &str)]) -> Option<u64> {
        memory_limit(machine(files).path())
    }

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:        1048576 kB\nMemFree:          1024 kB\n");

    #[test]
    fn a_container_of_version_2_is_bound_by_memory_max() {
        assert_eq!(limit(&[MEMINFO, ("sys/fs/cgroup/memory.max", "536870912\n")]), Some(512 * MIB));
    }

    #[test]
    fn the_word_max_leaves_the_memory_of_the_machine() {
        assert_eq!(limit(&[MEMINFO, ("sys/fs/cgroup/memory.max", "max\n")]), Some(1024 * MIB));
    }

    #[test]
    fn a_container_of_version_1_is_bound_by_limit_in_bytes() {
        let limited = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456\n");
        assert_eq!(limit(&[MEMINFO, limited]), Some(256 * MIB));
    }

    #[test]
    fn the_huge_number_that_version_1_writes_for_no_limit_is_none() {
        let unlimited = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(limit(&[MEMINFO, unlimited]), Some(1024 * MIB));
    }

    #[test]
    fn the_tightest_group_above_the_process_binds_it() {
        let files = [
            MEMINFO,
            ("proc/self/cgroup", "0::/pod/container\n"),
            ("sys/fs/cgroup/pod/memory.max", "134217728"),
            ("sys/fs/cgroup/pod/container/memory.max", "max"),
        ];
        assert_eq!(limit(&files), Some(128 * MIB));
    }

    #[test]
    fn the_group_of_a_process_in_version_1_is_found_among_the_controllers() {
        let files = [
            MEMINFO,
            ("proc/self/cgroup", "3:cpu,cpuacct:/a\n2:memory:/b\n"),
            ("sys/fs/cgroup/memory/b/memory.limit_in_bytes", "67108864"),
        ];
        assert_eq!(limit(&files), Some(64 * MIB));
    }

    #[test]
    fn nothing_to_read_is_no_limit() {
        assert_eq!(limit(&[]), None);
    }
}
