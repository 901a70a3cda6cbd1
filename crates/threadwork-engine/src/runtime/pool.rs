//! [`Pool`]: the queue of a runtime's tasks and the workers that run them.
//!
//! A worker is an operating-system thread of the engine's with a *worker slot*: a guest
//! thread's id, a poll page and, while it lasts, an instance of the module. It runs task
//! after task, and is idle in between, or retires if there are more than the pool is
//! meant to have.
//!
//! # Who lives
//!
//! To the parking lot a worker lives unless it is idle. So when all that live sleep for
//! ever, the tasks that are queued will not be run by anybody: then, and only then, one
//! more worker is started for them ([`Pool::relieve`]), up to the limit of threads. If
//! there is none to start, it is a deadlock.
//!
//! # Invariants
//!
//! 1. All decisions about tasks and workers are made under the board's lock: a task is
//!    queued, in one slot, orphaned, or has its result.
//! 2. While a task can be queued, no worker is idle.
//! 3. A stop meant for one task never meets the next: it is made, and taken back, under
//!    the board's lock, by whoever finds that very task in its slot.
//! 4. Threads of the host that wait for a task count as away until the moment in which
//!    it gets its result; from then on they live, before its worker can be idle.

use super::config::WorkerStatus;
use super::instance::Instances;
use super::task::{Entry, ExecuteError, Task, TaskError, TaskId, TaskState};
use crate::error::no_instance;
use crate::exit_status::{ExitStatus, LimitExceeded};
use crate::linear_memory::Arena;
use crate::machine::Worker;
use crate::poll_page::PollPage;
use crate::process::{Cause, PooledInstance, Program, State, catch_panic};
use crate::thread::ThreadState;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};
use threadwork_sync::{Condvar, Mutex};
use wasmtime::Val;

/// See the module's documentation.
pub(super) struct Pool {
    arena: Arc<Arena>,
    size: u32,
    task_timeout: Option<Duration>,
    instances: Instances,
    board: Mutex<Board>,
    /// Slots of the board, for whoever asks when it is gone.
    slots: Arc<AtomicUsize>,
    /// Notified when no task is left.
    all_done: Condvar,
}

/// Under one lock.
struct Board {
    stage: Stage,
    /// By priority, the lowest first.
    queue: [VecDeque<Arc<TaskState>>; 3],
    slots: Vec<Slot>,
    /// Workers that have not decided to leave.
    workers: u32,
    /// The worker that came last is taken first, because it may still be spinning.
    idle: Vec<usize>,
    next_id: u64,
    /// Tasks without a result.
    unfinished: u64,
    /// How often the last of them got its result.
    times_done: u64,
    /// Threads of the host that are away until that happens.
    waiters: u32,
    /// Tasks that end with the process, and are told how when it has.
    orphans: Vec<Arc<TaskState>>,
    /// How the process has ended.
    status: Option<ExitStatus>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// No tasks are taken, but those there are will be run.
    Draining,
    /// The process is ending.
    Closed,
}

/// What belongs to one worker, and to the next after it has left.
struct Slot {
    thread: Arc<ThreadState>,
    /// While the worker lives.
    worker: Option<Arc<Worker>>,
    page: Option<Arc<PollPage>>,
    running: Option<Running>,
    has_worker: bool,
}

struct Running {
    task: Arc<TaskState>,
    stop: Option<Stop>,
    deadline: Option<Instant>,
}

/// Why a task is to end before it is done.
#[derive(Clone, Copy)]
enum Stop {
    Cancelled,
    TimedOut,
}

/// A worker's first words: whether it has an instance.
pub(super) type Ready = SyncSender<Result<(), String>>;

