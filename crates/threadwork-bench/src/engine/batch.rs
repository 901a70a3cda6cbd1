//! Atomic operations of the host on a guest's memory: so many adds in single calls, in a
//! batch, and over a run of words.

use std::time::Instant;

use anyhow::Result;
use threadwork_engine::{AtomicBatch, Engine, SharedMemory};

use crate::case::{Case, Contestant, Effort, Goal, Sample, Unit};

/// Adds one to each of the first `words` words.
type Round = fn(&SharedMemory, &AtomicBatch, words: u64) -> Result<()>;

/// One operation: an add.
pub(super) fn cases(effort: Effort) -> Vec<Case> {
    let adds = effort.operations(1_000_000);
    let case = |words: u64| {
        let case = Case::new(format!("host-adds/batches-of-{words}"), Unit::Nanoseconds)
            .contestant("single", move || {
                contestant(single, AtomicBatch::new(), words, adds)
            })
            .contestant("threadwork", move || {
                contestant(batch, each(words), words, adds)
            })
            .contestant("threadwork-run", move || {
                contestant(batch, run(words), words, adds)
            });
        // A batch allocates its results, which some words are not worth.
        if words < 64 {
            return case;
        }
        case.goal(Goal::at_most("threadwork-run", 1.0, "single"))
    };
    [1, 8, 64, 512].map(case).into()
}

fn single(memory: &SharedMemory, _: &AtomicBatch, words: u64) -> Result<()> {
    for word in 0..words {
        memory.add(word * 4, 1_u32)?;
    }
    Ok(())
}

fn batch(memory: &SharedMemory, batch: &AtomicBatch, _: u64) -> Result<()> {
    memory.run(batch)?;
    Ok(())
}

fn each(words: u64) -> AtomicBatch {
    let mut batch = AtomicBatch::new();
    for word in 0..words {
        batch.add(word * 4, 1_u32);
    }
    batch
}

fn run(words: u64) -> AtomicBatch {
    let mut batch = AtomicBatch::new();
    batch.add_run(0, &vec![1_u32; words as usize]);
    batch
}

fn contestant(
    round: Round,
    batch: AtomicBatch,
    words: u64,
    adds: u64,
) -> Result<Box<dyn Contestant>> {
    let memory = SharedMemory::new(&Engine::new()?, 1, 1)?;
    Ok(Box::new(move || {
        let rounds = adds.div_ceil(words);
        let before: u32 = memory.load((words - 1) * 4)?;
        let start = Instant::now();
        for _ in 0..rounds {
            round(&memory, &batch, words)?;
        }
        let elapsed = start.elapsed();
        let after: u32 = memory.load((words - 1) * 4)?;
        let value = elapsed.as_nanos() as f64 / (rounds * words) as f64;
        Ok(Sample::new(value).answer(after.wrapping_sub(before)))
    }))
}
