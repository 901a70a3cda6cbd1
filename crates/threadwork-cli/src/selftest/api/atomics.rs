//! Atomics: tests 9 to 18.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use threadwork_engine::{AtomicBatch, SharedMemory, WaitResult};

use super::check::{Check, OrFail};
use super::memory;
use super::stage::{Stage, start};

/// A word, and the memory that it is in.
fn word(stage: &Stage, value: i32) -> Result<SharedMemory, String> {
    let memory = stage.memory(1, 1)?;
    memory.store(0, value).or_fail("store")?;
    Ok(memory)
}

fn load(memory: &SharedMemory) -> Result<i32, String> {
    memory.load(0).or_fail("load")
}

/// 9
pub(super) fn load_store_i32(stage: &Stage) -> Check {
    for value in [42, 0, -1, i32::MIN, i32::MAX] {
        check_eq!(load(&word(stage, value)?)?, value);
    }
    Ok(None)
}

/// 10
pub(super) fn load_store_i64(stage: &Stage) -> Check {
    let memory = stage.memory(1, 1)?;
    for value in [i64::MAX, i64::MIN, -1, 0] {
        memory.store(8, value).or_fail("store")?;
        check_eq!(memory.load::<i64>(8).or_fail("load")?, value);
    }
    Ok(None)
}

/// 11: 10 + 5
pub(super) fn add(stage: &Stage) -> Check {
    let memory = word(stage, 10)?;
    check_eq!(memory.add(0, 5).or_fail("add")?, 10);
    check_eq!(load(&memory)?, 15);
    Ok(None)
}

/// 12: 20 - 7
pub(super) fn sub(stage: &Stage) -> Check {
    let memory = word(stage, 20)?;
    check_eq!(memory.sub(0, 7).or_fail("sub")?, 20);
    check_eq!(load(&memory)?, 13);
    Ok(None)
}

/// 13
pub(super) fn bitwise(stage: &Stage) -> Check {
    let memory = word(stage, 0b1111)?;
    check_eq!(memory.and(0, 0b1010).or_fail("and")?, 0b1111);
    check_eq!(memory.or(0, 0b0101).or_fail("or")?, 0b1010);
    check_eq!(memory.xor(0, 0b1001).or_fail("xor")?, 0b1111);
    check_eq!(load(&memory)?, 0b0110);
    Ok(None)
}

/// 14: 100 becomes 200
pub(super) fn exchange(stage: &Stage) -> Check {
    let memory = word(stage, 100)?;
    check_eq!(memory.exchange(0, 200).or_fail("exchange")?, 100);
    check_eq!(load(&memory)?, 200);
    Ok(None)
}

/// 15: 50 becomes 75; then it is not 50, which is said, and nothing changes.
pub(super) fn compare_exchange(stage: &Stage) -> Check {
    let memory = word(stage, 50)?;
    check_eq!(memory.compare_exchange(0, 50, 75).or_fail("first")?, Ok(50));
    check_eq!(
        memory.compare_exchange(0, 50, 100).or_fail("second")?,
        Err(75)
    );
    check_eq!(load(&memory)?, 75);
    Ok(None)
}

/// 16: 40,000
pub(super) fn concurrent_increment(stage: &Stage) -> Check {
    memory::increments(stage, 10_000)
}

/// 17: a guest that waits is woken by this program, and this program by a guest's word.
pub(super) fn wait_notify(stage: &Stage) -> Check {
    const MILLISECONDS: u64 = 5_000;
    const SHORT: Duration = Duration::from_millis(5);
    let runtime = stage.runtime(1, 1)?;
    let memory = runtime.memory();
    let word = memory.cache_aligned(0_u32).or_fail("allocate")?;
    let at = word.offset();

    let guest = start(&runtime, "wait_for_word", [at, 0, MILLISECONDS])?;
    let woken = loop {
        match memory.notify(at, 1).or_fail("notify")? {
            0 => thread::sleep(Duration::from_millis(1)),
            woken => break woken,
        }
    };
    check_eq!((woken, guest.wait_as::<u32>().or_fail("wait")?), (1, 0));
    let guest = start(&runtime, "wait_for_word", [at, 1, MILLISECONDS])?;
    check_eq!(guest.wait_as::<u32>().or_fail("wait")?, 1);
    let guest = start(&runtime, "wait_for_word", [at, 0, 5])?;
    check_eq!(guest.wait_as::<u32>().or_fail("wait")?, 2);

    let wait = |expected| memory.wait32(at, expected, Some(SHORT)).or_fail("wait");
    check_eq!(wait(1)?, WaitResult::NotEqual);
    check_eq!(wait(0)?, WaitResult::TimedOut);
    check_eq!(memory.notify(at, 1).or_fail("notify")?, 0);
    Ok(None)
}

/// 18: an addition in a guest's memory, alone and in a batch, against a native one.
pub(super) fn atomic_cost(stage: &Stage) -> Check {
    const TIMES: u32 = 200_000;
    const BATCH: u32 = 500;
    let memory = stage.memory(1, 1)?;
    let each = |start: Instant| start.elapsed().as_secs_f64() * 1e9 / f64::from(TIMES);

    let begin = Instant::now();
    for _ in 0..TIMES {
        memory.add(0, 1_u32).or_fail("add")?;
    }
    let alone = each(begin);

    let mut batch = AtomicBatch::new();
    for _ in 0..BATCH {
        batch.add(4, 1_u32);
    }
    let begin = Instant::now();
    for _ in 0..TIMES / BATCH {
        black_box(memory.run(&batch).or_fail("batch")?);
    }
    let batched = each(begin);

    let native = AtomicU32::new(0);
    let begin = Instant::now();
    for _ in 0..TIMES {
        native.fetch_add(1, Ordering::SeqCst);
    }
    let native_cost = each(begin);

    check_eq!(memory.load::<u32>(0).or_fail("load")?, TIMES);
    check_eq!(memory.load::<u32>(4).or_fail("load")?, TIMES);
    check_eq!(native.load(Ordering::Relaxed), TIMES);
    Ok(Some(format!(
        "{alone:.1} ns, in a batch {batched:.1}, native {native_cost:.1}"
    )))
}
