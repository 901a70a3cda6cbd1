//! Operating-system threads that guests can run on.
//!
//! A thread that runs WebAssembly needs a signal stack, since traps are signals, and the
//! signals that traps are must not be blocked. The standard library's threads inherit their
//! creator's mask, and map their signal stack once they run, where a failure ends the whole
//! program: a host that is short of mappings would be ended by a guest that starts threads.
//!
//! Invariant: every step of a start that can fail is made before the thread exists. Once
//! [`spawn`] has returned, the thread runs with a signal stack, with the mask that guests
//! need, whatever its creator's is.
//!
//! What is left are small allocations that the system's libraries and Wasmtime make for a
//! thread that runs (its handle, the destructors of its thread-local data): like all
//! allocations of Rust, they end a program that has no memory or no mappings left. That is
//! why [`Workers`](super::Workers) stop well below what the system allows. Wasmtime maps a
//! signal stack of its own, and panics where it cannot, only on threads that have none of
//! this size.

use std::io;
use std::sync::mpsc::sync_channel;

/// Bytes of a signal stack. Wasmtime makes one of its own where it finds less.
#[cfg(unix)]
const SIGNAL_STACK: usize = 256 << 10;

/// Starts a thread of this name with `stack` bytes of stack.
///
/// # Errors
///
/// If the system has no thread, or no memory, for it. `body` has not run then.
pub(crate) fn spawn(
    name: &'static str,
    stack: usize,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    #[cfg(unix)]
    return unix::spawn(name, stack, Box::new(body));
    #[cfg(not(unix))]
    return std::thread::Builder::new()
        .name(name.to_owned())
        .stack_size(stack)
        .spawn(body)
        .map(drop);
}

/// Runs `body` on a thread of its own, and waits for it: for work that the signals of
/// [`spawn`]'s mask must not meet on a thread of the embedder's.
///
/// # Errors
///
/// As [`spawn`], and if `body` panicked.
pub(crate) fn run_apart<R: Send + 'static>(
    name: &'static str,
    stack: usize,
    body: impl FnOnce() -> R + Send + 'static,
) -> io::Result<R> {
    let (sender, receiver) = sync_channel(1);
    spawn(name, stack, move || {
        // The receiver waits for it.
        let _ = sender.send(body());
    })?;
    receiver
        .recv()
        .map_err(|_| io::Error::other("the thread panicked"))
}

/// Runs `body`, in which guest code may trap, on a thread of the embedder's, where the
/// signals that traps are may be blocked: the system would end the program.
pub(crate) fn with_traps<R>(body: impl FnOnce() -> R) -> R {
    #[cfg(unix)]
    let _restored = unix::MaskGuard::with_traps();
    body()
}

#[cfg(unix)]
mod unix {
    use super::SIGNAL_STACK;
    use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
    use std::io;
    use std::mem::MaybeUninit;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::ptr::{null_mut, with_exposed_provenance_mut};

    /// What a new thread is given.
    struct Start {
        #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "cannot be set"))]
        name: &'static str,
        signal_stack: SignalStack,
        body: Box<dyn FnOnce() + Send>,
    }

    pub(super) fn spawn(
        name: &'static str,
        stack: usize,
        body: Box<dyn FnOnce() + Send>,
    ) -> io::Result<()> {
        let start = Box::into_raw(Box::new(Start {
            name,
            signal_stack: SignalStack::new()?,
            body,
        }));
        let created = create(stack, start);
        if created.is_err() {
            // SAFETY: it came from `into_raw` above, and no thread has got it.
            drop(unsafe { Box::from_raw(start) });
        }
        created
    }

