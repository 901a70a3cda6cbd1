//! `RwLock`: exclusion, phases, and no lost wake-up whoever gives up.

use std::ptr;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use loom::cell::UnsafeCell;
use loom::future::block_on;
use loom::sync::Arc;
use loom::sync::atomic::Ordering;
use loom::thread;
use threadwork_sync::{
    AtomicU32, AtomicU64, Futex, Patience, RawRwLock, Resumed, RwLock, RwLockWriteGuard, Step,
    System, WaitResult, Waiter, block,
};

use crate::model;

const SOON: Duration = Duration::from_secs(1);

/// Loom complains of a write beside any other access, and of a read of what the reader
/// should not see yet.
struct Value(UnsafeCell<u32>);

unsafe impl Sync for Value {}

impl Value {
    fn increment(&self) {
        self.0.with_mut(|value| unsafe { *value += 1 });
    }

    fn get(&self) -> u32 {
        self.0.with(|value| unsafe { *value })
    }
}

type Lock = Arc<RwLock<Value>>;

fn lock() -> Lock {
    Arc::new(RwLock::new(Value(UnsafeCell::new(0))))
}

fn run<T: 'static>(
    lock: &Lock,
    body: impl FnOnce(&RwLock<Value>) -> T + 'static,
) -> thread::JoinHandle<T> {
    let lock = lock.clone();
    thread::spawn(move || body(&lock))
}

fn write(lock: &RwLock<Value>) {
    lock.write().increment();
}

fn read(lock: &RwLock<Value>) -> u32 {
    lock.read().get()
}

#[test]
fn a_reader_and_a_writer_exclude_each_other() {
    model(2, || {
        let lock = lock();
        let reader = run(&lock, |lock| (read(lock), read(lock)));
        (0..2).for_each(|_| write(&lock));
        let (first, second) = reader.join().unwrap();
        assert!(first <= second);
        assert_eq!(read(&lock), 2);
    });
}

#[test]
fn two_writers_exclude_each_other() {
    model(3, || {
        let lock = lock();
        let writer = run(&lock, |lock| (0..2).for_each(|_| write(lock)));
        (0..2).for_each(|_| write(&lock));
        writer.join().unwrap();
        assert_eq!(read(&lock), 4);
    });
}

#[test]
fn two_writers_and_a_reader_exclude_each_other() {
    model(2, || {
        let lock = lock();
        let reader = run(&lock, read);
        let writer = run(&lock, write);
        write(&lock);
        assert!(reader.join().unwrap() <= 2);
        writer.join().unwrap();
        assert_eq!(read(&lock), 2);
    });
}

#[test]
fn two_readers_and_a_writer_exclude_each_other() {
    model(2, || {
        let lock = lock();
        let guard = lock.write();
        let readers = [run(&lock, read), run(&lock, read)];
        guard.increment();
        drop(guard);
        for reader in readers {
            assert_eq!(reader.join().unwrap(), 1);
        }
        assert!(lock.try_write().is_some());
    });
}

/// folly's `SharedMutex` lost a wake-up with three writers and with four, whose count
/// saturated: a waiter took a change for none.
#[test]
fn three_writers_wake_each_other() {
    model(2, || {
        let lock = lock();
        let guard = lock.write();
        let writers = [run(&lock, write), run(&lock, write)];
        drop(guard);
        writers
            .into_iter()
            .for_each(|writer| writer.join().unwrap());
        assert_eq!(read(&lock), 2);
    });
}

#[test]
fn waiting_readers_go_before_waiting_writers() {
    model(1, || {
        let lock = lock();
        let guard = lock.write();
        let mut context = Context::from_waker(Waker::noop());
        let mut writer = Box::pin(lock.write_async());
        assert!(writer.as_mut().poll(&mut context).is_pending());
        let mut reader = Box::pin(lock.read_async());
        assert!(reader.as_mut().poll(&mut context).is_pending());
        drop(guard);
        // As if it had been woken for nothing.
        let mut other = lock.raw().acquire_write(&System);
        for resumed in [Resumed::Started, Resumed::Watched, Resumed::Changed] {
            assert!(!matches!(other.step(resumed), Step::Done(())));
        }
        assert_eq!(other.cancel(false), None);
        assert_eq!(block_on(reader).get(), 0);
        block_on(writer).increment();
    });
}

#[test]
fn a_reader_that_gives_up_its_turn_or_not_leaves_no_writer_asleep() {
    model(2, || {
        let lock = lock();
        let guard = lock.write();
        let mut context = Context::from_waker(Waker::noop());
        let mut writer = Box::pin(lock.write_async());
        assert!(writer.as_mut().poll(&mut context).is_pending());
        let reader = run(&lock, |lock| {
            lock.read_timeout(SOON).map(|guard| guard.get())
        });
        drop(guard);
        block_on(writer).increment();
        assert!(matches!(reader.join().unwrap(), None | Some(0 | 1)));
        assert!(lock.try_write().is_some());
    });
}

