//! A memory as WebAssembly has it, shared by threads: zeroed pages that grow in place.
//!
//! Everything in it is found by its byte offset, and every access is checked. What a
//! host shares with a guest is written against the same names in `threadwork-engine`, so
//! a protocol can be written, and tested natively, before it crosses that border.
//!
//! # What is promised
//!
//! * The atomics are in one order that all threads agree on (sequentially consistent), as
//!   WebAssembly's. The plain accesses ([`read`](SharedMemory::read),
//!   [`write`](SharedMemory::write) and those of bytes) are in no order of their own: an
//!   atomic flag, a lock or a join orders them. An aligned number of up to 8 bytes is
//!   never seen torn.
//! * A call that fails has changed nothing.
//! * Growing moves nothing: an offset, a reference and a waiting thread stay valid.
//!
//! # What is not
//!
//! Rust's memory model, as that of C++, says nothing of threads that race on the same
//! bytes with accesses of *different* widths. Processors, and WebAssembly, mix the bytes.
//! Keep to one width for each word while others change it.
//!
//! Numbers have the byte order of the machine, which is little-endian on WebAssembly.

mod error;
mod objects;
pub(crate) mod plain;
mod segments;
mod word;

use std::sync::Arc;
use std::sync::atomic::{
    AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering,
};
use std::time::Duration;

use threadwork_sync::WaitResult;

pub use error::MemoryError;
pub use objects::Object;
pub use plain::Plain;
pub use word::AtomicWord;

use segments::{PAGE, Segments};

/// A memory of zeroed pages that threads share, access by byte offsets, and grow.
///
/// Clones are handles to the same memory, which is freed with the last.
///
/// # Widths
///
/// Keep to one width for each word while others change it. Threads that race on the same
/// bytes with accesses of different widths are outside of Rust's memory model, though each
/// access is an atomic one. WebAssembly has such races, and so this memory does not check
/// them: processors, and WebAssembly, mix the bytes, and Miri reports them.
///
/// # Example
///
/// ```
/// use threadwork_runtime::SharedMemory;
///
/// let memory = SharedMemory::new(1, 16)?;
/// std::thread::scope(|scope| {
///     for _ in 0..4 {
///         scope.spawn(|| memory.add(0, 1_i32));
///     }
/// });
/// assert_eq!(memory.load::<i32>(0)?, 4);
///
/// assert_eq!(memory.grow(1)?, 1);
/// memory.write(SharedMemory::PAGE, 2.5_f64)?;
/// # Ok::<(), threadwork_runtime::MemoryError>(())
/// ```
#[derive(Clone, Debug)]
pub struct SharedMemory {
    segments: Arc<Segments>,
}

impl SharedMemory {
    /// The bytes of a page, which is the unit of growth: 65,536.
    pub const PAGE: usize = PAGE;

    /// The most pages that a memory can have: 65,536, which are 4 GiB.
    pub const MAX_PAGES: u32 = segments::MAX_PAGES;

    /// A memory of `min_pages`, all bytes zero, that can grow to `max_pages`.
    ///
    /// # Errors
    ///
    /// [`Limits`](MemoryError::Limits) if `min_pages` exceeds `max_pages`, or that
    /// [`MAX_PAGES`](Self::MAX_PAGES); [`OutOfMemory`](MemoryError::OutOfMemory).
    pub fn new(min_pages: u32, max_pages: u32) -> Result<Self, MemoryError> {
        let segments = Arc::new(Segments::new(min_pages, max_pages)?);
        Ok(SharedMemory { segments })
    }

