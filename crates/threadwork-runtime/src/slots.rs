//! Numbered slots: a block of bytes for each thread, zero at first.

use std::cell::Cell;

use thiserror::Error;
use threadwork::ThreadBound;

use crate::shared_memory::plain::{self, Plain};

/// The unit of a block: each key names one.
const SLOT: usize = size_of::<u64>();

/// A block of so many bytes for each thread, in slots of 8 bytes that are numbered by keys
/// from 0 on.
///
/// A slot holds any [`Plain`] value, and is zero until the thread sets it. What is longer
/// than 8 bytes takes the next keys, too. The accesses are plain loads and stores of the
/// calling thread's own block, which is freed when the thread ends: the next one begins
/// with zeros.
///
/// For values of any type, and without numbers, there is
/// [`ThreadLocal`](threadwork::ThreadLocal).
///
/// # Example
///
/// ```
/// use threadwork_runtime::ThreadLocalStorage;
///
/// let slots = ThreadLocalStorage::new(1024);
/// slots.set(7, &1.5_f64)?;
/// std::thread::scope(|scope| {
///     scope.spawn(|| assert_eq!(slots.get::<f64>(7), Ok(0.0), "not ours"));
/// });
/// assert_eq!(slots.get::<f64>(7)?, 1.5);
/// assert!(slots.set(128, &0_u8).is_err(), "1024 bytes are 128 slots");
/// # Ok::<(), threadwork_runtime::SlotError>(())
/// ```
#[derive(Debug)]
pub struct ThreadLocalStorage {
    keys: usize,
    blocks: ThreadBound<Box<[Cell<u64>]>>,
}

/// Why a slot was neither read nor written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SlotError {
    /// There is no such slot.
    #[error(
        "there is no slot {key}: each thread has {keys}; use a smaller key, or a larger slot size"
    )]
    Key {
        /// The key.
        key: usize,
        /// How many there are.
        keys: usize,
    },
    /// The value does not fit.
    #[error(
        "a value of {len} bytes does not fit into the {left} bytes from slot {key} on: use a \
         smaller key, or a larger slot size"
    )]
    Size {
        /// The key.
        key: usize,
        /// The bytes of the value.
        len: usize,
        /// The bytes that there are from that slot on.
        left: usize,
    },
    /// The calling thread has no block yet, and there is no memory for one.
    #[error("no memory for the {slot_size} bytes of a thread's slots: use a smaller slot size")]
    OutOfMemory {
        /// The bytes of each thread.
        slot_size: usize,
    },
}

impl ThreadLocalStorage {
    /// Blocks of `slot_size` bytes, rounded down to whole slots of 8. A thread's block is
    /// allocated when it first sets one.
    #[must_use]
    pub fn new(slot_size: usize) -> Self {
        ThreadLocalStorage {
            keys: slot_size / SLOT,
            blocks: ThreadBound::new(),
        }
    }

    /// The bytes of each thread.
    #[must_use]
    pub fn slot_size(&self) -> usize {
        self.keys * SLOT
    }

    /// How many keys there are: they are below it.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// Sets the calling thread's slot `key`, and those after it if the value is longer.
    ///
    /// # Errors
    ///
    /// [`SlotError`], and nothing is set.
    pub fn set<T: Plain>(&self, key: usize, value: &T) -> Result<(), SlotError> {
        self.check(key, size_of::<T>())?;
        self.blocks.with_or_try(
            || self.new_block(),
            |block| {
                for (slot, part) in block[key..].iter().zip(plain::bytes_of(value).chunks(SLOT)) {
                    let mut bytes = slot.get().to_ne_bytes();
                    bytes[..part.len()].copy_from_slice(part);
                    slot.set(u64::from_ne_bytes(bytes));
                }
            },
        )
    }

    fn new_block(&self) -> Result<Box<[Cell<u64>]>, SlotError> {
        let mut block = Vec::new();
        let slot_size = self.slot_size();
        block
            .try_reserve_exact(self.keys)
            .map_err(|_| SlotError::OutOfMemory { slot_size })?;
        block.resize(self.keys, Cell::new(0));
        Ok(block.into_boxed_slice())
    }

    /// What the calling thread has set last, or zero. If that was a value of another type,
    /// its bytes.
    ///
    /// # Errors
    ///
    /// [`SlotError`].
    pub fn get<T: Plain>(&self, key: usize) -> Result<T, SlotError> {
        self.check(key, size_of::<T>())?;
        let mut value = plain::zero::<T>();
        self.blocks.with(|block| {
            let slots = block.map_or(&[][..], |block| &block[key..]);
            for (slot, part) in slots
                .iter()
                .zip(plain::bytes_of_mut(&mut value).chunks_mut(SLOT))
            {
                part.copy_from_slice(&slot.get().to_ne_bytes()[..part.len()]);
            }
        });
        Ok(value)
    }

    fn check(&self, key: usize, len: usize) -> Result<(), SlotError> {
        let keys = self.keys;
        let left = match keys.checked_sub(key) {
            None | Some(0) => return Err(SlotError::Key { key, keys }),
            Some(slots) => slots * SLOT,
        };
        match len <= left {
            true => Ok(()),
            false => Err(SlotError::Size { key, len, left }),
        }
    }
}
