//! `RwLock`: behaviour, layout, bad use, exclusion, and the bounds on waiting.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use threadwork_sync::{
    LOSSES, RawRwLock, Resumed, RwLock, RwLockReadGuard, RwLockWriteGuard, Step, System, Waiter,
    block,
};

use crate::support::{Random, THREADS, block_on, passes, rounds, together};

const SOON: Duration = Duration::from_millis(20);

const PHASE: u64 = 1;
const ACTIVE: u64 = 1 << 1;
const LOCKED: u64 = 1 << 20;
const READERS_STARVE: u64 = 1 << 22;
const READERS_TURN: u64 = 1 << 23;
const AT_READERS_GATE: u64 = 0b11 << 24;
const WRITERS_LOOK: u64 = 1 << 26;
const AT_WRITERS_GATE: u64 = 0b11 << 26;
const WAITING_READER: u64 = 1 << 28;
const WAITING_WRITER: u64 = 1 << 46;

#[repr(C)]
struct Words {
    state: AtomicU64,
    readers: AtomicU32,
    writers: AtomicU32,
}

fn words(lock: &RawRwLock) -> &Words {
    let lock: *const RawRwLock = lock;
    // SAFETY: the lock is these three atomic words.
    unsafe { &*lock.cast() }
}

fn state(lock: &RawRwLock) -> u64 {
    words(lock).state.load(Ordering::SeqCst)
}

/// Its count of `one`s that has come to `count`.
fn until(lock: &RawRwLock, one: u64, count: u64) {
    let bits = match one {
        WAITING_WRITER => 18,
        WAITING_READER => 18,
        _ => 19,
    };
    while state(lock) / one % (1 << bits) != count {
        thread::yield_now();
    }
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn ready<F: Future>(future: std::pin::Pin<&mut F>) -> F::Output {
    match poll(future) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it has to wait"),
    }
}

/// Steps it as if it had been woken in vain until it starves.
fn passed_too_often<'a>(waiter: &mut impl Waiter<'a>) {
    let woken = (0..LOSSES).map(|_| Resumed::Woken);
    for resumed in [Resumed::Started, Resumed::Watched]
        .into_iter()
        .chain(woken)
    {
        let _ = waiter.step(resumed);
    }
}

#[test]
fn layout_is_frozen() {
    assert_eq!((size_of::<RawRwLock>(), align_of::<RawRwLock>()), (16, 8));
    assert_eq!(size_of::<RwLock<u64>>(), 24);
    let lock = RwLock::new(());
    let raw = lock.raw();
    assert_eq!(state(raw), 0);

    let (first, second) = (lock.read(), lock.read());
    assert_eq!(state(raw), 2 * ACTIVE);
    drop(first);
    let mut writer = Box::pin(lock.write_async());
    assert!(poll(writer.as_mut()).is_pending());
    // A future does not watch: it sleeps at once.
    let sleeping = WAITING_WRITER | AT_WRITERS_GATE;
    assert_eq!(state(raw), ACTIVE | sleeping);
    drop(second);
    assert_eq!(state(raw), WAITING_WRITER);
    let guard = ready(writer.as_mut());
    assert_eq!(state(raw), LOCKED);
    assert_eq!(words(raw).writers.load(Ordering::SeqCst), 1);

    let mut reader = Box::pin(lock.read_async());
    assert!(poll(reader.as_mut()).is_pending());
    assert_eq!(state(raw), LOCKED | WAITING_READER | AT_READERS_GATE);
    let mut writer = Box::pin(lock.write_async());
    assert!(poll(writer.as_mut()).is_pending());
    drop(guard);
    let turn = READERS_TURN | WAITING_READER;
    assert_eq!(state(raw), turn | sleeping);
    assert_eq!(words(raw).readers.load(Ordering::SeqCst), 1);
    drop(ready(reader.as_mut()));
    assert_eq!(state(raw), WAITING_WRITER);
    drop(ready(writer.as_mut()));

    // Let in by a writer, after it was passed too often.
    let guard = lock.write();
    let mut reader = raw.acquire_read(&System);
    passed_too_often(&mut reader);
    assert_eq!(
        state(raw),
        LOCKED | WAITING_READER | READERS_STARVE | AT_READERS_GATE
    );
    drop(guard);
    assert_eq!(state(raw), PHASE | ACTIVE);
    assert_eq!(reader.cancel(false), Some(()));
    // SAFETY: the reader's.
    unsafe { raw.unlock_read_with(&System) };
    assert_eq!(state(raw), PHASE);
    // No reader is left to see it: it starts anew.
    drop(lock.write());
    assert_eq!(state(raw), 0);
}

