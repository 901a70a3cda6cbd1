//! What rayon documents, on pools of one thread, two and some.

use std::collections::HashSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

use rayon_core::{
    FnContext, ThreadPool, ThreadPoolBuilder, Yield, broadcast, current_num_threads,
    current_thread_index, in_place_scope, join, join_context, scope, scope_fifo, spawn, spawn_fifo,
    yield_local, yield_now,
};

/// Where a panic ends the program there is nothing to look at.
const UNWINDS: bool = cfg!(panic = "unwind");

fn pool(threads: usize) -> ThreadPool {
    ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .expect("a pool")
}

fn message_of(work: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(work)).expect_err("a panic");
    (*payload.downcast::<&str>().expect("a text")).to_owned()
}

fn fibonacci(n: u32) -> u64 {
    if n < 2 {
        return n.into();
    }
    let (a, b) = join(|| fibonacci(n - 1), || fibonacci(n - 2));
    a + b
}

#[test]
fn a_join_returns_both_results_in_any_pool() {
    assert_eq!(fibonacci(15), 610);
    for threads in [1, 2, 7] {
        assert_eq!(pool(threads).install(|| fibonacci(18)), 2584);
    }
}

#[test]
fn a_second_half_is_told_whether_it_has_migrated() {
    let alone = pool(1).install(|| join_context(|a| a.migrated(), |b| b.migrated()));
    assert_eq!(alone, (false, false));
    // The first half waits for the second, so another thread must have it.
    let barrier = Barrier::new(2);
    let (a, b) = pool(2).install(|| {
        join_context(
            |a| {
                barrier.wait();
                (a.migrated(), current_thread_index())
            },
            |b| {
                barrier.wait();
                (b.migrated(), current_thread_index())
            },
        )
    });
    assert_eq!((a.0, b.0), (false, true));
    assert_ne!(a.1, b.1);
}

/// Divides as rayon's iterators do, and returns how many pieces there were: half the splits for
/// each half, and as many as there are threads again for one that has migrated.
fn pieces(size: usize, splits: usize, migrated: bool, leaf: &(impl Fn() + Sync)) -> usize {
    if size == 1 || splits == 0 && !migrated {
        leaf();
        return 1;
    }
    let splits = if migrated {
        current_num_threads().max(splits / 2)
    } else {
        splits / 2
    };
    let caller = current_thread_index();
    let divide = |context: FnContext| {
        assert_eq!(context.migrated(), current_thread_index() != caller);
        pieces(size / 2, splits, context.migrated(), leaf)
    };
    let (a, b) = join_context(divide, divide);
    a + b
}

#[test]
fn what_does_not_migrate_is_divided_once_for_each_thread() {
    let alone = pool(1);
    let count = |leaf: &(dyn Fn() + Sync)| alone.install(|| pieces(1 << 10, 1, false, &|| leaf()));
    assert_eq!(count(&|| ()), 2);
    // The thread itself takes the second half, before its join gets there.
    let taken = AtomicUsize::new(0);
    let take = || {
        let took = yield_local() == Some(Yield::Executed);
        taken.fetch_add(took.into(), Ordering::Relaxed);
    };
    assert_eq!(count(&take), 2);
    assert_eq!(taken.into_inner(), 1);
    // So it may while it waits.
    let other = pool(1);
    let wait = || other.install(|| thread::sleep(Duration::from_millis(1)));
    assert_eq!(count(&wait), 2);
}

#[test]
fn migrated_is_who_runs_on_another_thread() {
    for threads in [2, 3, 8] {
        let pool = pool(threads);
        let other = self::pool(1);
        for round in 0..50 {
            let leaf = || match round % 3 {
                0 => _ = yield_local(),
                1 => thread::yield_now(),
                _ => other.install(|| ()),
            };
            let count = pool.install(|| pieces(1 << 8, threads, false, &leaf));
            assert!((2..=1 << 8).contains(&count));
        }
    }
}

