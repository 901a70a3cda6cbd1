//! A panic reaches whoever called `join` or `scope`, after all is done; the pool goes on.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU32, Ordering};

use threadwork::{join, par, scope};

use crate::support::{Event, Random, often, on_pool, up_to};

/// A panic with this payload, without a message on the terminal.
fn fail(payload: u32) -> ! {
    resume_unwind(Box::new(payload))
}

fn caught<R>(body: impl FnOnce() -> R) -> u32 {
    let result = catch_unwind(AssertUnwindSafe(body));
    let payload = result.err().expect("it panics");
    *payload.downcast::<u32>().unwrap()
}

/// Counts how many of it there are.
struct Counted<'a>(&'a AtomicU32);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Counted(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[test]
fn the_first_half_wins() {
    assert_eq!(caught(|| join(|| fail(1), || ())), 1);
    assert_eq!(caught(|| join(|| (), || fail(2))), 2);
    assert_eq!(caught(|| join(|| fail(1), || fail(2))), 1);
}

#[test]
fn a_stolen_half_that_panics_does_so_in_the_joiner() {
    let payload = on_pool(2, || {
        let taken = Event::default();
        caught(|| {
            join(
                || taken.wait(),
                || {
                    taken.set();
                    fail(7)
                },
            )
        })
    });
    assert_eq!(payload, 7);
}

#[test]
fn a_stolen_half_is_waited_for_when_the_first_panics() {
    for _ in 0..often(2_000) {
        on_pool(2, || {
            let (taken, go) = (Event::default(), Event::default());
            let done = AtomicU32::new(0);
            let payload = caught(|| {
                join(
                    || {
                        taken.wait();
                        go.set();
                        fail(3)
                    },
                    || {
                        taken.set();
                        go.wait();
                        done.store(1, Ordering::Relaxed);
                    },
                )
            });
            assert_eq!((payload, done.into_inner()), (3, 1));
        });
    }
}

#[test]
fn what_the_halves_hold_is_dropped_once() {
    let count = AtomicU32::new(0);
    for (first, second) in [(true, false), (false, true), (true, true), (false, false)] {
        let (a, b) = (Counted::new(&count), Counted::new(&count));
        let _ = catch_unwind(AssertUnwindSafe(|| {
            join(
                move || {
                    if first {
                        fail(1);
                    }
                    a
                },
                move || {
                    if second {
                        fail(2);
                    }
                    b
                },
            )
        }));
        assert_eq!(count.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn a_scope_ends_before_its_panic_goes_on() {
    let done = AtomicU32::new(0);
    let payload = caught(|| {
        scope(|scope| {
            for i in 0..50 {
                let done = &done;
                scope.spawn(move |_| {
                    if i == 20 {
                        fail(i);
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
    });
    assert_eq!((payload, done.into_inner()), (20, 49));
}

#[test]
fn the_body_of_a_scope_wins() {
    let payload = caught(|| {
        scope(|scope| {
            scope.spawn(|_| fail(1));
            fail(2)
        })
    });
    assert_eq!(payload, 2);
}

/// Panics as it is dropped, and so does the payload of that panic, and so on. It has no size: to
/// leak one leaks nothing.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        resume_unwind(Box::new(Bomb));
    }
}

#[test]
fn payloads_that_panic_when_dropped_do_no_harm() {
    let result = catch_unwind(AssertUnwindSafe(|| {
        scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|_| resume_unwind(Box::new(Bomb)));
            }
        });
    }));
    std::mem::forget(result);
}

/// What is given up, since another panic goes on, is dropped all the same, and a panic in that
/// ends there.
#[test]
fn what_is_given_up_may_panic_when_dropped() {
    // A half that was not begun.
    let held = Bomb;
    let payload = caught(|| join(|| fail(1), move || drop(held)));
    assert_eq!(payload, 1);
    // The result, or the panic, of one that was stolen.
    for panics in [false, true] {
        let payload = on_pool(2, move || {
            let taken = Event::default();
            caught(|| {
                join(
                    || {
                        taken.wait();
                        fail(1)
                    },
                    || {
                        taken.set();
                        if panics {
                            resume_unwind(Box::new(Bomb));
                        }
                        Bomb
                    },
                )
            })
        });
        assert_eq!(payload, 1);
    }
    // The result of a scope, and the panic of a job.
    let payload = caught(|| {
        scope(|scope| {
            scope.spawn(|_| fail(1));
            Bomb
        })
    });
    assert_eq!(payload, 1);
    let payload = caught(|| {
        scope(|scope| {
            scope.spawn(|_| resume_unwind(Box::new(Bomb)));
            fail(1)
        })
    });
    assert_eq!(payload, 1);
}

#[test]
fn loops_that_panic_drop_what_they_have_collected() {
    let count = AtomicU32::new(0);
    let size = up_to(10_000) as u32;
    let payload = caught(|| {
        par(0..size).map_collect(|i| {
            if i == size / 2 {
                fail(i);
            }
            Counted::new(&count)
        })
    });
    assert_eq!((payload, count.into_inner()), (size / 2, 0));
}

#[test]
fn a_sort_that_panics_keeps_the_elements() {
    for seed in 0..often(4_000) as u64 {
        for workers in [1, 2, 4] {
            on_pool(workers, move || {
                // Large ones among the first, too: small ones are not merged.
                let size = 1 + seed as usize * 9_973 % up_to(40_000);
                let mut random = Random::new(seed + 1);
                let count = AtomicU32::new(0);
                let mut elements: Vec<_> = (0..size)
                    .map(|_| (random.below(1_000), Box::new(Counted::new(&count))))
                    .collect();
                let mut keys: Vec<u64> = elements.iter().map(|element| element.0).collect();
                // Some comparisons in pieces, some in merges, and some never made.
                let about_all = size as u64 * u64::from(size.ilog2() + 1);
                let left = AtomicU32::new(random.below(about_all) as u32);
                let compare = |a: &(u64, _), b: &(u64, _)| {
                    if left.fetch_sub(1, Ordering::Relaxed) == 0 {
                        fail(0);
                    }
                    a.0.cmp(&b.0)
                };
                let _ = catch_unwind(AssertUnwindSafe(|| {
                    if seed % 2 == 0 {
                        par(&mut elements).sort_by(compare);
                    } else {
                        par(&mut elements).sort_unstable_by(compare);
                    }
                }));
                let mut kept: Vec<u64> = elements.iter().map(|element| element.0).collect();
                keys.sort_unstable();
                kept.sort_unstable();
                assert_eq!(kept, keys);
                assert_eq!(count.load(Ordering::Relaxed), size as u32);
            });
        }
    }
}

#[test]
fn random_trees_with_random_panics() {
    fn tree(seed: u64, depth: u32, alive: &AtomicU32) -> u64 {
        let _counted = Counted::new(alive);
        let mut random = Random::new(seed);
        if random.below(400) == 0 {
            fail(5);
        }
        if depth == 0 {
            return 1;
        }
        let (a, b) = (random.next(), random.next());
        let (a, b) = join(|| tree(a, depth - 1, alive), || tree(b, depth - 1, alive));
        a + b
    }
    let depth = if cfg!(miri) { 4 } else { 8 };
    on_pool(4, move || {
        for seed in 0..often(20_000) as u64 {
            let alive = AtomicU32::new(0);
            match catch_unwind(AssertUnwindSafe(|| tree(seed + 1, depth, &alive))) {
                Ok(leaves) => assert_eq!(leaves, 1 << depth),
                Err(payload) => assert_eq!(*payload.downcast::<u32>().unwrap(), 5),
            }
            assert_eq!(alive.into_inner(), 0);
        }
    });
}

/// The panic of a job with a handle goes to who joins, and nobody else hears of it.
#[test]
fn a_job_with_a_handle_panics_in_whoever_joins() {
    for workers in [1, 2] {
        let payload = on_pool(workers, || {
            scope(|scope| {
                let job = scope.spawn_with_handle(|_| fail(3));
                let payload = job.join().unwrap_err();
                *payload.downcast::<u32>().unwrap()
            })
        });
        assert_eq!(payload, 3);
    }
}

/// If nobody joins, it is the scope's.
#[test]
fn a_dropped_handle_leaves_the_panic_to_the_scope() {
    for workers in [1, 2] {
        let payloads = on_pool(workers, move || {
            let before_it_is_done =
                caught(|| scope(|scope| drop(scope.spawn_with_handle(|_| fail(4)))));
            let afterwards = caught(|| {
                scope(|scope| {
                    let job = scope.spawn_with_handle(|_| fail(5));
                    let at_the_latest = std::time::Instant::now() + crate::support::LONG;
                    // A single worker does it when the body is done.
                    while !job.is_finished() && workers > 1 {
                        assert!(std::time::Instant::now() < at_the_latest);
                        std::thread::yield_now();
                    }
                });
            });
            [before_it_is_done, afterwards]
        });
        assert_eq!(payloads, [4, 5]);
    }
}
