//! Calls on open directories.

use super::Call;
use crate::abi::rights;
use crate::errno::{Errno, Result};
use crate::host::Host;
use std::os::fd::AsFd;
use std::sync::PoisonError;

pub(crate) fn fd_prestat_get<H: Host>(call: &Call<'_, H>, fd: u32, result: u32) -> Result {
    let descriptor = call.get(fd)?;
    let directory = descriptor.directory().map_err(|_| Errno::BADF)?;
    let name = directory.preopen.as_ref().ok_or(Errno::BADF)?;
    // The kind of grant, of which there is one, and the length of its name.
    let length = u32::try_from(name.len()).map_err(|_| Errno::OVERFLOW)?;
    let mut bytes = [0; 8];
    bytes[4..].copy_from_slice(&length.to_le_bytes());
    Ok(call.memory.write(result, &bytes)?)
}

pub(crate) fn fd_prestat_dir_name<H: Host>(
    call: &Call<'_, H>,
    fd: u32,
    at: u32,
    length: u32,
) -> Result {
    let descriptor = call.get(fd)?;
    let directory = descriptor.directory().map_err(|_| Errno::NOTDIR)?;
    let name = directory.preopen.as_ref().ok_or(Errno::NOTDIR)?;
    if name.len() > length as usize {
        return Err(Errno::NAMETOOLONG.into());
    }
    Ok(call.memory.write(at, name.as_bytes())?)
}

pub(crate) fn fd_readdir<H: Host>(
    call: &Call<'_, H>,
    fd: u32,
    at: u32,
    length: u32,
    cookie: u64,
    result: u32,
) -> Result {
    let descriptor = call.get_with(fd, rights::FD_READDIR)?;
    let directory = descriptor.directory()?;
    call.memory.locate(at, length as usize)?;
    call.memory.locate(result, 4)?;
    // The place is in the memory, so no sum exceeds 32 bits.
    let write = |place: usize, bytes: &[u8]| call.memory.write(at + place as u32, bytes);
    let mut listing = directory
        .listing
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let used = listing.read(directory.dir.as_fd(), cookie, length as usize, write)?;
    Ok(call.memory.write_u32(result, used as u32)?)
}
