//! How many worker threads an engine may have at most, where nobody says it.
//!
//! A guest can start threads until there are none left. What is refused then is not only its
//! own next thread: a thread or a mapping that the host program wants is, too, and few
//! programs survive that (an allocation that finds no mapping ends a Rust program). So the
//! engine stops well before the system does.
//!
//! Invariant: workers alone use up none of what is looked at here.

#[cfg(target_os = "linux")]
pub(crate) use linux::workers;

#[cfg(not(target_os = "linux"))]
pub(crate) fn workers(_: usize) -> u32 {
    // Half of what macOS gives a program; no system that we know gives less.
    2_000
}

#[cfg(target_os = "linux")]
mod linux {
    use rustix::process::{Resource, getrlimit};
    use std::fs::read_to_string;
    use std::path::Path;

    /// A worker's mappings: its stack and its signal stack, each with a guard page. Its guest's
    /// memories are not counted here, but there is room for as many.
    const MAPPINGS: u64 = 4;

    /// Bytes of address space that a worker needs beside its stack: the signal stack, and
    /// the allocator's.
    const SPACE: u64 = 1 << 20;

    /// Workers with so many bytes of stack that the engine may have; at least one.
    pub(crate) fn workers(stack: usize) -> u32 {
        let system = |name: &str| number(&format!("/proc/sys/{name}"));
        let half = |count: Option<u64>| count.map(|count| count / 2);
        let space = [Resource::As, Resource::Data].map(|which| getrlimit(which).current);
        let space = space.into_iter().flatten().min();
        let each = u64::try_from(stack)
            .unwrap_or(u64::MAX)
            .saturating_add(SPACE);
        let bounds = [
            half(system("vm/max_map_count").map(|count| count / MAPPINGS)),
            half(system("kernel/threads-max")),
            half(system("kernel/pid_max")),
            most_of(getrlimit(Resource::Nproc).current),
            most_of(pids_of_group()),
            half(space.map(|space| space / each)),
        ];
        let least = bounds.into_iter().flatten().min().unwrap_or(u64::MAX);
        u32::try_from(least).unwrap_or(u32::MAX).max(1)
    }

    /// Three quarters, rounded up: such bounds are small numbers where a program was given
    /// them on purpose.
    fn most_of(count: Option<u64>) -> Option<u64> {
        count.map(|count| count - count / 4)
    }

    /// What the control group of this program, or one around it, allows.
    fn pids_of_group() -> Option<u64> {
        let groups = read_to_string("/proc/self/cgroup").ok()?;
        // `0::/path` with the unified hierarchy, `7:pids:/path` with the older ones.
        let place = groups.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (kinds, path) = (parts.next()?, parts.next()?);
            match kinds {
                "" => Some(("/sys/fs/cgroup", path)),
                kinds if kinds.split(',').any(|kind| kind == "pids") => {
                    Some(("/sys/fs/cgroup/pids", path))
                }
                _ => None,
            }
        });
        let (root, path) = place?;
        let own = Path::new(root).join(path.trim_start_matches('/'));
        let around = own.ancestors().take_while(|group| group.starts_with(root));
        around
            .filter_map(|group| number(group.join("pids.max").to_str()?))
            .min()
    }

    fn number(path: &str) -> Option<u64> {
        read_to_string(path).ok()?.trim().parse().ok()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn workers_leave_room_for_the_program_around_them() {
            let mappings = number("/proc/sys/vm/max_map_count").unwrap();
            let most = u64::from(workers(1 << 20));
            assert!(most > 0 && most * MAPPINGS <= mappings / 2, "{most}");
            assert_eq!(workers(usize::MAX).max(1), workers(usize::MAX));
        }
    }
}
