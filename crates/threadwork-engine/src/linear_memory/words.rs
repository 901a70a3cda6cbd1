//! Shared linear memories, and the only place of this crate that reads and writes
//! guest words through pointers.
//!
//! Words are little-endian, as WebAssembly has them, and so are the hosts that this
//! crate builds for. Atomic operations are sequentially consistent, as the guest's own
//! are: the operators of both take part in one order.
//!
//! Guests are not Rust. They may race with all that is done here by plain accesses, and
//! by accesses of another width; the specification has it that both sides get some
//! value then, and the machines that Wasmtime runs on keep it. So nothing here may
//! assume anything of a value that it reads, or that it reads it twice.

use crate::limits::PAGE;
use std::cell::UnsafeCell;
use std::sync::atomic::{
    AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering,
};
use wasmtime::{SharedMemory, Trap};

const _: () = assert!(
    cfg!(target_endian = "little"),
    "atomic operations on a guest's words need a little-endian host"
);

/// A shared memory of a process.
#[derive(Clone)]
pub(crate) struct Memory {
    /// `None` for one without a byte, which stands for a memory that is gone.
    shared: Option<SharedMemory>,
    /// Pages that its module lets it have. A limit may have made it with fewer.
    declared: u64,
}

/// An aligned word in a [`Memory`], which keeps it alive.
#[derive(Clone, Copy)]
pub(crate) struct Word<'a, T>(&'a T);

/// An integer that WebAssembly has atomic operations for, with or without a sign.
///
/// It is one of `u8`, `i8`, `u16`, `i16`, `u32`, `i32`, `u64` and `i64`.
pub trait Integer: Number + sealed::Integer {}

/// What a linear memory can hold: an [`Integer`], `f32` or `f64`.
pub trait Number: Copy + sealed::Number {}

/// An operation that reads a word, changes it, and returns what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rmw {
    Add,
    Sub,
    And,
    Or,
    Xor,
    Exchange,
}

// Named so that they clash with nothing of a user's who bounds a type by these traits.
pub(crate) mod sealed {
    use super::Rmw;

    /// The bytes of a number.
    pub trait Number: Sized + 'static {
        /// An array of as many bytes.
        type Bytes: AsRef<[u8]> + AsMut<[u8]> + Default;

        fn into_number_bytes(self) -> Self::Bytes;
        fn from_number_bytes(bytes: Self::Bytes) -> Self;
    }

    /// The atomic operations on an integer.
    pub trait Integer: Sized + Eq + 'static {
        const SIZE: u64;
        /// The atomic of the same size and alignment.
        type Atomic: 'static;

        fn atomic_load(word: &Self::Atomic) -> Self;
        fn atomic_store(word: &Self::Atomic, value: Self);
        #[expect(private_interfaces, reason = "nobody outside can name this trait")]
        fn atomic_rmw(word: &Self::Atomic, op: Rmw, operand: Self) -> Self;
        fn atomic_compare_exchange(
            word: &Self::Atomic,
            current: Self,
            new: Self,
        ) -> Result<Self, Self>;
        /// The low bits of `bits`.
        fn from_word_bits(bits: u64) -> Self;
        /// With zeros, or with the sign, in the other bits.
        fn into_word_bits(self) -> u64;
    }
}

macro_rules! number {
    ($($number:ty)*) => {$(
        impl Number for $number {}

        impl sealed::Number for $number {
            type Bytes = [u8; size_of::<$number>()];

            fn into_number_bytes(self) -> Self::Bytes {
                self.to_le_bytes()
            }

            fn from_number_bytes(bytes: Self::Bytes) -> Self {
                Self::from_le_bytes(bytes)
            }
        }
    )*};
}

macro_rules! integer {
    ($($integer:ty: $atomic:ty;)*) => {$(
        number!($integer);

        impl Integer for $integer {}

        // Ordering: SeqCst throughout; see the module's documentation.
        impl sealed::Integer for $integer {
            const SIZE: u64 = size_of::<$integer>() as u64;
            type Atomic = $atomic;

            fn atomic_load(word: &$atomic) -> Self {
                word.load(Ordering::SeqCst)
            }

            fn atomic_store(word: &$atomic, value: Self) {
                word.store(value, Ordering::SeqCst);
            }

            #[expect(private_interfaces, reason = "as in the trait")]
            fn atomic_rmw(word: &$atomic, op: Rmw, operand: Self) -> Self {
                match op {
                    Rmw::Add => word.fetch_add(operand, Ordering::SeqCst),
                    Rmw::Sub => word.fetch_sub(operand, Ordering::SeqCst),
                    Rmw::And => word.fetch_and(operand, Ordering::SeqCst),
                    Rmw::Or => word.fetch_or(operand, Ordering::SeqCst),
                    Rmw::Xor => word.fetch_xor(operand, Ordering::SeqCst),
                    Rmw::Exchange => word.swap(operand, Ordering::SeqCst),
                }
            }

            fn atomic_compare_exchange(word: &$atomic, current: Self, new: Self) -> Result<Self, Self> {
                word.compare_exchange(current, new, Ordering::SeqCst, Ordering::SeqCst)
            }

            fn from_word_bits(bits: u64) -> Self {
                bits as Self
            }

            fn into_word_bits(self) -> u64 {
                self as u64
            }
        }
    )*};
}

