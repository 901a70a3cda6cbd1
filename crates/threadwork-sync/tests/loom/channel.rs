//! The channel: each message arrives once and in order, nobody who waits is forgotten,
//! whoever gives up or hangs up. The slots are loom's `UnsafeCell`.
//!
//! Messages that own something are `loom::sync::Arc`s: loom reports one that leaks, and
//! so a channel that does.

use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use loom::future::block_on;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;
use threadwork_sync::channel::{self, RecvError, SendError, TryRecvError};

use crate::model;

/// The future, which has found that it has to wait.
fn asleep<F: Future>(future: F) -> Pin<Box<F>> {
    let mut future = Box::pin(future);
    let mut context = Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut context).is_pending());
    future
}

const LONG: Duration = Duration::from_secs(1);

#[test]
fn messages_arrive_once_and_in_order() {
    model(2, || {
        let (sender, receiver) = channel::bounded(1);
        let sending = thread::spawn(move || {
            (1..=2).for_each(|n| sender.send(n).unwrap());
            sender
        });
        assert_eq!(receiver.recv(), Ok(1));
        assert_eq!(receiver.recv(), Ok(2));
        drop(sending.join().unwrap());
    });
}

#[test]
fn a_ring_of_two_slots_goes_round() {
    model(1, || {
        let (sender, receiver) = channel::bounded(2);
        let sending = thread::spawn(move || {
            (1..=3).for_each(|n| sender.send(n).unwrap());
            sender
        });
        (1..=3).for_each(|n| assert_eq!(receiver.recv(), Ok(n)));
        drop(sending.join().unwrap());
    });
}

#[test]
fn two_senders_share_the_slots() {
    model(1, || {
        let (sender, receiver) = channel::bounded(2);
        let (first, second) = (sender.clone(), sender.clone());
        let sending = thread::spawn(move || first.send(1).unwrap());
        let another = thread::spawn(move || second.send(2).unwrap());
        assert_eq!(receiver.recv().unwrap() + receiver.recv().unwrap(), 3);
        sending.join().unwrap();
        another.join().unwrap();
    });
}

/// Both sleep when the first slot becomes free, and both slots do before either runs.
#[test]
fn two_senders_that_wait_are_both_woken() {
    model(3, || {
        let (sender, receiver) = channel::bounded(2);
        (0..2).for_each(|_| sender.send(0).unwrap());
        let mut first = asleep(sender.send_async(1));
        let mut second = asleep(sender.send_async(2));
        let receiving = thread::spawn(move || {
            (0..2).for_each(|_| assert_eq!(receiver.recv(), Ok(0)));
            receiver
        });
        block_on(first.as_mut()).unwrap();
        block_on(second.as_mut()).unwrap();
        drop(receiving.join().unwrap());
    });
}

/// Both messages may be there before either runs.
#[test]
fn two_receivers_that_wait_are_both_woken() {
    model(3, || {
        let (sender, receiver) = channel::bounded(2);
        let mut first = asleep(receiver.recv_async());
        let mut second = asleep(receiver.recv_async());
        let sending = thread::spawn(move || {
            (1..=2).for_each(|n| sender.send(n).unwrap());
            sender
        });
        assert_eq!(block_on(first.as_mut()), Ok(1));
        assert_eq!(block_on(second.as_mut()), Ok(2));
        drop(sending.join().unwrap());
    });
}

/// Also while the other has claimed a slot and not filled it.
#[test]
fn what_was_sent_is_there() {
    model(2, || {
        let (sender, receiver) = channel::bounded(2);
        let sent = Arc::new(AtomicU32::new(0));
        let sending: Vec<_> = (1..=2)
            .map(|n| {
                let (sender, sent) = (sender.clone(), sent.clone());
                thread::spawn(move || {
                    sender.try_send(n).unwrap();
                    sent.fetch_add(1, Ordering::Release);
                })
            })
            .collect();
        let there = sent.load(Ordering::Acquire);
        let received = (0..there).filter(|_| receiver.try_recv().is_ok()).count();
        assert_eq!(received, there as usize);
        sending.into_iter().for_each(|other| other.join().unwrap());
    });
}

