//! [`SharedMemory`]: access, atomic operations, wait and notify, growth.

use super::guest_thread::GuestThread;
use crate::engine::Engine;
use crate::error::{Error, no_memory, one_line};
use crate::limits::PAGE;
use crate::linear_memory::{Arena, Closed, Integer, Memory, Number, Presence, Rmw, sealed};
use crate::process::ThreadContext;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;
use threadwork_parking::WaitResult as Parked;
use threadwork_sync::WaitResult;
use wasmtime::{MemoryTypeBuilder, Trap};

/// A shared linear memory. Cheap to clone: a handle, not the bytes.
///
/// It is made by [`new`](Self::new), or is that of a
/// [runtime](crate::ThreadRuntime::memory) or a [process](crate::Process::memory), which
/// it outlives. All of its methods may be called from any thread at any time.
///
/// ```
/// use threadwork_engine::{Engine, MemoryError, SharedMemory};
///
/// # fn main() -> anyhow::Result<()> {
/// let memory = SharedMemory::new(&Engine::new()?, 1, 2)?;
/// memory.store(0, 40_i32)?;
/// assert_eq!(memory.add(0, 2_i32)?, 40);
/// assert_eq!(memory.load::<i32>(0)?, 42);
///
/// let end = memory.size();
/// assert!(matches!(memory.store(end, 1_i32), Err(MemoryError::OutOfBounds { .. })));
/// assert!(matches!(memory.add(2, 1_i32), Err(MemoryError::Misaligned { .. })));
/// # Ok(())
/// # }
/// ```
///
/// # Deadlocks
///
/// While the host has the memory of a [process](crate::Process::memory), the process is
/// never in a deadlock: the host could still notify its threads. A host that only looks, or
/// waits, [observes](crate::Process::observe_memory) it instead, and is not counted. A
/// runtime counts [threads of the host](crate::RuntimeBuilder::host_threads). In a host
/// function [`ThreadContext::memory`](crate::ThreadContext::memory) is the caller's: who waits
/// there is the guest thread that has called.
#[derive(Clone)]
pub struct SharedMemory {
    arena: Arc<Arena>,
    /// The guest thread in whose host call it is used.
    caller: Option<GuestThread>,
    _presence: Option<Arc<Presence>>,
}

/// Why an operation on a [`SharedMemory`] failed. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// Past the end.
    #[error("{length} bytes at offset {offset:#x} are not in a memory of {size} bytes")]
    OutOfBounds {
        /// The offset.
        offset: u64,
        /// What was accessed there.
        length: u64,
        /// The size of the memory now.
        size: u64,
    },
    /// An atomic operation, or an object, at an offset that is not aligned.
    #[error("the offset {offset:#x} is not aligned: it must be a multiple of {alignment}")]
    Misaligned {
        /// The offset.
        offset: u64,
        /// What it must be a multiple of.
        alignment: u64,
    },
    /// The memory cannot become as large.
    #[error(
        "the memory of {size} bytes cannot grow by {pages} pages: raise its maximum \
         (--max-memory) or its limit"
    )]
    Full {
        /// Its size now.
        size: u64,
        /// What was asked for.
        pages: u64,
    },
    /// What was reserved for the host is used up, and the memory cannot grow for the host
    /// while the program's own allocator grows it: that may take what lies between two of
    /// its growths for its own.
    #[error(
        "there is no room for {size} bytes in the {reserved} that are reserved for the host, and \
         the memory cannot grow for it, since the program grows it, too: reserve more \
         (ProcessBuilder::host_memory, RuntimeConfig::memory_size)"
    )]
    Reserved {
        /// What was asked for.
        size: u64,
        /// Bytes of the host's area.
        reserved: u64,
    },
    /// The wait was ended, because the runtime or process of this memory has ended.
    #[error("the wait was ended: the program that the memory belongs to has ended")]
    Ended,
    /// The bytes are not what the object there needs.
    #[error(
        "the object at offset {offset:#x} is damaged ({message}): something else has been \
         written there, or it was used against its rules"
    )]
    Damaged {
        /// The object.
        offset: u64,
        /// What is wrong with it.
        message: String,
    },
    /// An operation of an [`AtomicBatch`](crate::AtomicBatch) cannot be done; none was.
    #[error("operation {index} of the batch cannot be done: {reason}")]
    Batch {
        /// Which one, from 0.
        index: usize,
        /// Why.
        reason: Box<MemoryError>,
    },
}

