//! The primitives of `threadwork-sync` at an offset of a [`SharedMemory`].
//!
//! A guest's `threadwork_sync::Mutex`, and so on, is the same bytes with the same
//! protocol; so a handle on its offset lets a thread of the host lock what guests lock.
//! Guests in other languages find the words of each, and what they mean, on its page
//! there. Objects that the host makes ([`SharedMemory::mutex`], ...) are in pages that the
//! guest's allocator never touches; guests are told the offset.
//!
//! Whatever waits ends with [`MemoryError::Ended`] when the program of the memory does. A
//! lock that is held by a task that traps, or by a thread that is ended, is held for ever.
//!
//! A guest can write anything over an object, and can only break waiting by it: no
//! memory of the host depends on what it says. An operation that finds nonsense panics
//! inside of `threadwork-sync`; the panic is caught here and becomes
//! [`MemoryError::Damaged`]. (The host's panic hook sees it.)

use super::futex::HostFutex;
use super::memory::{MemoryError, SharedMemory};
use super::objects::Object;
use crate::linear_memory::Shareable;
use std::alloc::Layout;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use threadwork_sync::{
    Barrier, BarrierWaitResult, Condvar, Latch, RawMutex, RawRwLock, Semaphore, block,
};

// SAFETY: one `AtomicU32`.
unsafe impl Shareable for RawMutex {}
// SAFETY: an `AtomicU64` and two `AtomicU32`, 16 bytes.
unsafe impl Shareable for RawRwLock {}
// SAFETY: an `AtomicU64` and two `AtomicU32`, 16 bytes.
unsafe impl Shareable for Barrier {}
// SAFETY: two `AtomicU32`.
unsafe impl Shareable for Semaphore {}
// SAFETY: two `AtomicU32`.
unsafe impl Shareable for Condvar {}
// SAFETY: one `AtomicU32`.
unsafe impl Shareable for Latch {}

/// An object of type `T` at an offset.
struct At<T> {
    memory: SharedMemory,
    offset: u64,
    /// If the host has made it: the last handle frees it.
    object: Option<Arc<Object>>,
    _type: PhantomData<fn() -> T>,
}

impl<T> Clone for At<T> {
    fn clone(&self) -> Self {
        Self {
            memory: self.memory.clone(),
            object: self.object.clone(),
            ..*self
        }
    }
}

impl<T: Shareable> At<T> {
    /// What is at an offset already.
    fn new(memory: &SharedMemory, offset: u64) -> Result<Self, MemoryError> {
        let at = Self {
            memory: memory.clone(),
            offset,
            object: None,
            _type: PhantomData,
        };
        at.get()?;
        Ok(at)
    }

    /// A new one.
    fn make(memory: &SharedMemory, value: T) -> Result<Self, MemoryError> {
        let object = memory.allocate(Layout::new::<T>())?;
        let offset = object.offset();
        let placed = memory.memory().place(offset, value);
        placed.map_err(|trap| memory.error(trap, offset, size_of::<T>() as u64, 1))?;
        Ok(Self {
            object: Some(Arc::new(object)),
            ..Self::new(memory, offset)?
        })
    }

    fn get(&self) -> Result<&T, MemoryError> {
        let (size, alignment) = (size_of::<T>() as u64, align_of::<T>() as u64);
        let object = self.memory.memory().object(self.offset);
        object.map_err(|trap| self.memory.error(trap, self.offset, size, alignment))
    }

