//! Shared memory: tests 1 to 8.

use threadwork::sync::Barrier;
use threadwork_runtime::{MemoryError, SharedMemory};

use crate::check::{Check, OrFail, on_threads};

const WORD: usize = size_of::<i32>();

/// A memory that may have up to ten pages.
fn memory(pages: u32) -> Result<SharedMemory, String> {
    SharedMemory::new(pages, 10).or_fail("a memory")
}

/// 1: a shared memory of one page.
pub(crate) fn creation() -> Check {
    let memory = memory(1)?;
    check!(memory.is_shared(), "it is not shared");
    check_eq!(memory.size(), 65_536);
    check_eq!(memory.read::<u64>(65_528).or_fail("the last word")?, 0);
    for (least, most) in [(2, 1), (0, SharedMemory::MAX_PAGES + 1)] {
        let refused = SharedMemory::new(least, most);
        check!(refused.is_err(), "a memory of {least} to {most} pages");
    }
    Ok(())
}

/// 2: bytes 0..256 written and read back.
pub(crate) fn initialization() -> Check {
    let memory = memory(1)?;
    for byte in 0..=255_u8 {
        memory.write(byte.into(), byte).or_fail("write")?;
    }
    for byte in 0..=255_u8 {
        check_eq!(memory.read::<u8>(byte.into()).or_fail("read")?, byte);
    }
    let mut all = [0; 256];
    memory.read_bytes(0, &mut all).or_fail("read all")?;
    check!(all.iter().copied().eq(0..=255), "read at once: {all:?}");
    Ok(())
}

/// 3: two threads write the words 0..100 and 100..200 side by side.
pub(crate) fn multi_thread_access() -> Check {
    let memory = memory(1)?;
    on_threads(2, |index| {
        let first = 100 * index as usize;
        for word in first..first + 100 {
            memory.write(WORD * word, word as i32).or_fail("write")?;
        }
        Ok(())
    })?;
    for word in 0..200 {
        check_eq!(memory.read::<i32>(WORD * word).or_fail("read")?, word as i32);
    }
    Ok(())
}

/// 4: what lies past the end, or an atomic that is not aligned, is an error, and nothing
/// changes.
pub(crate) fn bounds_checking() -> Check {
    let memory = memory(1)?;
    let end = memory.size();
    memory.write(end - WORD, 77).or_fail("the last word")?;

    for offset in [end, end - 1, end - WORD + 1, usize::MAX, usize::MAX - WORD + 1] {
        let outside = |outcome: Result<(), MemoryError>| {
            matches!(outcome, Err(MemoryError::OutOfBounds { .. }))
        };
        check!(outside(memory.write(offset, -1_i32)), "a write at {offset}");
        check!(outside(memory.read::<i32>(offset).map(drop)), "a read at {offset}");
        check!(outside(memory.write_bytes(offset, &[255; 8])), "bytes at {offset}");
    }
    for offset in [end, usize::MAX - WORD + 1] {
        let stored = memory.store(offset, -1_i32);
        let is_outside = matches!(stored, Err(MemoryError::OutOfBounds { .. }));
        check!(is_outside, "an atomic store at {offset}");
    }
    for offset in [1, 2, 3, end - 1] {
        let unaligned = |outcome: Result<(), MemoryError>| {
            matches!(outcome, Err(MemoryError::Unaligned { .. }))
        };
        check!(unaligned(memory.store(offset, -1_i32)), "an unaligned store at {offset}");
        check!(unaligned(memory.add(offset, 1_i32).map(drop)), "an unaligned add at {offset}");
        let woken = memory.notify(offset, 1);
        check!(unaligned(woken.map(drop)), "an unaligned notify at {offset}");
        let waited = memory.wait32(offset, 0, None);
        check!(unaligned(waited.map(drop)), "an unaligned wait at {offset}");
    }
    check!(memory.store(4, 1_i64).is_err(), "8 bytes aligned to 4");

    check_eq!(memory.load::<i32>(end - WORD).or_fail("load")?, 77);
    check_eq!(memory.load::<i32>(0).or_fail("load")?, 0);
    check_eq!(memory.load::<i64>(0).or_fail("load")?, 0);
    Ok(())
}

