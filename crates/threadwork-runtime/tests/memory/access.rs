//! Making a memory, and plain access to it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use threadwork_runtime::{MemoryError, Plain, SharedMemory};

use crate::support::{rounds, together};

const PAGE: usize = SharedMemory::PAGE;

#[test]
fn a_new_memory_is_shared_and_zero() {
    let memory = SharedMemory::new(1, 2).unwrap();
    assert!(memory.is_shared());
    assert_eq!(
        (memory.size(), memory.pages(), memory.max_pages()),
        (PAGE, 1, 2)
    );
    for part in 0..8 {
        let mut bytes = [0xff; 256];
        memory.read_bytes(part * PAGE / 8, &mut bytes).unwrap();
        assert_eq!(bytes, [0; 256]);
    }
}

#[test]
fn limits_are_checked() {
    for (min_pages, max_pages) in [(2, 1), (0, 65_537), (65_537, 65_537), (u32::MAX, u32::MAX)] {
        let error = SharedMemory::new(min_pages, max_pages).unwrap_err();
        assert_eq!(
            error,
            MemoryError::Limits {
                min_pages,
                max_pages
            }
        );
    }
    assert_eq!(SharedMemory::new(0, 0).unwrap().size(), 0);
    // 4 GiB as a maximum cost nothing.
    assert_eq!(SharedMemory::new(1, 65_536).unwrap().max_pages(), 65_536);
}

/// In 32 bits there is no room for it, and that is an error, not the end.
#[test]
#[cfg(target_pointer_width = "32")]
fn too_much_is_an_error() {
    for pages in [65_536, 65_535, 32_768] {
        let error = SharedMemory::new(pages, 65_536).unwrap_err();
        assert!(matches!(error, MemoryError::OutOfMemory { .. }), "{error}");
    }
}

#[test]
fn bytes_are_read_as_they_were_written() {
    let memory = SharedMemory::new(1, 1).unwrap();
    for byte in 0..=255_u8 {
        memory.write(byte as usize, byte).unwrap();
    }
    for byte in 0..=255_u8 {
        assert_eq!(memory.read::<u8>(byte as usize), Ok(byte));
    }
    let mut all = [0; 256];
    memory.read_bytes(0, &mut all).unwrap();
    assert!((0..=255).eq(all));
}

#[test]
fn numbers_have_the_byte_order_of_the_machine() {
    let memory = SharedMemory::new(1, 1).unwrap();
    memory.write(4, 0x0102_0304_u32).unwrap();
    assert_eq!(memory.read::<[u8; 4]>(4), Ok(0x0102_0304_u32.to_ne_bytes()));
    memory.write(9, -2.5_f64).unwrap();
    assert_eq!(memory.read::<f64>(9), Ok(-2.5));
    memory.write(33, [i128::MIN, -1]).unwrap();
    assert_eq!(memory.read::<[i128; 2]>(33), Ok([i128::MIN, -1]));
}

/// Every way to be outside is an error, and leaves the memory, and what was to be filled, as
/// they were.
#[test]
fn what_is_outside_is_refused() {
    let memory = SharedMemory::new(1, 3).unwrap();
    memory.grow(1).unwrap();
    let size = 2 * PAGE;
    for (offset, len) in [
        (size, 4),
        (size - 3, 4),
        (size + 1, 4),
        (usize::MAX, 4),
        (usize::MAX - 3, 4),
        (usize::MAX - 2, 4),
        (0, size + 1),
        (PAGE, PAGE + 1),
    ] {
        if cfg!(miri) && len > 4 {
            continue;
        }
        let error = Err(MemoryError::OutOfBounds { offset, size, len });
        let mut bytes = vec![7; len];
        assert_eq!(memory.write_bytes(offset, &bytes), error);
        assert_eq!(memory.read_bytes(offset, &mut bytes), error);
        assert!(bytes.iter().all(|byte| *byte == 7), "filled in part");
        if len == 4 {
            assert_eq!(memory.write(offset, 7_i32), error);
            assert_eq!(memory.read::<i32>(offset), error.map(|()| 0));
        }
    }
    let mut end = [7; 64];
    memory.read_bytes(size - 64, &mut end).unwrap();
    assert_eq!(end, [0; 64], "written in part");
    assert_eq!(memory.read::<u64>(0), Ok(0), "written in part");
}

