//! Threads of the guest meet threads of the host at the primitives of `threadwork-sync`:
//! `meet SCENARIO THREADS ROUNDS PARTIES`.
//!
//! Prints `at ADDRESS`, where the host finds [`Place`], and begins when the host opens the
//! latch. Each thread plays its rounds; the host's play theirs, and say when they are done.
//! Then it prints `counted NUMBER`, what the scenario is about, and `ok meet`.
//!
//! What the locks protect is read and written plainly: an exclusion that fails is a count
//! that is short, or two words that differ.

use std::cell::UnsafeCell;
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;

use conformance::{arg_or, say};
use threadwork::sync::{
    Barrier, Condvar, Latch, Once, RawMutex, RawRwLock, Semaphore, System, WaitGroup,
};

/// Permits of the semaphore.
const PERMITS: u32 = 3;

/// The offsets are known to the host, see `web/test/meet.js`.
#[repr(C, align(128))]
struct Place {
    /// 0
    barrier: Barrier,
    /// 16
    rwlock: RawRwLock,
    /// 32
    semaphore: Semaphore,
    /// 40
    condvar: Condvar,
    /// 48
    mutex: RawMutex,
    /// 52: opened by the host.
    go: Latch,
    /// 56: the host's threads.
    hosts: WaitGroup,
    /// 60
    once: Once,
    /// 64
    counted: UnsafeCell<[u32; 2]>,
    /// 72: whose turn it is.
    turn: UnsafeCell<u32>,
    /// 76: permits in use.
    inside: AtomicU32,
    /// 80: what went wrong.
    faults: AtomicU32,
    /// 84: threads that wait at the latch.
    here: AtomicU32,
    /// 88: what nobody may have done twice.
    runs: AtomicU32,
}

// SAFETY: the cells are used under the locks.
unsafe impl Sync for Place {}

impl Place {
    /// Adds one to both words. The caller has the lock for writing.
    fn count(&self) {
        // SAFETY: under the lock, nobody else touches them, and black_box keeps both apart.
        unsafe {
            let words = self.counted.get();
            let before = (*words)[0];
            (*words)[0] = black_box(before + 1);
            self.check(black_box((*words)[1]) == before);
            (*words)[1] = before + 1;
        }
    }

    /// Both words are the same. The caller has the lock for reading.
    fn look(&self) {
        // SAFETY: under the lock, nobody writes.
        let [one, two] = unsafe { self.counted.get().read_volatile() };
        self.check(one == two);
    }

    fn check(&self, holds: bool) {
        if !holds {
            self.faults.fetch_add(1, SeqCst);
        }
    }

    fn mutex_round(&self) {
        self.mutex.lock_with(&System);
        self.count();
        // SAFETY: locked above.
        unsafe { self.mutex.unlock_with(&System) };
    }

    /// One round in four writes, and one of those goes on reading.
    fn rwlock_round(&self, round: u32) {
        if !round.is_multiple_of(4) {
            self.rwlock.read_with(&System);
            self.look();
            // SAFETY: locked above.
            unsafe { self.rwlock.unlock_read_with(&System) };
            return;
        }
        self.rwlock.write_with(&System);
        self.count();
        if !round.is_multiple_of(16) {
            // SAFETY: locked above.
            unsafe { self.rwlock.unlock_write_with(&System) };
            return;
        }
        // SAFETY: locked above.
        unsafe { self.rwlock.downgrade_with(&System) };
        self.look();
        // SAFETY: downgraded above.
        unsafe { self.rwlock.unlock_read_with(&System) };
    }

    fn semaphore_round(&self, round: u32) {
        let permits = 1 + round % PERMITS;
        self.semaphore.acquire_with(permits, &System);
        let others = self.inside.fetch_add(permits, SeqCst);
        self.check(others + permits <= PERMITS);
        self.runs.fetch_add(1, SeqCst);
        self.inside.fetch_sub(permits, SeqCst);
        self.semaphore.release_with(permits, &System);
    }

    fn barrier_round(&self, round: u32) {
        self.here.fetch_add(1, SeqCst);
        if self.barrier.wait().is_leader() {
            self.runs.fetch_add(1, SeqCst);
        }
        // Nobody leaves before all have come.
        self.check(self.here.load(SeqCst) >= (round + 1) * self.barrier.parties());
    }

    /// Waits for its turn, and gives it to the next.
    fn condvar_round(&self, me: u32, parties: u32) {
        self.mutex.lock_with(&System);
        // SAFETY: under the lock, nobody else touches it.
        while unsafe { self.turn.get().read_volatile() } % parties != me {
            // SAFETY: locked above.
            unsafe { self.condvar.wait_with(&System, &self.mutex) };
        }
        // SAFETY: as above.
        unsafe { *self.turn.get() += 1 };
        self.count();
        // SAFETY: locked above.
        unsafe { self.mutex.unlock_with(&System) };
        self.condvar.notify_all();
    }

    /// Takes one of what the host's threads bring; what came second was notified by `one`.
    fn queue_round(&self) {
        self.mutex.lock_with(&System);
        // SAFETY: under the lock, nobody else touches it.
        while unsafe { self.turn.get().read_volatile() } == 0 {
            // SAFETY: locked above.
            unsafe { self.condvar.wait_with(&System, &self.mutex) };
        }
        // SAFETY: as above.
        unsafe { *self.turn.get() -= 1 };
        self.count();
        // SAFETY: locked above.
        unsafe { self.mutex.unlock_with(&System) };
    }

    fn once_round(&self) {
        self.once.call_once(|| {
            self.runs.fetch_add(1, SeqCst);
        });
        self.check(self.runs.load(SeqCst) == 1);
    }
}

fn main() {
    let scenario = std::env::args().nth(1).unwrap_or_default();
    let [threads, rounds, parties]: [u32; 3] = [arg_or(2, 2), arg_or(3, 1000), arg_or(4, 2)];
    let place: &Place = Box::leak(Box::new(Place {
        barrier: Barrier::new(parties),
        rwlock: RawRwLock::new(),
        semaphore: Semaphore::new(PERMITS),
        condvar: Condvar::new(),
        mutex: RawMutex::new(),
        go: Latch::new(),
        hosts: WaitGroup::new(),
        once: Once::new(),
        counted: UnsafeCell::new([0; 2]),
        turn: UnsafeCell::new(0),
        inside: AtomicU32::new(0),
        faults: AtomicU32::new(0),
        here: AtomicU32::new(0),
        runs: AtomicU32::new(0),
    }));
    place.hosts.add(parties - threads);
    say(format!("at {}", std::ptr::from_ref(place).addr()));
    thread::scope(|scope| {
        for me in 0..threads {
            let scenario = scenario.as_str();
            scope.spawn(move || {
                place.go.wait();
                for round in 0..rounds {
                    match scenario {
                        "mutex" => place.mutex_round(),
                        "rwlock" => place.rwlock_round(round),
                        "semaphore" => place.semaphore_round(round),
                        "barrier" => place.barrier_round(round),
                        "condvar" => place.condvar_round(me, parties),
                        "queue" => place.queue_round(),
                        "once" => place.once_round(),
                        _ => panic!("there is no scenario {scenario}"),
                    }
                }
            });
        }
    });
    place.hosts.wait();
    // SAFETY: all who write have been waited for.
    let [one, two] = unsafe { place.counted.get().read_volatile() };
    place.check(one == two);
    say(format!("counted {one}"));
    say(format!("runs {}", place.runs.load(SeqCst)));
    say(format!("faults {}", place.faults.load(SeqCst)));
    say("ok meet");
}
