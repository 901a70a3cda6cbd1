//! Atomics: tests 9 to 18.

use std::hint::black_box;
use std::time::{Duration, Instant};

use threadwork::sync::WaitResult;
use threadwork::thread;
use threadwork_runtime::{AtomicWord, SharedMemory};

use crate::check::{Check, Figure, OrFail, on_threads, until};

/// The word that all tests work on. Its neighbours are not to be changed.
const OFFSET: usize = 64;

fn memory() -> Result<SharedMemory, String> {
    SharedMemory::new(1, 1).or_fail("a memory")
}

/// A memory with this value in its word, and all bits set around it.
fn with<T: AtomicWord>(value: T) -> Result<SharedMemory, String> {
    let memory = memory()?;
    memory.write_bytes(OFFSET - 8, &[255; 8]).or_fail("write")?;
    memory.write_bytes(OFFSET + size_of::<T>(), &[255; 8]).or_fail("write")?;
    memory.store(OFFSET, value).or_fail("store")?;
    Ok(memory)
}

/// Checks that the word has this value, and that nothing around it has changed.
fn expect<T: AtomicWord + PartialEq + std::fmt::Debug>(memory: &SharedMemory, value: T) -> Check {
    check_eq!(memory.load::<T>(OFFSET).or_fail("load")?, value);
    check_eq!(memory.read::<u64>(OFFSET - 8).or_fail("before")?, u64::MAX);
    check_eq!(memory.read::<u64>(OFFSET + size_of::<T>()).or_fail("after")?, u64::MAX);
    Ok(())
}

/// Runs a check for each width that WebAssembly has.
macro_rules! each_width {
    ($check:ident) => {
        $check::<i32>()?;
        $check::<i64>()?;
        $check::<u8>()?;
        $check::<u16>()?;
        $check::<u32>()?;
    };
}

/// Integers that can be written as small numbers.
trait Small: AtomicWord + PartialEq + std::fmt::Debug + From<u8> {}
impl<T: AtomicWord + PartialEq + std::fmt::Debug + From<u8>> Small for T {}

/// 9: what is stored is loaded.
pub(crate) fn load_store_i32() -> Check {
    for value in [0, 42, -1, i32::MIN, i32::MAX] {
        expect(&with(value)?, value)?;
    }
    Ok(())
}

/// 10: 64 bits at once.
pub(crate) fn load_store_i64() -> Check {
    for value in [0, -1, i64::MIN, i64::MAX, 0x0123_4567_89ab_cdef] {
        expect(&with(value)?, value)?;
    }
    Ok(())
}

/// 11: 10 + 5: the old value is 10, the new one 15.
pub(crate) fn add() -> Check {
    fn check<T: Small>() -> Check {
        let memory = with(T::from(10))?;
        check_eq!(memory.add(OFFSET, T::from(5)).or_fail("add")?, T::from(10));
        expect(&memory, T::from(15))
    }
    each_width!(check);
    // It wraps, within its width.
    let memory = with(255_u8)?;
    check_eq!(memory.add(OFFSET, 2_u8).or_fail("add")?, 255);
    expect(&memory, 1_u8)?;
    let memory = with(i64::MAX)?;
    check_eq!(memory.add(OFFSET, 1_i64).or_fail("add")?, i64::MAX);
    expect(&memory, i64::MIN)
}

/// 12: 20 - 7: the old value is 20, the new one 13.
pub(crate) fn sub() -> Check {
    fn check<T: Small>() -> Check {
        let memory = with(T::from(20))?;
        check_eq!(memory.sub(OFFSET, T::from(7)).or_fail("sub")?, T::from(20));
        expect(&memory, T::from(13))
    }
    each_width!(check);
    let memory = with(0_u16)?;
    check_eq!(memory.sub(OFFSET, 1_u16).or_fail("sub")?, 0);
    expect(&memory, u16::MAX)
}

/// 13: and, or, xor, and the old values.
pub(crate) fn bitwise() -> Check {
    fn check<T: Small>() -> Check {
        let memory = with(T::from(0b1100))?;
        check_eq!(memory.and(OFFSET, T::from(0b0110)).or_fail("and")?, T::from(0b1100));
        expect(&memory, T::from(0b0100))?;
        check_eq!(memory.or(OFFSET, T::from(0b0011)).or_fail("or")?, T::from(0b0100));
        expect(&memory, T::from(0b0111))?;
        check_eq!(memory.xor(OFFSET, T::from(0b1101)).or_fail("xor")?, T::from(0b0111));
        expect(&memory, T::from(0b1010))
    }
    each_width!(check);
    Ok(())
}

/// 14: 100 becomes 200.
pub(crate) fn exchange() -> Check {
    fn check<T: Small>() -> Check {
        let memory = with(T::from(100))?;
        check_eq!(memory.exchange(OFFSET, T::from(200)).or_fail("exchange")?, T::from(100));
        expect(&memory, T::from(200))
    }
    each_width!(check);
    Ok(())
}

