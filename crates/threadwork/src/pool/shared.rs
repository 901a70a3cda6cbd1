//! What the threads of a pool share.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use threadwork_sync::{CachePadded, Inherited, Latch, Mutex, Priority};

use super::builder::PoolBuilder;
use super::dependencies::Dependencies;
use super::name::{TaskId, TaskName};
use super::queue::{Next, Queue};
use super::status::WorkerStatus;
use super::task::{Raised, TaskRef, WorkerSlot};
use super::thread_counts::{Departure, ThreadCounts};
use super::worker::Worker;
use crate::boundary::{self, discard};
use crate::fork_join::Group;
use crate::thread::{Builder, LimitedJoin};

/// The parts of a pool.
///
/// A pool's threads hold it, too, so it is there for as long as one of them runs.
pub(crate) struct Shared {
    /// No two pools have the same.
    pub(super) number: u32,
    pub(super) plan: PoolBuilder,
    pub(super) queue: Queue,
    /// Where the threads sleep, and share fork-join work.
    pub(super) group: Arc<Group>,
    pub(super) thread_counts: ThreadCounts,
    pub(super) records: Box<[CachePadded<WorkerRecord>]>,
    /// Not zero: the last worker is started with the first task.
    is_incomplete: AtomicU32,
    /// Not zero: tasks are cancelled instead of run.
    aborting: AtomicU32,
    threads: Mutex<Threads>,
    /// Open when the last thread has left.
    pub(super) ended: Latch,
}

/// What others may know of the worker in a slot.
#[derive(Default)]
pub(super) struct WorkerRecord {
    presence: AtomicU32,
    /// The task that runs, or zero.
    busy: AtomicU64,
    /// The name of a task that has one; it is that of `busy` if the number is.
    name: Mutex<Option<(TaskId, TaskName)>>,
    /// What the tasks that run here depend on, or have spawned.
    pub(super) dependencies: Dependencies,
    /// What this worker inherits from those who wait for its locks.
    pub(super) inherited: Inherited,
}

/// By their numbers. Only looked at when a task of one waits for a task of another.
static POOLS: Mutex<Pools> = Mutex::new(Pools {
    last: 0,
    present: BTreeMap::new(),
});

struct Pools {
    last: u32,
    present: BTreeMap<u32, Weak<Shared>>,
}

const NEVER: u32 = 0;
const PRESENT: u32 = 1;
const GONE: u32 = 2;

struct Threads {
    handles: Vec<Option<LimitedJoin>>,
    /// Threads that have left their slot to another, and may not have ended yet.
    leaving: Vec<LimitedJoin>,
    free: Vec<WorkerSlot>,
}

impl Shared {
    /// For a pool to which visitors come (`is_global`), or for one of workers only.
    pub(super) fn new(plan: PoolBuilder, is_global: bool) -> Arc<Self> {
        let (size, most) = (plan.pool_size, plan.max_threads);
        let group = if is_global {
            Group::for_visitors
        } else {
            Group::new
        };
        let mut pools = POOLS.lock();
        let number = loop {
            pools.last = pools.last.wrapping_add(1);
            if !pools.present.contains_key(&pools.last) {
                break pools.last;
            }
        };
        let shared = Arc::new(Shared {
            number,
            queue: Queue::new(),
            group: group(most, size),
            thread_counts: ThreadCounts::new(size, most),
            records: (0..most).map(|_| CachePadded::default()).collect(),
            is_incomplete: AtomicU32::new(is_global.into()),
            aborting: AtomicU32::new(0),
            threads: Mutex::new(Threads {
                handles: (0..most).map(|_| None).collect(),
                leaving: Vec::new(),
                free: (0..most).rev().map(WorkerSlot::new).collect(),
            }),
            ended: Latch::new(),
            plan,
        });
        pools.present.insert(number, Arc::downgrade(&shared));
        shared
    }

    /// The pool of that number, if it is there.
    pub(super) fn find(number: u32) -> Option<Arc<Self>> {
        POOLS.lock().present.get(&number)?.upgrade()
    }

    /// Starts a thread that is counted already.
    pub(super) fn start(self: &Arc<Self>) -> io::Result<()> {
        let mut threads = self.threads.lock();
        let Some(slot) = threads.free.pop() else {
            unreachable!("a thread is counted for as long as it has a slot");
        };
        let mut builder = Builder::new().name(self.plan.thread_name(slot));
        if let Some(size) = self.plan.stack_size {
            builder = builder.stack_size(size);
        }
        let shared = self.clone();
        match LimitedJoin::spawn(builder, move || Worker::new(shared, slot).work()) {
            Ok(handle) => {
                // Ordering: Relaxed; the status of a worker is a snapshot.
                let _ = self.records[slot.index()].presence.compare_exchange(
                    NEVER,
                    PRESENT,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                );
                let before = threads.handles[slot.index()].replace(handle);
                threads.leaving.retain(|thread| !thread.gone().is_open());
                threads.leaving.extend(before);
                Ok(())
            }
            Err(error) => {
                threads.free.push(slot);
                Err(error)
            }
        }
    }

