//! What the documentation leaves to lock_api works over the raw locks: guards of a part, guards
//! that own an `Arc`, a reentrant mutex, timeouts.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use lock_api::{GetThreadId, MutexGuard, RwLockReadGuard, RwLockWriteGuard};
use threadwork_sync::{RawMutex, RawRwLock};

type Mutex<T> = lock_api::Mutex<RawMutex, T>;
type RwLock<T> = lock_api::RwLock<RawRwLock, T>;

const SOON: Duration = Duration::from_millis(20);

#[test]
fn a_guard_of_a_part() {
    let mutex = Mutex::new((1, "two"));
    let mut part = MutexGuard::map(mutex.lock(), |data| &mut data.0);
    *part += 1;
    assert!(mutex.try_lock().is_none());
    drop(part);
    assert_eq!(*mutex.lock(), (2, "two"));

    let lock = RwLock::new([1, 2]);
    *RwLockWriteGuard::map(lock.write(), |data| &mut data[1]) += 1;
    let part = RwLockReadGuard::map(lock.read(), |data| &data[1]);
    assert_eq!(*part, 3);
    assert!(lock.try_read().is_some() && lock.try_write().is_none());
    drop(part);
    let reader = RwLockWriteGuard::downgrade(lock.write());
    assert!(lock.try_read().is_some() && lock.try_write().is_none());
    drop(reader);
}

#[test]
fn a_guard_that_owns_its_mutex() {
    let mutex = Arc::new(Mutex::new(1));
    let guard = mutex.lock_arc();
    let other = {
        let mutex = Arc::clone(&mutex);
        thread::spawn(move || *mutex.lock() += 1)
    };
    // It may go to another thread, and outlive this call.
    thread::spawn(move || drop(guard)).join().unwrap();
    other.join().unwrap();
    assert_eq!(*mutex.lock(), 2);
}

/// The address of a thread-local of the thread.
struct Here;

// SAFETY: no two threads have the same at one time.
unsafe impl GetThreadId for Here {
    const INIT: Self = Here;

    fn nonzero_thread_id(&self) -> NonZeroUsize {
        thread_local!(static PLACE: u8 = const { 0 });
        PLACE.with(|place| NonZeroUsize::new(std::ptr::from_ref(place).addr()).unwrap())
    }
}

#[test]
fn a_mutex_that_its_holder_may_lock_again() {
    let mutex = lock_api::ReentrantMutex::<RawMutex, Here, _>::new(1);
    let (first, second) = (mutex.lock(), mutex.lock());
    assert_eq!((*first, *second), (1, 1));
    thread::scope(|scope| {
        let other = scope.spawn(|| mutex.try_lock().is_none());
        assert!(other.join().unwrap());
    });
    drop(first);
    drop(second);
    assert!(mutex.try_lock().is_some());
}

#[test]
fn waits_that_give_up() {
    let (mutex, lock) = (Mutex::new(()), RwLock::new(()));
    let start = Instant::now();
    let guard = mutex.try_lock_for(SOON).unwrap();
    assert!(mutex.try_lock_for(SOON).is_none());
    assert!(mutex.try_lock_until(Instant::now() + SOON).is_none());
    drop(guard);
    let reader = lock.try_read_for(SOON).unwrap();
    assert!(lock.try_write_for(SOON).is_none());
    assert!(lock.try_write_until(Instant::now() + SOON).is_none());
    drop(reader);
    let writer = lock.try_write_for(SOON).unwrap();
    assert!(lock.try_read_for(SOON).is_none());
    assert!(lock.try_read_until(Instant::now() + SOON).is_none());
    drop(writer);
    assert!(start.elapsed() >= 6 * SOON);
}
