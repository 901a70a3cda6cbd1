//! Atomicity: no read-modify-write loses another, or writes over its neighbours.

use std::fmt::Debug;

use threadwork_runtime::{AtomicWord, SharedMemory};

use crate::case::{Case, Check, OrFail, Property, Random};

pub(crate) const PROPERTY: Property = Property {
    name: "atomicity",
    claim: "each read-modify-write is one step, and changes its own bytes only",
    check,
    bugs: &["load-store", "wide-store", "old-value-too-new"],
};

/// A memory whose operations may have a bug.
struct Subject {
    memory: SharedMemory,
    load_store: bool,
    wide_store: bool,
    old_value_too_new: bool,
}

fn check(case: &mut Case<'_>) -> Check {
    let subject = Subject {
        memory: SharedMemory::new(1, 1).or_fail("a memory")?,
        load_store: case.has_bug("load-store"),
        wide_store: case.has_bug("wide-store"),
        old_value_too_new: case.has_bug("old-value-too-new"),
    };
    match case.below(5) {
        _ if subject.wide_store => neighbours(case, &subject),
        0 => match case.below(5) {
            0 => sums::<i32>(case, &subject),
            1 => sums::<i64>(case, &subject),
            2 => sums::<u8>(case, &subject),
            3 => sums::<u16>(case, &subject),
            _ => sums::<u32>(case, &subject),
        },
        1 => tickets(case, &subject),
        2 => bits(case, &subject),
        3 => exchanges(case, &subject),
        _ => neighbours(case, &subject),
    }
}

impl Subject {
    /// Adds, and returns the value before.
    fn add<T: Word>(&self, offset: usize, value: T, random: &mut Random) -> Result<T, String> {
        let memory = &self.memory;
        let added = if self.load_store {
            let old = memory.load::<T>(offset).or_fail("load")?;
            random.pause();
            memory.store(offset, old.plus(value)).or_fail("store")?;
            old
        } else if self.wide_store {
            let word = offset & !3;
            let mut bytes = memory.load::<u32>(word).or_fail("load")?.to_ne_bytes();
            bytes[offset - word] = bytes[offset - word].wrapping_add(1);
            memory.store(word, u32::from_ne_bytes(bytes)).or_fail("store")?;
            value
        } else {
            memory.add(offset, value).or_fail("add")?
        };
        if self.old_value_too_new { memory.load(offset).or_fail("load") } else { Ok(added) }
    }
}

/// Integers of which a test can make sums.
trait Word: AtomicWord + PartialEq + Debug {
    fn truncate(value: u64) -> Self;
    fn plus(self, other: Self) -> Self;
}

macro_rules! words {
    ($($type:ty)*) => {$(
        impl Word for $type {
            fn truncate(value: u64) -> Self {
                value as Self
            }

            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
        }
    )*};
}

words! { i32 i64 u8 u16 u32 }

/// An offset for `T` anywhere in the page.
fn offset<T>(random: &mut Random) -> usize {
    size_of::<T>() * random.below((SharedMemory::PAGE / size_of::<T>()) as u32) as usize
}

/// Whatever is added and subtracted, all of it is in the sum.
fn sums<T: Word>(case: &mut Case<'_>, subject: &Subject) -> Check {
    let (threads, rounds) = (case.between(2, 6), case.between(1, 200));
    let word = offset::<T>(case);
    let total = std::sync::Mutex::new(T::truncate(0));
    case.on_threads(threads, |_, random| {
        let mut sum = T::truncate(0);
        for _ in 0..rounds {
            let value = random.next();
            let change = if random.one_in(2) {
                subject.add(word, T::truncate(value), random)?;
                value
            } else {
                subject.memory.sub(word, T::truncate(value)).or_fail("sub")?;
                value.wrapping_neg()
            };
            sum = sum.plus(T::truncate(change));
        }
        let mut total = total.lock().map_err(|_| "poisoned")?;
        *total = total.plus(sum);
        Ok(())
    })?;
    check_eq!(
        subject.memory.load::<T>(word).or_fail("load")?,
        *total.lock().map_err(|_| "poisoned")?
    );
    Ok(())
}

