//! Conditions, permits and values that are made once.

use std::hint::black_box;

use threadwork_workloads::{Measured, share, timed};

use crate::cell::work;
use threadwork_workloads::contest::{Entry, entry};

/// A notify that finds nobody: what most of them do.
macro_rules! notify_nobody {
    ($name:ident, $condvar:ty) => {
        fn $name(_: u32, iterations: u64) -> Measured {
            let condvar = <$condvar>::new();
            let (elapsed, answer) = timed(1, |_| {
                (0..iterations).for_each(|_| {
                    black_box(&condvar).notify_one();
                });
                iterations
            });
            Measured::new(elapsed, iterations, answer)
        }
    };
}

notify_nobody!(notify_nobody_std, std::sync::Condvar);
notify_nobody!(notify_nobody_parking_lot, parking_lot::Condvar);
notify_nobody!(notify_nobody_usync, usync::Condvar);
notify_nobody!(notify_nobody_threadwork, threadwork_sync::Condvar);

/// One operation: the token goes to the next thread of a ring, each of which has a
/// condition variable of its own. `$wait` sleeps on one until woken.
macro_rules! ring {
    ($name:ident, $mutex:ty, $condvar:ty, $lock:expr, $wait:expr) => {
        fn $name(threads: u32, iterations: u64) -> Measured {
            let passes = <$mutex>::new(0_u64);
            let called: Vec<$condvar> = (0..threads).map(|_| <$condvar>::new()).collect();
            let (elapsed, answer) = timed(threads, |index| {
                let mine = |passes: u64| passes % u64::from(threads) == u64::from(index);
                let mut taken = 0;
                for _ in 0..share(iterations, threads, index) {
                    let mut guard = $lock(&passes);
                    while !mine(*guard) {
                        guard = $wait(&called[index as usize], guard);
                    }
                    *guard += 1;
                    taken += 1;
                    drop(guard);
                    called[((index + 1) % threads) as usize].notify_one();
                }
                taken
            });
            Measured::new(elapsed, iterations, answer)
        }
    };
}

fn lock_std(mutex: &std::sync::Mutex<u64>) -> std::sync::MutexGuard<'_, u64> {
    mutex.lock().expect("nobody panics")
}

fn wait_std<'a>(
    condvar: &std::sync::Condvar,
    guard: std::sync::MutexGuard<'a, u64>,
) -> std::sync::MutexGuard<'a, u64> {
    condvar.wait(guard).expect("nobody panics")
}

ring!(
    ring_std,
    std::sync::Mutex<u64>,
    std::sync::Condvar,
    lock_std,
    wait_std
);

ring!(
    ring_threadwork,
    threadwork_sync::Mutex<u64>,
    threadwork_sync::Condvar,
    threadwork_sync::Mutex::lock,
    threadwork_sync::Condvar::wait
);

#[cfg(not(target_family = "wasm"))]
fn wait_parking_lot<'a>(
    condvar: &parking_lot::Condvar,
    mut guard: parking_lot::MutexGuard<'a, u64>,
) -> parking_lot::MutexGuard<'a, u64> {
    condvar.wait(&mut guard);
    guard
}

#[cfg(not(target_family = "wasm"))]
ring!(
    ring_parking_lot,
    parking_lot::Mutex<u64>,
    parking_lot::Condvar,
    parking_lot::Mutex::lock,
    wait_parking_lot
);

/// Permits, the way they are made where there is no semaphore.
struct Counted {
    permits: std::sync::Mutex<u32>,
    freed: std::sync::Condvar,
}

trait Semaphore: Sync {
    fn new(permits: u32) -> Self;
    fn with(&self, body: impl FnOnce());
}

impl Semaphore for Counted {
    fn new(permits: u32) -> Self {
        Counted {
            permits: std::sync::Mutex::new(permits),
            freed: std::sync::Condvar::new(),
        }
    }
    fn with(&self, body: impl FnOnce()) {
        let mut permits = self.permits.lock().expect("nobody panics");
        while *permits == 0 {
            permits = self.freed.wait(permits).expect("nobody panics");
        }
        *permits -= 1;
        drop(permits);
        body();
        *self.permits.lock().expect("nobody panics") += 1;
        self.freed.notify_one();
    }
}

impl Semaphore for threadwork_sync::Semaphore {
    fn new(permits: u32) -> Self {
        Self::new(permits)
    }
    fn with(&self, body: impl FnOnce()) {
        let _permit = self.acquire();
        body();
    }
}

fn semaphore_alone<S: Semaphore>(_: u32, iterations: u64) -> Measured {
    let semaphore = S::new(1);
    let (elapsed, answer) = timed(1, |_| {
        (0..iterations).for_each(|_| semaphore.with(|| ()));
        iterations
    });
    Measured::new(elapsed, iterations, answer)
}

/// Two permits, 200 ns with one, 200 ns without.
fn semaphore_contended<S: Semaphore>(threads: u32, iterations: u64) -> Measured {
    let semaphore = S::new(2);
    let (elapsed, answer) = timed(threads, |index| {
        let own = share(iterations, threads, index);
        for _ in 0..own {
            semaphore.with(|| work(200));
            work(200);
        }
        own
    });
    Measured::new(elapsed, iterations, answer)
}

fn once_std(_: u32, iterations: u64) -> Measured {
    let once = std::sync::OnceLock::new();
    let (elapsed, answer) = timed(1, |_| {
        (0..iterations)
            .map(|_| *black_box(&once).get_or_init(|| 1))
            .sum()
    });
    Measured::new(elapsed, iterations, answer)
}

fn once_threadwork(_: u32, iterations: u64) -> Measured {
    let once = threadwork_sync::OnceLock::new();
    let (elapsed, answer) = timed(1, |_| {
        (0..iterations)
            .map(|_| *black_box(&once).get_or_init(|| 1))
            .sum()
    });
    Measured::new(elapsed, iterations, answer)
}

pub(crate) const WORKLOADS: &[Entry] = &[
    entry("notify-nobody", "std", notify_nobody_std),
    entry("notify-nobody", "parking_lot", notify_nobody_parking_lot),
    entry("notify-nobody", "usync", notify_nobody_usync),
    entry("notify-nobody", "threadwork", notify_nobody_threadwork),
    entry("condvar", "std", ring_std),
    #[cfg(not(target_family = "wasm"))]
    entry("condvar", "parking_lot", ring_parking_lot),
    entry("condvar", "threadwork", ring_threadwork),
    entry("once", "std", once_std),
    entry("once", "threadwork", once_threadwork),
    entry("semaphore-alone", "std", semaphore_alone::<Counted>),
    entry(
        "semaphore-alone",
        "threadwork",
        semaphore_alone::<threadwork_sync::Semaphore>,
    ),
    entry("semaphore", "std", semaphore_contended::<Counted>),
    entry(
        "semaphore",
        "threadwork",
        semaphore_contended::<threadwork_sync::Semaphore>,
    ),
];
