//! [`Pool`]: the queue of a runtime's tasks and the workers that run them.
//!
//! A worker is an operating-system thread of the engine's with a *place*: a guest
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
//!    queued, at one place, orphaned, or has its result.
//! 2. While a task can be queued, no worker is idle.
//! 3. A stop meant for one task never meets the next: it is made, and taken back, under
//!    the board's lock, by whoever finds that very task at its place.
//! 4. Threads of the host that wait for a task count as away until the moment in which
//!    it gets its result; from then on they live, before its worker can be idle.

use super::instance::Instances;
use super::task::{Entry, TaskError, TaskId, TaskState};
use super::{ExecuteError, Task, TaskHandle, WorkerStatus};
use crate::poll_page::PollPage;
use crate::process::{Cause, State};
use crate::seat::{Seat, cause_of};
use crate::thread::ThreadState;
use crate::worker::{Job, Worker};
use crate::{ExitStatus, LimitExceeded};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};
use threadwork_sync::{Condvar, Mutex};
use wasmtime::Val;

/// See the module's documentation.
pub(crate) struct Pool {
    size: u32,
    task_timeout: Option<Duration>,
    entries: BTreeMap<String, Arc<Entry>>,
    instances: Instances,
    board: Mutex<Board>,
    /// Notified when no task is left.
    all_done: Condvar,
}

