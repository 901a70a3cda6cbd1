//! `par`: each item once, results in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use threadwork::{Parts, par};

use crate::support::{Event, Random, often, on_pool, up_to};

/// Sizes at which something changes.
fn sizes() -> impl Iterator<Item = usize> {
    [0, 1, 2, 3, 31, 32, 33, 64, 65, 1_000, 4_097, 100_000]
        .into_iter()
        .filter(|size| !cfg!(miri) || *size < 1_000)
}

#[test]
fn each_item_once() {
    for workers in [1, 2, 4] {
        for size in sizes() {
            on_pool(workers, move || {
                let mut counts: Vec<u32> = vec![0; size];
                par(&mut counts).for_each(|count| *count += 1);
                assert!(counts.iter().all(|count| *count == 1));

                let counts: Vec<AtomicU32> = (0..size).map(|_| AtomicU32::new(0)).collect();
                par(0..size).for_each(|i| {
                    counts[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(
                    counts
                        .iter()
                        .all(|count| count.load(Ordering::Relaxed) == 1)
                );
            });
        }
    }
}

#[test]
fn results_are_in_order() {
    for size in sizes() {
        on_pool(3, move || {
            let doubled = par(0..size as u32).map_collect(|i| (2 * i).to_string());
            let expected: Vec<String> = (0..size as u32).map(|i| (2 * i).to_string()).collect();
            assert_eq!(doubled, expected);
        });
    }
}

/// Concatenation is associative and does not commute.
#[test]
fn reduce_is_fold() {
    let mut random = Random::new(1);
    for _ in 0..often(2_000) {
        let size = random.below(200) as usize;
        let least = random.below(9) as usize;
        on_pool(1 + random.below(4) as usize, move || {
            let words: Vec<String> = (0..size).map(|i| i.to_string()).collect();
            let all = par(&words)
                .min_len(least)
                .map_reduce(String::clone, String::new, |a, b| a + &b);
            assert_eq!(all, words.concat());
        });
    }
}

#[test]
fn ranges_have_their_ends() {
    assert_eq!(par(5..5_u32).map_collect(|i| i), []);
    #[expect(clippy::reversed_empty_ranges, reason = "it has no items")]
    let reversed = par(5..2_i32).map_collect(|i| i);
    assert_eq!(reversed, []);
    assert_eq!(par(-3..2_i32).map_collect(|i| i), [-3, -2, -1, 0, 1]);
    assert_eq!((i32::MIN..i32::MAX).size(), u32::MAX as usize);
    let (left, right) = (i32::MIN..i32::MAX).divide(3_000_000_000);
    assert_eq!((left.size(), right.size()), (3_000_000_000, 1_294_967_295));
    let top = u32::MAX - 3..u32::MAX;
    assert_eq!(par(top.clone()).map_collect(|i| i), top.collect::<Vec<_>>());
}

#[test]
fn chunks_pairs_and_numbers() {
    let mut random = Random::new(2);
    for _ in 0..often(1_000) {
        let (size, length) = (random.below(300) as usize, random.below(20) as usize);
        let other = random.below(300) as usize;
        on_pool(2, move || {
            let numbers: Vec<usize> = (0..size).collect();
            let pieces = par(&numbers).chunks(length).map_collect(<[usize]>::to_vec);
            let expected: Vec<_> = numbers
                .chunks(length.max(1))
                .map(<[usize]>::to_vec)
                .collect();
            assert_eq!(pieces, expected);

            let mut places = vec![0; size];
            par(&mut places)
                .chunks(length)
                .enumerate()
                .for_each(|(i, piece)| piece.fill(i));
            assert!(
                places
                    .iter()
                    .enumerate()
                    .all(|(i, n)| *n == i / length.max(1))
            );

            let pairs = par(&numbers)
                .zip(0..other)
                .enumerate()
                .map_collect(|(i, (a, b))| (i, *a, b));
            let expected: Vec<_> = (0..size.min(other)).map(|i| (i, i, i)).collect();
            assert_eq!(pairs, expected);
        });
    }
}

#[test]
fn one_is_found_if_there_is_one() {
    for size in sizes() {
        on_pool(2, move || {
            assert_eq!(par(0..size).find_any(|_| false), None);
            for wanted in [0, size / 2, size.saturating_sub(1)] {
                let found = par(0..size).find_any(|i| *i == wanted);
                assert_eq!(found, (wanted < size).then_some(wanted));
            }
        });
    }
}

/// Every iteration of a coarse loop finds a thread of its own while there are any.
#[test]
fn few_long_iterations_are_spread() {
    const ITERATIONS: usize = 4;
    let threads = on_pool(ITERATIONS, || {
        let begun = AtomicUsize::new(0);
        let all = Event::default();
        let mut threads = par(0..ITERATIONS).map_collect(|_| {
            if begun.fetch_add(1, Ordering::Relaxed) + 1 == ITERATIONS {
                all.set();
            }
            all.wait();
            format!("{:?}", thread::current().id())
        });
        threads.sort();
        threads.dedup();
        threads.len()
    });
    assert_eq!(threads, ITERATIONS);
}

/// The thread that is in the middle of its part when another finds something goes on for
/// seconds if nobody tells it.
#[test]
fn a_search_ends_with_the_items_that_threads_are_at() {
    const ITEMS: u32 = 10_000;
    let looked_at = on_pool(2, || {
        let (other, looked_at) = (Event::default(), AtomicU32::new(0));
        let caller = thread::current().id();
        let found = par(0..ITEMS).find_any(|_| {
            if thread::current().id() == caller {
                other.wait();
                return true;
            }
            other.set();
            thread::sleep(Duration::from_millis(10));
            looked_at.fetch_add(1, Ordering::Relaxed);
            false
        });
        assert!(found.is_some());
        looked_at.into_inner()
    });
    assert!(looked_at < 100, "{looked_at}");
}

/// Says that it has more items than it has.
struct Liar(usize, Arc<()>);

impl Parts for Liar {
    type Item = Arc<()>;
    type Items = std::vec::IntoIter<Arc<()>>;

    fn size(&self) -> usize {
        self.0
    }
    fn divide(self, at: usize) -> (Self, Self) {
        (Liar(at, self.1.clone()), Liar(self.0 - at, self.1))
    }
    fn items(self) -> Self::Items {
        vec![self.1; self.0 / 2].into_iter()
    }
}

#[test]
fn parts_that_lie_do_no_harm() {
    let item = Arc::new(());
    par(Liar(up_to(1_000), item.clone())).for_each(drop);
    #[cfg(panic = "unwind")]
    {
        let liar = Liar(100, item.clone());
        let collect = std::panic::AssertUnwindSafe(|| par(liar).map_collect(|item| item));
        assert!(std::panic::catch_unwind(collect).is_err());
    }
    // Each was dropped, and once.
    assert_eq!(Arc::strong_count(&item), 1);
}

#[test]
fn zero_sized_results_are_counted() {
    assert_eq!(par(0..up_to(5_000)).map_collect(|_| ()).len(), up_to(5_000));
}
