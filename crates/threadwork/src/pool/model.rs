//! What `tests/loom` sees of the pool: its parts, as the threads of a model use them.

#![allow(missing_docs, reason = "for the models of this crate alone")]

use std::future::Future;
use std::time::Duration;

use threadwork_sync::{Priority, System, Wait, block};

use super::lanes::{Lanes, Taken};
use super::name::TaskId;
use super::queue::{Next, Queue};
use super::task::{Finish, Label, Outcome, Raised, TaskRef, WorkerSlot};
use super::thread_counts::{Departure, ThreadCounts};
use crate::error::TaskError;

/// A task, as its queue has it.
#[derive(Clone)]
pub struct Entry(TaskRef);

/// A task, as who waits for it has it.
pub struct Handle<T>(Outcome<T>);

/// A task that nobody has queued.
pub fn task<T, F>(closure: F) -> (Entry, Handle<T>)
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let label = Label {
        id: TaskId::new(1),
        pool: 0,
        class: Priority::Low,
        name: None,
    };
    let (entry, outcome) = Outcome::new(label, closure);
    (Entry(entry), Handle(outcome))
}

/// The same, and its parent's reference.
pub fn child<T, F>(closure: F) -> (Entry, Entry, Handle<T>)
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let (entry, handle) = task(closure);
    let adopted = Entry(entry.0.adopt());
    (entry, adopted, handle)
}

/// Where a task stood when it was raised.
#[derive(Debug, PartialEq, Eq)]
pub enum Stood {
    Over,
    Queued,
    Running(usize),
}

impl Entry {
    /// What a worker does with a task that it takes out of the queue. Returns whether it is
    /// to count it.
    pub fn pop(self, slot: usize) -> bool {
        match self.0.popped(WorkerSlot::new(slot)) {
            Ok(claimed) => claimed.run(),
            Err(over) => over,
        }
    }

    /// What a worker does with a task that it waits for, or that was raised: runs it, if
    /// nobody has it. Returns whether it is to count it.
    pub fn run_ahead(&self, slot: usize) -> Option<bool> {
        self.0
            .claim(WorkerSlot::new(slot))
            .map(|claimed| claimed.run())
    }

    /// Cancels it.
    pub fn cancel(&self) -> bool {
        self.0.cancel()
    }

    /// Raises it.
    pub fn raise(&self, to: Priority) -> Stood {
        match self.0.raise(to) {
            Raised::NotNeeded => Stood::Over,
            Raised::Queued => Stood::Queued,
            Raised::Running(slot) => Stood::Running(slot.index()),
        }
    }

    /// Its class.
    pub fn class(&self) -> Priority {
        self.0.class()
    }
}

impl<T> Handle<T> {
    /// Waits.
    pub fn wait(mut self) -> Result<T, TaskError> {
        block(&System, Finish::of(self.0.task()), None).expect("no timeout");
        self.0.take().expect("it is over")
    }

    /// Waits for a while.
    pub fn wait_timeout(&mut self) -> Option<Result<T, TaskError>> {
        let some_time = Some(Duration::from_secs(1));
        block(&System, Finish::of(self.0.task()), some_time)?;
        self.0.take()
    }

    /// Waits as a future.
    pub fn wait_async(mut self) -> impl Future<Output = Result<T, TaskError>> {
        async move {
            Wait::new(Finish::of(self.0.task())).await;
            self.0.take().expect("it is over")
        }
    }

    /// Cancels it.
    pub fn cancel(&self) -> bool {
        self.0.task().cancel()
    }
}

/// A lane with one taker.
pub struct Line(Lanes);

impl Line {
    #[expect(clippy::new_without_default, reason = "a model makes it, nobody else")]
    pub fn new() -> Self {
        Line(Lanes::new())
    }

    pub fn push(&self, entry: Entry) {
        self.0.push(Priority::Low, entry.0);
    }

    pub fn has_work(&self) -> bool {
        self.0.have_work()
    }

    /// # Safety
    ///
    /// One thread at a time.
    pub unsafe fn pop(&self) -> Option<Entry> {
        // SAFETY: the caller's promise.
        match unsafe { self.0.pop(Priority::Low) } {
            Taken::Task(task) => Some(Entry(task)),
            Taken::Nothing | Taken::Later => None,
        }
    }
}

/// A queue, without the threads that serve it.
pub struct Counter(Queue);

impl Counter {
    #[expect(clippy::new_without_default, reason = "a model makes it, nobody else")]
    pub fn new() -> Self {
        Counter(Queue::new())
    }

    /// Queues a task; false if the queue is closed.
    pub fn execute(&self, entry: Entry) -> bool {
        let announced = self.0.announce().is_ok();
        if announced {
            self.0.push(entry.0);
        }
        announced
    }

    /// Takes a task and runs it.
    pub fn serve(&self, slot: usize) -> bool {
        let (entry, in_lane) = match self.0.take(0) {
            Next::Task(task) => (Entry(task), true),
            Next::Raised(task) => (Entry(task), false),
            Next::Later | Next::Nothing => return false,
        };
        let counted = if in_lane {
            entry.pop(slot)
        } else {
            entry.run_ahead(slot).unwrap_or(false)
        };
        if counted {
            self.0.finish(1);
        }
        true
    }

    /// Raises a task and sends it ahead.
    pub fn raise(&self, entry: &Entry) {
        if entry.raise(Priority::High) == Stood::Queued {
            self.0.expedite(entry.0.clone());
        }
    }

    pub fn close(&self) {
        self.0.close();
    }

    pub fn is_drained(&self) -> bool {
        self.0.is_drained()
    }

    pub fn wait_until_quiet(&self) {
        assert!(self.0.wait_until_quiet(None));
    }
}

/// The counts of threads.
pub struct Crew(ThreadCounts);

impl Crew {
    /// All of `size` are there.
    pub fn new(size: usize, most: usize) -> Self {
        let thread_counts = ThreadCounts::new(size, most);
        (0..size).for_each(|_| thread_counts.add());
        Crew(thread_counts)
    }

    /// Returns whether a thread is to be started.
    pub fn block(&self) -> bool {
        self.0.block()
    }

    pub fn unblock(&self) {
        self.0.unblock();
    }

    /// What a worker does between two tasks: rests if there is one too many. False if it was
    /// dismissed.
    pub fn pause(&self, is_over: impl Fn() -> bool) -> bool {
        let some_time = Duration::from_secs(1);
        !self.0.retire() || !self.0.rest(some_time, is_over, || self.0.dismiss_spare())
    }

    /// One that was dismissed departs. Returns whether a thread is to be started.
    pub fn depart(&self) -> bool {
        self.0.depart() == Departure::Replaced
    }

    /// The same, but never leaves before it is called.
    pub fn pause_for_ever(&self, is_over: impl Fn() -> bool) {
        if self.0.retire() {
            let some_time = Duration::from_secs(1);
            assert!(!self.0.rest(some_time, is_over, || false));
        }
    }

    /// Whether it makes itself spare.
    pub fn retires(&self) -> bool {
        self.0.retire()
    }

    /// A thread that was to be started did not come. Whether there is none now.
    pub fn did_not_come(&self) -> bool {
        self.0.did_not_come()
    }

    pub fn recall(&self) {
        self.0.recall();
    }

    /// Whether it was the last.
    pub fn leave(&self) -> bool {
        self.0.leave()
    }
}
