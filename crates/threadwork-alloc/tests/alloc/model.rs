//! Random operations against a model: the ledger says that no two blocks overlap, and the
//! patterns that nobody else has written in them.

use std::alloc::{GlobalAlloc, System};
use std::sync::Mutex;
use std::thread;

use threadwork_alloc::Pool;

use crate::support::{ALLOCATOR, Held, Ledger, Random, rounds};

/// The largest size, as a power of two: well into the large blocks.
const BITS: u32 = 18;

/// One who does random operations.
struct Actor<'a, A> {
    allocator: &'a A,
    ledger: &'a Ledger,
    random: Random,
    held: Vec<Held>,
}

impl<A: GlobalAlloc> Actor<'_, A> {
    fn act(&mut self, step: usize) {
        // Now more and more, now fewer and fewer.
        let grows = step % 1_000 < 600;
        match self.random.below(10) {
            0..2 => self.resize(),
            2..5 => self.give(),
            5..7 if !grows => self.give(),
            kind => self.take(kind == 9, step),
        }
    }

    fn take(&mut self, zeroed: bool, step: usize) {
        let layout = self.random.layout(BITS);
        let held = if zeroed {
            Held::take_zeroed(self.allocator, layout, step).unwrap()
        } else {
            Held::take(self.allocator, layout, step).unwrap()
        };
        self.ledger.add(&held);
        self.held.push(held);
    }

    fn any(&mut self) -> Option<Held> {
        let count = self.held.len();
        (count > 0).then(|| self.held.swap_remove(self.random.below(count)))
    }

    fn give(&mut self) {
        if let Some(held) = self.any() {
            self.ledger.remove(&held);
            held.give(self.allocator);
        }
    }

    fn resize(&mut self) {
        if let Some(mut held) = self.any() {
            self.ledger.remove(&held);
            assert!(held.resize(self.allocator, self.random.size(BITS)));
            self.ledger.add(&held);
            self.held.push(held);
        }
    }

    fn give_all(mut self) {
        while !self.held.is_empty() {
            self.give();
        }
    }
}

#[test]
fn one_thread() {
    let ledger = Ledger::default();
    let mut actor = Actor {
        allocator: &ALLOCATOR,
        ledger: &ledger,
        random: Random::new(1),
        held: Vec::new(),
    };
    (0..rounds(50_000, 2_000_000)).for_each(|step| actor.act(step));
    actor.give_all();
}

/// Threads that also swap what they hold, so that blocks are resized and given back by
/// others.
fn threads_that_swap<A: GlobalAlloc>(count: usize, allocator: impl Fn() -> A + Sync) {
    let ledger = Ledger::default();
    let left: Mutex<Vec<Held>> = Mutex::default();
    thread::scope(|scope| {
        for index in 0..count {
            let (ledger, left, allocator) = (&ledger, &left, &allocator);
            scope.spawn(move || {
                let allocator = allocator();
                let mut actor = Actor {
                    allocator: &allocator,
                    ledger,
                    random: Random::new(index),
                    held: Vec::new(),
                };
                for step in 0..rounds(20_000, 1_000_000) {
                    actor.act(step);
                    if step % 16 == 0 {
                        let mut left = left.lock().unwrap();
                        std::mem::swap(&mut actor.held, &mut left);
                    }
                }
                actor.give_all();
            });
        }
    });
    let mut actor = Actor {
        allocator: &allocator(),
        ledger: &ledger,
        random: Random::new(count),
        held: left.into_inner().unwrap(),
    };
    actor.held.drain(..).for_each(|held| {
        ledger.remove(&held);
        held.give(actor.allocator);
    });
}

#[test]
fn two_threads_that_swap() {
    threads_that_swap(2, || ALLOCATOR);
}

#[test]
fn eight_threads_that_swap() {
    threads_that_swap(8, || ALLOCATOR);
}

#[test]
fn heaps_of_a_pool_that_swap() {
    let pool = Pool::new(System);
    threads_that_swap(4, || pool.heap().unwrap());
    let stats = pool.heap().unwrap().stats();
    assert_eq!(
        (stats.used, stats.others, stats.large),
        (0, 0, 0),
        "{stats:?}"
    );
}