/// 5: a page more, in every thread, and nothing has moved.
pub(crate) fn growth() -> Check {
    const THREADS: u32 = 4;
    let memory = memory(1)?;
    let before = memory.size();
    memory.write(0, 42_i32).or_fail("write")?;
    let word = memory.i32(0).or_fail("a view")?;
    let (all_have_looked, it_has_grown) = (Barrier::new(THREADS), Barrier::new(THREADS));
    on_threads(THREADS, |index| {
        let new_word = before + WORD * index as usize;
        let too_soon = memory.size() != before || memory.read::<i32>(new_word).is_ok();
        all_have_looked.wait();
        let grown = (index == 0).then(|| memory.grow(1));
        it_has_grown.wait();
        check!(!too_soon, "the page is there too soon");
        if let Some(pages_before) = grown {
            check_eq!(pages_before, Ok(1));
        }
        check_eq!(memory.size(), before + 65_536);
        check_eq!(memory.read::<i32>(new_word).or_fail("the new page")?, 0);
        memory.write(new_word, index as i32 + 1).or_fail("the new page")?;
        word.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Ok(())
    })?;
    check_eq!(memory.read::<i32>(0).or_fail("the old page")?, 42 + THREADS as i32);
    for index in 0..THREADS as usize {
        check_eq!(memory.read::<i32>(before + WORD * index).or_fail("read")?, index as i32 + 1);
    }
    check!(memory.grow(9).is_err(), "it has grown beyond its maximum");
    check_eq!(memory.size(), before + 65_536);
    Ok(())
}

/// 6: two memories have nothing in common.
pub(crate) fn isolation() -> Check {
    let (first, second) = (memory(1)?, memory(1)?);
    first.write(0, 111_i32).or_fail("write")?;
    second.write(0, 222_i32).or_fail("write")?;
    check_eq!(first.read::<i32>(0).or_fail("read")?, 111);
    check_eq!(second.read::<i32>(0).or_fail("read")?, 222);
    first.grow(1).or_fail("grow")?;
    check_eq!(second.size(), 65_536);
    Ok(())
}

/// 7: data, fence, flag; the reader that sees the flag sees the data.
pub(crate) fn fence() -> Check {
    const ROUNDS: i32 = 2_000;
    const FLAG: usize = 0;
    const DATA: usize = 1024;
    const WORDS: usize = 8;
    let memory = memory(1)?;
    let next_round = Barrier::new(2);
    on_threads(2, |index| {
        // Who is wrong goes on: the other would wait for it for ever.
        let mut outcome = Ok(());
        for round in 1..=ROUNDS {
            if index == 0 {
                for word in 0..WORDS {
                    memory.write(DATA + WORD * word, round).or_fail("write")?;
                }
                memory.fence();
                memory.store(FLAG, round).or_fail("the flag")?;
            } else {
                while memory.load::<i32>(FLAG).or_fail("the flag")? != round {
                    std::hint::spin_loop();
                }
                memory.fence();
                for word in 0..WORDS {
                    outcome = outcome.and_then(|()| expect(&memory, DATA + WORD * word, round));
                }
            }
            next_round.wait();
        }
        outcome
    })
}

fn expect(memory: &SharedMemory, offset: usize, value: i32) -> Check {
    check_eq!(memory.read::<i32>(offset).or_fail("read")?, value);
    Ok(())
}

/// 8: all atomic increments are seen, each time.
///
/// A plain increment would lose some, or not, as it pleases: that is a data race, which a
/// race detector can show and no test.
pub(crate) fn visibility() -> Check {
    const THREADS: u32 = 4;
    const ROUNDS: i32 = 50;
    let memory = memory(1)?;
    let meet = Barrier::new(THREADS);
    on_threads(THREADS, |_| {
        let mut outcome = Ok(());
        for round in 1..=ROUNDS {
            for _ in 0..1_000 {
                memory.add(0, 1_i32).or_fail("add")?;
            }
            meet.wait();
            outcome = outcome.and_then(|()| expect(&memory, 0, round * 4_000));
            meet.wait();
        }
        outcome
    })
}
