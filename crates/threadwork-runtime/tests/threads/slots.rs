//! Numbered slots.

use std::sync::{Arc, Barrier};

use threadwork::thread;
use threadwork_runtime::{SlotError, ThreadLocalStorage};

use crate::support::rounds;

#[test]
fn slots_are_zero_until_they_are_set() {
    let slots = ThreadLocalStorage::new(64);
    assert_eq!((slots.slot_size(), slots.keys()), (64, 8));
    assert_eq!(slots.get::<u64>(7), Ok(0));
    assert_eq!(slots.get::<[u64; 8]>(0), Ok([0; 8]));
    slots.set(7, &u64::MAX).unwrap();
    assert_eq!(slots.get::<u64>(7), Ok(u64::MAX));
    assert_eq!(slots.get::<u64>(6), Ok(0));
}

#[test]
fn a_value_comes_back_as_it_was() {
    let slots = ThreadLocalStorage::new(1024);
    slots.set(0, &-1_i8).unwrap();
    slots.set(1, &1.5_f32).unwrap();
    slots.set(2, &[1_u16, 2, 3, 4, 5]).unwrap();
    slots.set(4, &i128::MIN).unwrap();
    assert_eq!(slots.get::<i8>(0), Ok(-1));
    assert_eq!(slots.get::<f32>(1), Ok(1.5));
    assert_eq!(slots.get::<[u16; 5]>(2), Ok([1, 2, 3, 4, 5]));
    assert_eq!(slots.get::<i128>(4), Ok(i128::MIN));
    // A short value leaves the rest of its slot.
    slots.set(6, &u64::MAX).unwrap();
    slots.set(6, &0_u8).unwrap();
    assert_eq!(
        slots.get::<[u8; 8]>(6),
        Ok([0, 255, 255, 255, 255, 255, 255, 255])
    );
}

#[test]
fn keys_and_sizes_are_checked() {
    let slots = ThreadLocalStorage::new(20);
    assert_eq!(slots.keys(), 2);
    for key in [2, 3, usize::MAX] {
        let error = SlotError::Key { key, keys: 2 };
        assert_eq!(slots.set(key, &1_u8), Err(error));
        assert_eq!(slots.get::<u8>(key), Err(error));
    }
    let error = SlotError::Size {
        key: 1,
        len: 9,
        left: 8,
    };
    assert_eq!(slots.set(1, &[7_u8; 9]), Err(error));
    assert_eq!(slots.get::<[u8; 9]>(1), Err(error));
    assert_eq!(slots.get::<[u8; 16]>(0), Ok([0; 16]));
    assert_eq!(
        ThreadLocalStorage::new(7)
            .set(0, &1_u8)
            .unwrap_err()
            .to_string(),
        "there is no slot 0: each thread has 0; use a smaller key, or a larger slot size"
    );
}

#[test]
fn too_large_a_block_is_an_error() {
    let slots = ThreadLocalStorage::new(usize::MAX);
    assert!(matches!(
        slots.set(0, &1_u8),
        Err(SlotError::OutOfMemory { .. })
    ));
    assert_eq!(slots.get::<u8>(0), Ok(0));
}

/// 2 to 16 threads, 10 keys each, all at once, and each sees its own.
#[test]
fn threads_are_isolated() {
    let slots = ThreadLocalStorage::new(1024);
    for threads in [2, 4, 8, 16_u64] {
        let barrier = Barrier::new(threads as usize);
        thread::scope(|scope| {
            for own in 0..threads {
                let (slots, barrier) = (&slots, &barrier);
                scope.spawn(move || {
                    for key in 0..10 {
                        assert_eq!(slots.get::<u64>(key), Ok(0), "of another thread");
                        slots.set(key, &(own * 100 + key as u64)).unwrap();
                    }
                    barrier.wait();
                    for key in 0..10 {
                        assert_eq!(slots.get::<u64>(key), Ok(own * 100 + key as u64));
                    }
                });
            }
        });
    }
}

#[test]
fn a_new_thread_begins_with_zeros() {
    let slots = Arc::new(ThreadLocalStorage::new(64));
    for _ in 0..rounds(200) {
        let slots = slots.clone();
        let used = thread::spawn(move || {
            assert_eq!(slots.get::<[u64; 8]>(0), Ok([0; 8]));
            slots.set(0, &[u64::MAX; 8]).unwrap();
        });
        used.join().unwrap();
    }
}

#[test]
fn two_storages_are_two() {
    let storages = [(); 2].map(|()| ThreadLocalStorage::new(64));
    storages[0].set(0, &1_u8).unwrap();
    assert_eq!(storages[1].get::<u8>(0), Ok(0));
}
