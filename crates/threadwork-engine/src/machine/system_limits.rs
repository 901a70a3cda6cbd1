//! How many worker threads an engine may have at most, where nobody says it, and how many
//! mappings of memory its guests.
//!
//! A guest can start threads until there are none left. What is refused then is not only its
//! own next thread: a thread or a mapping that the host program wants is, too, and few
//! programs survive that (an allocation that finds no mapping ends a Rust program). So the
//! engine stops well before the system does.
//!
//! Invariant: workers and instances alone use up none of what is looked at here.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(target_os = "linux")]
pub(crate) use linux::workers;

/// Mappings of a memory that is an instance's own: what is used of it, and what is reserved.
const OF_MEMORY: u64 = 3;

/// The mappings that instances may take for memories of their own: a module may have a hundred
/// of them, and an instance for each thread.
pub(crate) struct Mappings {
    left: AtomicU64,
}

/// What an instance has taken, until it is dropped.
pub(crate) struct Taken {
    of: Arc<Mappings>,
    count: u64,
}

impl Mappings {
    pub(crate) fn new() -> Self {
        #[cfg(target_os = "linux")]
        let most = linux::mappings_of_memories();
        #[cfg(not(target_os = "linux"))]
        let most = u64::MAX;
        Self {
            left: AtomicU64::new(most),
        }
    }

    /// Takes those of so many memories.
    ///
    /// # Errors
    ///
    /// If there are not so many left.
    pub(crate) fn take(self: &Arc<Self>, memories: u32) -> io::Result<Taken> {
        let count = OF_MEMORY * u64::from(memories);
        let less = |left: u64| left.checked_sub(count);
        // Ordering: Relaxed; nothing is read because of the number.
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        match taken {
            Ok(_) => Ok(Taken {
                of: Arc::clone(self),
                count,
            }),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::WouldBlock,
                "the instances of this engine have all mappings of memory that they may have \
                 (three eighths of vm.max_map_count)",
            )),
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // Ordering: Relaxed; as above.
        self.of.left.fetch_add(self.count, Ordering::Relaxed);
    }
}

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

    /// A worker's mappings: its stack and its signal stack, each with a guard page.
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

    /// Mappings that instances may take for memories of their own: with what workers take, an
    /// eighth is left for the program around them.
    pub(super) fn mappings_of_memories() -> u64 {
        let most = number("/proc/sys/vm/max_map_count");
        most.map_or(u64::MAX, |most| most / 8 * 3)
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
        use super::super::{Mappings, OF_MEMORY};
        use super::*;
        use std::sync::Arc;
        use std::sync::atomic::AtomicU64;

        #[test]
        fn workers_leave_room_for_the_program_around_them() {
            let mappings = number("/proc/sys/vm/max_map_count").unwrap();
            let most = u64::from(workers(1 << 20));
            assert!(most > 0 && most * MAPPINGS <= mappings / 2, "{most}");
            assert!(workers(usize::MAX) > 0);
            let left = mappings - mappings / 2 - mappings_of_memories();
            assert!(left > 1000, "{left}");
        }

        #[test]
        fn mappings_that_are_given_back_can_be_taken_again() {
            let mappings = Arc::new(Mappings {
                left: AtomicU64::new(2 * OF_MEMORY),
            });
            let one = mappings.take(1).unwrap();
            let other = mappings.take(1).unwrap();
            assert!(mappings.take(1).is_err());
            drop(other);
            assert!(mappings.take(2).is_err());
            drop(one);
            assert!(mappings.take(2).is_ok());
        }
    }
}
