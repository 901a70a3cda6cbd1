//! What holds for the futures of all primitives: order, wakers that misbehave, executors
//! that poll at once, futures that are leaked.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex as StdMutex};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};

use threadwork_sync::{
    Barrier, Condvar, Futex, Latch, Mutex, Once, Parker, Resumed, Semaphore, Step, System, Wait,
    WaitGroup, Waiter, block, channel,
};

use crate::support::{Random, rounds};

type Task<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Counts how often it was called.
#[derive(Default)]
struct Bell(AtomicU32);

impl Bell {
    fn rung(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn poll(future: Pin<&mut (impl Future<Output = ()> + ?Sized)>, bell: &Arc<Bell>) -> Poll<()> {
    future.poll(&mut Context::from_waker(&Waker::from(Arc::clone(bell))))
}

/// Waits for a word until it was notified so often.
struct UntilNotified<'a> {
    word: &'a AtomicU32,
    times: u32,
}

impl<'a> Waiter<'a> for UntilNotified<'a> {
    type Output = ();

    fn step(&mut self, resumed: Resumed) -> Step<'a, ()> {
        self.times -= u32::from(resumed == Resumed::Woken);
        match self.times {
            0 => Step::Done(()),
            _ => Step::Sleep(self.word, 0),
        }
    }

    fn cancel(&mut self, _woken: bool) -> Option<()> {
        None
    }
}

/// Futures that wait for random words of many are woken, dropped and polled anew: a notify
/// wakes the oldest of its word, as many as it should, by the waker of the last poll.
#[test]
fn each_word_has_a_queue() {
    let words: Vec<AtomicU32> = (0..if cfg!(miri) { 40 } else { 3000 })
        .map(|_| AtomicU32::new(0))
        .collect();
    let mut random = Random::new(7);
    let mut queues: Vec<VecDeque<(Pin<Box<_>>, Arc<Bell>)>> =
        words.iter().map(|_| VecDeque::new()).collect();
    for _ in 0..rounds(200_000) {
        let index = random.below(words.len() as u64) as usize;
        let (word, queue) = (&words[index], &mut queues[index]);
        match random.below(8) {
            0..4 => {
                let times = 1 + random.below(3) as u32;
                let mut wait = Box::pin(Wait::new(UntilNotified { word, times }));
                let bell = Arc::default();
                assert!(poll(wait.as_mut(), &bell).is_pending());
                queue.push_back((wait, bell));
            }
            4 if !queue.is_empty() => {
                let index = random.below(queue.len() as u64) as usize;
                let (wait, bell) = queue.remove(index).unwrap();
                drop(wait);
                assert_eq!(Arc::strong_count(&bell), 1, "its waker stays");
                assert_eq!(bell.rung(), 0);
            }
            5 if !queue.is_empty() => {
                let index = random.below(queue.len() as u64) as usize;
                let (wait, bell) = &mut queue[index];
                let old = std::mem::take(bell);
                assert!(poll(wait.as_mut(), bell).is_pending());
                assert_eq!((old.rung(), Arc::strong_count(&old)), (0, 1));
            }
            _ => {
                let count = random.below(12) as usize;
                System.notify(word, count as u32);
                for _ in 0..count.min(queue.len()) {
                    let (mut wait, bell) = queue.pop_front().unwrap();
                    assert_eq!((bell.rung(), Arc::strong_count(&bell)), (1, 1));
                    let bell = Arc::default();
                    if poll(wait.as_mut(), &bell).is_pending() {
                        queue.push_back((wait, bell));
                    }
                }
                assert!(queue.iter().all(|(_, bell)| bell.rung() == 0));
            }
        }
    }
}

