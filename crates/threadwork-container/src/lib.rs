//! The engine as the first process of a container.
//!
//! The shim for containerd (`fleet/`) loads this library into the processes that compile and
//! those that become containers. It is a library of its own since the shim's packages would give
//! Wasmtime's other features, and so compile it once more; and since the shim itself, of which
//! there is one for each container, does without it.
//!
//! Invariant: no panic and no error leaves by the functions below; what goes wrong is a code and a
//! line of text.

mod guest;
mod request;

use std::path::PathBuf;
use std::slice;

use request::Request;
use threadwork_engine::{Engine, Error, Module};

/// The program could not be run at all, as `threadwork run` has it.
const CANNOT_RUN: i32 = 125;

/// The number of this interface.
#[unsafe(no_mangle)]
pub extern "C" fn threadwork_container_version() -> u32 {
    request::VERSION
}

/// Runs a program, and returns the code for the process to exit with.
///
/// # Safety
///
/// The request is the pointer and the length of as many bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn threadwork_container_run(request: *const u8, length: usize) -> i32 {
    // SAFETY: as our own.
    let request = unsafe { slice::from_raw_parts(request, length) };
    let outcome = serde_json::from_slice::<Request>(request)
        .map_err(anyhow::Error::new)
        .and_then(|request| guest::run(&request));
    outcome.unwrap_or_else(|error| {
        guest::say_error(&error);
        CANNOT_RUN
    })
}

/// Takes a line of text.
type Say = unsafe extern "C" fn(context: *mut std::ffi::c_void, text: *const u8, length: usize);

/// Makes a module's machine code in a folder: 0 if it is there, 1 if it must not be made, since it
/// costs more than that of a stranger may, 2 if the module cannot run; why is said.
///
/// # Safety
///
/// The folder's name and the module are the pointers and lengths of as many bytes; `say` may be
/// called with the context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn threadwork_container_compile(
    folder: *const u8,
    folder_length: usize,
    module: *const u8,
    module_length: usize,
    say: Say,
    context: *mut std::ffi::c_void,
) -> i32 {
    // SAFETY: as our own.
    let folder = unsafe { slice::from_raw_parts(folder, folder_length) };
    // SAFETY: as our own.
    let module = unsafe { slice::from_raw_parts(module, module_length) };
    let folder = PathBuf::from(String::from_utf8_lossy(folder).into_owned());
    let engine = Engine::builder()
        .cache_dir(Some(folder))
        .untrusted()
        .build();
    match engine.and_then(|engine| Module::new(&engine, module)) {
        Ok(_) => 0,
        Err(Error::CompileLimit { .. }) => 1,
        Err(error) => {
            let text = guest::one_line(&format!("{:#}", anyhow::Error::new(error)));
            // SAFETY: our caller lets us, and the text outlives the call.
            unsafe { say(context, text.as_ptr(), text.len()) };
            2
        }
    }
}