    /// Does something that may wait. `None` from `body` says that it waited too long.
    fn act<R>(
        &self,
        body: impl FnOnce(&T, &HostFutex<'_>) -> Option<R>,
    ) -> Result<Option<R>, MemoryError> {
        let object = self.get()?;
        let futex = HostFutex::new(&self.memory, self.offset);
        let result = self.guarded(|| body(object, &futex))?;
        match futex.has_ended() {
            true => Err(MemoryError::Ended),
            false => Ok(result),
        }
    }

    /// Does something that waits without a timeout.
    fn wait<R>(
        &self,
        body: impl FnOnce(&T, &HostFutex<'_>) -> Option<R>,
    ) -> Result<R, MemoryError> {
        // Without a timeout only the end ends a wait.
        self.act(body)?.ok_or(MemoryError::Ended)
    }

    fn guarded<R>(&self, body: impl FnOnce() -> R) -> Result<R, MemoryError> {
        // What is left half-done is the object, which is the guest's to mend.
        catch_unwind(AssertUnwindSafe(body)).map_err(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            MemoryError::Damaged {
                offset: self.offset,
                message: text.unwrap_or("it makes no sense").to_owned(),
            }
        })
    }
}

/// Defines what all handles have.
macro_rules! handle {
    ($($name:ident of $object:ty: $at:ident;)*) => {$(
        impl $name {
            /// Where it is, for guests.
            #[must_use]
            pub fn offset(&self) -> u64 {
                self.0.offset
            }
        }

        impl SharedMemory {
            #[doc = concat!("The `threadwork_sync::", stringify!($object), "` at an offset.")]
            ///
            /// # Errors
            ///
            /// [`MemoryError::OutOfBounds`] or [`MemoryError::Misaligned`].
            pub fn $at(&self, offset: u64) -> Result<$name, MemoryError> {
                At::new(self, offset).map($name)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("offset", &self.0.offset)
                    .finish_non_exhaustive()
            }
        }
    )*};
}

handle! {
    SharedMutex of RawMutex: mutex_at;
    SharedRwLock of RawRwLock: rwlock_at;
    SharedBarrier of Barrier: barrier_at;
    SharedSemaphore of Semaphore: semaphore_at;
    SharedCondvar of Condvar: condvar_at;
    SharedLatch of Latch: latch_at;
}

impl SharedMemory {
    /// A new mutex, unlocked: four bytes of zero.
    ///
    /// # Errors
    ///
    /// [`MemoryError::Full`], here and of the other primitives.
    pub fn mutex(&self) -> Result<SharedMutex, MemoryError> {
        At::make(self, RawMutex::new()).map(SharedMutex)
    }

    /// A new reader-writer lock, unlocked: 16 bytes of zero.
    ///
    /// # Errors
    ///
    /// [`MemoryError::Full`].
    pub fn rwlock(&self) -> Result<SharedRwLock, MemoryError> {
        At::make(self, RawRwLock::new()).map(SharedRwLock)
    }

    /// A new barrier, which opens whenever so many threads have come.
    ///
    /// # Errors
    ///
    /// [`MemoryError::Full`].
    ///
    /// # Panics
    ///
    /// When `parties` is zero.
    pub fn barrier(&self, parties: u32) -> Result<SharedBarrier, MemoryError> {
        At::make(self, Barrier::new(parties)).map(SharedBarrier)
    }

    /// A new semaphore, with so many free permits.
    ///
    /// # Errors
    ///
    /// [`MemoryError::Full`].
    ///
    /// # Panics
    ///
    /// When there are more than 2^30 - 1 permits.
    pub fn semaphore(&self, permits: u32) -> Result<SharedSemaphore, MemoryError> {
        At::make(self, Semaphore::new(permits)).map(SharedSemaphore)
    }

    /// A new condition variable: eight bytes of zero.
    ///
    /// # Errors
    ///
    /// [`MemoryError::Full`].
    pub fn condvar(&self) -> Result<SharedCondvar, MemoryError> {
        At::make(self, Condvar::new()).map(SharedCondvar)
    }

    /// A new latch, closed: four bytes of zero.
    ///
    /// # Errors
    ///
    /// [`MemoryError::Full`].
    pub fn latch(&self) -> Result<SharedLatch, MemoryError> {
        At::make(self, Latch::new()).map(SharedLatch)
    }
}

/// A mutex in a [`SharedMemory`]: [`threadwork_sync::RawMutex`]. What it protects is up
/// to those who lock it. Cheap to clone.
///
/// ```
/// # use threadwork_engine::{Engine, SharedMemory};
/// # fn main() -> anyhow::Result<()> {
/// # let memory = SharedMemory::new(&Engine::new()?, 1, 16)?;
/// let mutex = memory.mutex()?;
/// {
///     let _guard = mutex.lock()?;
///     memory.write(0, memory.read::<f64>(0)? + 1.5)?;
///     assert!(mutex.try_lock()?.is_none());
/// }
/// assert!(mutex.try_lock()?.is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SharedMutex(At<RawMutex>);

impl SharedMutex {
    /// Takes the lock. Blocks until it is free.
    ///
    /// # Errors
    ///
    /// [`MemoryError::Ended`] or [`MemoryError::Damaged`], here and of all that waits.
    pub fn lock(&self) -> Result<SharedMutexGuard<'_>, MemoryError> {
        self.0
            .wait(|raw, futex| block(futex, raw.acquire(futex), None))?;
        Ok(SharedMutexGuard { mutex: self })
    }