#[test]
fn both_halves_are_run_whatever_panics() {
    if !UNWINDS {
        return;
    }
    let pool = pool(1);
    let ran = AtomicBool::new(false);
    let of_a = message_of(|| {
        pool.join(|| panic!("a"), || ran.store(true, Ordering::Relaxed));
    });
    assert_eq!(of_a, "a");
    assert!(ran.into_inner());
    assert_eq!(message_of(|| _ = pool.join(|| (), || panic!("b"))), "b");
    let both = message_of(|| {
        pool.join(|| panic!("a"), || panic!("b"));
    });
    assert_eq!(both, "a");
}

#[test]
fn an_install_is_on_a_thread_of_the_pool() {
    let pool = pool(3);
    assert_eq!(current_thread_index(), None);
    assert_eq!(pool.current_thread_index(), None);
    assert_eq!(pool.current_num_threads(), 3);
    pool.install(|| {
        assert_eq!(current_num_threads(), 3);
        assert!(current_thread_index().is_some_and(|index| index < 3));
        assert_eq!(pool.current_thread_index(), current_thread_index());
        assert_eq!(pool.install(current_thread_index), current_thread_index());
    });
}

/// Each of one thread, which does its pool's work while it waits for the other.
#[test]
fn pools_within_pools_do_not_wait_for_each_other() {
    let (one, other) = (pool(1), pool(1));
    let depth = one.install(|| other.install(|| one.install(|| other.install(|| 4))));
    assert_eq!(depth, 4);
    let sums = one.install(|| {
        join(
            || other.install(|| fibonacci(10)),
            || other.install(|| fibonacci(11)),
        )
    });
    assert_eq!(sums, (55, 89));
}

#[test]
fn one_thread_begins_with_the_newest_of_a_scope_and_the_oldest_of_a_fifo_one() {
    let order = Mutex::new(Vec::new());
    let order = &order;
    let pool = pool(1);
    pool.scope(|s| {
        for job in 0..10 {
            s.spawn(move |_| order.lock().unwrap().push(job));
        }
    });
    let newest = std::mem::take(&mut *order.lock().unwrap());
    assert!(newest.iter().rev().copied().eq(0..10), "{newest:?}");
    pool.scope_fifo(|s| {
        for job in 0..10 {
            s.spawn_fifo(move |_| order.lock().unwrap().push(job));
        }
    });
    let oldest = std::mem::take(&mut *order.lock().unwrap());
    assert!(oldest.iter().copied().eq(0..10), "{oldest:?}");
}

#[test]
fn so_it_does_with_what_is_spawned() {
    for (fifo, expected) in [(false, [2, 1, 0]), (true, [0, 1, 2])] {
        let (sender, receiver) = channel();
        let pool = pool(1);
        pool.install(|| {
            for job in 0..3 {
                let sender = sender.clone();
                let work = move || sender.send(job).unwrap();
                if fifo { spawn_fifo(work) } else { spawn(work) }
            }
        });
        drop(sender);
        assert!(receiver.iter().eq(expected));
    }
}

#[test]
fn a_scope_waits_for_all_of_its_jobs() {
    fn count<'scope>(s: &rayon_core::Scope<'scope>, depth: u32, leaves: &'scope AtomicUsize) {
        match depth {
            0 => _ = leaves.fetch_add(1, Ordering::Relaxed),
            _ => (0..2).for_each(|_| s.spawn(move |s| count(s, depth - 1, leaves))),
        }
    }
    for threads in [1, 2, 5] {
        let pool = pool(threads);
        let leaves = AtomicUsize::new(0);
        pool.scope(|s| count(s, 10, &leaves));
        // In place: the body may be of any thread.
        pool.in_place_scope(|s| {
            assert_eq!(current_thread_index(), None);
            count(s, 10, &leaves);
        });
        assert_eq!(leaves.into_inner(), 2048);
    }
    let mut done = false;
    in_place_scope(|s| s.spawn(|_| done = true));
    assert!(done);
}

#[test]
fn a_scope_panics_when_all_is_done() {
    if !UNWINDS {
        return;
    }
    for threads in [1, 3] {
        let pool = pool(threads);
        let done = AtomicUsize::new(0);
        let message = message_of(|| {
            pool.scope(|s| {
                for job in 0..8 {
                    let done = &done;
                    s.spawn(move |_| {
                        done.fetch_add(1, Ordering::Relaxed);
                        assert!(job != 4, "a job");
                    });
                }
            });
        });
        assert_eq!(message, "a job");
        assert_eq!(done.into_inner(), 8);
    }
}