#[test]
fn zero_bytes_are_an_unlocked_lock() {
    // SAFETY: documented: zero is unlocked, and zero is a u64.
    let lock: RwLock<u64> = unsafe { std::mem::zeroed() };
    *lock.try_write().unwrap() += 1;
    assert_eq!(*lock.try_read().unwrap(), 1);
    assert_eq!(lock.into_inner(), 1);
}

#[test]
fn guards_and_locks_go_where_they_may() {
    fn everywhere<T: Send + Sync>() {}
    everywhere::<RwLock<u32>>();
    everywhere::<RwLockReadGuard<'_, u32>>();
    everywhere::<RwLockWriteGuard<'_, u32>>();
    let lock = RwLock::new(1);
    let mut guard = lock.write();
    thread::scope(|scope| {
        scope.spawn(move || *guard += 1);
    });
    let guard = lock.read();
    thread::scope(|scope| {
        scope.spawn(move || assert_eq!(*guard, 2));
    });
    assert!(!lock.is_locked());
}

#[test]
fn a_held_lock_is_not_given_away() {
    let lock = RwLock::new(1);
    let reader = lock.read();
    assert!(lock.is_locked() && !lock.is_write_locked());
    assert!(lock.try_write().is_none());
    assert_eq!(*lock.try_read().unwrap(), 1);
    assert_eq!(format!("{lock:?}"), "RwLock { data: 1 }");
    drop(reader);
    let writer = lock.write();
    assert!(lock.is_locked() && lock.is_write_locked());
    assert!(lock.try_write().is_none());
    assert!(lock.try_read().is_none());
    assert_eq!(format!("{lock:?}"), "RwLock { data: <locked> }");
    drop(writer);
    assert!(!lock.is_locked());
}

#[test]
fn waits_give_up_not_before_their_time() {
    let lock = RwLock::new(());
    let held = lock.write();
    let start = Instant::now();
    assert!(lock.read_timeout(SOON).is_none());
    assert!(start.elapsed() >= SOON);
    assert!(lock.write_deadline(Instant::now() + SOON).is_none());
    assert!(start.elapsed() >= 2 * SOON);
    assert!(lock.read_deadline(Instant::now()).is_none());
    assert!(lock.write_timeout(Duration::ZERO).is_none());
    drop(held);
    assert_eq!(state(lock.raw()), 0);
    assert!(lock.write_timeout(Duration::ZERO).is_some());
    assert!(lock.read_timeout(Duration::MAX).is_some());
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "panics abort there")]
fn a_panic_frees_the_lock() {
    let lock = RwLock::new(0);
    let panicked = thread::scope(|scope| {
        scope
            .spawn(|| {
                let _guard = lock.write();
                // Not a panic with a message on the terminal.
                std::panic::resume_unwind(Box::new(()));
            })
            .join()
    });
    assert!(panicked.is_err());
    assert!(lock.try_write().is_some());
}

#[test]
#[should_panic(expected = "unlock once for each lock")]
fn unlocking_a_free_lock_as_a_writer_panics() {
    // SAFETY: not so; but a lock that protects nothing makes that harmless.
    unsafe { RawRwLock::new().unlock_write_with(&System) };
}

#[test]
#[should_panic(expected = "unlock once for each lock")]
fn unlocking_a_free_lock_as_a_reader_panics() {
    // SAFETY: as above.
    unsafe { RawRwLock::new().unlock_read_with(&System) };
}

#[test]
#[should_panic(expected = "unlock once for each lock")]
fn unlocking_a_written_lock_as_a_reader_panics() {
    let lock = RawRwLock::new();
    lock.write_with(&System);
    // SAFETY: as above.
    unsafe { lock.unlock_read_with(&System) };
}

#[test]
#[should_panic(expected = "unlock once for each lock")]
fn downgrading_a_read_lock_panics() {
    let lock = RawRwLock::new();
    lock.read_with(&System);
    // SAFETY: as above.
    unsafe { lock.downgrade_with(&System) };
}

#[test]
#[should_panic(expected = "forgotten instead of dropped")]
fn too_many_readers_panic() {
    let lock = RawRwLock::new();
    let most = LOCKED - ACTIVE;
    words(&lock).state.store(most, Ordering::SeqCst);
    let _ = lock.try_read();
}