#[test]
fn nothing_at_the_very_end_is_inside() {
    let memory = SharedMemory::new(1, 1).unwrap();
    assert_eq!(memory.read_bytes(PAGE, &mut []), Ok(()));
    assert_eq!(memory.write_bytes(PAGE, &[]), Ok(()));
    assert!(memory.read_bytes(PAGE + 1, &mut []).is_err());
    assert_eq!(memory.read::<[u32; 0]>(PAGE), Ok([]));
    let empty = SharedMemory::new(0, 1).unwrap();
    assert_eq!(empty.read_bytes(0, &mut []), Ok(()));
    assert!(empty.read::<u8>(0).is_err());
}

/// What is aligned in the memory is aligned in fact, to a cache line at least.
#[test]
fn alignment_is_real() {
    let memory = SharedMemory::new(1, 4).unwrap();
    memory.grow(3).unwrap();
    for page in 0..4 {
        let first = memory.u8(page * PAGE).unwrap();
        assert_eq!((&raw const *first).addr() % 128, 0);
    }
}

#[test]
fn memories_are_isolated() {
    let memories: Vec<_> = (0..2).map(|_| SharedMemory::new(1, 1).unwrap()).collect();
    memories[0].write(0, 111).unwrap();
    memories[1].write(0, 222).unwrap();
    assert_eq!(memories[0].read::<i32>(0), Ok(111));
    assert_eq!(memories[1].read::<i32>(0), Ok(222));
}

#[test]
fn clones_are_the_same_memory() {
    let memory = SharedMemory::new(1, 2).unwrap();
    let clone = memory.clone();
    memory.write(8, 5_u64).unwrap();
    clone.grow(1).unwrap();
    assert_eq!(clone.read::<u64>(8), Ok(5));
    drop(clone);
    assert_eq!(memory.pages(), 2);
    assert_eq!(memory.write(2 * PAGE - 8, 1_u64), Ok(()));
}

/// Whoever races with aligned numbers sees one or the other, never a mixture.
///
/// A reader that has seen the number change has read while it was being written: so many
/// changes, and not so many reads, make the test. A change by parts would show in most of them.
#[test]
fn an_aligned_number_is_never_torn() {
    fn race<T: Plain + PartialEq + std::fmt::Debug>(values: [T; 2]) {
        let memory = SharedMemory::new(1, 1).unwrap();
        memory.write(64, values[0]).unwrap();
        let over = AtomicBool::new(false);
        let torn = together(2, |index| {
            if index == 0 {
                while !over.load(Ordering::Relaxed) {
                    for value in values {
                        memory.write(64, value).unwrap();
                    }
                }
                return None;
            }
            let mut last = values[0];
            let mut changes = rounds(64).max(16);
            let torn = loop {
                let seen = memory.read::<T>(64).unwrap();
                if !values.contains(&seen) {
                    break Some(seen);
                }
                if seen == last {
                    // Where both are on one core, this is how it comes to change.
                    thread::yield_now();
                    continue;
                }
                last = seen;
                changes -= 1;
                if changes == 0 {
                    break None;
                }
            };
            over.store(true, Ordering::Relaxed);
            torn
        });
        assert_eq!(torn[1], None, "torn");
    }
    race([0, u16::MAX]);
    race([1.5_f32, -2.25e-30]);
    race([0, u64::MAX]);
}

#[test]
fn errors_say_what_to_do() {
    let memory = SharedMemory::new(1, 1).unwrap();
    let texts = [
        memory.read::<i32>(65_534).unwrap_err().to_string(),
        memory.load::<i32>(2).unwrap_err().to_string(),
        memory.grow(1).unwrap_err().to_string(),
        SharedMemory::new(2, 1).unwrap_err().to_string(),
    ];
    let expected = [
        "4 bytes at offset 65534 do not lie inside the memory of 65536 bytes: grow it, or use a smaller offset",
        "the offset 2 of an atomic access is not a multiple of 4: align the word to its size",
        "a memory of 1 pages cannot grow by 1: its maximum is 1; make it with a larger one",
        "a memory cannot have 2 to 1 pages: the minimum may not exceed the maximum, nor that 65536 pages (4 GiB)",
    ];
    assert_eq!(texts, expected);
}