/// Also while the other has claimed a message and not taken it out.
#[test]
fn what_was_received_makes_room() {
    model(2, || {
        let (sender, receiver) = channel::bounded(2);
        (1..=2).for_each(|n| sender.send(n).unwrap());
        let received = Arc::new(AtomicU32::new(0));
        let receiving: Vec<_> = (0..2)
            .map(|_| {
                let (receiver, received) = (receiver.clone(), received.clone());
                thread::spawn(move || {
                    receiver.try_recv().unwrap();
                    received.fetch_add(1, Ordering::Release);
                })
            })
            .collect();
        let room = received.load(Ordering::Acquire);
        (0..room).for_each(|n| sender.try_send(n).unwrap());
        receiving
            .into_iter()
            .for_each(|other| other.join().unwrap());
    });
}

#[test]
fn a_receiver_that_gives_up_leaves_nobody_asleep() {
    model(2, || {
        let (sender, receiver) = channel::bounded(1);
        let mut patient = asleep(receiver.recv_async());
        let impatient = {
            let receiver = receiver.clone();
            thread::spawn(move || receiver.recv_timeout(LONG).is_ok())
        };
        sender.send(1).unwrap();
        if impatient.join().unwrap() {
            sender.send(2).unwrap();
        }
        assert!(block_on(patient.as_mut()).is_ok());
    });
}

#[test]
fn a_sender_that_gives_up_leaves_nobody_asleep() {
    model(2, || {
        let (sender, receiver) = channel::bounded(1);
        sender.send(0).unwrap();
        let mut patient = asleep(sender.send_async(1));
        let impatient = {
            let sender = sender.clone();
            thread::spawn(move || sender.send_timeout(2, LONG).is_ok())
        };
        assert_eq!(receiver.recv(), Ok(0));
        if impatient.join().unwrap() {
            assert_eq!(receiver.recv(), Ok(2));
        }
        block_on(patient.as_mut()).unwrap();
        assert_eq!(receiver.recv(), Ok(1));
    });
}

/// A future that is dropped after it was notified passes the message on.
#[test]
fn a_receiving_future_that_is_dropped_leaves_nobody_asleep() {
    model(3, || {
        let (sender, receiver) = channel::bounded(1);
        let dropped = asleep(receiver.recv_async());
        let patient = {
            let receiver = receiver.clone();
            thread::spawn(move || assert_eq!(block_on(receiver.recv_async()), Ok(1)))
        };
        sender.send(1).unwrap();
        drop(dropped);
        patient.join().unwrap();
    });
}

#[test]
fn a_sending_future_that_is_dropped_leaves_nobody_asleep() {
    model(2, || {
        let (sender, receiver) = channel::bounded(1);
        sender.send(0).unwrap();
        let dropped = asleep(sender.send_async(1));
        let patient = {
            let sender = sender.clone();
            thread::spawn(move || block_on(sender.send_async(2)).unwrap())
        };
        assert_eq!(receiver.recv(), Ok(0));
        drop(dropped);
        patient.join().unwrap();
        assert_eq!(receiver.try_recv(), Ok(2));
    });
}

/// Two that wait, one notify: the one that is woken says that the other still waits,
/// although there is nothing for it yet.
#[test]
fn a_second_receiver_is_announced_anew() {
    model(2, || {
        let (sender, receiver) = channel::bounded(1);
        let mut first = asleep(receiver.recv_async());
        let mut second = asleep(receiver.recv_async());
        sender.send(1).unwrap();
        let sending = thread::spawn(move || {
            sender.send(2).unwrap();
            sender
        });
        assert_eq!(block_on(first.as_mut()), Ok(1));
        assert_eq!(block_on(second.as_mut()), Ok(2));
        drop(sending.join().unwrap());
    });
}

#[test]
fn the_last_sender_wakes_the_receiver() {
    model(3, || {
        let (sender, receiver) = channel::bounded::<u32>(1);
        let closing = thread::spawn(move || drop(sender));
        assert_eq!(receiver.recv(), Err(RecvError));
        closing.join().unwrap();
    });
}

#[test]
fn the_last_sender_wakes_all_receivers() {
    model(3, || {
        let (sender, receiver) = channel::bounded::<u32>(1);
        let mut other = asleep(receiver.recv_async());
        let closing = thread::spawn(move || drop(sender));
        assert_eq!(receiver.recv(), Err(RecvError));
        assert_eq!(block_on(other.as_mut()), Err(RecvError));
        closing.join().unwrap();
    });
}

