//! Everything in `std::sync` and `std::thread` that a program may wait on.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicUsize};
use std::sync::atomic::{Ordering::*, fence};
use std::sync::mpsc::{self, RecvTimeoutError, TryRecvError, TrySendError};
use std::sync::{Arc, Barrier, Condvar, LazyLock, Mutex, Once, OnceLock, RwLock, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

const THREADS: usize = 4;
/// Long enough to be asleep, short enough for a test.
const A_WHILE: Duration = Duration::from_millis(20);

fn main() {
    mutex_counts_exactly();
    mutex_try_lock_sees_the_holder();
    condvar_hands_a_token_around();
    condvar_times_out();
    condvar_notify_all_wakes_everyone();
    rwlock_excludes_writers();
    rwlock_readers_share();
    barrier_has_one_leader_a_phase();
    once_runs_once();
    lazy_lock_and_once_lock_agree();
    channel_delivers_in_order();
    bounded_channel_blocks_the_sender();
    rendezvous_channel_meets();
    channel_times_out_and_disconnects();
    atomics_of_every_width();
    messages_pass_by_release_and_acquire();
    park_keeps_one_token();
    park_times_out();
    scope_borrows_the_stack();
    names_ids_and_current();
    join_handles_carry_results();
    handles_tell_when_they_are_finished();
    stack_size_is_honoured();
    sleep_lasts_and_instants_grow();
    println!("ok std-sync");
}

/// Runs `work(0)` to `work(THREADS - 1)`, each on a thread of its own.
fn on_threads(work: impl Fn(usize) + Sync) {
    thread::scope(|scope| {
        for index in 0..THREADS {
            let work = &work;
            scope.spawn(move || work(index));
        }
    });
}

fn mutex_counts_exactly() {
    let count = Mutex::new(0);
    on_threads(|_| {
        for _ in 0..10_000 {
            *count.lock().unwrap() += 1;
        }
    });
    assert_eq!(count.into_inner().unwrap(), THREADS * 10_000);
}

fn mutex_try_lock_sees_the_holder() {
    let mutex = Mutex::new(());
    let held = mutex.lock().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock))));
    });
    drop(held);
    assert!(mutex.try_lock().is_ok());
}

fn condvar_hands_a_token_around() {
    const ROUNDS: usize = 500;
    let (holder, passed) = (Mutex::new(0), Condvar::new());
    on_threads(|me| {
        for _ in 0..ROUNDS {
            let mut holder = passed
                .wait_while(holder.lock().unwrap(), |holder| *holder % THREADS != me)
                .unwrap();
            *holder += 1;
            passed.notify_all();
        }
    });
    assert_eq!(*holder.lock().unwrap(), THREADS * ROUNDS);
}

fn condvar_times_out() {
    let (mutex, never) = (Mutex::new(()), Condvar::new());
    let start = Instant::now();
    let (_guard, result) =
        never.wait_timeout_while(mutex.lock().unwrap(), A_WHILE, |()| true).unwrap();
    assert!(result.timed_out());
    assert!(start.elapsed() >= A_WHILE);
}

fn condvar_notify_all_wakes_everyone() {
    let (state, changed) = (Mutex::new((0, false)), Condvar::new());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut guard = state.lock().unwrap();
                guard.0 += 1;
                changed.notify_all();
                drop(changed.wait_while(guard, |(_, open)| !*open).unwrap());
            });
        }
        let mut guard =
            changed.wait_while(state.lock().unwrap(), |(waiting, _)| *waiting < THREADS).unwrap();
        guard.1 = true;
        changed.notify_all();
    });
}

fn rwlock_excludes_writers() {
    let pair = RwLock::new((0_u32, 0_u32));
    on_threads(|me| {
        for _ in 0..2_000 {
            if me % 2 == 0 {
                let mut pair = pair.write().unwrap();
                pair.0 += 1;
                pair.1 += 1;
            } else {
                let pair = pair.read().unwrap();
                assert_eq!(pair.0, pair.1, "a reader saw half a write");
            }
        }
    });
    assert_eq!(pair.read().unwrap().0, 2_000 * (THREADS as u32 / 2));
}

