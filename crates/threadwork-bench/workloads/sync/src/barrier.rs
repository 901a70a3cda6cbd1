//! Phases, and threads that hand a token on.

use std::sync::atomic::{AtomicU32, Ordering};

use threadwork_workloads::{Measured, share, timed};

use threadwork_workloads::contest::{Entry, entry};

/// Threads that wait for each other.
trait Barrier: Sync {
    fn new(parties: u32) -> Self;
    /// Whether this is the leader.
    fn wait(&self) -> bool;
}

impl Barrier for std::sync::Barrier {
    fn new(parties: u32) -> Self {
        Self::new(parties as usize)
    }
    fn wait(&self) -> bool {
        self.wait().is_leader()
    }
}

impl Barrier for threadwork_sync::Barrier {
    fn new(parties: u32) -> Self {
        Self::new(parties)
    }
    fn wait(&self) -> bool {
        self.wait().is_leader()
    }
}

/// One operation: all threads arrive and leave.
fn episodes<B: Barrier>(threads: u32, iterations: u64) -> Measured {
    let barrier = B::new(threads);
    let (elapsed, leaders) = timed(threads, |_| {
        (0..iterations).map(|_| u64::from(barrier.wait())).sum()
    });
    Measured::new(elapsed, iterations, leaders)
}

/// One thread that sleeps until another lets it go on.
trait Parker: Sync {
    fn new() -> Self;
    /// Called by the thread that parks, before anything else.
    fn enter(&self) {}
    fn park(&self);
    fn unpark(&self);
}

impl Parker for threadwork_sync::Parker {
    fn new() -> Self {
        Self::new()
    }
    fn park(&self) {
        self.park();
    }
    fn unpark(&self) {
        self.unpark();
    }
}

struct Thread(std::sync::OnceLock<std::thread::Thread>);

impl Parker for Thread {
    fn new() -> Self {
        Thread(std::sync::OnceLock::new())
    }
    fn enter(&self) {
        self.0.get_or_init(std::thread::current);
    }
    fn park(&self) {
        std::thread::park();
    }
    fn unpark(&self) {
        self.0.wait().unpark();
    }
}

struct Crossbeam(
    std::sync::Mutex<Option<crossbeam_utils::sync::Parker>>,
    crossbeam_utils::sync::Unparker,
);

impl Parker for Crossbeam {
    fn new() -> Self {
        let parker = crossbeam_utils::sync::Parker::new();
        let unparker = parker.unparker().clone();
        Crossbeam(std::sync::Mutex::new(Some(parker)), unparker)
    }
    fn park(&self) {
        let parker = self.0.lock().expect("nobody panics");
        parker.as_ref().expect("always there").park();
    }
    fn unpark(&self) {
        self.1.unpark();
    }
}

/// One operation: a round trip between two threads; with more threads, more pairs.
fn ping_pong<P: Parker>(threads: u32, iterations: u64) -> Measured {
    let pairs: Vec<_> = (0..threads.div_ceil(2))
        .map(|_| ([P::new(), P::new()], AtomicU32::new(0)))
        .collect();
    let count = pairs.len() as u32;
    let (elapsed, answer) = timed(2 * count, |index| {
        let (parkers, turn) = &pairs[(index / 2) as usize];
        let (own, other) = (index % 2, 1 - index % 2);
        parkers[own as usize].enter();
        let mut returned = 0;
        for _ in 0..share(iterations, count, index / 2) {
            while turn.load(Ordering::Acquire) != own {
                parkers[own as usize].park();
            }
            turn.store(other, Ordering::Release);
            parkers[other as usize].unpark();
            returned += u64::from(own);
        }
        returned
    });
    Measured::new(elapsed, iterations, answer)
}

/// `usync`'s barrier names one leader in all, not one for each phase, so it does not
/// compete.
pub(crate) const BARRIER_WORKLOADS: &[Entry] = &[
    entry("barrier", "std", episodes::<std::sync::Barrier>),
    entry(
        "barrier",
        "threadwork",
        episodes::<threadwork_sync::Barrier>,
    ),
];

pub(crate) const PARKER_WORKLOADS: &[Entry] = &[
    entry("ping-pong", "std", ping_pong::<Thread>),
    entry("ping-pong", "crossbeam", ping_pong::<Crossbeam>),
    entry(
        "ping-pong",
        "threadwork",
        ping_pong::<threadwork_sync::Parker>,
    ),
];
