//! Ctrl-C and broken pipes.

use std::process;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use threadwork_engine::Killer;

use crate::exit_codes;

/// What the next Ctrl-C ends. `None` before a program runs, and after the first
/// Ctrl-C: then there is nothing to wait for.
static RUNNING: Mutex<Option<Killer>> = Mutex::new(None);

/// From now on, Ctrl-C ends the program named to [`end_on_interrupt`] cleanly, or
/// `threadwork` itself if there is none or if it was pressed before.
pub(crate) fn handle_interrupts() -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot listen for Ctrl-C")?;
    let listen = move || {
        for _ in &mut signals {
            match running().take() {
                Some(program) => program.kill(),
                None => process::exit(exit_codes::INTERRUPTED),
            }
        }
    };
    let listener = thread::Builder::new().name("signals".to_owned());
    listener.spawn(listen).context("cannot listen for Ctrl-C")?;
    Ok(())
}

/// Names the program that the next Ctrl-C ends.
pub(crate) fn end_on_interrupt(program: Killer) {
    *running() = Some(program);
}

fn running() -> MutexGuard<'static, Option<Killer>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ctrl-C as something to wait for, instead of [`handle_interrupts`].
pub(crate) struct Interrupts(Signals);

/// From now on, Ctrl-C ends nothing by itself.
pub(crate) fn catch_interrupts() -> anyhow::Result<Interrupts> {
    let signals = Signals::new([SIGINT, SIGTERM]).context("cannot listen for Ctrl-C")?;
    Ok(Interrupts(signals))
}

impl Interrupts {
    /// Waits for the first.
    pub(crate) fn wait(mut self) {
        self.0.forever().next();
    }
}

/// Makes a broken pipe end `threadwork` without a word, as it ends any program
/// of the system: `threadwork run list.wasm | head` is not an error.
///
/// Rust programs ignore SIGPIPE, so that a write fails with EPIPE. A guest could
/// not do better with that: it has no signals, and one written in Rust would
/// panic at its next `println!`.
#[cfg(unix)]
pub(crate) fn die_of_broken_pipes() {
    // SAFETY: the default action is always a valid handler, and no other thread
    // runs yet that could count on the old one.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// Systems without SIGPIPE have nothing to restore.
#[cfg(not(unix))]
pub(crate) fn die_of_broken_pipes() {}
