//! Starts threads that wait, until the host refuses one; refusal is an error to
//! handle, not the end of the program.
//!
//! Prints `spawned <n> error <kind>` (`error none` if `spawn-until-fail MOST`,
//! 1000 by default, are all granted), lets all threads go, joins them, and
//! checks that there is room for one again.

use std::sync::{Arc, Condvar, Mutex};
use std::thread::{Builder, JoinHandle};

use conformance::{arg_or, say};

/// Small, so that it is the limit on threads that is met and not memory's.
const STACK: usize = 64 << 10;

fn main() {
    let most: usize = arg_or(1, 1000);
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let mut threads: Vec<JoinHandle<usize>> = Vec::with_capacity(most);
    let mut refusal = String::from("none");

    while threads.len() < most {
        let (number, gate) = (threads.len(), Arc::clone(&gate));
        let wait_at_gate = move || {
            let (open, opened) = &*gate;
            drop(opened.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
            number
        };
        match Builder::new().stack_size(STACK).spawn(wait_at_gate) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                refusal = format!("{:?}", error.kind());
                break;
            }
        }
    }
    say(format_args!("spawned {} error {refusal}", threads.len()));

    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    for (number, thread) in threads.into_iter().enumerate() {
        assert_eq!(thread.join().unwrap(), number);
    }
    let again = Builder::new().stack_size(STACK).spawn(|| 42).expect("there is room again");
    assert_eq!(again.join().unwrap(), 42);
    println!("ok spawn-until-fail");
}