impl Pool {
    pub(super) fn new(
        arena: &Arc<Arena>,
        size: u32,
        task_timeout: Option<Duration>,
        instances: Instances,
    ) -> Self {
        Self {
            arena: Arc::clone(arena),
            size,
            task_timeout,
            instances,
            slots: Arc::default(),
            board: Mutex::new(Board {
                stage: Stage::Open,
                queue: [VecDeque::new(), VecDeque::new(), VecDeque::new()],
                slots: Vec::new(),
                workers: 0,
                idle: Vec::new(),
                next_id: 1,
                unfinished: 0,
                times_done: 0,
                waiters: 0,
                orphans: Vec::new(),
                status: None,
            }),
            all_done: Condvar::new(),
        }
    }

    pub(super) fn instances(&self) -> &Instances {
        &self.instances
    }

    /// How many workers there were at one time.
    pub(super) fn slots(&self) -> &Arc<AtomicUsize> {
        &self.slots
    }

    // ---- Tasks come ----

    /// Hands a task, which calls `entry`, to an idle worker, or queues it.
    pub(super) fn execute(
        &self,
        task: Task,
        entry: Arc<Entry>,
    ) -> Result<Arc<TaskState>, ExecuteError> {
        let mut board = self.board.lock();
        if board.stage != Stage::Open {
            return Err(ExecuteError::ShutDown);
        }
        let state = Arc::new(TaskState {
            id: TaskId(board.next_id),
            entry,
            args: task.args,
            timeout: task.timeout.or(self.task_timeout),
            waiters: 0.into(),
            result: Default::default(),
            done: Default::default(),
        });
        board.next_id += 1;
        board.unfinished += 1;
        match board.idle.pop() {
            None => board.queue[task.priority as usize].push_back(Arc::clone(&state)),
            Some(at) => {
                let slot = &mut board.slots[at];
                slot.start(Arc::clone(&state));
                // An idle worker is there to be woken.
                let worker = slot.worker.clone();
                self.arena.lot().enter();
                drop(board);
                if let Some(worker) = worker {
                    worker.wake();
                }
            }
        }
        Ok(state)
    }

    // ---- Tasks are run ----

    /// Starts a worker, with a task if it is started for one.
    ///
    /// # Errors
    ///
    /// If the limit of threads, or the system, allows none more; gives the task back.
    pub(super) fn start_worker(
        self: &Arc<Self>,
        process: &Arc<State>,
        task: Option<Arc<TaskState>>,
        ready: Option<Ready>,
    ) -> Result<(), Option<Arc<TaskState>>> {
        let Some(thread) = process.add_worker() else {
            return Err(task);
        };
        let at = self.take_slot(&thread, task);
        self.arena.lot().enter();
        process.acquire_store();
        let (pool, state) = (Arc::clone(self), Arc::clone(process));
        let run = move |worker: &Arc<Worker>| {
            pool.work(&state, at, worker, ready);
            state.release_store();
        };
        if process.machine().workers().run(run).is_ok() {
            return Ok(());
        }
        let mut board = self.board.lock();
        let slot = &mut board.slots[at];
        slot.has_worker = false;
        let task = slot.running.take().map(|running| running.task);
        board.workers -= 1;
        drop(board);
        process.remove_worker(&thread);
        // The caller lives.
        self.arena.lot().leave(|| false);
        process.release_store();
        Err(task)
    }

    /// The slot of a new worker: one that another has left, or a new one.
    fn take_slot(&self, thread: &Arc<ThreadState>, task: Option<Arc<TaskState>>) -> usize {
        let mut board = self.board.lock();
        let free = board.slots.iter().position(|slot| !slot.has_worker);
        let at = free.unwrap_or(board.slots.len());
        if free.is_none() {
            board.slots.push(Slot {
                thread: Arc::clone(thread),
                worker: None,
                page: None,
                running: None,
                has_worker: false,
            });
        }
        board.workers += 1;
        // Ordering: Relaxed; read when all is over.
        self.slots.store(board.slots.len(), Ordering::Relaxed);
        let slot = &mut board.slots[at];
        slot.thread = Arc::clone(thread);
        slot.has_worker = true;
        if let Some(task) = task {
            slot.start(task);
        }
        at
    }

