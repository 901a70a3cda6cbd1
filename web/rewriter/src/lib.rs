//! `threadwork-rewrite` for hosts that are JavaScript: bytes in, bytes out.
//!
//! The host calls `allocate`, writes the module there, calls `rewrite`, and reads the
//! result, which is the new module or the text of an error, before the next call.

#![deny(missing_docs)]

use std::cell::RefCell;

use threadwork_rewrite::{Options, Stopping, rewrite_with};

thread_local! {
    /// The bytes that the host writes, and then those that it reads.
    static BYTES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Makes room for a module, and says where.
#[unsafe(no_mangle)]
pub extern "C" fn allocate(length: usize) -> *mut u8 {
    BYTES.with_borrow_mut(|bytes| {
        bytes.clear();
        bytes.resize(length, 0);
        bytes.as_mut_ptr()
    })
}

/// Rewrites the module that was written, with or without a check of its stack in linear
/// memory, and with or without looks whether it is to stop. True if there is a new one, false
/// if there is the text of an error.
#[unsafe(no_mangle)]
pub extern "C" fn rewrite(stack_check: bool, stoppable: bool) -> bool {
    let stopping = if stoppable {
        Stopping::ByWord
    } else {
        Stopping::None
    };
    let options = Options {
        stopping,
        stack_check,
        ..Options::default()
    };
    BYTES.with_borrow_mut(|bytes| match rewrite_with(bytes, options) {
        Ok(rewritten) => {
            *bytes = rewritten.wasm;
            true
        }
        Err(error) => {
            *bytes = error.to_string().into_bytes();
            false
        }
    })
}

/// Where the result is.
#[unsafe(no_mangle)]
pub extern "C" fn result() -> *const u8 {
    BYTES.with_borrow(|bytes| bytes.as_ptr())
}

/// How long the result is.
#[unsafe(no_mangle)]
pub extern "C" fn result_length() -> usize {
    BYTES.with_borrow(Vec::len)
}
