//! What the system has counted of a container, in its control groups.
//!
//! The library for shims reads them, too, but not what version 1 has of processor time, and takes
//! the microseconds of version 2 for the nanoseconds that containerd expects: whoever scales by
//! load would see next to none. It does not tell whether the system has killed for want of
//! memory, either. The engine's limit comes first, but what the host needs besides is not the
//! engine's to refuse. A container has one process, so that a look when it has ended tells as much as
//! a watch would.
//!
//! Invariant: what the system does not count is not made up.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where control groups are.
const GROUPS: &str = "/sys/fs/cgroup";

/// The control groups of a container.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    /// The file with the count of those that were killed for want of memory.
    memory: Option<PathBuf>,
    /// The file with the processor time.
    cpu: Option<PathBuf>,
}

impl Group {
    /// Those of a process, which has not ended yet.
    pub(crate) fn of(pid: i32) -> Self {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup"));
        Self::among(&groups.unwrap_or_default())
    }

    /// Version 1 before 2: where both are, it has the controllers.
    fn among(groups: &str) -> Self {
        let file = |controller: &str, version_1: &str, version_2: &str| {
            let find = |wanted: &str| {
                groups.lines().find_map(|line| {
                    let mut parts = line.splitn(3, ':').skip(1);
                    let (controllers, path) = (parts.next()?, parts.next()?);
                    let is_it = controllers.split(',').any(|one| one == wanted);
                    is_it.then(|| Path::new(path.trim_start_matches('/')))
                })
            };
            let root = Path::new(GROUPS);
            let first =
                find(controller).map(|path| root.join(controller).join(path).join(version_1));
            first.or_else(|| find("").map(|path| root.join(path).join(version_2)))
        };
        Self {
            memory: file("memory", "memory.oom_control", "memory.events"),
            cpu: file("cpuacct", "cpuacct.usage", "cpu.stat"),
        }
    }

    /// Whether the system has killed for want of memory.
    pub(crate) fn killed_for_memory(&self) -> bool {
        let counts = read(self.memory.as_deref());
        number(&counts, "oom_kill ").is_some_and(|count| count > 0)
    }

    /// The processor time of all that was ever in it.
    pub(crate) fn processor_time(&self) -> Option<Duration> {
        let counts = read(self.cpu.as_deref());
        match number(&counts, "usage_usec ") {
            Some(microseconds) => Some(Duration::from_micros(microseconds)),
            None => number(&counts, "").map(Duration::from_nanos),
        }
    }
}

fn read(path: Option<&Path>) -> String {
    path.and_then(|path| fs::read_to_string(path).ok())
        .unwrap_or_default()
}

/// The number in the line that begins so.
fn number(counts: &str, name: &str) -> Option<u64> {
    let mut found = counts.lines().filter_map(|line| line.strip_prefix(name));
    found.next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_that_have_the_controllers_are_found() {
        let path = |path| Some(PathBuf::from(path));
        let mixed = "9:cpu,cpuacct:/a\n4:memory:/default/x:y\n0::/default/x\n";
        assert_eq!(
            Group::among(mixed),
            Group {
                memory: path("/sys/fs/cgroup/memory/default/x:y/memory.oom_control"),
                cpu: path("/sys/fs/cgroup/cpuacct/a/cpuacct.usage"),
            }
        );
        assert_eq!(
            Group::among("0::/kube.slice/x.scope\n"),
            Group {
                memory: path("/sys/fs/cgroup/kube.slice/x.scope/memory.events"),
                cpu: path("/sys/fs/cgroup/kube.slice/x.scope/cpu.stat"),
            }
        );
        assert_eq!(Group::among("4:memoryless:/a\nrubbish\n"), Group::default());
    }

    #[test]
    fn both_versions_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            Some(path)
        };
        let first = Group {
            memory: file("memory.oom_control", "under_oom 0\noom_kill 0\n"),
            cpu: file("cpuacct.usage", "5000\n"),
        };
        assert!(!first.killed_for_memory());
        assert_eq!(first.processor_time(), Some(Duration::from_micros(5)));
        let second = Group {
            memory: file("memory.events", "oom 4\noom_kill 2\n"),
            cpu: file("cpu.stat", "usage_usec 5\nuser_usec 3\n"),
        };
        assert!(second.killed_for_memory());
        assert_eq!(second.processor_time(), Some(Duration::from_micros(5)));
        assert!(!Group::default().killed_for_memory());
        assert_eq!(Group::default().processor_time(), None);
    }
}
