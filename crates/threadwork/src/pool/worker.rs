//! A thread of a pool: what it does between two tasks, and how it waits within one.

use std::cell::Cell;
use std::marker::PhantomData;
use std::mem;
use std::ptr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use threadwork_sync::{AtomicU32, Contender, Futex, Patience, Priority, System, WaitResult, block};

use super::inheritance::Token;
use super::queue::Next;
use super::shared::{Shared, WorkerRecord};
use super::task::{Claimed, Finish, TaskRef, WorkerSlot};
use super::visit::Visit;
use crate::boundary::discard;
use crate::error::TaskError;
use crate::fork_join::Member;

/// How many tasks a worker begins within each other, each waiting for the next, while it
/// can leave that to another thread: a bound on the stack that such a chain takes.
const NESTING: u32 = 64;

/// The least for which it is worth to look which ones are over.
const FEW_CHILDREN: usize = 32;

pub(super) struct Worker {
    shared: Arc<Shared>,
    slot: WorkerSlot,
    member: Member,
    token: Token,
    /// The task that runs, innermost; null if none does.
    top: Cell<*const TaskRef>,
    /// The tasks of other pools that run, innermost; null if none does.
    pub(super) visits: Cell<*const Visit>,
    /// How many run within each other.
    depth: Cell<u32>,
    /// It has said that it blocks.
    is_blocked: Cell<bool>,
    /// How many children its tasks have, and how many they may have before those that are
    /// over are forgotten.
    children: Cell<usize>,
    enough_children: Cell<usize>,
}

/// Why a worker leaves.
#[derive(PartialEq)]
enum Leaving {
    /// There will be nothing more to do.
    Drained,
    /// It was spare for long enough.
    Dismissed,
}

