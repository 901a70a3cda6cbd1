//! [`AtomicBatch`]: many atomic operations in one call.
//!
//! All are checked before the first is done, and done in their order. They are not one
//! step: others may come between any two.
//!
//! # From a guest
//!
//! A module may import `threadwork.atomic_batch`, of type `(param i32 i32) (result i32)`:
//! the address of operations in its first memory, which must be shared, and how many
//! there are. It returns 0 when all are done; else the number, from 1, of the first that
//! is malformed, not aligned or out of bounds, and then none was done. More than 65,536
//! are a trap. An operation is 32 bytes, aligned to nothing, little-endian:
//!
//! | offset | type | meaning |
//! |---|---|---|
//! | 0 | u8 | what to do: 0 load, 1 store, 2 add, 3 sub, 4 and, 5 or, 6 xor, 7 exchange, 8 compare and exchange; of a run: 9 load, 10 store, 11 fill, 12 add |
//! | 1 | u8 | bytes of the word, or of each: 1, 2, 4 or 8 |
//! | 2 | u16 | 0 |
//! | 4 | u32 | address of the word, or of the first |
//! | 8 | u64 | the operand; of runs to be loaded, stored or added the address of as many values, of a fill the value |
//! | 16 | u64 | what a compare and exchange expects; of a run how many words |
//! | 24 | u64 | is set to what the word was; of a store and of a run to 0 |
//!
//! All operations are read before the first is done, so one of them cannot change
//! another.

use super::{MemoryError, SharedMemory};
use crate::memory::sealed::Integer as _;
use crate::memory::{Integer, Memory, Rmw};
use crate::thread::ThreadContext;
use threadwork_rewrite::{ATOMIC_BATCH, HOST_MODULE};
use wasmtime::{Caller, Linker, Trap};

/// Bytes of an operation of a guest's.
const RECORD: u64 = 32;

/// Operations of one call by a guest.
const MOST: u32 = 65_536;

/// Words of a run between two looks whether to stop.
const STRIDE: u64 = 4096;

/// Atomic operations on a [`SharedMemory`], to be done in one call.
///
/// ```
/// # use threadwork_engine::{Engine, SharedMemory};
/// use threadwork_engine::AtomicBatch;
///
/// # fn main() -> anyhow::Result<()> {
/// # let memory = SharedMemory::new(&Engine::new()?, 1, 1)?;
/// let mut batch = AtomicBatch::new();
/// batch
///     .store(0, 10_i32)
///     .add(0, 5_i32)
///     .load::<i32>(0)
///     .fill_run(64, 100, 3_u64)
///     .add_run(64, &[1_u64, 2])
///     .load_run::<u64>(64, 3);
/// let results = memory.run(&batch)?;
/// assert_eq!(results[1].value::<i32>(), Some(10));
/// assert_eq!(results[2].value::<i32>(), Some(15));
/// assert_eq!(results[5].values::<u64>(), Some(vec![4, 5, 3]));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct AtomicBatch {
    operations: Vec<Operation>,
    /// Of all runs.
    values: Vec<u64>,
}

/// What came of one operation of an [`AtomicBatch`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchResult {
    /// It returns nothing: a store, or a run that is not loaded.
    Done,
    /// What the word was.
    Value(u64),
    /// What the words of a run were.
    Values(Vec<u64>),
}

impl BatchResult {
    /// The value, as an integer of the type that the operation had.
    #[must_use]
    pub fn value<T: Integer>(&self) -> Option<T> {
        match self {
            Self::Value(value) => Some(T::from_word_bits(*value)),
            _ => None,
        }
    }