#[test]
fn a_broadcast_is_on_each_thread_once() {
    for threads in [1, 2, 7] {
        let pool = pool(threads);
        let indices = |within: bool| {
            let each = || pool.broadcast(|thread| (thread.index(), thread.num_threads()));
            if within { pool.install(each) } else { each() }
        };
        let expected: Vec<_> = (0..threads).map(|index| (index, threads)).collect();
        assert_eq!(indices(false), expected);
        assert_eq!(indices(true), expected);
        // While all of them wait.
        let halves =
            pool.install(|| join(|| broadcast(|t| t.index()), || broadcast(|t| t.index())));
        assert!(halves.0.into_iter().eq(0..threads) && halves.1.into_iter().eq(0..threads));
        let count = AtomicUsize::new(0);
        pool.scope(|s| {
            s.spawn_broadcast(|s, _| {
                s.spawn(|_| _ = count.fetch_add(1, Ordering::Relaxed));
            });
        });
        scope_fifo(|s| s.spawn_broadcast(|_, _| ()));
        assert_eq!(count.into_inner(), threads);
    }
}

/// Each in a job of the other's pool, at the same time.
#[test]
fn broadcasts_of_two_pools_do_not_wait_for_each_other() {
    let pools = [pool(2), pool(3)];
    scope(|s| {
        for (one, other) in [(0, 1), (1, 0)] {
            let pools = &pools;
            s.spawn(move |_| {
                pools[one].install(|| pools[other].broadcast(|thread| thread.index()));
            });
        }
    });
}

#[test]
fn a_yield_does_one_thing() {
    assert_eq!((yield_now(), yield_local()), (None, None));
    let pool = pool(1);
    assert_eq!(pool.yield_now(), None);
    let done = Arc::new(AtomicUsize::new(0));
    pool.install(|| {
        assert_eq!(yield_now(), Some(Yield::Idle));
        assert_eq!(pool.current_thread_has_pending_tasks(), Some(false));
        for _ in 0..2 {
            let done = done.clone();
            spawn(move || _ = done.fetch_add(1, Ordering::Relaxed));
        }
        assert_eq!(pool.current_thread_has_pending_tasks(), Some(true));
        for count in 1..=2 {
            assert_eq!(yield_local(), Some(Yield::Executed));
            assert_eq!(done.load(Ordering::Relaxed), count);
        }
        assert_eq!(pool.yield_local(), Some(Yield::Idle));
    });
}

#[test]
fn a_half_waits_for_what_it_yields_to() {
    let done = AtomicBool::new(false);
    let (yields, ()) = pool(1).install(|| {
        join(
            || {
                let yields = || yield_local().is_some_and(|y| y == Yield::Executed);
                while !done.load(Ordering::Relaxed) {
                    assert!(yields());
                }
                yield_now()
            },
            || done.store(true, Ordering::Relaxed),
        )
    });
    assert_eq!(yields, Some(Yield::Idle));
}

#[test]
fn threads_have_names_and_their_handlers() {
    let (started, exited) = (Arc::new(AtomicUsize::new(0)), channel());
    let on_start = started.clone();
    let on_exit = Mutex::new(exited.0);
    let pool = ThreadPoolBuilder::new()
        .num_threads(3)
        .thread_name(|index| format!("thread-{index}"))
        .stack_size(1 << 20)
        .start_handler(move |index| _ = on_start.fetch_add(1 << (8 * index), Ordering::Relaxed))
        .exit_handler(move |index| on_exit.lock().unwrap().send(index).unwrap())
        .build()
        .unwrap();
    let names = pool.broadcast(|_| thread::current().name().map(str::to_owned));
    let expected = ["thread-0", "thread-1", "thread-2"].map(|name| Some(name.to_owned()));
    assert_eq!(names, expected);
    assert_eq!(started.load(Ordering::Relaxed), 0x0001_0101);
    drop(pool);
    let exited: HashSet<usize> = exited.1.iter().collect();
    assert_eq!(exited, (0..3).collect());
}

