//! The channel: order, blocking, all forms, hanging up, what it drops, races.

use std::collections::VecDeque;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use threadwork_sync::channel::{
    self, Receiver, RecvError, RecvTimeoutError, SendError, SendTimeoutError, Sender, TryRecvError,
    TrySendError,
};

use crate::support::{Random, THREADS, block_on, rounds};

const SOON: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(60);
const CAPACITIES: [usize; 4] = [1, 2, 3, 64];

#[test]
fn messages_come_in_order_and_around_the_ring() {
    for capacity in CAPACITIES {
        let (sender, receiver) = channel::bounded(capacity);
        assert_eq!(
            (sender.capacity(), receiver.capacity()),
            (Some(capacity), Some(capacity))
        );
        for start in (0..10 * capacity).step_by(capacity) {
            for n in start..start + capacity {
                assert_eq!(sender.try_send(n), Ok(()));
                assert_eq!(sender.len(), n - start + 1);
            }
            assert!(sender.is_full() && receiver.is_full() && !receiver.is_empty());
            assert_eq!(sender.try_send(0), Err(TrySendError::Full(0)));
            assert!(receiver.try_iter().eq(start..start + capacity));
            assert!(sender.is_empty() && receiver.is_empty() && !receiver.is_full());
            assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        }
    }
}

/// Against a queue that needs no proof.
#[test]
fn it_behaves_like_a_queue() {
    for seed in 0..u64::from(rounds(500)) {
        let mut random = Random::new(seed);
        let capacity = 1 + random.below(5) as usize;
        let (sender, receiver) = channel::bounded(capacity);
        let mut queue = VecDeque::new();
        for n in 0..100 {
            if random.below(2) == 0 {
                let sent = sender.try_send(n).is_ok();
                assert_eq!(sent, queue.len() < capacity);
                if sent {
                    queue.push_back(n);
                }
            } else {
                assert_eq!(receiver.try_recv().ok(), queue.pop_front());
            }
            assert_eq!(receiver.len(), queue.len());
        }
    }
}

#[test]
fn the_senders_end_is_seen_after_the_last_message() {
    let (sender, receiver) = channel::bounded(2);
    let other = sender.clone();
    sender.send(1).unwrap();
    drop(sender);
    assert!(!receiver.is_disconnected());
    other.send(2).unwrap();
    drop(other);
    assert!(receiver.is_disconnected());
    assert_eq!(receiver.recv(), Ok(1));
    assert_eq!(receiver.recv_timeout(LONG), Ok(2));
    assert_eq!(receiver.recv(), Err(RecvError));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    assert_eq!(
        receiver.recv_timeout(LONG),
        Err(RecvTimeoutError::Disconnected)
    );
    assert_eq!(block_on(receiver.recv_async()), Err(RecvError));
    assert_eq!(receiver.into_iter().next(), None);
}

#[test]
fn the_receivers_end_is_seen_at_once() {
    let (sender, receiver) = channel::bounded(2);
    let other = receiver.clone();
    drop(receiver);
    sender.send(1).unwrap();
    assert!(!sender.is_disconnected());
    drop(other);
    assert!(sender.is_disconnected());
    assert_eq!(sender.send(2), Err(SendError(2)));
    assert_eq!(sender.try_send(2), Err(TrySendError::Disconnected(2)));
    let late = sender.send_timeout(2, LONG);
    assert_eq!(late, Err(SendTimeoutError::Disconnected(2)));
    assert_eq!(block_on(sender.send_async(2)), Err(SendError(2)));
}