    /// Takes the lock, or gives up after `timeout`.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub fn lock_timeout(
        &self,
        timeout: Duration,
    ) -> Result<Option<SharedMutexGuard<'_>>, MemoryError> {
        let taken = self
            .0
            .act(|raw, futex| block(futex, raw.acquire(futex), Some(timeout)))?;
        Ok(taken.map(|()| SharedMutexGuard { mutex: self }))
    }

    /// Takes the lock if it is free. Never blocks.
    ///
    /// # Errors
    ///
    /// None but that the memory is not there.
    pub fn try_lock(&self) -> Result<Option<SharedMutexGuard<'_>>, MemoryError> {
        let taken = self.0.get()?.try_lock();
        Ok(taken.then(|| SharedMutexGuard { mutex: self }))
    }

    /// Whether somebody holds the lock at this moment.
    ///
    /// # Errors
    ///
    /// As [`try_lock`](Self::try_lock).
    pub fn is_locked(&self) -> Result<bool, MemoryError> {
        Ok(self.0.get()?.is_locked())
    }
}

/// Holds a [`SharedMutex`] until it is dropped.
#[must_use = "if unused the mutex is unlocked at once"]
#[derive(Debug)]
pub struct SharedMutexGuard<'a> {
    mutex: &'a SharedMutex,
}

impl Drop for SharedMutexGuard<'_> {
    fn drop(&mut self) {
        // A lock that somebody else has unlocked or overwritten is nobody's to unlock.
        let _ = self.mutex.0.act(|raw, futex| {
            // SAFETY: the guard holds the lock, and gives it up. Nothing of the host's
            // depends on that: what the lock protects is in the guest's memory.
            unsafe { raw.unlock_with(futex) };
            Some(())
        });
    }
}

/// A reader-writer lock in a [`SharedMemory`]: [`threadwork_sync::RawRwLock`]. Cheap to
/// clone.
///
/// ```
/// # use threadwork_engine::{Engine, SharedMemory};
/// # fn main() -> anyhow::Result<()> {
/// # let memory = SharedMemory::new(&Engine::new()?, 1, 16)?;
/// let lock = memory.rwlock()?;
/// let (one, two) = (lock.read()?, lock.read()?);
/// assert!(lock.try_write()?.is_none());
/// # drop((one, two));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SharedRwLock(At<RawRwLock>);

