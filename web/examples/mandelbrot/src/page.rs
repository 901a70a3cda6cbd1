//! What the page calls. It gives addresses in linear memory and keeps what lies there until
//! the call returns; this module trusts it in that, as one has to.
//!
//! The page looks at `ready` and at rows that are ready during [`draw`], and writes `stop`,
//! always with `Atomics`.

use std::slice;
use std::sync::atomic::AtomicU32;

use crate::{Progress, View};

/// Room for `bytes` bytes, zeroed, at a multiple of 8. It is there as long as the process.
#[unsafe(no_mangle)]
pub extern "C" fn allocate(bytes: usize) -> *mut u64 {
    vec![0u64; bytes.div_ceil(size_of::<u64>())]
        .leak()
        .as_mut_ptr()
}

/// [`crate::draw`] for a page; see there.
///
/// # Safety
///
/// `view` is readable; `palette`, `pixels` and `ready` have `colours`, `width * height` and
/// `height` words; `stop` is a word; all are aligned, none overlaps another, and nobody else
/// uses them meanwhile but as the module says.
#[unsafe(no_mangle)]
#[allow(
    clippy::too_many_arguments,
    reason = "each is a number that JavaScript passes"
)]
pub unsafe extern "C" fn draw(
    view: *const View,
    palette: *const u32,
    colours: usize,
    pixels: *mut u32,
    width: usize,
    height: usize,
    stop: *const AtomicU32,
    ready: *const AtomicU32,
) -> usize {
    // SAFETY: readable and aligned, as the caller promises.
    let view = unsafe { view.read() };
    // SAFETY: `colours` words that nobody writes meanwhile, as the caller promises.
    let palette = unsafe { slice::from_raw_parts(palette, colours) };
    // SAFETY: `width * height` words; rows are read by the page only after their threads
    // are done with them.
    let pixels = unsafe { slice::from_raw_parts_mut(pixels, width * height) };
    // SAFETY: a word, used by atomic operations only.
    let stop = unsafe { &*stop };
    // SAFETY: `height` words, used by atomic operations only.
    let ready = unsafe { slice::from_raw_parts(ready, height) };
    crate::draw(view, palette, pixels, &Progress { stop, ready })
}
