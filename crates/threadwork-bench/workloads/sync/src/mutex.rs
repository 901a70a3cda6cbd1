//! Mutual exclusion.

use threadwork_workloads::{Measured, share, timed};

use crate::cell::work;
use crate::waits::{Figure, shares, time, waits};
use threadwork_workloads::contest::{Entry, entry};

/// A lock around a counter.
trait Lock: Sync {
    type Guard<'a>: std::ops::DerefMut<Target = u64>
    where
        Self: 'a;
    fn new() -> Self;
    fn lock(&self) -> Self::Guard<'_>;
}

impl Lock for std::sync::Mutex<u64> {
    type Guard<'a> = std::sync::MutexGuard<'a, u64>;
    fn new() -> Self {
        Self::new(0)
    }
    fn lock(&self) -> Self::Guard<'_> {
        self.lock().expect("nobody panics")
    }
}

impl Lock for parking_lot::Mutex<u64> {
    type Guard<'a> = parking_lot::MutexGuard<'a, u64>;
    fn new() -> Self {
        Self::new(0)
    }
    fn lock(&self) -> Self::Guard<'_> {
        self.lock()
    }
}

impl Lock for usync::Mutex<u64> {
    type Guard<'a> = usync::MutexGuard<'a, u64>;
    fn new() -> Self {
        Self::new(0)
    }
    fn lock(&self) -> Self::Guard<'_> {
        self.lock()
    }
}

impl Lock for threadwork_sync::Mutex<u64> {
    type Guard<'a> = threadwork_sync::MutexGuard<'a, u64>;
    fn new() -> Self {
        Self::new(0)
    }
    fn lock(&self) -> Self::Guard<'_> {
        self.lock()
    }
}

/// `INSIDE` nanoseconds of work under the lock, `OUTSIDE` between two locks.
fn contended<L: Lock, const INSIDE: u32, const OUTSIDE: u32>(
    threads: u32,
    iterations: u64,
) -> Measured {
    let lock = L::new();
    let (elapsed, _) = timed(threads, |index| {
        for _ in 0..share(iterations, threads, index) {
            let mut count = lock.lock();
            work(INSIDE);
            *count += 1;
            drop(count);
            work(OUTSIDE);
        }
        0
    });
    let answer = *lock.lock();
    Measured::new(elapsed, iterations, answer)
}

/// The wait for a lock that the others hold nearly always: 2 us under the lock, and
/// nothing between.
fn wait<L: Lock, const FIGURE: usize>(threads: u32, iterations: u64) -> Measured {
    let lock = L::new();
    let figure = [Figure::Median, Figure::P99, Figure::Longest][FIGURE];
    waits(threads, iterations, figure, || {
        let (waited, mut count) = time(|| lock.lock());
        work(2_000);
        *count += 1;
        waited
    })
}

/// The luckiest thread's share over the unluckiest one's, under the same load.
fn share_of<L: Lock>(threads: u32, milliseconds: u64) -> Measured {
    let lock = L::new();
    shares(threads, milliseconds, || {
        let mut count = lock.lock();
        work(2_000);
        *count += 1;
    })
}

macro_rules! workloads {
    ($($contestant:literal: $lock:ty),* $(,)?) => {
        &[$(
            entry("mutex-alone", $contestant, |_, n| contended::<$lock, 0, 0>(1, n)),
            entry("mutex-empty", $contestant, contended::<$lock, 0, 0>),
            entry("mutex-short", $contestant, contended::<$lock, 50, 200>),
            entry("mutex-medium", $contestant, contended::<$lock, 200, 200>),
            entry("mutex-long", $contestant, contended::<$lock, 2_000, 2_000>),
            entry("mutex-sparse", $contestant, contended::<$lock, 200, 2_000>),
            entry("mutex-wait-p50", $contestant, wait::<$lock, 0>),
            entry("mutex-wait-p99", $contestant, wait::<$lock, 1>),
            entry("mutex-wait-longest", $contestant, wait::<$lock, 2>),
            entry("mutex-share", $contestant, share_of::<$lock>),
        )*]
    };
}

/// `parking_lot` cannot sleep in WebAssembly that stable Rust built: it panics.
#[cfg(not(target_family = "wasm"))]
pub(crate) const WORKLOADS: &[Entry] = workloads! {
    "std": std::sync::Mutex<u64>,
    "parking_lot": parking_lot::Mutex<u64>,
    "usync": usync::Mutex<u64>,
    "threadwork": threadwork_sync::Mutex<u64>,
};

#[cfg(target_family = "wasm")]
pub(crate) const WORKLOADS: &[Entry] = workloads! {
    "std": std::sync::Mutex<u64>,
    "usync": usync::Mutex<u64>,
    "threadwork": threadwork_sync::Mutex<u64>,
};