/// In this build a waiter may be passed once.
#[test]
fn a_reader_that_was_passed_is_let_in_before_any_writer() {
    model(2, || {
        let lock = lock();
        let first = lock.write();
        let mut context = Context::from_waker(Waker::noop());
        let mut reader = Box::pin(lock.read_async());
        assert!(reader.as_mut().poll(&mut context).is_pending());
        drop(first);
        let second = lock.write();
        assert!(reader.as_mut().poll(&mut context).is_pending());
        let writer = run(&lock, write);
        second.increment();
        drop(second);
        assert_eq!(block_on(reader).get(), 1);
        writer.join().unwrap();
    });
}

/// That it does not run meanwhile, and so cannot lose, is no reason to pass it twice.
#[test]
fn a_reader_is_passed_once_in_its_turn() {
    model(2, || {
        let lock = lock();
        let first = lock.write();
        let mut context = Context::from_waker(Waker::noop());
        let mut reader = Box::pin(lock.read_async());
        assert!(reader.as_mut().poll(&mut context).is_pending());
        let mut waiting = Box::pin(lock.write_async());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        drop(first);
        let second = lock.write();
        second.increment();
        let third = run(&lock, write);
        drop(second);
        let Poll::Ready(value) = reader.as_mut().poll(&mut context) else {
            panic!("it was passed twice");
        };
        assert_eq!(value.get(), 1);
        drop(value);
        drop(block_on(waiting));
        third.join().unwrap();
    });
}

/// It learns of it by the phase alone.
#[test]
fn a_reader_that_a_writer_lets_in_sees_what_it_wrote() {
    model(2, || {
        let shared = Arc::new((RawRwLock::new(), Value(UnsafeCell::new(0))));
        let (lock, value) = &*shared;
        lock.write_with(&System);
        let mut reader = lock.acquire_read(&System);
        for resumed in [Resumed::Started, Resumed::Watched, Resumed::Changed] {
            assert!(!matches!(reader.step(resumed), Step::Done(())));
        }
        let writer = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.1.increment();
                unsafe { shared.0.unlock_write_with(&System) };
            })
        };
        block(&System, reader, None);
        assert_eq!(value.get(), 1);
        writer.join().unwrap();
    });
}

/// When the first goes, the second has yet to see the phase.
#[test]
fn two_readers_that_were_passed_are_let_in() {
    model(1, || {
        let lock = lock();
        let first = lock.write();
        let mut context = Context::from_waker(Waker::noop());
        let mut readers = [(); 2].map(|()| Box::pin(lock.read_async()));
        for reader in &mut readers {
            assert!(reader.as_mut().poll(&mut context).is_pending());
        }
        drop(first);
        let second = lock.write();
        for reader in &mut readers {
            assert!(reader.as_mut().poll(&mut context).is_pending());
        }
        let mut writer = Box::pin(lock.write_async());
        assert!(writer.as_mut().poll(&mut context).is_pending());
        second.increment();
        drop(second);
        for reader in readers {
            assert_eq!(block_on(reader).get(), 1);
        }
        block_on(writer).increment();
    });
}

/// They sleep while it is the turn of a reader that does not come.
#[test]
fn a_reader_that_gives_up_its_turn_leaves_no_writer_asleep() {
    model(2, || {
        let lock = lock();
        let guard = lock.write();
        let mut context = Context::from_waker(Waker::noop());
        let mut late = Box::pin(lock.read_async());
        assert!(late.as_mut().poll(&mut context).is_pending());
        let writer = run(&lock, |lock| {
            block_on(async { lock.write_async().await.increment() });
        });
        drop(guard);
        drop(late);
        writer.join().unwrap();
        assert_eq!(read(&lock), 1);
    });
}

#[test]
fn a_waiting_writer_is_let_in_before_new_readers() {
    model(2, || {
        let lock = lock();
        let guard = lock.read();
        let mut writer = Box::pin(lock.write_async());
        let mut context = Context::from_waker(Waker::noop());
        assert!(writer.as_mut().poll(&mut context).is_pending());
        let reader = run(&lock, read);
        drop(guard);
        block_on(writer).increment();
        assert_eq!(reader.join().unwrap(), 1);
    });
}

#[test]
fn a_downgrade_lets_in_the_readers_and_no_writer() {
    model(2, || {
        let lock = lock();
        let guard = lock.write();
        let reader = run(&lock, read);
        guard.increment();
        let guard = RwLockWriteGuard::downgrade(guard);
        // It is not kept waiting until this guard is dropped.
        assert_eq!(reader.join().unwrap(), 1);
        let writer = run(&lock, write);
        assert_eq!(guard.get(), 1);
        drop(guard);
        writer.join().unwrap();
    });
}