    /// A task is about to come: starts the last worker, if that was left to the first one.
    #[inline]
    pub(super) fn complete(self: &Arc<Self>) {
        // Ordering: Relaxed here and in the swap; it publishes nothing.
        if self.is_incomplete.load(Ordering::Relaxed) != 0 {
            self.start_last();
        }
    }

    #[cold]
    fn start_last(self: &Arc<Self>) {
        if self.is_incomplete.swap(0, Ordering::Relaxed) == 0 {
            return;
        }
        self.thread_counts.add();
        if self.start().is_err() && self.thread_counts.did_not_come() {
            // There is no other. Tasks that came meanwhile are cancelled, and so are those that
            // somebody is still linking.
            self.abort();
            while !self.queue.is_drained() {
                thread::yield_now();
                self.abort();
            }
            self.ended.open();
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
        if self.thread_counts.block() {
            // The one that blocks is there, so this was not the last.
            self.start_unless_drained();
        }
    }

    /// The tasks on which this slot depends are wanted at `class`.
    pub(super) fn raise_dependencies(&self, slot: WorkerSlot, class: Priority) {
        let mut slots = vec![slot];
        while let Some(slot) = slots.pop() {
            // A copy, since the locks of two slots must not be taken in both orders.
            for task in self.records[slot.index()].dependencies.all() {
                // A task is raised to a class once, so this comes to an end.
                slots.extend(self.raise(&task, class));
                discard(task);
            }
        }
    }

    /// A task is wanted at `class`. Says where it runs, if that is to be told on.
    pub(super) fn raise(&self, task: &TaskRef, class: Priority) -> Option<WorkerSlot> {
        match task.raise(class) {
            Raised::NotNeeded => None,
            Raised::Running(slot) => Some(slot),
            Raised::Queued => {
                self.queue.expedite(task.clone());
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
            self.thread_counts.recall();
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
        let over = task.entry_popped();
        discard(task);
        over
    }

    pub(super) fn cancel(&self, task: &TaskRef) {
        boundary::call(|| task.cancel());
    }

    /// Waits until all threads are gone, thread-locals and all, or for `timeout`.
    pub(super) fn wait_for_end(&self, timeout: Option<Duration>) {
        // A time that the clock does not know is for ever.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let opens = |latch: &Latch| match deadline {
            None => {
                latch.wait();
                true
            }
            Some(deadline) => latch.wait_deadline(deadline),
        };
        // Other pools' threads may run the last tasks.
        if !opens(&self.ended) || !self.queue.wait_until_quiet(deadline) {
            return;
        }
        // They are left to others who wait at the same time, until they have nothing more to do.
        let latches: Vec<_> = {
            let threads = self.threads.lock();
            let present = threads.handles.iter().flatten();
            let all = present.chain(&threads.leaving);
            all.map(|thread| thread.gone().clone()).collect()
        };
        for latch in latches {
            // One whose thread-locals take longer is left to itself.
            opens(&latch);
        }
        let gone: Vec<_> = {
            let mut threads = self.threads.lock();
            let Threads {
                handles, leaving, ..
            } = &mut *threads;
            let is_gone = |thread: &mut LimitedJoin| thread.gone().is_open();
            let present = handles
                .iter_mut()
                .filter_map(|place| place.take_if(is_gone));
            present.chain(leaving.extract_if(.., is_gone)).collect()
        };
        gone.into_iter().for_each(LimitedJoin::join);
    }

    /// A thread leaves its slot, and is still counted: so who counts another finds a slot for it.
    pub(super) fn leave_slot(&self, slot: WorkerSlot) {
        let mut threads = self.threads.lock();
        let presence = &self.records[slot.index()].presence;
        // Ordering: Relaxed; the status of a worker is a snapshot.
        presence.store(GONE, Ordering::Relaxed);
        threads.free.push(slot);
    }

    /// A thread that was dismissed has left its slot, and is not counted from then on. Says
    /// whether it was the last.
    pub(super) fn depart(self: &Arc<Self>) -> bool {
        match self.thread_counts.depart() {
            Departure::Gone { last } => last,
            Departure::Replaced => self.start_unless_drained(),
        }
    }

    /// Starts a thread that is counted already, if there is anything left to do for it. Says
    /// whether there is no thread now.
    fn start_unless_drained(self: &Arc<Self>) -> bool {
        (self.queue.is_drained() || self.start().is_err()) && self.thread_counts.did_not_come()
    }

    pub(super) fn statuses(&self) -> Vec<WorkerStatus> {
        self.records
            .iter()
            .filter_map(|record| record.status())
            .collect()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        POOLS.lock().present.remove(&self.number);
    }
}

impl WorkerRecord {
    /// A worker has taken the slot.
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
