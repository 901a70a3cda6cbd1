//! Programs that can never go on. None of them ends by itself: the host must
//! say that it is a deadlock, and where each thread is.
//!
//! ```text
//! deadlock philosophers   two threads take two mutexes in opposite order (default)
//! deadlock self           main locks a mutex that it holds
//! deadlock condvar        main joins a thread that nobody will notify
//! deadlock channel        two threads each wait for the other's message
//! deadlock inlined        the closure of a thread locks what main holds
//! deadlock late           as `philosophers`, but only after 300 ms of good work
//! ```
//!
//! Each prints `ready` shortly before. The functions have telling names, and are
//! never inlined, so that a backtrace shows them; the one closure is.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Barrier, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use conformance::{arg_or, say};

static LEFT_FORK: Mutex<()> = Mutex::new(());
static RIGHT_FORK: Mutex<()> = Mutex::new(());
/// Both philosophers hold one fork when they pass it: the deadlock is certain.
static BOTH_HOLD_A_FORK: Barrier = Barrier::new(2);

fn main() {
    match arg_or(1, String::from("philosophers")).as_str() {
        "philosophers" => join_philosophers(),
        "self" => lock_what_is_mine(),
        "condvar" => join_the_forgotten(),
        "channel" => join_the_polite(),
        "inlined" => join_a_closure(),
        "late" => {
            eat_in_order_for(Duration::from_millis(300));
            join_philosophers();
        }
        other => panic!("there is no deadlock called {other}"),
    }
    unreachable!("it was no deadlock");
}

#[inline(never)]
fn join_philosophers() {
    say("ready");
    let left = thread::Builder::new().name("left".into()).spawn(philosopher_left).unwrap();
    let right = thread::Builder::new().name("right".into()).spawn(philosopher_right).unwrap();
    left.join().unwrap();
    right.join().unwrap();
}

#[inline(never)]
fn philosopher_left() {
    let _first = LEFT_FORK.lock().unwrap();
    BOTH_HOLD_A_FORK.wait();
    let _second = RIGHT_FORK.lock().unwrap();
}

#[inline(never)]
fn philosopher_right() {
    let _first = RIGHT_FORK.lock().unwrap();
    BOTH_HOLD_A_FORK.wait();
    let _second = LEFT_FORK.lock().unwrap();
}

#[inline(never)]
fn eat_in_order_for(time: Duration) {
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while start.elapsed() < time {
                    let _first = LEFT_FORK.lock().unwrap();
                    let _second = RIGHT_FORK.lock().unwrap();
                }
            });
        }
    });
}

#[inline(never)]
fn lock_what_is_mine() {
    say("ready");
    let _mine = LEFT_FORK.lock().unwrap();
    let _again = LEFT_FORK.lock().unwrap();
}

#[inline(never)]
fn join_a_closure() {
    say("ready");
    let _mine = LEFT_FORK.lock().unwrap();
    // Called in one place, so that the compiler puts it there.
    thread::spawn(|| drop(LEFT_FORK.lock().unwrap())).join().unwrap();
}

#[inline(never)]
fn join_the_forgotten() {
    say("ready");
    thread::spawn(wait_for_a_notification).join().unwrap();
}

#[inline(never)]
fn wait_for_a_notification() {
    static NEVER: Condvar = Condvar::new();
    let _guard = NEVER.wait_while(LEFT_FORK.lock().unwrap(), |()| true);
}

#[inline(never)]
fn join_the_polite() {
    say("ready");
    let (to_second, from_first) = mpsc::channel();
    let (to_first, from_second) = mpsc::channel();
    let first = thread::spawn(move || wait_for_a_message_first(from_second, to_second));
    let second = thread::spawn(move || wait_for_a_message_first(from_first, to_first));
    first.join().unwrap();
    second.join().unwrap();
}

#[inline(never)]
fn wait_for_a_message_first(from: Receiver<()>, to: Sender<()>) {
    from.recv().unwrap();
    to.send(()).unwrap();
}