/// Waits, in each of these ways, that `signal` ends all at once.
fn each_way(check: impl Fn(&str, Vec<Task<'_>>, &mut dyn FnMut())) {
    fn tasks<'a, F: Future + 'a>(future: impl Fn() -> F) -> Vec<Task<'a>> {
        let task = |future: F| -> Task<'a> {
            Box::pin(async {
                future.await;
            })
        };
        (0..20).map(|_| task(future())).collect()
    }
    let latch = Latch::new();
    check("latch", tasks(|| latch.wait_async()), &mut || latch.open());

    let group = WaitGroup::new();
    group.add(1);
    check("group", tasks(|| group.wait_async()), &mut || group.done());

    let barrier = Barrier::new(21);
    check("barrier", tasks(|| barrier.wait_async()), &mut || {
        assert!(barrier.wait().is_leader());
    });

    let once = Once::new();
    check("once", tasks(|| once.wait_async()), &mut || {
        once.call_once(|| ())
    });

    let (mutex, condvar) = (Mutex::new(()), Condvar::new());
    let wait = || async { drop(condvar.wait_async(mutex.lock_async().await).await) };
    check("condvar", tasks(wait), &mut || condvar.notify_all());

    let (sender, receiver) = channel::bounded::<u32>(1);
    let mut sender = Some(sender);
    check("channel", tasks(|| receiver.recv_async()), &mut || {
        drop(sender.take());
    });
}

/// A waker of which one call panics: `wake`, or the destructor.
struct Broken {
    rung: AtomicU32,
    wake_panics: bool,
    drop_panics: bool,
}

impl Broken {
    /// A table of functions, as `Wake` has no say in how a waker is dropped.
    const TABLE: RawWakerVTable = RawWakerVTable::new(
        |data| RawWaker::new(data, &Self::TABLE),
        Self::wake,
        Self::wake,
        |data| {
            // SAFETY: as in `wake`.
            let broken = unsafe { &*data.cast::<Broken>() };
            assert!(!broken.drop_panics, "this waker must not be dropped");
        },
    );

    fn wake(data: *const ()) {
        // SAFETY: the data outlives all wakers that are made of it.
        let broken = unsafe { &*data.cast::<Broken>() };
        broken.rung.fetch_add(1, Ordering::Relaxed);
        assert!(!broken.wake_panics, "this waker is broken");
    }

    /// # Safety
    ///
    /// It outlives the waker, and all clones of it.
    unsafe fn waker(&self) -> Waker {
        // SAFETY: the functions treat the data as what it is; the caller's promise.
        unsafe { Waker::new(std::ptr::from_ref(self).cast(), &Self::TABLE) }
    }
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "panics abort there")]
fn a_waker_that_panics_keeps_nobody_asleep() {
    each_way(|name, mut tasks, signal| {
        let bells: Vec<_> = (0..tasks.len())
            .map(|index| Broken {
                rung: AtomicU32::new(0),
                // Under Miri a panic takes seconds.
                wake_panics: index % if cfg!(miri) { 20 } else { 3 } == 0,
                drop_panics: false,
            })
            .collect();
        for (task, bell) in tasks.iter_mut().zip(&bells) {
            // SAFETY: the bells are dropped after the tasks.
            let waker = unsafe { bell.waker() };
            assert!(
                task.as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
            );
        }
        signal();
        let rung: Vec<u32> = bells
            .iter()
            .map(|bell| bell.rung.load(Ordering::Relaxed))
            .collect();
        assert_eq!(rung, [1; 20], "{name}");
        drop(tasks);
    });
}

/// Neither the poll that brings another waker, nor the end of a future, nor that of others.
#[test]
#[cfg_attr(target_family = "wasm", ignore = "panics abort there")]
fn a_waker_that_panics_when_dropped_stops_nothing() {
    let good = Arc::new(Bell::default());
    let broken = Broken {
        rung: AtomicU32::new(0),
        wake_panics: false,
        drop_panics: true,
    };
    let start = |future: Pin<&mut dyn Future<Output = ()>>| {
        // SAFETY: it is there until the end of the test. The waker is not dropped here: that
        // would be the test's own panic.
        let waker = std::mem::ManuallyDrop::new(unsafe { broken.waker() });
        assert!(future.poll(&mut Context::from_waker(&waker)).is_pending());
    };

    let semaphore = Semaphore::new(0);
    let wait = || Box::pin(async { drop(semaphore.acquire_async().await) });
    let (mut first, mut second, mut third) = (wait(), wait(), wait());
    start(first.as_mut());
    start(second.as_mut());
    assert!(poll(third.as_mut(), &good).is_pending());
    assert!(poll(first.as_mut(), &good).is_pending());
    start(first.as_mut());
    drop(second);
    semaphore.release(1);
    assert_eq!(broken.rung.load(Ordering::Relaxed), 1);
    // The wake-up that it had got goes on.
    drop(first);
    assert_eq!(good.rung(), 1);
    assert!(poll(third.as_mut(), &good).is_ready());
}

