//! Overflows the stack of a thread, and is told so.
//!
//! ```text
//! stack-overflow WHERE
//!   WHERE   end | now | std | scope | pool | main | never
//! ```
//!
//! A thread called `deep` comes to the very end of its stack of 64 KiB. It returns, and is
//! found out at its `end`, or asks `now`: the program ends with a message that names it.
//! A thread of the standard library, `std`, goes on for ever, and so do one in a `scope` and
//! a worker of a `pool`. So does `main`, whose stack ends with the memory. `never` stops in time.

use std::hint::black_box;

use conformance::{arg_or, say};
use threadwork::ThreadPool;
use threadwork::thread::{self, Builder};

fn main() {
    let place = arg_or(1, String::from("never"));
    match place.as_str() {
        "end" => in_thread(|| descend(0, || ())),
        "now" => in_thread(|| descend(0, thread::check_stack)),
        "never" => in_thread(|| descend(8192, thread::check_stack)),
        "std" => {
            let thread = std::thread::Builder::new().stack_size(64 * 1024);
            thread.spawn(|| descend_for_ever(0)).expect("a thread").join().expect("no panic");
        }
        "scope" => {
            let number = thread::scope(|scope| {
                let thread = Builder::new().stack_size(64 * 1024);
                let thread = thread.spawn_scoped(scope, || descend_for_ever(0));
                thread.expect("a thread").join()
            });
            number.expect("no panic");
        }
        "pool" => {
            let pool = ThreadPool::builder().pool_size(1).stack_size(64 * 1024);
            let pool = pool.build().expect("a pool");
            pool.execute(|| descend_for_ever(0)).wait().expect("no panic");
        }
        "main" => {
            descend_for_ever(0);
        }
        _ => panic!("there is no {place}"),
    }
    say("ok stack-overflow");
}

fn in_thread(body: impl FnOnce() + Send + 'static) {
    let thread = Builder::new().name("deep".into()).stack_size(64 * 1024);
    thread.spawn(body).expect("a thread").join().expect("no panic");
}

/// Goes down until no more than `left` bytes are left of the stack.
#[inline(never)]
fn descend(left: usize, then: fn()) {
    let mut frame = [1_u8; 64];
    black_box(&mut frame);
    match thread::stack_remaining() {
        Some(bytes) if bytes > left => descend(left, then),
        _ => then(),
    }
    black_box(&mut frame);
}

#[inline(never)]
fn descend_for_ever(depth: u64) -> u64 {
    let mut frame = [depth; 64];
    black_box(&mut frame);
    let below = if depth < u64::MAX { descend_for_ever(depth + 1) } else { 0 };
    black_box(&mut frame);
    below + frame[0]
}
