//! So many adds in single calls, in a batch, and over a run of words.

use threadwork_runtime::{AtomicBatch, SharedMemory};
use threadwork_workloads::{Measured, timed};

use threadwork_workloads::contest::{Entry, entry};

const INSIDE: &str = "the words are inside, and aligned";

fn memory() -> SharedMemory {
    SharedMemory::new(1, 1).expect("there is memory")
}

fn single<const COUNT: usize>(_: u32, iterations: u64) -> Measured {
    let memory = memory();
    let (elapsed, answer) = timed(1, |_| {
        for _ in 0..iterations.div_ceil(COUNT as u64) {
            for word in 0..COUNT {
                memory.add(word * 4, 1_u32).expect(INSIDE);
            }
        }
        u64::from(memory.load::<u32>(0).expect(INSIDE))
    });
    Measured::new(elapsed, iterations, answer)
}

fn batch<const COUNT: usize>(_: u32, iterations: u64) -> Measured {
    let memory = memory();
    let batch = (0..COUNT).fold(AtomicBatch::new(), |batch, word| batch.add(word * 4, 1_u32));
    let (elapsed, answer) = timed(1, |_| {
        for _ in 0..iterations.div_ceil(COUNT as u64) {
            batch.run(&memory).expect(INSIDE);
        }
        u64::from(memory.load::<u32>(0).expect(INSIDE))
    });
    Measured::new(elapsed, iterations, answer)
}

fn run<const COUNT: usize>(_: u32, iterations: u64) -> Measured {
    let memory = memory();
    let (elapsed, answer) = timed(1, |_| {
        for _ in 0..iterations.div_ceil(COUNT as u64) {
            memory.add_run(0, &mut [1_u32; COUNT]).expect(INSIDE);
        }
        u64::from(memory.load::<u32>(0).expect(INSIDE))
    });
    Measured::new(elapsed, iterations, answer)
}

macro_rules! workloads {
    ($($name:literal: $count:literal),* $(,)?) => {
        &[$(
            entry($name, "single", single::<$count>),
            entry($name, "threadwork", batch::<$count>),
            entry($name, "threadwork-run", run::<$count>),
        )*]
    };
}

pub(crate) const WORKLOADS: &[Entry] = workloads! {
    "batch-1": 1,
    "batch-8": 8,
    "batch-64": 64,
    "batch-512": 512,
};
