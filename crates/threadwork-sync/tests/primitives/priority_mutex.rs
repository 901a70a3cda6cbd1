//! `PriorityMutex`: behaviour, layout, bad use, order of classes, inheritance, and
//! exclusion.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use threadwork_sync::{
    Contender, Inherited, Mutex, Priority, PriorityHook, PriorityMutex, RawPriorityMutex, Resumed,
    Step, System, ThreadToken, Waiter, block, set_priority_hook,
};

use crate::support::{Random, THREADS, block_on, rounds, together};

const SOON: Duration = Duration::from_millis(20);
const CLASSES: [Priority; 3] = [Priority::Low, Priority::Normal, Priority::High];

fn at(priority: Priority) -> Contender {
    Contender {
        priority,
        token: None,
    }
}

fn token(number: u32) -> ThreadToken {
    ThreadToken::new(number).unwrap()
}

fn state_word(mutex: &RawPriorityMutex) -> &AtomicU64 {
    let start: *const RawPriorityMutex = mutex;
    // SAFETY: the state is at the start of the lock.
    unsafe { &*start.cast() }
}

fn state(mutex: &RawPriorityMutex) -> u64 {
    state_word(mutex).load(Ordering::SeqCst)
}

fn gate(mutex: &RawPriorityMutex, priority: Priority) -> u32 {
    let start: *const RawPriorityMutex = mutex;
    // SAFETY: the gates follow the state.
    let gate = unsafe { start.cast::<AtomicU32>().add(2 + priority as usize) };
    // SAFETY: as above.
    unsafe { &*gate }.load(Ordering::SeqCst)
}

fn unlock(mutex: &RawPriorityMutex) {
    // SAFETY: the tests unlock what they have locked.
    unsafe { mutex.unlock_with(&System) };
}

fn until_waiting<T>(mutex: &PriorityMutex<T>, priority: Priority, count: u32) {
    while mutex.raw().waiting(priority) < count {
        thread::yield_now();
    }
}

#[test]
fn layout_is_frozen() {
    let sizes = (
        size_of::<RawPriorityMutex>(),
        align_of::<RawPriorityMutex>(),
    );
    assert_eq!(sizes, (24, 8));
    assert_eq!(size_of::<PriorityMutex<u64>>(), 32);
    assert_eq!(CLASSES.map(|class| class as u8), [0, 1, 2]);
    assert_eq!(ThreadToken::MAX, 0xff_fffd);

    let mutex = RawPriorityMutex::new();
    assert_eq!(state(&mutex), 0);
    let holder = Contender {
        priority: Priority::Low,
        token: Some(token(0x12_3456)),
    };
    assert!(mutex.try_lock(holder));
    assert_eq!(state(&mutex), 0x12_3456);
    unlock(&mutex);
    assert_eq!(state(&mutex), 0);

    assert!(mutex.try_lock(at(Priority::Low)));
    assert_eq!(state(&mutex), 0xff_ffff);
    let mut waiters = CLASSES.map(|class| mutex.acquire(&System, at(class)));
    for (waiter, shift) in waiters.iter_mut().zip([24, 37, 50]) {
        let before = state(&mutex);
        assert!(matches!(
            waiter.step(Resumed::Started),
            Step::Watch(..) | Step::Sleep(..)
        ));
        assert_eq!(state(&mutex), before + (1 << shift));
    }
    for (turn, class) in CLASSES.into_iter().enumerate().rev() {
        unlock(&mutex);
        assert_eq!(state(&mutex) & 0xff_ffff, 0xff_fffe);
        assert_eq!(gate(&mutex, class), 0b1001);
        assert!(matches!(waiters[turn].step(Resumed::Woken), Step::Done(())));
        assert_eq!(gate(&mutex, class), 0b1000);
    }
    assert_eq!(state(&mutex), 0xff_ffff);
    unlock(&mutex);
    assert_eq!(state(&mutex), 0);
}

#[test]
fn zero_bytes_are_an_unlocked_mutex() {
    // SAFETY: documented: zero is unlocked, and zero is a u64.
    let mutex: PriorityMutex<u64> = unsafe { std::mem::zeroed() };
    *mutex.try_lock().unwrap() += 1;
    assert_eq!(mutex.into_inner(), 1);
}

