//! [`Table`]: what the numbers of descriptors stand for.
//!
//! A look at one number takes that number's lock, for reading, as long as a count is
//! raised: readers keep each other from nothing, whatever descriptors they use. Opening and
//! closing take the lock of all numbers, too, for some instructions.
//!
//! Invariant: a number is free exactly if its slot is empty, whenever nobody holds the lock
//! of the numbers. What is taken out lives until its last user is done with it.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

/// Slots of the first chunk; each has twice as many as the one before.
const FIRST: u32 = 64;
const CHUNKS: usize = 15;

/// As many numbers as there can be.
const MOST: u32 = FIRST * ((1 << CHUNKS) - 1);

/// See the module's documentation.
pub(crate) struct Table<T> {
    chunks: [OnceLock<Box<[Slot<T>]>>; CHUNKS],
    numbers: Mutex<Numbers>,
}

type Slot<T> = RwLock<Option<Arc<T>>>;

/// Which numbers are in use: a bit for each.
#[derive(Default)]
struct Numbers {
    used: Vec<u64>,
    /// No word before this one has a bit that is 0.
    first: usize,
}

/// There is no number left.
#[derive(Debug)]
pub(crate) struct Full;

/// A number stands for nothing.
#[derive(Debug)]
pub(crate) struct NotOpen;

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            chunks: [const { OnceLock::new() }; CHUNKS],
            numbers: Mutex::default(),
        }
    }
}

impl<T> Table<T> {
    /// What the number stands for.
    pub(crate) fn get(&self, number: u32) -> Option<Arc<T>> {
        let slot = self.slot(number)?;
        slot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives it the lowest number that is free.
    pub(crate) fn insert(&self, value: T) -> Result<u32, Full> {
        let value = Arc::new(value);
        let mut numbers = self.numbers();
        let number = numbers.take_lowest()?;
        set(self.slot_or_new(number), Some(value));
        Ok(number)
    }

    /// The number is free from now on.
    pub(crate) fn remove(&self, number: u32) -> Result<Arc<T>, NotOpen> {
        let mut numbers = self.numbers();
        let slot = self.slot(number).ok_or(NotOpen)?;
        let value = set(slot, None).ok_or(NotOpen)?;
        numbers.give_back(number);
        Ok(value)
    }

    /// What `from` stands for gets the number `to`, in one step; what that stood for is
    /// returned.
    pub(crate) fn renumber(&self, from: u32, to: u32) -> Result<Option<Arc<T>>, NotOpen> {
        let mut numbers = self.numbers();
        let (Some(source), Some(target)) = (self.slot(from), self.slot(to)) else {
            return Err(NotOpen);
        };
        if !numbers.is_used(from) || !numbers.is_used(to) {
            return Err(NotOpen);
        }
        if from == to {
            return Ok(None);
        }
        // Whoever has two locks of slots has that of the numbers, too.
        let mut source = source.write().unwrap_or_else(PoisonError::into_inner);
        let mut target = target.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *target, source.take());
        numbers.give_back(from);
        Ok(before)
    }

    /// Takes everything out.
    pub(crate) fn clear(&self) {
        let mut numbers = self.numbers();
        *numbers = Numbers::default();
        let slots = self.chunks.iter().filter_map(OnceLock::get).flatten();
        let values: Vec<_> = slots.filter_map(|slot| set(slot, None)).collect();
        drop(numbers);
        drop(values);
    }

    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, number: u32) -> Option<&Slot<T>> {
        let (chunk, place) = locate(number)?;
        self.chunks[chunk].get()?.get(place)
    }

    fn slot_or_new(&self, number: u32) -> &Slot<T> {
        // Numbers that were taken are below `MOST`.
        let (chunk, place) = locate(number).unwrap_or_default();
        let slots = || (0..FIRST << chunk).map(|_| RwLock::default()).collect();
        &self.chunks[chunk].get_or_init(slots)[place]
    }
}

