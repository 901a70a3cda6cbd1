//! Programs that nobody would write, against a sequential model of each primitive.
//!
//! A program is a row of bytes: what to do, and to which of those that wait. One thread runs
//! it: it tries, starts futures, polls them with or without reason, drops them, lets timeouts
//! pass, and gives back. So each step has one right outcome, or a few. Whenever all futures
//! that were woken have been polled, nobody may wait for what is free: a wake-up that is lost
//! shows at once, and not as a test that hangs.
//!
//! A sample of seeds in the ordinary run, many with `THREADWORK_FULL`. A program that fails is
//! cut down as long as it fails, and printed; `GENERATED=1,2,3` runs that program alone.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use threadwork_sync::{
    Barrier, Condvar, Latch, Mutex, Once, Parker, Priority, PriorityMutex, RwLock, RwLockReadGuard,
    RwLockWriteGuard, Semaphore, WaitGroup, channel,
};

use crate::support::Random;

const STEPS: usize = 60;

/// What is left of a program.
struct Program<'p>(std::slice::Iter<'p, u8>);

impl Program<'_> {
    /// A number below `bound`; 0 when it is over.
    fn below(&mut self, bound: usize) -> usize {
        self.0.next().map_or(0, |byte| usize::from(*byte) % bound)
    }

    fn is_over(&self) -> bool {
        self.0.as_slice().is_empty()
    }
}

/// Runs `body` with many programs.
fn check(body: fn(&mut Program<'_>)) {
    let run = |bytes: &[u8]| body(&mut Program(bytes.iter()));
    if let Ok(bytes) = std::env::var("GENERATED") {
        let bytes: Vec<u8> = bytes
            .split(',')
            .map(|byte| byte.trim().parse().unwrap())
            .collect();
        return run(&bytes);
    }
    let full = std::env::var_os("THREADWORK_FULL").is_some();
    let seeds = match (cfg!(miri), full) {
        (true, _) => 12,
        (false, false) => 1_000,
        (false, true) => 100_000,
    };
    for seed in 0..seeds {
        let mut random = Random::new(seed);
        let bytes: Vec<u8> = (0..STEPS * 2).map(|_| random.below(256) as u8).collect();
        let fails = |bytes: &[u8]| catch_unwind(AssertUnwindSafe(|| run(bytes))).is_err();
        if fails(&bytes) {
            let program = cut_down(bytes, fails);
            eprintln!("seed {seed}; GENERATED={program:?}");
            run(&program);
        }
    }
}

/// A shorter program that fails, too: without pieces, the large ones first.
fn cut_down(mut program: Vec<u8>, fails: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut piece = program.len() / 2;
    while piece > 0 {
        let mut start = 0;
        while start < program.len() {
            let end = program.len().min(start + piece);
            let rest = [&program[..start], &program[end..]].concat();
            if fails(&rest) {
                program = rest;
            } else {
                start = end;
            }
        }
        piece /= 2;
    }
    program
}

#[derive(Default)]
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Task<'a, K, O> {
    kind: K,
    bell: Arc<Bell>,
    future: Pin<Box<dyn Future<Output = O> + 'a>>,
}

impl<K: Copy, O> Task<'_, K, O> {
    fn poll(&mut self) -> Option<O> {
        self.bell = Arc::default();
        let waker = Waker::from(Arc::clone(&self.bell));
        match self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    fn is_woken(&self) -> bool {
        self.bell.0.load(Ordering::Relaxed)
    }
}

/// Futures that wait, each of some kind.
struct Tasks<'a, K, O>(Vec<Task<'a, K, O>>);

impl<'a, K: Copy, O> Tasks<'a, K, O> {
    fn new() -> Self {
        Tasks(Vec::new())
    }

    /// Polls a new one once, and keeps it if it is not ready.
    fn start(&mut self, kind: K, future: impl Future<Output = O> + 'a) -> Option<O> {
        let mut task = Task {
            kind,
            bell: Arc::default(),
            future: Box::pin(future),
        };
        let output = task.poll();
        if output.is_none() {
            self.0.push(task);
        }
        output
    }

    fn poll_any(&mut self, program: &mut Program<'_>) -> Option<(K, O)> {
        let index = program.below(self.0.len().max(1));
        let output = self.0.get_mut(index)?.poll()?;
        Some((self.0.remove(index).kind, output))
    }

