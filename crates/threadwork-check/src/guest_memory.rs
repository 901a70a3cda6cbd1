//! The words and bytes of a guest's shared memory, as the host reads and writes them.
//!
//! Invariant: whoever is in here is the one operating-system thread that runs all threads of the
//! guest, and none of them runs meanwhile: so a plain access is no race, and nothing is torn.

use wasmtime::SharedMemory;

/// A guest's shared memory.
#[derive(Clone)]
pub(crate) struct GuestMemory(SharedMemory);

/// The access is out of bounds.
#[derive(Debug)]
pub(crate) struct OutOfBounds;

impl GuestMemory {
    pub(crate) fn new(memory: SharedMemory) -> Self {
        Self(memory)
    }

    pub(crate) fn shared(&self) -> &SharedMemory {
        &self.0
    }

    /// Where `length` bytes at `address` begin.
    fn place(&self, address: u64, length: usize) -> Result<*mut u8, OutOfBounds> {
        let data = self.0.data();
        let start = usize::try_from(address).map_err(|_| OutOfBounds)?;
        let end = start.checked_add(length).ok_or(OutOfBounds)?;
        data.get(start..end)
            .map(|cells| cells.as_ptr().cast_mut().cast())
            .ok_or(OutOfBounds)
    }

    /// The bytes at `address`.
    pub(crate) fn read(&self, address: u64, into: &mut [u8]) -> Result<(), OutOfBounds> {
        let from = self.place(address, into.len())?;
        // SAFETY: `place` has checked the bounds, a memory never shrinks, and by the invariant of
        // this module nobody writes it now.
        unsafe { std::ptr::copy_nonoverlapping(from, into.as_mut_ptr(), into.len()) };
        Ok(())
    }

    /// Writes `bytes` at `address`.
    pub(crate) fn write(&self, address: u64, bytes: &[u8]) -> Result<(), OutOfBounds> {
        let to = self.place(address, bytes.len())?;
        // SAFETY: as in `read`; the cells may be written through a shared reference.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        Ok(())
    }

    /// The number of `width` bytes at `address`, with zeros above; zero if it is out of bounds,
    /// where the guest's own access is about to trap.
    pub(crate) fn word(&self, address: u64, width: u8) -> u64 {
        let mut bytes = [0; 8];
        let width = usize::from(width.min(8));
        match self.read(address, &mut bytes[..width]) {
            Ok(()) => u64::from_le_bytes(bytes),
            Err(OutOfBounds) => 0,
        }
    }

    pub(crate) fn word32(&self, address: u64) -> Result<u32, OutOfBounds> {
        let mut bytes = [0; 4];
        self.read(address, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    pub(crate) fn word64(&self, address: u64) -> Result<u64, OutOfBounds> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// A hash of all bytes.
    pub(crate) fn hash(&self, into: &mut blake3::Hasher) {
        let mut page = [0; 4096];
        let mut address = 0;
        while self.read(address, &mut page).is_ok() {
            into.update(&page);
            address += page.len() as u64;
        }
    }
}
