//! The primitives of std::sync, under contention.

use std::sync::{Barrier, Condvar, Mutex};

use crate::{Measured, share, timed};

/// One operation: lock, increment, unlock. All threads want one mutex all the time.
pub(crate) fn mutex(threads: u32, iterations: u64) -> Measured {
    let counter = Mutex::new(0_u64);
    let (elapsed, _) = timed(threads, |index| {
        for _ in 0..share(iterations, threads, index) {
            *counter.lock().expect("nobody panics") += 1;
        }
        0
    });
    Measured::new(
        elapsed,
        iterations,
        counter.into_inner().expect("nobody panics"),
    )
}

/// One operation: all threads arrive at the barrier and leave it.
pub(crate) fn barrier(threads: u32, iterations: u64) -> Measured {
    let barrier = Barrier::new(threads as usize);
    let (elapsed, leaders) = timed(threads, |_| {
        (0..iterations)
            .map(|_| u64::from(barrier.wait().is_leader()))
            .sum()
    });
    Measured::new(elapsed, iterations, leaders)
}

/// One operation: a token goes to the next thread of a ring. Each one sleeps on a
/// condition variable of its own, so that a pass wakes just one.
pub(crate) fn condvar(threads: u32, iterations: u64) -> Measured {
    let passes = Mutex::new(0_u64);
    let called: Vec<Condvar> = (0..threads).map(|_| Condvar::new()).collect();
    let (elapsed, answer) = timed(threads, |index| {
        let mut taken = 0;
        let mine = |passes: u64| passes % u64::from(threads) == u64::from(index);
        for _ in 0..share(iterations, threads, index) {
            let guard = passes.lock().expect("nobody panics");
            let mut guard = called[index as usize]
                .wait_while(guard, |passes| !mine(*passes))
                .expect("nobody panics");
            *guard += 1;
            taken += 1;
            drop(guard);
            called[((index + 1) % threads) as usize].notify_one();
        }
        taken
    });
    Measured::new(elapsed, iterations, answer)
}