#[test]
fn the_last_receiver_wakes_all_senders() {
    model(3, || {
        let (sender, receiver) = channel::bounded(1);
        sender.send(0).unwrap();
        let mut others = [1, 2, 3].map(|n| asleep(sender.send_async(n)));
        let closing = thread::spawn(move || drop(receiver));
        // Not in the order in which they wait: none depends on another.
        for (n, other) in [3, 2, 1].into_iter().zip(others.iter_mut().rev()) {
            assert_eq!(block_on(other.as_mut()), Err(SendError(n)));
        }
        closing.join().unwrap();
    });
}

/// Whichever end goes first, and whether the message is sent before or not.
#[test]
fn nothing_leaks_when_both_ends_hang_up() {
    model(3, || {
        let (sender, receiver) = channel::bounded(2);
        sender.send(Arc::new(1)).unwrap();
        let sending = thread::spawn(move || drop(sender.try_send(Arc::new(2))));
        drop(receiver.try_recv());
        drop(receiver);
        sending.join().unwrap();
    });
}

#[test]
fn what_is_inside_survives_the_senders() {
    model(3, || {
        let (sender, receiver) = channel::bounded(1);
        // If loom complains of the slot, the claim is never stamped, and dropping the
        // receiver would wait for that.
        let receiver = ManuallyDrop::new(receiver);
        let sending = thread::spawn(move || sender.send(1).unwrap());
        let first = loop {
            match receiver.try_recv() {
                Ok(message) => break message,
                Err(error) => assert_eq!(error, TryRecvError::Empty),
            }
            thread::yield_now();
        };
        assert_eq!(first, 1);
        sending.join().unwrap();
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    });
}

#[test]
fn unbounded_messages_arrive_once_and_in_order() {
    model(2, || {
        let (sender, receiver) = channel::unbounded();
        let sending = thread::spawn(move || {
            (1..=2).for_each(|n| sender.send(n).unwrap());
        });
        assert_eq!(receiver.recv(), Ok(1));
        assert_eq!(receiver.recv(), Ok(2));
        assert_eq!(receiver.recv(), Err(RecvError));
        sending.join().unwrap();
    });
}

/// Two that wait for one message each; and one that gives up is in nobody's way.
#[test]
fn unbounded_receivers_are_all_woken() {
    model(2, || {
        let (sender, receiver) = channel::unbounded();
        let dropped = asleep(receiver.recv_async());
        let mut first = asleep(receiver.recv_async());
        let mut second = asleep(receiver.recv_async());
        let sending = thread::spawn(move || {
            (1..=2).for_each(|n| sender.send(n).unwrap());
            sender
        });
        drop(dropped);
        let sum = block_on(first.as_mut()).unwrap() + block_on(second.as_mut()).unwrap();
        assert_eq!(sum, 3);
        drop(sending.join().unwrap());
    });
}

#[test]
fn an_unbounded_receiver_that_gives_up_leaves_nobody_asleep() {
    model(2, || {
        let (sender, receiver) = channel::unbounded();
        let mut patient = asleep(receiver.recv_async());
        let impatient = {
            let receiver = receiver.clone();
            thread::spawn(move || receiver.recv_timeout(LONG).is_ok())
        };
        sender.send(1).unwrap();
        if impatient.join().unwrap() {
            sender.send(2).unwrap();
        }
        assert!(block_on(patient.as_mut()).is_ok());
    });
}

/// Of either flavor, by either end.
#[test]
fn who_closes_wakes_everybody() {
    for is_bounded in [true, false] {
        model(2, move || {
            let (sender, receiver) = match is_bounded {
                true => channel::bounded::<u32>(1),
                false => channel::unbounded(),
            };
            let mut other = asleep(receiver.recv_async());
            let closing = thread::spawn(move || {
                sender.close();
                sender
            });
            assert_eq!(receiver.recv(), Err(RecvError));
            assert_eq!(block_on(other.as_mut()), Err(RecvError));
            assert_eq!(closing.join().unwrap().send(1), Err(SendError(1)));
        });
    }
}

/// A message that is sent while the last receiver goes is dropped, by one of the two.
#[test]
fn nothing_leaks_from_an_unbounded_channel() {
    model(3, || {
        let (sender, receiver) = channel::unbounded();
        sender.send(Arc::new(1)).unwrap();
        let sending = thread::spawn(move || drop(sender.try_send(Arc::new(2))));
        drop(receiver.try_recv());
        drop(receiver);
        sending.join().unwrap();
    });
}