fn rwlock_readers_share() {
    let lock = RwLock::new(());
    let all_inside = Barrier::new(THREADS);
    on_threads(|_| {
        let _shared = lock.read().unwrap();
        all_inside.wait();
        assert!(lock.try_write().is_err());
    });
    assert!(lock.try_write().is_ok());
}

fn barrier_has_one_leader_a_phase() {
    const PHASES: usize = 200;
    let barrier = Barrier::new(THREADS);
    let (leaders, arrived) = (AtomicUsize::new(0), AtomicUsize::new(0));
    on_threads(|_| {
        for phase in 1..=PHASES {
            arrived.fetch_add(1, Relaxed);
            if barrier.wait().is_leader() {
                leaders.fetch_add(1, Relaxed);
            }
            assert_eq!(arrived.load(Relaxed), phase * THREADS);
            barrier.wait();
        }
    });
    assert_eq!(leaders.into_inner(), PHASES);
}

fn once_runs_once() {
    let (once, runs) = (Once::new(), AtomicU32::new(0));
    on_threads(|_| {
        once.call_once(|| {
            thread::sleep(A_WHILE);
            runs.fetch_add(1, Relaxed);
        });
        assert_eq!(runs.load(Relaxed), 1);
    });
    assert!(once.is_completed());
}

fn lazy_lock_and_once_lock_agree() {
    static LAZY: LazyLock<Vec<usize>> = LazyLock::new(|| (0..1000).collect());
    let cell = OnceLock::new();
    on_threads(|me| {
        assert_eq!(LAZY.iter().sum::<usize>(), 499_500);
        let first = *cell.get_or_init(|| me);
        assert_eq!(cell.get(), Some(&first));
    });
    assert!(cell.set(THREADS).is_err());
}

fn channel_delivers_in_order() {
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for source in 0..THREADS {
            let sender = sender.clone();
            scope.spawn(move || (0..1_000).for_each(|item| sender.send((source, item)).unwrap()));
        }
        drop(sender);
        let mut next = [0; THREADS];
        for (source, item) in receiver {
            assert_eq!(item, next[source], "the items of one sender stay in order");
            next[source] += 1;
        }
        assert_eq!(next, [1_000; THREADS]);
    });
}

fn bounded_channel_blocks_the_sender() {
    let (sender, receiver) = mpsc::sync_channel(2);
    sender.send(0).unwrap();
    sender.send(1).unwrap();
    assert!(matches!(sender.try_send(9), Err(TrySendError::Full(9))));
    let sent = AtomicBool::new(false);
    thread::scope(|scope| {
        let sent = &sent;
        scope.spawn(move || {
            sender.send(2).unwrap();
            sent.store(true, Release);
        });
        thread::sleep(A_WHILE);
        assert!(!sent.load(Acquire), "there was no room");
        assert_eq!(receiver.iter().collect::<Vec<_>>(), [0, 1, 2]);
    });
}

fn rendezvous_channel_meets() {
    let (sender, receiver) = mpsc::sync_channel(0);
    thread::scope(|scope| {
        scope.spawn(move || (0..100).for_each(|item| sender.send(item).unwrap()));
        assert!(receiver.iter().eq(0..100));
    });
}

fn channel_times_out_and_disconnects() {
    let (sender, receiver) = mpsc::channel::<()>();
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(receiver.recv_timeout(A_WHILE), Err(RecvTimeoutError::Timeout));
    drop(sender);
    assert_eq!(receiver.recv_timeout(A_WHILE), Err(RecvTimeoutError::Disconnected));
}

fn atomics_of_every_width() {
    let (bytes, words) = (AtomicU8::new(0), AtomicU16::new(0));
    let (signed, exchanged) = (AtomicI64::new(0), AtomicU32::new(0));
    let bits = AtomicUsize::new(0);
    on_threads(|me| {
        for _ in 0..10_000 {
            bytes.fetch_add(1, Relaxed);
            words.fetch_sub(1, Relaxed);
            signed.fetch_add(-1_000_000_007, Relaxed);
            bits.fetch_or(1 << me, Relaxed);
            exchanged.try_update(AcqRel, Acquire, |old| Some(old + 2)).unwrap();
        }
    });
    let rounds = THREADS * 10_000;
    assert_eq!(bytes.into_inner(), (rounds % 256) as u8);
    assert_eq!(words.into_inner(), (rounds as u16).wrapping_neg());
    assert_eq!(signed.into_inner(), -1_000_000_007 * rounds as i64);
    assert_eq!(bits.into_inner(), (1 << THREADS) - 1);
    assert_eq!(exchanged.into_inner(), 2 * rounds as u32);
}