#[test]
fn a_reader_that_gives_up_leaves_nothing_behind() {
    model(3, || {
        let lock = lock();
        let guard = lock.write();
        let impatient = run(&lock, |lock| {
            lock.read_timeout(SOON).map(|guard| guard.get())
        });
        guard.increment();
        drop(guard);
        write(&lock);
        assert!(matches!(impatient.join().unwrap(), None | Some(1 | 2)));
        assert!(lock.try_write().is_some());
    });
}

#[test]
fn a_writer_that_gives_up_leaves_nobody_asleep() {
    model(2, || {
        let lock = lock();
        let guard = lock.write();
        let impatient = run(&lock, |lock| {
            lock.write_timeout(SOON).map(|guard| guard.increment())
        });
        let patient = run(&lock, write);
        drop(guard);
        let both = impatient.join().unwrap().is_some();
        patient.join().unwrap();
        assert_eq!(read(&lock), 1 + u32::from(both));
        assert!(lock.try_write().is_some());
    });
}

/// It may have lost once, which makes it starve, before it gives up.
#[test]
fn a_starving_writer_that_gives_up_is_in_nobodys_way() {
    model(3, || {
        let lock = lock();
        let impatient = run(&lock, |lock| drop(lock.write_timeout(SOON)));
        (0..2).for_each(|_| write(&lock));
        impatient.join().unwrap();
        assert!(lock.try_write().is_some());
    });
}

/// With others still waiting.
#[test]
fn a_starving_writer_that_gives_up_may_be_passed() {
    model(1, || {
        let lock = lock();
        let guard = lock.write();
        let mut starving = lock.raw().acquire_write(&System);
        for resumed in [Resumed::Started, Resumed::Watched, Resumed::Changed] {
            let _ = starving.step(resumed);
        }
        let mut other = Box::pin(lock.write_async());
        let mut context = Context::from_waker(Waker::noop());
        assert!(other.as_mut().poll(&mut context).is_pending());
        assert_eq!(starving.cancel(false), None);
        drop(guard);
        let mut newcomer = Box::pin(lock.write_async());
        assert!(newcomer.as_mut().poll(&mut context).is_ready());
    });
}

/// The reader changes nothing when it goes to sleep, for another one sleeps already.
#[test]
fn a_second_reader_is_let_in() {
    model(3, || {
        let lock = lock();
        let guard = lock.write();
        let mut first = Box::pin(lock.read_async());
        let mut context = Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(&mut context).is_pending());
        let second = run(&lock, read);
        drop(guard);
        second.join().unwrap();
        drop(first);
        assert!(lock.try_write().is_some());
    });
}

/// The last writer that waited goes; the reader that queued behind it must not wait for
/// the reader that is in.
#[test]
fn a_writer_that_gives_up_lets_the_readers_through() {
    model(3, || {
        let lock = lock();
        let guard = lock.read();
        let mut writer = Box::pin(lock.write_async());
        let mut context = Context::from_waker(Waker::noop());
        assert!(writer.as_mut().poll(&mut context).is_pending());
        let reader = run(&lock, read);
        drop(writer);
        reader.join().unwrap();
        drop(guard);
        assert!(lock.try_write().is_some());
    });
}

#[test]
fn futures_get_the_lock() {
    model(2, || {
        let lock = lock();
        let future = run(&lock, |lock| {
            block_on(async {
                lock.write_async().await.increment();
                lock.read_async().await.get()
            })
        });
        write(&lock);
        assert!(matches!(future.join().unwrap(), 1 | 2));
        assert_eq!(read(&lock), 2);
    });
}

/// A writing future that is dropped after it was notified passes the wake-up on,
/// whether the lock is free then or taken again.
#[test]
fn a_writing_future_that_is_dropped_leaves_nobody_asleep() {
    model(2, || {
        let lock = lock();
        let first = lock.write();
        let mut context = Context::from_waker(Waker::noop());
        let mut dropped = Box::pin(lock.write_async());
        assert!(dropped.as_mut().poll(&mut context).is_pending());
        let patient = run(&lock, |lock| {
            block_on(async { lock.write_async().await.increment() });
        });
        drop(first);
        let second = lock.raw().try_write();
        drop(dropped);
        if second {
            unsafe { lock.raw().unlock_write_with(&System) };
        }
        patient.join().unwrap();
        assert!(lock.try_write().is_some());
    });
}