/// Under one lock.
struct Board {
    stage: Stage,
    /// By priority, the lowest first.
    queue: [VecDeque<Arc<TaskState>>; 3],
    places: Vec<Place>,
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

/// Where a worker is, or was, or will be.
struct Place {
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
        size: u32,
        task_timeout: Option<Duration>,
        entries: BTreeMap<String, Arc<Entry>>,
        instances: Instances,
    ) -> Self {
        Self {
            size,
            task_timeout,
            entries,
            instances,
            board: Mutex::new(Board {
                stage: Stage::Open,
                queue: [VecDeque::new(), VecDeque::new(), VecDeque::new()],
                places: Vec::new(),
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

    // ---- Tasks come ----

    /// Hands a task to an idle worker, or queues it.
    pub(super) fn execute(
        &self,
        process: &Arc<State>,
        task: Task,
    ) -> Result<TaskHandle, ExecuteError> {
        let entry = self.entry(&task.entry)?;
        entry.check(&task.args)?;
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
                let place = &mut board.places[at];
                place.start(Arc::clone(&state));
                // An idle worker is there to be woken.
                let worker = place.worker.clone();
                process.lot().enter();
                drop(board);
                if let Some(worker) = worker {
                    worker.give(Job::Task);
                }
            }
        }
        Ok(TaskHandle {
            task: state,
            process: Arc::downgrade(process),
        })
    }

    /// The function that a task may call under this name.
    pub(super) fn entry(&self, name: &str) -> Result<Arc<Entry>, ExecuteError> {
        match self.entries.get(name) {
            Some(entry) if entry.is_of_numbers() => Ok(Arc::clone(entry)),
            Some(_) => Err(ExecuteError::References {
                name: name.to_owned(),
            }),
            None => Err(ExecuteError::NoEntry {
                name: name.to_owned(),
                exports: self.entries.keys().cloned().collect(),
            }),
        }
    }

    // ---- Tasks are run ----

    /// Starts a worker, with a task if it is started for one.
    ///
    /// # Errors
    ///
    /// If the limit of threads, or the system, allows none more; gives the task back.
    pub(super) fn start_worker(
        &self,
        process: &Arc<State>,
        task: Option<Arc<TaskState>>,
        ready: Option<Ready>,
    ) -> Result<(), Option<Arc<TaskState>>> {
        let Some(thread) = process.add_worker() else {
            return Err(task);
        };
        let at = self.take_place(&thread, task);
        process.lot().enter();
        process.occupy();
        let state = Arc::clone(process);
        let run = move |worker: &Arc<Worker>| {
            if let Some(pool) = state.pool() {
                pool.work(&state, at, worker, ready);
            }
            state.vacate();
        };
        if process.engine().workers().run(run).is_ok() {
            return Ok(());
        }
        let mut board = self.board.lock();
        let place = &mut board.places[at];
        place.has_worker = false;
        let task = place.running.take().map(|running| running.task);
        board.workers -= 1;
        drop(board);
        process.remove_worker(&thread);
        // The caller lives.
        process.lot().leave(|| false);
        process.vacate();
        Err(task)
    }

    /// The place of a new worker: one that another has left, or a new one.
    fn take_place(&self, thread: &Arc<ThreadState>, task: Option<Arc<TaskState>>) -> usize {
        let mut board = self.board.lock();
        let free = board.places.iter().position(|place| !place.has_worker);
        let at = free.unwrap_or(board.places.len());
        if free.is_none() {
            board.places.push(Place {
                thread: Arc::clone(thread),
                worker: None,
                page: None,
                running: None,
                has_worker: false,
            });
        }
        board.workers += 1;
        let place = &mut board.places[at];
        place.thread = Arc::clone(thread);
        place.has_worker = true;
        if let Some(task) = task {
            place.start(task);
        }
        at
    }

    /// The life of a worker at its place.
    fn work(&self, process: &Arc<State>, at: usize, worker: &Arc<Worker>, ready: Option<Ready>) {
        let thread = self.move_in(at, worker);
        thread.attach();
        let mut seat = self.sit_down(process, at, &thread);
        if let Some(ready) = ready {
            let first = seat.as_ref().map(drop).map_err(crate::error::one_line);
            // The builder waits for this, or has given up.
            let _ = ready.send(first);
        }
        while let Some(task) = self.next(process, at, worker) {
            if let Some(timeout) = task.timeout
                && let Some(time) = Instant::now().checked_add(timeout)
            {
                process.engine().watchdog().schedule(process, time);
            }
            if seat.is_err() {
                seat = self.sit_down(process, at, &thread);
            }
            let result = match &mut seat {
                Ok(seat) => run(seat, &task),
                Err(error) => {
                    self.end_unstarted(process, at, &task, error);
                    continue;
                }
            };
            let failed = result.is_err();
            self.end_task(process, at, &thread, &task, result);
            if failed && !process.is_ending() {
                seat = self.sit_down(process, at, &thread);
            }
        }
        drop(seat);
        self.move_out(process, at, &thread);
    }

    fn move_in(&self, at: usize, worker: &Arc<Worker>) -> Arc<ThreadState> {
        let mut board = self.board.lock();
        let place = &mut board.places[at];
        place.worker = Some(Arc::clone(worker));
        Arc::clone(&place.thread)
    }

    fn move_out(&self, process: &Arc<State>, at: usize, thread: &ThreadState) {
        process.remove_worker(thread);
        let mut board = self.board.lock();
        let place = &mut board.places[at];
        place.worker = None;
        place.has_worker = false;
        drop(board);
        process.arena().leave();
    }

    /// Makes an instance for the worker.
    fn sit_down(
        &self,
        process: &Arc<State>,
        at: usize,
        thread: &Arc<ThreadState>,
    ) -> wasmtime::Result<Seat> {
        let page = self.page(process, at)?;
        self.instances.seat(process, thread, at, page.as_deref())
    }

    /// The poll page of a place; `None` if the module does not look at one.
    fn page(&self, process: &State, at: usize) -> wasmtime::Result<Option<Arc<PollPage>>> {
        if !process.module().has_poll() {
            return Ok(None);
        }
        if let Some(page) = &self.board.lock().places[at].page {
            return Ok(Some(Arc::clone(page)));
        }
        let page = Arc::new(PollPage::new(process.engine().wasmtime())?);
        let mut board = self.board.lock();
        if board.stage == Stage::Closed {
            page.close();
        }
        board.places[at].page = Some(Arc::clone(&page));
        Ok(Some(page))
    }

    /// The next task for a worker, which it waits for; `None` if it is to leave.
    fn next(&self, process: &Arc<State>, at: usize, worker: &Worker) -> Option<Arc<TaskState>> {
        let mut board = self.board.lock();
        if board.places[at].running.is_none() && !board.take_from_queue(at) {
            if board.stage == Stage::Closed || board.workers > self.size {
                board.workers -= 1;
                return None;
            }
            board.idle.push(at);
            drop(board);
            process.arena().leave();
            // Whoever takes us out of the list has entered us into the lot again.
            worker.wait(None);
            board = self.board.lock();
        }
        let running = board.places[at].running.as_ref();
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
        let limit = thread.take_limit();
        let error = match result {
            Ok(values) => return self.finish_task(process, at, task, Ok(values)),
            Err(error) => error,
        };
        if let Some(error) = self.error_of_stop(at, task) {
            return self.finish_task(process, at, task, Err(error));
        }
        match (cause_of(&error, process, thread), limit) {
            (Some(Cause::Trapped(trap)), None) => {
                self.finish_task(process, at, task, Err(TaskError::Trapped(trap)));
            }
            (Some(Cause::Trapped(trap)), Some(limit)) => {
                let trap = Some(trap);
                let exceeded = LimitExceeded { limit, trap };
                self.finish_task(process, at, task, Err(TaskError::LimitExceeded(exceeded)));
            }
            (cause, _) => {
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
    fn end_unstarted(
        &self,
        process: &State,
        at: usize,
        task: &Arc<TaskState>,
        error: &wasmtime::Error,
    ) {
        if process.is_ending() {
            return self.leave_behind(at, task);
        }
        let message = crate::error::one_line(error);
        let error = self.error_of_stop(at, task);
        let error = error.unwrap_or(TaskError::Instance { message });
        self.finish_task(process, at, task, Err(error));
    }

    /// A task ends with the process. The caller keeps that from having ended yet.
    fn leave_behind(&self, at: usize, task: &Arc<TaskState>) {
        let mut board = self.board.lock();
        board.places[at].running = None;
        board.orphans.push(Arc::clone(task));
    }

    /// Why the task was stopped, if it was.
    fn error_of_stop(&self, at: usize, task: &TaskState) -> Option<TaskError> {
        let board = self.board.lock();
        match board.places[at].running.as_ref()?.stop? {
            Stop::Cancelled => Some(TaskError::Cancelled),
            Stop::TimedOut => Some(TaskError::TimedOut(task.timeout.unwrap_or_default())),
        }
    }

    /// The place is free for another task, and this one has its result.
    fn finish_task(
        &self,
        process: &State,
        at: usize,
        task: &TaskState,
        result: Result<Vec<Val>, TaskError>,
    ) {
        let mut board = self.board.lock();
        let is_closed = board.stage == Stage::Closed;
        let place = &mut board.places[at];
        place.thread.wait_ends();
        let stopped = place
            .running
            .take()
            .is_some_and(|running| running.stop.is_some());
        if stopped && !is_closed {
            place.thread.cancel(false);
            place.page.iter().for_each(|page| page.open());
        }
        board.settle(process, task, result);
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
        let runs = |place: &Place| {
            let running = place.running.as_ref();
            running.is_some_and(|running| Arc::ptr_eq(&running.task, task))
        };
        if let Some(place) = board.places.iter_mut().find(|place| runs(place)) {
            place.stop(process, Stop::Cancelled);
            return true;
        }
        // It is queued. Whoever comes to it passes it by.
        board.settle(process, task, Err(TaskError::Cancelled));
        let all_done = board.unfinished == 0;
        drop(board);
        self.tell(task, all_done);
        true
    }

    /// Ends the tasks whose time is over; returns when the next one's is.
    pub(crate) fn visit(&self, process: &State, now: Instant) -> Option<Instant> {
        let mut board = self.board.lock();
        let mut next: Option<Instant> = None;
        for place in &mut board.places {
            let deadline = place.running.as_ref().and_then(|running| running.deadline);
            match deadline {
                Some(deadline) if deadline <= now => place.stop(process, Stop::TimedOut),
                Some(deadline) => next = Some(next.map_or(deadline, |next| next.min(deadline))),
                None => {}
            }
        }
        next
    }

    // ---- Everybody waits ----

    /// All that live sleep for ever. True if a worker was started for a queued task.
    pub(crate) fn relieve(&self, process: &Arc<State>) -> bool {
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
        task.into_iter()
            .for_each(|task| self.give_up(process, task));
        false
    }

    /// There is nobody to run a task, so it ends with the process.
    fn give_up(&self, process: &State, task: Arc<TaskState>) {
        let mut board = self.board.lock();
        match board.status.clone() {
            None => board.orphans.push(task),
            Some(status) => {
                board.settle(process, &task, Err(TaskError::Ended(Box::new(status))));
                drop(board);
                self.tell(&task, true);
            }
        }
    }

    /// The calling thread of the host will do nothing until the task is done.
    pub(super) fn host_waits_for(&self, process: &State, task: &TaskState) {
        {
            let _board = self.board.lock();
            if task.result.get().is_some() || !process.arena().claim() {
                return;
            }
            // Ordering: Relaxed; under the lock.
            task.waiters.fetch_add(1, Ordering::Relaxed);
        }
        process.arena().leave();
    }

    /// Blocks until every task has its result, as a thread of the host that will do
    /// nothing meanwhile.
    pub(super) fn wait_all(&self, process: &State) {
        let mut board = self.board.lock();
        if board.unfinished == 0 {
            return;
        }
        let times_done = board.times_done;
        if process.arena().claim() {
            board.waiters += 1;
            drop(board);
            process.arena().leave();
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
        let (_board, result) = self.all_done.wait_while_timeout(board, time, unfinished);
        !result.timed_out()
    }

    pub(super) fn status(&self) -> Vec<WorkerStatus> {
        let board = self.board.lock();
        let status = |place: &Place| match &place.running {
            Some(running) => WorkerStatus::Busy(running.task.id),
            None if place.has_worker => WorkerStatus::Idle,
            None => WorkerStatus::Terminated,
        };
        board.places.iter().map(status).collect()
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

    /// The process is ending: sends the workers away, and stops their tasks.
    pub(crate) fn close(&self, process: &State) {
        let mut board = self.board.lock();
        board.stage = Stage::Closed;
        while let Some(task) = board.pop() {
            board.orphans.push(task);
        }
        for place in &board.places {
            place.page.iter().for_each(|page| page.close());
        }
        for at in std::mem::take(&mut board.idle) {
            process.lot().enter();
            let worker = &board.places[at].worker;
            worker.iter().for_each(|worker| worker.give(Job::Leave));
        }
    }

    /// The process has ended: tells the tasks that it took along.
    pub(crate) fn finish(&self, process: &State, status: &ExitStatus) {
        self.instances.close();
        let mut board = self.board.lock();
        let orphans = std::mem::take(&mut board.orphans);
        for task in &orphans {
            let ended = TaskError::Ended(Box::new(status.clone()));
            board.settle(process, task, Err(ended));
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

    /// Gives a place the next task of the queue, if there is one.
    fn take_from_queue(&mut self, at: usize) -> bool {
        let task = self.pop();
        let found = task.is_some();
        if let Some(task) = task {
            self.places[at].start(task);
        }
        found
    }

    /// A task has its result, and the threads of the host that waited for it live again.
    fn settle(&mut self, process: &State, task: &TaskState, result: Result<Vec<Val>, TaskError>) {
        // Nobody else can have: see the first invariant.
        let _ = task.result.set(result);
        // Ordering: Relaxed; under the lock.
        let mut back = task.waiters.swap(0, Ordering::Relaxed);
        self.unfinished -= 1;
        if self.unfinished == 0 {
            self.times_done += 1;
            back += std::mem::take(&mut self.waiters);
        }
        process.arena().give_back(back);
        (0..back).for_each(|_| process.lot().enter());
    }
}

impl Place {
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

    /// Stops the task that runs here. The caller holds the board's lock.
    fn stop(&mut self, process: &State, why: Stop) {
        let Some(running) = &mut self.running else {
            return;
        };
        running.deadline = None;
        if running.stop.replace(why).is_some() {
            return;
        }
        self.thread.cancel(true);
        self.page.iter().for_each(|page| page.close());
        let id = self.thread.id;
        process.lot().cancel(|thread| thread == id);
        self.thread.unpark();
    }
}

/// Calls the task's function.
fn run(seat: &mut Seat, task: &TaskState) -> wasmtime::Result<Vec<Val>> {
    let results = task.entry.ty.results();
    let mut results: Vec<_> = results
        .map(|ty| Val::default_for_ty(&ty).unwrap_or(Val::I32(0)))
        .collect();
    seat.on_thread(|seat| {
        let export = seat
            .instance
            .get_module_export(&mut seat.store, &task.entry.export);
        let function = export
            .and_then(wasmtime::Extern::into_func)
            .ok_or_else(|| {
                wasmtime::Error::msg("an export of the module is not one of its instance")
            })?;
        function.call(&mut seat.store, &task.args, &mut results)
    })?;
    Ok(results)
}
