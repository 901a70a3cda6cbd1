//! The primitives of `threadwork-sync`, at offsets.

use threadwork_sync::{
    Barrier, Condvar, Latch, Once, Parker, RawMutex, RawPriorityMutex, RawRwLock, Semaphore,
    WaitGroup,
};

use super::{MemoryError, SharedMemory};

/// A primitive that can be placed in a [`SharedMemory`].
///
/// It lies at a multiple of its size, rounded up to a power of two. Primitives of one's own
/// can be placed, too.
///
/// # Safety
///
/// It consists of atomics and nothing else, without padding, and whatever its bytes are, it
/// can be used without undefined behaviour. It makes no difference whether its destructor
/// runs, if it has one, and its size is not zero.
pub unsafe trait Object: Sized + Sync {}

/// Primitives in the memory, for all threads that know the offset.
impl SharedMemory {
    /// Makes the bytes at `offset` those of `object`, for whoever comes later, and returns
    /// it. For objects that are not new when zeroed: a barrier of several threads, a
    /// semaphore with permits. Futures that wait for an object that was there before are woken, and
    /// look at the new one; threads are not.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](MemoryError::OutOfBounds) and
    /// [`Unaligned`](MemoryError::Unaligned).
    ///
    /// # Example
    ///
    /// ```
    /// use threadwork_runtime::SharedMemory;
    /// use threadwork::sync::Barrier;
    ///
    /// let memory = SharedMemory::new(1, 1)?;
    /// memory.place(32, Barrier::new(2))?;
    /// std::thread::scope(|scope| {
    ///     let other = scope.spawn(|| memory.barrier(32).map(Barrier::wait));
    ///     memory.barrier(32)?.wait();
    ///     other.join().unwrap().map(drop)
    /// })?;
    /// # Ok::<(), threadwork_runtime::MemoryError>(())
    /// ```
    pub fn place<T: Object>(&self, offset: usize, object: T) -> Result<&T, MemoryError> {
        let at = self.aligned(offset, size_of::<T>(), alignment::<T>())?;
        let start = std::ptr::from_ref(&object).cast();
        // SAFETY: an object has no padding, and nobody else has a reference to this one.
        let bytes = unsafe { std::slice::from_raw_parts(start, size_of::<T>()) };
        self.segments.copy_in(offset, bytes);
        threadwork_sync::look_again(at, size_of::<T>());
        // SAFETY: the bytes are there, in one piece and aligned, as long as `self` at
        // least, and accessed by atomics alone. Any bytes make an object.
        Ok(unsafe { &*at.cast() })
    }
}

/// At least what the type asks for, and so much that it crosses no page.
const fn alignment<T>() -> usize {
    size_of::<T>().next_power_of_two()
}

macro_rules! objects {
    ($($(#[$doc:meta])* $name:ident $type:ty;)*) => {
        /// Primitives in the memory, for all threads that know the offset. Where the bytes
        /// are zero there is a new one.
        impl SharedMemory {$(
            $(#[$doc])*
            ///
            /// # Errors
            ///
            /// [`OutOfBounds`](MemoryError::OutOfBounds) and
            /// [`Unaligned`](MemoryError::Unaligned).
            pub fn $name(&self, offset: usize) -> Result<&$type, MemoryError> {
                let at = self.aligned(offset, size_of::<$type>(), alignment::<$type>())?;
                // SAFETY: the bytes are there, in one piece and aligned, as long as `self`
                // at least, and accessed by atomics alone. The type is `repr(C)` or
                // transparent and consists of atomics, so any bytes make one.
                Ok(unsafe { &*at.cast() })
            }
        )*}
    };
}

objects! {
    /// The lock at `offset`: 4 bytes. Its methods ask for a futex, which is
    /// [`System`](threadwork_sync::System).
    mutex RawMutex;
    /// The reader-writer lock at `offset`: 16 bytes. Its methods ask for a futex, which is
    /// [`System`](threadwork_sync::System).
    rwlock RawRwLock;
    /// The lock with priorities at `offset`, a multiple of 32: 24 bytes. Its methods ask for
    /// a futex, which is [`System`](threadwork_sync::System).
    priority_mutex RawPriorityMutex;
    /// The condition variable at `offset`: 8 bytes.
    condvar Condvar;
    /// The barrier at `offset`: 16 bytes; of one thread if they are zero.
    barrier Barrier;
    /// The semaphore at `offset`: 8 bytes; without permits if they are zero.
    semaphore Semaphore;
    /// The latch at `offset`: 4 bytes.
    latch Latch;
    /// The wait group at `offset`: 4 bytes.
    wait_group WaitGroup;
    /// The parker at `offset`: 4 bytes.
    parker Parker;
    /// The once at `offset`: 4 bytes.
    once Once;
}

macro_rules! placed {
    ($($type:ty)*) => {$(
        // SAFETY: `repr(C)` or transparent, and filled by atomics of 4 and 8 bytes. It is
        // safe to use whatever they are: nothing but progress depends on them.
        unsafe impl Object for $type {}
    )*};
}

placed!(RawMutex RawRwLock Condvar Barrier Semaphore Latch WaitGroup Parker Once);
