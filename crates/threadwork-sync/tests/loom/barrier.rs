//! `Barrier`: phases, one leader each, withdrawal, early free.

use std::task::{Context, Waker};
use std::time::Duration;

use loom::cell::UnsafeCell;
use loom::future::block_on;
use loom::sync::Arc;
use loom::sync::atomic::Ordering;
use loom::thread;
use threadwork_sync::{AtomicU32, AtomicU64, Barrier, Resumed, Step, System, Waiter, block};

use crate::model;

const SOME_TIME: Duration = Duration::from_secs(1);

/// Each thread writes its own cell, and reads the others' in the next phase.
struct Field {
    barrier: Barrier,
    cells: Vec<UnsafeCell<u32>>,
}

impl Field {
    fn new(parties: u32, cells: usize) -> Arc<Self> {
        Arc::new(Field {
            barrier: Barrier::new(parties),
            cells: (0..cells).map(|_| UnsafeCell::new(0)).collect(),
        })
    }

    fn write(&self, index: usize, value: u32) {
        self.cells[index].with_mut(|cell| unsafe { *cell = value });
    }

    fn read(&self, index: usize) -> u32 {
        self.cells[index].with(|cell| unsafe { *cell })
    }
}

/// Two threads take turns with one cell: each writes it in every other phase.
#[test]
fn two_threads_go_through_phases() {
    model(2, || {
        let field = Field::new(2, 1);
        let body = |field: &Field, index: u32| {
            let mut led = 0;
            for phase in 0..2 {
                if phase % 2 == index {
                    field.write(0, phase);
                }
                led += u32::from(field.barrier.wait().is_leader());
                assert_eq!(field.read(0), phase);
                led += u32::from(field.barrier.wait().is_leader());
            }
            led
        };
        let other = {
            let field = field.clone();
            thread::spawn(move || body(&field, 1))
        };
        let led = body(&field, 0);
        assert_eq!(led + other.join().unwrap(), 4);
    });
}

#[test]
fn three_threads_see_what_each_did_before() {
    model(2, || {
        let field = Field::new(3, 3);
        let body = |field: &Field, index: usize| {
            field.write(index, 1);
            let leader = field.barrier.wait().is_leader();
            (0..3).for_each(|index| assert_eq!(field.read(index), 1));
            u32::from(leader)
        };
        let others: Vec<_> = (1..3)
            .map(|index| {
                let field = field.clone();
                thread::spawn(move || body(&field, index))
            })
            .collect();
        let led: u32 = body(&field, 0)
            + others
                .into_iter()
                .map(|other| other.join().unwrap())
                .sum::<u32>();
        assert_eq!(led, 1);
    });
}

/// Two of them may be through two phases before the last of the first phase has
/// counted it.
#[test]
fn four_threads_share_a_barrier_of_two() {
    model(1, || {
        let field = Field::new(2, 4);
        let body = |field: &Field, index: usize| {
            field.write(index, 1);
            field.barrier.wait().is_leader()
        };
        let others: Vec<_> = (1..4)
            .map(|index| {
                let field = field.clone();
                thread::spawn(move || body(&field, index))
            })
            .collect();
        let led = u32::from(body(&field, 0))
            + others
                .into_iter()
                .map(|other| u32::from(other.join().unwrap()))
                .sum::<u32>();
        assert_eq!(led, 2);
    });
}

/// Of three, two pass or none. The third may come before the reset, or the gate.
#[test]
fn one_too_many_does_not_pass() {
    model(2, || {
        let barrier = Arc::new(Barrier::new(2));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let barrier = barrier.clone();
                thread::spawn(move || barrier.wait_timeout(SOME_TIME))
            })
            .collect();
        let mut passed = vec![barrier.wait_timeout(SOME_TIME)];
        passed.extend(others.into_iter().map(|other| other.join().unwrap()));
        let passed: Vec<_> = passed.into_iter().flatten().collect();
        let leaders = passed.iter().filter(|result| result.is_leader()).count();
        assert_eq!(passed.len(), 2 * leaders);
    });
}

/// The thread of the first phase may be let through by the last of the second one, and
/// still sees what the last of the first one did.
#[test]
fn the_next_phase_may_open_the_gate() {
    model(3, || {
        let field = Field::new(2, 1);
        let mut first = field.barrier.waiter(&System);
        assert!(matches!(first.step(Resumed::Started), Step::Watch(..)));
        let leader = {
            let field = field.clone();
            thread::spawn(move || {
                field.write(0, 1);
                assert!(field.barrier.wait().is_leader());
            })
        };
        let pair = {
            let field = field.clone();
            thread::spawn(move || {
                if phase(&field.barrier) == 1 {
                    let mut follower = field.barrier.waiter(&System);
                    let _ = follower.step(Resumed::Started);
                    assert!(field.barrier.wait().is_leader());
                }
            })
        };
        block(&System, first, None).unwrap();
        assert_eq!(field.read(0), 1);
        leader.join().unwrap();
        pair.join().unwrap();
    });
}

