//! [`State`]: what the threads of one process and the embedder's handle share.
//!
//! # Life
//!
//! A process *runs* until the first cause of its end is recorded by
//! [`State::end`]; it is then *ending*: its waits are cancelled, its sleepers woken,
//! its computing threads interrupted, and nothing new starts. It has *ended* when
//! the last worker has left its seat; only then is there an exit status, and by
//! then no thread of it is left and its files are closed.
//!
//! # Invariants
//!
//! 1. The first cause wins, and it is recorded before anybody can observe that the
//!    process is ending.
//! 2. `occupied` counts the workers that hold, or will hold, a store of this
//!    process. It reaches 0 exactly once, after the end was caused.
//! 3. A thread is in the lot's census from before it can run until it has ended.

use super::threads::Threads;
use crate::arena::Arena;
use crate::memory::Memory;
use crate::poll_page::PollPage;
use crate::runtime::Pool;
use crate::seat::{self, Ended};
use crate::thread::{Counters, ThreadContext, ThreadState};
use crate::wasi::Wasi;
use crate::worker::{Worker, lock};
use crate::{
    Backtrace, DeadlockReport, Engine, ExitStatus, Limit, LimitExceeded, Limits, Module, Sleeper,
    Stats, Trap,
};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use threadwork_parking::ParkingLot;
use wasmtime::{Instance, InstancePre, Linker, Store, WasmBacktrace};

/// `EAGAIN` of WASI, the error of a spawn that cannot be done now.
const SPAWN_FAILED: i32 = -6;

/// How long a spawn at the limit waits for a thread that has ended, as far as the
/// guest can see, but whose worker is not done with it.
const LINGER: Duration = Duration::from_millis(20);

/// The shortest time between two looks at how much CPU time is left.
const SHORTEST_VISIT: Duration = Duration::from_millis(1);

/// Why a process ends.
pub(crate) enum Cause {
    Exited(i32),
    Trapped(Trap),
    Deadlock,
    Limit(Limit),
    Killed,
}

/// `proc_exit`, on its way out of the guest.
#[derive(Debug, thiserror::Error)]
#[error("the program exits with code {0}")]
pub(crate) struct ProcExit(pub(crate) i32);

/// See the module's documentation.
pub(crate) struct State {
    id: u64,
    module: Module,
    arena: Arc<Arena>,
    poll_page: Option<PollPage>,
    limits: Limits,
    wasi: Wasi,
    /// Set before the first instance is made.
    linked: OnceLock<Linked>,
    threads: Mutex<Threads>,
    occupied: AtomicU32,
    ending: AtomicBool,
    cause: Mutex<Option<Cause>>,
    /// The limit that a thread met last; explains a trap that follows.
    limit_met: Mutex<Option<Limit>>,
    sleepers: Mutex<Vec<Sleeper>>,
    /// The workers and tasks, if this is a runtime's.
    pool: Option<Pool>,
    /// Ends the main thread's loop when it is dropped; see `main_thread`.
    calls: Mutex<Option<super::main_thread::CallSender>>,
    finished: Finished,
    started: Instant,
    status: Mutex<Option<ExitStatus>>,
    ended: Condvar,
}

/// The module with its imports.
pub(crate) struct Linked {
    /// Everything that it imports but the poll page.
    pub(crate) linker: Linker<ThreadContext>,
    /// With the poll page of the process.
    pub(crate) pre: InstancePre<ThreadContext>,
}

/// What threads that have ended leave behind.
#[derive(Default)]
struct Finished {
    cpu_nanos: AtomicU64,
    waits: AtomicU64,
    waits_not_equal: AtomicU64,
    notifies: AtomicU64,
    woken: AtomicU64,
    spawns_failed: AtomicU64,
    wall_time: OnceLock<Duration>,
}