/// As above, with the lock taken by a writer that passes those who wait.
#[test]
fn a_future_that_is_dropped_while_it_is_passed_leaves_nobody_asleep() {
    model(2, || {
        let lock = lock();
        let first = lock.write();
        let mut context = Context::from_waker(Waker::noop());
        let mut dropped = Box::pin(lock.write_async());
        assert!(dropped.as_mut().poll(&mut context).is_pending());
        let mut patient = Box::pin(lock.write_async());
        assert!(patient.as_mut().poll(&mut context).is_pending());
        drop(first);
        let Poll::Ready(second) = Box::pin(lock.write_async()).as_mut().poll(&mut context) else {
            unreachable!("a newcomer may pass");
        };
        let other = run(&lock, write);
        drop(dropped);
        drop(second);
        block_on(patient).increment();
        other.join().unwrap();
        assert_eq!(read(&lock), 2);
    });
}

/// A reading future that was let in holds the lock; dropping it unlocks.
#[test]
fn a_reading_future_that_is_dropped_gives_up_what_it_got() {
    model(3, || {
        let lock = lock();
        let first = lock.write();
        let mut context = Context::from_waker(Waker::noop());
        let mut dropped = Box::pin(lock.read_async());
        assert!(dropped.as_mut().poll(&mut context).is_pending());
        drop(first);
        let second = lock.write();
        assert!(dropped.as_mut().poll(&mut context).is_pending());
        let writer = run(&lock, write);
        drop(second);
        drop(dropped);
        writer.join().unwrap();
        assert!(lock.try_write().is_some());
    });
}

/// A place for a lock that is freed, and reused, by whoever finds itself the last user.
#[derive(Clone, Copy)]
struct Place(*mut RawRwLock);

unsafe impl Send for Place {}

impl Place {
    fn new() -> Self {
        Place(Box::into_raw(Box::new(RawRwLock::new())))
    }

    fn lock<'a>(self) -> &'a RawRwLock {
        unsafe { &*self.0 }
    }

    /// The next object that lives here: another lock.
    fn reuse(self) {
        unsafe { ptr::write(self.0, RawRwLock::new()) };
    }

    fn assert_untouched(self) {
        #[repr(C)]
        struct Words(AtomicU64, AtomicU32, AtomicU32);
        assert_eq!(size_of::<RawRwLock>(), size_of::<Words>());
        let Words(state, readers, writers) = unsafe { &*self.0.cast::<Words>() };
        assert_eq!(state.load(Ordering::SeqCst), 0);
        assert_eq!(readers.load(Ordering::SeqCst), 0);
        assert_eq!(writers.load(Ordering::SeqCst), 0);
        drop(unsafe { Box::from_raw(self.0) });
    }
}

#[test]
fn a_writer_touches_nothing_after_it_let_a_reader_in() {
    model(4, || {
        let place = Place::new();
        place.lock().write_with(&System);
        let other = thread::spawn(move || {
            let place = place;
            let lock = place.lock();
            lock.read_with(&System);
            unsafe { lock.unlock_read_with(&System) };
            place.reuse();
        });
        unsafe { place.lock().unlock_write_with(&System) };
        other.join().unwrap();
        place.assert_untouched();
    });
}

#[test]
fn nobody_touches_anything_after_a_writer_got_the_lock() {
    for reading in [false, true] {
        model(3, move || {
            let place = Place::new();
            if reading {
                place.lock().read_with(&System);
            } else {
                place.lock().write_with(&System);
            }
            let other = thread::spawn(move || {
                let place = place;
                let lock = place.lock();
                lock.write_with(&System);
                unsafe { lock.unlock_write_with(&System) };
                place.reuse();
            });
            if reading {
                unsafe { place.lock().unlock_read_with(&System) };
            } else {
                unsafe { place.lock().unlock_write_with(&System) };
            }
            other.join().unwrap();
            place.assert_untouched();
        });
    }
}

/// A port that always says that it woke one; litebox's did, and readers of a copy of
/// std's lock slept for ever.
struct Lying;

impl Futex for Lying {
    fn wait(&self, word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> WaitResult {
        System.wait(word, expected, timeout)
    }

    fn notify(&self, word: *const AtomicU32, count: u32) -> u32 {
        System.notify(word, count);
        1
    }

    fn now(&self) -> Option<Duration> {
        None
    }

    fn watch(&self, _: &AtomicU32, _: u32, _: Patience) {}

    fn give_way(&self) {
        System.give_way();
    }
}

#[test]
fn a_port_that_lies_about_whom_it_woke_leaves_nobody_asleep() {
    model(1, || {
        let lock = Arc::new(RawRwLock::new());
        lock.write_with(&Lying);
        let others = [true, false].map(|reads| {
            let lock = lock.clone();
            thread::spawn(move || {
                if reads {
                    lock.read_with(&Lying);
                    unsafe { lock.unlock_read_with(&Lying) };
                } else {
                    lock.write_with(&Lying);
                    unsafe { lock.unlock_write_with(&Lying) };
                }
            })
        });
        unsafe { lock.unlock_write_with(&Lying) };
        others.into_iter().for_each(|other| other.join().unwrap());
        assert!(!lock.is_locked());
    });
}
