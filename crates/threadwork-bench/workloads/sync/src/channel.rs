//! Messages: one to one, many to one, many to many.

use threadwork_workloads::{Measured, share, timed};

use threadwork_workloads::contest::{Entry, entry};

/// Both ends of a bounded channel of numbers.
trait Channel: Sync {
    fn new(capacity: usize) -> Self;
    fn send(&self, message: u64);
    fn recv(&self) -> u64;
}

macro_rules! channel {
    ($name:ident, $library:ident) => {
        struct $name {
            sender: $library::Sender<u64>,
            receiver: $library::Receiver<u64>,
        }

        impl Channel for $name {
            fn new(capacity: usize) -> Self {
                let (sender, receiver) = $library::bounded(capacity);
                $name { sender, receiver }
            }
            fn send(&self, message: u64) {
                self.sender.send(message).expect("both ends stay");
            }
            fn recv(&self) -> u64 {
                self.receiver.recv().expect("both ends stay")
            }
        }
    };
}

mod crossbeam {
    pub(super) use crossbeam_channel::{Receiver, Sender, bounded};
}
mod threadwork {
    pub(super) use threadwork_sync::channel::{Receiver, Sender, bounded};
}

channel!(Crossbeam, crossbeam);
channel!(Threadwork, threadwork);

/// std's bounded channel has one receiver.
struct Std {
    sender: std::sync::mpsc::SyncSender<u64>,
    receiver: std::sync::Mutex<std::sync::mpsc::Receiver<u64>>,
}

impl Channel for Std {
    fn new(capacity: usize) -> Self {
        let (sender, receiver) = std::sync::mpsc::sync_channel(capacity);
        Std {
            sender,
            receiver: std::sync::Mutex::new(receiver),
        }
    }
    fn send(&self, message: u64) {
        self.sender.send(message).expect("both ends stay");
    }
    fn recv(&self) -> u64 {
        let receiver = self.receiver.lock().expect("nobody panics");
        receiver.recv().expect("both ends stay")
    }
}

/// One operation: a message that is sent and received. Of `threads` threads,
/// `RECEIVERS` receive (0 is half of them), the others send.
fn messages<C: Channel, const CAPACITY: usize, const RECEIVERS: u32>(
    threads: u32,
    iterations: u64,
) -> Measured {
    let channel = C::new(CAPACITY);
    let threads = threads.max(2);
    let receivers = if RECEIVERS == 0 {
        threads / 2
    } else {
        RECEIVERS
    };
    let senders = threads - receivers;
    let (elapsed, answer) = timed(threads, |index| match index.checked_sub(receivers) {
        None => (0..share(iterations, receivers, index))
            .map(|_| channel.recv())
            .sum(),
        Some(index) => {
            (0..share(iterations, senders, index)).for_each(|_| channel.send(1));
            0
        }
    });
    Measured::new(elapsed, iterations, answer)
}

macro_rules! workloads {
    ($($contestant:literal: $channel:ty),* $(,)?) => {
        &[$(
            entry("channel-one-to-one-1", $contestant, |_, n| messages::<$channel, 1, 1>(2, n)),
            entry("channel-one-to-one-64", $contestant, |_, n| messages::<$channel, 64, 1>(2, n)),
            entry("channel-many-to-one-64", $contestant, messages::<$channel, 64, 1>),
            entry("channel-many-to-many-1", $contestant, messages::<$channel, 1, 0>),
            entry("channel-many-to-many-64", $contestant, messages::<$channel, 64, 0>),
            entry("channel-many-to-many-1024", $contestant, messages::<$channel, 1024, 0>),
        )*]
    };
}

pub(crate) const WORKLOADS: &[Entry] = workloads! {
    "std": Std,
    "crossbeam": Crossbeam,
    "threadwork": Threadwork,
};
