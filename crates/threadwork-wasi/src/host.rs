//! [`Host`]: what the calls must know of whoever makes them.

use crate::limits::Limit;
use crate::wasi::Wasi;
use std::time::Duration;
use wasmtime::SharedMemory;

/// The data of the stores whose guests call.
///
/// One [`Wasi`] serves all stores of a process, on as many threads as there are.
///
/// # Ending a process
///
/// A call never outlives its process by long. Whoever ends one makes
/// [`check_running`](Self::check_running) fail from then on, then calls [`Wasi::wake`], and
/// unparks the threads that are in a call ([`std::thread::Thread::unpark`]).
pub trait Host: 'static {
    /// The WASI side of the caller's process.
    fn wasi(&self) -> &Wasi;

    /// Looked at by each call, and where one is about to block or has been woken.
    ///
    /// # Errors
    ///
    /// If the caller is to end: the error that its guest is stopped with.
    fn check_running(&self) -> wasmtime::Result<()>;

    /// The memory that WASI works on, if that is a shared one; else it is what the instance
    /// exports as [`memory_name`](Self::memory_name).
    fn shared_memory(&self) -> Option<&SharedMemory>;

    /// The name under which an instance exports the memory that WASI works on.
    fn memory_name(&self) -> &'static str {
        "memory"
    }

    /// Processor time of all threads of the process.
    fn process_cpu_time(&self) -> Duration;

    /// Processor time of the calling thread.
    fn thread_cpu_time(&self) -> Duration;

    /// The error that stops a guest which exits with this code.
    fn exit(&self, code: i32) -> wasmtime::Error {
        wasmtime::Error::new(crate::Exit(code))
    }

    /// The calling thread begins a call that can take long, until
    /// [`long_call_ends`](Self::long_call_ends).
    fn long_call_begins(&self) {}

    /// See [`long_call_begins`](Self::long_call_begins).
    fn long_call_ends(&self) {}

    /// The calling thread is about to sleep, until [`sleep_ends`](Self::sleep_ends).
    fn sleep_begins(&self) {}

    /// See [`sleep_begins`](Self::sleep_begins).
    fn sleep_ends(&self) {}

    /// A limit refuses the calling thread something. Said before the guest is told.
    fn refused(&self, limit: Limit) {
        let _ = limit;
    }

    /// A limit ends the caller's process: the error that its guest is stopped with.
    fn end_by(&self, limit: Limit) -> wasmtime::Error {
        wasmtime::Error::msg(format!("{limit:?} was met"))
    }

    /// The calling thread is about to write this to standard error: the beginning, if it is
    /// longer than a kibibyte.
    fn complains(&self, text: &[u8]) {
        let _ = text;
    }

    /// The calling thread was granted something that this limit could have refused.
    fn granted(&self, limit: Limit) {
        let _ = limit;
    }
}

/// Lasts as long as a call that can take long.
pub(crate) struct LongCall<'a, H: Host>(&'a H);

impl<'a, H: Host> LongCall<'a, H> {
    pub(crate) fn begin(host: &'a H) -> Self {
        host.long_call_begins();
        Self(host)
    }
}

impl<H: Host> Drop for LongCall<'_, H> {
    fn drop(&mut self) {
        self.0.long_call_ends();
    }
}

/// Lasts as long as a sleep.
pub(crate) struct Sleep<'a, H: Host>(&'a H);

impl<'a, H: Host> Sleep<'a, H> {
    pub(crate) fn begin(host: &'a H) -> Self {
        host.sleep_begins();
        Self(host)
    }
}

impl<H: Host> Drop for Sleep<'_, H> {
    fn drop(&mut self) {
        self.0.sleep_ends();
    }
}
