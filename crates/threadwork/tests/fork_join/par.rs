//! `par`: each item once, results in order.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use threadwork::sync::{Mutex, Semaphore};
use threadwork::{CancelToken, Cancelled, Parts, ThreadPool, par};

use crate::support::{Event, LONG, Random, often, on_pool, up_to};

/// Sizes at which something changes.
fn sizes() -> impl Iterator<Item = usize> {
    [0, 1, 2, 3, 31, 32, 33, 64, 65, 1_000, 4_097, 100_000]
        .into_iter()
        .filter(|size| !cfg!(miri) || [0, 1, 3, 33, 65].contains(size))
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

/// What is in a loop that ends early, or by a panic, is dropped once, and so is what the body
/// gets.
#[test]
fn vectors_are_taken_apart() {
    struct Counted<'a>(&'a AtomicUsize);
    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    for workers in [1, 3] {
        let pool = ThreadPool::new(workers).unwrap();
        for size in sizes() {
            let dropped = AtomicUsize::new(0);
            let items = || (0..size).map(|_| Counted(&dropped)).collect::<Vec<_>>();
            pool.install(|| par(items()).for_each(drop)).unwrap();
            assert_eq!(dropped.swap(0, Ordering::Relaxed), size);
            let kept = pool.install(|| par(items()).collect()).unwrap();
            assert_eq!((kept.len(), dropped.load(Ordering::Relaxed)), (size, 0));
            drop(kept);
            assert_eq!(dropped.swap(0, Ordering::Relaxed), size);
            let end = pool.install(|| par(items()).try_for_each(|_| Err(())));
            assert_eq!(end.unwrap().is_err(), size > 0);
            assert_eq!(dropped.load(Ordering::Relaxed), size);
        }
    }
    drop(par(vec![String::from("not run")]));
    let order = par((0..up_to(5_000)).collect::<Vec<_>>()).map(|n| 2 * n);
    assert!(
        order
            .collect()
            .into_iter()
            .eq((0..up_to(5_000)).map(|n| 2 * n))
    );
}

/// Parts that are nothing, at the ends of what there is.
#[test]
fn ranges_end_where_they_end() {
    fn check<P>(range: P, expected: &[P::Item])
    where
        P: Parts + Clone,
        P::Item: PartialEq + std::fmt::Debug + Send,
    {
        assert_eq!(range.size(), expected.len());
        for at in 0..=expected.len() {
            let (left, right) = range.clone().divide(at);
            assert_eq!((left.size(), right.size()), (at, expected.len() - at));
            let all: Vec<_> = left.items().chain(right.items()).collect();
            assert_eq!(all, expected, "at {at}");
        }
    }
    check(
        u32::MAX - 2..=u32::MAX,
        &[u32::MAX - 2, u32::MAX - 1, u32::MAX],
    );
    check(u64::MAX - 1..u64::MAX, &[u64::MAX - 1]);
    check(i64::MIN..=i64::MIN + 1, &[i64::MIN, i64::MIN + 1]);
    check(-2..=1_i32, &[-2, -1, 0, 1]);
    check(0..=0_usize, &[0]);
    #[allow(clippy::reversed_empty_ranges, reason = "that is what is tested")]
    {
        check(2..=1_isize, &[]);
        check(2..1_u64, &[]);
    }
    assert_eq!((0..=u64::MAX).size(), usize::MAX);
    assert_eq!((i64::MIN..=i64::MAX).size(), usize::MAX);
    let far = par(u64::MAX - 1_000..=u64::MAX);
    assert_eq!(far.map(|n| u64::MAX - n).sum::<u64>(), 500_500);
}

#[test]
fn windows_reach_across_divisions() {
    let (sizes, lengths): (&[usize], &[usize]) = if cfg!(miri) {
        (&[1, 3, 40], &[0, 2])
    } else {
        (&[0, 1, 2, 3, 10, 3_000], &[0, 1, 2, 7])
    };
    for &size in sizes {
        for &length in lengths {
            let numbers: Vec<usize> = (0..size).collect();
            let expected: Vec<Vec<usize>> =
                numbers.windows(length.max(1)).map(<[_]>::to_vec).collect();
            let windows = on_pool(3, move || {
                par(&numbers).windows(length).map_collect(<[_]>::to_vec)
            });
            assert_eq!(windows, expected, "{length} of {size}");
        }
    }
}

#[test]
fn sums_and_filters_are_those_of_a_loop() {
    for size in sizes() {
        on_pool(3, move || {
            let numbers: Vec<u64> = (0..size as u64).collect();
            assert_eq!(par(&numbers).sum::<u64>(), numbers.iter().sum());
            let odd = par(&numbers).filter_collect(|n| **n % 2 == 1);
            assert!(odd.into_iter().eq(numbers.iter().filter(|n| **n % 2 == 1)));
            assert!(par(&numbers).all(|n| *n < size as u64));
            assert_eq!(par(&numbers).any(|n| *n + 1 == size as u64), size > 0);
            assert!(!par(&numbers).any(|n| *n == size as u64));
        });
    }
}

