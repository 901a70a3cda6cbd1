//! What the threads of a pool share.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use threadwork_sync::{CachePadded, Inherited, Latch, Mutex, Priority};

use super::builder::PoolBuilder;
use super::kin::Kin;
use super::name::{TaskId, TaskName};
use super::queue::{Next, Queue};
use super::staff::Staff;
use super::status::WorkerStatus;
use super::task::{Raised, Seat, TaskRef};
use super::worker::Worker;
use crate::fork_join::Group;
use crate::thread::Builder;

/// The parts of a pool.
///
/// A pool's threads hold it, too, so it is there for as long as one of them runs.
pub(crate) struct Shared {
    /// No two pools of a program have the same, until four billion were made.
    pub(super) number: u32,
    pub(super) plan: PoolBuilder,
    pub(super) queue: Queue,
    /// Where the threads sleep, and share fork-join work.
    pub(super) group: Arc<Group>,
    pub(super) staff: Staff,
    pub(super) desks: Box<[CachePadded<Desk>]>,
    /// Not zero: tasks are cancelled instead of run.
    aborting: AtomicU32,
    threads: Mutex<Threads>,
    /// Open when the last thread has left.
    pub(super) ended: Latch,
}

/// What others may know of the worker at a seat.
#[derive(Default)]
pub(super) struct Desk {
    presence: AtomicU32,
    /// The task that runs, or zero.
    busy: AtomicU64,
    /// The name of a task that has one; it is that of `busy` if the number is.
    name: Mutex<Option<(TaskId, TaskName)>>,
    /// What the tasks that run here depend on, or have spawned.
    pub(super) kin: Kin,
    /// What this worker inherits from those who wait for its locks.
    pub(super) inherited: Inherited,
}

const NEVER: u32 = 0;
const PRESENT: u32 = 1;
const GONE: u32 = 2;

struct Threads {
    handles: Vec<Option<JoinHandle<()>>>,
    /// Threads that have left their seat to another, and may not have ended yet.
    leaving: Vec<JoinHandle<()>>,
    free: Vec<Seat>,
}

impl Shared {
    pub(super) fn new(plan: PoolBuilder) -> Arc<Self> {
        static POOLS: AtomicU32 = AtomicU32::new(0);

        let (size, most) = (plan.pool_size, plan.max_threads);
        Arc::new(Shared {
            // Ordering: Relaxed; only the number matters.
            number: POOLS.fetch_add(1, Ordering::Relaxed),
            queue: Queue::new(),
            group: Group::new(most),
            staff: Staff::new(size, most),
            desks: (0..most).map(|_| CachePadded::default()).collect(),
            aborting: AtomicU32::new(0),
            threads: Mutex::new(Threads {
                handles: (0..most).map(|_| None).collect(),
                leaving: Vec::new(),
                free: (0..most).rev().map(Seat::new).collect(),
            }),
            ended: Latch::new(),
            plan,
        })
    }

    /// Starts a thread that is counted already.
    pub(super) fn start(self: &Arc<Self>) -> io::Result<()> {
        let mut threads = self.threads.lock();
        let Some(seat) = threads.free.pop() else {
            unreachable!("a thread is counted for as long as it has a seat");
        };
        let mut builder = Builder::new().name(self.plan.thread_name(seat));
        if let Some(size) = self.plan.stack_size {
            builder = builder.stack_size(size);
        }
        let shared = self.clone();
        match builder.spawn(move || Worker::new(shared, seat).work()) {
            Ok(handle) => {
                // Ordering: Relaxed; the status of a worker is a snapshot.
                let _ = self.desks[seat.index()].presence.compare_exchange(
                    NEVER,
                    PRESENT,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                );
                let before = threads.handles[seat.index()].replace(handle);
                threads.leaving.retain(|thread| !thread.is_finished());
                threads.leaving.extend(before);
                Ok(())
            }
            Err(error) => {
                threads.free.push(seat);
                Err(error)
            }
        }
    }

    /// Queues a task that was announced.
    pub(super) fn enqueue(&self, task: TaskRef) {
        Worker::with(|worker| {
            if let Some(worker) = worker.filter(|worker| worker.is_of(self.number)) {
                worker.parent(&task);
            }
        });
        self.queue.push(task);
        self.group.wake_one();
    }

    /// A worker blocks: another takes its place.
    pub(super) fn substitute(self: &Arc<Self>) {
        if self.staff.block() && (self.queue.is_drained() || self.start().is_err()) {
            self.staff.leave();
        }
    }

    /// The tasks on which this seat depends are wanted at `class`.
    pub(super) fn raise_kin(&self, seat: Seat, class: Priority) {
        let mut seats = vec![seat];
        while let Some(seat) = seats.pop() {
            // A copy, since the locks of two seats must not be taken in both orders.
            for task in self.desks[seat.index()].kin.all() {
                // A task is raised to a class once, so this comes to an end.
                seats.extend(self.raise(&task, class));
                discard(task);
            }
        }
    }