#[test]
fn tokens_have_their_range() {
    assert_eq!(ThreadToken::new(0), None);
    assert_eq!(token(1).get(), 1);
    assert_eq!(token(ThreadToken::MAX).get(), ThreadToken::MAX);
    assert_eq!(ThreadToken::new(ThreadToken::MAX + 1), None);
}

#[test]
fn a_held_lock_is_not_given_away() {
    let mut mutex = PriorityMutex::new(1);
    let guard = mutex.lock();
    assert!(mutex.is_locked());
    assert!(mutex.try_lock().is_none());
    assert_eq!(format!("{mutex:?}"), "PriorityMutex { data: <locked> }");
    assert_eq!(format!("{guard:?} {guard}"), "1 1");
    drop(guard);
    assert!(!mutex.is_locked());
    assert_eq!(format!("{mutex:?}"), "PriorityMutex { data: 1 }");
    *mutex.get_mut() = 2;
    assert_eq!(mutex.into_inner(), 2);
}

#[test]
fn waits_give_up_not_before_their_time() {
    let mutex = PriorityMutex::new(());
    let held = mutex.lock();
    let start = Instant::now();
    assert!(mutex.lock_timeout(SOON).is_none());
    assert!(start.elapsed() >= SOON);
    assert!(mutex.lock_deadline(Instant::now() + SOON).is_none());
    assert!(start.elapsed() >= 2 * SOON);
    assert!(mutex.lock_timeout_as(Priority::High, SOON).is_none());
    assert!(start.elapsed() >= 3 * SOON);
    let deadline = Instant::now() + SOON;
    assert!(mutex.lock_deadline_as(Priority::Low, deadline).is_none());
    assert!(Instant::now() >= deadline);
    assert!(mutex.lock_timeout(Duration::ZERO).is_none());
    assert_eq!(CLASSES.map(|class| mutex.raw().waiting(class)), [0; 3]);
    drop(held);
    assert!(mutex.lock_timeout(Duration::ZERO).is_some());
}

#[test]
fn a_lock_that_gets_free_in_time_is_taken() {
    let mutex = PriorityMutex::new(0);
    let guard = mutex.lock();
    thread::scope(|scope| {
        for class in CLASSES {
            let mutex = &mutex;
            scope.spawn(move || *mutex.lock_timeout_as(class, Duration::MAX).unwrap() += 1);
            until_waiting(mutex, class, 1);
        }
        drop(guard);
    });
    assert_eq!(mutex.into_inner(), 3);
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "panics abort there")]
fn a_panic_frees_the_lock() {
    let mutex = PriorityMutex::new(0);
    let panicked = thread::scope(|scope| {
        scope
            .spawn(|| {
                let _guard = mutex.lock();
                // Not a panic with a message on the terminal.
                std::panic::resume_unwind(Box::new(()));
            })
            .join()
    });
    assert!(panicked.is_err());
    assert!(mutex.try_lock().is_some());
}

#[test]
#[should_panic(expected = "unlock once for each lock")]
fn unlocking_a_free_lock_panics() {
    unlock(&RawPriorityMutex::new());
}

#[test]
#[should_panic(expected = "unlock once for each lock")]
fn unlocking_for_a_waiter_panics() {
    let mutex = RawPriorityMutex::new();
    assert!(mutex.try_lock(at(Priority::Low)));
    let mut waiter = mutex.acquire(&System, at(Priority::Low));
    let _watches = waiter.step(Resumed::Started);
    unlock(&mutex);
    unlock(&mutex);
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "panics abort there")]
fn too_many_waiters_panic_and_harm_nobody() {
    let mutex = RawPriorityMutex::new();
    assert!(mutex.try_lock(at(Priority::Low)));
    // As if so many waited.
    let crowd = 8189_u64 << 50;
    state_word(&mutex).fetch_add(crowd, Ordering::SeqCst);
    let mut last = mutex.acquire(&System, at(Priority::High));
    let _waits = last.step(Resumed::Started);
    let one_more = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _panics = mutex
            .acquire(&System, at(Priority::High))
            .step(Resumed::Started);
    }));
    let message = one_more.unwrap_err();
    let message = message.downcast_ref::<String>().unwrap();
    assert!(message.contains("more than 8190 wait"), "{message}");
    assert_eq!(mutex.waiting(Priority::High), 8190);
    assert!(last.cancel(false).is_none());
    state_word(&mutex).fetch_sub(crowd, Ordering::SeqCst);
    unlock(&mutex);
    assert_eq!(state(&mutex), 0);
}