#[test]
#[should_panic(expected = "forgotten instead of dropped")]
fn too_many_waiting_readers_panic() {
    let lock = RawRwLock::new();
    let most = (WAITING_WRITER - WAITING_READER) | LOCKED;
    words(&lock).state.store(most, Ordering::SeqCst);
    lock.read_with(&System);
}

#[test]
#[should_panic(expected = "forgotten instead of dropped")]
fn too_many_waiting_writers_panic() {
    let lock = RawRwLock::new();
    let most = 0_u64.wrapping_sub(WAITING_WRITER) | LOCKED;
    words(&lock).state.store(most, Ordering::SeqCst);
    lock.write_with(&System);
}

/// As many readers as can wait become active, with the downgraded writer.
#[test]
fn a_full_house_is_let_in() {
    let lock = RawRwLock::new();
    let most = WAITING_WRITER - WAITING_READER;
    let all = most | LOCKED | READERS_STARVE;
    words(&lock).state.store(all, Ordering::SeqCst);
    // SAFETY: it is held.
    unsafe { lock.downgrade_with(&System) };
    let active = most / WAITING_READER + 1;
    assert_eq!(state(&lock), PHASE | (active * ACTIVE));
}

#[test]
fn a_writer_lets_in_all_readers_and_the_last_of_them_a_writer() {
    let lock = RwLock::new(0);
    let mut guard = lock.write();
    let mut writer = pin!(lock.write_async());
    assert!(poll(writer.as_mut()).is_pending());
    let mut readers: Vec<_> = (0..5).map(|_| Box::pin(lock.read_async())).collect();
    for reader in &mut readers {
        assert!(poll(reader.as_mut()).is_pending());
    }
    *guard += 1;
    drop(guard);
    assert!(poll(writer.as_mut()).is_pending());
    let guards: Vec<_> = readers.iter_mut().map(|r| ready(r.as_mut())).collect();
    let mut late = pin!(lock.read_async());
    assert!(poll(late.as_mut()).is_pending());
    assert!(lock.try_read().is_none() && lock.try_write().is_none());
    assert!(guards.iter().all(|guard| **guard == 1));
    drop(guards);
    assert!(poll(late.as_mut()).is_pending());
    let mut guard = ready(writer.as_mut());
    *guard += 1;
    drop(guard);
    assert_eq!(*ready(late.as_mut()), 2);
}

#[test]
fn a_downgrade_lets_in_readers_and_keeps_out_writers() {
    let lock = RwLock::new(0);
    let mut guard = lock.write();
    let mut waiting = pin!(lock.read_async());
    assert!(poll(waiting.as_mut()).is_pending());
    *guard += 1;
    let guard = RwLockWriteGuard::downgrade(guard);
    assert_eq!(*ready(waiting.as_mut()), 1);
    let mut writer = pin!(lock.write_async());
    assert!(poll(writer.as_mut()).is_pending());
    assert!(!lock.is_write_locked());
    drop(guard);
    assert_eq!(*ready(writer.as_mut()), 1);
}

/// A waiter that runs out of time after it was let in has the lock.
#[test]
fn who_gives_up_too_late_has_the_lock() {
    let lock = RawRwLock::new();
    lock.write_with(&System);
    let mut reader = lock.acquire_read(&System);
    passed_too_often(&mut reader);
    // SAFETY: locked above.
    unsafe { lock.unlock_write_with(&System) };
    assert_eq!(reader.cancel(false), Some(()));
    assert_eq!(state(&lock), PHASE | ACTIVE);
    // SAFETY: the reader's.
    unsafe { lock.unlock_read_with(&System) };
    assert_eq!(
        block(&System, lock.acquire_read(&System), Some(SOON)),
        Some(())
    );
}

#[test]
fn who_gives_up_leaves_no_trace() {
    let lock = RawRwLock::new();
    lock.write_with(&System);
    let mut reader = lock.acquire_read(&System);
    let mut writer = lock.acquire_write(&System);
    assert_eq!(reader.cancel(false), None);
    for resumed in [Resumed::Started, Resumed::Watched] {
        let _ = reader.step(resumed);
        let _ = writer.step(resumed);
    }
    assert_ne!(state(&lock) & WRITERS_LOOK, 0);
    assert_eq!((reader.cancel(false), writer.cancel(false)), (None, None));
    assert_eq!(state(&lock), LOCKED);
}

#[test]
fn a_writer_that_gives_up_lets_the_readers_behind_it_in() {
    let lock = RwLock::new(());
    let reader = lock.read();
    thread::scope(|scope| {
        let mut writer = Box::pin(lock.write_async());
        assert!(poll(writer.as_mut()).is_pending());
        let other = scope.spawn(|| drop(lock.read()));
        until(lock.raw(), WAITING_READER, 1);
        drop(writer);
        other.join().unwrap();
    });
    drop(reader);
    assert_eq!(state(lock.raw()), 0);
}