fn messages_pass_by_release_and_acquire() {
    for round in 1..=200 {
        let (data, flag) = (AtomicU32::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                data.store(round, Relaxed);
                fence(Release);
                flag.store(true, Relaxed);
            });
            while !flag.load(Relaxed) {
                thread::yield_now();
            }
            fence(Acquire);
            assert_eq!(data.load(Relaxed), round);
        });
    }
}

fn park_keeps_one_token() {
    let ready = AtomicBool::new(false);
    thread::scope(|scope| {
        let parked = scope.spawn(|| {
            while !ready.load(Acquire) {
                thread::park();
            }
        });
        thread::sleep(A_WHILE);
        ready.store(true, Release);
        parked.thread().unpark();
    });
    thread::current().unpark();
    thread::park();
}

fn park_times_out() {
    let start = Instant::now();
    while start.elapsed() < A_WHILE {
        thread::park_timeout(A_WHILE);
    }
}

fn scope_borrows_the_stack() {
    let mut numbers = [0; 1000];
    thread::scope(|scope| {
        for (index, part) in numbers.chunks_mut(250).enumerate() {
            scope.spawn(move || part.fill(index + 1));
        }
    });
    assert_eq!(numbers.iter().sum::<usize>(), 250 * (1 + 2 + 3 + 4));
}

fn names_ids_and_current() {
    assert_eq!(thread::current().name(), Some("main"));
    let ids: HashSet<_> = (0..THREADS)
        .map(|index| {
            let name = format!("worker {index}");
            let worker = thread::Builder::new().name(name.clone()).spawn(move || {
                assert_eq!(thread::current().name(), Some(name.as_str()));
                thread::current().id()
            });
            worker.unwrap().join().unwrap()
        })
        .chain([thread::current().id()])
        .collect();
    assert_eq!(ids.len(), THREADS + 1, "every thread has an id of its own");
}

fn join_handles_carry_results() {
    let shared = Arc::new(vec![1_u64; 100]);
    let handles: Vec<_> = (0..THREADS as u64)
        .map(|factor| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || (factor, shared.iter().map(|x| x * factor).sum::<u64>()))
        })
        .collect();
    for handle in handles {
        let (factor, sum) = handle.join().unwrap();
        assert_eq!(sum, 100 * factor);
    }
    assert_eq!(Arc::strong_count(&shared), 1, "the threads have let go of it");
}

fn handles_tell_when_they_are_finished() {
    let (release, released) = mpsc::channel::<()>();
    let handle = thread::spawn(move || released.recv());
    assert!(!handle.is_finished());
    release.send(()).unwrap();
    while !handle.is_finished() {
        thread::yield_now();
    }
    handle.join().unwrap().unwrap();
}

fn stack_size_is_honoured() {
    /// Uses somewhat more than `depth` times 128 KiB of stack (the array, and a copy for the
    /// black box), in few calls: the stack that a host has for calls and locals is its own
    /// affair, and small in browsers.
    #[inline(never)]
    fn dive(depth: u64) -> u64 {
        let pages = std::hint::black_box([depth; 8 << 10]);
        if depth == 0 { 0 } else { dive(depth - 1) + pages[depth as usize % pages.len()] }
    }
    let deep = thread::Builder::new().stack_size(16 << 20).spawn(|| dive(100)).unwrap();
    assert_eq!(deep.join().unwrap(), 100 * 101 / 2);
}

fn sleep_lasts_and_instants_grow() {
    let start = Instant::now();
    on_threads(|_| {
        let mut last = Instant::now();
        for _ in 0..100 {
            let now = Instant::now();
            assert!(now >= last, "time went backwards");
            last = now;
        }
        thread::sleep(A_WHILE);
        assert!(start.elapsed() >= A_WHILE);
    });
    // The sleeps overlap; ten times as long means that they queued up.
    assert!(start.elapsed() < 10 * THREADS as u32 * A_WHILE);
}