    /// The life of a worker in its slot.
    fn work(&self, process: &Arc<State>, at: usize, worker: &Arc<Worker>, ready: Option<Ready>) {
        let thread = self.begin(at, worker);
        thread.attach(process.machine().signal());
        let mut instance = self.instantiate(process, at, &thread);
        if let Some(ready) = ready {
            let first = instance.as_ref().map(drop).map_err(String::clone);
            // The builder waits for this, or has given up.
            let _ = ready.send(first);
        }
        while let Some(task) = self.next(at, worker, instance.is_ok()) {
            if let Some(timeout) = task.timeout
                && let Some(time) = Instant::now().checked_add(timeout)
            {
                process.machine().watchdog().schedule(process, time);
            }
            if instance.is_err() {
                instance = self.instantiate(process, at, &thread);
            }
            // What the task before was refused is not this one's.
            let _ = thread.take_limit();
            let result = match &mut instance {
                Ok(instance) => run(instance, &task),
                Err(message) => {
                    self.end_unstarted(process, at, &task, message);
                    continue;
                }
            };
            let failed = result.is_err();
            self.end_task(process, at, &thread, &task, result);
            if failed && !process.is_ending() {
                // First, because there may not be room for both.
                drop(instance);
                instance = self.instantiate(process, at, &thread);
            }
        }
        drop(instance);
        self.retire(process, at, &thread);
    }

    fn begin(&self, at: usize, worker: &Arc<Worker>) -> Arc<ThreadState> {
        let mut board = self.board.lock();
        let slot = &mut board.slots[at];
        slot.worker = Some(Arc::clone(worker));
        Arc::clone(&slot.thread)
    }

    fn retire(&self, process: &State, at: usize, thread: &ThreadState) {
        process.remove_worker(thread);
        let mut board = self.board.lock();
        let slot = &mut board.slots[at];
        slot.worker = None;
        slot.has_worker = false;
        drop(board);
        self.arena.leave();
    }

    /// Makes an instance for the worker, or says why there is none.
    fn instantiate(
        &self,
        process: &Arc<State>,
        at: usize,
        thread: &Arc<ThreadState>,
    ) -> Result<PooledInstance, String> {
        let page = self.page(process, at);
        let made = page.and_then(|page| {
            let page = page.as_deref();
            catch_panic(|| self.instances.make(process, thread, at, page))
        });
        made.map_err(|error| no_instance(&error, thread.take_limit()))
    }

    /// The poll page of a slot; `None` if the module does not look at one.
    fn page(&self, process: &State, at: usize) -> wasmtime::Result<Option<Arc<PollPage>>> {
        if !process.code().has_poll {
            return Ok(None);
        }
        if let Some(page) = &self.board.lock().slots[at].page {
            return Ok(Some(Arc::clone(page)));
        }
        let page = Arc::new(PollPage::new(process.machine().wasmtime())?);
        let mut board = self.board.lock();
        if board.stage == Stage::Closed {
            page.close();
        }
        board.slots[at].page = Some(Arc::clone(&page));
        Ok(Some(page))
    }

    /// The next task for a worker, which it waits for; `None` if it is to leave. One that is
    /// there for others that sleep, and has no instance, takes no task from them when they
    /// have woken up.
    fn next(&self, at: usize, worker: &Worker, has_instance: bool) -> Option<Arc<TaskState>> {
        let mut board = self.board.lock();
        let leaves = !has_instance && board.workers > self.size;
        if board.slots[at].running.is_none() && (leaves || !board.take_from_queue(at)) {
            if board.stage == Stage::Closed || board.workers > self.size {
                board.workers -= 1;
                return None;
            }
            board.idle.push(at);
            drop(board);
            self.arena.leave();
            // Whoever takes us out of the list has entered us into the lot again.
            worker.sleep(None);
            board = self.board.lock();
        }
        let running = board.slots[at].running.as_ref();
        running.map(|running| Arc::clone(&running.task))
    }

