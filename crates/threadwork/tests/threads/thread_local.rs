//! Values of threads that stay for whoever visits them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};

use threadwork::ThreadLocal;
use threadwork::sync::Latch;
use threadwork::thread;

use crate::support::{Census, Counted, rounds};

#[test]
fn each_thread_has_its_own() {
    let local = ThreadLocal::new();
    assert!(local.with(|own: Option<&Cell<u32>>| own.is_none()));
    local.with_or(|| Cell::new(1), |own| own.set(own.get() + 1));
    assert_eq!(local.with_or(|| panic!("there is one"), Cell::get), 2);
    thread::scope(|scope| {
        scope.spawn(|| {
            assert!(local.with(|own| own.is_none()));
            assert_eq!(local.with_or(|| Cell::new(9), Cell::get), 9);
        });
    });
    assert_eq!(local.with(|own| own.map(Cell::get)), Some(2));
}

#[test]
fn objects_are_apart() {
    let locals: [ThreadLocal<Cell<u32>>; 3] = Default::default();
    for (number, local) in (0..).zip(&locals) {
        local.with_or(|| Cell::new(number), |_| ());
    }
    let seen = locals
        .each_ref()
        .map(|local| local.with(|own| own.map(Cell::get)));
    assert_eq!(seen, [Some(0), Some(1), Some(2)]);
}

/// What can be shared is given out for as long as the object lives.
#[test]
fn a_value_that_is_sync_is_given_out() {
    static HITS: ThreadLocal<AtomicU64> = ThreadLocal::new();
    let from_thread: &'static AtomicU64 = thread::spawn(|| HITS.get_or(|| AtomicU64::new(3)))
        .join()
        .unwrap();
    assert_eq!(from_thread.fetch_add(0, Ordering::Relaxed), 3);
    assert!(HITS.iter().any(|hits| std::ptr::eq(hits, from_thread)));
}

#[test]
fn what_cannot_be_made_is_not_there() {
    let local = ThreadLocal::<Cell<u32>>::new();
    assert_eq!(local.with_or_try(|| Err("no"), |_| ()), Err("no"));
    assert!(local.with(|own| own.is_none()));
    assert_eq!(
        local.with_or_try(|| Ok::<_, ()>(Cell::new(4)), Cell::get),
        Ok(4)
    );
    let shared = ThreadLocal::<AtomicU64>::new();
    assert_eq!(shared.get_or_try(|| Err("no")).err(), Some("no"));
    assert!(shared.get().is_none());
}

#[test]
#[cfg(panic = "unwind")]
fn a_panic_leaves_no_value() {
    let local = ThreadLocal::<RefCell<u32>>::new();
    let attempt = std::panic::AssertUnwindSafe(|| local.with_or(|| panic!("no"), |_| ()));
    assert!(std::panic::catch_unwind(attempt).is_err());
    assert!(local.with(|own| own.is_none()));
}

/// The value of the inner call stays; that of the outer one is dropped, once.
#[test]
fn an_initializer_may_make_the_value_itself() {
    let census = Census::default();
    let local = ThreadLocal::new();
    let number = local.with_or(
        || {
            let inner = local.with_or(|| (1, census.birth()), |own| own.0);
            assert_eq!(inner, 1);
            (2, census.birth())
        },
        |own| own.0,
    );
    assert_eq!(number, 1);
    assert_eq!(census.living(), 1);
    drop(local);
    assert_eq!(census.living(), 0);
}

/// More threads at once than there are slots in the object.
const MANY: u32 = if cfg!(miri) { 20 } else { 70 };

#[test]
fn values_stay_when_their_threads_end() {
    let local = ThreadLocal::<Cell<u32>>::new();
    let barrier = Barrier::new(MANY as usize);
    thread::scope(|scope| {
        for number in 0..MANY {
            let (local, barrier) = (&local, &barrier);
            scope.spawn(move || {
                local.with_or(Cell::default, |own| own.set(number));
                // Else one could take over what another has left.
                barrier.wait();
            });
        }
    });
    let mut seen: Vec<u32> = local.into_iter().map(Cell::into_inner).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..MANY).collect::<Vec<_>>());
}

