//! A timeout ends a wait at whatever point it is, and what the waiter had got goes on. On a
//! port of the test's own, where time passes when the test says so.

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use threadwork_sync::{
    Barrier, Condvar, Contender, Futex, Latch, Once, Parker, Patience, RawMutex, RawPriorityMutex,
    RawRwLock, Semaphore, WaitGroup, WaitResult, Waiter, block,
};

const LIMIT: Duration = Duration::from_millis(1);

/// What others do while somebody sleeps here.
type Meanwhile<'a> = Box<dyn FnMut(&Script<'a>) + 'a>;

/// Each watch lasts too long; each sleep ends with a notify.
#[derive(Default)]
struct Script<'a> {
    now: Cell<Duration>,
    watches: Cell<u32>,
    notified: Cell<u32>,
    meanwhile: RefCell<Option<Meanwhile<'a>>>,
    /// Watches before the one that takes too long.
    short: Cell<u32>,
}

impl Futex for Script<'_> {
    fn wait(&self, _: &AtomicU32, _: u32, _: Option<Duration>) -> WaitResult {
        match self.meanwhile.take() {
            Some(mut meanwhile) => {
                meanwhile(self);
                WaitResult::Woken
            }
            None => WaitResult::TimedOut,
        }
    }

    fn notify(&self, _: *const AtomicU32, _: u32) -> u32 {
        self.notified.set(self.notified.get() + 1);
        1
    }

    fn now(&self) -> Option<Duration> {
        Some(self.now.get())
    }

    fn watch(&self, _: &AtomicU32, _: u32, _: Patience) {
        self.watches.set(self.watches.get() + 1);
        if self.watches.get() > self.short.get() {
            self.now.set(self.now.get() + 2 * LIMIT);
        }
    }
}

/// One watch that takes longer than the timeout is the last.
#[test]
fn a_watch_that_takes_too_long_is_the_last() {
    fn check<'a, W: Waiter<'a>>(port: &'a Script<'a>, waiter: impl FnOnce(&'a Script<'a>) -> W) {
        assert!(block(port, waiter(port), Some(LIMIT)).is_none());
        assert!(port.watches.get() <= 1);
    }
    // What borrows for as long as it lives itself must not be dropped.
    let ports: [ManuallyDrop<Script<'_>>; 12] = Default::default();
    let mut ports = ports.iter();
    let mut port = || &**ports.next().unwrap();
    let mutex = RawMutex::new();
    assert!(mutex.try_lock());
    check(port(), |port| mutex.acquire(port));
    let rwlock = RawRwLock::new();
    assert!(rwlock.try_write());
    check(port(), |port| rwlock.acquire_read(port));
    check(port(), |port| rwlock.acquire_write(port));
    let ranked = RawPriorityMutex::new();
    assert!(ranked.try_lock(Contender::default()));
    check(port(), |port| ranked.acquire(port, Contender::default()));
    assert_eq!(ranked.waiting(Contender::default().priority), 0);
    let barrier = Barrier::new(2);
    check(port(), |port| barrier.waiter(port));
    let semaphore = Semaphore::new(0);
    check(port(), |port| semaphore.waiter(1, port));
    check(port(), |port| semaphore.waiter(2, port));
    let condvar = Condvar::new();
    check(port(), |port| condvar.waiter(port));
    let (latch, group, once) = (Latch::new(), WaitGroup::new(), Once::new());
    group.add(1);
    check(port(), |_| latch.waiter());
    check(port(), |_| group.waiter());
    check(port(), |_| once.completion());
    let parker = Parker::new();
    check(port(), |_| parker.waiter());
    // Who gave up is not there any more.
    parker.unpark();
    assert!(parker.try_park());
}

/// A waiter is woken, finds the lock taken again, and runs out of time: while it watches, or
/// before it does. The next unlock must wake another one.
#[test]
fn a_wake_up_is_not_lost_to_a_watch() {
    for (watches, late) in [(2, Duration::ZERO), (1, 2 * LIMIT)] {
        let mutex = RawMutex::new();
        assert!(mutex.try_lock());
        let port = Script::default();
        port.short.set(1);
        *port.meanwhile.borrow_mut() = Some(Box::new(|port| {
            // SAFETY: locked above.
            unsafe { mutex.unlock_with(port) };
            assert!(mutex.try_lock());
            port.now.set(late);
        }));
        assert!(block(&port, mutex.acquire(&port), Some(LIMIT)).is_none());
        assert_eq!((port.watches.get(), port.notified.get()), (watches, 1));
        // SAFETY: locked by the other.
        unsafe { mutex.unlock_with(&port) };
        assert_eq!(port.notified.get(), 2, "others may sleep");

        let semaphore = Semaphore::new(0);
        let port = Script::default();
        port.short.set(1);
        *port.meanwhile.borrow_mut() = Some(Box::new(|port| {
            semaphore.release_with(1, port);
            semaphore.try_acquire().unwrap().forget();
            port.now.set(late);
        }));
        assert!(block(&port, semaphore.waiter(1, &port), Some(LIMIT)).is_none());
        assert_eq!((port.watches.get(), port.notified.get()), (watches, 1));
        semaphore.release_with(1, &port);
        assert_eq!(port.notified.get(), 2, "others may sleep");
    }
}
