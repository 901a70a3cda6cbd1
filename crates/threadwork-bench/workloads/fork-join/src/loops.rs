//! Loops, sorts, and a scope: what is built on forking.

use std::hint::black_box;
use std::time::{Duration, Instant};

use threadwork_workloads::Measured;

use crate::contestants::{Loops, Rayon, Sequential, Threadwork};
use threadwork_workloads::contest::{Entry, entry};

fn timed<R>(work: impl FnOnce() -> R) -> (Duration, R) {
    let start = Instant::now();
    let result = work();
    (start.elapsed(), result)
}

fn numbers(count: u64) -> Vec<u32> {
    (0..count as u32).map(|n| n % 1_000_003).collect()
}

fn square(number: u32) -> u64 {
    u64::from(number) * u64::from(number)
}

/// One operation: a number of a long slice.
fn sum<L: Loops>(threads: u32, iterations: u64) -> Measured {
    L::inside(threads, move |_| long_loop::<L>(iterations))
}

/// The same by a thread that is of no pool.
fn sum_outside<L: Loops>(_: u32, iterations: u64) -> Measured {
    L::outside(|_| long_loop::<L>(iterations))
}

fn long_loop<L: Loops>(iterations: u64) -> Measured {
    let numbers = numbers(iterations);
    let (elapsed, answer) = timed(|| L::sum(&numbers, square));
    Measured::new(elapsed, iterations, answer)
}

/// One operation: a loop over a thousand numbers.
fn short_loops<L: Loops>(threads: u32, iterations: u64) -> Measured {
    L::inside(threads, move |_| repeat::<L>(iterations))
}

/// The same by a thread that is of no pool.
fn short_loops_outside<L: Loops>(_: u32, iterations: u64) -> Measured {
    L::outside(|_| repeat::<L>(iterations))
}

fn repeat<L: Loops>(iterations: u64) -> Measured {
    let numbers = numbers(1_000);
    let each = || L::sum(black_box(&numbers), square);
    let (elapsed, answer) = timed(|| (0..iterations).map(|_| each()).sum());
    Measured::new(elapsed, iterations, answer)
}

/// The width and height of the matrices.
const SIDE: usize = 512;

/// One operation: a row of the product of two matrices.
fn matrix<L: Loops>(threads: u32, iterations: u64) -> Measured {
    L::inside(threads, move |_| {
        // Whole numbers, small enough that the sums are exact.
        let fill = |step| (0..SIDE * SIDE).map(move |n| f64::from((n * step % 97) as u32));
        let (a, b): (Vec<f64>, Vec<f64>) = (fill(31).collect(), fill(57).collect());
        let mut product = vec![0.0; (iterations as usize).min(SIDE) * SIDE];
        let (elapsed, ()) = timed(|| {
            L::each_row(&mut product, SIDE, |index, row| {
                for (factor, other) in a[index * SIDE..].iter().zip(b.chunks(SIDE)) {
                    row.iter_mut()
                        .zip(other)
                        .for_each(|(place, number)| *place += factor * number);
                }
            });
        });
        let answer = product.iter().map(|number| *number as u64).sum();
        Measured::new(elapsed, (product.len() / SIDE) as u64, answer)
    })
}

/// What there is to sort.
fn random(index: u64) -> u64 {
    let z = index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    z ^ (z >> 32)
}

fn sorted(index: u64) -> u64 {
    index
}

fn few(index: u64) -> u64 {
    random(index) % 16
}

/// One operation: an element.
fn sort<L: Loops>(threads: u32, iterations: u64, input: fn(u64) -> u64) -> Measured {
    sort_by::<L>(threads, iterations, input, L::sort_unstable)
}

fn sort_by<L: Loops>(
    threads: u32,
    iterations: u64,
    input: fn(u64) -> u64,
    sort: fn(&mut [u64]),
) -> Measured {
    L::inside(threads, move |_| {
        let mut numbers: Vec<u64> = (0..iterations).map(input).collect();
        let (elapsed, ()) = timed(|| sort(&mut numbers));
        // Differs if two elements are in each other's place.
        let places = (1..).zip(&numbers);
        let answer = places.fold(0_u64, |sum, (place, number)| {
            sum.wrapping_add(number.wrapping_mul(place))
        });
        Measured::new(elapsed, iterations, answer)
    })
}

/// One operation: a job that does next to nothing, of one scope.
fn scope<L: Loops>(threads: u32, iterations: u64) -> Measured {
    L::inside(threads, move |_| {
        let mut items = vec![0; iterations as usize];
        let (elapsed, ()) = timed(|| L::spawn_each(&mut items, |item| *item += 1));
        let answer = items.iter().map(|item| u64::from(*item)).sum();
        Measured::new(elapsed, iterations, answer)
    })
}

/// The workloads of a contestant.
macro_rules! entries {
    ($name:literal, $loops:ty) => {
        [
            entry("sum", $name, sum::<$loops>),
            entry("sum-outside", $name, sum_outside::<$loops>),
            entry("short-loops", $name, short_loops::<$loops>),
            entry("short-loops-outside", $name, short_loops_outside::<$loops>),
            entry("matrix", $name, matrix::<$loops>),
            entry("sort-random", $name, |threads, iterations| {
                sort::<$loops>(threads, iterations, random)
            }),
            entry("sort-sorted", $name, |threads, iterations| {
                sort::<$loops>(threads, iterations, sorted)
            }),
            entry("sort-few", $name, |threads, iterations| {
                sort::<$loops>(threads, iterations, few)
            }),
            entry("sort-stable", $name, |threads, iterations| {
                sort_by::<$loops>(threads, iterations, random, <$loops>::sort)
            }),
            entry("scope", $name, scope::<$loops>),
        ]
    };
}

pub(crate) const WORKLOADS: [[Entry; 10]; 3] = [
    entries!("sequential", Sequential),
    entries!("rayon", Rayon),
    entries!("threadwork", Threadwork),
];