#[test]
fn the_owner_visits_and_changes_all() {
    let mut local = ThreadLocal::<AtomicU64>::new();
    let barrier = Barrier::new(5);
    thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| {
                local
                    .get_or(|| AtomicU64::new(1))
                    .fetch_add(1, Ordering::Relaxed);
                barrier.wait();
            });
        }
    });
    for own in &mut local {
        *own.get_mut() += 10;
    }
    assert_eq!(local.iter().count(), 5);
    assert_eq!(
        (&local)
            .into_iter()
            .map(|own| own.load(Ordering::Relaxed))
            .sum::<u64>(),
        60
    );
    assert_eq!(
        local
            .iter_mut()
            .map(|own| std::mem::take(own.get_mut()))
            .sum::<u64>(),
        60
    );
    local.clear();
    assert_eq!(local.iter().count(), 0);
    local.get_or(AtomicU64::default);
    assert_eq!(local.iter().count(), 1);
}

/// A thread that starts later continues the value of one that has ended, so that there are
/// no more than there were threads at once.
#[test]
fn values_are_taken_over() {
    let local = ThreadLocal::<Cell<u32>>::new();
    let threads = rounds(2_000);
    thread::scope(|scope| {
        for _ in 0..threads {
            let count = || local.with_or(Cell::default, |own| own.set(own.get() + 1));
            scope.spawn(count).join().unwrap();
        }
    });
    let counts: Vec<u32> = local.into_iter().map(Cell::into_inner).collect();
    assert_eq!(counts.iter().sum::<u32>(), threads);
    // The other tests have threads, too: three have 70 at once, see `MANY`.
    assert!(counts.len() <= 300, "{} values", counts.len());
}

/// Each thread finds its own again, and the owner finds all.
#[test]
fn many_threads_have_values_at_once() {
    let local = ThreadLocal::<Cell<u32>>::new();
    let barrier = Barrier::new(MANY as usize);
    thread::scope(|scope| {
        for number in 1..=MANY {
            let (local, barrier) = (&local, &barrier);
            scope.spawn(move || {
                barrier.wait();
                local.with_or(|| Cell::new(0), |own| own.set(own.get() + number));
                barrier.wait();
                local.with(|own| assert_eq!(own.map(Cell::get), Some(number)));
            });
        }
    });
    assert_eq!(
        local.into_iter().map(Cell::into_inner).sum::<u32>(),
        MANY * (MANY + 1) / 2
    );
}

/// Where two threads meet in the middle of making a row: when they allocate it.
struct MeetingPlace;

static MEETING: Barrier = Barrier::new(2);

thread_local! {
    /// The next allocation of this thread is to be a meeting.
    static MEETS: Cell<bool> = const { Cell::new(false) };
}

// SAFETY: it is the system's.
unsafe impl GlobalAlloc for MeetingPlace {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if MEETS.replace(false) {
            MEETING.wait();
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: MeetingPlace = MeetingPlace;

/// Two threads whose slots are in the same row make it at the same moment.
#[test]
fn rows_are_made_once() {
    const HOLDERS: usize = 20;
    let (places, local) = (ThreadLocal::new(), ThreadLocal::new());
    let (held, end) = (Barrier::new(HOLDERS + 1), Latch::new());
    let sit = || places.with_or(Cell::<u32>::default, |_| ());
    thread::scope(|scope| {
        // They have the slots in the object.
        for _ in 0..HOLDERS {
            scope.spawn(|| {
                sit();
                held.wait();
                end.wait();
            });
        }
        held.wait();
        let race = |number| {
            let (sit, local) = (&sit, &local);
            move || {
                sit();
                MEETS.set(true);
                local.with_or(|| Cell::new(number), |_| ());
            }
        };
        for racer in [1, 2].map(|number| scope.spawn(race(number))) {
            racer.join().unwrap();
        }
        end.open();
    });
    assert_eq!(local.into_iter().map(Cell::into_inner).sum::<u32>(), 3);
}

/// Only the threads that came last make values: rows before theirs are not there.
#[test]
fn rows_that_nobody_uses_are_skipped() {
    const LAST: u32 = 3;
    let (places, local) = (
        ThreadLocal::<Cell<u32>>::new(),
        ThreadLocal::<Cell<u32>>::new(),
    );
    let end = Latch::new();
    thread::scope(|scope| {
        for number in 0..MANY {
            let settled = Arc::new(Latch::new());
            let own = settled.clone();
            let (places, local, end) = (&places, &local, &end);
            scope.spawn(move || {
                places.with_or(Cell::default, |_| ());
                if number >= MANY - LAST {
                    local.with_or(|| Cell::new(1), |_| ());
                }
                own.open();
                end.wait();
            });
            settled.wait();
        }
        end.open();
    });
    assert_eq!(places.into_iter().count() as u32, MANY);
    assert_eq!(local.into_iter().map(Cell::into_inner).sum::<u32>(), LAST);
}

#[test]
fn each_value_is_dropped_once() {
    let census = Census::default();
    let make = |local: &ThreadLocal<(Counted, Cell<u32>)>| {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| local.with_or(|| (census.birth(), Cell::new(0)), |_| ()));
            }
        });
        assert!((1..=4).contains(&census.living()));
    };
    // By the object, by the iterator, by half an iterator, by `clear`.
    let local = ThreadLocal::new();
    make(&local);
    drop(local);
    assert_eq!(census.living(), 0);

    let local = ThreadLocal::new();
    make(&local);
    local.into_iter().for_each(drop);
    assert_eq!(census.living(), 0);

    let local = ThreadLocal::new();
    make(&local);
    drop(local.into_iter().next());
    assert_eq!(census.living(), 0);

    let mut local = ThreadLocal::new();
    make(&local);
    local.clear();
    assert_eq!(census.living(), 0);
}

