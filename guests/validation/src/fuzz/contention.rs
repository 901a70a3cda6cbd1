//! High contention: 8 to 32 threads that all want the same few things.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

use threadwork::sync::channel::{self, Receiver, Sender};
use threadwork::sync::{Condvar, Mutex, RwLock, Semaphore};

use crate::case::{Case, Check, OrFail, Property, Random};

pub(crate) const FAMILY: Property = Property {
    name: "high_contention",
    claim: "8 to 32 threads that want the same few things lose nothing",
    check,
    bugs: &["lost-update", "one-permit-too-many", "lost-message"],
};

/// Something that all threads want.
trait Attraction: Sync {
    /// Uses it once.
    fn visit(&self, random: &mut Random) -> Check;

    /// Checks that so many visits have left their mark.
    fn audit(&self, visits: u32) -> Check;
}

fn check(case: &mut Case<'_>) -> Check {
    let attraction: Box<dyn Attraction> = match case.below(5) {
        _ if case.has_bug("lost-update") => {
            Box::new(Tally { is_unlocked: true, ..Tally::default() })
        }
        _ if case.has_bug("one-permit-too-many") => Box::new(Room::new(2, 3)),
        _ if case.has_bug("lost-message") => Box::new(Mailbox::new(1, true)),
        0 => Box::new(Tally::default()),
        1 => {
            let permits = case.between(1, 4);
            Box::new(Room::new(permits, permits))
        }
        2 => Box::new(Mailbox::new(case.between(1, 8) as usize, false)),
        3 => Box::new(Purse::default()),
        _ => Box::new(Board::default()),
    };
    let (threads, rounds) = (case.between(8, 32), case.between(1, 16));
    case.on_threads(threads, |_, random| (0..rounds).try_for_each(|_| attraction.visit(random)))?;
    attraction.audit(threads * rounds)
}

/// A mutex that all want for a moment.
#[derive(Default)]
struct Tally {
    lock: Mutex<()>,
    value: AtomicU32,
    is_unlocked: bool,
}

impl Attraction for Tally {
    fn visit(&self, random: &mut Random) -> Check {
        let _guard = (!self.is_unlocked).then(|| self.lock.lock());
        let value = self.value.load(SeqCst);
        random.pause();
        self.value.store(value + 1, SeqCst);
        Ok(())
    }

    fn audit(&self, visits: u32) -> Check {
        check_eq!(self.value.load(SeqCst), visits);
        Ok(())
    }
}

/// A room for a few.
struct Room {
    seats: u32,
    door: Semaphore,
    inside: AtomicU32,
}

impl Room {
    fn new(seats: u32, permits: u32) -> Self {
        Self { seats, door: Semaphore::new(permits), inside: AtomicU32::new(0) }
    }
}

impl Attraction for Room {
    fn visit(&self, random: &mut Random) -> Check {
        let guests = random.between(1, self.seats);
        let _permit = self.door.acquire_many(guests);
        let inside = self.inside.fetch_add(guests, SeqCst) + guests;
        random.pause();
        self.inside.fetch_sub(guests, SeqCst);
        check!(inside <= self.seats, "{inside} sit on {} seats", self.seats);
        Ok(())
    }

    fn audit(&self, _visits: u32) -> Check {
        check_eq!(self.door.available(), self.seats);
        Ok(())
    }
}

/// A short channel. Who visits sends one message and receives one, whosever it is: so it
/// cannot stay full.
struct Mailbox {
    sender: Sender<u32>,
    receiver: Receiver<u32>,
    /// What was sent, less what was received.
    on_the_way: AtomicU64,
    loses: bool,
}

impl Mailbox {
    fn new(places: usize, loses: bool) -> Self {
        let (sender, receiver) = channel::bounded(places);
        Self { sender, receiver, on_the_way: AtomicU64::new(0), loses }
    }
}

impl Attraction for Mailbox {
    fn visit(&self, random: &mut Random) -> Check {
        let message = random.between(1, 1_000);
        self.on_the_way.fetch_add(message.into(), SeqCst);
        self.sender.send(message).or_fail("send")?;
        let received = self.receiver.recv().or_fail("receive")?;
        if !(self.loses && random.one_in(8)) {
            self.on_the_way.fetch_sub(received.into(), SeqCst);
        }
        Ok(())
    }

    fn audit(&self, _visits: u32) -> Check {
        check_eq!(self.on_the_way.load(SeqCst), 0);
        check!(self.receiver.is_empty(), "{} messages are left", self.receiver.len());
        Ok(())
    }
}

/// Coins behind a condition. Who visits puts one in, then waits for one to take out.
#[derive(Default)]
struct Purse {
    coins: Mutex<u32>,
    put_in: Condvar,
}

impl Attraction for Purse {
    fn visit(&self, random: &mut Random) -> Check {
        *self.coins.lock() += 1;
        self.put_in.notify_one();
        random.pause();
        *self.put_in.wait_while(self.coins.lock(), |coins| *coins == 0) -= 1;
        Ok(())
    }

    fn audit(&self, _visits: u32) -> Check {
        check_eq!(*self.coins.lock(), 0);
        Ok(())
    }
}

/// Cells that many read and few write.
#[derive(Default)]
struct Board {
    cells: RwLock<[u32; 4]>,
    writes: AtomicU32,
}

impl Attraction for Board {
    fn visit(&self, random: &mut Random) -> Check {
        if random.one_in(4) {
            self.writes.fetch_add(1, SeqCst);
            for cell in &mut *self.cells.write() {
                *cell += 1;
                random.pause();
            }
            return Ok(());
        }
        let cells = self.cells.read();
        let first = cells[0];
        random.pause();
        check_eq!(*cells, [first; 4]);
        Ok(())
    }

    fn audit(&self, _visits: u32) -> Check {
        check_eq!(*self.cells.read(), [self.writes.load(SeqCst); 4]);
        Ok(())
    }
}
