//! `lock_order`: what is a deadlock, what is not, and in which order locks are taken.

use threadwork_sync::{Mutex, RawMutex, RawRwLock, RwLock};

/// Where the checks are off there is nothing of them, and where they are on, no bytes.
#[test]
fn checks_have_no_size() {
    assert_eq!(size_of::<Mutex<()>>(), size_of::<RawMutex>());
    assert_eq!(size_of::<RwLock<()>>(), size_of::<RawRwLock>());
    assert_eq!(size_of::<Mutex<u64>>(), 16);
}

#[cfg(not(any(
    all(debug_assertions, feature = "lock-order-debug"),
    feature = "lock-order"
)))]
#[test]
fn without_checks_there_is_no_trace_of_them() {
    assert_eq!(
        size_of::<threadwork_sync::MutexGuard<'_, u32>>(),
        size_of::<&Mutex<u32>>()
    );
    use threadwork_sync::lock_order::set_handler;
    set_handler(|_| panic!("nobody calls it"));
    let locks = [Mutex::new(()), Mutex::new(())];
    for (outer, inner) in [(0, 1), (1, 0)] {
        let _outer = locks[outer].lock();
        let _inner = locks[inner].lock();
    }
    set_handler(|report| eprintln!("{report}"));
}

/// Locks are made, moved and taken apart as without checks.
#[test]
fn locks_are_values_as_others() {
    static LOCK: Mutex<u32> = Mutex::new(1);
    #[expect(
        clippy::declare_interior_mutable_const,
        reason = "it is to be copied from"
    )]
    const FRESH: RwLock<u32> = RwLock::new(2);
    let array = [FRESH; 2].map(|lock| Mutex::new(lock.into_inner()));
    let mut sum = *LOCK.lock();
    sum += array.into_iter().map(Mutex::into_inner).sum::<u32>();
    assert_eq!(sum, 5);
    let lock: Box<Mutex<[u32]>> = Box::new(Mutex::new([1, 2, 3]));
    lock.lock()[1] = 5;
    assert_eq!(*lock.lock(), [1, 5, 3]);
}

#[cfg(any(
    all(debug_assertions, feature = "lock-order-debug"),
    feature = "lock-order"
))]
mod on {
    use std::mem::MaybeUninit;
    use std::panic::{AssertUnwindSafe, Location, catch_unwind};
    use std::sync::mpsc;
    use std::task::{Context, Waker};
    use std::thread;
    use std::time::Duration;

    use threadwork_sync::lock_order::{self, Report};
    use threadwork_sync::{Condvar, Mutex, RwLock, RwLockWriteGuard};

    use crate::support::block_on;

    /// Longer than a cycle has to stand to be a deadlock.
    const LONG: Duration = Duration::from_millis(800);
    const SOON: Duration = Duration::from_millis(20);

    /// What was said of threads that wait on.
    static OF_PATIENT_THREADS: Mutex<Vec<String>> = Mutex::new(Vec::new());

    /// One for all tests, which run side by side. Panics but in a thread of this name.
    fn panic_on_deadlock() {
        lock_order::set_deadlock_handler(|message| {
            assert!(message.contains("'patient'"), "{message}");
            OF_PATIENT_THREADS.lock().push(message.to_owned());
        });
    }

    /// What `body` panics with.
    fn panic_of(body: impl FnOnce()) -> String {
        panic_on_deadlock();
        let payload = catch_unwind(AssertUnwindSafe(body)).unwrap_err();
        payload.downcast_ref::<String>().unwrap().clone()
    }

    #[track_caller]
    fn here() -> String {
        // The line before.
        let here = Location::caller();
        format!("{}:{}:", here.file(), here.line() - 1)
    }

    fn key<T>(lock: &T) -> usize {
        std::ptr::from_ref(lock).addr()
    }

    static REPORTS: Mutex<Vec<Report>> = Mutex::new(Vec::new());

    /// One for all tests, which run side by side.
    fn keep(report: &Report) {
        REPORTS.lock().push(report.clone());
    }

