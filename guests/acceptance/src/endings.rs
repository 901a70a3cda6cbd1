//! Ends of the whole process, which its host must report.
//!
//! `threadwork selftest` demands of each what the report says: `endings.rs` there.

use threadwork::ThreadPool;
use threadwork::sync::{Barrier, Latch, Mutex, lock_order};
use threadwork::thread::{self, Builder};

/// Ends the process in the way of that name.
pub(crate) fn end(name: &str) {
    match name {
        "panic-in-a-thread" => panic_in_a_thread(),
        "panic-in-a-task" => panic_in_a_task(),
        "cycle-of-locks" => drop(message_of_a_cycle()),
        "all-threads-wait" => all_threads_wait(),
        other => eprintln!("error: there is no end {other}"),
    }
}

fn panic_in_a_thread() {
    let builder = Builder::new().name("doomed-thread".into());
    let thread = builder.spawn(|| panic!("this thread fails on purpose"));
    drop(thread.map(|thread| thread.join()));
}

fn panic_in_a_task() {
    let Ok(pool) = ThreadPool::new(1) else { return };
    let task = pool.task().name("doomed-task").execute(|| panic!("this task fails on purpose"));
    drop(task.wait());
}

/// Two threads each hold what the other wants. Where panics unwind, one of them panics,
/// which saves the other.
pub(crate) fn message_of_a_cycle() -> Result<String, String> {
    // Nobody here sends a guard to another thread, so who waits in a cycle waits for ever.
    lock_order::set_deadlock_handler(|message| panic!("{message}"));
    let (left_fork, right_fork) = (Mutex::new(()), Mutex::new(()));
    let both_hold_a_fork = Barrier::new(2);
    let philosopher = |mine: &Mutex<()>, other: &Mutex<()>| {
        let _mine = mine.lock();
        both_hold_a_fork.wait();
        let _other = other.lock();
    };
    let named = |name: &str| Builder::new().name(name.into());
    thread::scope(|scope| {
        let left =
            named("left philosopher").spawn_scoped(scope, || philosopher(&left_fork, &right_fork));
        let right =
            named("right philosopher").spawn_scoped(scope, || philosopher(&right_fork, &left_fork));
        let outcomes = [left, right].map(|thread| thread.map(|thread| thread.join()));
        let mut panics = outcomes.into_iter().filter_map(|outcome| outcome.ok()?.err());
        let payload = panics.next().ok_or("nobody noticed the deadlock")?;
        payload.downcast_ref::<String>().cloned().ok_or("the panic has no message".into())
    })
}

/// No lock is part of it: each waits for a word of the other.
fn all_threads_wait() {
    let (left, right) = (Latch::new(), Latch::new());
    thread::scope(|scope| {
        scope.spawn(|| wait_for_the_right_one(&left, &right));
        scope.spawn(|| wait_for_the_left_one(&left, &right));
    });
}

#[inline(never)]
fn wait_for_the_right_one(left: &Latch, right: &Latch) {
    right.wait();
    left.open();
}

#[inline(never)]
fn wait_for_the_left_one(left: &Latch, right: &Latch) {
    left.wait();
    right.open();
}