#[test]
fn what_was_spawned_is_done_after_the_pool_was_dropped() {
    let (sender, receiver) = channel();
    let pool = pool(2);
    let (go, wait) = channel::<()>();
    pool.spawn(move || {
        _ = wait.recv();
        for job in 0..10 {
            let sender = sender.clone();
            spawn(move || sender.send(job).unwrap());
        }
    });
    drop(pool);
    drop(go);
    let mut done: Vec<_> = receiver.iter().collect();
    done.sort_unstable();
    assert!(done.into_iter().eq(0..10));
}

#[test]
fn a_panic_of_what_was_spawned_goes_to_the_handler() {
    if !UNWINDS {
        return;
    }
    let (sender, receiver) = channel();
    let sender = Mutex::new(sender);
    let pool = ThreadPoolBuilder::new()
        .num_threads(2)
        .panic_handler(move |payload| sender.lock().unwrap().send(payload).unwrap())
        .build()
        .unwrap();
    pool.spawn(|| panic!("spawned"));
    pool.spawn_fifo(|| panic!("spawned"));
    pool.spawn_broadcast(|_| panic!("spawned"));
    for _ in 0..4 {
        let payload = receiver.recv().unwrap();
        assert_eq!(payload.downcast_ref(), Some(&"spawned"));
    }
    assert_eq!(pool.install(|| 1), 1, "nobody is lost");
}

#[test]
fn the_calling_thread_is_the_first_of_a_pool() {
    let thread = thread::spawn(|| {
        let pool = ThreadPoolBuilder::new()
            .num_threads(2)
            .use_current_thread()
            .build()
            .unwrap();
        assert_eq!(pool.current_thread_index(), Some(0));
        let here = thread::current().id();
        pool.install(|| assert_eq!(thread::current().id(), here));
        pool.scope(|s| s.spawn(|_| ()));
        assert_eq!(pool.broadcast(|t| t.index()), [0, 1]);
        let again = ThreadPoolBuilder::new().use_current_thread().build();
        assert!(again.unwrap_err().to_string().contains("already part"));
    });
    thread.join().unwrap();
}

#[test]
fn threads_are_started_by_whoever_wants_to() {
    let mut indices = Vec::new();
    let pool = ThreadPoolBuilder::new()
        .num_threads(2)
        .thread_name(|index| format!("own-{index}"))
        .spawn_handler(|thread| {
            indices.push((thread.index(), thread.name().map(str::to_owned)));
            thread::spawn(|| thread.run());
            Ok(())
        })
        .build()
        .unwrap();
    assert_eq!(pool.install(|| fibonacci(12)), 144);
    drop(pool);
    let expected = [(0, Some("own-0".to_owned())), (1, Some("own-1".to_owned()))];
    assert_eq!(indices, expected);
    let refused = ThreadPoolBuilder::new()
        .num_threads(2)
        .spawn_handler(|_| Err(io::Error::other("no thread")))
        .build();
    assert_eq!(refused.unwrap_err().to_string(), "no thread");
}

#[test]
fn threads_of_a_scoped_pool_may_borrow_and_end_before_it() {
    let (begun, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let result = ThreadPoolBuilder::new().num_threads(3).build_scoped(
        |thread| {
            begun.fetch_add(1, Ordering::Relaxed);
            thread.run();
            ended.fetch_add(1, Ordering::Relaxed);
        },
        |pool| pool.install(|| fibonacci(12)),
    );
    assert_eq!(result.unwrap(), 144);
    assert_eq!((begun.into_inner(), ended.into_inner()), (3, 3));
}

/// One works and waits for the outside, the other waits for that one.
#[test]
fn jobs_from_outside_come_in_while_all_threads_wait() {
    let pool = pool(2);
    let barrier = Barrier::new(2);
    let (_, seven) = pool.install(|| {
        join(
            || barrier.wait(),
            || {
                barrier.wait();
                thread::scope(|s| s.spawn(|| pool.install(|| 7)).join().unwrap())
            },
        )
    });
    assert_eq!(seven, 7);
}
