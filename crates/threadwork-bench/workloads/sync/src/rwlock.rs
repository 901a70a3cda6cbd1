//! Readers and writers.

use threadwork_workloads::{Measured, share, timed};

use crate::cell::work;
use crate::waits::{Figure, time, waits};
use threadwork_workloads::contest::{Entry, entry};

/// A reader-writer lock around a counter.
trait Lock: Sync {
    fn new() -> Self;
    fn read<T>(&self, body: impl FnOnce(&u64) -> T) -> T;
    fn write<T>(&self, body: impl FnOnce(&mut u64) -> T) -> T;
}

macro_rules! lock {
    ($lock:ty, $read:ident, $write:ident) => {
        impl Lock for $lock {
            fn new() -> Self {
                Self::new(0)
            }
            #[inline]
            fn read<T>(&self, body: impl FnOnce(&u64) -> T) -> T {
                body(&*$read(self.read()))
            }
            #[inline]
            fn write<T>(&self, body: impl FnOnce(&mut u64) -> T) -> T {
                body(&mut *$write(self.write()))
            }
        }
    };
}

fn sound<T>(guard: std::sync::LockResult<T>) -> T {
    guard.expect("nobody panics")
}

fn plain<T>(guard: T) -> T {
    guard
}

lock!(std::sync::RwLock<u64>, sound, sound);
lock!(parking_lot::RwLock<u64>, plain, plain);
lock!(usync::RwLock<u64>, plain, plain);
lock!(threadwork_sync::RwLock<u64>, plain, plain);

/// What readers do not share: what a reader-writer lock is to be better than.
impl Lock for threadwork_sync::Mutex<u64> {
    fn new() -> Self {
        Self::new(0)
    }
    #[inline]
    fn read<T>(&self, body: impl FnOnce(&u64) -> T) -> T {
        body(&self.lock())
    }
    #[inline]
    fn write<T>(&self, body: impl FnOnce(&mut u64) -> T) -> T {
        body(&mut self.lock())
    }
}

/// One operation: 50 ns of work under the lock and 50 outside; `READS` of a hundred
/// are reads.
fn mixed<L: Lock, const READS: u64>(threads: u32, iterations: u64) -> Measured {
    let lock = L::new();
    let (elapsed, answer) = timed(threads, |index| {
        let mut done = 0;
        for turn in 0..share(iterations, threads, index) {
            // 37 has no divisor in common with 100: the writes are spread out.
            if turn * 37 % 100 < READS {
                lock.read(|_| work(50));
            } else {
                lock.write(|count| {
                    work(50);
                    *count += 1;
                });
            }
            work(50);
            done += 1;
        }
        done
    });
    Measured::new(elapsed, iterations, answer)
}

fn read_alone<L: Lock>(_: u32, iterations: u64) -> Measured {
    let lock = L::new();
    let (elapsed, answer) = timed(1, |_| (0..iterations).map(|_| lock.read(|n| *n + 1)).sum());
    Measured::new(elapsed, iterations, answer)
}

fn write_alone<L: Lock>(_: u32, iterations: u64) -> Measured {
    let lock = L::new();
    let (elapsed, _) = timed(1, |_| {
        (0..iterations).for_each(|_| lock.write(|n| *n += 1));
        0
    });
    Measured::new(elapsed, iterations, lock.read(|n| *n))
}

/// The longest wait of a writer (`WRITER`) or of a reader, while all other threads do
/// nothing but the opposite, 2 us each time.
fn longest<L: Lock, const WRITER: bool>(threads: u32, iterations: u64) -> Measured {
    let lock = L::new();
    let over = std::sync::atomic::AtomicBool::new(false);
    let running = || !over.load(std::sync::atomic::Ordering::Relaxed);
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| {
                while running() {
                    if WRITER {
                        lock.read(|_| work(2_000));
                    } else {
                        lock.write(|_| work(2_000));
                    }
                }
            });
        }
        let measured = waits(1, iterations, Figure::Longest, || {
            work(2_000);
            if WRITER {
                time(|| lock.write(|_| ())).0
            } else {
                time(|| lock.read(|_| ())).0
            }
        });
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        measured
    })
}

macro_rules! workloads {
    ($($contestant:literal: $lock:ty),* $(,)?) => {
        &[$(
            entry("rwlock-read-alone", $contestant, read_alone::<$lock>),
            entry("rwlock-write-alone", $contestant, write_alone::<$lock>),
            entry("rwlock-reads-100", $contestant, mixed::<$lock, 100>),
            entry("rwlock-reads-99", $contestant, mixed::<$lock, 99>),
            entry("rwlock-reads-95", $contestant, mixed::<$lock, 95>),
            entry("rwlock-reads-90", $contestant, mixed::<$lock, 90>),
            entry("rwlock-reads-50", $contestant, mixed::<$lock, 50>),
            entry("rwlock-longest-write", $contestant, longest::<$lock, true>),
            entry("rwlock-longest-read", $contestant, longest::<$lock, false>),
        )*]
    };
}

/// As in `mutex`: `parking_lot` cannot sleep in WebAssembly.
#[cfg(not(target_family = "wasm"))]
pub(crate) const WORKLOADS: &[Entry] = workloads! {
    "std": std::sync::RwLock<u64>,
    "parking_lot": parking_lot::RwLock<u64>,
    "usync": usync::RwLock<u64>,
    "threadwork": threadwork_sync::RwLock<u64>,
    "mutex": threadwork_sync::Mutex<u64>,
};

#[cfg(target_family = "wasm")]
pub(crate) const WORKLOADS: &[Entry] = workloads! {
    "std": std::sync::RwLock<u64>,
    "usync": usync::RwLock<u64>,
    "threadwork": threadwork_sync::RwLock<u64>,
    "mutex": threadwork_sync::Mutex<u64>,
};