#[test]
fn a_thread_that_gives_up_is_not_counted() {
    model(3, || {
        let field = Field::new(2, 2);
        let impatient = {
            let field = field.clone();
            thread::spawn(move || {
                field.write(1, 1);
                let passed = field.barrier.wait_timeout(SOME_TIME);
                // If it gave up, the other one waits for somebody.
                let result = passed.unwrap_or_else(|| field.barrier.wait());
                assert_eq!(field.read(0), 1);
                result.is_leader()
            })
        };
        field.write(0, 1);
        let leader = field.barrier.wait().is_leader();
        assert_eq!(field.read(1), 1);
        assert_ne!(leader, impatient.join().unwrap());
    });
}

/// A withdrawal in one phase takes nobody out of the next one.
#[test]
fn a_late_withdrawal_leaves_the_next_phase_alone() {
    model(2, || {
        let barrier = Arc::new(Barrier::new(2));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let barrier = barrier.clone();
                thread::spawn(move || {
                    barrier.wait();
                })
            })
            .collect();
        // If it gives up, the others are a pair; if not, one of them is left.
        if barrier.wait_timeout(SOME_TIME).is_some() {
            barrier.wait();
        }
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}

#[test]
fn futures_pass_with_threads() {
    model(2, || {
        let field = Field::new(2, 2);
        let future = {
            let field = field.clone();
            thread::spawn(move || {
                block_on(async {
                    field.write(1, 1);
                    let leader = field.barrier.wait_async().await.is_leader();
                    assert_eq!(field.read(0), 1);
                    leader
                })
            })
        };
        field.write(0, 1);
        let leader = field.barrier.wait().is_leader();
        assert_eq!(field.read(1), 1);
        assert_ne!(leader, future.join().unwrap());
    });
}

/// Once it is dropped it is either withdrawn, or its phase is over.
#[test]
fn a_future_that_is_dropped_is_not_counted() {
    model(3, || {
        let barrier = Arc::new(Barrier::new(2));
        let mut dropped = Box::pin(barrier.wait_async());
        let mut context = Context::from_waker(Waker::noop());
        assert!(dropped.as_mut().poll(&mut context).is_pending());
        let other = {
            let barrier = barrier.clone();
            thread::spawn(move || barrier.wait().is_leader())
        };
        drop(dropped);
        let withdrawn = phase(&barrier) == 0;
        let leader = withdrawn && barrier.wait().is_leader();
        assert_ne!(leader, other.join().unwrap());
    });
}

/// Whoever passes, or gives up too late, may free the barrier, though others of the
/// phase have not returned. Here it makes something else of the memory.
#[test]
fn the_last_does_not_touch_the_barrier_after_it_let_others_go() {
    const SOMETHING_ELSE: u32 = 1000;
    model(3, || {
        let barrier = Arc::new(Barrier::new(2));
        let leader = {
            let barrier = barrier.clone();
            thread::spawn(move || barrier.wait().is_leader())
        };
        match barrier.wait_timeout(SOME_TIME) {
            None => assert_ne!(barrier.wait().is_leader(), leader.join().unwrap()),
            Some(result) if result.is_leader() => assert!(!leader.join().unwrap()),
            Some(_) => {
                let (state, gate) = words(&barrier);
                state.store(u64::from(SOMETHING_ELSE), Ordering::Relaxed);
                gate.store(SOMETHING_ELSE, Ordering::Relaxed);
                assert!(leader.join().unwrap());
                assert_eq!(state.load(Ordering::Relaxed), u64::from(SOMETHING_ELSE));
                assert_eq!(gate.load(Ordering::Relaxed), SOMETHING_ELSE);
            }
        }
    });
}

fn phase(barrier: &Barrier) -> u32 {
    (words(barrier).0.load(Ordering::Relaxed) >> 32) as u32
}

/// The first two words, as the module of the barrier has them.
fn words(barrier: &Barrier) -> (&AtomicU64, &AtomicU32) {
    #[repr(C, align(16))]
    struct Words {
        state: AtomicU64,
        gate: AtomicU32,
    }
    let words = unsafe { &*(&raw const *barrier).cast::<Words>() };
    (&words.state, &words.gate)
}