    /// A task is wanted at `class`. Says where it runs, if that is to be told on.
    pub(super) fn raise(&self, task: &TaskRef, class: Priority) -> Option<Seat> {
        match task.raise(class) {
            Raised::NotNeeded => None,
            Raised::Running(seat) => Some(seat),
            Raised::Queued => {
                self.queue.express(task.clone());
                self.group.wake_one();
                None
            }
        }
    }

    /// No more tasks are taken; those that are queued are still run.
    pub(super) fn close(&self) {
        self.queue.close();
        self.let_go_if_drained();
    }

    /// If there will be nothing more to do, sends the threads home.
    pub(super) fn let_go_if_drained(&self) {
        if self.queue.is_drained() {
            self.staff.recall();
            self.group.wake_all();
        }
    }

    /// No more tasks are taken, and those that are queued are cancelled.
    pub(super) fn abort(&self) {
        // Ordering: Relaxed; a worker that has not seen it yet may run another task.
        self.aborting.store(1, Ordering::Relaxed);
        self.close();
        loop {
            match self.queue.take(0) {
                Next::Task(task) => {
                    if self.cancel_popped(task) {
                        self.queue.finish(1);
                    }
                }
                Next::Raised(task) => self.cancel(&task),
                Next::Later => thread::yield_now(),
                Next::Nothing => break,
            }
        }
        self.let_go_if_drained();
    }

    pub(super) fn is_aborting(&self) -> bool {
        // Ordering: Relaxed, as above.
        self.aborting.load(Ordering::Relaxed) != 0
    }

    /// Cancels a task that is out of the queue. Returns whether it is to be counted.
    pub(super) fn cancel_popped(&self, task: TaskRef) -> bool {
        self.cancel(&task);
        let over = task.husk_popped();
        discard(task);
        over
    }

    pub(super) fn cancel(&self, task: &TaskRef) {
        // What the closure held may panic as it is dropped: that has been reported.
        let _ = catch_unwind(AssertUnwindSafe(|| task.cancel()));
    }

    /// Waits until the last thread has left, or for `timeout`; returns whether it has.
    pub(super) fn wait_for_end(&self, timeout: Option<Duration>) -> bool {
        match timeout {
            None => self.ended.wait(),
            Some(timeout) => {
                if !self.ended.wait_timeout(timeout) {
                    return false;
                }
            }
        }
        let handles: Vec<_> = {
            let mut threads = self.threads.lock();
            let Threads {
                handles, leaving, ..
            } = &mut *threads;
            let present = handles.iter_mut().filter_map(Option::take);
            present.chain(leaving.drain(..)).collect()
        };
        for handle in handles {
            // It does not panic, and if a thread-local did as it was dropped, it has said so.
            let _ = handle.join();
        }
        true
    }

    /// A thread leaves its seat, and is still counted.
    pub(super) fn leave_seat(&self, seat: Seat) {
        self.free(&mut self.threads.lock(), seat);
    }

    /// A spare that nobody has called leaves its seat, and is not counted from then on. Says
    /// whether it was the last thread.
    pub(super) fn dismiss(&self, seat: Seat) -> Option<bool> {
        // Under the lock, so that who counts itself in its place finds the seat.
        let mut threads = self.threads.lock();
        let last = self.staff.dismiss_spare()?;
        self.free(&mut threads, seat);
        Some(last)
    }

    fn free(&self, threads: &mut Threads, seat: Seat) {
        let presence = &self.desks[seat.index()].presence;
        // Ordering: Relaxed; the status of a worker is a snapshot.
        presence.store(GONE, Ordering::Relaxed);
        threads.free.push(seat);
    }

    pub(super) fn statuses(&self) -> Vec<WorkerStatus> {
        self.desks.iter().filter_map(|desk| desk.status()).collect()
    }
}

impl Desk {
    /// A worker sits down.
    pub(super) fn come(&self) {
        // Ordering: Relaxed here and below; a snapshot.
        self.presence.store(PRESENT, Ordering::Relaxed);
    }

    /// From now on this is what runs here.
    #[inline]
    pub(super) fn publish(&self, task: Option<&TaskRef>) {
        let number = task.map_or(0, |task| task.label().id.get());
        self.busy.store(number, Ordering::Relaxed);
        if let Some((task, name)) = task.and_then(|task| Some((task, task.label().name.as_ref()?)))
        {
            *self.name.lock() = Some((task.label().id, name.clone()));
        }
    }

    fn status(&self) -> Option<WorkerStatus> {
        match self.presence.load(Ordering::Relaxed) {
            NEVER => return None,
            GONE => return Some(WorkerStatus::Terminated),
            _ => {}
        }
        let task = match self.busy.load(Ordering::Relaxed) {
            0 => return Some(WorkerStatus::Idle),
            number => TaskId::new(number),
        };
        let name = self.name.lock().clone();
        let name = name.filter(|(of, _)| *of == task).map(|(_, name)| name);
        Some(WorkerStatus::Busy { task, name })
    }
}

/// Drops a reference. What the result of a task nobody waits for says as it is dropped must
/// not end a worker, nor a lock that tells of a raise.
pub(super) fn discard(task: TaskRef) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(task)));
}