    /// The values of a run, as integers of the type that it had.
    #[must_use]
    pub fn values<T: Integer>(&self) -> Option<Vec<T>> {
        match self {
            Self::Values(values) => Some(
                values
                    .iter()
                    .map(|value| T::from_word_bits(*value))
                    .collect(),
            ),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Operation {
    code: Code,
    width: Width,
    offset: u64,
    /// An operand, a value, or where values of a run begin.
    operand: u64,
    /// What is expected, or how many words there are.
    extra: u64,
}

#[derive(Clone, Copy, Debug)]
enum Code {
    Load,
    Store,
    Rmw(Rmw),
    CompareExchange,
    LoadRun,
    StoreRun,
    FillRun,
    AddRun,
}

#[derive(Clone, Copy, Debug)]
enum Width {
    W8,
    W16,
    W32,
    W64,
}

/// Does the same for the integer of a width.
macro_rules! by_width {
    ($width:expr, $integer:ident => $body:expr) => {
        match $width {
            Width::W8 => {
                type $integer = u8;
                $body
            }
            Width::W16 => {
                type $integer = u16;
                $body
            }
            Width::W32 => {
                type $integer = u32;
                $body
            }
            Width::W64 => {
                type $integer = u64;
                $body
            }
        }
    };
}

impl AtomicBatch {
    /// A batch without operations.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many operations there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Takes all operations out.
    pub fn clear(&mut self) {
        self.operations.clear();
        self.values.clear();
    }

    /// As [`SharedMemory::load`].
    pub fn load<T: Integer>(&mut self, offset: u64) -> &mut Self {
        self.push::<T>(Code::Load, offset, 0, 0)
    }

    /// As [`SharedMemory::store`].
    pub fn store<T: Integer>(&mut self, offset: u64, value: T) -> &mut Self {
        self.push::<T>(Code::Store, offset, value.into_word_bits(), 0)
    }

    /// As [`SharedMemory::add`].
    pub fn add<T: Integer>(&mut self, offset: u64, value: T) -> &mut Self {
        self.push::<T>(Code::Rmw(Rmw::Add), offset, value.into_word_bits(), 0)
    }

    /// As [`SharedMemory::sub`].
    pub fn sub<T: Integer>(&mut self, offset: u64, value: T) -> &mut Self {
        self.push::<T>(Code::Rmw(Rmw::Sub), offset, value.into_word_bits(), 0)
    }

    /// As [`SharedMemory::and`].
    pub fn and<T: Integer>(&mut self, offset: u64, value: T) -> &mut Self {
        self.push::<T>(Code::Rmw(Rmw::And), offset, value.into_word_bits(), 0)
    }

    /// As [`SharedMemory::or`].
    pub fn or<T: Integer>(&mut self, offset: u64, value: T) -> &mut Self {
        self.push::<T>(Code::Rmw(Rmw::Or), offset, value.into_word_bits(), 0)
    }

    /// As [`SharedMemory::xor`].
    pub fn xor<T: Integer>(&mut self, offset: u64, value: T) -> &mut Self {
        self.push::<T>(Code::Rmw(Rmw::Xor), offset, value.into_word_bits(), 0)
    }

    /// As [`SharedMemory::exchange`].
    pub fn exchange<T: Integer>(&mut self, offset: u64, value: T) -> &mut Self {
        self.push::<T>(Code::Rmw(Rmw::Exchange), offset, value.into_word_bits(), 0)
    }

    /// As [`SharedMemory::compare_exchange`]. Its result is what the word was: it was
    /// replaced if that is `current`.
    pub fn compare_exchange<T: Integer>(&mut self, offset: u64, current: T, new: T) -> &mut Self {
        self.push::<T>(
            Code::CompareExchange,
            offset,
            new.into_word_bits(),
            current.into_word_bits(),
        )
    }

    /// Loads each of `count` words from `offset` on.
    pub fn load_run<T: Integer>(&mut self, offset: u64, count: u64) -> &mut Self {
        self.push::<T>(Code::LoadRun, offset, 0, count)
    }

    /// Stores each of `values`, to words from `offset` on.
    pub fn store_run<T: Integer>(&mut self, offset: u64, values: &[T]) -> &mut Self {
        self.push_run(Code::StoreRun, offset, values)
    }

    /// Stores `value` to each of `count` words from `offset` on.
    pub fn fill_run<T: Integer>(&mut self, offset: u64, count: u64, value: T) -> &mut Self {
        self.push::<T>(Code::FillRun, offset, value.into_word_bits(), count)
    }

    /// Adds each of `values`, to words from `offset` on.
    pub fn add_run<T: Integer>(&mut self, offset: u64, values: &[T]) -> &mut Self {
        self.push_run(Code::AddRun, offset, values)
    }

    fn push_run<T: Integer>(&mut self, code: Code, offset: u64, values: &[T]) -> &mut Self {
        let start = self.values.len() as u64;
        self.values
            .extend(values.iter().map(|value| value.into_word_bits()));
        self.push::<T>(code, offset, start, values.len() as u64)
    }

    fn push<T: Integer>(&mut self, code: Code, offset: u64, operand: u64, extra: u64) -> &mut Self {
        let width = match T::SIZE {
            1 => Width::W8,
            2 => Width::W16,
            4 => Width::W32,
            _ => Width::W64,
        };
        self.operations.push(Operation {
            code,
            width,
            offset,
            operand,
            extra,
        });
        self
    }
}

impl SharedMemory {
    /// Does the operations of a batch in their order, and returns what came of each.
    ///
    /// # Errors
    ///
    /// [`MemoryError::Batch`] if one of them cannot be done; then none is.
    pub fn run(&self, batch: &AtomicBatch) -> Result<Vec<BatchResult>, MemoryError> {
        let memory = self.memory();
        for (index, operation) in batch.operations.iter().enumerate() {
            operation.check(memory).map_err(|trap| {
                let (length, width) = (operation.length(), operation.width.bytes());
                let reason = Box::new(self.error(trap, operation.offset, length, width));
                MemoryError::Batch { index, reason }
            })?;
        }
        let results = batch.operations.iter().map(|operation| {
            let done = operation.on_host(memory, &batch.values);
            // It was checked, and a memory never shrinks.
            done.map_err(|trap| self.error(trap, operation.offset, operation.length(), 1))
        });
        results.collect()
    }
}

impl Operation {
    /// Whether it is on words in the memory.
    fn check(&self, memory: &Memory) -> Result<(), Trap> {
        let count = if self.is_run() { self.extra } else { 1 };
        by_width!(self.width, T => memory.words::<T>(self.offset, count).map(drop))
    }

    fn is_run(&self) -> bool {
        matches!(
            self.code,
            Code::LoadRun | Code::StoreRun | Code::FillRun | Code::AddRun
        )
    }

    /// Bytes that it is on.
    fn length(&self) -> u64 {
        let count = if self.is_run() { self.extra } else { 1 };
        count.saturating_mul(self.width.bytes())
    }

    /// Does it, with the values of a run on the host.
    fn on_host(&self, memory: &Memory, values: &[u64]) -> Result<BatchResult, Trap> {
        let at = |index: u64| {
            let index = usize::try_from(self.operand.saturating_add(index));
            index
                .ok()
                .and_then(|index| values.get(index).copied())
                .unwrap_or_default()
        };
        match self.code {
            Code::LoadRun => {
                let mut loaded = Vec::with_capacity((self.length() / self.width.bytes()) as usize);
                self.each(memory, 0..self.extra, |_, old| loaded.push(old))?;
                Ok(BatchResult::Values(loaded))
            }
            Code::StoreRun | Code::FillRun | Code::AddRun => {
                self.change(memory, 0..self.extra, at)?;
                Ok(BatchResult::Done)
            }
            Code::Store => self.word(memory).map(|_| BatchResult::Done),
            _ => self.word(memory).map(BatchResult::Value),
        }
    }

    /// Does it on a single word; returns what that was.
    fn word(&self, memory: &Memory) -> Result<u64, Trap> {
        by_width!(self.width, T => {
            let word = memory.word::<T>(self.offset)?;
            let operand = self.operand as T;
            let before = match self.code {
                Code::Load => T::atomic_load(word),
                Code::Store => {
                    T::atomic_store(word, operand);
                    0
                }
                Code::Rmw(op) => T::atomic_rmw(word, op, operand),
                Code::CompareExchange => {
                    let expected = self.extra as T;
                    let old = T::atomic_compare_exchange(word, expected, operand);
                    old.unwrap_or_else(|old| old)
                }
                Code::LoadRun | Code::StoreRun | Code::FillRun | Code::AddRun => 0,
            };
            Ok(before.into_word_bits())
        })
    }

    /// Loads the words with these numbers of a run.
    fn each(
        &self,
        memory: &Memory,
        numbers: std::ops::Range<u64>,
        mut body: impl FnMut(u64, u64),
    ) -> Result<(), Trap> {
        by_width!(self.width, T => {
            let words = self.part::<T>(memory, &numbers)?;
            for (number, word) in numbers.zip(words) {
                body(number, T::atomic_load(word).into_word_bits());
            }
            Ok(())
        })
    }

    /// Changes the words with these numbers of a run, by the values that `at` gives.
    fn change(
        &self,
        memory: &Memory,
        numbers: std::ops::Range<u64>,
        at: impl Fn(u64) -> u64,
    ) -> Result<(), Trap> {
        by_width!(self.width, T => {
            let words = self.part::<T>(memory, &numbers)?;
            match self.code {
                Code::FillRun => {
                    let value = self.operand as T;
                    words.iter().for_each(|word| T::atomic_store(word, value));
                }
                Code::AddRun => for (number, word) in numbers.zip(words) {
                    T::atomic_rmw(word, Rmw::Add, at(number) as T);
                },
                _ => for (number, word) in numbers.zip(words) {
                    T::atomic_store(word, at(number) as T);
                },
            }
            Ok(())
        })
    }

    fn part<'a, T: Integer>(
        &self,
        memory: &'a Memory,
        numbers: &std::ops::Range<u64>,
    ) -> Result<&'a [T::Atomic], Trap> {
        // Parts of what `check` has seen, so nothing overflows.
        let offset = self.offset + numbers.start * self.width.bytes();
        memory.words::<T>(offset, numbers.end - numbers.start)
    }
}

impl Width {
    fn bytes(self) -> u64 {
        match self {
            Self::W8 => 1,
            Self::W16 => 2,
            Self::W32 => 4,
            Self::W64 => 8,
        }
    }
}

// ---- From a guest ----

/// Defines `threadwork.atomic_batch`.
pub(crate) fn add_to_linker(linker: &mut Linker<ThreadContext>) -> wasmtime::Result<()> {
    linker.func_wrap(HOST_MODULE, ATOMIC_BATCH, atomic_batch)?;
    Ok(())
}

fn atomic_batch(
    caller: Caller<'_, ThreadContext>,
    address: i32,
    count: i32,
) -> wasmtime::Result<i32> {
    let context = caller.data();
    let memory = context.process.memories().first().ok_or_else(|| {
        wasmtime::Error::msg("atomic_batch was called by a module without a shared memory")
    })?;
    let (address, count) = (u64::from(address.cast_unsigned()), count.cast_unsigned());
    if count > MOST {
        return Err(wasmtime::Error::msg(format!(
            "atomic_batch was given {count} operations; {MOST} are the most for one call"
        )));
    }
    let mut records = vec![0; count as usize * RECORD as usize];
    memory.read(address, &mut records)?;
    let mut operations = Vec::with_capacity(count as usize);
    for (record, number) in records.chunks_exact(RECORD as usize).zip(1..) {
        let operation = Operation::decode(record);
        match operation.filter(|operation| operation.is_possible(memory)) {
            Some(operation) => operations.push(operation),
            // At most `MOST`.
            None => return Ok(number),
        }
    }
    for (operation, index) in operations.iter().zip(0..) {
        let result = operation.on_guest(context, memory)?;
        memory.write(address + index * RECORD + 24, &result.to_le_bytes())?;
    }
    Ok(0)
}

impl Operation {
    fn decode(record: &[u8]) -> Option<Self> {
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&record[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        let head = number(0);
        let [code, width, 0, 0, ..] = head.to_le_bytes() else {
            return None;
        };
        let code = match code {
            0 => Code::Load,
            1 => Code::Store,
            2 => Code::Rmw(Rmw::Add),
            3 => Code::Rmw(Rmw::Sub),
            4 => Code::Rmw(Rmw::And),
            5 => Code::Rmw(Rmw::Or),
            6 => Code::Rmw(Rmw::Xor),
            7 => Code::Rmw(Rmw::Exchange),
            8 => Code::CompareExchange,
            9 => Code::LoadRun,
            10 => Code::StoreRun,
            11 => Code::FillRun,
            12 => Code::AddRun,
            _ => return None,
        };
        let width = match width {
            1 => Width::W8,
            2 => Width::W16,
            4 => Width::W32,
            8 => Width::W64,
            _ => return None,
        };
        Some(Self {
            code,
            width,
            offset: head >> 32,
            operand: number(8),
            extra: number(16),
        })
    }

    /// Whether the words, and the values of a run, are in the memory.
    fn is_possible(&self, memory: &Memory) -> bool {
        let values = Self {
            offset: self.operand,
            ..*self
        };
        let has_values = matches!(self.code, Code::LoadRun | Code::StoreRun | Code::AddRun);
        self.check(memory).is_ok() && (!has_values || values.check(memory).is_ok())
    }

    /// Does it, with the values of a run in the memory; returns what the word was. Looks
    /// now and then whether the thread is to stop.
    fn on_guest(&self, context: &ThreadContext, memory: &Memory) -> wasmtime::Result<u64> {
        if !self.is_run() {
            return Ok(self.word(memory)?);
        }
        // The other end of a run that is loaded or stored.
        let values = Self {
            offset: self.operand,
            ..*self
        };
        let mut start = 0;
        while start < self.extra {
            context.check_running()?;
            let numbers = start..self.extra.min(start + STRIDE);
            start = numbers.end;
            match self.code {
                Code::FillRun => self.change(memory, numbers, |_| 0)?,
                Code::LoadRun => {
                    let mut loaded = Vec::new();
                    self.each(memory, numbers.clone(), |_, value| loaded.push(value))?;
                    let first = numbers.start;
                    let store = Self {
                        code: Code::StoreRun,
                        ..values
                    };
                    store.change(memory, numbers, |number| loaded[(number - first) as usize])?;
                }
                _ => {
                    let mut loaded = Vec::new();
                    values.each(memory, numbers.clone(), |_, value| loaded.push(value))?;
                    let first = numbers.start;
                    self.change(memory, numbers, |number| loaded[(number - first) as usize])?;
                }
            }
        }
        Ok(0)
    }
}
