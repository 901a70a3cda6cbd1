//! [`SharedMemory`]: a shared linear memory as the host uses it.
//!
//! Everything is by byte offset, and checked: what is out of bounds or not aligned is an
//! error and changes nothing. Atomic operations are the guest's own, in one order with
//! them; waits and notifies meet the guest's in one parking lot; and the primitives of
//! `threadwork-sync` work at an offset, so that threads of the host and of the guest meet
//! at one barrier and lock one mutex.
//!
//! | file | holds |
//! |---|---|
//! | `memory.rs` | access, atomic operations, wait and notify, growth |
//! | `batch.rs` | many operations in one call |
//! | `objects.rs` | objects of the host's own, which the guest's allocator never touches |
//! | `guest_thread.rs` | a guest thread in a host function that uses its memory |
//! | `futex.rs` | where a thread of the host sleeps for a primitive |
//! | `primitives.rs` | mutex, reader-writer lock, barrier, ... at an offset |

mod batch;
mod futex;
mod guest_thread;
mod memory;
mod objects;
mod primitives;

pub use batch::{AtomicBatch, BatchResult};
pub use memory::{MemoryError, SharedMemory};
pub use objects::{CacheAligned, Object};
pub use primitives::{
    SharedBarrier, SharedCondvar, SharedLatch, SharedMutex, SharedMutexGuard, SharedRwLock,
    SharedRwLockReadGuard, SharedRwLockWriteGuard, SharedSemaphore, SharedSemaphorePermit,
};
