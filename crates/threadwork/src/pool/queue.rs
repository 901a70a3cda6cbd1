//! The queue of a pool: three classes of tasks, and the counts from which a pool knows
//! when it is quiet and when it has ended.
//!
//! # Order
//!
//! Within a class first in, first out; of the classes the highest that has a task. But a
//! class that was passed over [`MOST_PASSED_OVER`] times in a row while it had a task is next,
//! so the oldest task of a class is taken after at most `MOST_PASSED_OVER + 2` tasks of other
//! classes (two, if those have been passed over as often): **no class starves.**
//!
//! A task that is *raised* while it is queued cannot be unlinked from the middle of
//! its lane. It goes to the *expedited* tasks of its new class as well, which are served before
//! the lane; what remains in the lane is a stale entry.
//!
//! # Counts
//!
//! `came` counts the tasks that came, those that were refused too, without a lock; its
//! lowest bit says that the queue is closed. How many were taken out, and how many are
//! *finished* (over, and out of the queue), is counted under the lock of `turn`, which
//! every worker takes between two tasks anyway: it says then what it has finished.
//!
//! The queue is *quiet* when as many are finished as came. Who waits for that says so
//! under the lock, and whoever finishes the last task wakes it.
//!
//! A closed queue is *drained* when as many tasks were taken out as had come when it was
//! closed. A task that has been counted and is not linked yet keeps it from that, so
//! no task is left behind.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use threadwork_sync::{CachePadded, Futex as _, Mutex, MutexGuard, Patience, Priority, System};

use super::lanes::{Lanes, Taken};
use super::name::TaskId;
use super::task::TaskRef;
use crate::boundary;
use crate::primitive::{AtomicU32, AtomicU64};

/// How often a class is passed over while it has a task: it gets 3 % at least.
pub(crate) const MOST_PASSED_OVER: u32 = if cfg!(loom) { 1 } else { 32 };

const HIGHEST_FIRST: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Low];

const CLOSED: u64 = 1;
const ONE: u64 = 1 << 1;

pub(crate) struct Queue {
    lanes: Lanes,
    came: CachePadded<AtomicU64>,
    turn: CachePadded<Mutex<Turn>>,
    /// Expedited tasks, and those about to be.
    raised: AtomicU32,
    /// Changes when those who wait for quiet are woken.
    quiet: AtomicU32,
    drained: AtomicU32,
}

/// What belongs to whoever takes a task.
struct Turn {
    /// How often each class was passed over since a task of it was taken.
    passed: [u32; 3],
    /// Somebody waits for quiet.
    is_awaited: bool,
    /// Tasks taken out of the lanes.
    taken: u64,
    finished: u64,
    /// How many had come when the queue was closed.
    last: Option<u64>,
    /// Each may be over or run elsewhere by now.
    expedited: [VecDeque<TaskRef>; 3],
}

/// What a worker takes.
pub(crate) enum Next {
    /// The stale entry of a task, or a task to run.
    Task(TaskRef),
    /// A task that was raised; its entry is in the queue.
    Raised(TaskRef),
    /// There is a task, but somebody is still linking it.
    Later,
    Nothing,
}

impl Queue {
    pub(crate) fn new() -> Self {
        Queue {
            lanes: Lanes::new(),
            came: CachePadded::new(AtomicU64::new(0)),
            turn: CachePadded::new(Mutex::new(Turn {
                passed: [0; 3],
                is_awaited: false,
                taken: 0,
                finished: 0,
                last: None,
                expedited: [VecDeque::new(), VecDeque::new(), VecDeque::new()],
            })),
            raised: AtomicU32::new(0),
            quiet: AtomicU32::new(0),
            drained: AtomicU32::new(0),
        }
    }

    /// Counts a task that comes. If that is an error the queue is closed, and the task
    /// not expected.
    pub(crate) fn announce(&self) -> Result<TaskId, TaskId> {
        // Ordering: Relaxed; the task is published by its lane, and `close` learns of it
        // through the order of this word alone.
        let before = self.came.fetch_add(ONE, Ordering::Relaxed);
        let id = TaskId::new(before / ONE + 1);
        if before & CLOSED != 0 {
            self.finish(1);
            return Err(id);
        }
        Ok(id)
    }

    /// Adds a task that was announced, in its class.
    pub(crate) fn push(&self, task: TaskRef) {
        self.lanes.push(task.class(), task);
    }

    /// Sends a task that is queued, and was raised since, ahead.
    pub(crate) fn expedite(&self, task: TaskRef) {
        let class = task.class();
        // Ordering: Relaxed; only sums matter, and the wake-up that follows has the edge.
        self.raised.fetch_add(1, Ordering::Relaxed);
        self.turn.lock().expedited[class as usize].push_back(task);
    }

    /// Whether `take` might give something.
    pub(crate) fn has_work(&self) -> bool {
        // Ordering: Relaxed; who must not miss a task has an edge from its adder.
        self.lanes.have_work() || self.raised.load(Ordering::Relaxed) != 0
    }

    /// Takes the next task. So many are finished since the caller was here.
    pub(crate) fn take(&self, finished: u64) -> Next {
        if finished == 0 && !self.has_work() {
            return Next::Nothing;
        }
        // Those that were claimed are dropped without the lock: what they hold may want it.
        let mut claimed = Vec::new();
        let mut turn = self.turn.lock();
        let is_quiet = self.count(&mut turn, finished);
        let next = self.next(&mut turn, &mut claimed);
        self.tell(turn, is_quiet);
        if !claimed.is_empty() {
            claimed.into_iter().for_each(boundary::discard);
        }
        next
    }