    /// Its kind, and whether it had been woken.
    fn drop_any(&mut self, program: &mut Program<'_>) -> Option<(K, bool)> {
        let index = program.below(self.0.len().max(1));
        (index < self.0.len()).then(|| {
            let task = self.0.remove(index);
            (task.kind, task.is_woken())
        })
    }

    /// One that was woken, and is ready. `None` if all that were woken wait again.
    fn next_done(&mut self) -> Option<(K, O)> {
        loop {
            let index = self.0.iter().position(Task::is_woken)?;
            if let Some(output) = self.0[index].poll() {
                return Some((self.0.remove(index).kind, output));
            }
        }
    }
}

#[test]
fn mutex() {
    check(|program| {
        let mutex = Mutex::new(());
        let mut tasks = Tasks::new();
        let mut held = None;
        loop {
            let is_free = held.is_none();
            match program.below(8) {
                0 | 1 => {
                    let guard = tasks.start((), mutex.lock_async());
                    assert_eq!(guard.is_some(), is_free);
                    held = held.or(guard);
                }
                2 => held = held.or(mutex.try_lock()),
                3 => held = held.or(mutex.lock_timeout(Duration::ZERO)),
                4 => held = tasks.poll_any(program).map(|(_, guard)| guard).or(held),
                5 => drop(tasks.drop_any(program)),
                6 => held = None,
                _ => {
                    while let Some((_, guard)) = tasks.next_done() {
                        assert!(held.replace(guard).is_none());
                    }
                    assert!(held.is_some() || tasks.0.is_empty(), "a wake-up is lost");
                }
            }
            assert_eq!(mutex.is_locked(), held.is_some());
            if program.is_over() {
                break;
            }
        }
        // One after the other, until all had it.
        drop(held);
        while let Some((_, guard)) = tasks.next_done() {
            drop(guard);
        }
        assert!(
            tasks.0.is_empty() && !mutex.is_locked(),
            "a wake-up is lost"
        );
    });
}

#[test]
fn semaphore() {
    check(|program| {
        let total = 1 + program.below(5) as u32;
        let semaphore = Semaphore::new(total);
        let mut tasks = Tasks::new();
        let mut held = Vec::new();
        loop {
            let wanted = 1 + program.below(total as usize) as u32;
            let free = semaphore.available();
            match program.below(8) {
                0..3 => {
                    let permit = tasks.start((), semaphore.acquire_many_async(wanted));
                    assert!(permit.is_some() || wanted > free || !tasks.0.is_empty());
                    held.extend(permit);
                }
                3 => {
                    let permit = semaphore.acquire_many_timeout(wanted, Duration::ZERO);
                    assert_eq!(permit.is_some(), wanted <= free);
                    held.extend(permit);
                }
                4 => held.extend(tasks.poll_any(program).map(|(_, permit)| permit)),
                5 => drop(tasks.drop_any(program)),
                6 if !held.is_empty() => {
                    let permit = held.swap_remove(program.below(held.len()));
                    if program.below(2) == 0 {
                        let permits = permit.permits();
                        permit.forget();
                        semaphore.release(permits);
                    }
                }
                _ => {
                    held.extend(std::iter::from_fn(|| tasks.next_done()).map(|(_, permit)| permit));
                    let nobody_waits = tasks.0.is_empty();
                    assert!(
                        nobody_waits || semaphore.available() == 0,
                        "a wake-up is lost"
                    );
                }
            }
            let sum: u32 = held.iter().map(|permit| permit.permits()).sum();
            assert!(sum + semaphore.available() <= total);
            assert!(!tasks.0.is_empty() || sum + semaphore.available() == total);
            if program.is_over() {
                break;
            }
        }
        drop(held);
        while let Some((_, permit)) = tasks.next_done() {
            drop(permit);
        }
        assert!(tasks.0.is_empty(), "a wake-up is lost");
        assert_eq!(semaphore.available(), total);
    });
}