impl State {
    pub(crate) fn new(
        module: &Module,
        arena: Arena,
        poll_page: Option<PollPage>,
        limits: Limits,
        wasi: Wasi,
        calls: Option<super::main_thread::CallSender>,
        pool: Option<Pool>,
    ) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        Self {
            // Ordering: Relaxed; only distinctness matters.
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            module: module.clone(),
            arena: Arc::new(arena),
            poll_page,
            limits,
            wasi,
            linked: OnceLock::new(),
            threads: Mutex::new(Threads::new()),
            occupied: AtomicU32::new(1),
            ending: AtomicBool::new(false),
            cause: Mutex::new(None),
            limit_met: Mutex::new(None),
            sleepers: Mutex::default(),
            pool,
            calls: Mutex::new(calls),
            finished: Finished::default(),
            started: Instant::now(),
            status: Mutex::new(None),
            ended: Condvar::new(),
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.module.engine()
    }

    pub(crate) fn module(&self) -> &Module {
        &self.module
    }

    pub(crate) fn arena(&self) -> &Arc<Arena> {
        &self.arena
    }

    pub(crate) fn memories(&self) -> &[Memory] {
        self.arena.memories()
    }

    pub(crate) fn poll_page(&self) -> Option<&PollPage> {
        self.poll_page.as_ref()
    }

    pub(crate) fn lot(&self) -> &ParkingLot {
        self.arena.lot()
    }

    pub(crate) fn pool(&self) -> Option<&Pool> {
        self.pool.as_ref()
    }

    pub(crate) fn wasi(&self) -> &Wasi {
        &self.wasi
    }

    pub(crate) fn calls(&self) -> &Mutex<Option<super::main_thread::CallSender>> {
        &self.calls
    }

    pub(crate) fn link(&self, linked: Linked) {
        // Called once, before the main thread starts.
        let _ = self.linked.set(linked);
    }

    pub(crate) fn linked(&self) -> wasmtime::Result<&Linked> {
        let linked = self.linked.get();
        linked.ok_or_else(|| wasmtime::Error::new(Ended))
    }

    pub(crate) fn instantiate(
        &self,
        store: &mut Store<ThreadContext>,
    ) -> wasmtime::Result<Instance> {
        self.linked()?.pre.instantiate(store)
    }

    // ---- Threads ----

    /// Adds the main thread.
    pub(crate) fn add_main(&self) -> Arc<ThreadState> {
        self.lot().enter();
        lock(&self.threads).add_main()
    }

    /// `wasi.thread-spawn`: the new thread's id, or a negative error.
    pub(crate) fn spawn_thread(self: &Arc<Self>, spawner: &ThreadState, argument: i32) -> i32 {
        self.try_spawn(spawner, argument).unwrap_or_else(|| {
            // Ordering: Relaxed; a statistic.
            self.finished.spawns_failed.fetch_add(1, Ordering::Relaxed);
            SPAWN_FAILED
        })
    }

    fn try_spawn(self: &Arc<Self>, spawner: &ThreadState, argument: i32) -> Option<i32> {
        let (thread, seat) = self.admit(spawner)?;
        let id = thread.id;
        match seat {
            Some(worker) => worker.give(crate::worker::Job::Thread(thread, argument)),
            None => {
                self.occupy();
                let process = Arc::clone(self);
                let run = move |worker: &Arc<Worker>| {
                    seat::occupy(&process, worker, thread, argument);
                };
                if self.engine().workers().run(run).is_err() {
                    lock(&self.threads).take_back(id);
                    // The spawner itself is alive and awake.
                    self.lot().leave(|| false);
                    self.occupied.fetch_sub(1, Ordering::Relaxed);
                    return None;
                }
            }
        }
        // Ids are below 2^29.
        Some(id.cast_signed())
    }

    /// A new thread, and a worker with a seat if one is idle.
    fn admit(&self, spawner: &ThreadState) -> Option<(Arc<ThreadState>, Option<Arc<Worker>>)> {
        let limit = self.limits.threads.map(Limit::Threads);
        let deadline = Instant::now() + LINGER;
        loop {
            let mut threads = lock(&self.threads);
            let others = threads.count_beside_main();
            match limit {
                Some(limit @ Limit::Threads(most)) if others >= most => {
                    if Instant::now() >= deadline || threads.is_closed() {
                        self.meet_limit(spawner, limit);
                        return None;
                    }
                }
                _ => {
                    let thread = threads.add_next()?;
                    self.lot().enter();
                    return Some((thread, threads.take_seat()));
                }
            }
            drop(threads);
            thread::yield_now();
        }
    }