#[test]
fn waits_give_up_not_before_their_time() {
    let (sender, receiver) = channel::bounded(1);
    let start = Instant::now();
    assert_eq!(receiver.recv_timeout(SOON), Err(RecvTimeoutError::Timeout));
    assert!(start.elapsed() >= SOON);
    let late = receiver.recv_deadline(Instant::now() + SOON);
    assert_eq!(late, Err(RecvTimeoutError::Timeout));
    assert!(start.elapsed() >= 2 * SOON);
    sender.send(1).unwrap();
    let late = sender.send_timeout(2, SOON);
    assert_eq!(late, Err(SendTimeoutError::Timeout(2)));
    assert!(start.elapsed() >= 3 * SOON);
    let late = sender.send_deadline(3, Instant::now() + SOON);
    assert_eq!(late, Err(SendTimeoutError::Timeout(3)));
    assert!(start.elapsed() >= 4 * SOON);
    assert_eq!(
        sender
            .send_timeout(4, Duration::ZERO)
            .unwrap_err()
            .into_inner(),
        4
    );
    assert_eq!(receiver.recv_timeout(Duration::ZERO), Ok(1));
    assert_eq!(
        receiver.recv_timeout(Duration::ZERO),
        Err(RecvTimeoutError::Timeout)
    );
}

/// They sleep, and then each gets one.
#[test]
fn all_kinds_of_receivers_are_woken() {
    let (sender, receiver) = channel::bounded(1);
    thread::scope(|scope| {
        let waiting = [
            scope.spawn(|| receiver.recv().unwrap()),
            scope.spawn(|| receiver.recv_timeout(LONG).unwrap()),
            scope.spawn(|| receiver.recv_deadline(Instant::now() + LONG).unwrap()),
            scope.spawn(|| receiver.iter().next().unwrap()),
            scope.spawn(|| block_on(receiver.recv_async()).unwrap()),
        ];
        thread::sleep(SOON);
        (1..=5).for_each(|n| sender.send(n).unwrap());
        let received: u32 = waiting.into_iter().map(|one| one.join().unwrap()).sum();
        assert_eq!(received, 15);
    });
}

#[test]
fn all_kinds_of_senders_are_woken() {
    let (sender, receiver) = channel::bounded(1);
    sender.send(0).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| sender.send(1).unwrap());
        scope.spawn(|| sender.send_timeout(2, LONG).unwrap());
        scope.spawn(|| sender.send_deadline(3, Instant::now() + LONG).unwrap());
        scope.spawn(|| block_on(sender.send_async(4)).unwrap());
        thread::sleep(SOON);
        assert_eq!(receiver.recv(), Ok(0));
        assert_eq!((0..4).map(|_| receiver.recv().unwrap()).sum::<u32>(), 10);
    });
}

#[test]
fn hanging_up_wakes_everybody() {
    let (sender, receiver) = channel::bounded::<u32>(1);
    thread::scope(|scope| {
        for _ in 0..3 {
            let receiver = receiver.clone();
            scope.spawn(move || assert_eq!(receiver.recv(), Err(RecvError)));
        }
        scope.spawn(move || assert_eq!(block_on(receiver.recv_async()), Err(RecvError)));
        thread::sleep(SOON);
        drop(sender);
    });

    let (sender, receiver) = channel::bounded(1);
    sender.send(0).unwrap();
    thread::scope(|scope| {
        for n in 1..4 {
            let sender = sender.clone();
            scope.spawn(move || assert_eq!(sender.send(n), Err(SendError(n))));
        }
        scope.spawn(move || assert_eq!(block_on(sender.send_async(4)), Err(SendError(4))));
        thread::sleep(SOON);
        drop(receiver);
    });
}

#[test]
fn a_future_that_is_dropped_loses_no_message() {
    let (sender, receiver) = channel::bounded(1);
    let mut context = Context::from_waker(Waker::noop());
    {
        let mut dropped = pin!(receiver.recv_async());
        assert_eq!(dropped.as_mut().poll(&mut context), Poll::Pending);
        sender.send(1).unwrap();
    }
    assert_eq!(receiver.try_recv(), Ok(1));
    sender.send(2).unwrap();
    {
        let mut dropped = pin!(sender.send_async(3));
        assert_eq!(dropped.as_mut().poll(&mut context), Poll::Pending);
        assert_eq!(receiver.recv(), Ok(2));
    }
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
}

