//! The library with the engine, which lies beside the shim.
//!
//! Invariant: it is loaded once in a process that needs it, never in the shim itself, and never
//! unloaded, so that its functions may be called at any time.

use std::ffi::{CStr, CString, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::request::{self, Request};

/// Its file, in the folder of the shim.
const FILE: &str = "libthreadwork_container.so";

type Version = unsafe extern "C" fn() -> u32;
type Run = unsafe extern "C" fn(*const u8, usize) -> i32;
type Say = unsafe extern "C" fn(*mut c_void, *const u8, usize);
type Compile = unsafe extern "C" fn(*const u8, usize, *const u8, usize, Say, *mut c_void) -> i32;

/// The library's functions.
#[derive(Clone, Copy)]
pub(crate) struct Library {
    run: Run,
    compile: Compile,
}

/// What became of a module that was to be compiled.
pub(crate) enum Compiled {
    /// Its machine code is in the folder.
    Made,
    /// It costs more to compile than a stranger's may.
    TooDear,
    /// It cannot run; why.
    Refused(String),
}

impl Library {
    /// Loads it into this process.
    ///
    /// # Errors
    ///
    /// If it is not there, or another version's.
    pub(crate) fn load() -> Result<Self, String> {
        let path = path()?;
        let name = CString::new(path.as_os_str().as_bytes())
            .map_err(|error| format!("{}: {error}", path.display()))?;
        // SAFETY: the name ends with a zero. What the library does when it is loaded is what
        // Rust's libraries do: nothing.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            return Err(format!("cannot load {}: {}", path.display(), last_error()));
        }
        let find = |name: &CStr| {
            // SAFETY: the handle is of a library that is never unloaded.
            let function = unsafe { libc::dlsym(handle, name.as_ptr()) };
            match function.is_null() {
                false => Ok(function),
                true => Err(format!("{} is not ours: {}", path.display(), last_error())),
            }
        };
        let version = find(c"threadwork_container_version")?;
        // SAFETY: this is the function's type in all versions.
        let version = unsafe { std::mem::transmute::<*mut c_void, Version>(version) };
        // SAFETY: it may be called at any time.
        let version = unsafe { version() };
        if version != request::VERSION {
            return Err(format!("{} is of another version", path.display()));
        }
        let (run, compile) = (
            find(c"threadwork_container_run")?,
            find(c"threadwork_container_compile")?,
        );
        Ok(Self {
            // SAFETY: this is the function's type in this version.
            run: unsafe { std::mem::transmute::<*mut c_void, Run>(run) },
            // SAFETY: this is the function's type in this version.
            compile: unsafe { std::mem::transmute::<*mut c_void, Compile>(compile) },
        })
    }

    /// Runs a program, and returns the code to exit with.
    pub(crate) fn run(&self, request: &Request) -> i32 {
        // A request has strings and numbers only, which cannot fail to be written.
        let request = serde_json::to_vec(request).unwrap_or_default();
        // SAFETY: pointer and length are of these bytes.
        unsafe { (self.run)(request.as_ptr(), request.len()) }
    }

    /// Compiles a module into a folder.
    pub(crate) fn compile(&self, folder: &Path, module: &[u8]) -> Compiled {
        unsafe extern "C" fn say(context: *mut c_void, text: *const u8, length: usize) {
            // SAFETY: the context is the string below, which nobody else uses meanwhile.
            let said = unsafe { &mut *context.cast::<String>() };
            // SAFETY: they are of a text that outlives this call.
            let text = unsafe { std::slice::from_raw_parts(text, length) };
            said.push_str(&String::from_utf8_lossy(text));
        }
        let folder = folder.as_os_str().as_bytes();
        let mut said = String::new();
        // SAFETY: pointers and lengths are of these bytes, and `say` takes this context.
        let outcome = unsafe {
            (self.compile)(
                folder.as_ptr(),
                folder.len(),
                module.as_ptr(),
                module.len(),
                say,
                (&raw mut said).cast(),
            )
        };
        match outcome {
            0 => Compiled::Made,
            1 => Compiled::TooDear,
            _ => Compiled::Refused(said),
        }
    }
}

/// Where the library is.
pub(crate) fn path() -> Result<PathBuf, String> {
    let this = std::env::current_exe().map_err(|error| format!("where is the shim: {error}"))?;
    Ok(this.with_file_name(FILE))
}

fn last_error() -> String {
    // SAFETY: it may be called at any time.
    let text = unsafe { libc::dlerror() };
    if text.is_null() {
        return "an unknown error".to_owned();
    }
    // SAFETY: it is a text that ends with a zero, until the next call on this thread.
    unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned()
}
