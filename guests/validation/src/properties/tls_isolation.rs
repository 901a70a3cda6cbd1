//! What a thread keeps in its own storage no other thread sees.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

use threadwork::{ThreadBound, ThreadLocal};
use threadwork_runtime::ThreadLocalStorage;

use crate::case::{Case, Check, OrFail, Property, Random};

pub(crate) const PROPERTY: Property = Property {
    name: "tls_isolation",
    claim: "slots and thread-local values are their thread's own, begin fresh, and are dropped",
    check,
    bugs: &["shared-slots", "leaked-values", "unchecked-keys"],
};

fn check(case: &mut Case<'_>) -> Check {
    match case.below(3) {
        _ if case.has_bug("shared-slots") || case.has_bug("unchecked-keys") => slots(case),
        _ if case.has_bug("leaked-values") => values_are_dropped(case),
        0 => slots(case),
        1 => sums(case),
        _ => values_are_dropped(case),
    }
}

/// The numbered slots, which may have a bug.
enum Slots {
    Own(ThreadLocalStorage),
    /// The bug: one block for all threads.
    Shared(Vec<AtomicU64>),
    /// The bug: a key that is too large comes around again.
    Unchecked(ThreadLocalStorage),
}

impl Slots {
    fn get(&self, key: usize) -> Result<u64, String> {
        match self {
            Self::Own(slots) => slots.get(key).or_fail("get"),
            Self::Shared(block) => Ok(block.get(key).ok_or("no such key")?.load(SeqCst)),
            Self::Unchecked(slots) => slots.get(key % slots.keys()).or_fail("get"),
        }
    }

    fn set(&self, key: usize, value: u64) -> Check {
        match self {
            Self::Own(slots) => slots.set(key, &value).or_fail("set"),
            Self::Shared(block) => {
                block.get(key).ok_or("no such key")?.store(value, SeqCst);
                Ok(())
            }
            Self::Unchecked(slots) => slots.set(key % slots.keys(), &value).or_fail("set"),
        }
    }
}

/// Each thread remembers what it has set, and finds it, and zero where it has set nothing.
fn slots(case: &mut Case<'_>) -> Check {
    let keys = case.between(1, 32) as usize;
    let storage = || ThreadLocalStorage::new(8 * keys);
    let slots = if case.has_bug("shared-slots") {
        Slots::Shared((0..keys).map(|_| AtomicU64::new(0)).collect())
    } else if case.has_bug("unchecked-keys") {
        Slots::Unchecked(storage())
    } else {
        Slots::Own(storage())
    };
    let (threads, rounds) = (case.between(2, 8), case.between(1, 100));
    case.on_threads(threads, |_, random| {
        let mut model = vec![0; keys];
        for _ in 0..rounds {
            let key = random.below(keys as u32) as usize;
            if random.one_in(2) {
                model[key] = random.next();
                slots.set(key, model[key])?;
            }
            random.pause();
            check_eq!(slots.get(key)?, model[key]);
            let bad_key = keys + random.below(10) as usize;
            check!(slots.get(bad_key).is_err(), "a key of {bad_key}, and there are {keys}");
            check!(slots.set(bad_key, 1).is_err(), "a key of {bad_key}, and there are {keys}");
        }
        Ok(())
    })
}

/// Each thread adds to a value of its own, and together they are the sum.
fn sums(case: &mut Case<'_>) -> Check {
    let sums = ThreadLocal::<Cell<u64>>::new();
    let (threads, rounds) = (case.between(2, 8), case.between(1, 100));
    case.on_threads(threads, |_, random| {
        let add = |step| {
            sums.with_or(Cell::default, |sum| {
                sum.set(sum.get() + step);
                sum.get()
            })
        };
        let before = add(0);
        for round in 1..=u64::from(rounds) {
            random.pause();
            check_eq!(add(1), before + round);
        }
        Ok(())
    })?;
    let total: u64 = sums.into_iter().map(Cell::into_inner).sum();
    check_eq!(total, u64::from(threads * rounds));
    Ok(())
}

/// A value that says when it is dropped.
struct Mourned(Arc<AtomicU32>);

impl Drop for Mourned {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// A value is made once for each thread, and dropped when its thread ends, or the object.
fn values_are_dropped(case: &mut Case<'_>) -> Check {
    let (made, dropped) = (AtomicU32::new(0), Arc::new(AtomicU32::new(0)));
    let values = ThreadBound::new();
    let leaks = case.has_bug("leaked-values");
    let threads = case.between(2, 8);
    case.on_threads(threads, |_, random: &mut Random| {
        for _ in 0..3 {
            random.pause();
            let make = || {
                made.fetch_add(1, SeqCst);
                let value = Mourned(dropped.clone());
                if leaks {
                    std::mem::forget(Mourned(dropped.clone()));
                    made.fetch_add(1, SeqCst);
                }
                value
            };
            values.with_or(make, |_: &Mourned| {});
        }
        Ok(())
    })?;
    drop(values);
    check!(made.load(SeqCst) >= threads, "{} values for {threads} threads", made.load(SeqCst));
    check_eq!(dropped.load(SeqCst), made.load(SeqCst));
    Ok(())
}
