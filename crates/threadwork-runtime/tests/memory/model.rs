//! Random operations, against the same on a vector of bytes. What is right and what is an
//! error is derived here anew, from the rules.

use threadwork_runtime::{AtomicBatch, AtomicWord, MemoryError, SharedMemory};

use crate::support::{Random, rounds};

const PAGE: usize = SharedMemory::PAGE;

/// A memory, and what it should be.
struct Pair {
    memory: SharedMemory,
    bytes: Vec<u8>,
    max_pages: u32,
    random: Random,
}

/// A word of the model: its bytes are its value.
trait Word: AtomicWord + PartialEq + std::fmt::Debug {
    fn of(bytes: &[u8]) -> Self;
    fn bytes(self) -> Vec<u8>;
    fn random(random: &mut Random) -> Self;
    fn update(name: usize, old: Self, operand: Self) -> Self;
    fn extended(self) -> i64;
}

macro_rules! word {
    ($($type:ty)*) => {$(
        impl Word for $type {
            fn of(bytes: &[u8]) -> Self {
                <$type>::from_ne_bytes(bytes.try_into().unwrap())
            }

            fn bytes(self) -> Vec<u8> {
                self.to_ne_bytes().to_vec()
            }

            fn random(random: &mut Random) -> Self {
                // Small ones, so that comparisons succeed now and then.
                match random.below(2) {
                    0 => random.below(3) as $type,
                    _ => <$type>::from_ne_bytes(random.bytes()),
                }
            }

            fn update(name: usize, old: Self, operand: Self) -> Self {
                match name {
                    0 => old.wrapping_add(operand),
                    1 => old.wrapping_sub(operand),
                    2 => old & operand,
                    3 => old | operand,
                    4 => old ^ operand,
                    _ => operand,
                }
            }

            fn extended(self) -> i64 {
                self as i64
            }
        }
    )*};
}

word!(i8 u8 i16 u16 i32 u32 i64 u64);

fn update<T: AtomicWord>(
    name: usize,
    memory: &SharedMemory,
    offset: usize,
    by: T,
) -> Result<T, MemoryError> {
    match name {
        0 => memory.add(offset, by),
        1 => memory.sub(offset, by),
        2 => memory.and(offset, by),
        3 => memory.or(offset, by),
        4 => memory.xor(offset, by),
        _ => memory.exchange(offset, by),
    }
}

fn batched<T: AtomicWord>(name: usize, batch: AtomicBatch, offset: usize, by: T) -> AtomicBatch {
    match name {
        0 => batch.add(offset, by),
        1 => batch.sub(offset, by),
        2 => batch.and(offset, by),
        3 => batch.or(offset, by),
        4 => batch.xor(offset, by),
        _ => batch.exchange(offset, by),
    }
}

