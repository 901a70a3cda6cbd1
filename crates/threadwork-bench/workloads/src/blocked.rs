//! Threads that do nothing but exist: what each one costs in memory.

use std::io::{self, Read, Write};
use std::sync::{Arc, Barrier};
use std::thread;

/// Enough for a thread that only sleeps, and little enough for a thousand of them
/// in the one gibibyte that a wasm memory has by default.
const STACK: usize = 64 * 1024;

/// Starts `threads` threads that sleep for ever, prints `ready` once all of them
/// are under way, and returns at the end of the standard input.
///
/// # Errors
///
/// If a thread cannot be started, or the standard streams fail.
pub fn block(threads: u32) -> io::Result<()> {
    let gate = Arc::new(Barrier::new(threads as usize + 1));
    for _ in 0..threads {
        let gate = Arc::clone(&gate);
        thread::Builder::new().stack_size(STACK).spawn(move || {
            gate.wait();
            loop {
                thread::park();
            }
        })?;
    }
    gate.wait();
    let mut output = io::stdout();
    writeln!(output, "ready")?;
    output.flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