    /// A thread for a worker of the pool: in the table, and not in the lot yet.
    pub(crate) fn add_worker(&self) -> Option<Arc<ThreadState>> {
        let most = self.limits.threads.unwrap_or(u32::MAX);
        let mut threads = lock(&self.threads);
        let has_room = threads.count_beside_main() < most;
        has_room.then(|| threads.add_next()).flatten()
    }

    /// A worker of the pool leaves for good, or could not be started.
    pub(crate) fn remove_worker(&self, thread: &ThreadState) {
        lock(&self.threads).remove(thread.id);
        self.finished.add(&thread.counters, thread.cpu_time());
    }

    /// One more worker will hold a store. The caller keeps the process from ending
    /// meanwhile, by holding one itself.
    pub(crate) fn occupy(&self) {
        // Ordering: Relaxed; the caller's own seat keeps the count above 0.
        self.occupied.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes the offer back; false if a job is on its way.
    pub(crate) fn withdraw(&self, worker: &Arc<Worker>) -> bool {
        lock(&self.threads).withdraw(worker)
    }

    /// A thread ended with an error.
    pub(crate) fn thread_failed(self: &Arc<Self>, thread: &ThreadState, error: &wasmtime::Error) {
        match seat::cause_of(error, self, thread) {
            Some(cause) => self.end(cause),
            None => self.thread_stopped(thread, error),
        }
    }

    /// A thread was stopped because the process is ending.
    pub(crate) fn thread_stopped(&self, thread: &ThreadState, error: &wasmtime::Error) {
        if matches!(*lock(&self.cause), Some(Cause::Deadlock))
            && let Some(address) = thread.address()
        {
            let trace = error.downcast_ref::<WasmBacktrace>();
            lock(&self.sleepers).push(Sleeper {
                thread: thread.id,
                address,
                backtrace: trace.map_or_else(Backtrace::default, |t| self.module.backtrace(t)),
            });
        }
    }

    /// A thread is not in the guest any more. `worker` offers itself for the next one;
    /// true if it may stay for that.
    pub(crate) fn thread_ended(
        self: &Arc<Self>,
        thread: &ThreadState,
        worker: Option<&Arc<Worker>>,
    ) -> bool {
        let offered = {
            let mut threads = lock(&self.threads);
            threads.remove(thread.id);
            worker.is_some_and(|worker| threads.offer(worker))
        };
        self.arena.leave();
        self.finished.add(&thread.counters, thread.cpu_time());
        offered
    }

    /// A worker has given up its seat.
    pub(crate) fn vacate(&self) {
        // Ordering: AcqRel; what each worker did comes before `finish`.
        if self.occupied.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.finish();
        }
    }

    // ---- Limits ----

    /// Remembers that a thread was refused something.
    pub(crate) fn meet_limit(&self, thread: &ThreadState, limit: Limit) {
        *lock(&self.limit_met) = Some(limit);
        thread.meet_limit(limit);
    }

    /// Whether a memory or table of `thread`'s, not a shared one, may have `bytes`.
    pub(crate) fn allow_memory(&self, thread: &ThreadState, bytes: u64) -> bool {
        match self.limits.memory {
            Some(most) if bytes > most => {
                self.meet_limit(thread, Limit::Memory(most));
                false
            }
            _ => true,
        }
    }

    /// `memory.grow` of a shared memory: the pages it had before.
    pub(crate) fn grow(&self, thread: &ThreadState, memory: &Memory, pages: u64) -> Option<u64> {
        let grown = self.arena.grow(memory, pages);
        if grown.is_none()
            && let Some(most) = self.arena.limit()
        {
            self.meet_limit(thread, Limit::Memory(most));
        }
        grown
    }