/// A task that whoever wakes it polls at once; if it is being polled, once more afterwards.
struct AtOnce {
    future: StdMutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
    again: AtomicBool,
    polls: AtomicU32,
}

impl AtOnce {
    fn start(future: impl Future<Output = ()> + Send + 'static) -> Arc<Self> {
        let task = Arc::new(AtOnce {
            future: StdMutex::new(Some(Box::pin(future))),
            again: AtomicBool::new(false),
            polls: AtomicU32::new(0),
        });
        task.clone().wake();
        task
    }
}

impl Wake for AtOnce {
    fn wake(self: Arc<Self>) {
        self.again.store(true, Ordering::Relaxed);
        loop {
            let Ok(mut slot) = self.future.try_lock() else {
                return;
            };
            if !self.again.swap(false, Ordering::Relaxed) {
                return;
            }
            if self.polls.fetch_add(1, Ordering::Relaxed) > 1000 {
                eprintln!("one call polls a task a thousand times: it does not return");
                std::process::abort();
            }
            let waker = Waker::from(Arc::clone(&self));
            if let Some(future) = slot.as_mut()
                && future
                    .as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_ready()
            {
                *slot = None;
            }
        }
    }
}

#[test]
fn a_notify_ends_where_wakers_poll_at_once() {
    for waiters in [7, 8, 40] {
        let shared = Arc::new((Mutex::new(()), Condvar::new(), AtomicU32::new(0)));
        let tasks: Vec<_> = (0..waiters)
            .map(|_| {
                let shared = Arc::clone(&shared);
                AtOnce::start(async move {
                    let (mutex, condvar, woken) = &*shared;
                    let mut guard = mutex.lock_async().await;
                    loop {
                        guard = condvar.wait_async(guard).await;
                        woken.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        shared.1.notify_all();
        assert_eq!(shared.2.load(Ordering::Relaxed), waiters);
        for task in tasks {
            *task.future.lock().unwrap() = None;
        }
    }
}

#[test]
fn a_barrier_opens_where_wakers_poll_at_once() {
    for parties in [7, 8, 40] {
        let shared = Arc::new((Barrier::new(parties), AtomicU32::new(0)));
        let tasks = (0..parties).map(|_| {
            let shared = Arc::clone(&shared);
            AtOnce::start(async move {
                for _ in 0..10 {
                    shared.0.wait_async().await;
                }
                shared.1.fetch_add(1, Ordering::Relaxed);
            })
        });
        assert_eq!(tasks.count(), parties as usize);
        assert_eq!(shared.1.load(Ordering::Relaxed), parties);
    }
}

/// A future of an object that is no more has no part in what happens to the next one there.
#[test]
#[cfg_attr(miri, ignore = "it leaks")]
fn a_leaked_future_takes_no_wake_up_of_another_object() {
    fn check<T>(
        new: impl Fn() -> T,
        wait: impl for<'a> Fn(&'a T) -> Task<'a>,
        signal: impl Fn(&T),
    ) {
        let mut place = Box::new(Some(new()));
        let (lost, bell) = (Arc::new(Bell::default()), Arc::new(Bell::default()));
        for _ in 0..20 {
            let mut leaked = wait(place.as_ref().as_ref().unwrap());
            assert!(poll(leaked.as_mut(), &lost).is_pending());
            // As a cycle of references does, or an executor that is not shut down.
            std::mem::forget(leaked);
        }
        *place = Some(new());
        assert_eq!(Arc::strong_count(&lost), 1, "the wakers go with the object");
        let object = place.as_ref().as_ref().unwrap();
        let mut task = wait(object);
        assert!(poll(task.as_mut(), &bell).is_pending());
        signal(object);
        assert_eq!((lost.rung(), bell.rung()), (0, 1));
        assert!(poll(task.as_mut(), &bell).is_ready());
    }
    check(
        || Semaphore::new(0),
        |semaphore| Box::pin(async { drop(semaphore.acquire_async().await) }),
        |semaphore| semaphore.release(1),
    );
    check(
        Latch::new,
        |latch| Box::pin(latch.wait_async()),
        Latch::open,
    );
    check(
        || (Mutex::new(()), Condvar::new()),
        |(mutex, condvar)| {
            Box::pin(async { drop(condvar.wait_async(mutex.lock_async().await).await) })
        },
        |(_, condvar)| condvar.notify_one(),
    );
}

/// The same of one thread's.
#[test]
#[cfg_attr(miri, ignore = "it leaks")]
fn a_leaked_future_leaves_a_parker_to_the_next() {
    let mut place = Box::new(Parker::new());
    let lost = Arc::new(Bell::default());
    let mut leaked: Task<'_> = Box::pin(place.park_async());
    assert!(poll(leaked.as_mut(), &lost).is_pending());
    std::mem::forget(leaked);
    *place = Parker::new();
    let bell = Arc::new(Bell::default());
    let mut task: Task<'_> = Box::pin(place.park_async());
    assert!(poll(task.as_mut(), &bell).is_pending());
    place.unpark();
    assert_eq!((lost.rung(), bell.rung()), (0, 1));
}

/// Threads that come again and again do not keep a future asleep: of eight notifies that each
/// wake a thread, the last wakes it as well.
#[test]
fn a_future_does_not_starve_behind_threads() {
    let (word, over) = (AtomicU32::new(0), AtomicBool::new(false));
    let (word, running) = (&word, Arc::new(()));
    let mut most = 0;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let running = Arc::clone(&running);
            let over = &over;
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    block(&System, UntilNotified { word, times: 1 }, None);
                }
                drop(running);
            });
        }
        let mut passed = 0;
        while passed < 8 {
            let mut wait = Box::pin(Wait::new(UntilNotified { word, times: 1 }));
            let bell = Arc::default();
            assert!(poll(wait.as_mut(), &bell).is_pending());
            passed = 0;
            // Until no thread sleeps at that moment: then it is the future's turn.
            while bell.rung() == 0 && passed < 20 && System.notify(word, 1) == 1 {
                passed += 1;
                std::thread::yield_now();
            }
        }
        most = passed;
        over.store(true, Ordering::Relaxed);
        while Arc::strong_count(&running) > 1 {
            System.notify(word, u32::MAX);
            std::thread::yield_now();
        }
    });
    assert_eq!(most, 8);
}

