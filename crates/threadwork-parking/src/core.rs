//! The core on which the calling thread runs, and how to leave it.
//!
//! Invariant: a move changes where the thread runs, never where it may run.

use crate::Cores;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use threadwork_sync::spin_history::{self, Waker};

/// Moves that are let by after the first one that did not pay, and at most.
const FIRST_PAUSE: u32 = 2;
const LONGEST_PAUSE: u32 = 256;

/// The number of the calling thread's core, where the system tells it. It may be
/// another one by the time the caller reads it.
#[cfg(all(target_os = "linux", not(loom)))]
fn current() -> Option<u32> {
    u32::try_from(rustix::thread::sched_getcpu()).ok()
}

/// Elsewhere nobody tells.
#[cfg(not(all(target_os = "linux", not(loom))))]
fn current() -> Option<u32> {
    None
}

/// Who wakes a thread leaves here where and when it did, for the spin history of the woken
/// one (see [`threadwork_sync::spin_history`]).
#[derive(Debug)]
pub struct WakeUp {
    /// Or [`NOWHERE`].
    core: AtomicU32,
    /// In nanoseconds since [`START`].
    at: AtomicU64,
}

/// No core has this number.
const NOWHERE: u32 = u32::MAX;

/// Moments are counted from here.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Default for WakeUp {
    fn default() -> Self {
        Self::new()
    }
}

impl WakeUp {
    /// Nobody has woken anybody yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            core: AtomicU32::new(NOWHERE),
            at: AtomicU64::new(0),
        }
    }

    /// Says that the calling thread is about to wake another. Never blocks.
    pub fn leave(&self) {
        if let Some(core) = current() {
            // Ordering: Relaxed, here and below; a hint.
            self.core.store(core, Ordering::Relaxed);
            self.at
                .store(START.elapsed().as_nanos() as u64, Ordering::Relaxed);
        }
    }

    /// Notes it in the spin history of the calling thread, which has been woken, and wants
    /// one of these cores. Never blocks.
    pub fn take_up(&self, cores: &Cores) {
        let waker = self.core.load(Ordering::Relaxed);
        if let (true, Some(core)) = (waker != NOWHERE, current()) {
            let at = Duration::from_nanos(self.at.load(Ordering::Relaxed));
            let by = match waker == core {
                _ if !cores.may_spin() => Waker::InCrowd,
                true => Waker::OnThisCore,
                false => Waker::OnAnotherCore,
            };
            spin_history::woken(by, START.elapsed().saturating_sub(at));
        }
    }
}

/// Has the system run the calling thread on another core that shares the last cache with
/// this one. False if there is none that the thread may use.
///
/// Takes as long as a wake-up: three system calls, and a way through another queue.
#[cfg(target_os = "linux")]
pub(crate) fn leave() -> bool {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
    let Ok(allowed) = sched_getaffinity(None) else {
        return false;
    };
    let mut near = neighbours(sched_getcpu());
    (0..CpuSet::MAX_CPU)
        .filter(|core| !allowed.is_set(*core))
        .for_each(|core| near.unset(core));
    if near.count() == 0 || sched_setaffinity(None, &near).is_err() {
        return false;
    }
    // Whoever narrows what the thread may use in this moment is overruled; there is no
    // call that does both.
    sched_setaffinity(None, &allowed).is_ok()
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn leave() -> bool {
    false
}

/// The cores that share the last cache with this one, without itself; none if the system
/// does not say.
#[cfg(target_os = "linux")]
fn neighbours(core: usize) -> rustix::thread::CpuSet {
    let list = [4, 3, 2].into_iter().find_map(|level| {
        let file = format!("/sys/devices/system/cpu/cpu{core}/cache/index{level}/shared_cpu_list");
        std::fs::read_to_string(file).ok()
    });
    let mut set = parse(&list.unwrap_or_default());
    if core < rustix::thread::CpuSet::MAX_CPU {
        set.unset(core);
    }
    set
}

/// A list as the kernel writes it, such as `0-3,8`. What cannot be understood is left out.
#[cfg(target_os = "linux")]
fn parse(list: &str) -> rustix::thread::CpuSet {
    let mut set = rustix::thread::CpuSet::new();
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        if let (Ok(first), Ok(last)) = (first.parse(), last.parse::<usize>()) {
            (first..=last.min(rustix::thread::CpuSet::MAX_CPU - 1)).for_each(|core| set.set(core));
        }
    }
    set
}

/// Whether moves have paid lately, for all threads together: where one thread finds that
/// the other cores are no better, the next would, too.
#[derive(Debug)]
pub(crate) struct Moves {
    /// Moves to let by before the next.
    left: AtomicU32,
    /// The pause after that one, unless it pays.
    pause: AtomicU32,
}

impl Moves {
    pub(crate) const fn new() -> Self {
        Self {
            left: AtomicU32::new(0),
            pause: AtomicU32::new(FIRST_PAUSE),
        }
    }

    /// Whether the caller may move now.
    pub(crate) fn allow(&self) -> bool {
        // Ordering: Relaxed, here and below, and no read-modify-writes: a move too many
        // or too few does no harm.
        let left = self.left.load(Ordering::Relaxed);
        if left > 0 {
            self.left.store(left - 1, Ordering::Relaxed);
            return false;
        }
        let pause = self.pause.load(Ordering::Relaxed);
        self.left.store(pause, Ordering::Relaxed);
        self.pause
            .store((pause * 2).min(LONGEST_PAUSE), Ordering::Relaxed);
        true
    }

    /// A thread that had moved has met its partner.
    pub(crate) fn paid(&self) {
        self.left.store(0, Ordering::Relaxed);
        self.pause.store(FIRST_PAUSE, Ordering::Relaxed);
    }
}

#[cfg(all(test, target_os = "linux", not(loom)))]
mod tests {
    use super::*;
    use rustix::thread::sched_getaffinity;

    #[test]
    fn lists_are_parsed() {
        let cores = |list| {
            let set = parse(list);
            (0..16).filter(|core| set.is_set(*core)).collect::<Vec<_>>()
        };
        assert_eq!(cores("0-1\n"), [0, 1]);
        assert_eq!(cores("3"), [3]);
        assert_eq!(cores("0-2,8,10-11\n"), [0, 1, 2, 8, 10, 11]);
        assert!(cores("").is_empty());
        assert!(cores("x-3,-,5-").is_empty());
        assert_eq!(parse("0-99999999999").count(), 1024);
    }

    #[test]
    fn who_leaves_may_still_run_everywhere() {
        let allowed = sched_getaffinity(None).expect("a thread knows where it may run");
        for _ in 0..1000 {
            leave();
            let now = sched_getaffinity(None).expect("a thread knows where it may run");
            assert_eq!(now, allowed);
        }
    }

    #[test]
    fn moves_that_do_not_pay_become_rare() {
        let moves = Moves::new();
        let made = (0..10_000).filter(|_| moves.allow()).count();
        assert!((30..60).contains(&made), "{made} of 10,000");
        moves.paid();
        assert!(moves.allow());
    }
}