integer! {
    u8: AtomicU8; i8: AtomicI8;
    u16: AtomicU16; i16: AtomicI16;
    u32: AtomicU32; i32: AtomicI32;
    u64: AtomicU64; i64: AtomicI64;
}
number!(f32 f64);

/// Objects that are made of atomics alone, so that any bytes are a valid one and
/// whoever shares the memory may change them at any time.
///
/// # Safety
///
/// Every field is an atomic integer, or another such object; there is no padding, and
/// nothing happens when it is dropped.
pub(crate) unsafe trait Shareable {}

impl Memory {
    pub(crate) fn new(shared: SharedMemory) -> Self {
        // A shared memory has a maximum.
        let declared = shared.ty().maximum().unwrap_or(u64::MAX);
        Self::declared(shared, declared)
    }

    /// Of a module that lets it have so many pages.
    pub(crate) fn declared(shared: SharedMemory, declared: u64) -> Self {
        Self {
            shared: Some(shared),
            declared,
        }
    }

    /// What stands for a memory that is gone: it has no byte, and never will.
    pub(super) fn gone() -> Self {
        Self {
            shared: None,
            declared: 0,
        }
    }

    pub(crate) fn shared(&self) -> Option<&SharedMemory> {
        self.shared.as_ref()
    }

    fn data(&self) -> &[UnsafeCell<u8>] {
        self.shared.as_ref().map_or(&[], SharedMemory::data)
    }

    /// Whether its module lets it grow by so many pages.
    pub(super) fn may_grow(&self, pages: u64) -> bool {
        (self.len() / PAGE).saturating_add(pages) <= self.declared
    }

    /// Its length in bytes now.
    pub(crate) fn len(&self) -> u64 {
        self.shared
            .as_ref()
            .map_or(0, |shared| shared.data_size() as u64)
    }

