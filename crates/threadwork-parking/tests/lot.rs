//! The parking lot's promises, on real threads.

#![cfg(not(loom))]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use threadwork_parking::{Cores, ParkingLot, WaitResult};

/// A lot, its cores and some words of guest memory.
struct World {
    cores: Arc<Cores>,
    lot: ParkingLot,
    words: [AtomicU32; 8],
}

impl World {
    /// `cores` is 1 for waiters that queue at once, more for such that spin.
    fn new(cores: u32) -> Arc<Self> {
        let cores = Arc::new(Cores::new(cores));
        let world = Self {
            lot: ParkingLot::new(Arc::clone(&cores)),
            cores,
            words: Default::default(),
        };
        // The test's own thread could notify, so it is no deadlock if all others sleep.
        world.lot.enter();
        Arc::new(world)
    }

    fn address(&self, word: usize) -> usize {
        self.words[word].as_ptr() as usize
    }

    fn wait(&self, id: u32, word: usize, deadline: Option<Instant>) -> WaitResult {
        let load = || self.words[word].load(Ordering::SeqCst).into();
        self.lot
            .wait(id, self.address(word), deadline, 0, load, || false)
    }

    fn notify(&self, word: usize, count: u32) -> u32 {
        self.lot.notify(self.address(word), count)
    }

    /// A thread that waits, once, and reports its id when it returns.
    fn waiter(
        self: &Arc<Self>,
        id: u32,
        word: usize,
        done: &std::sync::mpsc::Sender<(u32, WaitResult)>,
    ) -> JoinHandle<()> {
        let (world, done) = (Arc::clone(self), done.clone());
        self.lot.enter();
        let asleep = self.lot.census().asleep;
        let thread = thread::spawn(move || {
            world.cores.acquire();
            let result = world.wait(id, word, None);
            done.send((id, result)).unwrap();
            world.cores.release();
            world.lot.leave(|| false);
        });
        while self.lot.census().asleep == asleep {
            thread::yield_now();
        }
        thread
    }
}

fn next(done: &Receiver<(u32, WaitResult)>) -> (u32, WaitResult) {
    done.recv_timeout(Duration::from_secs(120))
        .expect("a waiter should have been woken")
}

#[test]
fn first_in_first_out() {
    let world = World::new(1);
    let (done, results) = channel();
    let waiters: Vec<_> = (1..=8).map(|id| world.waiter(id, 0, &done)).collect();
    for id in 1..=8 {
        assert_eq!(world.notify(0, 1), 1);
        assert_eq!(next(&results), (id, WaitResult::Woken));
    }
    assert_eq!(world.notify(0, 1), 0);
    waiters
        .into_iter()
        .for_each(|waiter| waiter.join().unwrap());
}

#[test]
fn two_notifies_in_a_row_wake_two() {
    for _ in 0..500 {
        let world = World::new(1);
        let (done, results) = channel();
        let waiters = [world.waiter(1, 0, &done), world.waiter(2, 0, &done)];
        assert_eq!(world.notify(0, 1), 1);
        assert_eq!(world.notify(0, 1), 1);
        next(&results);
        next(&results);
        waiters
            .into_iter()
            .for_each(|waiter| waiter.join().unwrap());
    }
}

#[test]
fn counts_are_exact_and_addresses_separate() {
    let world = World::new(1);
    let (done, results) = channel();
    let mut waiters: Vec<_> = (1..=3).map(|id| world.waiter(id, 0, &done)).collect();
    waiters.push(world.waiter(4, 1, &done));
    assert_eq!(world.notify(2, u32::MAX), 0);
    assert_eq!(world.notify(0, 0), 0);
    assert_eq!(world.notify(0, 2), 2);
    assert_eq!(world.notify(0, u32::MAX), 1);
    assert_eq!(world.notify(1, u32::MAX), 1);
    let mut woken: Vec<_> = (0..4).map(|_| next(&results).0).collect();
    woken.sort_unstable();
    assert_eq!(woken, [1, 2, 3, 4]);
    waiters
        .into_iter()
        .for_each(|waiter| waiter.join().unwrap());
}

/// More than one system call can wake.
#[test]
fn a_hundred_sleepers_of_one_word() {
    for _ in 0..20 {
        let world = World::new(1);
        let (done, results) = channel();
        let waiters: Vec<_> = (1..=100).map(|id| world.waiter(id, 0, &done)).collect();
        for (count, ids) in [(1, 1..=1), (49, 2..=50), (u32::MAX, 51..=100)] {
            assert_eq!(world.notify(0, count), ids.clone().count() as u32);
            let mut woken: Vec<_> = ids.clone().map(|_| next(&results).0).collect();
            woken.sort_unstable();
            assert_eq!(woken, ids.collect::<Vec<_>>());
        }
        waiters
            .into_iter()
            .for_each(|waiter| waiter.join().unwrap());
    }
}

#[test]
fn timeouts() {
    for cores in [1, 8] {
        let world = World::new(cores);
        world.cores.acquire();
        let past = Instant::now();
        assert_eq!(world.wait(0, 0, Some(past)), WaitResult::TimedOut);
        for millis in [0, 1, 20] {
            let deadline = Instant::now() + Duration::from_millis(millis);
            assert_eq!(world.wait(0, 0, Some(deadline)), WaitResult::TimedOut);
            assert!(Instant::now() >= deadline);
        }
        assert_eq!(
            world.notify(0, 1),
            0,
            "a waiter that timed out is not in the queue"
        );
        world.words[0].store(1, Ordering::SeqCst);
        assert_eq!(world.wait(0, 0, Some(past)), WaitResult::NotEqual);
        assert_eq!(world.wait(0, 0, None), WaitResult::NotEqual);
    }
}

