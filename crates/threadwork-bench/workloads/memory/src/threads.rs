//! Bursts of a hundred empty threads: what acceptance test 24 asks for.

use std::time::Instant;

use threadwork_runtime::ThreadManager;
use threadwork_workloads::Measured;

use threadwork_workloads::contest::{Entry, entry};

const BURST: u64 = 100;

/// Figures for each thread.
fn bursts<H>(iterations: u64, start: impl Fn() -> H, join: impl Fn(H) -> u64) -> Measured {
    let begin = Instant::now();
    let mut answer = 0;
    let mut left = iterations;
    while left > 0 {
        let burst = left.min(BURST);
        let threads: Vec<H> = (0..burst).map(|_| start()).collect();
        answer += threads.into_iter().map(&join).sum::<u64>();
        left -= burst;
    }
    Measured::new(begin.elapsed(), iterations, answer)
}

fn std_threads(_: u32, iterations: u64) -> Measured {
    bursts(
        iterations,
        || std::thread::spawn(|| 1),
        |thread| thread.join().expect("nobody panics"),
    )
}

fn managed(_: u32, iterations: u64) -> Measured {
    let threads = ThreadManager::new();
    bursts(
        iterations,
        || threads.spawn(|| 1).expect("the system has threads left"),
        |thread| thread.join().expect("nobody panics"),
    )
}

pub(crate) const WORKLOADS: &[Entry] = &[
    entry("threads-100", "std", std_threads),
    entry("threads-100", "threadwork", managed),
];