    /// Whether threads can share it: always.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        true
    }

    /// How many bytes it has now.
    #[must_use]
    pub fn size(&self) -> usize {
        self.segments.size()
    }

    /// How many pages it has now.
    #[must_use]
    pub fn pages(&self) -> u32 {
        (self.size() / PAGE) as u32
    }

    /// How many pages it may have.
    #[must_use]
    pub fn max_pages(&self) -> u32 {
        self.segments.max_pages()
    }

    /// Adds `delta` zeroed pages, and returns how many there were before.
    ///
    /// Every thread can use them at once, and nothing that was there moves. Blocks while
    /// another thread grows the memory.
    ///
    /// # Errors
    ///
    /// [`Maximum`](MemoryError::Maximum) and [`OutOfMemory`](MemoryError::OutOfMemory);
    /// the size is what it was.
    pub fn grow(&self, delta: u32) -> Result<u32, MemoryError> {
        self.segments.grow(delta)
    }

    /// The value whose bytes begin at `offset`, which need not be aligned.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](MemoryError::OutOfBounds).
    #[inline]
    pub fn read<T: Plain>(&self, offset: usize) -> Result<T, MemoryError> {
        let mut value = plain::zero::<T>();
        let bytes = plain::bytes_of_mut(&mut value);
        match is_word::<T>(offset) {
            true => segments::load_word(self.segments.at(offset, bytes.len())?, bytes),
            false => self.read_bytes(offset, bytes)?,
        }
        Ok(value)
    }

    /// Writes the bytes of `value` from `offset` on, which need not be aligned.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](MemoryError::OutOfBounds).
    #[inline]
    pub fn write<T: Plain>(&self, offset: usize, value: T) -> Result<(), MemoryError> {
        let bytes = plain::bytes_of(&value);
        match is_word::<T>(offset) {
            true => segments::store_word(self.segments.at(offset, bytes.len())?, bytes),
            false => self.write_bytes(offset, bytes)?,
        }
        Ok(())
    }

    /// Fills `to` with the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](MemoryError::OutOfBounds); `to` is what it was.
    pub fn read_bytes(&self, offset: usize, to: &mut [u8]) -> Result<(), MemoryError> {
        self.segments.check(offset, to.len())?;
        self.segments.copy_out(offset, to);
        Ok(())
    }

    /// Writes `from` to the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](MemoryError::OutOfBounds).
    pub fn write_bytes(&self, offset: usize, from: &[u8]) -> Result<(), MemoryError> {
        self.segments.check(offset, from.len())?;
        self.segments.copy_in(offset, from);
        Ok(())
    }

    /// Everything before it, of this thread, comes before everything after it, in the one
    /// order of all fences and atomics.
    ///
    /// # Example
    ///
    /// ```
    /// use threadwork_runtime::SharedMemory;
    ///
    /// let memory = SharedMemory::new(1, 1)?;
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| {
    ///         memory.write(64, 42_i32)?;
    ///         memory.fence();
    ///         memory.store(0, 1_i32)
    ///     });
    ///     while memory.load::<i32>(0)? == 0 {
    ///         std::thread::yield_now();
    ///     }
    ///     memory.fence();
    ///     assert_eq!(memory.read::<i32>(64)?, 42);
    ///     # Ok::<(), threadwork_runtime::MemoryError>(())
    /// })?;
    /// # Ok::<(), threadwork_runtime::MemoryError>(())
    /// ```
    pub fn fence(&self) {
        // Ordering: SeqCst, as WebAssembly's fence.
        std::sync::atomic::fence(Ordering::SeqCst);
    }

    /// Sleeps while the word at `offset` has the value `expected`, until notified or for
    /// `timeout`; `None` is for ever. Blocks; see [`wasm_futex::wait32`] for the details.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](MemoryError::OutOfBounds) and [`Unaligned`](MemoryError::Unaligned).
    pub fn wait32(
        &self,
        offset: usize,
        expected: i32,
        timeout: Option<Duration>,
    ) -> Result<WaitResult, MemoryError> {
        let word = self.u32(offset)?;
        Ok(wasm_futex::wait32(word, expected.cast_unsigned(), timeout))
    }

    /// [`wait32`](Self::wait32) for a word of 64 bits.
    ///
    /// # Errors
    ///
    /// As for 32 bits.
    pub fn wait64(
        &self,
        offset: usize,
        expected: i64,
        timeout: Option<Duration>,
    ) -> Result<WaitResult, MemoryError> {
        let word = self.u64(offset)?;
        Ok(wasm_futex::wait64(word, expected.cast_unsigned(), timeout))
    }

    /// Wakes up to `count` threads that wait at `offset`, by [`wait32`](Self::wait32) or
    /// [`wait64`](Self::wait64), and returns how many it woke. Never blocks.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](MemoryError::OutOfBounds) and [`Unaligned`](MemoryError::Unaligned),
    /// of a word of 32 bits.
    pub fn notify(&self, offset: usize, count: u32) -> Result<u32, MemoryError> {
        let woken = wasm_futex::notify(self.u32(offset)?, count);
        // One queue for both widths on WebAssembly; two natively.
        if cfg!(target_family = "wasm") || woken == count {
            return Ok(woken);
        }
        match self.u64(offset) {
            Ok(word) => Ok(woken + wasm_futex::notify64(word, count - woken)),
            // No word of 64 bits begins here, so nobody waits for one.
            Err(_) => Ok(woken),
        }
    }

    /// A run of words, all of which are there.
    pub(crate) fn words<T: AtomicWord>(
        &self,
        offset: usize,
        count: usize,
    ) -> Result<impl Iterator<Item = &T::Atomic>, MemoryError> {
        let size = self.size();
        let out_of_bounds = MemoryError::OutOfBounds {
            offset,
            size,
            len: usize::MAX,
        };
        let len = count.checked_mul(size_of::<T>()).ok_or(out_of_bounds)?;
        self.aligned(offset, len, size_of::<T>())?;
        Ok((0..count).map(move |index| {
            let (word, _) = self.segments.locate(offset + index * size_of::<T>());
            // SAFETY: as in `word`.
            unsafe { T::atomic_at(word) }
        }))
    }

    /// The word at `offset`.
    #[inline]
    pub(crate) fn word<T: AtomicWord>(&self, offset: usize) -> Result<&T::Atomic, MemoryError> {
        let word = self.aligned(offset, size_of::<T>(), size_of::<T>())?;
        // SAFETY: the bytes are there, as long as `self` at least, and accessed by atomics
        // alone. The word is aligned, as its offset is, and pieces are.
        Ok(unsafe { T::atomic_at(word) })
    }

    /// The first of `len` bytes, in one piece if they cross no page.
    #[inline]
    fn aligned(&self, offset: usize, len: usize, align: usize) -> Result<*mut u8, MemoryError> {
        if !offset.is_multiple_of(align) {
            return Err(MemoryError::Unaligned { offset, align });
        }
        self.segments.at(offset, len)
    }
}