/// The writer that is let in frees the lock, when the reader that let it in may still
/// be unlocking; and the other way round. Miri sees a touch too late.
#[test]
fn the_last_user_may_free_the_lock() {
    #[derive(Clone, Copy)]
    struct Place(*mut RawRwLock);
    // SAFETY: it is the test's to say who may use it.
    unsafe impl Send for Place {}
    // SAFETY: as above.
    unsafe impl Sync for Place {}
    impl Place {
        fn lock<'a>(self) -> &'a RawRwLock {
            // SAFETY: not freed before its last user is done.
            unsafe { &*self.0 }
        }
    }
    for round in 0..rounds(2_000) {
        let place = Place(Box::into_raw(Box::new(RawRwLock::new())));
        let (first_reads, second_reads) = (round % 3 == 0, round % 3 == 1);
        if first_reads {
            place.lock().read_with(&System);
        } else {
            place.lock().write_with(&System);
        }
        thread::scope(|scope| {
            scope.spawn(move || {
                let place = place;
                if second_reads {
                    place.lock().read_with(&System);
                    // SAFETY: locked above.
                    unsafe { place.lock().unlock_read_with(&System) };
                } else {
                    place.lock().write_with(&System);
                    // SAFETY: locked above.
                    unsafe { place.lock().unlock_write_with(&System) };
                }
                // SAFETY: from a box; the other thread has let go.
                drop(unsafe { Box::from_raw(place.0) });
            });
            if first_reads {
                // SAFETY: locked above.
                unsafe { place.lock().unlock_read_with(&System) };
            } else {
                // SAFETY: locked above.
                unsafe { place.lock().unlock_write_with(&System) };
            }
        });
    }
}

fn increment<'a>(
    mut guard: RwLockWriteGuard<'a, [u32; 2]>,
    writes: &mut u32,
) -> RwLockWriteGuard<'a, [u32; 2]> {
    guard[0] += 1;
    *writes += 1;
    guard[1] += 1;
    guard
}

#[test]
fn threads_and_futures_exclude_each_other() {
    for &threads in THREADS {
        let each = rounds(4_000);
        let lock = RwLock::new([0_u32; 2]);
        let writes: u32 = together(threads, |index| {
            let mut random = Random::new(u64::from(index));
            let mut writes = 0;
            for _ in 0..each {
                let patience = Duration::from_micros(random.below(50));
                let read = |guard: RwLockReadGuard<'_, [u32; 2]>| assert_eq!(guard[0], guard[1]);
                let mut write = |guard| increment(guard, &mut writes);
                match random.below(9) {
                    0 => drop(write(lock.write())),
                    1 => drop(write(block_on(lock.write_async()))),
                    2 => drop(lock.write_timeout(patience).map(write)),
                    3 => drop(lock.try_write().map(write)),
                    4 => read(RwLockWriteGuard::downgrade(write(lock.write()))),
                    5 => read(block_on(lock.read_async())),
                    6 => drop(lock.read_timeout(patience).map(read)),
                    7 => drop(poll(pin!(lock.write_async()))),
                    _ => read(lock.read()),
                }
            }
            writes
        })
        .into_iter()
        .sum();
        assert_eq!(state(lock.raw()) & !PHASE, 0);
        assert_eq!(lock.into_inner(), [writes; 2]);
    }
}

/// The last reader of a turn that gives up wakes the writers, which let it go first.
#[test]
fn a_reader_that_gives_up_its_turn_leaves_no_writer_asleep() {
    let lock = RwLock::new(());
    let guard = lock.write();
    let mut reader = Box::pin(lock.read_async());
    assert!(poll(reader.as_mut()).is_pending());
    thread::scope(|scope| {
        let writer = scope.spawn(|| drop(lock.write()));
        until(lock.raw(), WAITING_WRITER, 1);
        drop(guard);
        drop(reader);
        writer.join().unwrap();
    });
    assert_eq!(state(lock.raw()), 0);
}

/// How often a waiter was woken in vain.
struct Counted<W> {
    waiter: W,
    vain: u32,
}

