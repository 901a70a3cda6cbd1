//! Synchronization: tests 27 to 32.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use threadwork::sync::lock_order::{self, Report};
use threadwork::sync::{Barrier, Latch, Mutex, Priority, PriorityMutex};
use threadwork::{ThreadPool, blocking, thread};
use threadwork_runtime::ThreadRuntime;

use crate::check::{Check, OrFail, on_threads, until};

/// Long enough to be asleep, short enough for a test.
const A_WHILE: Duration = Duration::from_millis(20);

/// 27: one thread at a time; a wait can give up; the guard frees the lock.
pub(crate) fn mutex() -> Check {
    const THREADS: u32 = 4;
    const ROUNDS: u64 = 10_000;
    let runtime = ThreadRuntime::new().or_fail("a runtime")?;
    // Two plain numbers, which only exclusion keeps equal.
    let pair = runtime.mutex((0_u64, 0_u64));
    on_threads(THREADS, |_| {
        for _ in 0..ROUNDS {
            let mut pair = pair.lock();
            check_eq!(pair.0, pair.1);
            pair.0 += 1;
            pair.1 += 1;
        }
        Ok(())
    })?;
    let total = u64::from(THREADS) * ROUNDS;
    check_eq!(*pair.lock(), (total, total));

    let guard = pair.lock();
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            let start = Instant::now();
            let taken = pair.try_lock().is_some() || pair.lock_timeout(A_WHILE).is_some();
            (taken, start.elapsed())
        });
        let (taken, waited) = other.join().map_err(|_| "the other thread panicked")?;
        check!(!taken, "a held lock was given to another thread");
        check!(waited >= A_WHILE, "a wait of {A_WHILE:?} gave up after {waited:?}");
        drop(guard);
        check!(pair.try_lock().is_some(), "the guard is gone, and the lock is not free");
        Ok(())
    })
}

/// 28: each notify wakes, none is lost, none is kept; a wait can time out.
pub(crate) fn condvar() -> Check {
    let runtime = ThreadRuntime::new().or_fail("a runtime")?;
    let (turn, turned) = (runtime.mutex(0_u32), runtime.condvar());

    // A notify that finds nobody is not kept for later.
    turned.notify_one();
    turned.notify_all();
    let start = Instant::now();
    let (guard, result) = turned.wait_timeout_while(turn.lock(), A_WHILE, |_| true);
    check!(result.timed_out(), "nobody notified, and the wait did not time out");
    check!(start.elapsed() >= A_WHILE, "a wait of {A_WHILE:?} gave up earlier");
    drop(guard);

    // A token goes round: one lost notify, and it stops.
    const THREADS: u32 = 3;
    const LAPS: u32 = 1_000;
    on_threads(THREADS, |index| {
        for lap in 0..LAPS {
            let mine = lap * THREADS + index;
            let mut turn = turned.wait_while(turn.lock(), |turn| *turn != mine);
            *turn += 1;
            drop(turn);
            turned.notify_all();
        }
        Ok(())
    })?;
    check_eq!(*turn.lock(), THREADS * LAPS);

    // As many are woken by `notify_one` as it is called, and by `notify_all` the rest.
    let (gate, opened) = (runtime.mutex((0_u32, 0_u32)), runtime.condvar());
    let (waiting, woken) = (AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut tickets = gate.lock();
                waiting.fetch_add(1, SeqCst);
                tickets = opened.wait_while(tickets, |(_, tickets)| *tickets == 0);
                tickets.1 -= 1;
                tickets.0 += 1;
                woken.fetch_add(1, SeqCst);
            });
        }
        until(|| waiting.load(SeqCst) == 4);
        gate.lock().1 = 1;
        opened.notify_one();
        until(|| woken.load(SeqCst) == 1);
        gate.lock().1 = 3;
        opened.notify_all();
    });
    check_eq!(*gate.lock(), (4, 0));
    Ok(())
}