/// A future that was woken and is not polled: the one behind it is woken after eight releases that
/// have passed it, and gets what is free.
#[test]
fn an_unpolled_future_does_not_hold_up_the_next() {
    fn check<'a, F: Future + 'a>(
        wait: impl Fn() -> F,
        free: impl FnOnce(),
        mut pass: impl FnMut(),
    ) {
        let task = || -> Task<'a> {
            let future = wait();
            Box::pin(async {
                future.await;
            })
        };
        let (mut first, mut second) = (task(), task());
        let (unpolled, bell) = (Arc::new(Bell::default()), Arc::new(Bell::default()));
        assert!(poll(first.as_mut(), &unpolled).is_pending());
        assert!(poll(second.as_mut(), &bell).is_pending());
        free();
        assert_eq!((unpolled.rung(), bell.rung()), (1, 0));
        (0..7).for_each(|_| pass());
        assert_eq!(bell.rung(), 0);
        pass();
        assert_eq!(bell.rung(), 1);
        assert!(poll(second.as_mut(), &bell).is_ready());
        assert!(poll(first.as_mut(), &unpolled).is_ready());
    }
    let semaphore = Semaphore::new(0);
    check(
        || semaphore.acquire_async(),
        || semaphore.release(1),
        || drop(semaphore.try_acquire().unwrap()),
    );
    let mutex = Mutex::new(());
    let guard = mutex.lock();
    check(
        || mutex.lock_async(),
        || drop(guard),
        || drop(mutex.try_lock().unwrap()),
    );
}