    /// The 32-bit word at `address`.
    ///
    /// # Errors
    ///
    /// As [`word`](Self::word).
    pub(crate) fn word32(&self, address: u64) -> Result<Word<'_, AtomicU32>, Trap> {
        self.word::<u32>(address).map(Word)
    }

    /// The 64-bit word at `address`; else as [`word32`](Self::word32).
    pub(crate) fn word64(&self, address: u64) -> Result<Word<'_, AtomicU64>, Trap> {
        self.word::<u64>(address).map(Word)
    }

    /// The word at `address`.
    ///
    /// # Errors
    ///
    /// The trap that the instruction has for an address that is not aligned or not
    /// in the memory, in this order.
    pub(crate) fn word<T: Integer>(&self, address: u64) -> Result<&T::Atomic, Trap> {
        let pointer = self.run(address, T::SIZE, T::SIZE)?.as_ptr();
        // SAFETY: it is aligned, because the memory's first byte is, and in the memory,
        // which does not move or shrink and outlives the reference; any bytes are a
        // valid atomic integer. Other threads access it with atomic instructions, or
        // see the module's documentation.
        Ok(unsafe { &*pointer.cast() })
    }

    /// The `count` words from `address` on; errors as [`word`](Self::word).
    pub(crate) fn words<T: Integer>(&self, address: u64, count: u64) -> Result<&[T::Atomic], Trap> {
        let size = count.checked_mul(T::SIZE).ok_or(Trap::MemoryOutOfBounds)?;
        let run = self.run(address, size, T::SIZE)?;
        // In bounds, so it fits a usize.
        let count = count as usize;
        // SAFETY: as in `word`, for each of them.
        Ok(unsafe { std::slice::from_raw_parts(run.as_ptr().cast(), count) })
    }

    /// Writes an object to `address`; errors as [`word`](Self::word).
    pub(crate) fn place<T: Shareable>(&self, address: u64, object: T) -> Result<(), Trap> {
        let _aligned = self.object::<T>(address)?;
        let pointer = std::ptr::from_ref(&object).cast();
        // SAFETY: a shareable object is bytes without padding, and nobody else has it.
        let bytes = unsafe { std::slice::from_raw_parts(pointer, size_of::<T>()) };
        self.write(address, bytes)
    }

    /// The object at `address`; errors as [`word`](Self::word).
    pub(crate) fn object<T: Shareable>(&self, address: u64) -> Result<&T, Trap> {
        let run = self.run(address, size_of::<T>() as u64, align_of::<T>() as u64)?;
        let pointer = run.as_ptr();
        // SAFETY: as in `word`, for each of the atomics that it is made of.
        Ok(unsafe { &*pointer.cast() })
    }

    /// Copies bytes out of the memory; errors as [`word`](Self::word).
    pub(crate) fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), Trap> {
        let run = self.run(address, bytes.len() as u64, 1)?;
        let (head, words, tail) = parts(run);
        let (first, rest) = bytes.split_at_mut(head.len());
        let (middle, last) = rest.split_at_mut(words.len() * WORD);
        for (word, bytes) in words.iter().zip(middle.chunks_exact_mut(WORD)) {
            bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
        }
        let ends = head.iter().zip(first).chain(tail.iter().zip(last));
        ends.for_each(|(cell, byte)| *byte = cell.load(Ordering::Relaxed));
        Ok(())
    }

    /// Copies bytes into the memory; errors as [`word`](Self::word).
    pub(crate) fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Trap> {
        let run = self.run(address, bytes.len() as u64, 1)?;
        let (head, words, tail) = parts(run);
        let (first, rest) = bytes.split_at(head.len());
        let (middle, last) = rest.split_at(words.len() * WORD);
        for (word, bytes) in words.iter().zip(middle.chunks_exact(WORD)) {
            let mut value = [0; WORD];
            value.copy_from_slice(bytes);
            word.store(u64::from_ne_bytes(value), Ordering::Relaxed);
        }
        let ends = head.iter().zip(first).chain(tail.iter().zip(last));
        ends.for_each(|(cell, byte)| cell.store(*byte, Ordering::Relaxed));
        Ok(())
    }

    /// Sets bytes to `value`; errors as [`word`](Self::word).
    pub(crate) fn fill(&self, address: u64, length: u64, value: u8) -> Result<(), Trap> {
        let (head, words, tail) = parts(self.run(address, length, 1)?);
        let word = u64::from_ne_bytes([value; WORD]);
        words
            .iter()
            .for_each(|cell| cell.store(word, Ordering::Relaxed));
        let ends = head.iter().chain(tail);
        ends.for_each(|cell| cell.store(value, Ordering::Relaxed));
        Ok(())
    }

    /// The `size` bytes at `address`, if they are aligned and in bounds.
    fn run(&self, address: u64, size: u64, alignment: u64) -> Result<&[UnsafeCell<u8>], Trap> {
        if !address.is_multiple_of(alignment) {
            return Err(Trap::HeapMisaligned);
        }
        let data = self.data();
        match address.checked_add(size) {
            // In bounds, so both fit a usize.
            Some(end) if end <= data.len() as u64 => Ok(&data[address as usize..end as usize]),
            _ => Err(Trap::MemoryOutOfBounds),
        }
    }
}

/// Bytes that are copied at once where they are aligned.
const WORD: usize = size_of::<u64>();

/// A run of bytes as single bytes, aligned words, and single bytes.
fn parts(run: &[UnsafeCell<u8>]) -> (&[AtomicU8], &[AtomicU64], &[AtomicU8]) {
    // SAFETY: any bytes are a valid atomic, and may be changed by others.
    let (head, words, tail) = unsafe { run.align_to::<AtomicU64>() };
    (bytes(head), words, bytes(tail))
}

fn bytes(run: &[UnsafeCell<u8>]) -> &[AtomicU8] {
    let pointer = std::ptr::from_ref(run) as *const [AtomicU8];
    // SAFETY: an `AtomicU8` has the layout of an `UnsafeCell<u8>`.
    unsafe { &*pointer }
}

impl<T> Word<'_, T> {
    /// The host address, by which the parking lot knows the word.
    pub(crate) fn key(&self) -> usize {
        std::ptr::from_ref(self.0).addr()
    }
}

impl Word<'_, AtomicU32> {
    /// Its value, as one step of the guest's sequentially consistent order.
    pub(crate) fn load(&self) -> u64 {
        // Ordering: SeqCst, as the guest's own atomics are.
        self.0.load(Ordering::SeqCst).into()
    }
}

impl Word<'_, AtomicU64> {
    /// As for 32 bits.
    pub(crate) fn load(&self) -> u64 {
        // Ordering: as for 32 bits.
        self.0.load(Ordering::SeqCst)
    }
}
