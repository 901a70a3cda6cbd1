//! How long threads wait: percentiles, the longest wait, and each thread's share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use threadwork_workloads::{Measured, share, timed};

/// What of the waits is the figure.
#[derive(Clone, Copy)]
pub(crate) enum Figure {
    Median,
    P99,
    Longest,
}

/// Does `iterations` operations on so many threads, and times each of them.
pub(crate) fn waits(
    threads: u32,
    iterations: u64,
    figure: Figure,
    operation: impl Fn() -> Duration + Sync,
) -> Measured {
    let all = std::sync::Mutex::new(Vec::new());
    let (_, answer) = timed(threads, |index| {
        let own: Vec<u64> = (0..share(iterations, threads, index))
            .map(|_| u64::try_from(operation().as_nanos()).unwrap_or(u64::MAX))
            .collect();
        let count = own.len() as u64;
        all.lock().expect("nobody panics").extend(own);
        count
    });
    let mut all = all.into_inner().expect("nobody panics");
    all.sort_unstable();
    let index = match figure {
        Figure::Median => all.len() / 2,
        Figure::P99 => all.len() * 99 / 100,
        Figure::Longest => all.len() - 1,
    };
    Measured {
        ns_per_op: all[index].max(1) as f64,
        answer,
    }
}

/// Lets all threads do the operation for `milliseconds`, and gives the share of the
/// luckiest as a multiple of the share of the unluckiest.
pub(crate) fn shares(threads: u32, milliseconds: u64, operation: impl Fn() + Sync) -> Measured {
    let over = AtomicBool::new(false);
    let counts: Vec<u64> = thread::scope(|scope| {
        let (over, operation) = (&over, &operation);
        let running: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(move || {
                    let mut count = 0_u64;
                    while !over.load(Ordering::Relaxed) {
                        operation();
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(milliseconds));
        over.store(true, Ordering::Relaxed);
        running
            .into_iter()
            .map(|thread| thread.join().expect("no workload panics"))
            .collect()
    });
    let most = counts.iter().max().copied().unwrap_or_default();
    let least = counts.iter().min().copied().unwrap_or_default();
    Measured {
        // Who never had a turn counts as if it had had one.
        ns_per_op: most.max(1) as f64 / least.max(1) as f64,
        answer: 0,
    }
}

/// The time that `acquire` takes.
pub(crate) fn time<T>(acquire: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let acquired = acquire();
    (start.elapsed(), acquired)
}