    /// What was reported of one lock while `body` ran.
    fn reports_of<T>(lock: &T, body: impl FnOnce()) -> Vec<Report> {
        let lock = key(lock);
        lock_order::set_handler(keep);
        let about = |report: &Report| report.now.lock == lock || report.now.held == lock;
        REPORTS.lock().retain(|report| !about(report));
        body();
        let mut reports = REPORTS.lock().clone();
        reports.retain(about);
        reports
    }

    #[test]
    #[cfg_attr(target_family = "wasm", ignore = "panics abort there")]
    fn locking_twice_panics_and_names_both_places() {
        let lock = Mutex::new(1);
        let mut places = Vec::new();
        let message = panic_of(|| {
            let _first = lock.lock();
            places.push(here());
            drop(lock.lock());
        });
        assert!(message.starts_with("deadlock:"), "{message}");
        assert!(
            message.contains(&format!("since {}", places[0])),
            "{message}"
        );
        assert!(message.contains("waits at "), "{message}");
        assert_eq!(message.lines().count(), 2, "{message}");
        // The panic has freed it.
        assert!(lock.try_lock().is_some());
    }

    /// Two threads, or more, each of which has a lock and wants the next one's.
    fn ring(count: usize) {
        panic_on_deadlock();
        let locks: Vec<_> = (0..count).map(|_| Mutex::new(())).collect();
        let start = std::sync::Barrier::new(count);
        let results: Vec<_> = thread::scope(|scope| {
            let running: Vec<_> = (0..count)
                .map(|index| {
                    let (locks, start) = (&locks, &start);
                    thread::Builder::new()
                        .name(format!("ring {index}"))
                        .spawn_scoped(scope, move || {
                            let _own = locks[index].lock();
                            start.wait();
                            drop(locks[(index + 1) % count].lock());
                        })
                        .unwrap()
                })
                .collect();
            running
                .into_iter()
                .map(thread::ScopedJoinHandle::join)
                .collect()
        });
        let messages: Vec<String> = results
            .into_iter()
            .filter_map(Result::err)
            .map(|payload| payload.downcast_ref::<String>().unwrap().clone())
            .collect();
        // Who panics frees the others.
        assert_eq!(messages.len(), 1, "{messages:?}");
        let message = &messages[0];
        for index in 0..count {
            assert!(
                message.contains(&format!("thread 'ring {index}' waits")),
                "{message}"
            );
            assert!(
                message.contains(&format!("'ring {index}' holds")),
                "{message}"
            );
        }
        assert_eq!(message.matches(file!()).count(), 2 * count, "{message}");
    }

    #[test]
    #[cfg_attr(target_family = "wasm", ignore = "panics abort there")]
    fn two_threads_in_a_cycle_are_a_deadlock() {
        ring(2);
    }

    #[test]
    #[cfg_attr(target_family = "wasm", ignore = "panics abort there")]
    fn four_threads_in_a_cycle_are_a_deadlock() {
        ring(4);
    }

    #[test]
    #[cfg_attr(target_family = "wasm", ignore = "panics abort there")]
    fn reading_again_behind_a_writer_is_a_deadlock() {
        let lock = RwLock::new(());
        thread::scope(|scope| {
            let first = lock.read();
            let writer = scope.spawn(|| drop(lock.write()));
            while lock.try_read().is_some() {
                thread::yield_now();
            }
            let message = panic_of(|| drop(lock.read()));
            assert!(message.contains("waits to write before it"), "{message}");
            assert_eq!(message.lines().count(), 3, "{message}");
            drop(first);
            writer.join().unwrap();
        });
        assert!(lock.try_write().is_some());
    }

    #[test]
    fn reading_again_without_a_writer_is_none() {
        let lock = RwLock::new(());
        let first = lock.read();
        let second = lock.read();
        drop(first);
        drop(second);
        assert!(lock.try_write().is_some());
    }

    #[test]
    #[cfg_attr(target_family = "wasm", ignore = "panics abort there")]
    fn writing_what_one_reads_is_a_deadlock() {
        let lock = RwLock::new(());
        // The second time, to see that the downgraded one was given up as what it was.
        for _ in 0..2 {
            let reader = lock.read();
            assert!(panic_of(|| drop(lock.write())).contains("deadlock"));
            drop(reader);
            drop(RwLockWriteGuard::downgrade(lock.write()));
        }
        assert!(lock.try_write().is_some());
    }

