//! Bounds what it costs to end a guest that is deep in a recursion.
//!
//! Where a guest traps, or a host function fails, Wasmtime collects *all* frames of the
//! stack before it keeps the newest few. A stack of 16 MiB can have a million of them: some
//! ten milliseconds, and more memory than the stack itself has, for each of the threads that
//! end at the same time.
//!
//! Invariant: of a guest that traps in its own code Wasmtime sees at most as many frames as a
//! backtrace has and one more; of one that a host call ends, none ([`NoFrames`]). So long as the guest
//! may run on, its stack is left as it is.

use crate::lock::lock;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use wasmtime::{Engine, Error, Store, WasmBacktrace};

/// Frames that a backtrace has at most, unless the embedder says another number.
pub(crate) const USUAL_FRAMES: NonZeroUsize = NonZeroUsize::new(20).unwrap();

/// Makes errors that end a guest of which nobody wants to see the frames.
pub(super) struct NoFrames(Mutex<Store<()>>);

impl NoFrames {
    pub(super) fn new(engine: &Engine) -> Self {
        Self(Mutex::new(Store::new(engine, ())))
    }

    /// The error as one that has been traced already. Nothing runs in the store of the
    /// trace, so that there is nothing to visit.
    pub(super) fn mark(&self, error: Error) -> Error {
        error.context(WasmBacktrace::force_capture(&*lock(&self.0)))
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) use linux::shorten_in;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod linux {
    use super::super::code_map::CodeMap;
    use super::Store;
    use std::num::NonZeroUsize;
    use std::ptr::with_exposed_provenance_mut;
    use std::sync::Arc;
    use wasmtime::unix::StoreExt;

    /// The chain of frame pointers: what each frame begins with.
    #[repr(C)]
    struct Frame {
        older: usize,
        return_address: usize,
    }

    /// Shortens the stacks of the guests of this store, which are instances of the module of
    /// this code, to `kept` frames where they trap.
    pub(crate) fn shorten_in<T: 'static>(
        store: &mut Store<T>,
        code: Arc<CodeMap>,
        kept: NonZeroUsize,
    ) {
        let handler = move |_, info: *const libc::siginfo_t, context: *const libc::c_void| {
            // SAFETY: Wasmtime passes on what the system has given its handler.
            let info = unsafe { &*info };
            // SAFETY: as above.
            let context = unsafe { &*context.cast::<libc::ucontext_t>() };
            let registers = &context.uc_mcontext.gregs;
            let pc = registers[libc::REG_RIP as usize] as usize;
            // The processor has refused the instruction: nobody has sent the signal. In guest
            // code that ends the guest, or the program.
            if info.si_code > 0 && code.has(pc) {
                // SAFETY: in the body of a function the frame pointer names a frame of the
                // guest, on this thread's stack, which is interrupted (see `stop_signal`),
                // and by the lines above none of these frames will be returned to.
                unsafe { shorten(&code, registers[libc::REG_RBP as usize] as usize, kept) };
            }
            // Wasmtime handles it.
            false
        };
        // SAFETY: the handler takes no lock, and allocates nothing; it reads and writes what
        // is the interrupted thread's own.
        unsafe { store.set_signal_handler(handler) };
    }

    /// Lets the frame that is `kept` frames older than the one at `newest` be followed by
    /// the one that entered the guest.
    ///
    /// # Safety
    ///
    /// At `newest` there is a frame of a function of `code`; all frames from there to the one
    /// that entered the guest, inclusive, are whole, and those of the guest are not returned
    /// to.
    unsafe fn shorten(code: &CodeMap, newest: usize, kept: NonZeroUsize) {
        let frame_at = with_exposed_provenance_mut::<Frame>;
        let mut at = newest;
        let mut oldest_kept = None;
        for visited in 1.. {
            // SAFETY: by this function's contract; `at` is a frame of the guest at first, and
            // then, by the check below, the caller of one.
            let frame = unsafe { frame_at(at).read() };
            // What entered the guest is called by the host.
            if !code.text().contains(&frame.return_address) {
                break;
            }
            if visited - 1 == kept.get() {
                oldest_kept = Some(at);
            }
            at = frame.older;
        }
        if let Some(oldest_kept) = oldest_kept {
            // SAFETY: one of the frames above, which nothing else uses but whoever walks it.
            unsafe { (*frame_at(oldest_kept)).older = at };
        }
    }
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
pub(crate) fn shorten_in<T: 'static>(
    _: &mut Store<T>,
    _: std::sync::Arc<super::CodeMap>,
    _: NonZeroUsize,
) {
}