    /// A task came to its end on a worker.
    fn end_task(
        &self,
        process: &Arc<State>,
        at: usize,
        thread: &ThreadState,
        task: &Arc<TaskState>,
        result: wasmtime::Result<Vec<Val>>,
    ) {
        let error = match result {
            Ok(values) => return self.finish_task(at, task, Ok(values)),
            Err(error) => error,
        };
        if let Some(error) = self.error_of_stop(at, task) {
            return self.finish_task(at, task, Err(error));
        }
        match process.cause_of(&error, thread) {
            Some(Cause::Trapped(trap, None)) => {
                self.finish_task(at, task, Err(TaskError::Trapped(trap)));
            }
            Some(Cause::Trapped(trap, Some(limit))) => {
                let trap = Some(trap);
                let exceeded = LimitExceeded { limit, trap };
                self.finish_task(at, task, Err(TaskError::LimitExceeded(exceeded)));
            }
            cause => {
                match cause {
                    // `proc_exit`.
                    Some(cause) => process.end(cause),
                    None => process.thread_stopped(thread, &error),
                }
                self.leave_behind(at, task);
            }
        }
    }

    /// A task could not be started, for lack of an instance.
    fn end_unstarted(&self, process: &State, at: usize, task: &Arc<TaskState>, message: &str) {
        if process.is_ending() {
            return self.leave_behind(at, task);
        }
        let message = message.to_owned();
        let error = self.error_of_stop(at, task);
        let error = error.unwrap_or(TaskError::Instance { message });
        self.finish_task(at, task, Err(error));
    }

    /// A task ends with the process. The caller keeps that from having ended yet.
    fn leave_behind(&self, at: usize, task: &Arc<TaskState>) {
        let mut board = self.board.lock();
        board.slots[at].running = None;
        board.orphans.push(Arc::clone(task));
    }

    /// Why the task was stopped, if it was.
    fn error_of_stop(&self, at: usize, task: &TaskState) -> Option<TaskError> {
        let board = self.board.lock();
        match board.slots[at].running.as_ref()?.stop? {
            Stop::Cancelled => Some(TaskError::Cancelled),
            Stop::TimedOut => Some(TaskError::TimedOut(task.timeout.unwrap_or_default())),
        }
    }

    /// The slot is free for another task, and this one has its result.
    fn finish_task(&self, at: usize, task: &TaskState, result: Result<Vec<Val>, TaskError>) {
        let mut board = self.board.lock();
        let is_closed = board.stage == Stage::Closed;
        let slot = &mut board.slots[at];
        slot.thread.wait_ends();
        let stopped = slot
            .running
            .take()
            .is_some_and(|running| running.stop.is_some());
        if stopped && !is_closed {
            slot.thread.cancel(false);
            slot.page.iter().for_each(|page| page.open());
        }
        board.settle(&self.arena, task, result);
        let all_done = board.unfinished == 0;
        drop(board);
        self.tell(task, all_done);
    }

    /// Wakes those who wait for a task that has its result.
    fn tell(&self, task: &TaskState, all_done: bool) {
        task.done.open();
        if all_done {
            self.all_done.notify_all();
        }
    }

    // ---- Tasks are stopped ----

    /// Ends a task that is not done; false if it is.
    pub(super) fn cancel(&self, process: &State, task: &Arc<TaskState>) -> bool {
        let mut board = self.board.lock();
        if task.result.get().is_some() || board.stage == Stage::Closed {
            return false;
        }
        let runs = |slot: &Slot| {
            let running = slot.running.as_ref();
            running.is_some_and(|running| Arc::ptr_eq(&running.task, task))
        };
        if let Some(slot) = board.slots.iter_mut().find(|slot| runs(slot)) {
            let stopped = slot.stop(process, Stop::Cancelled);
            drop(board);
            if let Some(thread) = stopped {
                thread.wake();
            }
            return true;
        }
        // It is queued. Whoever comes to it passes it by.
        board.settle(&self.arena, task, Err(TaskError::Cancelled));
        let all_done = board.unfinished == 0;
        drop(board);
        self.tell(task, all_done);
        true
    }

    // ---- Everybody waits ----