/// The old values of `add 1` are all numbers, each once, and grow in each thread.
fn tickets(case: &mut Case<'_>, subject: &Subject) -> Check {
    let (threads, rounds) = (case.between(2, 6), case.between(1, 200));
    let word = offset::<u32>(case);
    let all = std::sync::Mutex::new(Vec::new());
    case.on_threads(threads, |_, random| {
        let mut mine = Vec::new();
        for _ in 0..rounds {
            mine.push(subject.add(word, 1_u32, random)?);
        }
        check!(mine.is_sorted_by(|a, b| a < b), "one thread's tickets go back: {mine:?}");
        all.lock().map_err(|_| "poisoned")?.append(&mut mine);
        Ok(())
    })?;
    let mut all = all.into_inner().map_err(|_| "poisoned")?;
    all.sort_unstable();
    check!(all.iter().copied().eq(0..threads * rounds), "tickets are missing, or twice: {all:?}");
    Ok(())
}

/// Each thread owns bits of one word, and finds them as it left them.
fn bits(case: &mut Case<'_>, subject: &Subject) -> Check {
    let (threads, rounds) = (case.between(2, 8), case.between(1, 200));
    let word = offset::<u32>(case);
    let memory = &subject.memory;
    let (load_store, too_new) = (subject.load_store, subject.old_value_too_new);
    case.on_threads(threads, |index, random| {
        let own = 0xf << (4 * index);
        let mut mine = 0;
        for _ in 0..rounds {
            let mask = own & random.next() as u32;
            let change = random.below(3);
            let old = if load_store {
                let old = memory.load::<u32>(word).or_fail("load")?;
                random.pause();
                memory.store(word, changed(old, change, mask, own)).or_fail("store")?;
                old
            } else {
                match change {
                    0 => memory.or(word, mask),
                    1 => memory.and(word, mask | !own),
                    _ => memory.xor(word, mask),
                }
                .or_fail("change")?
            };
            let old = if too_new { memory.load(word).or_fail("load")? } else { old };
            check!(old & own == mine, "{:#x} in the bits {own:#x}, where {mine:#x} was", old & own);
            mine = changed(mine, change, mask, own) & own;
        }
        Ok(())
    })
}

/// What `or`, `and` or `xor` with a mask inside of `own` makes of a value.
fn changed(value: u32, change: u32, mask: u32, own: u32) -> u32 {
    match change {
        0 => value | mask,
        1 => value & (mask | !own),
        _ => value ^ mask,
    }
}

/// Values go from hand to hand by exchange: none is lost, and none is there twice. And
/// of those that compare, as many win as the word counts.
fn exchanges(case: &mut Case<'_>, subject: &Subject) -> Check {
    let (threads, rounds) = (case.between(2, 6), case.between(1, 100));
    let (word, counter) = (0, 8);
    let memory = &subject.memory;
    let load_store = subject.load_store || subject.old_value_too_new;
    let seen = std::sync::Mutex::new(Vec::new());
    case.on_threads(threads, |index, random| {
        let mut mine = Vec::new();
        for round in 1..=rounds {
            let value = index * rounds + round;
            let old = if load_store {
                let old = memory.load::<u32>(word).or_fail("load")?;
                random.pause();
                memory.store(word, value).or_fail("store")?;
                old
            } else {
                memory.exchange(word, value).or_fail("exchange")?
            };
            mine.push(old);
            let mut count = memory.load::<i64>(counter).or_fail("load")?;
            loop {
                let before = memory.compare_exchange(counter, count, count + 1);
                match before.or_fail("compare")? {
                    same if same == count => break,
                    other => count = other,
                }
            }
        }
        seen.lock().map_err(|_| "poisoned")?.append(&mut mine);
        Ok(())
    })?;
    let mut seen = seen.into_inner().map_err(|_| "poisoned")?;
    seen.push(memory.load(word).or_fail("load")?);
    seen.sort_unstable();
    let all = 0..=threads * rounds;
    check!(seen.iter().copied().eq(all), "values are missing, or twice: {seen:?}");
    check_eq!(memory.load::<i64>(counter).or_fail("load")?, i64::from(threads * rounds));
    Ok(())
}

/// Threads count in bytes side by side.
fn neighbours(case: &mut Case<'_>, subject: &Subject) -> Check {
    let (threads, rounds) = (case.between(2, 6), case.between(1, 200));
    let start = 8 * case.below(1_000) as usize;
    case.on_threads(threads, |index, random| {
        for _ in 0..rounds {
            random.pause();
            subject.add(start + index as usize, 1_u8, random)?;
        }
        Ok(())
    })?;
    for index in 0..8 {
        let expected = if index < threads { rounds as u8 } else { 0 };
        let count = subject.memory.load::<u8>(start + index as usize).or_fail("load")?;
        check!(count == expected, "byte {index} is {count}, not {expected}");
    }
    Ok(())
}
