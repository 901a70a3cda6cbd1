//! The crates of crossbeam: channels, work-stealing deques, epochs, scoped
//! threads and the utilities.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::*};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::atomic::AtomicCell;
use crossbeam::channel::{self, RecvTimeoutError, after, bounded, never, select, unbounded};
use crossbeam::deque::{Injector, Steal, Stealer, Worker};
use crossbeam::epoch::{self, Atomic, Owned};
use crossbeam::queue::{ArrayQueue, SegQueue};
use crossbeam::sync::{Parker, ShardedLock, WaitGroup};
use crossbeam::utils::{Backoff, CachePadded};

const THREADS: usize = 4;

fn main() {
    channels_have_many_ends();
    rendezvous_meet();
    select_takes_what_is_ready();
    deques_lose_nothing();
    epochs_free_everything_once();
    scopes_join();
    queues_lose_nothing();
    the_utilities_work();
    println!("ok crossbeam-mix");
}

fn channels_have_many_ends() {
    for (sender, receiver) in [unbounded(), bounded(8)] {
        let sum = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                let (sender, receiver, sum) = (sender.clone(), receiver.clone(), &sum);
                scope.spawn(move || (1..=1_000_u64).for_each(|n| sender.send(n).unwrap()));
                scope.spawn(move || receiver.iter().for_each(|n| _ = sum.fetch_add(n, Relaxed)));
            }
            drop(sender);
        });
        assert_eq!(sum.into_inner(), THREADS as u64 * 500_500);
    }
}

fn rendezvous_meet() {
    let (sender, receiver) = bounded(0);
    thread::scope(|scope| {
        scope.spawn(move || (0..100).for_each(|n| sender.send(n).unwrap()));
        assert!(receiver.iter().eq(0..100));
    });
}

fn select_takes_what_is_ready() {
    let (sender, receiver) = unbounded();
    let silence = never::<u32>();
    thread::scope(|scope| {
        scope.spawn(move || {
            thread::sleep(Duration::from_millis(5));
            sender.send(5).unwrap();
        });
        select! {
            recv(silence) -> _ => panic!("never means never"),
            recv(receiver) -> message => assert_eq!(message, Ok(5)),
        }
    });
    let start = Instant::now();
    select! {
        recv(silence) -> _ => panic!("never means never"),
        recv(after(Duration::from_millis(10))) -> _ => assert!(start.elapsed().as_millis() >= 10),
    }
    let (_sender, receiver) = channel::bounded::<()>(1);
    let result = receiver.recv_timeout(Duration::from_millis(5));
    assert_eq!(result, Err(RecvTimeoutError::Timeout));
}

fn deques_lose_nothing() {
    const TASKS: usize = 10_000;
    let injector = Injector::new();
    (0..TASKS).for_each(|task| injector.push(task));
    let workers: Vec<Worker<usize>> = (0..THREADS).map(|_| Worker::new_lifo()).collect();
    let stealers: Vec<_> = workers.iter().map(Worker::stealer).collect();
    let (count, sum) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for local in workers {
            let (injector, stealers, count, sum) = (&injector, &stealers, &count, &sum);
            scope.spawn(move || {
                while count.load(Acquire) < TASKS {
                    if let Some(task) = find_task(&local, injector, stealers) {
                        sum.fetch_add(task, Relaxed);
                        count.fetch_add(1, AcqRel);
                    }
                }
            });
        }
    });
    assert_eq!(sum.into_inner(), TASKS * (TASKS - 1) / 2);
}

/// First one's own, then a batch from the queue of all, then somebody else's.
fn find_task(
    local: &Worker<usize>,
    injector: &Injector<usize>,
    stealers: &[Stealer<usize>],
) -> Option<usize> {
    local.pop().or_else(|| {
        std::iter::repeat_with(|| {
            injector
                .steal_batch_and_pop(local)
                .or_else(|| stealers.iter().map(Stealer::steal).collect())
        })
        .find(|steal| !steal.is_retry())
        .and_then(Steal::success)
    })
}

fn epochs_free_everything_once() {
    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    struct Counted(usize);
    impl Counted {
        fn new(value: usize) -> Self {
            ALIVE.fetch_add(1, SeqCst);
            Self(value)
        }
    }
    impl Drop for Counted {
        fn drop(&mut self) {
            ALIVE.fetch_sub(1, SeqCst);
        }
    }

    let collector = epoch::Collector::new();
    let shared = Atomic::new(Counted::new(0));
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (collector, shared) = (&collector, &shared);
            scope.spawn(move || {
                let handle = collector.register();
                for n in 0..1_000 {
                    let guard = handle.pin();
                    let old = shared.swap(Owned::new(Counted::new(thread + n)), AcqRel, &guard);
                    // SAFETY: the swap took `old` out of the only place that led
                    // to it; it is not null, and the guard keeps it alive.
                    assert!(unsafe { old.deref() }.0 < THREADS + 1_000);
                    // SAFETY: as above; only this thread got `old`.
                    unsafe { guard.defer_destroy(old) };
                }
            });
        }
    });
    // SAFETY: the threads are gone, so that this is the only owner.
    drop(unsafe { shared.into_owned() });
    let handle = collector.register();
    for _ in 0..10_000 {
        if ALIVE.load(SeqCst) == 0 {
            return;
        }
        handle.pin().flush();
    }
    panic!("{} values were never freed", ALIVE.load(SeqCst));
}

fn scopes_join() {
    let numbers = [1, 2, 3, 4];
    let sum = crossbeam::scope(|scope| {
        let halves: Vec<_> =
            numbers.chunks(2).map(|half| scope.spawn(move |_| half.iter().sum::<i32>())).collect();
        halves.into_iter().map(|half| half.join().unwrap()).sum::<i32>()
    });
    assert_eq!(sum.unwrap(), 10);
}

fn queues_lose_nothing() {
    let (bounded, unbounded) = (ArrayQueue::new(64), SegQueue::new());
    let received = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for n in 0..1_000 {
                    unbounded.push(n);
                    while bounded.push(n).is_err() {
                        thread::yield_now();
                    }
                }
            });
            scope.spawn(|| {
                while received.load(Relaxed) < 2 * 1_000 * THREADS {
                    let count = [bounded.pop(), unbounded.pop()].iter().flatten().count();
                    received.fetch_add(count, Relaxed);
                    thread::yield_now();
                }
            });
        }
    });
    assert!(bounded.is_empty() && unbounded.is_empty());
}

fn the_utilities_work() {
    let cell = AtomicCell::new((0_u64, 0_u64, 0_u64));
    let sharded = ShardedLock::new(0);
    let padded = CachePadded::new(AtomicUsize::new(0));
    let group = WaitGroup::new();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            let (cell, sharded, padded, group) = (&cell, &sharded, &padded, group.clone());
            scope.spawn(move || {
                for n in 0..1_000 {
                    cell.store((n, 2 * n, 3 * n));
                    let (a, b, c) = cell.load();
                    assert!(b == 2 * a && c == 3 * a, "a torn value");
                }
                *sharded.write().unwrap() += 1;
                padded.fetch_add(1, Relaxed);
                drop(group);
            });
        }
        group.wait();
        assert_eq!(*sharded.read().unwrap(), THREADS);
    });
    assert_eq!(padded.load(Relaxed), THREADS);

    let parker = Parker::new();
    let unparker = parker.unparker().clone();
    thread::scope(|scope| {
        scope.spawn(move || unparker.unpark());
        parker.park();
    });
    let backoff = Backoff::new();
    while !backoff.is_completed() {
        backoff.snooze();
    }
}
