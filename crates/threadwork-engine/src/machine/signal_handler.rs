//! Handlers of signals that leave to the program what is not for them.
//!
//! Invariant: once a signal has a handler of ours, it has it for as long as the program runs,
//! and whatever handled it before can be reached at any time.

use std::io;
use std::mem::{MaybeUninit, transmute};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, PoisonError};

/// One past the largest number of a signal.
const SIGNALS: usize = 65;

/// What handled each signal before us; null if we do not handle it.
static PREVIOUS: [AtomicPtr<libc::sigaction>; SIGNALS] =
    [const { AtomicPtr::new(null_mut()) }; SIGNALS];

/// The handlers that we have given, by signal.
static GIVEN: Mutex<Vec<(i32, Handler)>> = Mutex::new(Vec::new());

/// What is called with a signal: its number, what the system says of it, and the registers.
pub(crate) type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

/// Has `handler` called for this signal from now on, on the signal stack, with these flags
/// more. It does only what a signal handler may, and [passes on](pass_on) what is not for it.
///
/// # Errors
///
/// If there is no such signal, none that can be handled, or it has another handler of ours.
pub(crate) fn install(signal: i32, handler: Handler, flags: libc::c_int) -> io::Result<()> {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, present)) = given.iter().find(|(number, _)| *number == signal) {
        return match *present as usize == handler as usize {
            true => Ok(()),
            false => Err(io::Error::from_raw_os_error(libc::EBUSY)),
        };
    }
    let unknown = || io::Error::from_raw_os_error(libc::EINVAL);
    let slot = usize::try_from(signal).ok().and_then(|at| PREVIOUS.get(at));
    let slot = slot.ok_or_else(unknown)?;
    let mut previous = MaybeUninit::uninit();
    // SAFETY: it only asks, and `previous` is valid for the write.
    let asked = unsafe { libc::sigaction(signal, null(), previous.as_mut_ptr()) };
    if asked != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `sigaction` has succeeded, so it is written. Never given back: the handler
    // may read it at any time.
    let previous = Box::into_raw(Box::new(unsafe { previous.assume_init() }));
    // Ordering: Release; pairs with the acquire in `pass_on`. Before the handler is
    // there, which may run at once.
    slot.store(previous, Ordering::Release);
    // SAFETY: all zeros is a value of this type.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | flags;
    // SAFETY: the handler has the type that `SA_SIGINFO` asks for, and does only what a
    // signal handler may.
    let result = unsafe { libc::sigaction(signal, &raw const action, null_mut()) };
    if result != 0 {
        let error = io::Error::last_os_error();
        slot.store(null_mut(), Ordering::Release);
        return Err(error);
    }
    given.push((signal, handler));
    Ok(())
}

/// Does what the program would have done without us.
pub(crate) fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let slot = usize::try_from(signal).ok().and_then(|at| PREVIOUS.get(at));
    // Ordering: Acquire; pairs with the release in `install`.
    let previous = slot.map_or(null_mut(), |slot| slot.load(Ordering::Acquire));
    // SAFETY: `install` made it, and nobody changes it or gives it back.
    let Some(previous) = (unsafe { previous.as_ref() }) else {
        return;
    };
    let handler = previous.sa_sigaction;
    let is_ignored = [libc::SIGURG, libc::SIGCHLD, libc::SIGWINCH, libc::SIGCONT];
    if handler == libc::SIG_IGN || (handler == libc::SIG_DFL && is_ignored.contains(&signal)) {
        return;
    }
    if handler == libc::SIG_DFL {
        // It ends the program, as soon as the handler returns.
        // SAFETY: the action is one that the system has given.
        unsafe { libc::sigaction(signal, previous, null_mut()) };
        // SAFETY: it has no precondition.
        unsafe { libc::raise(signal) };
        return;
    }
    if previous.sa_flags & libc::SA_SIGINFO != 0 {
        // SAFETY: with this flag it is a function of this type.
        let handler = unsafe { transmute::<usize, Handler>(handler) };
        handler(signal, info, context);
    } else {
        // SAFETY: without it, of this one.
        let handler = unsafe { transmute::<usize, extern "C" fn(i32)>(handler) };
        handler(signal);
    }
}