    fn create(stack: usize, start: *mut Start) -> io::Result<()> {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: it is valid for the write.
        check(unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) })?;
        // Beyond all memory it stays what it is, and is refused.
        let rounded = stack.checked_next_multiple_of(rustix::param::page_size());
        let stack = rounded.unwrap_or(stack);
        // SAFETY: the attributes are initialized, here and below.
        let sized = unsafe { libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), stack) };
        let detached = libc::PTHREAD_CREATE_DETACHED;
        let created = check(sized)
            // SAFETY: as above.
            .and(check(unsafe {
                libc::pthread_attr_setdetachstate(attributes.as_mut_ptr(), detached)
            }))
            .and_then(|()| {
                let mut thread = MaybeUninit::uninit();
                // SAFETY: `run` takes over `start`, which came from a box, and nobody else
                // uses it once this has succeeded.
                check(unsafe {
                    libc::pthread_create(
                        thread.as_mut_ptr(),
                        attributes.as_ptr(),
                        run,
                        start.cast(),
                    )
                })
            });
        // SAFETY: as above; nobody uses them afterwards.
        unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
        created
    }

    fn check(code: libc::c_int) -> io::Result<()> {
        match code {
            0 => Ok(()),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }

    extern "C" fn run(start: *mut libc::c_void) -> *mut libc::c_void {
        // SAFETY: `spawn` made it with `into_raw`, for this thread alone.
        let start = unsafe { Box::from_raw(start.cast::<Start>()) };
        let Start {
            name,
            signal_stack,
            body,
        } = *start;
        signal_stack.enter();
        set_mask();
        set_name(name);
        // A job that panics has told of it already, and must not unwind into the system: nor
        // must what it panicked with, when it is dropped.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(body)) {
            std::mem::forget(panic);
        }
        signal_stack.leave();
        null_mut()
    }

    /// Lets the signals through that traps and stops are made of, and holds back the one by
    /// which the system would end the program for a guest's write of too large a file: the
    /// write fails with an error as well. What a write to a pipe that nobody reads does,
    /// `SIGPIPE`, stays the program's own decision.
    fn set_mask() {
        mask(libc::SIG_UNBLOCK, &TRAPS);
        mask(libc::SIG_BLOCK, &[libc::SIGXFSZ]);
    }

    /// The signals that traps are.
    const TRAPS: [libc::c_int; 5] = [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGILL,
        libc::SIGFPE,
        libc::SIGTRAP,
    ];

    /// Gives the thread its mask back.
    pub(super) struct MaskGuard(libc::sigset_t);

    impl MaskGuard {
        /// Lets the signals through that traps are.
        pub(super) fn with_traps() -> Self {
            Self(mask(libc::SIG_UNBLOCK, &TRAPS))
        }
    }

    impl Drop for MaskGuard {
        fn drop(&mut self) {
            // SAFETY: `mask` has initialized the set.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, null_mut()) };
        }
    }

    /// Blocks or unblocks `signals` for the calling thread; returns the mask it had.
    pub(crate) fn mask(how: libc::c_int, signals: &[libc::c_int]) -> libc::sigset_t {
        let mut set = MaybeUninit::uninit();
        // SAFETY: it is valid for the write, which initializes it.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        for signal in signals {
            // SAFETY: the set is initialized; a number that is none is an error without
            // effect.
            unsafe { libc::sigaddset(set.as_mut_ptr(), *signal) };
        }
        // SAFETY: all zeros is a value of this type.
        let mut before = unsafe { MaybeUninit::zeroed().assume_init() };
        // SAFETY: the set is initialized, `how` is one of the constants, and `before` is valid
        // for the write.
        unsafe { libc::pthread_sigmask(how, set.as_ptr(), &raw mut before) };
        before
    }

    #[cfg(target_os = "linux")]
    fn set_name(name: &'static str) {
        if let Ok(name) = std::ffi::CString::new(name) {
            // Too long a name is an error without effect.
            let _ = rustix::thread::set_name(&name);
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn set_name(_: &'static str) {}

    /// A mapping with a guard page below.
    struct SignalStack {
        start: usize,
        guard: usize,
    }

    impl SignalStack {
        fn new() -> io::Result<Self> {
            let guard = rustix::param::page_size();
            let (length, none) = (guard + SIGNAL_STACK, ProtFlags::empty());
            // SAFETY: a new mapping, at a place that the system chooses.
            let start = unsafe { mmap_anonymous(null_mut(), length, none, MapFlags::PRIVATE) }?;
            // From here on, dropping it gives the mapping back.
            let stack = Self {
                start: start.expose_provenance(),
                guard,
            };
            let rights = MprotectFlags::READ | MprotectFlags::WRITE;
            // SAFETY: the pages are this mapping's, which nobody knows yet.
            unsafe { mprotect(stack.base(), SIGNAL_STACK, rights) }?;
            Ok(stack)
        }

        fn base(&self) -> *mut libc::c_void {
            with_exposed_provenance_mut(self.start + self.guard)
        }

        /// Makes it the calling thread's.
        fn enter(&self) {
            self.set(0);
        }

        /// The calling thread takes signals on its own stack again.
        fn leave(&self) {
            self.set(libc::SS_DISABLE);
        }

        fn set(&self, flags: libc::c_int) {
            let stack = libc::stack_t {
                ss_sp: self.base(),
                ss_flags: flags,
                ss_size: SIGNAL_STACK,
            };
            // SAFETY: the memory is this stack's, and stays until `leave` was called.
            let result = unsafe { libc::sigaltstack(&raw const stack, null_mut()) };
            debug_assert_eq!(result, 0);
        }
    }

    impl Drop for SignalStack {
        fn drop(&mut self) {
            let start = with_exposed_provenance_mut(self.start);
            // SAFETY: the mapping is this stack's alone; no thread uses it any more.
            let _ = unsafe { munmap(start, self.guard + SIGNAL_STACK) };
        }
    }
}

#[cfg(unix)]
pub(crate) use unix::mask;