impl SharedRwLock {
    /// Takes the lock for reading. Blocks while a writer holds it or waits for it.
    ///
    /// # Errors
    ///
    /// As [`SharedMutex::lock`].
    pub fn read(&self) -> Result<SharedRwLockReadGuard<'_>, MemoryError> {
        self.0
            .wait(|raw, futex| block(futex, raw.acquire_read(futex), None))?;
        Ok(SharedRwLockReadGuard { lock: self })
    }

    /// Takes the lock for reading, or gives up after `timeout`.
    ///
    /// # Errors
    ///
    /// As [`SharedMutex::lock`].
    pub fn read_timeout(
        &self,
        timeout: Duration,
    ) -> Result<Option<SharedRwLockReadGuard<'_>>, MemoryError> {
        let taken = self
            .0
            .act(|raw, futex| block(futex, raw.acquire_read(futex), Some(timeout)))?;
        Ok(taken.map(|()| SharedRwLockReadGuard { lock: self }))
    }

    /// Takes the lock for reading if no writer holds it or waits. Never blocks.
    ///
    /// # Errors
    ///
    /// [`MemoryError::Damaged`].
    pub fn try_read(&self) -> Result<Option<SharedRwLockReadGuard<'_>>, MemoryError> {
        let raw = self.0.get()?;
        let taken = self.0.guarded(|| raw.try_read())?;
        Ok(taken.then(|| SharedRwLockReadGuard { lock: self }))
    }

    /// Takes the lock for writing. Blocks while anybody holds it.
    ///
    /// # Errors
    ///
    /// As [`SharedMutex::lock`].
    pub fn write(&self) -> Result<SharedRwLockWriteGuard<'_>, MemoryError> {
        self.0
            .wait(|raw, futex| block(futex, raw.acquire_write(futex), None))?;
        Ok(SharedRwLockWriteGuard { lock: self })
    }

    /// Takes the lock for writing, or gives up after `timeout`.
    ///
    /// # Errors
    ///
    /// As [`SharedMutex::lock`].
    pub fn write_timeout(
        &self,
        timeout: Duration,
    ) -> Result<Option<SharedRwLockWriteGuard<'_>>, MemoryError> {
        let taken = self
            .0
            .act(|raw, futex| block(futex, raw.acquire_write(futex), Some(timeout)))?;
        Ok(taken.map(|()| SharedRwLockWriteGuard { lock: self }))
    }

    /// Takes the lock for writing if nobody holds it or waits. Never blocks.
    ///
    /// # Errors
    ///
    /// None but that the memory is not there.
    pub fn try_write(&self) -> Result<Option<SharedRwLockWriteGuard<'_>>, MemoryError> {
        let taken = self.0.get()?.try_write();
        Ok(taken.then(|| SharedRwLockWriteGuard { lock: self }))
    }
}

/// Holds a [`SharedRwLock`] for reading until it is dropped.
#[must_use = "if unused the lock is given up at once"]
#[derive(Debug)]
pub struct SharedRwLockReadGuard<'a> {
    lock: &'a SharedRwLock,
}

impl Drop for SharedRwLockReadGuard<'_> {
    fn drop(&mut self) {
        // As for a mutex.
        let _ = self.lock.0.act(|raw, futex| {
            // SAFETY: as for a mutex.
            unsafe { raw.unlock_read_with(futex) };
            Some(())
        });
    }
}

/// Holds a [`SharedRwLock`] for writing until it is dropped.
#[must_use = "if unused the lock is given up at once"]
#[derive(Debug)]
pub struct SharedRwLockWriteGuard<'a> {
    lock: &'a SharedRwLock,
}

impl Drop for SharedRwLockWriteGuard<'_> {
    fn drop(&mut self) {
        // As for a mutex.
        let _ = self.lock.0.act(|raw, futex| {
            // SAFETY: as for a mutex.
            unsafe { raw.unlock_write_with(futex) };
            Some(())
        });
    }
}

/// A barrier in a [`SharedMemory`]: [`threadwork_sync::Barrier`]. Cheap to clone.
///
/// ```
/// # use threadwork_engine::{Engine, SharedMemory};
/// # fn main() -> anyhow::Result<()> {
/// # let memory = SharedMemory::new(&Engine::new()?, 1, 16)?;
/// let barrier = memory.barrier(2)?;
/// std::thread::scope(|scope| {
///     let other = scope.spawn(|| barrier.wait());
///     let leads = barrier.wait()?.is_leader();
///     assert_ne!(leads, other.join().unwrap()?.is_leader());
///     Ok::<_, anyhow::Error>(())
/// })?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SharedBarrier(At<Barrier>);

impl SharedBarrier {
    /// Arrives, and waits for the others.
    ///
    /// # Errors
    ///
    /// As [`SharedMutex::lock`].
    pub fn wait(&self) -> Result<BarrierWaitResult, MemoryError> {
        self.0
            .wait(|barrier, futex| block(futex, barrier.waiter(futex), None))
    }

    /// Arrives, and waits for the others, or withdraws after `timeout`; see
    /// [`threadwork_sync::Barrier::wait_timeout`].
    ///
    /// # Errors
    ///
    /// As [`SharedMutex::lock`].
    pub fn wait_timeout(
        &self,
        timeout: Duration,
    ) -> Result<Option<BarrierWaitResult>, MemoryError> {
        self.0
            .act(|barrier, futex| block(futex, barrier.waiter(futex), Some(timeout)))
    }
}

