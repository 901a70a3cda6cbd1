//! The shared linear memories of a process, and the only place of this crate that
//! reads guest words through pointers.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use wasmtime::{SharedMemory, Trap};

/// A shared memory of a process.
#[derive(Clone)]
pub(crate) struct Memory(SharedMemory);

/// An aligned word in a [`Memory`], which keeps it alive.
#[derive(Clone, Copy)]
pub(crate) struct Word<'a, T>(&'a T);

impl Memory {
    pub(crate) fn new(memory: SharedMemory) -> Self {
        Self(memory)
    }

    pub(crate) fn shared(&self) -> &SharedMemory {
        &self.0
    }

    /// Its length in bytes now.
    pub(crate) fn len(&self) -> u64 {
        self.0.data_size() as u64
    }

    /// The guest's bytes, for WASI.
    pub(crate) fn bytes(&self) -> wiggle::GuestMemory<'_> {
        wiggle::GuestMemory::Shared(self.0.data())
    }

    /// The 32-bit word at `address`.
    ///
    /// # Errors
    ///
    /// The trap that the instruction has for an address that is not aligned or not
    /// in the memory, in this order.
    pub(crate) fn word32(&self, address: u64) -> Result<Word<'_, AtomicU32>, Trap> {
        let pointer = self.pointer::<4>(address)?;
        // SAFETY: it is aligned, and in the memory, which does not move or shrink
        // and outlives `self`. Guest and host access it with atomic instructions;
        // a guest that races with them by plain accesses gets some value, as the
        // specification has it.
        Ok(Word(unsafe { AtomicU32::from_ptr(pointer.cast()) }))
    }

    /// The 64-bit word at `address`; else as [`word32`](Self::word32).
    pub(crate) fn word64(&self, address: u64) -> Result<Word<'_, AtomicU64>, Trap> {
        let pointer = self.pointer::<8>(address)?;
        // SAFETY: as in `word32`.
        Ok(Word(unsafe { AtomicU64::from_ptr(pointer.cast()) }))
    }

    fn pointer<const SIZE: u64>(&self, address: u64) -> Result<*mut u8, Trap> {
        if !address.is_multiple_of(SIZE) {
            return Err(Trap::HeapMisaligned);
        }
        let data = self.0.data();
        match address.checked_add(SIZE) {
            // In bounds, so it fits a usize.
            Some(end) if end <= data.len() as u64 => {
                Ok(data[address as usize..].as_ptr().cast_mut().cast())
            }
            _ => Err(Trap::MemoryOutOfBounds),
        }
    }
}

impl<T> Word<'_, T> {
    /// The host address, by which the parking lot knows the word.
    pub(crate) fn key(&self) -> usize {
        std::ptr::from_ref(self.0).addr()
    }
}

impl Word<'_, AtomicU32> {
    /// Compares, as one step of the guest's sequentially consistent order.
    pub(crate) fn holds(&self, expected: u32) -> bool {
        // Ordering: SeqCst, as the guest's own atomics are. Guest words are
        // little-endian.
        u32::from_le(self.0.load(Ordering::SeqCst)) == expected
    }
}

impl Word<'_, AtomicU64> {
    /// As for 32 bits.
    pub(crate) fn holds(&self, expected: u64) -> bool {
        // Ordering: as for 32 bits.
        u64::from_le(self.0.load(Ordering::SeqCst)) == expected
    }
}
