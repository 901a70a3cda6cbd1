//! What `realloc` keeps, and when it stays in place.

use std::alloc::{GlobalAlloc, Layout, System};

use threadwork_alloc::Pool;

use crate::support::{ALLOCATOR, Held, layout};

/// Up to the size of the block, and down to half of it.
#[test]
fn a_block_stays_where_it_is_while_it_fits() {
    for (first, block) in [
        (8, 8),
        (61, 64),
        (100, 112),
        (1_000, 1_024),
        (30_000, 32_768),
    ] {
        let mut held = Held::take(&ALLOCATOR, layout(first), first).unwrap();
        let address = held.address();
        for size in [block, block / 2 + 1, block - 1, first] {
            assert!(held.resize(&ALLOCATOR, size));
            assert_eq!(held.address(), address, "{first} to {size}");
        }
        held.give(&ALLOCATOR);
    }
}

#[test]
fn a_block_that_is_twice_too_large_is_given_up() {
    let mut held = Held::take(&ALLOCATOR, layout(30_000), 1).unwrap();
    let address = held.address();
    assert!(held.resize(&ALLOCATOR, 100));
    assert_ne!(held.address(), address);
    held.give(&ALLOCATOR);
}

/// From the smallest to a large one and back, in steps that cross every class.
#[test]
fn contents_survive_all_the_way_up_and_down() {
    let sizes: Vec<usize> = (3..=21)
        .flat_map(|bits| [1 << bits, (1 << bits) + 1, 3 << (bits - 1)])
        .collect();
    let mut held = Held::take(&ALLOCATOR, layout(1), 7).unwrap();
    let mut neighbours = Vec::new();
    for size in sizes.iter().chain(sizes.iter().rev()) {
        assert!(held.resize(&ALLOCATOR, *size));
        // In the way of one that grows where it has no room.
        neighbours.push(Held::take(&ALLOCATOR, layout(*size), 8).unwrap());
    }
    held.give(&ALLOCATOR);
    for neighbour in neighbours {
        neighbour.give(&ALLOCATOR);
    }
}

#[test]
fn alignment_survives() {
    for shift in 3..=17 {
        let small = Layout::from_size_align(24, 1 << shift).unwrap();
        let mut held = Held::take(&ALLOCATOR, small, shift).unwrap();
        for size in [40, 5_000, 40_000, 300_000, 40_000, 100, 1] {
            assert!(held.resize(&ALLOCATOR, size));
        }
        held.give(&ALLOCATOR);
    }
}

/// Large blocks are the backend's, which may know that there is room behind one.
#[test]
fn a_large_block_grows_in_place_if_the_backend_can() {
    struct Roomy;
    const ROOM: usize = 4 << 20;
    // SAFETY: as the system's, whose blocks are larger than what was asked for.
    unsafe impl GlobalAlloc for Roomy {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            let roomy = Layout::from_size_align(ROOM, layout.align()).unwrap();
            // SAFETY: the caller's promise.
            unsafe { System.alloc(roomy) }
        }
        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            let roomy = Layout::from_size_align(ROOM, layout.align()).unwrap();
            // SAFETY: the caller's promise.
            unsafe { System.dealloc(block, roomy) };
        }
        unsafe fn realloc(&self, block: *mut u8, _: Layout, _: usize) -> *mut u8 {
            block
        }
    }
    let pool = Pool::new(Roomy);
    let heap = pool.heap().unwrap();
    let mut held = Held::take(&heap, layout(40_000), 3).unwrap();
    let address = held.address();
    for size in [50_000, 1 << 20, ROOM, 33_000] {
        assert!(held.resize(&heap, size));
        assert_eq!(held.address(), address);
        assert_eq!(pool.stats().large, size);
    }
    held.give(&heap);
}