/// Whether a value is a number at an aligned offset, which is accessed at once.
#[inline]
fn is_word<T>(offset: usize) -> bool {
    matches!(size_of::<T>(), 1 | 2 | 4 | 8) && offset.is_multiple_of(size_of::<T>())
}

/// The atomics, of any [`AtomicWord`]: `memory.add(0, 1_i32)`, `memory.load::<u8>(7)`.
///
/// # Errors
///
/// Each fails with [`OutOfBounds`](MemoryError::OutOfBounds) or
/// [`Unaligned`](MemoryError::Unaligned), and has then changed nothing.
impl SharedMemory {
    /// The value of the word.
    #[inline]
    pub fn load<T: AtomicWord>(&self, offset: usize) -> Result<T, MemoryError> {
        Ok(T::atomic_load(self.word::<T>(offset)?))
    }

    /// Sets the word.
    #[inline]
    pub fn store<T: AtomicWord>(&self, offset: usize, value: T) -> Result<(), MemoryError> {
        T::atomic_store(self.word::<T>(offset)?, value);
        Ok(())
    }

    /// Sets the word to `new` if it is `expected`. Returns the value that it had: it was
    /// set if that is `expected`.
    ///
    /// # Example
    ///
    /// ```
    /// use threadwork_runtime::SharedMemory;
    ///
    /// let memory = SharedMemory::new(1, 1)?;
    /// memory.store(0, 50)?;
    /// assert_eq!(memory.compare_exchange(0, 50, 75)?, 50);
    /// assert_eq!(memory.compare_exchange(0, 50, 100)?, 75, "it was not 50");
    /// assert_eq!(memory.load::<i32>(0)?, 75);
    /// # Ok::<(), threadwork_runtime::MemoryError>(())
    /// ```
    #[inline]
    pub fn compare_exchange<T: AtomicWord>(
        &self,
        offset: usize,
        expected: T,
        new: T,
    ) -> Result<T, MemoryError> {
        Ok(T::atomic_compare_exchange(
            self.word::<T>(offset)?,
            expected,
            new,
        ))
    }
}

macro_rules! updates {
    ($($(#[$doc:meta])* $name:ident by $operation:ident)*) => {
        impl SharedMemory {$(
            $(#[$doc])*
            ///
            /// # Errors
            ///
            /// [`OutOfBounds`](MemoryError::OutOfBounds) and
            /// [`Unaligned`](MemoryError::Unaligned).
            #[inline]
            pub fn $name<T: AtomicWord>(&self, offset: usize, value: T) -> Result<T, MemoryError> {
                Ok(T::$operation(self.word::<T>(offset)?, value))
            }
        )*}
    };
}

updates! {
    /// Adds to the word, wrapping around, and returns the value that it had.
    add by atomic_add
    /// Subtracts from the word, wrapping around, and returns the value that it had.
    sub by atomic_sub
    /// Keeps the bits of the word that `value` has, too, and returns the value that it had.
    and by atomic_and
    /// Sets the bits of the word that `value` has, and returns the value that it had.
    or by atomic_or
    /// Flips the bits of the word that `value` has, and returns the value that it had.
    xor by atomic_xor
    /// Sets the word, and returns the value that it had.
    exchange by atomic_exchange
}

macro_rules! views {
    ($($name:ident $atomic:ty)*) => {
        /// The words as std's atomics, for those who use one often.
        impl SharedMemory {$(
            /// The word at `offset`.
            ///
            /// # Errors
            ///
            /// [`OutOfBounds`](MemoryError::OutOfBounds) and
            /// [`Unaligned`](MemoryError::Unaligned).
            #[inline]
            pub fn $name(&self, offset: usize) -> Result<&$atomic, MemoryError> {
                self.word::<$name>(offset)
            }
        )*}
    };
}

views! {
    i8 AtomicI8
    u8 AtomicU8
    i16 AtomicI16
    u16 AtomicU16
    i32 AtomicI32
    u32 AtomicU32
    i64 AtomicI64
    u64 AtomicU64
}