/// Of the errors that were found it is the first; and a loop that has failed ends soon.
#[test]
fn a_failure_ends_the_loop() {
    for size in sizes() {
        let done = AtomicUsize::new(0);
        let result = par(0..size).try_for_each(|i| {
            done.fetch_add(1, Ordering::Relaxed);
            if i == 0 { Err(i) } else { Ok(()) }
        });
        assert_eq!(result, if size > 0 { Err(0) } else { Ok(()) });
        assert_eq!(par(0..size).try_for_each(|_| Ok::<_, ()>(())), Ok(()));
    }
    let pool = ThreadPool::new(1).unwrap();
    let done = AtomicUsize::new(0);
    let end = pool.install(|| {
        par(0..1_000_usize).try_for_each(|i| {
            done.fetch_add(1, Ordering::Relaxed);
            if i >= 10 { Err(i) } else { Ok(()) }
        })
    });
    assert_eq!(end.unwrap(), Err(10));
    assert_eq!(done.into_inner(), 11);
}

/// Who is in the middle of a piece when another thread fails leaves the rest of it.
#[test]
fn a_failure_ends_the_others_pieces() {
    let pool = ThreadPool::new(2).unwrap();
    let round = || {
        let (failed, first, others) = (Event::default(), OnceLock::new(), AtomicUsize::new(0));
        let end = pool.install(|| {
            par(0..10_000_usize).try_for_each(|i| {
                let this = std::thread::current().id();
                if i == 0 {
                    let _ = first.set(this);
                    failed.wait();
                    // The other one says so before it has returned.
                    std::thread::sleep(Duration::from_millis(1));
                } else if *first.wait() == this {
                    others.fetch_add(1, Ordering::Relaxed);
                } else {
                    failed.set();
                    return Err(i);
                }
                Ok(())
            })
        });
        assert!(end.unwrap().is_err());
        others.into_inner()
    };
    // Where the other one is held up before it has returned there may be some.
    assert!((0..100).any(|_| round() == 0));
}

/// A loop that would never end ends, and so does a wait.
#[test]
fn a_token_ends_what_runs() {
    let pool = ThreadPool::new(2).unwrap();
    let token = CancelToken::new();
    let begun = Arc::new(Event::default());
    type Task = fn(&CancelToken) -> Result<(), Cancelled>;
    let tasks: [Task; 5] = [
        |token| loop {
            par(0..100_u32).try_for_each(|_| token.check())?;
        },
        |token| token.sleep(Duration::MAX),
        |token| {
            token.wait();
            token.check()
        },
        |token| {
            let never = Semaphore::new(0);
            let acquired = token.block_on(never.acquire_async());
            acquired.map(drop)
        },
        |token| {
            let taken = Mutex::new(());
            let _guard = taken.lock();
            token.block_on(taken.lock_async()).map(drop)
        },
    ];
    let tasks: Vec<_> = tasks
        .into_iter()
        .map(|task| {
            let (token, begun) = (token.clone(), begun.clone());
            pool.execute(move || {
                begun.set();
                task(&token)
            })
        })
        .collect();
    begun.wait();
    token.cancel();
    for task in tasks {
        assert_eq!(task.wait().unwrap(), Err(Cancelled));
    }
    assert_eq!(format!("{token:?}"), "CancelToken { is_cancelled: true }");
    // What is there already is not taken any more, and what is awaited elsewhere ends, too.
    let (sender, receiver) = threadwork::sync::channel::bounded(1);
    sender.send(1).unwrap();
    assert_eq!(token.block_on(receiver.recv_async()), Err(Cancelled));
    assert_eq!(receiver.len(), 1);
    let fresh = CancelToken::new();
    assert_eq!(fresh.block_on(token.cancelled()), Ok(()));
    assert_eq!(fresh.block_on(receiver.recv_async()), Ok(Ok(1)));
}

/// As long as a size can say, wherever it is: so is a range of 64 bits where sizes have 32.
struct Endless;

impl Parts for Endless {
    type Item = ();
    type Items = std::iter::Repeat<()>;

    fn size(&self) -> usize {
        usize::MAX
    }

    fn divide(self, _at: usize) -> (Self, Self) {
        (Endless, Endless)
    }

    fn items(self) -> Self::Items {
        std::iter::repeat(())
    }
}

/// What is left when something was found is not gone through, not even in steps.
#[test]
fn a_search_ends_however_much_is_left() {
    let pool = ThreadPool::new(1).unwrap();
    let mut found = pool.execute(|| par(Endless).find_any(|()| true));
    assert_eq!(found.wait_timeout(LONG).unwrap().unwrap(), Some(()));
    let mut failed = pool.execute(|| par(Endless).try_for_each(|()| Err(5)));
    assert_eq!(failed.wait_timeout(LONG).unwrap().unwrap(), Err(5));
}