    /// Called by the watchdog at a time that `schedule` or an earlier visit asked
    /// for; returns the time of the next visit.
    pub(crate) fn visit(self: &Arc<Self>, now: Instant) -> Option<Instant> {
        if self.is_ending() {
            return None;
        }
        let used = now.saturating_duration_since(self.started);
        let wall = self
            .limits
            .wall_time
            .map(|limit| limit.saturating_sub(used));
        if let (Some(limit), Some(Duration::ZERO)) = (self.limits.wall_time, wall) {
            self.end(Cause::Limit(Limit::WallTime(limit)));
            return None;
        }
        let cpu = self
            .limits
            .cpu_time
            .map(|limit| limit.saturating_sub(self.cpu_time()));
        if let (Some(limit), Some(Duration::ZERO)) = (self.limits.cpu_time, cpu) {
            self.end(Cause::Limit(Limit::CpuTime(limit)));
            return None;
        }
        // It cannot be used up faster than all cores can.
        let cpu = cpu.map(|left| (left / self.engine().parallelism()).max(SHORTEST_VISIT));
        let limits = [wall, cpu].into_iter().flatten().min();
        let tasks = self.pool.as_ref().and_then(|pool| pool.visit(self, now));
        let limits = limits.and_then(|left| now.checked_add(left));
        [limits, tasks].into_iter().flatten().min()
    }

    /// Asks for the visits that the limits need.
    pub(crate) fn watch(self: &Arc<Self>) {
        let first = [self.limits.wall_time, self.limits.cpu_time];
        if let Some(limit) = first.into_iter().flatten().min() {
            let soon = limit / self.engine().parallelism();
            // A limit beyond all time is none.
            if let Some(time) = self.started.checked_add(soon) {
                self.engine().watchdog().schedule(self, time);
            }
        }
    }

    // ---- The end ----

    pub(crate) fn is_ending(&self) -> bool {
        // Ordering: SeqCst; pairs with the store in `end`: a thread that is woken
        // from a host call by what `end` does after the store reads true.
        self.ending.load(Ordering::SeqCst)
    }

    /// Fails if the process is ending: called where a host call is about to block
    /// or has been woken.
    pub(crate) fn check_running(&self) -> wasmtime::Result<()> {
        match self.is_ending() {
            true => Err(wasmtime::Error::new(Ended)),
            false => Ok(()),
        }
    }

    /// Ends the process, unless something else has already.
    pub(crate) fn end(self: &Arc<Self>, cause: Cause) {
        {
            let mut first = lock(&self.cause);
            // `finish` takes the cause away, but the process stays ending.
            if first.is_some() || self.is_ending() {
                return;
            }
            *first = Some(cause);
            // Ordering: SeqCst; see `is_ending`.
            self.ending.store(true, Ordering::SeqCst);
        }
        self.lot().close();
        lock(&self.threads).close();
        self.wasi.cancel();
        drop(lock(&self.calls).take());
        if let Some(page) = &self.poll_page {
            page.close();
        }
        if let Some(pool) = &self.pool {
            pool.close(self);
            // The runtime's own, which it had for as long as it takes tasks.
            self.vacate();
        }
    }

    /// All that live sleep for ever. True if a worker could be started that may wake
    /// them; else the process is ending now.
    pub(crate) fn is_relieved(self: &Arc<Self>) -> bool {
        let relieved = self.pool.as_ref().is_some_and(|pool| pool.relieve(self));
        if !relieved {
            self.end(Cause::Deadlock);
        }
        relieved
    }

    /// The last worker has left: closes the files and publishes the status.
    fn finish(&self) {
        self.wasi.close();
        self.engine().watchdog().forget(self.id);
        let _ = self.finished.wall_time.set(self.started.elapsed());
        let cause = lock(&self.cause).take();
        let status = self.status_of(cause);
        // First, so that whoever knows of the end has all results.
        if let Some(pool) = &self.pool {
            pool.finish(self, &status);
        }
        *lock(&self.status) = Some(status);
        self.ended.notify_all();
    }