impl SharedMemory {
    /// A memory of its own, all zero, of `min_pages` that can grow to `max_pages`, at
    /// most 65,536 of 64 KiB each.
    ///
    /// # Errors
    ///
    /// [`Error::Memory`] if there cannot be such a memory.
    pub fn new(engine: &Engine, min_pages: u64, max_pages: u64) -> Result<Self, Error> {
        let refused = |reason: String| Error::Memory {
            minimum: min_pages.saturating_mul(PAGE),
            reason,
        };
        let ty = MemoryTypeBuilder::default()
            .shared(true)
            .min(min_pages)
            .max(Some(max_pages))
            .build()
            .map_err(|error| refused(one_line(&error)))?;
        let memory = wasmtime::SharedMemory::new(engine.machine().wasmtime(), ty)
            .map_err(|error| refused(no_memory(&error)))?;
        let memories = vec![Memory::new(memory)];
        let arena = Arena::new(
            memories,
            Arc::clone(engine.machine().cores()),
            Arc::default(),
            0,
        );
        Ok(Self::of_host(&Arc::new(arena)))
    }

    /// The first of an arena, which hides deadlocks: the host could notify.
    pub(crate) fn of_host(arena: &Arc<Arena>) -> Self {
        Self {
            arena: Arc::clone(arena),
            caller: None,
            _presence: Some(Arc::new(Presence::new(arena))),
        }
    }

    /// The first of an arena, which hides nothing: the arena counts the threads of its host,
    /// or the host is known not to notify.
    pub(crate) fn uncounted(arena: &Arc<Arena>) -> Self {
        Self {
            arena: Arc::clone(arena),
            caller: None,
            _presence: None,
        }
    }