#[test]
fn rwlock() {
    enum Guard<'a> {
        #[expect(dead_code, reason = "it holds the lock")]
        Read(RwLockReadGuard<'a, ()>),
        Write(RwLockWriteGuard<'a, ()>),
    }
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Kind {
        Read,
        Write,
    }
    check(|program| {
        let lock = RwLock::new(());
        let mut tasks = Tasks::new();
        let mut held: Vec<Guard<'_>> = Vec::new();
        let excludes = |held: &[Guard<'_>]| {
            let writers = held
                .iter()
                .filter(|guard| matches!(guard, Guard::Write(_)))
                .count();
            assert!(writers == 0 || held.len() == 1);
        };
        loop {
            match program.below(10) {
                0 | 1 => held.extend(
                    tasks.start(Kind::Read, async { Guard::Read(lock.read_async().await) }),
                ),
                2 | 3 => held.extend(tasks.start(Kind::Write, async {
                    Guard::Write(lock.write_async().await)
                })),
                4 => held.extend(lock.read_timeout(Duration::ZERO).map(Guard::Read)),
                5 => held.extend(lock.write_timeout(Duration::ZERO).map(Guard::Write)),
                6 => held.extend(tasks.poll_any(program).map(|(_, guard)| guard)),
                7 => drop(tasks.drop_any(program)),
                8 if !held.is_empty() => match held.swap_remove(program.below(held.len())) {
                    Guard::Write(writer) if program.below(2) == 0 => {
                        held.push(Guard::Read(RwLockWriteGuard::downgrade(writer)));
                    }
                    guard => drop(guard),
                },
                _ => {
                    while let Some((_, guard)) = tasks.next_done() {
                        held.push(guard);
                        excludes(&held);
                    }
                    let waits = |kind| tasks.0.iter().any(|task| task.kind == kind);
                    let is_written = matches!(held[..], [Guard::Write(_)]);
                    assert!(
                        is_written || waits(Kind::Write) || !waits(Kind::Read),
                        "a reader sleeps"
                    );
                    assert!(!held.is_empty() || tasks.0.is_empty(), "a wake-up is lost");
                }
            }
            excludes(&held);
            if program.is_over() {
                break;
            }
        }
        drop(held);
        while let Some((_, guard)) = tasks.next_done() {
            drop(guard);
        }
        assert!(tasks.0.is_empty(), "a wake-up is lost");
        assert!(lock.try_write().is_some());
    });
}

#[test]
fn priority_mutex() {
    const CLASSES: [Priority; 3] = [Priority::Low, Priority::Normal, Priority::High];
    check(|program| {
        let mutex = PriorityMutex::new(());
        let mut tasks = Tasks::new();
        let mut held = None;
        loop {
            let priority = CLASSES[program.below(3)];
            match program.below(8) {
                0..3 => {
                    let guard = tasks.start(priority, mutex.lock_async_as(priority));
                    assert!(guard.is_none() || held.is_none());
                    held = held.or(guard);
                }
                3 => held = held.or(mutex.lock_timeout_as(priority, Duration::ZERO)),
                4 => held = tasks.poll_any(program).map(|(_, guard)| guard).or(held),
                5 => drop(tasks.drop_any(program)),
                6 => held = None,
                _ => {
                    let highest = tasks.0.iter().map(|task| task.kind).max();
                    let was_free = held.is_none();
                    while let Some((kind, guard)) = tasks.next_done() {
                        assert!(held.replace(guard).is_none());
                        assert!(was_free && Some(kind) == highest, "a higher class waits");
                    }
                    assert!(held.is_some() || tasks.0.is_empty(), "a wake-up is lost");
                }
            }
            if program.is_over() {
                break;
            }
        }
        drop(held);
        while let Some((_, guard)) = tasks.next_done() {
            drop(guard);
        }
        assert!(
            tasks.0.is_empty() && !mutex.is_locked(),
            "a wake-up is lost"
        );
    });
}

/// Exactly the oldest is notified, and who was and gives up passes it on.
#[test]
fn condvar() {
    check(|program| {
        let (mutex, condvar) = (Mutex::new(()), Condvar::new());
        let mut tasks = Tasks::new();
        let mut number = 0;
        // Numbers of those that wait, and of those that were notified.
        let (mut waiting, mut notified) = (VecDeque::new(), Vec::new());
        loop {
            match program.below(8) {
                0..3 => {
                    number += 1;
                    let guard = mutex.try_lock().unwrap();
                    let wait = async { drop(condvar.wait_async(guard).await) };
                    assert!(tasks.start(number, wait).is_none());
                    waiting.push_back(number);
                }
                3 => {
                    condvar.notify_one();
                    notified.extend(waiting.pop_front());
                }
                4 if program.below(4) == 0 => {
                    condvar.notify_all();
                    notified.extend(waiting.drain(..));
                }
                4 => {
                    let guard = mutex.try_lock().unwrap();
                    let (_, result) = condvar.wait_timeout(guard, Duration::ZERO);
                    assert!(result.timed_out());
                }
                5 => {
                    if let Some((number, ())) = tasks.poll_any(program) {
                        notified.retain(|other| *other != number);
                    }
                }
                6 => {
                    if let Some((number, _)) = tasks.drop_any(program) {
                        if notified.contains(&number) {
                            notified.extend(waiting.pop_front());
                        }
                        notified.retain(|other| *other != number);
                        waiting.retain(|other| *other != number);
                    }
                }
                _ => {
                    while let Some((number, ())) = tasks.next_done() {
                        assert!(notified.contains(&number), "{number} was not notified");
                        notified.retain(|other| *other != number);
                    }
                    assert!(notified.is_empty(), "{notified:?} were notified, and sleep");
                    assert_eq!(tasks.0.len(), waiting.len());
                }
            }
            if program.is_over() {
                break;
            }
        }
        condvar.notify_all();
        while tasks.next_done().is_some() {}
        assert!(tasks.0.is_empty(), "a wake-up is lost");
    });
}

#[test]
fn channel_in_order() {
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Kind {
        Send(u32),
        Receive,
    }
    check(|program| {
        let capacity = [1, 2, 3, usize::MAX][program.below(4)];
        let (sender, receiver) = match capacity {
            usize::MAX => channel::unbounded(),
            capacity => channel::bounded(capacity),
        };
        let mut is_closed = false;
        let mut tasks = Tasks::new();
        let mut inside = VecDeque::new();
        let mut number = 0;
        // What was received, or whether it was sent.
        let done = |inside: &mut VecDeque<u32>, is_closed: bool, kind, output| match (kind, output)
        {
            (Kind::Send(message), Some(Ok(()))) => {
                assert!(!is_closed);
                inside.push_back(message);
            }
            (Kind::Receive, Some(Err(message))) => assert_eq!(Some(message), inside.pop_front()),
            (Kind::Send(_), _) => assert!(is_closed),
            (Kind::Receive, _) => assert!(is_closed && inside.is_empty()),
        };
        let send = async |message| sender.send_async(message).await.ok().map(Ok);
        let receive = async || receiver.recv_async().await.ok().map(Err);
        loop {
            number += 1;
            match program.below(8) {
                0 | 1 => {
                    let kind = Kind::Send(number);
                    if let Some(output) = tasks.start(kind, send(number)) {
                        done(&mut inside, is_closed, kind, output);
                    }
                }
                2 | 3 => {
                    if let Some(output) = tasks.start(Kind::Receive, receive()) {
                        done(&mut inside, is_closed, Kind::Receive, output);
                    }
                }
                4 => {
                    let is_sent = sender.send_timeout(number, Duration::ZERO).is_ok();
                    assert_eq!(is_sent, inside.len() < capacity && !is_closed);
                    inside.extend(is_sent.then_some(number));
                }
                5 => {
                    let message = receiver.recv_timeout(Duration::ZERO).ok();
                    assert_eq!(message, inside.pop_front());
                }
                6 if program.below(2) == 0 => drop(tasks.drop_any(program)),
                6 if program.below(16) == 0 => {
                    assert_eq!(receiver.close(), !is_closed);
                    is_closed = true;
                }
                6 => {
                    if let Some((kind, output)) = tasks.poll_any(program) {
                        done(&mut inside, is_closed, kind, output);
                    }
                }
                _ => {
                    while let Some((kind, output)) = tasks.next_done() {
                        done(&mut inside, is_closed, kind, output);
                    }
                    assert!(
                        !is_closed || tasks.0.is_empty(),
                        "it is closed, and one sleeps"
                    );
                    let receives = |task: &Task<'_, Kind, _>| task.kind == Kind::Receive;
                    let receivers = tasks.0.iter().filter(|task| receives(task)).count();
                    assert!(receivers == 0 || inside.is_empty(), "a receiver sleeps");
                    let is_full = inside.len() == capacity;
                    assert!(receivers == tasks.0.len() || is_full, "a sender sleeps");
                }
            }
            assert_eq!(receiver.len(), inside.len());
            if program.is_over() {
                break;
            }
        }
    });
}

#[test]
fn barrier() {
    check(|program| {
        let parties = 1 + program.below(4);
        let barrier = Barrier::new(parties as u32);
        let mut tasks = Tasks::new();
        let mut number = 0;
        // Numbers of those that have arrived, and of those that may pass.
        let (mut arrived, mut passing) = (Vec::new(), Vec::new());
        loop {
            let is_last = arrived.len() + 1 == parties;
            match program.below(8) {
                0..3 => {
                    number += 1;
                    let result = tasks.start(number, barrier.wait_async());
                    assert_eq!(
                        result.map(|result| result.is_leader()),
                        is_last.then_some(true)
                    );
                    if is_last {
                        passing.append(&mut arrived);
                    } else {
                        arrived.push(number);
                    }
                }
                3 => {
                    let result = barrier.wait_timeout(Duration::ZERO);
                    assert_eq!(result.is_some(), is_last);
                    if is_last {
                        passing.append(&mut arrived);
                    }
                }
                4 => {
                    if let Some((number, result)) = tasks.poll_any(program) {
                        assert!(passing.contains(&number) && !result.is_leader());
                        passing.retain(|other| *other != number);
                    }
                }
                5 => {
                    if let Some((number, _)) = tasks.drop_any(program) {
                        passing.retain(|other| *other != number);
                        arrived.retain(|other| *other != number);
                    }
                }
                _ => {
                    while let Some((number, result)) = tasks.next_done() {
                        assert!(passing.contains(&number) && !result.is_leader());
                        passing.retain(|other| *other != number);
                    }
                    assert!(passing.is_empty(), "{passing:?} may pass, and sleep");
                    assert_eq!(tasks.0.len(), arrived.len());
                }
            }
            if program.is_over() {
                break;
            }
        }
    });
}

#[test]
fn what_opens() {
    check(|program| {
        let (latch, group, once) = (Latch::new(), WaitGroup::new(), Once::new());
        let mut tasks: Tasks<'_, (), ()> = Tasks::new();
        let mut running = 0;
        loop {
            match program.below(9) {
                0 => assert_eq!(
                    tasks.start((), latch.wait_async()).is_some(),
                    latch.is_open()
                ),
                1 | 2 => assert_eq!(tasks.start((), group.wait_async()).is_some(), running == 0),
                3 => assert_eq!(
                    tasks.start((), once.wait_async()).is_some(),
                    once.is_completed()
                ),
                4 => {
                    group.add(1);
                    running += 1;
                }
                5 if running > 0 => {
                    group.done();
                    running -= 1;
                }
                6 if program.below(8) == 0 => latch.open(),
                6 if program.below(8) == 0 => once.call_once(|| ()),
                6 => drop(tasks.poll_any(program)),
                7 => drop(tasks.drop_any(program)),
                _ => while tasks.next_done().is_some() {},
            }
            assert_eq!(group.count(), running);
            assert_eq!(group.wait_timeout(Duration::ZERO), running == 0);
            if program.is_over() {
                break;
            }
        }
        latch.open();
        once.call_once(|| ());
        (0..running).for_each(|_| group.done());
        while tasks.next_done().is_some() {}
        assert!(tasks.0.is_empty(), "a wake-up is lost");
    });
}

#[test]
fn parker() {
    check(|program| {
        let parker = Parker::new();
        let mut tasks = Tasks::new();
        let mut token = false;
        loop {
            match program.below(6) {
                0 if tasks.0.is_empty() => {
                    assert_eq!(tasks.start((), parker.park_async()).is_some(), token);
                    token = false;
                }
                1 if tasks.0.is_empty() => {
                    assert_eq!(parker.park_timeout(Duration::ZERO), token);
                    token = false;
                }
                2 => {
                    parker.unpark();
                    token = true;
                }
                3 => token &= tasks.poll_any(program).is_none(),
                4 => drop(tasks.drop_any(program)),
                _ => {
                    token &= tasks.next_done().is_none();
                    assert!(!token || tasks.0.is_empty(), "a wake-up is lost");
                }
            }
            if program.is_over() {
                break;
            }
        }
    });
}
