//! Several atomic operations in one call: a list of them, or one over a run of words.
//!
//! Inside a program a call costs next to nothing, and a batch is a way to write a protocol
//! down as data. It earns its keep where a call is dear: the host's side of a memory has
//! the same type, and runs a batch in one step across the border.
//!
//! The operations are done in their order, each of them atomic. The batch as a whole is
//! not: other threads see, and may change, what is between two of them.

use crate::shared_memory::{AtomicWord, MemoryError, SharedMemory};

/// A list of atomic operations on words of a [`SharedMemory`], done in order by one call,
/// with a result for each.
///
/// Not atomic as a unit: other threads may come between two operations. But either all are
/// done or none is: offsets are checked before the first.
///
/// # Example
///
/// ```
/// use threadwork_runtime::{AtomicBatch, SharedMemory};
///
/// let memory = SharedMemory::new(1, 1)?;
/// let batch = AtomicBatch::new()
///     .store(0, 10_i32)
///     .add(0, 5_i32)
///     .compare_exchange(0, 15_i32, -1)
///     .load::<u32>(0);
/// assert_eq!(batch.run(&memory)?, [10, 10, 15, 0xffff_ffff]);
/// # Ok::<(), threadwork_runtime::MemoryError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "it does nothing until `run`"]
pub struct AtomicBatch {
    operations: Vec<Operation>,
}

#[derive(Clone, Copy, Debug)]
struct Operation {
    offset: usize,
    action: Action,
    /// Checks the offset for the type of the word.
    check: fn(&SharedMemory, usize) -> Result<(), MemoryError>,
    /// Does the action on a word of the type.
    apply: fn(&SharedMemory, usize, Action) -> Result<i64, MemoryError>,
}

/// What is done to a word. The operands are the bits of its type.
#[derive(Clone, Copy, Debug)]
enum Action {
    Load,
    Store(i64),
    Add(i64),
    Sub(i64),
    And(i64),
    Or(i64),
    Xor(i64),
    Exchange(i64),
    CompareExchange { expected: i64, new: i64 },
}

fn check<T: AtomicWord>(memory: &SharedMemory, offset: usize) -> Result<(), MemoryError> {
    memory.word::<T>(offset).map(drop)
}

fn apply<T: AtomicWord>(
    memory: &SharedMemory,
    offset: usize,
    action: Action,
) -> Result<i64, MemoryError> {
    let word = memory.word::<T>(offset)?;
    let value = T::from_word_bits;
    let result = match action {
        Action::Load => T::atomic_load(word),
        Action::Store(to) => {
            T::atomic_store(word, value(to));
            value(to)
        }
        Action::Add(by) => T::atomic_add(word, value(by)),
        Action::Sub(by) => T::atomic_sub(word, value(by)),
        Action::And(with) => T::atomic_and(word, value(with)),
        Action::Or(with) => T::atomic_or(word, value(with)),
        Action::Xor(with) => T::atomic_xor(word, value(with)),
        Action::Exchange(to) => T::atomic_exchange(word, value(to)),
        Action::CompareExchange { expected, new } => {
            T::atomic_compare_exchange(word, value(expected), value(new))
        }
    };
    Ok(result.into_word_bits())
}

impl AtomicBatch {
    /// Nothing to do.
    pub const fn new() -> Self {
        AtomicBatch {
            operations: Vec::new(),
        }
    }

    /// How many operations there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Does the operations in their order, and returns the result of each: the value that
    /// the word had, or, of a store, the one that it was given. It is extended by its sign,
    /// if the type of the word has one, and by zeros, if not.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](MemoryError::OutOfBounds) and
    /// [`Unaligned`](MemoryError::Unaligned), for any of them; then none was done.
    pub fn run(&self, memory: &SharedMemory) -> Result<Vec<i64>, MemoryError> {
        for operation in &self.operations {
            (operation.check)(memory, operation.offset)?;
        }
        let each = self.operations.iter();
        // A memory does not shrink, so what was checked does not fail.
        each.map(|operation| (operation.apply)(memory, operation.offset, operation.action))
            .collect()
    }

