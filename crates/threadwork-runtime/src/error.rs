//! Why a runtime could not be made, with the remedy in each message.

use crate::shared_memory::MemoryError;

/// Why a runtime could not be made. The message says what to do.
///
/// ```
/// use threadwork_runtime::{Error, ThreadRuntime};
///
/// let error = ThreadRuntime::builder().memory_size(1).build().unwrap_err();
/// assert!(matches!(error, Error::MemorySize { memory_size: 1 }));
/// assert!(error.to_string().contains("a multiple of 65536"));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `memory_size` is not a number of pages.
    #[error(
        "memory_size is {memory_size}: set it to a multiple of 65536, one page or more, \
         such as {} (16 MiB)", 16 << 20
    )]
    MemorySize {
        /// The bytes asked for.
        memory_size: usize,
    },
    /// `memory_size` is more than WebAssembly has addresses for.
    #[error("memory_size is {memory_size}, more than 4 GiB: set it to 4294967296 or less")]
    MemoryTooLarge {
        /// The bytes asked for.
        memory_size: usize,
    },
    /// The shared memory could not be made.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// `tls_slot_size` is not a number of slots.
    #[error("tls_slot_size is {tls_slot_size}: set it to a multiple of 8, such as 1024")]
    SlotSize {
        /// The bytes asked for.
        tls_slot_size: usize,
    },
    /// The pool could not be made.
    #[error(transparent)]
    Pool(#[from] threadwork::Error),
}
