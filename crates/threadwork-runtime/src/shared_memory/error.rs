use thiserror::Error;

/// Why a call of a [`SharedMemory`](super::SharedMemory) did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// Some of the bytes are outside of the memory.
    #[error(
        "{len} bytes at offset {offset} do not lie inside the memory of {size} bytes: \
         grow it, or use a smaller offset"
    )]
    OutOfBounds {
        /// Where they begin.
        offset: usize,
        /// How long the memory is.
        size: usize,
        /// How many they are.
        len: usize,
    },
    /// An atomic access that is not aligned.
    #[error(
        "the offset {offset} of an atomic access is not a multiple of {align}: \
         align the word to its size"
    )]
    Unaligned {
        /// Where the word begins.
        offset: usize,
        /// What the offset has to be a multiple of.
        align: usize,
    },
    /// The limits that were asked for are no limits of a memory.
    #[error(
        "a memory cannot have {min_pages} to {max_pages} pages: the minimum may not exceed the \
         maximum, nor that 65536 pages (4 GiB)"
    )]
    Limits {
        /// The pages to begin with.
        min_pages: u32,
        /// The most pages.
        max_pages: u32,
    },
    /// The memory may not become as large as that.
    #[error(
        "a memory of {pages} pages cannot grow by {delta}: its maximum is {max_pages}; \
         make it with a larger one"
    )]
    Maximum {
        /// How many it has.
        pages: u32,
        /// How many more were asked for.
        delta: u32,
        /// How many it may have.
        max_pages: u32,
    },
    /// The allocator has no more.
    #[error(
        "the allocator cannot provide {bytes} bytes for the pages of a memory: free \
         something, or raise the limit of the process"
    )]
    OutOfMemory {
        /// How many bytes were asked for.
        bytes: usize,
    },
}
