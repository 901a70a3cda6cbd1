//! `block_on` and `select`: the thread is woken, and who loses takes nothing along.

use loom::thread;
use threadwork_sync::channel::{self, RecvError};
use threadwork_sync::{Either, block_on, select};

use crate::model;

/// Whichever wins, the other message is there, and the next who asks gets it.
#[test]
fn both_messages_arrive_once() {
    model(1, || {
        let (first, left) = channel::bounded(1);
        let (second, right) = channel::bounded(1);
        let sending = thread::spawn(move || {
            first.send(1).unwrap();
            second.send(2).unwrap();
        });
        let rest = match block_on(select(left.recv_async(), right.recv_async())) {
            Either::Left(message) => {
                assert_eq!(message, Ok(1));
                right.recv()
            }
            Either::Right(message) => {
                assert_eq!(message, Ok(2));
                left.recv().map(|message| message + 1)
            }
        };
        assert_eq!(rest, Ok(2));
        sending.join().unwrap();
    });
}

/// The second of two receivers sleeps behind one whose future loses after it was woken.
#[test]
fn who_loses_passes_its_wake_up_on() {
    model(1, || {
        let (sender, receiver) = channel::bounded(1);
        let (stop, stopped) = channel::bounded::<()>(1);
        let other = {
            let receiver = receiver.clone();
            thread::spawn(move || receiver.recv())
        };
        let sending = thread::spawn(move || {
            sender.send(1).unwrap();
            drop(stop);
            sender
        });
        let first = block_on(select(stopped.recv_async(), receiver.recv_async()));
        let sender = sending.join().unwrap();
        match first {
            Either::Left(end) => assert_eq!(end, Err(RecvError)),
            Either::Right(message) => {
                assert_eq!(message, Ok(1));
                sender.send(1).unwrap();
            }
        }
        assert_eq!(other.join().unwrap(), Ok(1));
    });
}