/// Whatever order they come in, they get it by class, and within a class in the order
/// in which they came.
#[test]
fn waiters_get_it_by_class_then_in_the_order_they_came() {
    for seed in 0..u64::from(rounds(20)) {
        let mut random = Random::new(seed);
        let came: Vec<(Priority, u32)> = (0..9)
            .map(|number| (CLASSES[random.below(3) as usize], number))
            .collect();
        let mutex = PriorityMutex::new(Vec::new());
        let guard = mutex.lock();
        let mut context = Context::from_waker(Waker::noop());
        let mut futures: Vec<_> = came
            .iter()
            .map(|&(class, _)| Box::pin(mutex.lock_async_as(class)))
            .collect();
        for future in &mut futures {
            assert!(future.as_mut().poll(&mut context).is_pending());
        }
        drop(guard);
        for _ in 0..came.len() {
            // Exactly one gets it, whichever is asked first.
            let got = futures.iter_mut().zip(&came).position(|(future, &who)| {
                match future.as_mut().poll(&mut context) {
                    Poll::Ready(mut guard) => {
                        guard.push(who);
                        true
                    }
                    Poll::Pending => false,
                }
            });
            let index = got.unwrap();
            let who = mutex.try_lock().map(|guard| guard.len());
            assert!(who.is_none() || who == Some(came.len()), "free between two");
            futures[index] = Box::pin(mutex.lock_async_as(Priority::Low));
        }
        let mut sorted = came;
        sorted.sort_by_key(|&(class, number)| (std::cmp::Reverse(class), number));
        drop(futures);
        assert_eq!(mutex.into_inner(), sorted);
    }
}

/// A waiter of the highest class waits for one critical section of the others: the one
/// that has begun when it comes.
#[test]
fn a_stream_of_lower_classes_does_not_hold_up_a_high_waiter() {
    let mutex = RawPriorityMutex::new();
    let done = AtomicBool::new(false);
    let taken = AtomicU32::new(0);
    let mut most = 0;
    thread::scope(|scope| {
        for class in [Priority::Low, Priority::Low, Priority::Normal] {
            let (mutex, done, taken) = (&mutex, &done, &taken);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    mutex.lock_with(&System, at(class));
                    taken.fetch_add(1, Ordering::Relaxed);
                    unlock(mutex);
                }
            });
        }
        while taken.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        for _ in 0..rounds(2_000) {
            let mut waiter = mutex.acquire(&System, at(Priority::High));
            if !matches!(waiter.step(Resumed::Started), Step::Done(())) {
                // It is counted. Only a read-modify-write is sure to see the last value.
                let before = taken.fetch_add(0, Ordering::Relaxed);
                thread::yield_now();
                block(&System, waiter, None).unwrap();
                most = most.max(taken.load(Ordering::Relaxed) - before);
            }
            unlock(&mutex);
        }
        done.store(true, Ordering::Relaxed);
    });
    // Only now: a panic above would leave the others at it, and hang.
    assert!(most <= 1, "passed {most} times");
}

/// A low task that was chosen and is not run yet does not keep the lock from a high one.
#[test]
fn a_lower_class_that_does_not_run_is_robbed() {
    let mutex = PriorityMutex::new(0);
    let mut context = Context::from_waker(Waker::noop());
    let first = mutex.lock();
    let mut low = Box::pin(mutex.lock_async_as(Priority::Low));
    assert!(low.as_mut().poll(&mut context).is_pending());
    drop(first);
    assert!(mutex.is_locked());
    assert!(mutex.lock_timeout_as(Priority::Low, SOON).is_none());
    *mutex.lock_as(Priority::Normal) += 1;
    *mutex.lock_as(Priority::High) += 1;
    *block_on(low) += 1;
    assert_eq!(mutex.into_inner(), 3);
}

/// What the hook has heard of each token. Each test has tokens of its own.
static HEARD: [Inherited; 64] = [const { Inherited::new() }; 64];

struct Hook;

impl PriorityHook for Hook {
    fn raise(&self, holder: ThreadToken, to: Priority) {
        HEARD[holder.get() as usize].raise(to);
    }

    fn restore(&self, holder: ThreadToken, to: Priority) {
        HEARD[holder.get() as usize].restore(to);
    }
}

fn set_hook() {
    // Another test may have set it.
    let _is_set = set_priority_hook(&Hook);
    assert!(set_priority_hook(&Hook).is_err());
}