    /// There is nobody to run a task, so it ends with the process.
    fn give_up(&self, task: Arc<TaskState>) {
        let mut board = self.board.lock();
        match board.status.clone() {
            None => board.orphans.push(task),
            Some(status) => {
                board.settle(&self.arena, &task, Err(TaskError::Ended(Box::new(status))));
                drop(board);
                self.tell(&task, true);
            }
        }
    }

    /// The calling thread of the host will do nothing until the task is done.
    pub(super) fn host_waits_for(&self, task: &TaskState) {
        {
            let _board = self.board.lock();
            if task.result.get().is_some() || !self.arena.claim() {
                return;
            }
            // Ordering: Relaxed; under the lock.
            task.waiters.fetch_add(1, Ordering::Relaxed);
        }
        self.arena.leave();
    }

    /// Blocks until every task has its result, as a thread of the host that will do
    /// nothing meanwhile.
    pub(super) fn wait_all(&self) {
        let mut board = self.board.lock();
        if board.unfinished == 0 {
            return;
        }
        let times_done = board.times_done;
        if self.arena.claim() {
            board.waiters += 1;
            drop(board);
            self.arena.leave();
            board = self.board.lock();
        }
        let unfinished = |board: &mut Board| board.times_done == times_done;
        drop(self.all_done.wait_while(board, unfinished));
    }

    /// As [`wait_all`](Self::wait_all), for at most `time`; false if tasks are left.
    pub(super) fn wait_all_timeout(&self, time: Duration) -> bool {
        let board = self.board.lock();
        if board.unfinished == 0 {
            return true;
        }
        let times_done = board.times_done;
        let unfinished = |board: &mut Board| board.times_done == times_done;
        let (_board, result) = self.all_done.wait_timeout_while(board, time, unfinished);
        !result.timed_out()
    }

    pub(super) fn status(&self) -> Vec<WorkerStatus> {
        let board = self.board.lock();
        let status = |slot: &Slot| match &slot.running {
            Some(running) => WorkerStatus::Busy(running.task.id),
            None if slot.has_worker => WorkerStatus::Idle,
            None => WorkerStatus::Terminated,
        };
        board.slots.iter().map(status).collect()
    }

    /// Tasks that no worker runs yet.
    pub(super) fn queued(&self) -> usize {
        let board = self.board.lock();
        let waiting = |task: &&Arc<TaskState>| task.result.get().is_none();
        board.queue.iter().flatten().filter(waiting).count()
    }

    // ---- The end ----

    /// Takes no more tasks.
    pub(super) fn drain(&self) {
        let mut board = self.board.lock();
        if board.stage == Stage::Open {
            board.stage = Stage::Draining;
        }
    }
}

impl Program for Pool {
    /// Ends the tasks whose time is over; returns when the next one's is.
    fn visit(&self, process: &State, now: Instant) -> Option<Instant> {
        let mut board = self.board.lock();
        let mut next: Option<Instant> = None;
        let mut stopped = Vec::new();
        for slot in &mut board.slots {
            let Some(running) = &slot.running else {
                continue;
            };
            match running.deadline {
                Some(deadline) if deadline <= now => {
                    stopped.extend(slot.stop(process, Stop::TimedOut));
                }
                Some(deadline) => next = Some(next.map_or(deadline, |next| next.min(deadline))),
                // It is still there.
                None if running.stop.is_some() => process.interrupt(&slot.thread),
                None => {}
            }
        }
        drop(board);
        stopped.iter().for_each(|thread| thread.wake());
        next
    }

    /// All that live sleep for ever. True if a worker was started for a queued task.
    fn relieve(self: Arc<Self>, process: &Arc<State>) -> bool {
        let task = {
            let mut board = self.board.lock();
            match board.stage {
                Stage::Closed => None,
                Stage::Open | Stage::Draining => board.pop(),
            }
        };
        let Some(task) = task else {
            return false;
        };
        let Err(task) = self.start_worker(process, Some(task), None) else {
            return true;
        };
        task.into_iter().for_each(|task| self.give_up(task));
        false
    }