thread_local! {
    static CURRENT: Cell<*const Worker> = const { Cell::new(ptr::null()) };
    /// The number of the pool whose worker this thread was: destructors of its thread-locals are
    /// still to come.
    static FORMER: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Resets the current worker, after a panic too.
struct Current;

impl Drop for Current {
    fn drop(&mut self) {
        CURRENT.set(ptr::null());
    }
}

impl Worker {
    /// The worker of this thread, in a slot that is its own.
    pub(super) fn new(shared: Arc<Shared>, slot: WorkerSlot) -> Self {
        let member = loop {
            // Whoever had this slot before has given its place in the group up. A look may miss
            // it where others come and go at the same time.
            match shared.group.enter() {
                Some(member) => break member,
                None => thread::yield_now(),
            }
        };
        Worker {
            token: Token::issue(&shared, slot),
            shared,
            slot,
            member,
            top: Cell::new(ptr::null()),
            visits: Cell::new(ptr::null()),
            depth: Cell::new(0),
            is_blocked: Cell::new(false),
            children: Cell::new(0),
            enough_children: Cell::new(FEW_CHILDREN),
        }
    }

    /// Calls `body` with the worker that this thread is, if it is one.
    #[inline]
    pub(super) fn with<T>(body: impl FnOnce(Option<&Worker>) -> T) -> T {
        let current = CURRENT.get();
        // SAFETY: null, or the worker whose `work` is further down on this stack.
        body(unsafe { current.as_ref() })
    }

    pub(super) fn is_of(&self, pool: u32) -> bool {
        self.shared.number == pool
    }

    /// What it does from beginning to end.
    pub(super) fn work(self) {
        let leaving = {
            CURRENT.set(&raw const self);
            let _current = Current;
            self.record().come();
            self.shared.plan.start_hook(self.slot);
            let leaving = self.serve();
            // One that is dismissed counts as blocked, whatever its hook waits for.
            self.is_blocked.set(leaving == Leaving::Dismissed);
            self.shared.plan.exit_hook(self.slot);
            self.forget_children(true);
            leaving
        };
        FORMER.set(Some(self.shared.number));
        let Worker {
            shared,
            slot,
            member,
            token,
            ..
        } = self;
        drop(member);
        drop(token);
        // All that it does in its slot is done: another may have that, and its count.
        shared.leave_slot(slot);
        let last = match leaving {
            Leaving::Dismissed => shared.depart(),
            Leaving::Drained => shared.thread_counts.leave(),
        };
        if last {
            shared.ended.open();
        }
        // With what the hooks hold, if nobody else has it.
        discard(shared);
    }

    fn serve(&self) -> Leaving {
        let shared = &*self.shared;
        // Whether it has come out of `idle`, where it kept others from being woken.
        let mut searched = false;
        // Whether it has done a job, and would do the next.
        let mut helped = false;
        // Tasks that it has finished and not counted.
        let mut finished = 0;
        loop {
            if shared.thread_counts.is_excessive()
                && !shared.queue.is_drained()
                && shared.thread_counts.retire()
            {
                shared.queue.finish(mem::take(&mut finished));
                if mem::take(&mut helped) {
                    shared.group.leave_jobs();
                }
                if self.rest() {
                    return Leaving::Dismissed;
                }
            }
            let next = shared.queue.take(mem::take(&mut finished));
            if matches!(next, Next::Task(_) | Next::Raised(_))
                && mem::take(&mut searched)
                && shared.queue.has_work()
            {
                shared.group.wake_one();
            }
            if matches!(next, Next::Task(_) | Next::Raised(_)) && mem::take(&mut helped) {
                shared.group.leave_jobs();
            }
            match next {
                Next::Task(task) => {
                    shared.let_go_if_drained();
                    finished += u64::from(self.attend(task));
                }
                Next::Raised(task) => {
                    if let Some(claimed) = task.claim(self.slot) {
                        finished += u64::from(self.run(&task, claimed));
                    }
                    discard(task);
                }
                Next::Later => System.give_way(),
                Next::Nothing => {
                    self.record().publish(None);
                    if self.member.help() {
                        helped = true;
                        continue;
                    }
                    if shared.queue.is_drained() {
                        return Leaving::Drained;
                    }
                    self.member
                        .idle(&|| shared.queue.has_work() || shared.queue.is_drained());
                    searched = true;
                    helped = true;
                }
            }
        }
    }

    /// Has nothing to do until it is called, or for long enough to leave. Returns whether it
    /// leaves.
    fn rest(&self) -> bool {
        self.record().publish(None);
        if self.shared.queue.has_work() {
            // It may have been woken for that.
            self.shared.group.wake_one();
        }
        self.shared.thread_counts.rest(
            self.shared.plan.keep_alive,
            || self.shared.queue.is_drained(),
            || self.shared.thread_counts.dismiss_spare(),
        )
    }

    /// Does with a task out of the queue what is to be done. Returns whether it is to be
    /// counted.
    fn attend(&self, task: TaskRef) -> bool {
        if self.shared.is_aborting() {
            return self.shared.cancel_popped(task);
        }
        let over = match task.popped(self.slot) {
            Ok(claimed) => self.run(&task, claimed),
            Err(over) => over,
        };
        discard(task);
        over
    }

    /// Runs a task, perhaps within another. Returns whether it is to be counted.
    fn run(&self, task: &TaskRef, claimed: Claimed<'_>) -> bool {
        let outer = self.top.replace(task);
        self.depth.set(self.depth.get() + 1);
        self.record().publish(Some(task));
        let contender = Contender {
            priority: task.class(),
            token: self.token.get(),
        };
        let before = contender.make_current();
        let spawned = self.member.now();
        let over = claimed.run();
        // Jobs of a scope that is waited for elsewhere: the next task might not end before they do.
        self.member.run_spawned(spawned);
        before.make_current();
        self.depth.set(self.depth.get() - 1);
        self.top.set(outer);
        if let Some(outer) = self.top() {
            self.record().publish(Some(outer));
        } else if self.children.take() > 0 {
            self.forget_children(true);
        }
        over
    }

    fn record(&self) -> &WorkerRecord {
        &self.shared.records[self.slot.index()]
    }

    /// The task that runs, innermost.
    pub(super) fn top(&self) -> Option<&TaskRef> {
        // SAFETY: null, or a reference that `run` has further down on this stack.
        unsafe { self.top.get().as_ref() }
    }

    /// A task that runs here has made `child`, and is about to publish it: the child
    /// inherits what its parent has inherited, and will inherit.
    pub(super) fn parent(&self, child: &TaskRef) {
        if child.class() == Priority::High {
            return;
        }
        if self.children.get() >= self.enough_children.get() {
            let kept = self.forget_children(false);
            self.children.set(kept);
            self.enough_children.set(FEW_CHILDREN.max(2 * kept));
        }
        self.children.set(self.children.get() + 1);
        // SAFETY: this is the worker of that slot.
        unsafe { self.record().dependencies.add_child(child) };
        // Afterwards: a raise that is not seen here finds the child.
        child.raise(self.inherits());
    }

    /// What those who wait for this worker's locks, or for its task, have raised it to.
    fn inherits(&self) -> Priority {
        let raised = self.top().map(|task| (task.class(), task.label().class));
        let by_task = match raised {
            Some((now, own)) if now > own => now,
            _ => Priority::Low,
        };
        self.record().inherited.priority(by_task)
    }

    /// The task that runs here cannot go on before `task` is over.
    fn depend_on(&self, task: &TaskRef) {
        self.record().dependencies.await_one(task);
        // Afterwards, as for a child.
        let class = self.top().map_or(Priority::Low, |task| task.class());
        let class = self.record().inherited.priority(class);
        if let Some(slot) = self.shared.raise(task, class) {
            self.shared.raise_dependencies(slot, class);
        }
    }

    /// Forgets children: `all`, or those that are over. Returns how many are left.
    fn forget_children(&self, all: bool) -> usize {
        // SAFETY: this is the worker of that slot.
        let (gone, left) = unsafe { self.record().dependencies.forget_children(all) };
        gone.for_each(discard);
        left
    }

    /// Waits for a task from within this worker.
    fn wait_for(&self, task: &TaskRef, timeout: Option<Duration>) -> Result<bool, TaskError> {
        if self.is_of(task.label().pool) {
            if !task.is_done() && task.slot() == Some(self.slot) {
                return Err(TaskError::WaitsForItself);
            }
            let counts = &self.shared.thread_counts;
            let too_deep = self.depth.get() >= NESTING && counts.has_reserves();
            let mut blocked = None;
            if timeout.is_none() {
                if too_deep {
                    blocked = self.block();
                }
                // The system may have refused the thread that was to work instead.
                if (!too_deep || !counts.has_active())
                    && let Some(claimed) = task.claim(self.slot)
                {
                    drop(blocked);
                    self.run_within(task, claimed, &self.shared);
                    return Ok(true);
                }
            }
            self.depend_on(task);
            let is_over = block(&Substituted(self), Finish::of(task), timeout).is_some();
            drop(blocked);
            self.record().dependencies.awaited_one();
            return Ok(is_over);
        }
        match timeout {
            None => {
                self.wait_abroad(task);
                Ok(true)
            }
            Some(_) => Ok(block(&Substituted(self), Finish::of(task), timeout).is_some()),
        }
    }

    /// Runs a task of `pool` that is waited for, on the stack of the one that waits.
    pub(super) fn run_within(&self, task: &TaskRef, claimed: Claimed<'_>, pool: &Shared) {
        // While it runs this worker does not block, should it have said so.
        let was_blocked = self.is_blocked.replace(false);
        if was_blocked {
            self.shared.thread_counts.unblock();
        }
        if self.run(task, claimed) {
            pool.queue.finish(1);
        }
        if was_blocked {
            self.shared.substitute();
            self.is_blocked.set(true);
        }
    }

    /// From now on another works in its place.
    pub(super) fn block(&self) -> Option<Blocked> {
        if self.is_blocked.replace(true) {
            return None;
        }
        self.shared.substitute();
        Some(Blocked {
            released_permit: self.member.release_permit(),
            _worker: PhantomData,
        })
    }
}

/// That the worker of this thread blocks.
pub(crate) struct Blocked {
    /// It has given back its permit of the group meanwhile. Of this wait: a task that is run within
    /// it may block, too.
    released_permit: bool,
    _worker: PhantomData<*const Worker>,
}

impl Drop for Blocked {
    fn drop(&mut self) {
        Worker::with(|worker| {
            if let Some(worker) = worker {
                if self.released_permit {
                    worker.member.take_permit_again();
                }
                worker.is_blocked.set(false);
                worker.shared.thread_counts.unblock();
            }
        });
    }
}

/// Has another thread work in place of the calling one, which waits for a job, if tasks are
/// queued: the job may itself wait for one of those, and the worker that waits for the job
/// does no tasks.
pub(crate) fn leave_tasks_to_others() -> Option<Blocked> {
    Worker::with(|worker| {
        worker
            .filter(|worker| worker.shared.queue.has_work())
            .and_then(Worker::block)
    })
}

/// Where a worker sleeps within a task: another works meanwhile.
pub(super) struct Substituted<'a>(pub(super) &'a Worker);

