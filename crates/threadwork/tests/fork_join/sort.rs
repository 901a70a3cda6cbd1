//! Sorting: as std does, in any number of threads.

use threadwork::par;

use crate::support::{Random, often, on_pool, up_to};

/// Kinds of input that sorts treat differently.
const KINDS: u64 = 8;

fn input(kind: u64, size: usize, random: &mut Random) -> Vec<u32> {
    let size = size as u32;
    (0..size)
        .map(|i| match kind {
            0 => random.next() as u32,
            1 => i,
            2 => size - i,
            3 => 7,
            4 => random.below(4) as u32,
            5 => i % 1_000,
            6 => i.min(size - i),
            _ => i ^ u32::from(random.below(100) == 0),
        })
        .collect()
}

fn sizes(random: &mut Random) -> Vec<usize> {
    if cfg!(miri) {
        return vec![0, 1, 2, 31, 33, 150];
    }
    let around = [0, 1, 2, 20, 4_095, 4_096, 4_097, 8_192, 10_000, 70_000];
    let random = (0..often(400)).map(|_| random.below(60_000) as usize);
    around.into_iter().chain(random).collect()
}

#[test]
fn sorts_agree_with_std() {
    let mut random = Random::new(3);
    for (round, size) in sizes(&mut random).into_iter().enumerate() {
        let kinds = if cfg!(miri) { 0..1 } else { 0..KINDS };
        for kind in kinds {
            let numbers = input(kind, size, &mut random);
            on_pool(1 + round % 4, move || {
                let mut expected = numbers.clone();
                expected.sort_unstable();
                let mut sorted = numbers.clone();
                par(&mut sorted).sort_unstable();
                assert_eq!(sorted, expected, "unstable, kind {kind}, size {size}");
                let mut sorted = numbers;
                par(&mut sorted).sort();
                assert_eq!(sorted, expected, "stable, kind {kind}, size {size}");
            });
        }
    }
}

#[test]
fn equal_elements_keep_their_order() {
    let mut random = Random::new(4);
    for size in sizes(&mut random) {
        let keys = input(4, size, &mut random);
        on_pool(3, move || {
            let mut pairs: Vec<(u32, usize)> = keys.into_iter().zip(0..).collect();
            let mut expected = pairs.clone();
            expected.sort_by_key(|pair| pair.0);
            par(&mut pairs).sort_by_key(|pair| pair.0);
            assert_eq!(pairs, expected);
        });
    }
}

#[test]
fn elements_on_the_heap_are_moved() {
    let mut random = Random::new(5);
    let size = if cfg!(miri) { 100 } else { 50_000 };
    let words: Vec<String> = input(0, size, &mut random)
        .iter()
        .map(u32::to_string)
        .collect();
    on_pool(4, move || {
        let mut expected = words.clone();
        expected.sort_by(|a, b| b.cmp(a));
        let mut stable = words.clone();
        par(&mut stable).sort_by(|a, b| b.cmp(a));
        assert_eq!(stable, expected);
        let mut unstable = words;
        par(&mut unstable).sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(unstable, expected);
        par(&mut unstable).sort_unstable_by_key(|word| word.len());
        assert!(unstable.is_sorted_by_key(|word| word.len()));
    });
}

#[test]
fn elements_without_size_are_sorted() {
    on_pool(2, || {
        let size = up_to(10_000);
        let mut nothings = vec![(); size];
        par(&mut nothings).sort();
        par(&mut nothings).sort_unstable();
        assert_eq!(nothings.len(), size);
    });
}
