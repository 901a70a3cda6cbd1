//! The host's objects in a guest's memory: never where anybody else's are.

use crate::support::{Watch, execute, memory, rust_library};
use std::alloc::Layout;
use std::collections::BTreeMap;
use threadwork_engine::{MemoryError, Object, ThreadRuntime};

#[test]
fn objects_are_aligned_zero_and_apart() {
    let memory = memory(1, 64);
    let mut objects: Vec<Object> = Vec::new();
    let layouts = [
        (1, 1),
        (3, 1),
        (100, 8),
        (16, 16),
        (4096, 64),
        (70_000, 4096),
        (0, 1),
    ];
    for (size, align) in layouts.into_iter().cycle().take(70) {
        let layout = Layout::from_size_align(size, align).unwrap();
        let object = memory.allocate(layout).unwrap();
        assert_eq!(object.offset() % align as u64, 0);
        assert!(
            object.offset() >= 65_536,
            "not where the module's own data is"
        );
        let mut bytes = vec![1; size];
        memory.read_bytes(object.offset(), &mut bytes).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 0));
        memory.fill(object.offset(), size as u64, 0xff).unwrap();
        objects.push(object);
        if objects.len() > 12 {
            objects.swap_remove(5);
        }
    }
    let large = Layout::from_size_align(1, 1 << 18).unwrap();
    assert_eq!(memory.allocate(large).unwrap().offset() % (1 << 18), 0);
}

#[test]
fn what_is_freed_is_used_again_and_neighbours_become_one() {
    let memory = memory(1, 3);
    let page = Layout::from_size_align(65_536, 16).unwrap();
    let small = Layout::from_size_align(64, 16).unwrap();
    for _ in 0..100 {
        let mut objects: Vec<_> = (0..2048).map(|_| memory.allocate(small).unwrap()).collect();
        assert!(matches!(
            memory.allocate(small),
            Err(MemoryError::Full { .. })
        ));
        // In an order that leaves holes first.
        let odd: Vec<_> = (0..1024).map(|n| objects.remove(n)).collect();
        drop(odd);
        drop(objects);
        let whole = [
            memory.allocate(page).unwrap(),
            memory.allocate(page).unwrap(),
        ];
        drop(whole);
    }
    assert_eq!(memory.size(), 3 * 65_536);
    let leaked = memory.allocate(page).unwrap().leak();
    assert_ne!(memory.allocate(page).unwrap().offset(), leaked);
    assert!(
        memory
            .allocate(Layout::from_size_align(131_072, 16).unwrap())
            .is_err()
    );
}

/// Random sizes against a list of what is taken.
#[test]
fn objects_never_overlap() {
    let memory = memory(1, 200);
    let mut taken: BTreeMap<u64, (u64, Object)> = BTreeMap::new();
    let mut seed = 88_172_645_463_325_252_u64;
    for round in 0..20_000 {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        if seed.is_multiple_of(2) && !taken.is_empty() {
            let nth = (seed >> 8) as usize % taken.len();
            let offset = *taken.keys().nth(nth).unwrap();
            taken.remove(&offset);
            continue;
        }
        let size = (seed >> 16) % if round % 10 == 0 { 20_000 } else { 200 };
        let align = 1 << ((seed >> 40) % 9);
        let layout = Layout::from_size_align(size as usize, align).unwrap();
        let Ok(object) = memory.allocate(layout) else {
            taken.clear();
            continue;
        };
        let offset = object.offset();
        let end = offset + size.max(1);
        let before = taken.range(..end).next_back();
        if let Some((start, (length, _))) = before {
            assert!(
                start + length <= offset,
                "{start}+{length} meets {offset}+{size}"
            );
        }
        assert!(end <= memory.size());
        taken.insert(offset, (size.max(1), object));
    }
}

#[test]
fn cache_aligned_integers_have_lines_of_their_own() {
    let memory = memory(1, 16);
    let counters = [0, 1, 2, 3].map(|n| memory.cache_aligned(n).unwrap());
    for counter in &counters {
        assert_eq!(counter.offset() % 128, 0);
        let same_line = |other: &&threadwork_engine::CacheAligned<u64>| {
            other.offset() / 128 == counter.offset() / 128
        };
        assert_eq!(counters.iter().filter(same_line).count(), 1);
    }
    std::thread::scope(|scope| {
        for counter in &counters {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        counter.add(2);
                    }
                });
            }
        }
    });
    for (counter, n) in counters.iter().zip(0..) {
        assert_eq!(counter.load(), 4000 + n);
        assert_eq!(memory.load::<u64>(counter.offset()).unwrap(), 4000 + n);
    }
    let one = counters[0].clone();
    drop(counters);
    assert_eq!(one.exchange(5), 4000);
    assert_eq!(
        (one.sub(1), one.and(6), one.or(3), one.xor(1)),
        (5, 4, 4, 7)
    );
    assert_eq!(
        (one.compare_exchange(6, 9), one.compare_exchange(6, 1)),
        (Ok(6), Err(9))
    );
    one.store(1);
    assert_eq!(one.load(), 1);
}

/// wasi-libc's allocator grows the same memory, and neither takes what is the other's.
#[test]
fn the_guests_allocator_and_ours_do_not_meet() {
    let _watch = Watch::start();
    let runtime = ThreadRuntime::new(rust_library()).unwrap();
    let memory = runtime.memory();
    let guests: Vec<_> = (1..=40)
        .map(|seed| execute(&runtime, "churn", [8_000, seed]))
        .collect();
    let mut objects: Vec<(u8, usize, Object)> = Vec::new();
    let mut seed = 12_345_u64;
    let mut rounds = 0_u64;
    while !guests.iter().all(|guest| guest.is_done()) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let size = (seed % 30_000) as usize;
        let object = memory
            .allocate(Layout::from_size_align(size, 16).unwrap())
            .unwrap();
        memory
            .fill(object.offset(), size as u64, seed as u8)
            .unwrap();
        objects.push((seed as u8, size, object));
        if objects.len() > 100 {
            check(objects.swap_remove(seed as usize % 100));
        }
        rounds += 1;
    }
    objects.into_iter().for_each(check);
    // The guest's own checks.
    guests.iter().for_each(|guest| drop(guest.wait().unwrap()));
    assert!(
        memory.size() > 16 << 20 && rounds > 100,
        "{rounds} rounds, {}",
        memory.size()
    );
}

fn check((value, size, object): (u8, usize, Object)) {
    let mut bytes = vec![0; size];
    object
        .memory()
        .read_bytes(object.offset(), &mut bytes)
        .unwrap();
    assert!(bytes.iter().all(|byte| *byte == value));
}