    /// The process is ending: sends the workers away, and stops their tasks.
    fn close(&self, process: &State) {
        let mut board = self.board.lock();
        board.stage = Stage::Closed;
        while let Some(task) = board.pop() {
            board.orphans.push(task);
        }
        for slot in &board.slots {
            slot.page.iter().for_each(|page| page.close());
        }
        for at in std::mem::take(&mut board.idle) {
            self.arena.lot().enter();
            let worker = &board.slots[at].worker;
            worker.iter().for_each(|worker| worker.wake());
        }
        drop(board);
        // The pool's own, which it had for as long as it took tasks.
        process.release_store();
    }

    /// The process has ended: tells the tasks that it took along.
    fn finish(&self, status: &ExitStatus) {
        self.instances.close();
        let mut board = self.board.lock();
        let orphans = std::mem::take(&mut board.orphans);
        for task in &orphans {
            let ended = TaskError::Ended(Box::new(status.clone()));
            board.settle(&self.arena, task, Err(ended));
        }
        board.status = Some(status.clone());
        drop(board);
        orphans.iter().for_each(|task| self.tell(task, true));
    }
}

impl Board {
    /// The next task of the queue that was not cancelled.
    fn pop(&mut self) -> Option<Arc<TaskState>> {
        let queues = self.queue.iter_mut().rev();
        let mut tasks = queues.flat_map(|queue| std::iter::from_fn(|| queue.pop_front()));
        tasks.find(|task| task.result.get().is_none())
    }

    /// Gives a slot the next task of the queue, if there is one.
    fn take_from_queue(&mut self, at: usize) -> bool {
        let task = self.pop();
        let found = task.is_some();
        if let Some(task) = task {
            self.slots[at].start(task);
        }
        found
    }

    /// A task has its result, and the threads of the host that waited for it live again.
    fn settle(&mut self, arena: &Arena, task: &TaskState, result: Result<Vec<Val>, TaskError>) {
        // Nobody else can have: see the first invariant.
        let _ = task.result.set(result);
        // Ordering: Relaxed; under the lock.
        let mut back = task.waiters.swap(0, Ordering::Relaxed);
        self.unfinished -= 1;
        if self.unfinished == 0 {
            self.times_done += 1;
            back += std::mem::take(&mut self.waiters);
        }
        arena.give_back(back);
        (0..back).for_each(|_| arena.lot().enter());
    }
}

impl Slot {
    fn start(&mut self, task: Arc<TaskState>) {
        let deadline = task
            .timeout
            .and_then(|time| Instant::now().checked_add(time));
        self.running = Some(Running {
            task,
            stop: None,
            deadline,
        });
    }

    /// Stops the task that runs here. The caller holds the board's lock; what this returns
    /// it has to wake when it does not.
    fn stop(&mut self, process: &State, why: Stop) -> Option<Arc<ThreadState>> {
        let running = self.running.as_mut()?;
        running.deadline = None;
        if running.stop.replace(why).is_some() {
            return None;
        }
        self.thread.cancel(true);
        self.page.iter().for_each(|page| page.close());
        let id = self.thread.id;
        process.lot().cancel(|thread| thread == id);
        self.thread.unpark();
        process.interrupt(&self.thread);
        Some(Arc::clone(&self.thread))
    }
}

/// Calls the task's function.
fn run(instance: &mut PooledInstance, task: &TaskState) -> wasmtime::Result<Vec<Val>> {
    let results = task.entry.ty.results();
    let mut results: Vec<_> = results
        .map(|ty| Val::default_for_ty(&ty).unwrap_or(Val::I32(0)))
        .collect();
    instance.on_thread(|instance| {
        let export = instance
            .instance
            .get_module_export(&mut instance.store, &task.entry.export);
        let function = export
            .and_then(wasmtime::Extern::into_func)
            .ok_or_else(|| {
                wasmtime::Error::msg("an export of the module is not one of its instance")
            })?;
        function.call(&mut instance.store, &task.args, &mut results)
    })?;
    Ok(results)
}