impl Pair {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let min_pages = random.below(4) as u32;
        let max_pages = min_pages + random.below(9) as u32;
        Pair {
            memory: SharedMemory::new(min_pages, max_pages).unwrap(),
            bytes: vec![0; min_pages as usize * PAGE],
            max_pages,
            random,
        }
    }

    /// Mostly near the borders of pages and the end, and mostly aligned.
    fn offset(&mut self) -> usize {
        let pages = self.bytes.len() / PAGE;
        let border = self.random.below(pages as u64 + 1) as usize * PAGE;
        let offset = match self.random.below(16) {
            0 => self.random.next() as usize,
            1 => usize::MAX - self.random.below(16) as usize,
            _ => (border + self.random.below(48) as usize).saturating_sub(24),
        };
        match self.random.below(4) {
            0 => offset,
            _ => offset & !7,
        }
    }

    fn expect(&self, offset: usize, len: usize, align: usize) -> Result<(), MemoryError> {
        let size = self.bytes.len();
        if !offset.is_multiple_of(align) {
            return Err(MemoryError::Unaligned { offset, align });
        }
        match offset.checked_add(len) {
            Some(end) if end <= size => Ok(()),
            _ => Err(MemoryError::OutOfBounds { offset, size, len }),
        }
    }

    fn bytes(&mut self) {
        let (offset, len) = (self.offset(), self.random.below(40) as usize);
        let expected = self.expect(offset, len, 1);
        if self.random.below(2) == 0 {
            let from: Vec<u8> = (0..len).map(|_| self.random.next() as u8).collect();
            assert_eq!(self.memory.write_bytes(offset, &from), expected);
            if expected.is_ok() {
                self.bytes[offset..offset + len].copy_from_slice(&from);
            }
        } else {
            let mut to = vec![0x5a; len];
            assert_eq!(self.memory.read_bytes(offset, &mut to), expected);
            match expected {
                Ok(()) => assert_eq!(to, self.bytes[offset..offset + len]),
                Err(_) => assert_eq!(to, vec![0x5a; len]),
            }
        }
    }

    fn word<T: Word>(&mut self) {
        let (offset, size) = (self.offset(), size_of::<T>());
        let plain = self.expect(offset, size, 1);
        let atomic = self.expect(offset, size, size);
        let old = plain.map(|()| T::of(&self.bytes[offset..offset + size]));
        let value = T::random(&mut self.random);
        let name = self.random.below(6) as usize;
        let mut new = None;
        match self.random.below(8) {
            0 => assert_eq!(self.memory.read::<T>(offset), old),
            1 => {
                assert_eq!(self.memory.write(offset, value), plain);
                new = plain.is_ok().then_some(value);
            }
            2 => assert_eq!(self.memory.load::<T>(offset), atomic.and(old)),
            3 => {
                assert_eq!(self.memory.store(offset, value), atomic);
                new = atomic.is_ok().then_some(value);
            }
            4 => {
                let expected = T::random(&mut self.random);
                let found = self.memory.compare_exchange(offset, expected, value);
                assert_eq!(found, atomic.and(old));
                new = (found == Ok(expected)).then_some(value);
            }
            5 => {
                let found = update(name, &self.memory, offset, value);
                assert_eq!(found, atomic.and(old));
                new = found.ok().map(|found| T::update(name, found, value));
            }
            _ => {
                // In a batch with one that does nothing, if that is inside.
                let batch = batched(name, AtomicBatch::new(), offset, value).load::<u8>(0);
                let expected = atomic.and(self.expect(0, 1, 1));
                let found = batch.run(&self.memory);
                assert_eq!(found.as_ref().map(drop).map_err(|error| *error), expected);
                if let Ok(results) = found {
                    let old = old.unwrap();
                    assert_eq!(results[0], old.extended());
                    new = Some(T::update(name, old, value));
                }
            }
        }
        if let Some(new) = new {
            self.bytes[offset..offset + size].copy_from_slice(&new.bytes());
        }
    }

    fn run<T: Word>(&mut self) {
        let (offset, size) = (self.offset(), size_of::<T>());
        let count = self.random.below(6) as usize;
        let expected = self.expect(offset, count * size, size);
        let inside = expected.is_ok();
        let words = |bytes: &[u8]| -> Vec<T> { bytes.chunks(size).map(T::of).collect() };
        let old = inside.then(|| words(&self.bytes[offset..offset + count * size]));
        let mut values: Vec<T> = (0..count).map(|_| T::random(&mut self.random)).collect();
        let given = values.clone();
        let new: Vec<T> = match self.random.below(4) {
            0 => {
                assert_eq!(self.memory.load_run(offset, &mut values), expected);
                assert_eq!(values, old.clone().unwrap_or(given));
                values
            }
            1 => {
                assert_eq!(self.memory.store_run(offset, &values), expected);
                values
            }
            2 => {
                let value = T::random(&mut self.random);
                assert_eq!(self.memory.fill_run(offset, count, value), expected);
                vec![value; count]
            }
            _ => {
                assert_eq!(self.memory.add_run(offset, &mut values), expected);
                let old = old.clone().unwrap_or(given.clone());
                assert_eq!(values, old);
                old.iter()
                    .zip(&given)
                    .map(|(old, by)| T::update(0, *old, *by))
                    .collect()
            }
        };
        if inside {
            let bytes: Vec<u8> = new.into_iter().flat_map(T::bytes).collect();
            self.bytes[offset..offset + count * size].copy_from_slice(&bytes);
        }
    }

    fn grow(&mut self) {
        let delta = self.random.below(3) as u32;
        let pages = (self.bytes.len() / PAGE) as u32;
        let expected = match pages + delta <= self.max_pages {
            true => Ok(pages),
            false => Err(MemoryError::Maximum {
                pages,
                delta,
                max_pages: self.max_pages,
            }),
        };
        assert_eq!(self.memory.grow(delta), expected);
        if expected.is_ok() {
            self.bytes.resize((pages + delta) as usize * PAGE, 0);
        }
        assert_eq!(self.memory.size(), self.bytes.len());
    }

    fn step(&mut self) {
        macro_rules! any {
            ($method:ident) => {
                match self.random.below(8) {
                    0 => self.$method::<i8>(),
                    1 => self.$method::<u8>(),
                    2 => self.$method::<i16>(),
                    3 => self.$method::<u16>(),
                    4 => self.$method::<i32>(),
                    5 => self.$method::<u32>(),
                    6 => self.$method::<i64>(),
                    _ => self.$method::<u64>(),
                }
            };
        }
        match self.random.below(40) {
            0 => self.grow(),
            1..8 => self.bytes(),
            8..16 => any!(run),
            _ => any!(word),
        }
    }

    fn check_all(&self) {
        let mut all = vec![0; self.bytes.len()];
        self.memory.read_bytes(0, &mut all).unwrap();
        assert!(all == self.bytes);
    }
}

#[test]
#[cfg_attr(miri, ignore = "mixed widths: -Zmiri-disable-weak-memory-emulation")]
fn random_operations_do_what_they_do_to_bytes() {
    let (seeds, steps) = if cfg!(miri) {
        (2, 100)
    } else {
        (rounds(100), 1000)
    };
    for seed in 0..seeds {
        let mut pair = Pair::new(u64::from(seed) + 1);
        for _ in 0..steps {
            pair.step();
        }
        if !cfg!(miri) {
            pair.check_all();
        }
    }
}