impl Futex for Substituted<'_> {
    fn wait(&self, word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> WaitResult {
        let _blocked = self.0.block();
        System.wait(word, expected, timeout)
    }

    fn notify(&self, word: *const AtomicU32, count: u32) -> u32 {
        System.notify(word, count)
    }

    fn now(&self) -> Option<Duration> {
        System.now()
    }

    fn watch(&self, word: &AtomicU32, expected: u32, patience: Patience) {
        System.watch(word, expected, patience);
    }
}

/// Whether the calling thread runs a task of that pool, is its worker, or was and ends.
pub(super) fn is_or_was_within(pool: u32) -> bool {
    FORMER.get() == Some(pool) || is_within(pool)
}

/// Whether the calling thread runs a task of that pool, or is its worker.
pub(super) fn is_within(pool: u32) -> bool {
    Worker::with(|worker| worker.is_some_and(|worker| worker.is_within(pool)))
}

/// Waits until `task` is over, or for `timeout`. Returns whether it is.
pub(super) fn wait_for(task: &TaskRef, timeout: Option<Duration>) -> Result<bool, TaskError> {
    if task.is_done() {
        return Ok(true);
    }
    Worker::with(|worker| match worker {
        Some(worker) => worker.wait_for(task, timeout),
        None => Ok(block(&System, Finish::of(task), timeout).is_some()),
    })
}