/// The turn to collect several permits is nobody's while the future that was woken for it is not
/// polled: who comes takes it, and the next that waits is woken then.
#[test]
fn an_unpolled_future_does_not_keep_the_turn() {
    let semaphore = Semaphore::new(1);
    let task = || -> Task<'_> { Box::pin(async { drop(semaphore.acquire_many_async(2).await) }) };
    let bells: [Arc<Bell>; 3] = Default::default();
    let mut tasks = [task(), task(), task()];
    for (task, bell) in tasks.iter_mut().zip(&bells) {
        assert!(poll(task.as_mut(), bell).is_pending());
    }
    let [collector, mut unpolled, mut next] = tasks;
    drop(collector);
    assert_eq!(bells.each_ref().map(|bell| bell.rung()), [0, 1, 0]);
    semaphore.release(1);
    semaphore.acquire().forget();
    std::thread::scope(|scope| {
        let collecting = scope.spawn(|| drop(semaphore.acquire_many(2)));
        // It has the turn, and the one permit that is free.
        while semaphore.available() > 0 {
            std::thread::yield_now();
        }
        semaphore.release(1);
        collecting.join().unwrap();
    });
    assert_eq!(bells.each_ref().map(|bell| bell.rung()), [0, 1, 1]);
    assert!(poll(next.as_mut(), &bells[2]).is_ready());
    assert!(poll(unpolled.as_mut(), &bells[1]).is_ready());
    assert_eq!(semaphore.available(), 2);
}

/// Each message wakes a receiver, and each room a sender, also if the one before does nothing.
#[test]
fn an_unpolled_future_keeps_one_message_from_the_others() {
    let (sender, receiver) = channel::bounded(2);
    let bells: [Arc<Bell>; 3] = Default::default();
    let rung = || bells.each_ref().map(|bell| bell.rung());
    let receive = || Box::pin(async { assert!(receiver.recv_async().await.is_ok()) });
    let mut receivers = [receive(), receive(), receive()];
    for (task, bell) in receivers.iter_mut().zip(&bells) {
        assert!(poll(task.as_mut(), bell).is_pending());
    }
    sender.send(1).unwrap();
    assert_eq!(rung(), [1, 0, 0]);
    sender.send(2).unwrap();
    assert_eq!(rung(), [1, 1, 0]);
    assert!(poll(receivers[1].as_mut(), &bells[1]).is_ready());
    assert!(poll(receivers[0].as_mut(), &bells[0]).is_ready());
    drop(receivers);

    let bells: [Arc<Bell>; 2] = Default::default();
    (0..2).for_each(|n| sender.send(n).unwrap());
    let send = || Box::pin(async { sender.send_async(3).await.unwrap() });
    let mut senders = [send(), send()];
    for (task, bell) in senders.iter_mut().zip(&bells) {
        assert!(poll(task.as_mut(), bell).is_pending());
    }
    assert_eq!((receiver.recv(), receiver.recv()), (Ok(0), Ok(1)));
    assert_eq!(bells.each_ref().map(|bell| bell.rung()), [1, 1]);
    assert!(poll(senders[1].as_mut(), &bells[1]).is_ready());
}

#[test]
#[cfg(panic = "unwind")]
#[should_panic(expected = "polled after it was over")]
fn a_wait_is_polled_once_when_it_is_over() {
    let latch = Latch::new();
    latch.open();
    let mut future = std::pin::pin!(latch.wait_async());
    let bell = Arc::new(Bell::default());
    assert!(poll(future.as_mut(), &bell).is_ready());
    let _ = poll(future.as_mut(), &bell);
}
