//! `WaitGroup`: behaviour, layout, bad use, re-use, early free.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use threadwork_sync::{System, WaitGroup};

use crate::support::{THREADS, block_on, rounds, together};

const SOON: Duration = Duration::from_millis(20);

fn word(group: &WaitGroup) -> u32 {
    // SAFETY: the group is one atomic word.
    unsafe { &*(&raw const *group).cast::<AtomicU32>() }.load(Ordering::SeqCst)
}

#[test]
fn layout_is_frozen() {
    assert_eq!((size_of::<WaitGroup>(), align_of::<WaitGroup>()), (4, 4));
    let group = WaitGroup::new();
    assert_eq!(word(&group), 0);
    group.add(2);
    assert_eq!(word(&group), 4);
    thread::scope(|scope| {
        scope.spawn(|| group.wait());
        while word(&group) != 5 {
            thread::yield_now();
        }
        group.done();
        assert_eq!(word(&group) / 2, 1);
        group.done();
    });
    assert_eq!(word(&group) / 2, 0);
    group.add(1);
    assert_eq!(word(&group), 2, "the next round has no waiters");
}

#[test]
fn zero_bytes_are_an_empty_group() {
    // SAFETY: documented: zero is without tasks.
    let group: WaitGroup = unsafe { std::mem::zeroed() };
    group.wait();
    group.wait_with(&System);
    block_on(group.wait_async());
}

#[test]
#[cfg_attr(not(panic = "unwind"), ignore = "needs unwinding")]
fn tokens_count() {
    let group = WaitGroup::new();
    let token = group.token();
    let clone = token.clone();
    assert_eq!(group.count(), 2);
    drop(token);
    assert_eq!(group.count(), 1);
    let panicked = thread::scope(|scope| {
        scope
            .spawn(move || {
                let _token = clone;
                // Not a panic with a message on the terminal.
                std::panic::resume_unwind(Box::new(()));
            })
            .join()
    });
    assert!(panicked.is_err());
    assert_eq!(group.count(), 0);
}

#[test]
#[should_panic(expected = "add each task before it starts")]
fn a_task_that_was_not_added_panics() {
    WaitGroup::new().done();
}

#[test]
#[should_panic(expected = "wait for some before adding more")]
fn too_many_tasks_panic() {
    let group = WaitGroup::new();
    group.add(u32::MAX / 2);
    group.add(1);
}

#[test]
#[cfg_attr(not(panic = "unwind"), ignore = "needs unwinding")]
fn bad_use_changes_nothing() {
    let group = WaitGroup::new();
    assert!(catch_unwind(AssertUnwindSafe(|| group.done())).is_err());
    assert_eq!(word(&group), 0);
    group.add(1);
    assert!(catch_unwind(AssertUnwindSafe(|| group.add(u32::MAX))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| group.add(u32::MAX / 2))).is_err());
    assert_eq!(group.count(), 1);
    group.done();
    group.wait();
}

#[test]
fn waits_give_up_not_before_their_time() {
    let group = WaitGroup::new();
    group.add(1);
    let start = Instant::now();
    assert!(!group.wait_timeout(SOON));
    assert!(start.elapsed() >= SOON);
    assert!(!group.wait_deadline(Instant::now() + SOON));
    assert!(start.elapsed() >= 2 * SOON);
    assert!(!group.wait_timeout(Duration::ZERO));
    group.done_with(&System);
    assert!(group.wait_timeout(Duration::ZERO));
}

#[test]
fn a_future_may_be_dropped_while_it_waits() {
    let group = WaitGroup::new();
    group.add(1);
    let mut context = Context::from_waker(Waker::noop());
    let mut dropped = Box::pin(group.wait_async());
    assert!(dropped.as_mut().poll(&mut context).is_pending());
    drop(dropped);
    group.done();
    block_on(group.wait_async());
}

/// All threads but one do tasks, which add tasks; that one waits, round after round.
#[test]
fn rounds_of_growing_tasks() {
    for &threads in THREADS {
        let each = rounds(200);
        let (group, go) = (WaitGroup::new(), AtomicU32::new(0));
        let finished = AtomicU32::new(0);
        together(threads, |index| {
            for round in 1..=each {
                if index == 0 {
                    group.add(threads - 1);
                    go.store(round, Ordering::Release);
                    match round % 3 {
                        0 => block_on(group.wait_async()),
                        1 => assert!(group.wait_timeout(Duration::MAX)),
                        _ => group.wait(),
                    }
                    let tasks = round * (threads - 1) * 2;
                    assert_eq!(finished.load(Ordering::Relaxed), tasks);
                } else {
                    while go.load(Ordering::Acquire) != round {
                        thread::yield_now();
                    }
                    let more = group.token();
                    finished.fetch_add(1, Ordering::Relaxed);
                    group.done();
                    finished.fetch_add(1, Ordering::Relaxed);
                    drop(more);
                }
            }
        });
        assert_eq!(group.count(), 0);
    }
}

/// The waiter frees the group while the last may still be in `done`.
#[test]
fn it_may_be_freed_at_once() {
    for _ in 0..rounds(5_000) {
        let group = Box::new(WaitGroup::new());
        group.add(1);
        let address = (&raw const *group).expose_provenance();
        let last = thread::spawn(move || {
            let group = std::ptr::with_exposed_provenance::<WaitGroup>(address);
            // SAFETY: the waiter frees it only when the task is done.
            unsafe { &*group }.done();
        });
        group.wait();
        drop(group);
        last.join().unwrap();
    }
}