#[test]
fn cancel_ends_the_waits_of_one_thread() {
    let world = World::new(1);
    let (done, results) = channel();
    let waiters = [world.waiter(1, 0, &done), world.waiter(2, 0, &done)];
    assert_eq!(world.lot.cancel(|id| id == 2), 1);
    assert_eq!(next(&results), (2, WaitResult::Cancelled));
    assert_eq!(world.notify(0, u32::MAX), 1);
    assert_eq!(next(&results), (1, WaitResult::Woken));
    waiters
        .into_iter()
        .for_each(|waiter| waiter.join().unwrap());
}

#[test]
fn close_ends_present_and_future_waits() {
    let world = World::new(1);
    let (done, results) = channel();
    let waiters: Vec<_> = (1..=4)
        .map(|id| world.waiter(id, id as usize, &done))
        .collect();
    world.lot.close();
    for _ in 0..4 {
        assert_eq!(next(&results).1, WaitResult::Cancelled);
    }
    assert_eq!(world.wait(0, 0, None), WaitResult::Cancelled);
    waiters
        .into_iter()
        .for_each(|waiter| waiter.join().unwrap());
}

#[test]
fn the_last_to_fall_asleep_is_told_of_the_deadlock() {
    for cores in [1, 8] {
        for _ in 0..500 {
            let world = World::new(cores);
            let told = Arc::new(AtomicU32::new(0));
            let close = |world: &World, told: &AtomicU32| {
                told.fetch_add(1, Ordering::Relaxed);
                world.lot.close();
                false
            };
            let sleeper = |id: u32| {
                world.lot.enter();
                let (world, told) = (Arc::clone(&world), Arc::clone(&told));
                thread::spawn(move || {
                    let address = world.address(id as usize);
                    let is_relieved = || close(&world, &told);
                    world.lot.wait(id, address, None, 0, || 0, is_relieved)
                })
            };
            let threads: Vec<_> = (0..4).map(sleeper).collect();
            world.lot.leave(|| close(&world, &told));
            for thread in threads {
                assert_eq!(thread.join().unwrap(), WaitResult::Cancelled);
            }
            assert_eq!(told.load(Ordering::Relaxed), 1);
        }
    }
}

/// Whom the host starts for the sake of one that waits meets it in its queue.
#[test]
fn relief_finds_who_asked_for_it() {
    for cores in [1, 8] {
        for _ in 0..500 {
            let cores = Arc::new(Cores::new(cores));
            let lot = ParkingLot::new(Arc::clone(&cores));
            lot.enter();
            cores.acquire();
            let mut asked = 0;
            let is_relieved = || {
                asked += 1;
                lot.enter();
                assert_eq!(lot.notify(64, 1), 1);
                lot.leave(|| panic!("somebody has been woken"));
                true
            };
            let result = lot.wait(0, 64, None, 0, || 0, is_relieved);
            assert_eq!(result, WaitResult::Woken);
            assert_eq!(asked, 1);
            let nobody = lot.census();
            assert_eq!((nobody.living, nobody.asleep), (1, 0));
        }
    }
}

/// A waiter does not stay in the queue when the host panics.
#[test]
fn a_host_that_panics_leaves_the_lot_whole() {
    let world = World::new(1);
    world.cores.acquire();
    let asks = || -> bool { panic!("as it should") };
    let wait = || world.lot.wait(0, world.address(0), None, 0, || 0, asks);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(wait));
    assert!(panicked.is_err());
    assert_eq!(world.lot.census().asleep, 0);
    assert_eq!(world.notify(0, u32::MAX), 0);
    world.lot.enter();
    let (done, results) = channel();
    let waiter = world.waiter(1, 0, &done);
    assert_eq!(world.notify(0, 1), 1);
    assert_eq!(next(&results), (1, WaitResult::Woken));
    waiter.join().unwrap();
}

/// Tokens go around a ring of threads, each of which waits for its own word: no
/// wake-up is lost and no deadlock imagined, spinning or not.
#[test]
fn a_ring_of_threads_never_stops() {
    const ROUNDS: u32 = 20_000;
    for (cores, threads) in [(1, 2), (2, 2), (8, 2), (8, 8)] {
        let world = World::new(cores);
        let hops = AtomicU64::new(0);
        thread::scope(|scope| {
            for id in 0..threads {
                world.lot.enter();
                let (world, hops) = (&world, &hops);
                scope.spawn(move || {
                    world.cores.acquire();
                    for _ in 0..ROUNDS / threads {
                        while world.words[id as usize].load(Ordering::SeqCst) == 0 {
                            let result = world.wait(id, id as usize, None);
                            assert!(matches!(result, WaitResult::Woken | WaitResult::NotEqual));
                        }
                        world.words[id as usize].store(0, Ordering::SeqCst);
                        hops.fetch_add(1, Ordering::Relaxed);
                        let next = ((id + 1) % threads) as usize;
                        world.words[next].store(1, Ordering::SeqCst);
                        world.notify(next, 1);
                    }
                    world.cores.release();
                    world.lot.leave(|| false);
                });
            }
            world.words[0].store(1, Ordering::SeqCst);
            world.notify(0, 1);
        });
        assert_eq!(hops.into_inner(), u64::from(ROUNDS / threads * threads));
    }
}
