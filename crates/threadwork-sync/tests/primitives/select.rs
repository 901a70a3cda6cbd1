//! `block_on` and `select`: order, timeouts, and that who loses takes nothing along.

use std::future::{pending, ready};
use std::thread;
use std::time::{Duration, Instant};

use threadwork_sync::{
    Either, Latch, Mutex, Semaphore, block_on, block_on_timeout, channel, select,
};

use crate::support::rounds;

const SOON: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(60);

#[test]
fn the_first_named_wins_if_both_are_ready() {
    assert_eq!(block_on(select(ready(1), ready(2))), Either::Left(1));
    assert_eq!(
        block_on(select(pending::<()>(), ready(2))),
        Either::Right(2)
    );
}

#[test]
fn a_timeout_ends_what_has_no_end() {
    let start = Instant::now();
    assert_eq!(block_on_timeout(pending::<()>(), SOON), None);
    assert!(start.elapsed() >= SOON);
    assert_eq!(block_on_timeout(ready(1), Duration::ZERO), Some(1));
    assert_eq!(block_on_timeout(ready(1), Duration::MAX), Some(1));
}

/// It was polled, and is dropped: the lock, the permit, the message is there for others.
#[test]
fn who_loses_takes_nothing() {
    let (mutex, semaphore) = (Mutex::new(()), Semaphore::new(0));
    let (sender, receiver) = channel::bounded(1);
    let guard = mutex.lock();
    let losers = async {
        let both = select(mutex.lock_async(), semaphore.acquire_async());
        drop(select(both, receiver.recv_async()).await);
    };
    assert!(block_on_timeout(losers, SOON).is_none());
    drop(guard);
    semaphore.release(1);
    sender.send(1).unwrap();
    assert!(mutex.try_lock().is_some() && semaphore.try_acquire().is_some());
    assert_eq!(receiver.try_recv(), Ok(1));
}

/// A thread that serves two channels until it is told to stop: each message arrives once.
#[test]
fn two_channels_and_a_latch() {
    let each = rounds(5_000);
    let (numbers, left) = channel::bounded(2);
    let (words, right) = channel::unbounded();
    let stop = Latch::new();
    thread::scope(|scope| {
        let serving = scope.spawn(|| {
            let (mut sum, mut count, mut turn) = (0_u64, 0, false);
            loop {
                let (a, b) = (left.recv_async(), right.recv_async());
                // They take turns, lest one starve.
                turn = !turn;
                let number = async {
                    if turn {
                        match select(a, b).await {
                            Either::Left(number) => number.ok(),
                            Either::Right(_) => None,
                        }
                    } else {
                        match select(b, a).await {
                            Either::Left(_) => None,
                            Either::Right(number) => number.ok(),
                        }
                    }
                };
                match block_on_timeout(select(number, stop.wait_async()), LONG) {
                    Some(Either::Left(Some(number))) => sum += u64::from(number),
                    Some(Either::Left(None)) => count += 1,
                    Some(Either::Right(())) => return (sum, count),
                    None => panic!("neither a message nor the end came"),
                }
            }
        });
        thread::scope(|scope| {
            scope.spawn(|| (0..each).for_each(|n| numbers.send(n).unwrap()));
            scope.spawn(|| (0..each).for_each(|_| words.send("word").unwrap()));
        });
        stop.open();
        let sum = u64::from(each) * u64::from(each - 1) / 2;
        assert_eq!(serving.join().unwrap(), (sum, each));
    });
}