fn inherited(token: u32) -> Priority {
    HEARD[token as usize].priority(Priority::Low)
}

#[test]
fn what_is_inherited_is_the_highest_that_is_left() {
    let inherited = Inherited::new();
    let priority = |own| inherited.priority(own);
    inherited.raise(Priority::High);
    inherited.raise(Priority::Normal);
    inherited.raise(Priority::Normal);
    assert_eq!(priority(Priority::Low), Priority::High);
    inherited.restore(Priority::High);
    inherited.restore(Priority::Normal);
    assert_eq!(
        CLASSES.map(priority),
        [Priority::Normal, Priority::Normal, Priority::High]
    );
    inherited.restore(Priority::Normal);
    assert_eq!(CLASSES.map(priority), CLASSES);
    // A restore may come first.
    inherited.restore(Priority::High);
    assert_eq!(CLASSES.map(priority), CLASSES);
    inherited.raise(Priority::High);
    assert_eq!(CLASSES.map(priority), CLASSES);
}

#[test]
fn the_current_contender_is_the_threads_own() {
    assert_eq!(Contender::current(), at(Priority::Normal));
    let task = Contender {
        priority: Priority::High,
        token: Some(token(1)),
    };
    assert_eq!(task.make_current(), at(Priority::Normal));
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(Contender::current(), at(Priority::Normal)));
    });
    let mutex = PriorityMutex::new(());
    let guard = mutex.lock_as(Priority::Low);
    assert_eq!(state(mutex.raw()), 1);
    drop(guard);
    assert_eq!(Contender::default().make_current(), task);
    let guard = mutex.try_lock();
    assert_eq!(state(mutex.raw()), 0xff_ffff);
    drop(guard);
}

#[test]
fn a_holder_inherits_until_it_unlocks_or_they_give_up() {
    set_hook();
    let lock_for = |number| Contender {
        priority: Priority::Low,
        token: Some(token(number)),
    };
    let outer = RawPriorityMutex::new();
    let inner = RawPriorityMutex::new();
    assert!(outer.try_lock(lock_for(10)));
    assert!(inner.try_lock(lock_for(10)));
    let mut next = outer.acquire(&System, lock_for(11));
    let mut normal = outer.acquire(&System, at(Priority::Normal));
    let mut high = inner.acquire(&System, at(Priority::High));
    let mut another = inner.acquire(&System, at(Priority::High));
    let _waits = next.step(Resumed::Started);
    assert_eq!(inherited(10), Priority::Low);
    let _waits = normal.step(Resumed::Started);
    assert_eq!(inherited(10), Priority::Normal);
    let _waits = high.step(Resumed::Started);
    let _waits = another.step(Resumed::Started);
    assert_eq!(inherited(10), Priority::High);
    // One of two gives up: the other still waits.
    assert!(another.cancel(false).is_none());
    assert_eq!(inherited(10), Priority::High);
    // In any order, not only the last first.
    unlock(&inner);
    assert_eq!(inherited(10), Priority::Normal);
    assert!(normal.cancel(false).is_none());
    assert_eq!(inherited(10), Priority::Low);
    // The next holder inherits from those who wait already.
    unlock(&outer);
    let mut late = outer.acquire(&System, at(Priority::Low));
    let _waits = late.step(Resumed::Started);
    assert!(matches!(next.step(Resumed::Woken), Step::Done(())));
    let mut high_too = outer.acquire(&System, at(Priority::High));
    let _waits = high_too.step(Resumed::Started);
    assert_eq!(
        (inherited(10), inherited(11)),
        (Priority::Low, Priority::High)
    );
    unlock(&outer);
    assert_eq!(inherited(11), Priority::Low);
}

/// Its own priority, its token, and what it does.
type Task<'a> = (Priority, u32, Pin<Box<dyn Future<Output = ()> + 'a>>);

