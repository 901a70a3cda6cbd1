//! Each size and each alignment.

use std::alloc::Layout;

use crate::support::{ALLOCATOR, Held, Ledger};

#[test]
fn every_small_size_in_every_alignment() {
    let step = if cfg!(miri) { 397 } else { 7 };
    for align in (0..=12)
        .step_by(if cfg!(miri) { 4 } else { 1 })
        .map(|shift| 1 << shift)
    {
        let ledger = Ledger::default();
        let mut all = Vec::new();
        for size in (1..=2_000).step_by(step) {
            let layout = Layout::from_size_align(size, align).unwrap();
            let held = Held::take(&ALLOCATOR, layout, size).unwrap();
            ledger.add(&held);
            all.push(held);
        }
        all.into_iter().for_each(|held| held.give(&ALLOCATOR));
    }
}

/// On both sides of where slabs end, and of where segments do.
#[test]
fn sizes_and_alignments_at_the_limits() {
    let ledger = Ledger::default();
    let mut all = Vec::new();
    let limits: &[usize] = if cfg!(miri) {
        &[1 << 15]
    } else {
        &[1 << 14, 1 << 15, 1 << 16, 1 << 19, 1 << 20]
    };
    for near in limits.iter().copied() {
        for (size, align) in [near - 1, near, near + 1]
            .into_iter()
            .flat_map(|size| [1, 16, 4096, 1 << 15, 1 << 16, 1 << 20].map(|align| (size, align)))
        {
            let layout = Layout::from_size_align(size, align).unwrap();
            let held = Held::take_zeroed(&ALLOCATOR, layout, size).unwrap();
            ledger.add(&held);
            all.push(held);
        }
    }
    all.into_iter().for_each(|held| held.give(&ALLOCATOR));
}

#[test]
fn a_small_block_can_have_a_large_alignment() {
    for shift in 0..=20 {
        let layout = Layout::from_size_align(1, 1 << shift).unwrap();
        let blocks: Vec<Held> = (0..4)
            .map(|seed| Held::take(&ALLOCATOR, layout, seed).unwrap())
            .collect();
        blocks.into_iter().for_each(|held| held.give(&ALLOCATOR));
    }
}

/// Blocks of two threads share no cache line, however small they are.
#[test]
fn threads_share_no_cache_line() {
    let line = |held: &Held| held.address() / 128;
    let layout = Layout::new::<u64>();
    let take = move || -> Vec<Held> {
        (0..if cfg!(miri) { 20 } else { 200 })
            .map(|seed| Held::take(&ALLOCATOR, layout, seed).unwrap())
            .collect()
    };
    let mine = take();
    let others = std::thread::spawn(take).join().unwrap();
    let lines: std::collections::BTreeSet<usize> = mine.iter().map(line).collect();
    assert!(others.iter().map(line).all(|line| !lines.contains(&line)));
    mine.into_iter()
        .chain(others)
        .for_each(|held| held.give(&ALLOCATOR));
}

/// No layout is too large to be asked for. (Unless the compiler is kept from it, it knows
/// that nobody uses the block, and that there is one.)
#[test]
#[cfg(not(miri))]
fn what_cannot_be_is_null() {
    use std::alloc::GlobalAlloc;
    use std::hint::black_box;

    for (size, align) in [
        (isize::MAX as usize, 1),
        (isize::MAX as usize - 4095, 4096),
        (1, 1 << (usize::BITS - 2)),
        ((isize::MAX as usize) / 4 * 3, 1 << 20),
    ] {
        let layout = Layout::from_size_align(size, align).unwrap();
        // SAFETY: the size is not zero.
        let block = unsafe { ALLOCATOR.alloc(layout) };
        assert!(black_box(block).is_null(), "{layout:?}");
        // SAFETY: as above.
        let block = unsafe { ALLOCATOR.alloc_zeroed(layout) };
        assert!(black_box(block).is_null(), "{layout:?}");
    }
}
