//! [`AtomicBatch`]: many atomic operations in one call.
//!
//! All are checked before the first is done, and done in their order. They are not one
//! step: others may come between any two.

use super::memory::{MemoryError, SharedMemory};
use crate::linear_memory::{Code, Integer, Memory, Operation, Rmw, Width};
use wasmtime::Trap;

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
        // There are no larger integers.
        let width = Width::of(T::SIZE).unwrap_or(Width::W64);
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
            let done = run(operation, memory, &batch.values);
            // It was checked, and a memory never shrinks.
            done.map_err(|trap| self.error(trap, operation.offset, operation.length(), 1))
        });
        results.collect()
    }
}

/// Does an operation, with the values of a run on the host.
fn run(operation: &Operation, memory: &Memory, values: &[u64]) -> Result<BatchResult, Trap> {
    let at = |index: u64| {
        let index = usize::try_from(operation.operand.saturating_add(index));
        index
            .ok()
            .and_then(|index| values.get(index).copied())
            .unwrap_or_default()
    };
    match operation.code {
        Code::LoadRun => {
            let mut loaded =
                Vec::with_capacity((operation.length() / operation.width.bytes()) as usize);
            operation.each(memory, 0..operation.extra, |_, old| loaded.push(old))?;
            Ok(BatchResult::Values(loaded))
        }
        Code::StoreRun | Code::FillRun | Code::AddRun => {
            operation.change(memory, 0..operation.extra, at)?;
            Ok(BatchResult::Done)
        }
        Code::Store => operation.word(memory).map(|_| BatchResult::Done),
        _ => operation.word(memory).map(BatchResult::Value),
    }
}
