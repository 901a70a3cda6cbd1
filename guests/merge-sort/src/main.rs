//! Parallel merge sort of `--size` random numbers with `rayon::join`, on a pool
//! of exactly `--threads` workers.
//!
//! The two halves of a slice are sorted at the same time, and merged at the
//! same time too: a merge is cut in two at the middle of its longer input. The
//! data and a scratch buffer of the same length change roles at each level of
//! the recursion, so that nothing is copied merely to be copied back.

use std::time::Instant;

use example_cli::{Options, SplitMix64, mix};
use rayon::ThreadPoolBuilder;

/// Below this length, one thread sorts faster alone.
const SORT_ALONE: usize = 1 << 13;
/// Below this length, one thread merges faster alone.
const MERGE_ALONE: usize = 1 << 14;

fn main() {
    let options = Options::from_args(16_000_000, &[]);
    let pool = ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .build()
        .expect("cannot start the workers");

    let mut random = SplitMix64::for_block(0);
    let mut numbers: Vec<u64> = (0..options.size).map(|_| random.next_u64()).collect();
    let mut scratch = vec![0; options.size];
    println!("sorting {} numbers", options.size);

    let start = Instant::now();
    pool.install(|| sort(&mut numbers, &mut scratch));
    let elapsed = start.elapsed();

    assert!(numbers.is_sorted(), "the output is out of order");
    println!("sorted: yes");
    options.report(format_args!("{:016x}", checksum(&numbers)), elapsed);
}

/// Sorts `data` where it is; `scratch` ends up with anything.
fn sort(data: &mut [u64], scratch: &mut [u64]) {
    if data.len() <= SORT_ALONE {
        return data.sort_unstable();
    }
    let middle = data.len() / 2;
    let (left, right) = data.split_at_mut(middle);
    let (left_sorted, right_sorted) = scratch.split_at_mut(middle);
    rayon::join(|| sort_into(left, left_sorted), || sort_into(right, right_sorted));
    merge(left_sorted, right_sorted, data);
}

/// Sorts the numbers of `data` into `sorted`; `data` ends up with anything.
fn sort_into(data: &mut [u64], sorted: &mut [u64]) {
    if data.len() <= SORT_ALONE {
        sorted.copy_from_slice(data);
        return sorted.sort_unstable();
    }
    let middle = data.len() / 2;
    let (left, right) = data.split_at_mut(middle);
    let (left_scratch, right_scratch) = sorted.split_at_mut(middle);
    rayon::join(|| sort(left, left_scratch), || sort(right, right_scratch));
    merge(left, right, sorted);
}

/// Merges two sorted slices into `merged`, which is as long as both together.
fn merge(left: &[u64], right: &[u64], merged: &mut [u64]) {
    if merged.len() <= MERGE_ALONE {
        return merge_alone(left, right, merged);
    }
    // The middle of the longer slice divides both into a low and a high part.
    let (longer, shorter) = if left.len() >= right.len() { (left, right) } else { (right, left) };
    let (longer_low, longer_high) = longer.split_at(longer.len() / 2);
    let (shorter_low, shorter_high) =
        shorter.split_at(shorter.partition_point(|number| *number < longer_high[0]));
    let (low, high) = merged.split_at_mut(longer_low.len() + shorter_low.len());
    rayon::join(|| merge(longer_low, shorter_low, low), || merge(longer_high, shorter_high, high));
}

fn merge_alone(left: &[u64], right: &[u64], merged: &mut [u64]) {
    let (mut l, mut r) = (0, 0);
    for slot in merged {
        let from_left = r == right.len() || (l < left.len() && left[l] <= right[r]);
        *slot = if from_left { left[l] } else { right[r] };
        l += usize::from(from_left);
        r += usize::from(!from_left);
    }
}

/// Depends on every number and on its place.
fn checksum(numbers: &[u64]) -> u64 {
    numbers.iter().fold(0, |sum, number| mix(sum ^ number))
}
