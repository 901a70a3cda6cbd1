//! Stops a thread in the middle of guest code, by a signal, so that the guest's loops need
//! no instruction of ours.
//!
//! The handler looks where the signal has met the thread. In the body of a function of the
//! module it lets the thread go on at an instruction that traps instead: to Wasmtime this is
//! a guest that ran into `unreachable`, and it unwinds as for any trap. Anywhere else (in a
//! host call, in a trampoline, in a library call) it does nothing, and whoever wants the
//! thread to stop sends again. Only threads inside [`stoppable`] are ever touched.
//!
//! # Why that is sound
//!
//! Read in the source of Wasmtime 48 (a test pins the version):
//!
//! - A trap is recognized by its address alone, and unwinding restores what the *entry* into
//!   the guest saved (`test_if_trap`, `entry_trap_handler`). No register of the interrupted
//!   function is used but the frame pointer, for the backtrace.
//! - In a function's body the frame pointer is that of the function or of its caller, and
//!   the chain from there is whole, but for one place: the prologue of a function that tail
//!   calls one with more parameters on the stack moves its frame, and for four instructions
//!   the frame pointer names words that are not written yet. All four move a word between
//!   the stack and `r11`; the handler leaves a thread alone where the next instruction is
//!   such a move ([`moves_frame`]).
//! - Between two instructions of a function's body Wasmtime holds no lock, and no structure
//!   of its own is half changed: all that is done by library calls, behind trampolines.
//!
//! # Invariant
//!
//! The signal is sent only to threads that have called [`Receiver::current`] and have not
//! ended: never to one that is not the engine's.

use super::code_map::CodeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Whether threads can be stopped so on this system.
pub(crate) const SUPPORTED: bool = cfg!(all(target_os = "linux", target_arch = "x86_64"));