    fn next(&self, turn: &mut Turn, claimed: &mut Vec<TaskRef>) -> Next {
        let mut nothing = Next::Nothing;
        // Ordering: Relaxed; what is expedited was counted before, under the lock.
        let are_raised = self.raised.load(Ordering::Relaxed) != 0;
        for class in turn.order() {
            if are_raised && let Some(task) = self.take_raised(turn, class, claimed) {
                self.count_passes(turn, class);
                return Next::Raised(task);
            }
            // SAFETY: under the lock of `turn`.
            match unsafe { self.lanes.pop(class) } {
                Taken::Task(task) => {
                    self.count_passes(turn, class);
                    turn.taken += 1;
                    self.look_whether_drained(turn);
                    return Next::Task(task);
                }
                Taken::Later => nothing = Next::Later,
                Taken::Nothing => {}
            }
        }
        nothing
    }

    fn take_raised(
        &self,
        turn: &mut Turn,
        class: Priority,
        claimed: &mut Vec<TaskRef>,
    ) -> Option<TaskRef> {
        while let Some(task) = turn.expedited[class as usize].pop_front() {
            // Ordering: Relaxed, as in `expedite`.
            self.raised.fetch_sub(1, Ordering::Relaxed);
            if !task.is_claimed() {
                return Some(task);
            }
            claimed.push(task);
        }
        None
    }

    fn count_passes(&self, turn: &mut Turn, taken: Priority) {
        for class in HIGHEST_FIRST {
            if class == taken {
                turn.passed[class as usize] = 0;
            } else if self.lanes.has_work(class) {
                turn.passed[class as usize] += 1;
            }
        }
    }

    /// So many tasks are over, and out of the queue.
    pub(crate) fn finish(&self, tasks: u64) {
        let mut turn = self.turn.lock();
        let is_quiet = self.count(&mut turn, tasks);
        self.tell(turn, is_quiet);
    }

    /// Counts finished tasks. Returns whether those who wait for quiet are to be told.
    fn count(&self, turn: &mut Turn, finished: u64) -> bool {
        turn.finished += finished;
        let is_quiet = turn.is_awaited && self.is_quiet(turn);
        turn.is_awaited &= !is_quiet;
        is_quiet
    }

    fn is_quiet(&self, turn: &Turn) -> bool {
        // Ordering: Relaxed; at least as new as the tasks that are finished. If it is
        // newer, another one will finish.
        self.came.load(Ordering::Relaxed) / ONE == turn.finished
    }

    /// Lets the lock go, and wakes those who wait for quiet.
    fn tell(&self, turn: MutexGuard<'_, Turn>, is_quiet: bool) {
        if is_quiet {
            // Ordering: Relaxed; under the lock, as it is read before a sleep.
            self.quiet.fetch_add(1, Ordering::Relaxed);
            drop(turn);
            System.notify(&raw const self.quiet, u32::MAX);
        }
    }

    /// Waits until all tasks that came are finished, or until `deadline`. Returns whether
    /// they are. What they did is visible then.
    pub(crate) fn wait_until_quiet(&self, deadline: Option<Instant>) -> bool {
        let mut watches = true;
        loop {
            let number = {
                let mut turn = self.turn.lock();
                if self.is_quiet(&turn) {
                    return true;
                }
                turn.is_awaited = true;
                // Ordering: Relaxed, as in `tell`.
                self.quiet.load(Ordering::Relaxed)
            };
            let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return false;
            }
            if std::mem::take(&mut watches) {
                System.watch(&self.quiet, number, Patience::Long);
            }
            System.wait(&self.quiet, number, left);
        }
    }

    /// Tasks that came and are not finished.
    pub(crate) fn unfinished(&self) -> u64 {
        let turn = self.turn.lock();
        // Ordering: Relaxed, as in `is_quiet`.
        self.came.load(Ordering::Relaxed) / ONE - turn.finished
    }

    /// Nobody is to come any more.
    pub(crate) fn close(&self) {
        let mut turn = self.turn.lock();
        // Ordering: Relaxed; see `announce`.
        let before = self.came.fetch_or(CLOSED, Ordering::Relaxed);
        if before & CLOSED == 0 {
            turn.last = Some(before / ONE);
        }
        self.look_whether_drained(&turn);
    }

    pub(crate) fn is_closed(&self) -> bool {
        // Ordering: Relaxed; the answer may be old when it arrives.
        self.came.load(Ordering::Relaxed) & CLOSED != 0
    }

    fn look_whether_drained(&self, turn: &Turn) {
        if turn.last == Some(turn.taken) {
            // Ordering: Relaxed; whoever waits for it is woken, or took a task itself.
            self.drained.store(1, Ordering::Relaxed);
        }
    }

    /// Whether it is closed, and nothing is left in it.
    pub(crate) fn is_drained(&self) -> bool {
        // Ordering: Relaxed, as above.
        self.drained.load(Ordering::Relaxed) != 0
    }
}

impl Turn {
    /// In which order the classes are to be asked: those that were passed over too often first.
    fn order(&self) -> [Priority; 3] {
        let is_late = |class: &Priority| self.passed[*class as usize] >= MOST_PASSED_OVER;
        let mut order = HIGHEST_FIRST;
        if order.iter().any(is_late) {
            order.sort_by_key(|class| !is_late(class));
        }
        order
    }
}

impl Drop for Queue {
    /// Cancels what nobody will run.
    fn drop(&mut self) {
        while let Next::Task(task) | Next::Raised(task) = self.take(0) {
            boundary::call(|| task.cancel());
            boundary::discard(task);
        }
    }
}
