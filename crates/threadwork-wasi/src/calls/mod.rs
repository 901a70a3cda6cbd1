//! The functions of preview 1, under their own names.
//!
//! Each gets what Wasmtime gives, numbers that may be anything. It looks at its arguments
//! once and in the order in which a system would; what leads out of the memory, or to no
//! descriptor, changes nothing.

pub(crate) mod basic;
pub(crate) mod dirs;
pub(crate) mod files;
pub(crate) mod paths;
pub(crate) mod poll;
pub(crate) mod sockets;

use crate::descriptor::{Descriptor, Kind};
use crate::errno::{Errno, Result};
use crate::host::Host;
use crate::memory::GuestMemory;
use std::sync::Arc;

/// Bytes of a path, as on Linux.
const LONGEST_PATH: u32 = 4096;

/// One call of a guest.
pub(crate) struct Call<'a, H> {
    pub(crate) host: &'a H,
    pub(crate) memory: GuestMemory<'a>,
}

impl<'a, H: Host> Call<'a, H> {
    pub(crate) fn new(host: &'a H, memory: GuestMemory<'a>) -> Self {
        Self { host, memory }
    }

    /// What the number stands for. It stays open until the call is done with it.
    fn get(&self, fd: u32) -> Result<Arc<Descriptor>> {
        let found = self.host.wasi().table().get(fd);
        found.ok_or_else(|| Errno::BADF.into())
    }

    /// What the number stands for, if the guest has not given up this right.
    fn get_with(&self, fd: u32, right: u64) -> Result<Arc<Descriptor>> {
        let descriptor = self.get(fd)?;
        descriptor.require(right)?;
        Ok(descriptor)
    }

    /// Opens what `open` makes, for the descriptor that it was found by.
    fn open(&self, parent: &Descriptor, open: impl FnOnce() -> Result<Kind>) -> Result<u32> {
        let wasi = self.host.wasi();
        let place = wasi.open_files().add().map_err(|limit| {
            self.host.refused(limit);
            Errno::MFILE
        })?;
        let descriptor = Descriptor::opened(open()?, place, parent);
        if descriptor.can_block() {
            wasi.ending().prepare()?;
        }
        let fd = wasi.table().insert(descriptor).map_err(|_| Errno::MFILE)?;
        if let Some(limit) = wasi.open_files().limit() {
            self.host.granted(limit);
        }
        Ok(fd)
    }

    /// The text at `at`, with a bound on its length.
    fn path(&self, at: u32, length: u32) -> Result<String> {
        match length {
            0 => return Err(Errno::NOENT.into()),
            1..LONGEST_PATH => {}
            _ => return Err(Errno::NAMETOOLONG.into()),
        }
        let mut bytes = vec![0; length as usize];
        self.memory.read_into(at, &mut bytes)?;
        let text = String::from_utf8(bytes).map_err(|_| Errno::ILSEQ)?;
        match text.contains('\0') {
            true => Err(Errno::INVAL.into()),
            false => Ok(text),
        }
    }
}
