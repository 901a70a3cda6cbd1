//! Machine code in a file of its own, to be shipped.
//!
//! The form: [`MAGIC`], what the code depends on beside its module ([`cache::identity`]), the
//! module and the machine code, each after its length, what else is known of it, and a
//! checksum of all before.
//!
//! Invariant: what [`unpack`] returns was packed for an engine with the same version and
//! settings, and is whole. It is not proof against somebody who writes such files by hand.

use crate::cache;
use crate::engine::Engine;
use crate::error::Error;

/// What such a file begins with. No WebAssembly does, in either of its formats.
pub(crate) const MAGIC: &[u8; 8] = b"\0twcode\n";

const HASH: usize = blake3::OUT_LEN;

/// What is in such a file.
pub(crate) struct Parts<'a> {
    pub(crate) wasm: &'a [u8],
    pub(crate) code: &'a [u8],
    pub(crate) rest: &'a [u8],
}

/// Puts a module and what was made of it into one.
pub(crate) fn pack(engine: &Engine, wasm: &[u8], code: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut file = MAGIC.to_vec();
    file.extend(cache::identity(engine).finalize().as_bytes());
    for part in [wasm, code] {
        file.extend((part.len() as u64).to_le_bytes());
        file.extend(part);
    }
    file.extend(rest);
    let sum = blake3::hash(&file);
    file.extend(sum.as_bytes());
    file
}

/// The module and what was made of it.
///
/// # Errors
///
/// [`Error::NotPrecompiled`], or [`Error::PrecompiledElsewhere`].
pub(crate) fn unpack<'a>(engine: &Engine, file: &'a [u8]) -> Result<Parts<'a>, Error> {
    let damaged = |reason| Error::NotPrecompiled { reason };
    let body = file.strip_prefix(MAGIC);
    let body = body.ok_or_else(|| damaged("it does not begin as such a file does"))?;
    let cut = || damaged("it is cut short, or was changed");
    let (body, sum) = body.split_last_chunk::<HASH>().ok_or_else(cut)?;
    if blake3::hash(&file[..file.len() - HASH]) != *sum {
        return Err(cut());
    }
    let (identity, body) = body.split_first_chunk::<HASH>().ok_or_else(cut)?;
    if cache::identity(engine).finalize() != *identity {
        return Err(Error::PrecompiledElsewhere);
    }
    let (wasm, body) = split_part(body).ok_or_else(cut)?;
    let (code, rest) = split_part(body).ok_or_else(cut)?;
    Ok(Parts { wasm, code, rest })
}

/// A part that comes after its length, and what follows it.
fn split_part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, bytes) = bytes.split_first_chunk()?;
    bytes.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)
}