/// A semaphore in a [`SharedMemory`]: [`threadwork_sync::Semaphore`]. Cheap to clone.
///
/// ```
/// # use threadwork_engine::{Engine, SharedMemory};
/// # fn main() -> anyhow::Result<()> {
/// # let memory = SharedMemory::new(&Engine::new()?, 1, 16)?;
/// let semaphore = memory.semaphore(3)?;
/// let two = semaphore.acquire(2)?;
/// assert_eq!(semaphore.available()?, 1);
/// drop(two);
/// assert_eq!(semaphore.available()?, 3);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SharedSemaphore(At<Semaphore>);

impl SharedSemaphore {
    /// Takes `permits`. Blocks until they are free.
    ///
    /// # Errors
    ///
    /// As [`SharedMutex::lock`]; [`MemoryError::Damaged`] if no semaphore has so many.
    pub fn acquire(&self, permits: u32) -> Result<SharedSemaphorePermit<'_>, MemoryError> {
        self.0
            .wait(|raw, futex| block(futex, raw.waiter(permits, futex), None))?;
        Ok(self.permit(permits))
    }

    /// Takes `permits`, or gives up after `timeout` and takes none.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_timeout(
        &self,
        permits: u32,
        timeout: Duration,
    ) -> Result<Option<SharedSemaphorePermit<'_>>, MemoryError> {
        let taken = self
            .0
            .act(|raw, futex| block(futex, raw.waiter(permits, futex), Some(timeout)))?;
        Ok(taken.map(|()| self.permit(permits)))
    }

    /// Takes `permits` if so many are free. Never blocks.
    ///
    /// # Errors
    ///
    /// None but that the memory is not there.
    pub fn try_acquire(
        &self,
        permits: u32,
    ) -> Result<Option<SharedSemaphorePermit<'_>>, MemoryError> {
        let taken = self.0.get()?.try_acquire_many(permits);
        Ok(taken.map(|permit| {
            // Given back through the host's futex, not by its own drop.
            permit.forget();
            self.permit(permits)
        }))
    }

    /// Makes `permits` more free, and wakes those who wait for them.
    ///
    /// # Errors
    ///
    /// [`MemoryError::Damaged`] if there would be more than a semaphore can have.
    pub fn release(&self, permits: u32) -> Result<(), MemoryError> {
        let release = self.0.act(|raw, futex| {
            raw.release_with(permits, futex);
            Some(())
        });
        release.map(|_| ())
    }

    /// The permits that are free at this moment.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    pub fn available(&self) -> Result<u32, MemoryError> {
        Ok(self.0.get()?.available())
    }

    fn permit(&self, permits: u32) -> SharedSemaphorePermit<'_> {
        SharedSemaphorePermit {
            semaphore: self,
            permits,
        }
    }
}

/// Permits of a [`SharedSemaphore`]; gives them back when dropped.
#[must_use = "if unused the permits are given back at once"]
#[derive(Debug)]
pub struct SharedSemaphorePermit<'a> {
    semaphore: &'a SharedSemaphore,
    permits: u32,
}

impl SharedSemaphorePermit<'_> {
    /// How many these are.
    #[must_use]
    pub fn permits(&self) -> u32 {
        self.permits
    }

    /// Does not give them back: somebody else will
    /// [release](SharedSemaphore::release) them, such as a guest.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for SharedSemaphorePermit<'_> {
    fn drop(&mut self) {
        // A semaphore that has too many already has been overwritten.
        let _ = self.semaphore.release(self.permits);
    }
}

/// A condition variable in a [`SharedMemory`]: [`threadwork_sync::Condvar`]. Cheap to
/// clone.
///
/// ```
/// # use threadwork_engine::{Engine, SharedMemory};
/// # fn main() -> anyhow::Result<()> {
/// # let memory = SharedMemory::new(&Engine::new()?, 1, 16)?;
/// let (mutex, changed) = (memory.mutex()?, memory.condvar()?);
/// std::thread::scope(|scope| {
///     scope.spawn(|| {
///         let _guard = mutex.lock();
///         memory.store(0, 1_u32).and_then(|()| changed.notify_one())
///     });
///     let mut guard = mutex.lock()?;
///     while memory.load::<u32>(0)? == 0 {
///         guard = changed.wait(guard)?;
///     }
///     Ok::<_, anyhow::Error>(())
/// })?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SharedCondvar(At<Condvar>);