/// The number of the calling thread in its pool, as [`on_start`](crate::PoolBuilder::on_start)
/// gets it: below `max_threads`, and nobody else's as long as the thread lives. `None` on a thread
/// that is no pool's worker. Never blocks.
///
/// # Example
///
/// ```
/// use threadwork::{ThreadPool, current_worker_index};
///
/// let pool = ThreadPool::new(1)?;
/// assert_eq!(pool.execute(current_worker_index).wait().unwrap(), Some(0));
/// assert_eq!(current_worker_index(), None);
/// # Ok::<(), threadwork::Error>(())
/// ```
#[must_use]
#[doc(alias = "current_thread_index")]
pub fn current_worker_index() -> Option<usize> {
    Worker::with(|worker| worker.map(|worker| worker.slot.index()))
}

/// Runs `f`, which may block for long, without keeping a worker from its pool: while it
/// runs, another thread works in place of the calling one.
///
/// That is a spare one of the pool or a new one, as long as the pool has less than
/// [`max_threads`](crate::PoolBuilder::max_threads). If it has that many, `f` is run all
/// the same, and tasks that are queued wait until a worker is free. When `f` is done the
/// calling thread goes on at once; one more task than `pool_size` may run until the next
/// one ends.
///
/// Use it around input and output, waits for a channel, a child process, a lock that is
/// held for long. [`TaskHandle::wait`](crate::TaskHandle::wait) does so by itself. In a
/// thread that belongs to no pool it only calls `f`, and so it does within another
/// `blocking`.
///
/// # Example
///
/// ```
/// use std::sync::mpsc;
/// use threadwork::{ThreadPool, blocking};
///
/// let pool = ThreadPool::new(1)?;
/// let (sender, receiver) = mpsc::channel();
/// // The only worker waits for a message that only another task sends.
/// let waits = pool.execute(move || blocking(|| receiver.recv()));
/// pool.execute(move || sender.send(7));
/// assert_eq!(waits.wait().unwrap(), Ok(7));
/// # Ok::<(), threadwork::Error>(())
/// ```
pub fn blocking<T>(f: impl FnOnce() -> T) -> T {
    Worker::with(|worker| {
        let _blocked = worker.and_then(Worker::block);
        f()
    })
}