/// Why a thread inside of [`stoppable`] would have to stop.
pub(crate) struct Reasons<'a> {
    /// Its process ends.
    pub(crate) ending: &'a AtomicBool,
    /// Its task is to end.
    pub(crate) cancelled: &'a AtomicBool,
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) use linux::{Receiver, install, stoppable};

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod linux {
    use super::super::signal_handler::{self, pass_on};
    use super::{Arc, CodeMap, Reasons};
    use std::cell::Cell;
    use std::io;
    use std::ptr::{null, with_exposed_provenance_mut};
    use std::sync::atomic::{AtomicBool, Ordering, compiler_fence};
    use std::sync::{Mutex, PoisonError};

    /// What the handler has to know of the guest code that a thread runs.
    struct Guest {
        code: *const CodeMap,
        ending: *const AtomicBool,
        cancelled: *const AtomicBool,
    }

    thread_local! {
        /// The guest that the thread is inside of; null outside.
        static GUEST: Cell<*const Guest> = const { Cell::new(null()) };
        /// Whether the thread is one that we send the signal to.
        static TAKES: Cell<bool> = const { Cell::new(false) };
    }

    /// Handles this signal from now on, and for as long as the program runs.
    ///
    /// # Errors
    ///
    /// If there is no such signal, or none that can be handled.
    pub(crate) fn install(signal: i32) -> io::Result<()> {
        // A system call of a thread that is to stop is not restarted: it may be a read that
        // somebody else has taken the input of.
        signal_handler::install(signal, handle, 0)
    }

    extern "C" fn handle(
        signal: libc::c_int,
        info: *mut libc::siginfo_t,
        context: *mut libc::c_void,
    ) {
        // SAFETY: the system passes what it says of the signal.
        if !TAKES.get() || !is_ours(unsafe { &*info }) {
            return pass_on(signal, info, context);
        }
        // SAFETY: `stoppable` keeps it until it has set the cell back, on this thread.
        let Some(guest) = (unsafe { GUEST.get().as_ref() }) else {
            // It was sent for a guest that the thread has left meanwhile.
            return;
        };
        // SAFETY: the system passes the interrupted thread's registers, for us to change.
        let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
        guest.stop_at(&mut context.uc_mcontext.gregs);
    }

    /// Whether the signal was sent by [`Receiver::send`], to a thread that takes it.
    fn is_ours(info: &libc::siginfo_t) -> bool {
        // SAFETY: signals that a process sends have these fields.
        let sender = || unsafe { info.si_pid() };
        // SAFETY: it has no precondition.
        info.si_code == libc::SI_TKILL && sender() == unsafe { libc::getpid() }
    }

    impl Guest {
        /// Lets the thread with these registers trap, if it is to stop and is where it can.
        fn stop_at(&self, registers: &mut [libc::greg_t; 23]) {
            // SAFETY: as for the guest itself, here and below.
            let ending = unsafe { &*self.ending };
            // SAFETY: as above.
            let cancelled = unsafe { &*self.cancelled };
            // Ordering: Relaxed; the system's delivery of the signal comes after the store
            // of whoever sent it, and a thread that sees the store late is sent another.
            if !ending.load(Ordering::Relaxed) && !cancelled.load(Ordering::Relaxed) {
                return;
            }
            // SAFETY: as above.
            let code = unsafe { &*self.code };
            let pc = registers[libc::REG_RIP as usize] as usize;
            let Some(trap) = code.trap() else {
                return;
            };
            if !code.has(pc) || moves_frame(pc) {
                return;
            }
            // As if the function had called the one that traps, so that the backtrace begins
            // with where it was. Cranelift keeps nothing below the stack pointer, and the
            // host's share of the stack is there even where the guest's is used up.
            let sp = registers[libc::REG_RSP as usize] as usize;
            let fp = (sp - 2 * size_of::<usize>()) & !15;
            let frame = with_exposed_provenance_mut::<[usize; 2]>(fp);
            // SAFETY: see above; `fp` is aligned, and the thread itself is interrupted.
            unsafe { frame.write([registers[libc::REG_RBP as usize] as usize, pc]) };
            registers[libc::REG_RSP as usize] = fp as libc::greg_t;
            registers[libc::REG_RBP as usize] = fp as libc::greg_t;
            registers[libc::REG_RIP as usize] = trap as libc::greg_t;
        }
    }

    /// Whether the instruction at `pc`, which is one of a function's body, may be one of
    /// those that move a frame: see the module's documentation.
    fn moves_frame(pc: usize) -> bool {
        // `mov offset(%rsp), %r11`, with one and with four bytes of offset; `mov %r11, (%rsp)`
        // and `mov %r11, 8(%rsp)`.
        const MOVES: [[u8; 4]; 4] = [
            [0x4C, 0x8B, 0x5C, 0x24],
            [0x4C, 0x8B, 0x9C, 0x24],
            [0x4C, 0x89, 0x1C, 0x24],
            [0x4C, 0x89, 0x5C, 0x24],
        ];
        let code = with_exposed_provenance_mut::<[u8; 4]>(pc);
        // SAFETY: code can be read, and a module's functions are followed by trampolines
        // or by the rest of their page, so there are four bytes. They have no alignment.
        let code = unsafe { code.read() };
        MOVES.contains(&code)
    }

    /// Runs `body`, in which this thread can be stopped where it is in `code`, once one of
    /// the reasons is there.
    pub(crate) fn stoppable<R>(
        code: &CodeMap,
        reasons: &Reasons<'_>,
        body: impl FnOnce() -> R,
    ) -> R {
        /// Sets the cell back, however `body` ends.
        struct Leave(*const Guest);
        impl Drop for Leave {
            fn drop(&mut self) {
                GUEST.set(self.0);
                // Ordering: of the compiler only, with a handler on this very thread: the
                // guest is not given back before the cell is set.
                compiler_fence(Ordering::SeqCst);
            }
        }
        let guest = Guest {
            code,
            ending: reasons.ending,
            cancelled: reasons.cancelled,
        };
        // Ordering: as above; the guest is whole before the handler can see it.
        compiler_fence(Ordering::SeqCst);
        let _leave = Leave(GUEST.replace(&raw const guest));
        body()
    }

    /// A thread that can be sent the signal.
    pub(crate) struct Receiver {
        /// The system's number of the thread; 0 once it ends.
        thread: Mutex<libc::pid_t>,
    }

    /// Ends with its thread.
    struct Registration(Arc<Receiver>);

    impl Drop for Registration {
        fn drop(&mut self) {
            let mut thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner);
            *thread = 0;
        }
    }

    impl Receiver {
        /// The calling thread, which takes this signal from now on.
        pub(crate) fn current(signal: i32) -> Arc<Self> {
            thread_local! {
                static SIGNAL: Cell<i32> = const { Cell::new(0) };
                static CURRENT: Registration = Registration(Arc::new(Receiver {
                    // SAFETY: it has no precondition.
                    thread: Mutex::new(unsafe { libc::gettid() }),
                }));
            }
            if SIGNAL.replace(signal) != signal {
                TAKES.set(true);
                super::super::os_thread::mask(libc::SIG_UNBLOCK, &[signal]);
            }
            CURRENT.with(|current| Arc::clone(&current.0))
        }

        /// Sends the signal, unless the thread has ended, or is the calling one.
        pub(crate) fn send(&self, signal: i32) {
            // Held meanwhile: the number is that of this thread until it is set to 0.
            let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: it has no precondition.
            if *thread != 0 && *thread != unsafe { libc::gettid() } {
                // SAFETY: it has no precondition.
                let process = unsafe { libc::getpid() };
                // SAFETY: the thread is one of this process; one that was forked from it has
                // no such thread, which is an error without effect.
                unsafe { libc::syscall(libc::SYS_tgkill, process, *thread, signal) };
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::moves_frame;
        use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, Register};
        use wasmtime::{Engine, Module};

        /// What Cranelift makes of a function that tail calls one with more parameters on the
        /// stack: after its frame pointer is set for the second time, four instructions write
        /// what it names, and the handler knows each of them.
        #[test]
        fn the_instructions_that_move_a_frame_are_known() {
            for parameters in [8, 20, 200] {
                let text = format!(
                    "(module (func (return_call $many {})) (func $many (param {}) (unreachable)))",
                    "(i64.const 0) ".repeat(parameters),
                    "i64 ".repeat(parameters),
                );
                let wasm = wat::parse_str(text).unwrap();
                let module = Module::new(&Engine::default(), wasm).unwrap();
                let function = module.functions().next().unwrap();
                let code = &module.text()[function.offset..function.offset + function.len];
                let mut decoder = Decoder::new(64, code, DecoderOptions::NONE);
                decoder.set_ip(code.as_ptr().addr() as u64);
                let code: Vec<Instruction> = decoder.into_iter().collect();
                let sets_frame = |instruction: &Instruction| {
                    instruction.mnemonic() == Mnemonic::Mov
                        && instruction.op0_register() == Register::RBP
                };
                let frames = code.iter().filter(|instruction| sets_frame(instruction));
                assert_eq!(frames.count(), 2, "{parameters} parameters");
                let second = code.iter().rposition(sets_frame).unwrap();
                let known = |at: usize| moves_frame(code[at].ip() as usize);
                assert!((1..=4).all(|after| known(second + after)), "{parameters}");
                assert!(!known(second) && !known(second + 5), "{parameters}");
            }
        }
    }
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
mod unsupported {
    use super::{Arc, CodeMap, Reasons};

    /// A thread; nothing can be sent to it here.
    pub(crate) struct Receiver;

    impl Receiver {
        pub(crate) fn current(_: i32) -> Arc<Self> {
            Arc::new(Self)
        }

        pub(crate) fn send(&self, _: i32) {}
    }

    pub(crate) fn install(_: i32) -> std::io::Result<()> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn stoppable<R>(_: &CodeMap, _: &Reasons<'_>, body: impl FnOnce() -> R) -> R {
        body()
    }
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
pub(crate) use unsupported::{Receiver, install, stoppable};
