//! Threads that are started once and run tasks from a queue.
//!
//! # How it is made
//!
//! | file | holds | invariant |
//! |---|---|---|
//! | [`task`] | a closure and its result, in one allocation | exactly one party gets the closure |
//! | [`lanes`] | lists of tasks that anybody adds to without waiting | none is lost |
//! | [`queue`] | the order of three lanes, and the counts | no class starves; closed and drained is final |
//! | [`thread_counts`] | how many threads are active, blocked, spare | `pool_size` are active if that can be |
//! | [`shared`] | what the threads share | |
//! | [`worker`] | the loop of a thread, and waits within tasks | |
//! | [`inheritance`] | waiters lend their priority to holders | |
//! | [`handle`] | the wait for a result, by a thread or a future | |
//! | [`visit`] | waits for tasks of other pools | no chain of pools hangs |
//! | [`install`] | tasks that borrow | the closure is gone before the call returns |
//!
//! A task is executed by one swap of the end of its lane, so threads that execute at once
//! do not wait for each other, and a thread that may not block may execute. Workers take
//! tasks one at a time under a lock, which is what makes a task's class an order and not
//! a hint. They sleep in their fork-join [`Group`](crate::fork_join), so one protocol wakes
//! them for tasks and for stolen work.
//!
//! # What a task costs
//!
//! One allocation; read-modify-writes: two to execute it (its number, its lane) and
//! what [`Group::wake_one`](crate::fork_join) takes; five to run it (the lock of the queue,
//! to claim it, to say that it is over, to count it); one for its two references. No
//! system call, unless a worker, or who waits for the task, sleeps: then one to wake
//! it. A task that a task makes costs a lock more, for inheritance. A name costs a lock
//! that nobody else takes.

#[cfg(not(loom))]
mod builder;
#[cfg(not(loom))]
mod dependencies;
#[cfg(not(loom))]
mod handle;
#[cfg(not(loom))]
mod inheritance;
#[cfg(not(loom))]
mod install;
mod lanes;
#[cfg(not(loom))]
mod last_words;
#[cfg(loom)]
pub mod model;
mod name;
mod queue;
#[cfg(not(loom))]
mod shared;
#[cfg(not(loom))]
mod status;
mod task;
mod thread_counts;
#[cfg(not(loom))]
mod thread_pool;
#[cfg(not(loom))]
mod visit;
#[cfg(not(loom))]
mod worker;

pub use name::{TaskId, TaskName};
#[cfg(not(loom))]
pub(crate) use worker::leave_tasks_to_others;
#[cfg(not(loom))]
pub use {
    builder::PoolBuilder,
    handle::{TaskFuture, TaskHandle},
    status::WorkerStatus,
    thread_pool::{TaskBuilder, ThreadPool, global},
    worker::{blocking, current_worker_index},
};