/// 29: nobody is a phase ahead; each phase has one leader; 2 to 16 threads, many phases.
pub(crate) fn barrier() -> Check {
    const PHASES: u32 = 50;
    let runtime = ThreadRuntime::new().or_fail("a runtime")?;
    for threads in 2..=16 {
        let barrier = runtime.barrier(threads);
        let arrived = AtomicU32::new(0);
        let leaders = AtomicU32::new(0);
        on_threads(threads, |_| {
            let mut outcome = Ok(());
            for phase in 1..=PHASES {
                arrived.fetch_add(1, SeqCst);
                if barrier.wait().is_leader() {
                    leaders.fetch_add(1, SeqCst);
                }
                // Who is wrong goes on: the others would wait for it for ever.
                outcome = outcome.and_then(|()| {
                    check_eq!(arrived.load(SeqCst), phase * threads);
                    Ok(())
                });
                // Until all have looked.
                barrier.wait();
            }
            outcome
        })?;
        check_eq!(leaders.load(SeqCst), PHASES);
    }
    Ok(())
}

/// 30: readers share, a writer is alone, and neither kind starves the other.
pub(crate) fn rwlock() -> Check {
    const READERS: u32 = 4;
    let runtime = ThreadRuntime::new().or_fail("a runtime")?;
    let lock = runtime.rwlock((0_u64, 0_u64));

    // All readers are inside when they meet.
    let inside = Barrier::new(READERS);
    on_threads(READERS, |_| {
        let guard = lock.read();
        inside.wait();
        let (reader, writer) = (lock.try_read().is_some(), lock.try_write().is_some());
        inside.wait();
        drop(guard);
        check!(reader, "a reader keeps another out");
        check!(!writer, "a writer came in among readers");
        Ok(())
    })?;
    check!(lock.try_read().is_some(), "nobody is inside, and a reader is kept out");
    check!(lock.try_write().is_some(), "nobody is inside, and a writer is kept out");
    let guard = lock.write();
    on_threads(2, |_| {
        check!(lock.try_read().is_none(), "a reader came in beside a writer");
        check!(lock.write_timeout(A_WHILE).is_none(), "two writers at once");
        check!(lock.read_timeout(A_WHILE).is_none(), "a reader waited, and came in");
        Ok(())
    })?;
    drop(guard);

    // One thread goes on only if the others, which never stop, let it in.
    const TURNS: u64 = 200;
    let read = || -> Check {
        let pair = lock.read();
        check_eq!(pair.0, pair.1);
        Ok(())
    };
    let write = || -> Check {
        let mut pair = lock.write();
        check_eq!(pair.0, pair.1);
        pair.0 += 1;
        pair.1 += 1;
        Ok(())
    };
    let done = AtomicBool::new(false);
    on_threads(4, |index| {
        if index > 0 {
            while !done.load(SeqCst) {
                read()?;
            }
            return Ok(());
        }
        let outcome = (0..TURNS).try_for_each(|_| write());
        done.store(true, SeqCst);
        outcome
    })?;
    check_eq!(*lock.read(), (TURNS, TURNS));
    let done = AtomicBool::new(false);
    on_threads(4, |index| {
        if index > 0 {
            while !done.load(SeqCst) {
                write()?;
            }
            return Ok(());
        }
        let outcome = (0..TURNS).try_for_each(|_| read());
        done.store(true, SeqCst);
        outcome
    })
}

/// What lock checking has reported.
static REPORTS: Mutex<Vec<Report>> = Mutex::new(Vec::new());

