//! Long-running mixes: a whole runtime, and clients that use all of it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use threadwork::join;
use threadwork::sync::channel::{self, Receiver, Sender};
use threadwork::sync::{Mutex, RwLock, Semaphore};
use threadwork_runtime::{RuntimeConfig, ThreadRuntime};

use crate::case::{Case, Check, OrFail, Property, Random};

pub(crate) const FAMILY: Property = Property {
    name: "long_running_mixes",
    claim: "tasks, threads, locks, channels, slots and memory, all at once, lose nothing",
    check,
    bugs: &["forgotten-lock", "lost-message", "lost-task"],
};

/// A runtime, what its clients share, and what must have become of it at the end.
struct World {
    runtime: ThreadRuntime,
    ledger: Arc<Ledger>,
    pair: Arc<RwLock<(u64, u64)>>,
    seats: Semaphore,
    sender: Sender<u64>,
    receiver: Receiver<u64>,
    expected: Expected,
    loses_messages: bool,
    loses_tasks: bool,
}

/// A number that is changed in two steps under a lock. It is an atomic so that a forgotten
/// lock is a wrong number, and not undefined behaviour.
struct Ledger {
    lock: Mutex<()>,
    value: AtomicU64,
    is_unlocked: bool,
}

#[derive(Default)]
struct Expected {
    ledger: AtomicU64,
    pair: AtomicU64,
    word: AtomicU64,
    messages: AtomicU64,
}

/// The word of the shared memory in which threads count.
const WORD: usize = 1 << 10;

fn check(case: &mut Case<'_>) -> Check {
    let config = RuntimeConfig {
        pool_size: case.between(1, 4) as usize,
        max_threads: 16,
        memory_size: 1 << 20,
        ..RuntimeConfig::default()
    };
    let runtime = ThreadRuntime::with_config(config).or_fail("a runtime")?;
    let (sender, receiver) = channel::bounded(case.between(1, 8) as usize);
    let is_unlocked = case.has_bug("forgotten-lock");
    let world = World {
        ledger: Arc::new(Ledger { lock: runtime.mutex(()), value: AtomicU64::new(0), is_unlocked }),
        pair: Arc::new(runtime.rwlock((0, 0))),
        seats: Semaphore::new(2),
        sender,
        receiver,
        expected: Expected::default(),
        loses_messages: case.has_bug("lost-message"),
        loses_tasks: case.has_bug("lost-task"),
        runtime,
    };
    let (clients, rounds) = (case.between(1, 4), case.between(5, 60));
    case.on_threads(clients, |_, random| (0..rounds).try_for_each(|_| world.round(random)))?;
    world.audit()
}

impl World {
    fn round(&self, random: &mut Random) -> Check {
        let _seat = random.one_in(4).then(|| self.seats.acquire());
        match random.below(8) {
            0 => self.task(random),
            1 => self.thread(random),
            2 => self.write_pair(random),
            3 => self.read_pair(random),
            4 => self.message(random),
            5 => self.slots(random),
            6 => self.grow(random),
            _ => self.fork(random),
        }
    }

    /// A task adds to the ledger, and may be waited for.
    fn task(&self, random: &mut Random) -> Check {
        let amount = random.below(10).into();
        self.expected.ledger.fetch_add(amount, SeqCst);
        if self.loses_tasks && random.one_in(4) {
            return Ok(());
        }
        let (ledger, mut seed) = (self.ledger.clone(), random.fork());
        let task = self.runtime.pool().execute(move || ledger.add(amount, &mut seed));
        if random.one_in(2) { task.wait().or_fail("a task") } else { Ok(()) }
    }

    /// A thread counts in the shared memory.
    fn thread(&self, random: &mut Random) -> Check {
        let amount: u64 = random.below(10).into();
        let memory = self.runtime.memory().clone();
        // At the limit there are no more threads, which is as good as none.
        let Ok(thread) = self.runtime.threads().spawn(move || memory.add(WORD, amount)) else {
            return Ok(());
        };
        self.expected.word.fetch_add(amount, SeqCst);
        thread.join().or_fail("join")?.or_fail("add").map(drop)
    }

    fn write_pair(&self, random: &mut Random) -> Check {
        self.expected.pair.fetch_add(1, SeqCst);
        let mut pair = self.pair.write();
        pair.0 += 1;
        random.pause();
        pair.1 += 1;
        Ok(())
    }

    fn read_pair(&self, random: &mut Random) -> Check {
        let pair = self.pair.read();
        let first = pair.0;
        random.pause();
        check_eq!(pair.1, first);
        Ok(())
    }

    /// A task sends, and the client receives a message, whosever it is.
    fn message(&self, random: &mut Random) -> Check {
        let message = random.below(1_000).into();
        self.expected.messages.fetch_add(message, SeqCst);
        let sender = self.sender.clone();
        let task =
            self.runtime.pool().execute(move || threadwork::blocking(|| sender.send(message)));
        let received = self.receiver.recv().or_fail("receive")?;
        if !(self.loses_messages && random.one_in(8)) {
            self.expected.messages.fetch_sub(received, SeqCst);
        }
        task.wait().or_fail("a task")?.or_fail("send")
    }

    fn slots(&self, random: &mut Random) -> Check {
        let (key, value) = (random.below(100) as usize, random.next());
        self.runtime.tls().set(key, &value).or_fail("set")?;
        random.pause();
        check_eq!(self.runtime.tls().get::<u64>(key).or_fail("get")?, value);
        Ok(())
    }

    /// The memory grows, or is at its maximum; the new page is there at once.
    fn grow(&self, random: &mut Random) -> Check {
        let memory = self.runtime.memory();
        if let Ok(page) = memory.grow(1) {
            let start = page as usize * threadwork_runtime::SharedMemory::PAGE;
            let offset = start + 8 * random.below(8_000) as usize;
            check_eq!(memory.exchange(offset, 1_u64).or_fail("a new page")?, 0);
        }
        Ok(())
    }

    fn fork(&self, random: &mut Random) -> Check {
        fn sum(from: u64, to: u64) -> u64 {
            if to - from <= 16 {
                return (from..to).sum();
            }
            let middle = (from + to) / 2;
            let (left, right) = join(|| sum(from, middle), || sum(middle, to));
            left + right
        }
        let to = random.below(2_000).into();
        check_eq!(sum(0, to), to * to.saturating_sub(1) / 2);
        Ok(())
    }

    fn audit(self) -> Check {
        self.runtime.pool().wait_all().or_fail("wait_all")?;
        let expected = |number: &AtomicU64| number.load(SeqCst);
        check_eq!(expected(&self.ledger.value), expected(&self.expected.ledger));
        let pair = expected(&self.expected.pair);
        check_eq!(*self.pair.read(), (pair, pair));
        let word = self.runtime.memory().load::<u64>(WORD).or_fail("load")?;
        check_eq!(word, expected(&self.expected.word));
        check_eq!(expected(&self.expected.messages), 0);
        check!(self.receiver.is_empty(), "{} messages are left", self.receiver.len());
        check_eq!(self.runtime.threads().live(), 0);
        drop(self.runtime);
        check_eq!(Arc::strong_count(&self.ledger), 1);
        Ok(())
    }
}

impl Ledger {
    fn add(&self, amount: u64, random: &mut Random) {
        let _guard = (!self.is_unlocked).then(|| self.lock.lock());
        let value = self.value.load(SeqCst);
        random.pause();
        self.value.store(value + amount, SeqCst);
    }
}
