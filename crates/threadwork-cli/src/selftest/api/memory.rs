//! Shared memory: tests 1 to 8.

use threadwork_engine::MemoryError;

use super::check::{Check, OrFail};
use super::stage::{Stage, call, on_threads, start};

const PAGE: u64 = 65_536;

/// 1: a shared memory of one page.
pub(super) fn creation(stage: &Stage) -> Check {
    let memory = stage.memory(1, 1)?;
    check!(memory.is_shared(), "it is not shared");
    check_eq!((memory.size(), memory.max_size()), (PAGE, PAGE));
    check!(
        stage.memory(2, 1).is_err(),
        "it may be larger than its maximum"
    );
    Ok(None)
}

/// 2: bytes 0 to 255 are written, and read back; before that, all are zero.
pub(super) fn initialization(stage: &Stage) -> Check {
    let memory = stage.memory(1, 1)?;
    let mut bytes = [1; 256];
    memory.read_bytes(0, &mut bytes).or_fail("read")?;
    check_eq!(bytes, [0; 256]);
    for byte in 0..=255_u8 {
        memory.write(byte.into(), byte).or_fail("write")?;
    }
    for byte in 0..=255_u8 {
        check_eq!(memory.read::<u8>(byte.into()).or_fail("read")?, byte);
    }
    Ok(None)
}

/// 3: a guest and a thread of this program write side by side.
pub(super) fn multi_thread_access(stage: &Stage) -> Check {
    let runtime = stage.runtime(2, 1)?;
    let memory = runtime.memory();
    let words = memory
        .allocate(std::alloc::Layout::new::<[u32; 200]>())
        .or_fail("allocate")?;
    let guest = start(&runtime, "write_range", [words.offset(), 100, 200])?;
    for n in 0..100_u32 {
        let at = words.offset() + 4 * u64::from(n);
        memory.write(at, n).or_fail("write")?;
    }
    guest.wait().or_fail("write_range")?;
    for n in 0..200_u32 {
        let at = words.offset() + 4 * u64::from(n);
        check_eq!(memory.read::<u32>(at).or_fail("read")?, n);
    }
    Ok(None)
}

/// 4: a write behind the end, and an atomic operation that is not aligned, are errors,
/// and change nothing.
pub(super) fn bounds_checking(stage: &Stage) -> Check {
    let memory = stage.memory(1, 2)?;
    let is_outside = |result| matches!(result, Err(MemoryError::OutOfBounds { .. }));
    check!(is_outside(memory.write(PAGE, 1_i32)), "a write at the end");
    check!(
        is_outside(memory.write(PAGE - 3, 1_i32)),
        "a write across the end"
    );
    check!(is_outside(memory.store(PAGE, 1_i32)), "a store at the end");
    check!(
        is_outside(memory.write(u64::MAX - 1, 1_i32)),
        "a write at the end of all"
    );
    let is_misaligned = matches!(memory.add(2, 1_i32), Err(MemoryError::Misaligned { .. }));
    check!(is_misaligned, "an addition at 2");
    let mut bytes = vec![0; PAGE as usize];
    memory.read_bytes(0, &mut bytes).or_fail("read")?;
    check!(bytes.iter().all(|byte| *byte == 0), "something has changed");
    Ok(None)
}

/// 5: what this program adds, the guests have, on each worker.
pub(super) fn growth(stage: &Stage) -> Check {
    let runtime = stage.runtime(2, 1)?;
    let memory = runtime.memory();
    let before = memory.size();
    check_eq!(memory.grow(1).or_fail("grow")?, before / PAGE);
    check_eq!(memory.size(), before + PAGE);
    for _ in 0..4 {
        let pages = call(&runtime, "memory_pages", [])?;
        check_eq!(u64::from(pages) * PAGE, before + PAGE);
    }
    memory.write(before + PAGE - 4, 7_u32).or_fail("write")?;
    Ok(None)
}

/// 6: two memories are two.
pub(super) fn isolation(stage: &Stage) -> Check {
    let (one, two) = (stage.memory(1, 1)?, stage.memory(1, 1)?);
    one.write(0, 111_i32).or_fail("write")?;
    two.write(0, 222_i32).or_fail("write")?;
    check_eq!(one.read::<i32>(0).or_fail("read")?, 111);
    check_eq!(two.read::<i32>(0).or_fail("read")?, 222);
    Ok(None)
}

/// 7: data, fence, flag; a guest that sees the flag sees the data.
pub(super) fn fence(stage: &Stage) -> Check {
    const ROUNDS: u32 = 10_000;
    let runtime = stage.runtime(1, 1)?;
    let memory = runtime.memory();
    let flag = memory.cache_aligned(0_u32).or_fail("allocate")?;
    let data = memory.cache_aligned(0_u32).or_fail("allocate")?;
    let guest = start(
        &runtime,
        "follow",
        [flag.offset(), data.offset(), ROUNDS.into()],
    )?;
    for round in 1..=ROUNDS {
        memory.write(data.offset(), round).or_fail("write")?;
        memory.fence();
        flag.store(round);
    }
    check_eq!(guest.wait_as::<u32>().or_fail("follow")?, 0);
    Ok(None)
}

/// 8: all increments of two guests and two threads of this program are seen.
pub(super) fn visibility(stage: &Stage) -> Check {
    increments(stage, 1_000)
}

/// Four threads, two of them guests, add one so many times.
pub(super) fn increments(stage: &Stage, times: u64) -> Check {
    let runtime = stage.runtime(2, 2)?;
    let memory = runtime.memory();
    let word = memory.cache_aligned(0_u32).or_fail("allocate")?;
    let guest = || start(&runtime, "increment", [word.offset(), times]);
    let guests = [guest()?, guest()?];
    on_threads(2, |_| {
        for _ in 0..times {
            word.add(1);
        }
        Ok(())
    })?;
    for guest in guests {
        guest.wait().or_fail("increment")?;
    }
    check_eq!(u64::from(word.load()), 4 * times);
    Ok(None)
}