#[test]
fn each_message_is_dropped_once() {
    let alive = Arc::new(());
    let (sender, receiver) = channel::bounded(2);
    sender.send(alive.clone()).unwrap();
    drop(receiver.recv());
    assert_eq!(Arc::strong_count(&alive), 1);
    (0..2).for_each(|_| sender.send(alive.clone()).unwrap());
    drop(sender.try_send(alive.clone()));
    drop(sender.send_timeout(alive.clone(), Duration::ZERO));
    assert_eq!(Arc::strong_count(&alive), 3);
    drop(receiver);
    assert_eq!(
        Arc::strong_count(&alive),
        1,
        "not when the sender goes, but now"
    );
    drop(sender.send(alive.clone()));
    drop(sender);
    assert_eq!(Arc::strong_count(&alive), 1);
    let (sender, receiver) = channel::bounded(2);
    sender.send(alive.clone()).unwrap();
    drop(sender);
    drop(receiver);
    assert_eq!(Arc::strong_count(&alive), 1);
}

/// What somebody waits for is in a message that nobody will receive.
#[test]
fn a_request_that_is_dropped_answers_its_client() {
    let (requests, server) = channel::bounded::<Sender<u32>>(1);
    let (reply, answer) = channel::bounded(1);
    requests.send(reply).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(answer.recv(), Err(RecvError)));
        thread::sleep(SOON);
        drop(server);
    });
}

#[test]
fn messages_may_be_large_or_nothing() {
    let (sender, receiver) = channel::bounded(3);
    (0..3).for_each(|_| sender.send(()).unwrap());
    assert_eq!(
        (sender.try_send(()), receiver.len()),
        (Err(TrySendError::Full(())), 3)
    );
    assert_eq!(receiver.try_iter().count(), 3);
    let (sender, receiver) = channel::bounded(1);
    sender.send([7_u64; 100]).unwrap();
    assert_eq!(receiver.recv(), Ok([7; 100]));
}

#[test]
fn an_unbounded_channel_is_never_full() {
    let (sender, receiver) = channel::unbounded();
    let (another, _receiver) = channel::unbounded::<u32>();
    assert_eq!((sender.capacity(), receiver.capacity()), (None, None));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(receiver.recv_timeout(SOON), Err(RecvTimeoutError::Timeout));
    (0..1_000).for_each(|n| sender.try_send(n).unwrap());
    assert_eq!((sender.len(), receiver.is_full()), (1_000, false));
    assert_eq!(sender.send_timeout(1_000, Duration::ZERO), Ok(()));
    assert!(receiver.try_iter().eq(0..=1_000));
    assert!(sender.same_channel(&sender.clone()) && !sender.same_channel(&another));
    sender.send(1).unwrap();
    drop(sender);
    assert_eq!(receiver.recv(), Ok(1));
    assert_eq!(receiver.recv(), Err(RecvError));
    assert!(receiver.is_disconnected());
}