/// Near ones and far ones, by the object and by `clear`; the first panic is for who has called.
#[test]
#[cfg(panic = "unwind")]
fn all_values_are_dropped_if_one_panics() {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    struct Panics(#[expect(dead_code, reason = "it counts")] Counted);
    impl Drop for Panics {
        fn drop(&mut self) {
            resume_unwind(Box::new("dropped"));
        }
    }
    let census = Census::default();
    let ends: [fn(ThreadLocal<Panics>); 2] = [drop, |mut local| local.clear()];
    for end in ends {
        let local = ThreadLocal::new();
        let all_are_there = Barrier::new(20);
        thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    local.with_or(|| Panics(census.birth()), |_| ());
                    all_are_there.wait();
                });
            }
        });
        assert_eq!(census.living(), 20);
        let panic = catch_unwind(AssertUnwindSafe(|| end(local))).unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"dropped"));
        assert_eq!(census.living(), 0);
    }
}

/// Others look on while threads make their values.
#[test]
fn a_visitor_sees_whole_values() {
    for _ in 0..rounds(50) {
        let local = ThreadLocal::<Box<AtomicU64>>::new();
        let done = Latch::new();
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.is_open() {
                    assert!(
                        local
                            .iter()
                            .all(|own| own.fetch_add(0, Ordering::Relaxed) == 7)
                    );
                    thread::yield_now();
                }
            });
            let makers: [_; 6] = std::array::from_fn(|_| {
                scope.spawn(|| {
                    local.get_or(|| Box::new(AtomicU64::new(7)));
                })
            });
            for maker in makers {
                maker.join().unwrap();
            }
            done.open();
        });
    }
}

/// The destructor of another thread-local, which runs after ours, uses the object: it must
/// not meet the thread that has the place by then. (Miri sees it if it does.)
#[test]
fn a_late_destructor_has_a_value_of_its_own() {
    static LOCAL: ThreadLocal<Cell<u32>> = ThreadLocal::new();
    struct Late;
    impl Drop for Late {
        fn drop(&mut self) {
            for _ in 0..20 {
                LOCAL.with_or(Cell::default, |own| own.set(own.get() + 1));
                thread::yield_now();
            }
        }
    }
    thread_local! {
        static LATE: RefCell<Option<Late>> = const { RefCell::new(None) };
    }
    let late = thread::spawn(|| {
        // First theirs, then ours, so that ours ends first.
        LATE.with(|late| *late.borrow_mut() = Some(Late));
        LOCAL.with_or(Cell::default, |_| ());
    });
    for _ in 0..20 {
        let other = thread::spawn(|| {
            for _ in 0..5 {
                LOCAL.with_or(Cell::default, |own| own.set(own.get() + 1));
            }
        });
        other.join().unwrap();
    }
    late.join().unwrap();
}

/// Threads of all kinds, at random: every increment is in the sum.
#[test]
fn no_increment_is_lost() {
    let local = ThreadLocal::<Cell<u64>>::new();
    let rounds = u64::from(rounds(100));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for round in 0..rounds {
                    local.with_or(Cell::default, |own| own.set(own.get() + 1));
                    if round % 4 == 0 {
                        thread::scope(|inner| {
                            inner.spawn(|| {
                                local.with_or(Cell::default, |own| own.set(own.get() + 1))
                            });
                        });
                    }
                }
            });
        }
    });
    let sum: u64 = local.into_iter().map(Cell::into_inner).sum();
    assert_eq!(sum, 4 * (rounds + rounds.div_ceil(4)));
}
