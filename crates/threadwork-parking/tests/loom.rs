//! The lot under loom: every interleaving with at most three preemptions.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test --release -p threadwork-parking --test loom`.
//! `tests/seeded_bugs` is the proof that they can fail.

#![cfg(loom)]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;
use threadwork_parking::{Cores, ParkingLot, WaitResult};

/// A process of two cores: a lot, and one word of guest memory.
struct World {
    lot: ParkingLot,
    word: AtomicU32,
}

/// The lot only compares addresses.
const ADDRESS: usize = 64;

impl World {
    fn new(threads: u32) -> Arc<Self> {
        let world = Self {
            lot: ParkingLot::new(std::sync::Arc::new(Cores::new(2))),
            word: AtomicU32::new(0),
        };
        for _ in 0..threads {
            world.lot.enter();
        }
        Arc::new(world)
    }

    fn wait(&self, thread: u32, expected: u32) -> WaitResult {
        self.wait_relieved(thread, expected, || false)
    }

    fn wait_relieved(
        &self,
        thread: u32,
        expected: u32,
        is_relieved: impl FnMut() -> bool,
    ) -> WaitResult {
        let load = || self.word.load(Ordering::SeqCst).into();
        let expected = expected.into();
        self.lot
            .wait(thread, ADDRESS, None, expected, load, is_relieved)
    }

    fn wait_timed(&self, thread: u32, expected: u32) -> WaitResult {
        let load = || self.word.load(Ordering::SeqCst).into();
        let later = std::time::Instant::now() + std::time::Duration::from_secs(3600);
        let expected = expected.into();
        self.lot
            .wait(thread, ADDRESS, Some(later), expected, load, || false)
    }
}

fn model(body: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(body);
}

/// A waiter never sleeps through the store and the notify that it waits for, also
/// when the store is not an atomic of sequentially consistent order.
#[test]
fn no_lost_wake_up() {
    model(|| {
        let world = World::new(2);
        let waiter = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let result = world.wait(1, 0);
                assert!(matches!(result, WaitResult::Woken | WaitResult::NotEqual));
                world.lot.leave(|| false);
            })
        };
        world.word.store(1, Ordering::Relaxed);
        world.lot.notify(ADDRESS, 1);
        waiter.join().unwrap();
    });
}

/// The sum of what notifies return is the number of waits that return `Woken`.
#[test]
fn exact_counts() {
    model(|| {
        let world = World::new(3);
        let waiters: Vec<_> = (1..=2)
            .map(|id| {
                let world = Arc::clone(&world);
                thread::spawn(move || {
                    let woken = world.wait(id, 0) == WaitResult::Woken;
                    world.lot.leave(|| false);
                    u32::from(woken)
                })
            })
            .collect();
        let mut notified = world.lot.notify(ADDRESS, 1);
        assert!(notified <= 1);
        world.word.store(1, Ordering::SeqCst);
        notified += world.lot.notify(ADDRESS, u32::MAX);
        let woken: u32 = waiters
            .into_iter()
            .map(|waiter| waiter.join().unwrap())
            .sum();
        assert_eq!(woken, notified);
    });
}

/// The model has two wake slots that share a word; the third sleeper is woken as well.
#[test]
fn more_sleepers_than_slots() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let world = World::new(4);
        let waiters: Vec<_> = (1..=3)
            .map(|id| {
                let world = Arc::clone(&world);
                thread::spawn(move || {
                    let result = world.wait(id, 0);
                    assert!(matches!(result, WaitResult::Woken | WaitResult::NotEqual));
                    world.lot.leave(|| false);
                })
            })
            .collect();
        world.word.store(1, Ordering::SeqCst);
        world.lot.notify(ADDRESS, u32::MAX);
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}

/// A close ends a wait whenever it comes.
#[test]
fn close_ends_every_wait() {
    model(|| {
        let world = World::new(2);
        let waiter = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                assert_eq!(world.wait(1, 0), WaitResult::Cancelled);
                world.lot.leave(|| false);
            })
        };
        world.lot.close();
        waiter.join().unwrap();
    });
}

/// Runs two threads that end up asleep for ever: exactly one of them is told so, and
/// releases the other.
fn one_is_told(
    mine: impl FnOnce(&World) -> WaitResult,
    other: impl FnOnce(&World) -> WaitResult + 'static,
) {
    let world = World::new(2);
    let closes = |world: &World, result| {
        if result == WaitResult::Deadlock {
            world.lot.close();
        }
        result
    };
    let other = {
        let world = Arc::clone(&world);
        thread::spawn(move || closes(&world, other(&world)))
    };
    let mine = closes(&world, mine(&world));
    let mut results = [mine, other.join().unwrap()];
    results.sort_by_key(|result| *result != WaitResult::Deadlock);
    assert_eq!(results, [WaitResult::Deadlock, WaitResult::Cancelled]);
}

#[test]
fn deadlock_is_noticed_once() {
    model(|| one_is_told(|world| world.wait(0, 0), |world| world.wait(1, 0)));
}

