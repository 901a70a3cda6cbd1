//! Growing: in place, for everybody at once.

use std::sync::atomic::Ordering;

use threadwork_runtime::{MemoryError, SharedMemory};

use crate::support::{Random, rounds, together};

const PAGE: usize = SharedMemory::PAGE;

#[test]
fn it_returns_what_there_was() {
    let memory = SharedMemory::new(1, 4).unwrap();
    assert_eq!(memory.grow(1), Ok(1));
    assert_eq!(memory.size(), 2 * PAGE);
    assert_eq!(memory.grow(0), Ok(2));
    assert_eq!(memory.grow(2), Ok(2));
    assert_eq!(memory.pages(), 4);
}

#[test]
fn the_maximum_holds() {
    let memory = SharedMemory::new(2, 4).unwrap();
    for delta in [3, 4, u32::MAX] {
        let error = MemoryError::Maximum {
            pages: 2,
            delta,
            max_pages: 4,
        };
        assert_eq!(memory.grow(delta), Err(error));
    }
    assert_eq!(memory.size(), 2 * PAGE);
    assert_eq!(memory.grow(2), Ok(2));
    assert_eq!(memory.grow(0), Ok(4));
    assert!(memory.grow(1).is_err());
}

#[test]
fn an_empty_memory_can_grow() {
    let memory = SharedMemory::new(0, 3).unwrap();
    assert!(memory.store(0, 1_u8).is_err());
    assert_eq!(memory.grow(3), Ok(0));
    assert_eq!(memory.store(3 * PAGE - 8, 1_u64), Ok(()));
}

/// What is new is zero, what was there stays, and so does where it is.
#[test]
fn nothing_moves() {
    let pages = if cfg!(miri) { 5 } else { 40 };
    let memory = SharedMemory::new(1, pages).unwrap();
    let mut words = Vec::new();
    for page in 0..pages as usize {
        if page > 0 {
            assert_eq!(memory.grow(1), Ok(page as u32));
        }
        for offset in [page * PAGE, (page + 1) * PAGE - 8] {
            let word = memory.u64(offset).unwrap();
            assert_eq!(word.swap(offset as u64 + 1, Ordering::SeqCst), 0);
            words.push((offset, word));
        }
    }
    for (offset, word) in words {
        assert_eq!(word.load(Ordering::SeqCst), offset as u64 + 1);
        assert_eq!(memory.read::<u64>(offset), Ok(offset as u64 + 1));
        assert!(std::ptr::eq(word, memory.u64(offset).unwrap()));
    }
}

/// All at once, and around each border. (Miri would take minutes.)
#[test]
#[cfg(not(miri))]
fn bytes_are_copied_across_all_borders() {
    let pages = 20;
    for first in 0..3 {
        let memory = SharedMemory::new(first, pages).unwrap();
        memory.grow(pages - first).unwrap();
        let written: Vec<u8> = (0..memory.size()).map(|at| (at % 251) as u8).collect();
        memory.write_bytes(0, &written).unwrap();
        let mut read = vec![0; written.len()];
        memory.read_bytes(0, &mut read).unwrap();
        assert!(read == written);
        for page in 1..pages as usize {
            let at = page * PAGE - 3;
            assert_eq!(memory.read::<[u8; 8]>(at).unwrap(), written[at..at + 8]);
        }
    }
}

/// All threads grow at once: each page is somebody's, and the sum is right.
#[test]
fn growers_do_not_lose_pages() {
    for round in 0..rounds(20) {
        let memory = SharedMemory::new(1, 100).unwrap();
        let mut taken: Vec<(u32, u32)> = together(4, |index| {
            let mut random = Random::new(u64::from(round * 4 + index));
            let mut taken = Vec::new();
            loop {
                let delta = 1 + random.below(3) as u32;
                match memory.grow(delta) {
                    Ok(old) => taken.push((old, delta)),
                    Err(MemoryError::Maximum { pages, .. }) if pages + delta > 100 => break taken,
                    Err(error) => panic!("{error}"),
                }
                if cfg!(miri) && taken.len() > 2 {
                    break taken;
                }
            }
        })
        .concat();
        taken.sort_unstable();
        let mut next = 1;
        for (old, delta) in taken {
            assert_eq!(old, next, "two got one page, or none did");
            next += delta;
        }
        assert_eq!(memory.pages(), next);
    }
}

/// Whoever learns of a page can use it at once, while others use those before.
#[test]
fn it_goes_on_while_others_work() {
    const TOLD: usize = 0;
    const SUM: usize = 8;
    let pages = if cfg!(miri) { 6 } else { 200 };
    let memory = SharedMemory::new(1, pages).unwrap();
    together(3, |index| {
        if index == 0 {
            for page in 1..pages {
                assert_eq!(memory.grow(1), Ok(page));
                memory.store(TOLD, page).unwrap();
            }
            return;
        }
        let mut seen = 0;
        while seen < pages - 1 {
            let told = memory.load::<u32>(TOLD).unwrap();
            for page in seen + 1..=told {
                let at = page as usize * PAGE + PAGE - 8 * index as usize;
                assert_eq!(memory.add(at, u64::from(page)), Ok(0));
                assert_eq!(memory.read::<u64>(at), Ok(u64::from(page)));
                memory.add(SUM, u64::from(page)).unwrap();
            }
            if seen == told {
                std::thread::yield_now();
            }
            seen = told;
        }
    });
    let sum = u64::from(pages * (pages - 1) / 2);
    assert_eq!(memory.load::<u64>(SUM), Ok(2 * sum));
}

/// The size alone says that a page is there.
#[test]
fn a_page_is_there_when_the_size_says_so() {
    for _ in 0..rounds(3_000) {
        let memory = SharedMemory::new(1, 2).unwrap();
        together(2, |index| {
            if index == 0 {
                memory.grow(1).unwrap();
                return;
            }
            while memory.size() == PAGE {
                std::thread::yield_now();
            }
            assert_eq!(memory.load::<u64>(PAGE), Ok(0));
        });
    }
}

/// Sleepers stay where they are while the memory grows.
#[test]
fn a_sleeper_is_woken_after_growth() {
    let memory = SharedMemory::new(1, 3).unwrap();
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| memory.wait32(PAGE - 4, 0, None));
        memory.grow(2).unwrap();
        while memory.notify(PAGE - 4, 1).unwrap() == 0 {
            std::thread::yield_now();
        }
        assert_eq!(
            sleeper.join().unwrap(),
            Ok(threadwork::sync::WaitResult::Woken)
        );
    });
}
