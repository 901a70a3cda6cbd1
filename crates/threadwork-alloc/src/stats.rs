//! What an allocator weighs.

/// The memory that an allocator has taken from its backend, and what has become of it, in
/// bytes.
///
/// Counting each block would cost every allocation an atomic operation, so what the other
/// threads have in use is not known; everything else is exact, for one moment. In a program
/// of one thread, or when all others have ended, `others` is 0.
///
/// # Example
///
/// ```
/// # fn main() {
/// let stats = threadwork_alloc::Allocator::new().stats();
/// println!("{} of {} bytes are in use", stats.in_use(), stats.taken());
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Taken from the backend for small blocks: segments and heaps.
    pub reserved: usize,
    /// Of these, what describes the rest.
    pub metadata: usize,
    /// Of these, what no thread has in a slab.
    pub unused: usize,
    /// Of these, in blocks that are in use: those of the calling thread, and those of
    /// threads that have ended.
    pub used: usize,
    /// Of these, in slabs of other threads, whether in use or not.
    pub others: usize,
    /// In large blocks, which the backend has made itself.
    pub large: usize,
    /// How many heaps there are: one for each thread that allocates, or did.
    pub heaps: usize,
    /// How many of them wait for a new thread.
    pub idle: usize,
}

impl Stats {
    /// All memory that was taken from the backend.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.reserved + self.large
    }

    /// What is in use, as far as it is known. A block counts with its own size, which may be
    /// up to a quarter more than what was asked for.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.used + self.large
    }

    /// What was taken and is neither in use, nor perhaps in use by other threads.
    #[must_use]
    pub fn overhead(&self) -> usize {
        self.reserved - self.used - self.others
    }
}