/// Also if one has slept before, and has been woken.
#[test]
fn deadlock_is_noticed_after_a_wake_up() {
    model(|| {
        let wakes = |world: &World| {
            world.word.store(1, Ordering::SeqCst);
            world.lot.notify(ADDRESS, 1);
            world.wait(0, 1)
        };
        let is_woken = |world: &World| {
            world.wait(1, 0);
            // The notify may come as late as this.
            loop {
                match world.wait(1, 1) {
                    WaitResult::Woken => {}
                    result => return result,
                }
            }
        };
        one_is_told(wakes, is_woken);
    });
}

/// A thread that can still notify is never taken for a deadlock, also if it falls
/// asleep right after.
#[test]
fn no_false_deadlock() {
    model(|| {
        let world = World::new(2);
        let waiter = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                while world.word.load(Ordering::SeqCst) == 0 {
                    let result = world.wait(1, 0);
                    assert!(matches!(result, WaitResult::Woken | WaitResult::NotEqual));
                }
                world.word.store(2, Ordering::SeqCst);
                world.lot.notify(ADDRESS, 1);
                world.lot.leave(|| false);
            })
        };
        world.word.store(1, Ordering::SeqCst);
        world.lot.notify(ADDRESS, 1);
        while world.word.load(Ordering::SeqCst) == 1 {
            let result = world.wait(0, 1);
            assert!(matches!(result, WaitResult::Woken | WaitResult::NotEqual));
        }
        waiter.join().unwrap();
    });
}

/// The last thread that could notify leaves: the one that sleeps is in a deadlock. One of
/// the two is told.
#[test]
fn leaving_reveals_a_deadlock() {
    model(|| {
        let world = World::new(2);
        let waiter = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.wait(1, 0))
        };
        let mut expected = WaitResult::Deadlock;
        world.lot.leave(|| {
            world.lot.close();
            expected = WaitResult::Cancelled;
            false
        });
        assert_eq!(waiter.join().unwrap(), expected);
    });
}

/// A timeout and a notify race: the waiter's result and the count agree.
#[test]
fn timeout_against_notify() {
    model(|| {
        let world = World::new(2);
        let waiter = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let result = world.wait_timed(1, 0);
                world.lot.leave(|| false);
                assert!(matches!(result, WaitResult::Woken | WaitResult::TimedOut));
                u32::from(result == WaitResult::Woken)
            })
        };
        let notified = world.lot.notify(ADDRESS, 1);
        assert_eq!(waiter.join().unwrap(), notified);
        assert_eq!(
            world.lot.notify(ADDRESS, 1),
            0,
            "nobody is left in the queue"
        );
    });
}

/// The relief that the host starts notifies as soon as it can: the waiter that asked for
/// it is in the queue, and hears it.
#[test]
fn relief_finds_who_asked_for_it() {
    model(|| {
        let world = World::new(1);
        let mut relief = None;
        let result = world.wait_relieved(0, 0, || {
            assert!(relief.is_none(), "it has not even been waited for");
            let other = Arc::clone(&world);
            world.lot.enter();
            relief = Some(thread::spawn(move || {
                assert_eq!(other.lot.notify(ADDRESS, 1), 1);
                other.lot.leave(|| panic!("somebody has been woken"));
            }));
            true
        });
        assert_eq!(result, WaitResult::Woken);
        relief.unwrap().join().unwrap();
    });
}

/// The relief falls asleep, too, or leaves without a word: then whoever is last asks the
/// host once more, and nobody else does.
#[test]
fn relief_that_does_not_help_is_noticed() {
    for sleeps in [true, false] {
        model(move || {
            let world = World::new(1);
            let asked = Arc::new(AtomicU32::new(0));
            // The host has one thread to start, and ends all if that was not enough.
            let refuses = |world: &World, asked: &AtomicU32| {
                let last = asked.fetch_add(1, Ordering::SeqCst);
                assert_eq!(last, 1, "asked by two, or once too often");
                world.lot.close();
                false
            };
            let mut relief = None;
            let result = world.wait_relieved(0, 0, || {
                if relief.is_some() {
                    return refuses(&world, &asked);
                }
                asked.fetch_add(1, Ordering::SeqCst);
                world.lot.enter();
                let (other, asked) = (Arc::clone(&world), Arc::clone(&asked));
                relief = Some(thread::spawn(move || {
                    if sleeps {
                        let refuses = || refuses(&other, &asked);
                        let result = other.wait_relieved(1, 0, refuses);
                        assert_eq!(result, WaitResult::Cancelled);
                    }
                    other.lot.leave(|| refuses(&other, &asked));
                }));
                true
            });
            assert_eq!(result, WaitResult::Cancelled);
            relief.unwrap().join().unwrap();
            assert_eq!(asked.load(Ordering::SeqCst), 2);
        });
    }
}

/// The host has nobody, but somebody whom it does not know notifies: the waiter's result
/// and the count agree.
#[test]
fn refusal_against_notify() {
    model(|| {
        let world = World::new(1);
        let waiter = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let result = world.wait(0, 0);
                assert!(matches!(result, WaitResult::Woken | WaitResult::Deadlock));
                u32::from(result == WaitResult::Woken)
            })
        };
        let notified = world.lot.notify(ADDRESS, 1);
        assert_eq!(waiter.join().unwrap(), notified);
        assert_eq!(
            world.lot.notify(ADDRESS, 1),
            0,
            "nobody is left in the queue"
        );
    });
}
