//! The raw locks under lock_api's traits: with them come guards of a part, guards that own an
//! `Arc`, and reentrant mutexes, all of which are lock_api's.
//!
//! Loom's atomics cannot be made at compile time, as `INIT` is, so this is not there under loom.

#[cfg(feature = "std")]
use core::time::Duration;

use lock_api::GuardSend;

use crate::raw_mutex::RawMutex;
use crate::raw_rwlock::RawRwLock;
use crate::system::System;
#[cfg(feature = "std")]
use crate::waiter::block;

// SAFETY: the compare-and-swap of `LOCKED` makes the holder the only one.
unsafe impl lock_api::RawMutex for RawMutex {
    const INIT: Self = Self::new();
    type Guard = GuardSend;

    fn lock(&self) -> GuardSend {
        self.lock_with(&System);
        GuardSend::new()
    }

    fn try_lock(&self) -> Option<GuardSend> {
        Self::try_lock(self).then(GuardSend::new)
    }

    unsafe fn unlock(&self, _: GuardSend) {
        // SAFETY: the caller's promise.
        unsafe { self.unlock_with(&System) };
    }

    fn is_locked(&self) -> bool {
        Self::is_locked(self)
    }
}

#[cfg(feature = "std")]
// SAFETY: the same lock.
unsafe impl lock_api::RawMutexTimed for RawMutex {
    type Duration = Duration;
    type Instant = std::time::Instant;

    fn try_lock_for(&self, timeout: Duration) -> Option<GuardSend> {
        let taken =
            Self::try_lock(self) || block(&System, self.acquire(&System), Some(timeout)).is_some();
        taken.then(GuardSend::new)
    }

    fn try_lock_until(&self, deadline: std::time::Instant) -> Option<GuardSend> {
        lock_api::RawMutexTimed::try_lock_for(self, left(deadline))
    }
}

// SAFETY: a writer sets `LOCKED` only in a state without it and without active readers,
// and a reader is counted active only in a state without it.
unsafe impl lock_api::RawRwLock for RawRwLock {
    const INIT: Self = Self::new();
    type SharedGuard = GuardSend;
    type ExclusiveGuard = GuardSend;

    fn lock_shared(&self) -> GuardSend {
        self.read_with(&System);
        GuardSend::new()
    }

    fn try_lock_shared(&self) -> Option<GuardSend> {
        self.try_read().then(GuardSend::new)
    }

    unsafe fn unlock_shared(&self, _: GuardSend) {
        // SAFETY: the caller's promise.
        unsafe { self.unlock_read_with(&System) };
    }

    fn lock_exclusive(&self) -> GuardSend {
        self.write_with(&System);
        GuardSend::new()
    }

    fn try_lock_exclusive(&self) -> Option<GuardSend> {
        self.try_write().then(GuardSend::new)
    }

    unsafe fn unlock_exclusive(&self, _: GuardSend) {
        // SAFETY: the caller's promise.
        unsafe { self.unlock_write_with(&System) };
    }

    fn is_locked(&self) -> bool {
        Self::is_locked(self)
    }

    fn is_locked_exclusive(&self) -> bool {
        self.is_write_locked()
    }
}

#[cfg(feature = "std")]
// SAFETY: the same lock.
unsafe impl lock_api::RawRwLockTimed for RawRwLock {
    type Duration = Duration;
    type Instant = std::time::Instant;

    fn try_lock_shared_for(&self, timeout: Duration) -> Option<GuardSend> {
        let taken =
            self.try_read() || block(&System, self.acquire_read(&System), Some(timeout)).is_some();
        taken.then(GuardSend::new)
    }

    fn try_lock_shared_until(&self, deadline: std::time::Instant) -> Option<GuardSend> {
        self.try_lock_shared_for(left(deadline))
    }

    fn try_lock_exclusive_for(&self, timeout: Duration) -> Option<GuardSend> {
        let taken = self.try_write()
            || block(&System, self.acquire_write(&System), Some(timeout)).is_some();
        taken.then(GuardSend::new)
    }

    fn try_lock_exclusive_until(&self, deadline: std::time::Instant) -> Option<GuardSend> {
        self.try_lock_exclusive_for(left(deadline))
    }
}

#[cfg(feature = "std")]
fn left(deadline: std::time::Instant) -> Duration {
    deadline.saturating_duration_since(std::time::Instant::now())
}

// SAFETY: the downgrade goes from `LOCKED` to an active reader in one step.
unsafe impl lock_api::RawRwLockDowngrade for RawRwLock {
    unsafe fn downgrade(&self, _: GuardSend) -> GuardSend {
        // SAFETY: the caller's promise.
        unsafe { self.downgrade_with(&System) };
        GuardSend::new()
    }
}