/// Puts `value` into a slot; returns what was there.
fn set<T>(slot: &Slot<T>, value: Option<Arc<T>>) -> Option<Arc<T>> {
    std::mem::replace(
        &mut *slot.write().unwrap_or_else(PoisonError::into_inner),
        value,
    )
}

/// The chunk of a number, and its place in there.
fn locate(number: u32) -> Option<(usize, usize)> {
    if number >= MOST {
        return None;
    }
    let shifted = number + FIRST;
    let chunk = shifted.ilog2() - FIRST.ilog2();
    Some((chunk as usize, (shifted - (FIRST << chunk)) as usize))
}

impl Numbers {
    fn take_lowest(&mut self) -> Result<u32, Full> {
        while self.used.get(self.first) == Some(&u64::MAX) {
            self.first += 1;
        }
        if self.first == self.used.len() {
            if self.first as u32 * 64 >= MOST {
                return Err(Full);
            }
            self.used.push(0);
        }
        let word = &mut self.used[self.first];
        let bit = word.trailing_ones();
        *word |= 1 << bit;
        Ok(self.first as u32 * 64 + bit)
    }

    fn give_back(&mut self, number: u32) {
        let word = number as usize / 64;
        self.used[word] &= !(1 << (number % 64));
        self.first = self.first.min(word);
    }

    fn is_used(&self, number: u32) -> bool {
        let word = self.used.get(number as usize / 64);
        word.is_some_and(|word| word & (1 << (number % 64)) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn each_number_has_a_place_of_its_own() {
        let mut last = None;
        for number in 0..10_000 {
            let place = locate(number).unwrap();
            assert!(last < Some(place));
            last = Some(place);
        }
        assert_eq!(locate(MOST - 1).unwrap().0, CHUNKS - 1);
        assert_eq!(locate(MOST), None);
        assert_eq!(locate(u32::MAX), None);
    }

    #[test]
    fn the_lowest_free_number_is_taken() {
        let table = Table::default();
        for number in 0..300 {
            assert_eq!(table.insert(number).unwrap(), number);
        }
        for number in [200, 7, 130] {
            assert_eq!(*table.remove(number).unwrap(), number);
            assert!(table.get(number).is_none());
            assert!(table.remove(number).is_err());
        }
        let again: Vec<_> = (0..4).map(|n| table.insert(n).unwrap()).collect();
        assert_eq!(again, [7, 130, 200, 300]);
    }

    #[test]
    fn renumbering_replaces_what_was_there() {
        let table = Table::default();
        for value in ["a", "b"] {
            table.insert(value).unwrap();
        }
        assert!(table.renumber(0, 2).is_err());
        assert!(table.renumber(2, 0).is_err());
        assert!(table.renumber(1, 1).unwrap().is_none());
        assert_eq!(*table.renumber(1, 0).unwrap().unwrap(), "a");
        assert_eq!(*table.get(0).unwrap(), "b");
        assert!(table.get(1).is_none());
        assert_eq!(table.insert("c").unwrap(), 1);
        table.clear();
        assert!(table.get(0).is_none());
        assert_eq!(table.insert("d").unwrap(), 0);
    }

    /// Threads open, use, renumber and close; each value is dropped once.
    #[test]
    fn nothing_is_lost_when_threads_use_it_at_the_same_time() {
        struct Counted<'a>(&'a AtomicUsize);
        impl Drop for Counted<'_> {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        const ROUNDS: usize = 2000;
        let (dropped, table) = (AtomicUsize::new(0), Table::default());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
                        let one = table.insert(Counted(&dropped)).unwrap();
                        let two = table.insert(Counted(&dropped)).unwrap();
                        for number in 0..10 {
                            drop(table.get(number));
                        }
                        table.renumber(two, one).unwrap();
                        table.remove(one).unwrap();
                    }
                });
            }
        });
        assert_eq!(dropped.load(Ordering::Relaxed), 4 * ROUNDS * 2);
        assert!((0..64).all(|number| table.get(number).is_none()));
    }
}