    /// Nobody can tell that the guard has gone. So it is said, and no more.
    #[test]
    fn a_guard_that_was_sent_away_for_long_looks_like_a_deadlock() {
        panic_on_deadlock();
        let lock = Mutex::new(0);
        thread::scope(|scope| {
            let lock = &lock;
            let locks_twice = move || {
                let mut guard = lock.lock();
                scope.spawn(move || {
                    while OF_PATIENT_THREADS.lock().is_empty() {
                        thread::sleep(SOON);
                    }
                    *guard += 1;
                });
                *lock.lock() += 1;
            };
            let patient = thread::Builder::new().name("patient".to_owned());
            patient.spawn_scoped(scope, locks_twice).unwrap();
        });
        assert_eq!(*lock.lock(), 2);
        assert!(OF_PATIENT_THREADS.lock()[0].starts_with("deadlock:"));
    }

    #[test]
    fn a_guard_that_was_sent_away_is_no_deadlock() {
        let lock = Mutex::new(0);
        // The second time for longer than a deadlock takes: it is known by then.
        for held_for in [SOON, LONG] {
            thread::scope(|scope| {
                let mut guard = lock.lock();
                scope.spawn(move || {
                    thread::sleep(held_for);
                    *guard += 1;
                });
                *lock.lock() += 1;
            });
        }
        assert_eq!(*lock.lock(), 4);
    }

    #[test]
    fn a_wait_with_a_timeout_is_no_deadlock() {
        let (one, two) = (Mutex::new(()), Mutex::new(()));
        let (send, receive) = mpsc::channel();
        thread::scope(|scope| {
            let guard = one.lock();
            scope.spawn(|| {
                let _two = two.lock();
                send.send(()).unwrap();
                drop(one.lock());
            });
            receive.recv().unwrap();
            assert!(two.lock_timeout(LONG).is_none());
            drop(guard);
        });
    }

    #[test]
    fn what_a_future_holds_is_no_threads() {
        let lock = Mutex::new(0);
        let mut guard = block_on(lock.lock_async());
        thread::scope(|scope| {
            scope.spawn(move || {
                thread::sleep(LONG);
                *guard += 1;
            });
            *lock.lock() += 1;
        });
        // Nor does it make an order.
        let other = Mutex::new(());
        let reports = reports_of(&other, || {
            let held = block_on(lock.lock_async());
            drop(other.lock());
            drop(held);
            let held = other.lock();
            drop(lock.lock());
            drop(held);
        });
        assert!(reports.is_empty(), "{reports:?}");
        assert_eq!(*lock.lock(), 2);
    }

    #[test]
    #[cfg_attr(target_family = "wasm", ignore = "panics abort there")]
    fn readers_of_both_kinds_are_told_apart() {
        let lock = RwLock::new(());
        let own = lock.read();
        let futures = block_on(lock.read_async());
        thread::scope(|scope| {
            scope.spawn(move || drop(futures));
        });
        drop(own);
        // Not travelled: a deadlock is still one.
        let _writer = lock.write();
        assert!(panic_of(|| drop(lock.read())).contains("deadlock"));
    }

    #[test]
    #[cfg_attr(target_family = "wasm", ignore = "panics abort there")]
    fn a_dropped_future_holds_nothing() {
        let lock = Mutex::new(());
        let guard = lock.lock();
        let mut future = Box::pin(lock.lock_async());
        let mut context = Context::from_waker(Waker::noop());
        assert!(future.as_mut().poll(&mut context).is_pending());
        drop(guard);
        drop(future);
        let _guard = lock.lock();
        assert!(panic_of(|| drop(lock.lock())).contains("deadlock"));
    }

