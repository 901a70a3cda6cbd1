//! How a process ends, whoever ends it and whatever its threads are doing.
//!
//! ```text
//! endings WHO HOW MEANWHILE
//!   WHO        main | thread
//!   HOW        return | exit:<code> | trap | panic
//!   MEANWHILE  compute | wait | sleep | read     (what three siblings do)
//! ```
//!
//! Prints `ready` as soon as the siblings are at it, and then ends as told: if a
//! `thread` ends the process, `main` is waiting to join it. A thread that only
//! returns ends nothing: main then prints `joined`, and returns. For `read`,
//! give a stdin that stays open and silent.

use std::fs::File;
use std::hint::black_box;
use std::io::Read;
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Duration;

use conformance::{arg_or, say};

const SIBLINGS: usize = 3;
static IN_PLACE: AtomicUsize = AtomicUsize::new(0);

fn main() {
    let who = arg_or(1, String::from("main"));
    let how = arg_or(2, String::from("return"));
    let meanwhile = arg_or(3, String::from("wait"));

    let sibling: fn() = match meanwhile.as_str() {
        "compute" => compute_for_ever,
        "wait" => wait_for_ever,
        "sleep" => sleep_for_an_hour,
        "read" => read_stdin,
        other => panic!("what is {other}?"),
    };
    for _ in 0..SIBLINGS {
        thread::spawn(move || {
            IN_PLACE.fetch_add(1, SeqCst);
            sibling();
        });
    }
    while IN_PLACE.load(SeqCst) < SIBLINGS {
        thread::sleep(Duration::from_millis(1));
    }
    // They have yet to take the last step, from the counter into their wait.
    thread::sleep(Duration::from_millis(30));
    say("ready");

    match who.as_str() {
        "main" => end(&how),
        "thread" => {
            thread::spawn(move || end(&how)).join().expect("the thread panicked");
            say("joined");
        }
        other => panic!("who is {other}?"),
    }
}

#[inline(never)]
fn end(how: &str) {
    match how.split_once(':') {
        None if how == "return" => {}
        None if how == "trap" => trap(),
        None if how == "panic" => panic!("told to panic"),
        Some(("exit", code)) => process::exit(code.parse().expect("an exit code")),
        _ => panic!("how is {how}?"),
    }
}

#[inline(never)]
fn trap() -> ! {
    #[cfg(target_family = "wasm")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_family = "wasm"))]
    process::abort();
}

#[inline(never)]
fn compute_for_ever() {
    let mut n = 0_u64;
    loop {
        n = black_box(n.wrapping_mul(3).wrapping_add(1));
    }
}

#[inline(never)]
fn wait_for_ever() {
    static NEVER: Condvar = Condvar::new();
    static MUTEX: Mutex<()> = Mutex::new(());
    let _guard = NEVER.wait_while(MUTEX.lock().unwrap(), |()| true);
}

#[inline(never)]
fn sleep_for_an_hour() {
    thread::sleep(Duration::from_secs(3600));
}

/// Reads file descriptor 0 itself: behind the lock of `io::stdin()`, only one
/// sibling would be reading and the others waiting for it.
#[inline(never)]
fn read_stdin() {
    // SAFETY: descriptor 0 is open, and is not closed when `stdin` goes away.
    let mut stdin = ManuallyDrop::new(unsafe { File::from_raw_fd(0) });
    let mut byte = [0];
    while !matches!(stdin.read(&mut byte), Ok(0) | Err(_)) {}
}