/// Many threads, each form of receiving: each message arrives once, those of one sender in
/// order.
#[test]
fn an_unbounded_channel_under_stress() {
    for &threads in THREADS {
        let each = rounds(2_000);
        let (sender, receiver) = channel::unbounded();
        let received: Vec<Vec<(u32, u32)>> = thread::scope(|scope| {
            for thread in 0..threads {
                let sender = sender.clone();
                scope.spawn(move || (0..each).for_each(|n| sender.send((thread, n)).unwrap()));
            }
            drop(sender);
            let receiving: Vec<_> = (0..threads)
                .map(|thread| {
                    let receiver = &receiver;
                    scope.spawn(move || {
                        let mut random = Random::new(u64::from(thread));
                        let mut received = Vec::new();
                        loop {
                            let message = match random.below(3) {
                                0 => receiver.recv_timeout(Duration::from_micros(random.below(50))),
                                1 => block_on(receiver.recv_async())
                                    .map_err(|RecvError| RecvTimeoutError::Disconnected),
                                _ => receiver
                                    .recv()
                                    .map_err(|RecvError| RecvTimeoutError::Disconnected),
                            };
                            match message {
                                Ok(message) => received.push(message),
                                Err(RecvTimeoutError::Timeout) => {}
                                Err(RecvTimeoutError::Disconnected) => return received,
                            }
                        }
                    })
                })
                .collect();
            receiving
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        for thread in 0..threads {
            for one in &received {
                let of_thread = one.iter().filter(|(from, _)| *from == thread);
                assert!(of_thread.is_sorted());
            }
        }
        let total: usize = received.iter().map(Vec::len).sum();
        assert_eq!(total, (threads * each) as usize);
    }
}

#[test]
fn who_closes_ends_both_sides() {
    for (sender, receiver) in [channel::bounded(4), channel::unbounded()] {
        sender.send(1).unwrap();
        let (other, last) = (receiver.clone(), sender.clone());
        assert!(!sender.is_disconnected());
        assert!(last.close());
        assert!(!other.close() && !sender.close());
        assert!(sender.is_disconnected() && receiver.is_disconnected());
        assert_eq!(sender.send(2), Err(SendError(2)));
        assert_eq!(sender.try_send(2), Err(TrySendError::Disconnected(2)));
        assert_eq!(
            sender.send_timeout(2, SOON),
            Err(SendTimeoutError::Disconnected(2))
        );
        assert_eq!(receiver.recv(), Ok(1));
        assert_eq!(other.recv(), Err(RecvError));
        assert_eq!(other.try_recv(), Err(TryRecvError::Disconnected));
    }
}

/// The senders of a full channel, and the receivers of an empty one.
#[test]
fn who_closes_wakes_all() {
    let (sender, receiver) = channel::bounded(1);
    sender.send(0).unwrap();
    let (_other_sender, other) = channel::unbounded::<u32>();
    thread::scope(|scope| {
        let senders = [1, 2].map(|n| {
            scope.spawn({
                let sender = &sender;
                move || sender.send(n)
            })
        });
        let receivers = [(); 2].map(|()| scope.spawn(|| other.recv()));
        thread::sleep(SOON);
        receiver.close();
        other.close();
        for sender in senders {
            assert!(sender.join().unwrap().is_err());
        }
        for receiver in receivers {
            assert_eq!(receiver.join().unwrap(), Err(RecvError));
        }
    });
    assert_eq!(receiver.recv(), Ok(0));
}

#[test]
#[should_panic(expected = "use capacity 1")]
#[cfg_attr(target_family = "wasm", ignore = "panics abort there")]
fn a_rendezvous_is_refused() {
    drop(channel::bounded::<u32>(0));
}

#[test]
#[should_panic(expected = "use a smaller capacity")]
#[cfg_attr(target_family = "wasm", ignore = "panics abort there")]
fn a_capacity_that_is_too_large_is_refused() {
    drop(channel::bounded::<()>(1 << 31));
}

#[test]
fn errors_say_what_happened() {
    fn text(error: impl Error) -> String {
        error.to_string()
    }
    struct Opaque;
    assert_eq!(
        text(SendError(Opaque)),
        "nobody receives from the channel any more"
    );
    assert_eq!(text(TrySendError::Full(Opaque)), "the channel is full");
    assert!(text(SendTimeoutError::Timeout(Opaque)).contains("full until the timeout"));
    assert!(text(RecvError).contains("nobody sends to it any more"));
    assert_eq!(text(TryRecvError::Empty), "the channel is empty");
    assert!(text(RecvTimeoutError::Timeout).contains("empty until the timeout"));
    assert!(TrySendError::Full(1).is_full() && !TrySendError::Disconnected(1).is_full());
    assert!(SendTimeoutError::Timeout(1).is_timeout());
    assert_eq!(
        SendError(1).into_inner() + TrySendError::Full(2).into_inner(),
        3
    );
    assert_eq!(format!("{:?}", SendError(Opaque)), "SendError(..)");
    let (sender, receiver) = channel::bounded::<Opaque>(2);
    let shown = "{ len: 0, capacity: Some(2), disconnected: false, .. }";
    assert_eq!(format!("{sender:?}"), format!("Sender {shown}"));
    assert_eq!(format!("{receiver:?}"), format!("Receiver {shown}"));
}

#[test]
fn handles_and_futures_move_between_threads() {
    fn moves<T: Send + Sync>() {}
    fn sends<T: Send>(value: T) {
        drop(value);
    }
    moves::<Sender<std::cell::Cell<u32>>>();
    moves::<Receiver<std::cell::Cell<u32>>>();
    let (sender, receiver) = channel::bounded(1);
    sends(sender.send_async(1));
    sends(receiver.recv_async());
}

/// Each message once, and those of one sender in their order, at each receiver.
#[test]
fn many_senders_and_receivers() {
    for &threads in THREADS {
        for capacity in CAPACITIES {
            let each = rounds(2000);
            let (sender, receiver) = channel::bounded(capacity);
            let (total, count) = (AtomicU32::new(0), AtomicU32::new(0));
            let senders = threads.div_ceil(2);
            thread::scope(|scope| {
                for index in 0..senders {
                    let sender = sender.clone();
                    scope.spawn(move || (0..each).for_each(|n| sender.send((index, n)).unwrap()));
                }
                drop(sender);
                for _ in 0..threads - senders {
                    scope.spawn(|| {
                        let mut last = vec![None; senders as usize];
                        for (index, n) in &receiver {
                            let before = last[index as usize].replace(n);
                            assert!(before < Some(n), "{before:?} and then {n}");
                            total.fetch_add(n, Ordering::Relaxed);
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            });
            assert_eq!(count.into_inner(), senders * each);
            assert_eq!(total.into_inner(), senders * (0..each).sum::<u32>());
        }
    }
}

/// All forms at random, with waits that give up and futures that are dropped.
#[test]
fn nothing_is_lost_by_those_who_give_up() {
    for &threads in THREADS {
        let each = rounds(500);
        let (sender, receiver) = channel::bounded(2);
        let senders = threads.div_ceil(2);
        let received = AtomicU32::new(0);
        thread::scope(|scope| {
            for index in 0..senders {
                let sender = sender.clone();
                scope.spawn(move || {
                    let mut random = Random::new(u64::from(index));
                    (0..each).for_each(|_| send_somehow(&sender, &mut random));
                });
            }
            drop(sender);
            for index in senders..threads {
                let (receiver, received) = (&receiver, &received);
                scope.spawn(move || {
                    let mut random = Random::new(u64::from(index));
                    while let Some(count) = receive_somehow(receiver, &mut random) {
                        received.fetch_add(count, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(received.into_inner(), senders * each);
    }
}

fn send_somehow(sender: &Sender<Box<u32>>, random: &mut Random) {
    let mut message = Box::new(1);
    loop {
        let result = match random.below(4) {
            0 => sender.send_timeout(message, Duration::from_micros(random.below(50))),
            1 => sender
                .try_send(message)
                .map_err(|error| SendTimeoutError::Timeout(error.into_inner())),
            2 => {
                // Looks at the channel, queues up if it is full, and goes away.
                let mut context = Context::from_waker(Waker::noop());
                let mut future = pin!(sender.send_async(message));
                match future.as_mut().poll(&mut context) {
                    Poll::Ready(result) => break result.unwrap(),
                    Poll::Pending => Err(SendTimeoutError::Timeout(Box::new(1))),
                }
            }
            _ => break sender.send(message).unwrap(),
        };
        match result {
            Ok(()) => break,
            Err(error) => message = error.into_inner(),
        }
    }
}

fn receive_somehow(receiver: &Receiver<Box<u32>>, random: &mut Random) -> Option<u32> {
    match random.below(4) {
        0 => match receiver.recv_timeout(Duration::from_micros(random.below(50))) {
            Ok(message) => Some(*message),
            Err(RecvTimeoutError::Timeout) => Some(0),
            Err(RecvTimeoutError::Disconnected) => None,
        },
        1 => match receiver.try_recv() {
            Ok(message) => Some(*message),
            Err(TryRecvError::Empty) => Some(0),
            Err(TryRecvError::Disconnected) => None,
        },
        2 => {
            let mut context = Context::from_waker(Waker::noop());
            let mut future = pin!(receiver.recv_async());
            match future.as_mut().poll(&mut context) {
                Poll::Ready(result) => result.ok().map(|message| *message),
                Poll::Pending => Some(0),
            }
        }
        _ => receiver.recv().ok().map(|message| *message),
    }
}

/// The last of both ends go at the same time.
#[test]
fn both_ends_hang_up_together() {
    for _ in 0..rounds(2000) {
        let alive = Arc::new(());
        let (sender, receiver) = channel::bounded(2);
        thread::scope(|scope| {
            let message = alive.clone();
            scope.spawn(move || drop(sender.send(message)));
            scope.spawn(move || drop(receiver));
        });
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}

/// What is left is dropped, and the channel freed, as the items of a `Vec` are.
#[test]
#[cfg_attr(target_family = "wasm", ignore = "panics abort there")]
fn a_message_that_panics_when_dropped_takes_no_others_along() {
    struct Message {
        _alive: Arc<()>,
        panics: bool,
    }
    impl Drop for Message {
        fn drop(&mut self) {
            assert!(!self.panics, "this message must not be dropped");
        }
    }
    let message = |alive: &Arc<()>, panics| Message {
        _alive: Arc::clone(alive),
        panics,
    };
    let alive = Arc::new(());
    let (sender, receiver) = channel::bounded(8);
    for n in 0..8 {
        sender.send(message(&alive, n == 2)).ok().unwrap();
    }
    let panic = catch_unwind(AssertUnwindSafe(|| drop(receiver)));
    assert!(panic.is_err());
    assert_eq!(Arc::strong_count(&alive), 1);
    assert!(sender.try_send(message(&alive, false)).is_err());
}

/// Two threads sleep when the first message is sent; only it wakes one, as nobody has announced
/// itself since when the second is sent. So the first that is woken has to pass that on, or to
/// announce the other, if there is nothing for it yet. (A future would be woken besides.)
#[test]
fn two_receiving_threads_that_wait_are_both_woken() {
    for at_once in [true, false] {
        for _ in 0..rounds(50) {
            let (sender, receiver) = channel::bounded(2);
            let receive = move || receiver.recv_timeout(FOREVER).map(drop);
            both_are_woken(at_once, receive, || sender.send(1).unwrap());
        }
    }
}

/// Its mirror image.
#[test]
fn two_sending_threads_that_wait_are_both_woken() {
    for at_once in [true, false] {
        for _ in 0..rounds(50) {
            let (sender, receiver) = channel::bounded(2);
            (0..2).for_each(|_| sender.send(0).unwrap());
            let send = move || {
                sender
                    .send_timeout(1, FOREVER)
                    .map_err(|_| RecvTimeoutError::Timeout)
            };
            both_are_woken(at_once, send, || assert!(receiver.recv().is_ok()));
        }
    }
}

/// A thousand times what it takes to wake a thread, on a machine that is busy.
const FOREVER: Duration = Duration::from_secs(20);

/// Two threads wait, and `wake` lets one of them go on, two times: at once, or the second time
/// when the first thread has done so.
fn both_are_woken(
    at_once: bool,
    wait: impl Fn() -> Result<(), RecvTimeoutError> + Clone + Send + 'static,
    wake: impl Fn(),
) {
    let gone_on = Arc::new(AtomicU32::new(0));
    let waiting = [wait.clone(), wait].map(|wait| {
        let gone_on = gone_on.clone();
        thread::spawn(move || {
            let begin = Instant::now();
            wait().unwrap();
            assert!(begin.elapsed() < FOREVER, "it was not woken");
            gone_on.fetch_add(1, Ordering::Relaxed);
        })
    });
    // They need not sleep already, but mostly do.
    thread::sleep(Duration::from_millis(2));
    wake();
    while !at_once && gone_on.load(Ordering::Relaxed) == 0 {
        thread::sleep(Duration::from_millis(1));
    }
    wake();
    waiting
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}