impl SharedCondvar {
    /// Unlocks the mutex, sleeps until notified, and locks it again. It may also return
    /// without a notify.
    ///
    /// # Errors
    ///
    /// As [`SharedMutex::lock`]; then the mutex is not locked by the caller.
    pub fn wait<'a>(
        &self,
        guard: SharedMutexGuard<'a>,
    ) -> Result<SharedMutexGuard<'a>, MemoryError> {
        let mutex = guard.mutex;
        self.0.wait(|condvar, futex| {
            let waiter = condvar.waiter(futex);
            drop(guard);
            block(futex, waiter, None)
        })?;
        mutex.lock()
    }

    /// As [`wait`](Self::wait), for at most `timeout`; true if it was notified.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout<'a>(
        &self,
        guard: SharedMutexGuard<'a>,
        timeout: Duration,
    ) -> Result<(SharedMutexGuard<'a>, bool), MemoryError> {
        let mutex = guard.mutex;
        let notified = self.0.act(|condvar, futex| {
            let waiter = condvar.waiter(futex);
            drop(guard);
            block(futex, waiter, Some(timeout))
        })?;
        Ok((mutex.lock()?, notified.is_some()))
    }

    /// Wakes one of those that wait.
    ///
    /// # Errors
    ///
    /// None but that the memory is not there.
    pub fn notify_one(&self) -> Result<(), MemoryError> {
        self.notify(|condvar, futex| condvar.notify_one_with(futex))
    }

    /// Wakes all that wait.
    ///
    /// # Errors
    ///
    /// None but that the memory is not there.
    pub fn notify_all(&self) -> Result<(), MemoryError> {
        self.notify(|condvar, futex| condvar.notify_all_with(futex))
    }

    fn notify(&self, notify: impl FnOnce(&Condvar, &HostFutex<'_>)) -> Result<(), MemoryError> {
        let notified = self.0.act(|condvar, futex| {
            notify(condvar, futex);
            Some(())
        });
        notified.map(|_| ())
    }
}

/// A latch in a [`SharedMemory`]: [`threadwork_sync::Latch`]. Cheap to clone.
///
/// ```
/// # use threadwork_engine::{Engine, SharedMemory};
/// # fn main() -> anyhow::Result<()> {
/// # let memory = SharedMemory::new(&Engine::new()?, 1, 16)?;
/// let ready = memory.latch()?;
/// ready.open()?;
/// ready.wait()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SharedLatch(At<Latch>);

impl SharedLatch {
    /// Opens the latch for ever, and wakes everybody who waits.
    ///
    /// # Errors
    ///
    /// None but that the memory is not there.
    pub fn open(&self) -> Result<(), MemoryError> {
        let opened = self.0.act(|latch, futex| {
            latch.open_with(futex);
            Some(())
        });
        opened.map(|_| ())
    }

    /// Whether it is open.
    ///
    /// # Errors
    ///
    /// None but that the memory is not there.
    pub fn is_open(&self) -> Result<bool, MemoryError> {
        Ok(self.0.get()?.is_open())
    }

    /// Waits until the latch is open.
    ///
    /// # Errors
    ///
    /// As [`SharedMutex::lock`].
    pub fn wait(&self) -> Result<(), MemoryError> {
        self.0
            .wait(|latch, futex| block(futex, latch.waiter(), None))
    }

    /// As [`wait`](Self::wait), for at most `timeout`; returns whether it is open.
    ///
    /// # Errors
    ///
    /// As [`SharedMutex::lock`].
    pub fn wait_timeout(&self, timeout: Duration) -> Result<bool, MemoryError> {
        let open = self
            .0
            .act(|latch, futex| block(futex, latch.waiter(), Some(timeout)))?;
        Ok(open.is_some())
    }
}
