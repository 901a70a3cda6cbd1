//! What signals do to `threadwork`.
//!
//! Ctrl-C, SIGTERM and a terminal that is closed (SIGHUP) end it at once, in whatever
//! state it is: the handler itself ends the process, so that no thread has to be alive
//! for it, and takes the child processes along. There is one exception: while a program
//! runs, the first Ctrl-C ends that, and `threadwork` after it as usual; while it is profiled,
//! so does the first SIGTERM.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::{flag, low_level};
use threadwork_engine::Killer;

use crate::report::explain;
use crate::{children, exit_codes};

/// Whether the next Ctrl-C is for the thread of an [`Interrupt`].
static ORDERLY: AtomicBool = AtomicBool::new(false);

/// Whether the next SIGTERM is for it, too.
static ORDERLY_TERM: AtomicBool = AtomicBool::new(false);

/// Whether being ended is no failure.
static AS_WISHED: AtomicBool = AtomicBool::new(false);

/// Set when a file has become longer than the system allows. Nobody asks: who writes
/// learns it from the write.
static FILE_TOO_LONG: AtomicBool = AtomicBool::new(false);

/// What a command says that cannot be ended in the usual way.
const NOT_HEARD: &str = "cannot listen for Ctrl-C";

/// What the other functions count on, for this thread and all that it starts. To be
/// called first, before there are others.
pub(crate) fn prepare() -> anyhow::Result<()> {
    die_of_broken_pipes();
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        if signal == SIGHUP && is_ignored(signal) {
            continue; // It was started with nohup.
        }
        // SAFETY: `end` does only what a handler may: atomics, kill and _exit.
        let registered = unsafe { low_level::register(signal, move || end(signal)) };
        registered.map_err(|error| explain(NOT_HEARD, error))?;
    }
    // Not ignored, which children would inherit, but handled: a write that a limit on the
    // size of files forbids fails, instead of ending us.
    flag::register(libc::SIGXFSZ, &FILE_TOO_LONG)
        .map_err(|error| explain("cannot handle SIGXFSZ", error))?;
    unblock();
    Ok(())
}

/// What ends a program at the first Ctrl-C. It is made before the program starts: all that
/// the system may refuse is had by then.
pub(crate) struct Interrupt {
    sender: Sender<Killer>,
    with_term: bool,
}

impl Interrupt {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Self::of(false)
    }

    /// The first SIGTERM ends it, too: for a program of which there is something to tell in
    /// any case.
    pub(crate) fn of_any_kind() -> anyhow::Result<Self> {
        Self::of(true)
    }

    fn of(with_term: bool) -> anyhow::Result<Self> {
        let not_heard = |error| explain(NOT_HEARD, error);
        let signals = if with_term {
            &[SIGINT, SIGTERM][..]
        } else {
            &[SIGINT]
        };
        let mut interrupts = Signals::new(signals).map_err(not_heard)?;
        let (sender, program) = channel::<Killer>();
        let listen = move || {
            // An error means that there will be no program.
            if let Ok(program) = program.recv() {
                interrupts.forever().for_each(|_| program.kill());
            }
        };
        let listener = thread::Builder::new().name("signals".to_owned());
        listener.spawn(listen).map_err(not_heard)?;
        Ok(Self { sender, with_term })
    }

    /// From now on, the first Ctrl-C ends this program. The second is for `threadwork` again.
    pub(crate) fn ends(self, program: Killer) {
        // The thread waits for it.
        let _ = self.sender.send(program);
        // Ordering: SeqCst, here and below, since a signal comes rarely and its cost is
        // nothing; all that is needed is that the listener exists before this is seen.
        ORDERLY.store(true, Ordering::SeqCst);
        ORDERLY_TERM.store(self.with_term, Ordering::SeqCst);
    }
}

/// From now on, a signal is how this command is meant to end: with code 0.
pub(crate) fn end_as_wished() {
    AS_WISHED.store(true, Ordering::SeqCst);
}

/// The handler.
fn end(signal: i32) {
    let orderly = match signal {
        SIGINT => Some(&ORDERLY),
        SIGTERM => Some(&ORDERLY_TERM),
        _ => None,
    };
    if orderly.is_some_and(|orderly| orderly.swap(false, Ordering::SeqCst)) {
        return;
    }
    if children::kill_all(signal).is_err() {
        return;
    }
    low_level::exit(match AS_WISHED.load(Ordering::SeqCst) {
        true => 0,
        false => exit_codes::of_signal(signal),
    })
}

/// Lets the signals through that must arrive, even if whoever started us has blocked
/// them: those that a trap of the guest is, that which stops threads, and those that end
/// us. Threads inherit it.
fn unblock() {
    let signals = [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGILL,
        libc::SIGFPE,
        libc::SIGURG,
        libc::SIGPIPE,
        SIGHUP,
        SIGINT,
        SIGTERM,
    ];
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: the pointer is valid for writes; `sigemptyset` makes the whole set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    for signal in signals {
        // SAFETY: the set has been made above, and each number is a signal's.
        unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
    }
    // SAFETY: the set is whole; null says that nobody wants the old mask. It can fail only
    // for a first argument that means nothing.
    unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), std::ptr::null_mut()) };
}

/// Whether whoever started us wants this signal to do nothing.
fn is_ignored(signal: i32) -> bool {
    let mut old = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: null changes nothing, and the other pointer is valid for writes.
    let outcome = unsafe { libc::sigaction(signal, std::ptr::null(), old.as_mut_ptr()) };
    // SAFETY: all zeros are a valid `sigaction`, too, where the call has failed.
    let old = unsafe { old.assume_init() };
    outcome == 0 && old.sa_sigaction == libc::SIG_IGN
}

/// Makes a broken pipe end `threadwork` without a word, as it ends any program
/// of the system: `threadwork run list.wasm | head` is not an error.
///
/// Rust programs ignore SIGPIPE, so that a write fails with EPIPE. A guest could
/// not do better with that: it has no signals, and one written in Rust would
/// panic at its next `println!`.
fn die_of_broken_pipes() {
    // SAFETY: the default action is always a valid handler, and no other thread
    // runs yet that could count on the old one.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}
