//! [`GuestMemory`]: the bytes of the guest that calls, which its other threads may read and
//! write at any moment.
//!
//! No Rust reference to them is ever made. Small things are copied by relaxed atomic
//! operations; what is read or written in bulk goes from there to the system by pointers
//! ([`Vectors`](crate::vectors::Vectors)). Nothing may be read twice: it may be another
//! thing the second time.
//!
//! Guests are not Rust: their plain accesses may race with those here, also with another
//! width. The specification has it that both sides get some value then, and the machines
//! that Wasmtime runs on keep it.

use crate::errno::Errno;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// See the module's documentation.
#[derive(Clone, Copy)]
pub(crate) struct GuestMemory<'a> {
    base: *mut u8,
    length: usize,
    /// What keeps it where it is.
    kept: PhantomData<&'a ()>,
}

impl GuestMemory<'_> {
    /// Of a module that has none.
    pub(crate) fn none() -> Self {
        Self {
            base: std::ptr::dangling_mut(),
            length: 0,
            kept: PhantomData,
        }
    }

    /// # Safety
    ///
    /// As long as this lives the bytes stay where they are and may be read and written, and
    /// no Rust reference to them is used.
    pub(crate) unsafe fn new(base: *mut u8, length: usize) -> Self {
        Self {
            base,
            length,
            kept: PhantomData,
        }
    }

    /// Where these bytes are; `EFAULT` if not all of them are in the memory.
    pub(crate) fn locate(&self, at: u32, length: usize) -> Result<*mut u8, Errno> {
        let at = at as usize;
        let end = at.checked_add(length).ok_or(Errno::FAULT)?;
        if end > self.length {
            return Err(Errno::FAULT);
        }
        Ok(self.base.wrapping_add(at))
    }

    /// Fills `bytes` from there.
    pub(crate) fn read_into(&self, at: u32, bytes: &mut [u8]) -> Result<(), Errno> {
        let from = self.locate(at, bytes.len())?;
        // SAFETY: `locate` has found as many bytes in the memory.
        unsafe { copy_out(from, bytes) };
        Ok(())
    }

    pub(crate) fn read<const N: usize>(&self, at: u32) -> Result<[u8; N], Errno> {
        let mut bytes = [0; N];
        self.read_into(at, &mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn write(&self, at: u32, bytes: &[u8]) -> Result<(), Errno> {
        let to = self.locate(at, bytes.len())?;
        // SAFETY: as in `read_into`.
        unsafe { copy_in(bytes, to) };
        Ok(())
    }

    pub(crate) fn write_u32(&self, at: u32, value: u32) -> Result<(), Errno> {
        self.write(at, &value.to_le_bytes())
    }

    pub(crate) fn write_u64(&self, at: u32, value: u64) -> Result<(), Errno> {
        self.write(at, &value.to_le_bytes())
    }
}

/// Copies from a guest's memory.
///
/// # Safety
///
/// As many bytes of a guest's memory as `to` has are at `from`.
pub(crate) unsafe fn copy_out(from: *const u8, to: &mut [u8]) {
    let mut at = 0;
    while at < to.len() {
        let place = from.wrapping_add(at);
        if to.len() - at >= 8 && place.addr().is_multiple_of(8) {
            // SAFETY: eight bytes are there, and the place is aligned; all accesses of
            // this program to them are atomic.
            let word = unsafe { AtomicU64::from_ptr(place.cast_mut().cast()) };
            // Ordering: Relaxed here and below: the guest orders its threads itself.
            let word = word.load(Ordering::Relaxed);
            to[at..at + 8].copy_from_slice(&word.to_ne_bytes());
            at += 8;
        } else {
            // SAFETY: one byte is there; as above.
            let byte = unsafe { AtomicU8::from_ptr(place.cast_mut()) };
            to[at] = byte.load(Ordering::Relaxed);
            at += 1;
        }
    }
}

/// Copies into a guest's memory.
///
/// # Safety
///
/// As many bytes of a guest's memory as `from` has are at `to`.
pub(crate) unsafe fn copy_in(from: &[u8], to: *mut u8) {
    let mut at = 0;
    while at < from.len() {
        let place = to.wrapping_add(at);
        if let (Some(word), true) = (
            from[at..].first_chunk::<8>(),
            place.addr().is_multiple_of(8),
        ) {
            // SAFETY: as in `copy_out`.
            let place = unsafe { AtomicU64::from_ptr(place.cast()) };
            place.store(u64::from_ne_bytes(*word), Ordering::Relaxed);
            at += 8;
        } else {
            // SAFETY: as in `copy_out`.
            let place = unsafe { AtomicU8::from_ptr(place) };
            place.store(from[at], Ordering::Relaxed);
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alignment_and_length_is_copied_and_nothing_else() {
        for start in 0..16_u32 {
            for length in 0..40_usize {
                let mut store = [0xEE_u8; 64];
                // SAFETY: the array outlives the memory and is not used meanwhile.
                let memory = unsafe { GuestMemory::new(store.as_mut_ptr(), store.len()) };
                let bytes: Vec<u8> = (0..length as u8).collect();
                memory.write(start, &bytes).unwrap();
                let mut back = vec![0; length];
                memory.read_into(start, &mut back).unwrap();
                assert_eq!(back, bytes);
                let start = start as usize;
                assert!(store[..start].iter().all(|byte| *byte == 0xEE));
                assert!(store[start + length..].iter().all(|byte| *byte == 0xEE));
            }
        }
    }

    #[test]
    fn what_is_not_in_the_memory_is_a_fault() {
        let mut store = [0_u8; 64];
        // SAFETY: as above.
        let memory = unsafe { GuestMemory::new(store.as_mut_ptr(), store.len()) };
        assert!(memory.locate(64, 0).is_ok());
        assert_eq!(memory.locate(65, 0), Err(Errno::FAULT));
        assert_eq!(memory.locate(60, 5), Err(Errno::FAULT));
        assert_eq!(
            memory.locate(u32::MAX, u32::MAX as usize),
            Err(Errno::FAULT)
        );
        assert_eq!(memory.locate(1, usize::MAX), Err(Errno::FAULT));
        assert!(GuestMemory::none().locate(0, 0).is_ok());
        assert_eq!(GuestMemory::none().locate(0, 1), Err(Errno::FAULT));
    }
}