    fn with<T: AtomicWord>(mut self, offset: usize, action: Action) -> Self {
        self.operations.push(Operation {
            offset,
            action,
            check: check::<T>,
            apply: apply::<T>,
        });
        self
    }

    /// Then looks at the word.
    pub fn load<T: AtomicWord>(self, offset: usize) -> Self {
        self.with::<T>(offset, Action::Load)
    }

    /// Then sets the word to `new` if it is `expected`.
    pub fn compare_exchange<T: AtomicWord>(self, offset: usize, expected: T, new: T) -> Self {
        let (expected, new) = (expected.into_word_bits(), new.into_word_bits());
        self.with::<T>(offset, Action::CompareExchange { expected, new })
    }
}

macro_rules! updates {
    ($($(#[$doc:meta])* $name:ident $action:ident)*) => {
        impl AtomicBatch {$(
            $(#[$doc])*
            pub fn $name<T: AtomicWord>(self, offset: usize, value: T) -> Self {
                self.with::<T>(offset, Action::$action(value.into_word_bits()))
            }
        )*}
    };
}

updates! {
    /// Then sets the word.
    store Store
    /// Then adds to the word, wrapping around.
    add Add
    /// Then subtracts from the word, wrapping around.
    sub Sub
    /// Then keeps the bits of the word that `value` has, too.
    and And
    /// Then sets the bits of the word that `value` has.
    or Or
    /// Then flips the bits of the word that `value` has.
    xor Xor
    /// Then sets the word, with the old value for a result.
    exchange Exchange
}

/// One operation over a run of words, from the lowest on. Each word is accessed atomically,
/// the run is not. All offsets are checked before the first.
///
/// # Errors
///
/// [`OutOfBounds`](MemoryError::OutOfBounds) and [`Unaligned`](MemoryError::Unaligned).
impl SharedMemory {
    /// Fills `to` with the words from `offset` on.
    ///
    /// # Example
    ///
    /// ```
    /// use threadwork_runtime::SharedMemory;
    ///
    /// let memory = SharedMemory::new(1, 1)?;
    /// memory.store_run(8, &[1_u16, 2, 3])?;
    /// memory.fill_run(10, 2, 7_u16)?;
    ///
    /// let mut old = [10_u16; 3];
    /// memory.add_run(8, &mut old)?;
    /// assert_eq!(old, [1, 7, 7]);
    ///
    /// let mut now = [0_u16; 4];
    /// memory.load_run(8, &mut now)?;
    /// assert_eq!(now, [11, 17, 17, 0]);
    /// # Ok::<(), threadwork_runtime::MemoryError>(())
    /// ```
    pub fn load_run<T: AtomicWord>(&self, offset: usize, to: &mut [T]) -> Result<(), MemoryError> {
        let words = self.words::<T>(offset, to.len())?;
        for (to, word) in to.iter_mut().zip(words) {
            *to = T::atomic_load(word);
        }
        Ok(())
    }

    /// Sets the words from `offset` on.
    pub fn store_run<T: AtomicWord>(&self, offset: usize, from: &[T]) -> Result<(), MemoryError> {
        let words = self.words::<T>(offset, from.len())?;
        for (from, word) in from.iter().zip(words) {
            T::atomic_store(word, *from);
        }
        Ok(())
    }

    /// Sets `count` words from `offset` on to `value`.
    pub fn fill_run<T: AtomicWord>(
        &self,
        offset: usize,
        count: usize,
        value: T,
    ) -> Result<(), MemoryError> {
        for word in self.words::<T>(offset, count)? {
            T::atomic_store(word, value);
        }
        Ok(())
    }

    /// Adds to the words from `offset` on, wrapping around, and puts what each one was in
    /// the place of what was added.
    pub fn add_run<T: AtomicWord>(
        &self,
        offset: usize,
        values: &mut [T],
    ) -> Result<(), MemoryError> {
        let words = self.words::<T>(offset, values.len())?;
        for (value, word) in values.iter_mut().zip(words) {
            *value = T::atomic_add(word, *value);
        }
        Ok(())
    }
}