    fn status_of(&self, cause: Option<Cause>) -> ExitStatus {
        let limit_met = lock(&self.limit_met).take();
        match (cause, limit_met) {
            (Some(Cause::Exited(code)), _) => ExitStatus::Exited(code),
            (Some(Cause::Trapped(trap)), Some(limit)) => ExitStatus::LimitExceeded(LimitExceeded {
                limit,
                trap: Some(trap),
            }),
            (Some(Cause::Trapped(trap)), None) => ExitStatus::Trapped(trap),
            (Some(Cause::Limit(limit)), _) => {
                ExitStatus::LimitExceeded(LimitExceeded { limit, trap: None })
            }
            (Some(Cause::Deadlock), _) => {
                let mut threads = std::mem::take(&mut *lock(&self.sleepers));
                threads.sort_by_key(|sleeper| sleeper.thread);
                ExitStatus::Deadlock(DeadlockReport { threads })
            }
            // Invariant 2: without a cause there is a worker left.
            (Some(Cause::Killed) | None, _) => ExitStatus::Killed,
        }
    }

    /// The status, as soon as the process has ended; `None` if `deadline` comes first.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Option<ExitStatus> {
        let mut status = lock(&self.status);
        while status.is_none() {
            status = match deadline {
                None => self
                    .ended
                    .wait(status)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return None;
                    }
                    let wait = self.ended.wait_timeout(status, left);
                    wait.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        status.clone()
    }

    // ---- Reports ----

    pub(crate) fn thread_infos(&self) -> Vec<crate::ThreadInfo> {
        let mut infos: Vec<_> = lock(&self.threads)
            .iter()
            .map(|thread| thread.info())
            .collect();
        infos.sort_by_key(|info| info.id);
        infos
    }

    fn cpu_time(&self) -> Duration {
        let running: Duration = lock(&self.threads)
            .iter()
            .filter_map(|t| t.cpu_time())
            .sum();
        // Ordering: Relaxed; a thread that ends right now may be missed or counted
        // twice for the moment.
        running + Duration::from_nanos(self.finished.cpu_nanos.load(Ordering::Relaxed))
    }

    pub(crate) fn stats(&self) -> Stats {
        let cpu_time = self.cpu_time();
        let wall_time = self.finished.wall_time.get().copied();
        let threads = lock(&self.threads);
        let sum = |finished: &AtomicU64, counter: fn(&Counters) -> u64| {
            let running: u64 = threads.iter().map(|thread| counter(&thread.counters)).sum();
            running + finished.load(Ordering::Relaxed)
        };
        Stats {
            threads_started: threads.started,
            threads_alive: threads.count(),
            threads_peak: threads.peak,
            spawns_failed: self.finished.spawns_failed.load(Ordering::Relaxed),
            waits: sum(&self.finished.waits, |c| c.waits.get()),
            waits_not_equal: sum(&self.finished.waits_not_equal, |c| c.waits_not_equal.get()),
            notifies: sum(&self.finished.notifies, |c| c.notifies.get()),
            woken: sum(&self.finished.woken, |c| c.woken.get()),
            memory: self.arena.len(),
            cpu_time,
            wall_time: wall_time.unwrap_or_else(|| self.started.elapsed()),
        }
    }
}

impl Finished {
    fn add(&self, counters: &Counters, cpu_time: Option<Duration>) {
        // Ordering: Relaxed; statistics.
        let nanos = cpu_time.map_or(0, |time| time.as_nanos() as u64);
        self.cpu_nanos.fetch_add(nanos, Ordering::Relaxed);
        self.waits
            .fetch_add(counters.waits.get(), Ordering::Relaxed);
        self.waits_not_equal
            .fetch_add(counters.waits_not_equal.get(), Ordering::Relaxed);
        self.notifies
            .fetch_add(counters.notifies.get(), Ordering::Relaxed);
        self.woken
            .fetch_add(counters.woken.get(), Ordering::Relaxed);
    }
}