impl<'a, W: Waiter<'a>> Waiter<'a> for &mut Counted<W> {
    type Output = W::Output;

    fn step(&mut self, resumed: Resumed) -> Step<'a, W::Output> {
        let step = self.waiter.step(resumed);
        let woken = matches!(resumed, Resumed::Woken | Resumed::Changed);
        self.vain += u32::from(woken && matches!(step, Step::Sleep(..)));
        step
    }

    fn cancel(&mut self, woken: bool) -> Option<W::Output> {
        self.waiter.cancel(woken)
    }
}

/// Under a stream of writers, each reader is passed a bounded number of times. (It may
/// see its gate turned a moment before the lock is free, which counts.)
#[test]
fn writers_do_not_starve_readers() {
    let lock = RwLock::new(());
    let done = AtomicBool::new(false);
    let mut most = 0;
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    drop(lock.write());
                }
            });
        }
        for _ in 0..rounds(1_000) {
            let raw = lock.raw();
            let mut reader = Counted {
                waiter: raw.acquire_read(&System),
                vain: 0,
            };
            block(&System, &mut reader, None);
            // SAFETY: the reader's.
            unsafe { raw.unlock_read_with(&System) };
            most = most.max(reader.vain);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(most <= 4 * LOSSES, "{most} times in vain");
}

/// Writers get in under a stream of readers that always overlap.
#[test]
fn readers_do_not_starve_writers() {
    let lock = RwLock::new(0_u32);
    let done = AtomicBool::new(false);
    let readers = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut guard = lock.read();
                readers.fetch_add(1, Ordering::Relaxed);
                while !done.load(Ordering::Relaxed) {
                    // The next before the last: the readers' count never gets to zero,
                    // but for waiting writers.
                    match lock.try_read() {
                        Some(next) => guard = next,
                        None => {
                            drop(guard);
                            guard = lock.read();
                        }
                    }
                }
                drop(guard);
            });
        }
        while readers.load(Ordering::Relaxed) < 2 {
            thread::yield_now();
        }
        for _ in 0..rounds(1_000) {
            *lock.write() += 1;
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(lock.into_inner(), rounds(1_000));
}

/// While others wait to write, a reader that does not run is passed once.
#[test]
fn a_reader_is_passed_once_in_its_turn() {
    let lock = RwLock::new(());
    let first = lock.write();
    let mut reader = pin!(lock.read_async());
    assert!(poll(reader.as_mut()).is_pending());
    let mut writer = pin!(lock.write_async());
    assert!(poll(writer.as_mut()).is_pending());
    drop(first);
    // It has not waited, so it may pass.
    drop(lock.write());
    assert_eq!(state(lock.raw()) & (PHASE | ACTIVE), PHASE | ACTIVE);
    assert!(poll(writer.as_mut()).is_pending());
    drop(ready(reader.as_mut()));
    drop(ready(writer.as_mut()));
}

/// A writer that holds the lock nearly always passes those that wait a bounded number
/// of times.
#[test]
fn a_hog_does_not_starve_others() {
    for resumed in [Resumed::Woken, Resumed::Changed] {
        let lock = RawRwLock::new();
        let hog = || {
            // SAFETY: it is the hog's, each time.
            unsafe { lock.unlock_write_with(&System) };
            let mut again = lock.acquire_write(&System);
            let taken = matches!(again.step(Resumed::Started), Step::Done(()));
            taken || again.cancel(false).is_some()
        };
        assert!(lock.try_write());
        let reader = passes(lock.acquire_read(&System), resumed, hog);
        // SAFETY: it was the reader's.
        unsafe { lock.unlock_read_with(&System) };
        assert!(lock.try_write());
        let writer = passes(lock.acquire_write(&System), resumed, hog);
        // SAFETY: it was the writer's.
        unsafe { lock.unlock_write_with(&System) };
        assert_eq!(state(&lock), 0);
        assert_eq!((reader, writer), (LOSSES, LOSSES));
    }
}

#[test]
fn what_is_known_without_locking() {
    let mut lock = RwLock::from(1);
    *lock.get_mut() += 1;
    let reads = lock.read();
    assert_eq!((lock.is_locked(), lock.is_write_locked()), (true, false));
    assert_eq!(
        (reads.to_string(), format!("{reads:?}")),
        ("2".into(), "2".into())
    );
    drop(reads);
    let writes = lock.write();
    assert!(lock.is_write_locked());
    assert_eq!(
        (writes.to_string(), format!("{writes:?}")),
        ("2".into(), "2".into())
    );
    assert_eq!(format!("{lock:?}"), "RwLock { data: <locked> }");
    drop(writes);
    assert_eq!(format!("{lock:?}"), "RwLock { data: 2 }");
    assert_eq!(RwLock::<u32>::default().into_inner(), 0);
}