/// 31: two orders of locks that do not go together are reported before they hang, and so
/// is a cycle of threads that wait for each other.
///
/// In WebAssembly the second ends the process, as does the deadlock of all threads that
/// no lock is part of: see `endings`.
pub(crate) fn deadlock_detection() -> Check {
    lock_order::set_handler(|report| REPORTS.lock().push(report.clone()));
    let runtime = ThreadRuntime::new().or_fail("a runtime")?;
    let [accounts, journal] = [runtime.mutex(()), runtime.mutex(())];

    // The same order everywhere is no reason to worry.
    on_threads(2, |_| {
        for _ in 0..100 {
            let _accounts = accounts.lock();
            let _journal = journal.lock();
        }
        Ok(())
    })?;
    check_eq!(REPORTS.lock().len(), 0);

    // One thread, once, in the other order: nothing hangs, and yet it is known.
    on_threads(1, |_| {
        let _journal = journal.lock();
        let _accounts = accounts.lock();
        Ok(())
    })?;
    let reports = REPORTS.lock();
    check_eq!(reports.len(), 1);
    let report = reports[0].to_string();
    check_eq!(report.matches(file!()).count(), 4);
    drop(reports);

    if cfg!(panic = "unwind") {
        let message = crate::endings::message_of_a_cycle()?;
        for part in ["deadlock", "left philosopher", "right philosopher", "endings.rs"] {
            check!(message.contains(part), "nothing says '{part}' in: {message}");
        }
    }
    Ok(())
}

/// 32: a high-priority waiter is not held up behind lower ones, and what a holder needs
/// to go on is run first when a high-priority task waits for it.
pub(crate) fn priority_inversion() -> Check {
    high_waiters_come_first()?;
    a_holder_inherits()
}

/// Eight wait already when the ninth comes, which is more urgent.
fn high_waiters_come_first() -> Check {
    let order = PriorityMutex::new(Vec::new());
    let held = order.lock();
    thread::scope(|scope| {
        for number in 0..9 {
            let class = if number == 8 { Priority::High } else { Priority::Low };
            let order = &order;
            scope.spawn(move || order.lock_as(class).push(class));
            let waiting =
                || order.raw().waiting(Priority::Low) + order.raw().waiting(Priority::High);
            until(|| waiting() == number + 1);
        }
        drop(held);
    });
    let order = order.lock();
    check_eq!(order.len(), 9);
    check_eq!(order[0], Priority::High);
    Ok(())
}

/// A low-priority task holds a lock and needs two others to go on, with many normal ones
/// queued before them. When somebody urgent waits for the lock, both are run first.
fn a_holder_inherits() -> Check {
    let pool = ThreadPool::builder().pool_size(1).max_threads(2).build().or_fail("a pool")?;
    let pool = Arc::new(pool);
    let lock = Arc::new(PriorityMutex::new(()));
    let log = Arc::new(Mutex::new(Vec::new()));
    let note = |what: &'static str| {
        let log = log.clone();
        move || log.lock().push(what)
    };
    let holds = Arc::new(Latch::new());
    let holder = pool.task().priority(Priority::Low).execute({
        let (pool, lock, holds) = (pool.clone(), lock.clone(), holds.clone());
        let (before, after) = (note("needed"), note("needed"));
        move || {
            let _guard = lock.lock();
            let before = pool.task().priority(Priority::Low).execute(before);
            holds.open();
            // The urgent thread counts as waiting before it has told the pool.
            until(|| before.priority() == Priority::High);
            let after = pool.task().priority(Priority::Low).execute(after);
            // Not a wait for the tasks, which would run them here.
            blocking(|| until(|| before.is_finished() && after.is_finished()));
        }
    });
    holds.wait();
    for _ in 0..8 {
        drop(pool.execute(note("normal")));
    }
    thread::scope(|scope| {
        let urgent = scope.spawn(|| drop(lock.lock_as(Priority::High)));
        urgent.join().map_err(|_| "the urgent thread panicked")
    })?;
    holder.wait().or_fail("the holder")?;
    pool.wait_all().or_fail("wait_all")?;
    let log = log.lock();
    check_eq!(log.len(), 10);
    check!(log[..2] == ["needed"; 2], "in this order: {log:?}");
    Ok(())
}