/// Acceptance 32: three tasks on one processor. The low one has the lock, the normal
/// one has much to do, the high one wants the lock. Without inheritance the normal one
/// would go first.
#[test]
fn a_low_holder_that_a_high_task_waits_for_is_run_first() {
    set_hook();
    let mutex = PriorityMutex::new(());
    let log = Mutex::new(Vec::new());
    let mut context = Context::from_waker(Waker::noop());
    let low = async {
        let _guard = mutex.lock_async().await;
        pause(3).await;
        log.lock().push(Priority::Low);
    };
    let normal = async {
        pause(100).await;
        log.lock().push(Priority::Normal);
    };
    let high = async {
        drop(mutex.lock_async().await);
        log.lock().push(Priority::High);
    };
    let mut tasks: Vec<Task<'_>> = vec![(Priority::Low, 20, Box::pin(low))];
    let mut poll = |tasks: &mut Vec<Task<'_>>, index: usize| {
        let (priority, number, task) = &mut tasks[index];
        let contender = Contender {
            priority: *priority,
            token: Some(token(*number)),
        };
        let before = contender.make_current();
        let finished = task.as_mut().poll(&mut context).is_ready();
        before.make_current();
        if finished {
            drop(tasks.remove(index));
        }
    };
    // The low one gets the lock before there is anybody else.
    poll(&mut tasks, 0);
    tasks.push((Priority::Normal, 21, Box::pin(normal)));
    tasks.push((Priority::High, 22, Box::pin(high)));
    let mut turn = 0;
    while !tasks.is_empty() {
        // The most urgent, but the high one, that waits, only now and then.
        turn += 1;
        let urgency = |&index: &usize| {
            let (priority, number, _) = &tasks[index];
            let waits = *number == 22 && turn % 3 != 1;
            (!waits, HEARD[*number as usize].priority(*priority))
        };
        let index = (0..tasks.len()).max_by_key(urgency).unwrap();
        poll(&mut tasks, index);
    }
    drop(tasks);
    assert_eq!(
        log.into_inner(),
        [Priority::Low, Priority::High, Priority::Normal]
    );
}

/// Pending so many times.
async fn pause(times: u32) {
    for _ in 0..times {
        let mut first = true;
        std::future::poll_fn(|_| {
            if std::mem::take(&mut first) {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
    }
}

#[test]
fn threads_and_futures_of_all_classes_exclude_each_other() {
    set_hook();
    for &threads in THREADS {
        let each = rounds(4_000);
        let mutex = PriorityMutex::new(0_u32);
        let inside = AtomicBool::new(false);
        let enter = || {
            assert!(!inside.swap(true, Ordering::Relaxed), "two at once");
            assert!(inside.swap(false, Ordering::Relaxed), "two at once");
        };
        together(threads, |index| {
            let mut random = Random::new(u64::from(index));
            for _ in 0..each {
                let class = CLASSES[random.below(3) as usize];
                let contender = Contender {
                    priority: class,
                    token: Some(token(30 + index)),
                };
                contender.make_current();
                let little = Duration::from_micros(random.below(50));
                let mut guard = match random.below(4) {
                    0 => block_on(mutex.lock_async()),
                    1 => match mutex.lock_timeout(little) {
                        Some(guard) => guard,
                        None => mutex.lock(),
                    },
                    2 => {
                        let mut dropped = Box::pin(mutex.lock_async());
                        let mut context = Context::from_waker(Waker::noop());
                        drop(dropped.as_mut().poll(&mut context));
                        drop(dropped);
                        mutex.lock()
                    }
                    _ => mutex.lock(),
                };
                enter();
                *guard += 1;
            }
        });
        assert_eq!(state(mutex.raw()), 0);
        assert_eq!(mutex.into_inner(), threads * each);
        for index in 0..threads {
            assert_eq!(inherited(30 + index), Priority::Low);
        }
    }
}

/// Who unlocks last frees the lock, while the others may still be inside `unlock`.
#[test]
fn the_lock_may_be_freed_by_who_had_it_last() {
    // Of 64 bits, so that there is no padding: see `RawPriorityMutex`.
    struct Shared(*mut PriorityMutex<u64>);
    // SAFETY: the last of them frees it, and says so under its lock.
    unsafe impl Sync for Shared {}
    for round in 0..rounds(2_000) {
        let threads = 2 + round % 3;
        let shared = Shared(Box::into_raw(Box::new(PriorityMutex::new(threads.into()))));
        together(threads, |index| {
            let shared = &shared;
            let class = CLASSES[(index + round) as usize % 3];
            // SAFETY: it is there until all have left.
            let mut guard = unsafe { &*shared.0 }.lock_as(class);
            *guard -= 1;
            let last = *guard == 0;
            drop(guard);
            if last {
                // SAFETY: all others have unlocked it.
                drop(unsafe { Box::from_raw(shared.0) });
            }
        });
    }
}