    /// Always true: the memory has the flag that lets instances on several threads
    /// have it.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.memory()
            .shared()
            .is_none_or(|shared| shared.ty().is_shared())
    }

    /// Its size in bytes now. It never shrinks.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.memory().len()
    }

    /// The size in bytes that it can grow to, unless a limit or the machine forbids.
    #[must_use]
    pub fn max_size(&self) -> u64 {
        let Some(shared) = self.memory().shared() else {
            return 0;
        };
        let most = shared.ty().maximum();
        most.map_or(u64::MAX, |pages| pages.saturating_mul(PAGE))
    }

    /// Adds pages of zeros. Every thread sees them at once. Returns the pages that
    /// there were before.
    ///
    /// The pages are nobody's: an allocator of the guest's that grows the memory meanwhile
    /// may take them for its own. For bytes of the host's there is
    /// [`allocate`](Self::allocate).
    ///
    /// # Errors
    ///
    /// [`MemoryError::Full`].
    pub fn grow(&self, pages: u64) -> Result<u64, MemoryError> {
        self.arena
            .grow(self.memory(), pages)
            .map_err(|_| MemoryError::Full {
                size: self.size(),
                pages,
            })
    }

    // ---- Plain access ----

    /// Reads a number, wherever it is. If others write there meanwhile, it may be made
    /// of parts of several; [`load`](Self::load) is atomic.
    ///
    /// # Errors
    ///
    /// [`MemoryError::OutOfBounds`].
    pub fn read<T: Number>(&self, offset: u64) -> Result<T, MemoryError> {
        let mut bytes = T::Bytes::default();
        self.read_bytes(offset, bytes.as_mut())?;
        Ok(T::from_number_bytes(bytes))
    }

    /// Writes a number, wherever. Others may see parts of it; [`store`](Self::store) is
    /// atomic.
    ///
    /// # Errors
    ///
    /// [`MemoryError::OutOfBounds`].
    pub fn write<T: Number>(&self, offset: u64, value: T) -> Result<(), MemoryError> {
        self.write_bytes(offset, value.into_number_bytes().as_ref())
    }

    /// Copies bytes out of the memory. If others write there meanwhile, each byte is
    /// one of those that were there at some moment.
    ///
    /// # Errors
    ///
    /// [`MemoryError::OutOfBounds`].
    pub fn read_bytes(&self, offset: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        let length = bytes.len() as u64;
        let read = self.memory().read(offset, bytes);
        read.map_err(|trap| self.error(trap, offset, length, 1))
    }

    /// Copies bytes into the memory, in no order.
    ///
    /// # Errors
    ///
    /// [`MemoryError::OutOfBounds`].
    pub fn write_bytes(&self, offset: u64, bytes: &[u8]) -> Result<(), MemoryError> {
        let written = self.memory().write(offset, bytes);
        written.map_err(|trap| self.error(trap, offset, bytes.len() as u64, 1))
    }

    /// Sets `length` bytes to `value`, in no order.
    ///
    /// # Errors
    ///
    /// [`MemoryError::OutOfBounds`].
    pub fn fill(&self, offset: u64, length: u64, value: u8) -> Result<(), MemoryError> {
        let filled = self.memory().fill(offset, length, value);
        filled.map_err(|trap| self.error(trap, offset, length, 1))
    }

    // ---- Atomic operations ----

    /// Reads an integer in one step.
    ///
    /// # Errors
    ///
    /// [`MemoryError::OutOfBounds`] or [`MemoryError::Misaligned`], here and of all
    /// atomic operations.
    pub fn load<T: Integer>(&self, offset: u64) -> Result<T, MemoryError> {
        Ok(T::atomic_load(self.word::<T>(offset)?))
    }

    /// Writes an integer in one step.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn store<T: Integer>(&self, offset: u64, value: T) -> Result<(), MemoryError> {
        T::atomic_store(self.word::<T>(offset)?, value);
        Ok(())
    }

    /// Adds to an integer, wrapping; returns what it was.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn add<T: Integer>(&self, offset: u64, value: T) -> Result<T, MemoryError> {
        self.rmw(offset, Rmw::Add, value)
    }

    /// Subtracts from an integer, wrapping; returns what it was.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn sub<T: Integer>(&self, offset: u64, value: T) -> Result<T, MemoryError> {
        self.rmw(offset, Rmw::Sub, value)
    }

    /// Keeps the bits that `value` has, too; returns what was there.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn and<T: Integer>(&self, offset: u64, value: T) -> Result<T, MemoryError> {
        self.rmw(offset, Rmw::And, value)
    }

    /// Sets the bits that `value` has; returns what was there.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn or<T: Integer>(&self, offset: u64, value: T) -> Result<T, MemoryError> {
        self.rmw(offset, Rmw::Or, value)
    }

    /// Flips the bits that `value` has; returns what was there.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn xor<T: Integer>(&self, offset: u64, value: T) -> Result<T, MemoryError> {
        self.rmw(offset, Rmw::Xor, value)
    }

    /// Puts `value` in the place of an integer; returns what was there.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn exchange<T: Integer>(&self, offset: u64, value: T) -> Result<T, MemoryError> {
        self.rmw(offset, Rmw::Exchange, value)
    }

    /// Puts `new` in the place of `current`, if that is what is there. Returns what was
    /// there: as `Ok` if it was replaced, as `Err` if nothing has changed.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    ///
    /// # Example
    ///
    /// ```
    /// # use threadwork_engine::{Engine, SharedMemory};
    /// # fn main() -> anyhow::Result<()> {
    /// # let memory = SharedMemory::new(&Engine::new()?, 1, 1)?;
    /// memory.store(8, 50_i32)?;
    /// assert_eq!(memory.compare_exchange(8, 50_i32, 75)?, Ok(50));
    /// assert_eq!(memory.compare_exchange(8, 50_i32, 100)?, Err(75));
    /// # Ok(())
    /// # }
    /// ```
    pub fn compare_exchange<T: Integer>(
        &self,
        offset: u64,
        current: T,
        new: T,
    ) -> Result<Result<T, T>, MemoryError> {
        Ok(T::atomic_compare_exchange(
            self.word::<T>(offset)?,
            current,
            new,
        ))
    }

    /// Orders what the calling thread has done with the memory before what it does
    /// afterwards, plain access included, as `atomic.fence` does for a guest.
    pub fn fence(&self) {
        // Ordering: SeqCst, as the guest's.
        fence(Ordering::SeqCst);
    }

    // ---- Waiting ----

    /// Sleeps until somebody notifies the 32-bit word at `offset`, unless it is not
    /// `expected`, and at most for `timeout`; `None` is for ever. Guests that wait there
    /// are in the same queue.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load); [`MemoryError::Ended`] if the program of this memory ends
    /// meanwhile, or has.
    ///
    /// # Example
    ///
    /// ```
    /// # use threadwork_engine::{Engine, SharedMemory};
    /// use std::time::Duration;
    /// use threadwork_engine::WaitResult;
    ///
    /// # fn main() -> anyhow::Result<()> {
    /// # let memory = SharedMemory::new(&Engine::new()?, 1, 1)?;
    /// let patience = Some(Duration::from_millis(1));
    /// assert_eq!(memory.wait32(0, 7, patience)?, WaitResult::NotEqual);
    /// assert_eq!(memory.wait32(0, 0, patience)?, WaitResult::TimedOut);
    /// assert_eq!(memory.notify(0, 1)?, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait32(
        &self,
        offset: u64,
        expected: u32,
        timeout: Option<Duration>,
    ) -> Result<WaitResult, MemoryError> {
        let word = self.memory().word32(offset);
        let word = word.map_err(|trap| self.error(trap, offset, 4, 4))?;
        let load = || word.load();
        self.wait(offset, word.key(), timeout, expected.into(), load)
    }

    /// As [`wait32`](Self::wait32), for a 64-bit word.
    ///
    /// # Errors
    ///
    /// As [`wait32`](Self::wait32).
    pub fn wait64(
        &self,
        offset: u64,
        expected: u64,
        timeout: Option<Duration>,
    ) -> Result<WaitResult, MemoryError> {
        let word = self.memory().word64(offset);
        let word = word.map_err(|trap| self.error(trap, offset, 8, 8))?;
        let load = || word.load();
        self.wait(offset, word.key(), timeout, expected, load)
    }

    /// Wakes the `count` threads, of the guest's and the host's, that have waited the
    /// longest for the word at `offset`, and returns how many there were.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load) of 32 bits.
    pub fn notify(&self, offset: u64, count: u32) -> Result<u32, MemoryError> {
        let word = self.memory().word32(offset);
        let word = word.map_err(|trap| self.error(trap, offset, 4, 4))?;
        Ok(self.arena.notify(word.key(), count))
    }

    fn wait(
        &self,
        offset: u64,
        key: usize,
        timeout: Option<Duration>,
        expected: u64,
        load: impl Fn() -> u64,
    ) -> Result<WaitResult, MemoryError> {
        match self.park(offset, key, timeout, expected, load) {
            Ok(Parked::NotEqual) => Ok(WaitResult::NotEqual),
            Ok(Parked::TimedOut) => Ok(WaitResult::TimedOut),
            Ok(_) => Ok(WaitResult::Woken),
            Err(Closed) => Err(MemoryError::Ended),
        }
    }

    /// Sleeps on the word at `offset`, as the guest thread that has called the host, or as
    /// a thread of the host.
    pub(super) fn park(
        &self,
        offset: u64,
        key: usize,
        timeout: Option<Duration>,
        expected: u64,
        load: impl Fn() -> u64,
    ) -> Result<Parked, Closed> {
        let caller = self.caller.as_ref();
        match caller.and_then(GuestThread::current) {
            Some(caller) => caller.wait(offset, key, timeout, expected, load),
            None => self.arena.wait(key, timeout, expected, load),
        }
    }

    // ---- What the parts of this module share ----

    pub(super) fn arena(&self) -> &Arena {
        &self.arena
    }

    pub(super) fn memory(&self) -> &Memory {
        // Every handle is made for an arena that has one.
        &self.arena.memories()[0]
    }

    fn rmw<T: Integer>(&self, offset: u64, op: Rmw, operand: T) -> Result<T, MemoryError> {
        Ok(T::atomic_rmw(self.word::<T>(offset)?, op, operand))
    }

    pub(super) fn word<T: Integer>(&self, offset: u64) -> Result<&T::Atomic, MemoryError> {
        let size = <T as sealed::Integer>::SIZE;
        let word = self.memory().word::<T>(offset);
        word.map_err(|trap| self.error(trap, offset, size, size))
    }

    pub(super) fn error(
        &self,
        trap: Trap,
        offset: u64,
        length: u64,
        alignment: u64,
    ) -> MemoryError {
        match trap {
            Trap::HeapMisaligned => MemoryError::Misaligned { offset, alignment },
            _ => MemoryError::OutOfBounds {
                offset,
                length,
                size: self.size(),
            },
        }
    }
}

impl ThreadContext {
    /// The memory that [`Process::memory`](crate::Process::memory) gives, for a host
    /// function that this thread has called: see
    /// [`ProcessBuilder::linker`](crate::ProcessBuilder::linker).
    ///
    /// Who waits in it, or for an object in it, is this thread: it counts as asleep, so
    /// that deadlocks are found, and it is woken when the process ends, with
    /// [`MemoryError::Ended`](crate::MemoryError::Ended), which the host function should
    /// pass on. To be used in the call and no longer; other threads of the host take
    /// [`Process::memory`](crate::Process::memory).
    #[must_use]
    pub fn memory(&self) -> Option<SharedMemory> {
        let has_memory = !self.process.memories().is_empty();
        has_memory.then(|| SharedMemory {
            arena: Arc::clone(self.process.arena()),
            caller: Some(GuestThread::of(self)),
            _presence: None,
        })
    }
}

impl std::fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedMemory")
            .field("size", &self.size())
            .field("max_size", &self.max_size())
            .finish_non_exhaustive()
    }
}