/// 15: 50 -> 75 succeeds; 50 -> 100 then fails, returns 75 and changes nothing.
pub(crate) fn compare_exchange() -> Check {
    fn check<T: Small>() -> Check {
        let memory = with(T::from(50))?;
        let old = memory.compare_exchange(OFFSET, T::from(50), T::from(75));
        check_eq!(old.or_fail("the first")?, T::from(50));
        let old = memory.compare_exchange(OFFSET, T::from(50), T::from(100));
        check_eq!(old.or_fail("the second")?, T::from(75));
        expect(&memory, T::from(75))
    }
    each_width!(check);
    Ok(())
}

/// 16: 4 threads x 10,000 increments are 40,000.
pub(crate) fn concurrent_increment() -> Check {
    let memory = with(0_i32)?;
    on_threads(4, |_| {
        for _ in 0..10_000 {
            memory.add(OFFSET, 1_i32).or_fail("add")?;
        }
        Ok(())
    })?;
    expect(&memory, 40_000)?;

    // Neighbours in one word: none writes over the others.
    let memory = self::memory()?;
    on_threads(4, |index| {
        for _ in 0..10_000 {
            memory.add(OFFSET + index as usize, 1_u8).or_fail("add")?;
        }
        Ok(())
    })?;
    check_eq!(memory.load::<u32>(OFFSET).or_fail("load")?, u32::from_ne_bytes([16; 4]));
    check_eq!(10_000 % 256, 16);
    Ok(())
}

/// 17: a waiter is woken by a notify of 1, which says so; also `NotEqual` and `TimedOut`.
pub(crate) fn wait_notify() -> Check {
    const LONG: Option<Duration> = Some(Duration::from_secs(5));
    const SHORT: Duration = Duration::from_millis(20);
    let memory = memory()?;

    check_eq!(memory.wait32(OFFSET, 1, LONG).or_fail("wait32")?, WaitResult::NotEqual);
    check_eq!(memory.wait64(OFFSET, 1, LONG).or_fail("wait64")?, WaitResult::NotEqual);
    check_eq!(memory.notify(OFFSET, 1).or_fail("notify")?, 0);
    let start = Instant::now();
    check_eq!(memory.wait32(OFFSET, 0, Some(SHORT)).or_fail("wait32")?, WaitResult::TimedOut);
    check_eq!(memory.wait64(OFFSET, 0, Some(SHORT)).or_fail("wait64")?, WaitResult::TimedOut);
    check!(start.elapsed() >= 2 * SHORT, "waits of {SHORT:?} end too early");

    let wait32 = || memory.wait32(OFFSET, 0, LONG);
    let wait64 = || memory.wait64(OFFSET, 0, LONG);
    for wait in [&wait32 as &(dyn Fn() -> _ + Sync), &wait64] {
        thread::scope(|scope| {
            let waiter = scope.spawn(wait);
            // The waiter may be late: a notify that finds nobody wakes nobody.
            let mut woken = 0;
            until(|| {
                woken = memory.notify(OFFSET, 1).unwrap_or(99);
                woken > 0
            });
            let result = waiter.join().map_err(|_| "the waiter panicked")?.or_fail("wait")?;
            check_eq!(result, WaitResult::Woken);
            check_eq!(woken, 1);
            Ok::<_, String>(())
        })?;
    }

    // A count wakes so many of them, and no more.
    thread::scope(|scope| {
        let waiters: Vec<_> = (0..4).map(|_| scope.spawn(wait32)).collect();
        let mut woken = 0;
        until(|| {
            woken += memory.notify(OFFSET, 3 - woken).unwrap_or(99);
            woken >= 3
        });
        check_eq!(woken, 3);
        until(|| waiters.iter().filter(|waiter| waiter.is_finished()).count() >= 3);
        until(|| memory.notify(OFFSET, u32::MAX) == Ok(1));
        for waiter in waiters {
            let result = waiter.join().map_err(|_| "a waiter panicked")?;
            check_eq!(result.or_fail("wait")?, WaitResult::Woken);
        }
        Ok(())
    })
}

/// 18: one add, in a loop that nobody disturbs.
pub(crate) fn atomic_cost() -> Figure {
    const ROUNDS: i32 = 10_000_000;
    let memory = memory()?;
    let word = memory.i32(OFFSET).or_fail("a view")?;
    let start = Instant::now();
    for _ in 0..ROUNDS {
        black_box(word).fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
    let nanoseconds = start.elapsed().as_nanos() as f64 / f64::from(ROUNDS);
    check_eq!(memory.load::<i32>(OFFSET).or_fail("load")?, ROUNDS);
    Ok(format!("{nanoseconds:.1} ns"))
}