    #[test]
    #[cfg_attr(target_family = "wasm", ignore = "panics abort there")]
    fn a_condition_variable_gives_up_its_mutex_and_takes_it_back() {
        let lock = Mutex::new(0);
        let changed = Condvar::new();
        thread::scope(|scope| {
            scope.spawn(|| {
                let guard = changed.wait_while(lock.lock(), |value| *value == 0);
                assert!(panic_of(|| drop(lock.lock())).contains("deadlock"));
                drop(guard);
            });
            thread::sleep(SOON);
            *lock.lock() += 1;
            changed.notify_all();
        });
        assert!(lock.try_lock().is_some());
    }

    #[test]
    fn two_orders_are_reported_once_with_their_places() {
        let (one, two) = (Mutex::new(()), RwLock::new(()));
        let mut places = Vec::new();
        let reports = reports_of(&one, || {
            let held = one.lock();
            places.push(here());
            drop(two.read());
            places.push(here());
            drop(held);
            for _ in 0..3 {
                let held = two.write();
                drop(one.lock());
                drop(held);
            }
        });
        assert_eq!(reports.len(), 1, "{reports:?}");
        let Report { now, before, .. } = &reports[0];
        assert_eq!((now.held, now.lock), (key(&two), key(&one)));
        assert_eq!(before.len(), 1);
        assert_eq!((before[0].held, before[0].lock), (key(&one), key(&two)));
        let text = reports[0].to_string();
        assert!(text.contains(&format!("since {}", places[0])), "{text}");
        assert!(text.contains(&format!("at {}", places[1])), "{text}");
        assert!(text.contains("take them in the same order"), "{text}");
    }

    #[test]
    fn an_order_over_several_locks_is_reported() {
        let locks: Vec<_> = (0..4).map(Mutex::new).collect();
        let reports = reports_of(&locks[0], || {
            for (outer, inner) in [(0, 1), (1, 2), (2, 3), (3, 0)] {
                let held = locks[outer].lock();
                drop(locks[inner].lock_timeout(LONG));
                drop(held);
            }
        });
        assert_eq!(reports.len(), 1, "{reports:?}");
        let path: Vec<_> = reports[0].before.iter().map(|taken| taken.held).collect();
        assert_eq!(path, [0, 1, 2].map(|index| key(&locks[index])));
    }

    #[test]
    fn trying_is_in_any_order_but_holding_counts() {
        let (one, two) = (Mutex::new(()), Mutex::new(()));
        let reports = reports_of(&one, || {
            let held = one.lock();
            drop(two.lock());
            drop(held);
            let held = two.lock();
            drop(one.try_lock());
            drop(held);
        });
        assert!(reports.is_empty(), "{reports:?}");
        let reports = reports_of(&one, || {
            let held = two.try_lock();
            drop(one.lock());
            drop(held);
        });
        assert_eq!(reports.len(), 1, "{reports:?}");
    }

    #[test]
    fn a_dropped_lock_is_forgotten() {
        let other = Mutex::new(());
        let mut place = MaybeUninit::<Mutex<()>>::uninit();
        let reports = reports_of(&other, || {
            let lock = place.write(Mutex::new(()));
            let held = lock.lock();
            drop(other.lock());
            drop(held);
            // SAFETY: written above.
            unsafe { place.assume_init_drop() };
            let lock = place.write(Mutex::new(()));
            let held = other.lock();
            drop(lock.lock());
            drop(held);
            // SAFETY: written above.
            unsafe { place.assume_init_drop() };
        });
        assert!(reports.is_empty(), "{reports:?}");
    }

    #[test]
    fn what_a_handler_locks_is_not_checked() {
        let (one, two) = (Mutex::new(()), Mutex::new(()));
        let reports = reports_of(&REPORTS, || {
            let held = REPORTS.lock();
            drop(two.lock());
            drop(held);
            let held = one.lock();
            drop(two.lock());
            drop(held);
            let held = two.lock();
            // The handler locks while `two` is held.
            drop(one.lock());
            drop(held);
        });
        assert!(reports.is_empty(), "{reports:?}");
        let about_one = |report: &Report| report.now.lock == key(&one);
        assert_eq!(
            REPORTS
                .lock()
                .iter()
                .filter(|report| about_one(report))
                .count(),
            1
        );
    }
}
