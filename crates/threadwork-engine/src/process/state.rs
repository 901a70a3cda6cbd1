//! [`State`]: what the threads of one process and the embedder's handle share.
//!
//! # Life
//!
//! A process *runs* until the first cause of its end is recorded by
//! [`State::end`]; it is then *ending*: its waits are cancelled, its sleepers woken,
//! its computing threads interrupted, and nothing new starts. It has *ended* when
//! the last worker has released its store; only then is there an exit status, and by
//! then no thread of it is left and its files are closed.
//!
//! Its parts keep invariants of their own: [`Ending`](super::ending::Ending),
//! [`Threads`], [`Limiter`]. This
//! module's is that a thread is in the lot's census from before it can run until it has
//! ended.

use super::ending::Cause;
use super::limits::Limiter;
use super::record::Record;
use super::threads::{InstanceSlot, Threads};
use crate::backtrace::Backtrace;
use crate::code::Code;
use crate::error::one_line;
use crate::events;
use crate::exit_status::{ExitStatus, Sleeper, Trap};
use crate::limits::{Limit, Limits};
use crate::linear_memory::{Arena, Memory, NotGrown, Owner, Reserved};
use crate::machine::{Machine, Visited, stoppable};
use crate::panic_message::PanicMessage;
use crate::poll_page::PollPage;
use crate::processes::{Listed, ProcessInfo};
use crate::recorder::{INTERVAL, Recorder};
use crate::stats::Stats;
use crate::thread::{Ended, StackOverflow, ThreadState};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;
use threadwork_parking::ParkingLot;
use threadwork_wasi::{Exit, Wasi};
use wasmtime::{Instance, InstancePre, Linker, Store, WasmBacktrace};

/// See the module's documentation.
pub(crate) struct State {
    this: Weak<State>,
    machine: Arc<Machine>,
    code: Arc<Code>,
    arena: Arc<Arena>,
    poll_page: Option<PollPage>,
    wasi: Wasi,
    /// Set before the first instance is made.
    linked: OnceLock<Linked>,
    program: Arc<dyn Program>,
    record: Arc<Record>,
    /// If it is profiled.
    recorder: Option<Arc<Recorder>>,
    /// For people.
    name: String,
}

/// The module with its imports.
pub(crate) struct Linked {
    /// Everything that it imports but the poll page.
    pub(crate) linker: Linker<ThreadContext>,
    /// With the poll page of the process.
    pub(crate) pre: InstancePre<ThreadContext>,
}

/// What the host functions of a guest thread can reach: the data of its store.
/// Functions that an embedder adds with
/// [`ProcessBuilder::linker`](crate::ProcessBuilder::linker) get it from `Caller::data`.
pub struct ThreadContext {
    pub(crate) process: Arc<State>,
    pub(crate) thread: Arc<ThreadState>,
    /// For memories and tables of its instance.
    pub(super) reserved: Reserved,
}

/// What a process runs, as far as the process must know.
pub(crate) trait Program: Send + Sync {
    /// The watchdog looks after the process; returns when it is to come again.
    fn visit(&self, process: &State, now: Instant) -> Option<Instant> {
        let _ = (process, now);
        None
    }

    /// All that live sleep for ever. True if a thread was started that may wake them.
    fn relieve(self: Arc<Self>, process: &Arc<State>) -> bool {
        let _ = process;
        false
    }

    /// The process is ending: nothing new may start.
    fn close(&self, process: &State);

    /// The process has ended.
    fn finish(&self, status: &ExitStatus) {
        let _ = status;
    }
}

/// What a process is made of.
pub(crate) struct Parts {
    pub(crate) machine: Arc<Machine>,
    pub(crate) code: Arc<Code>,
    pub(crate) arena: Arc<Arena>,
    pub(crate) poll_page: Option<PollPage>,
    pub(crate) limits: Limits,
    pub(crate) wasi: Wasi,
    pub(crate) program: Arc<dyn Program>,
    pub(crate) recorder: Option<Arc<Recorder>>,
    pub(crate) name: String,
}

impl State {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let state = Arc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            machine: parts.machine,
            code: parts.code,
            arena: parts.arena,
            poll_page: parts.poll_page,
            wasi: parts.wasi,
            linked: OnceLock::new(),
            program: parts.program,
            record: Arc::new(Record::new(parts.limits, parts.recorder.clone())),
            recorder: parts.recorder,
            name: parts.name,
        });
        state.arena.belongs_to(&state);
        state
    }

    pub(crate) fn id(&self) -> u64 {
        self.record.id()
    }

    /// What outlives it.
    pub(crate) fn record(&self) -> &Arc<Record> {
        &self.record
    }

    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    pub(crate) fn code(&self) -> &Code {
        &self.code
    }

    /// Whether what its threads do is recorded.
    pub(super) fn is_profiled(&self) -> bool {
        self.recorder.is_some()
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

    pub(super) fn wasi(&self) -> &Wasi {
        &self.wasi
    }

    pub(super) fn threads(&self) -> &Threads {
        &self.record.threads
    }

    pub(super) fn limits(&self) -> &Limiter {
        &self.record.limits
    }

    pub(crate) fn link(&self, linked: Linked) {
        // Called once, before the main thread starts.
        let _ = self.linked.set(linked);
    }

    pub(crate) fn linked(&self) -> wasmtime::Result<&Linked> {
        let linked = self.linked.get();
        linked.ok_or_else(|| wasmtime::Error::new(Ended))
    }

    pub(super) fn instantiate(
        &self,
        store: &mut Store<ThreadContext>,
    ) -> wasmtime::Result<Instance> {
        self.linked()?.pre.instantiate(store)
    }

    // ---- Threads ----

    /// Adds the main thread.
    pub(crate) fn add_main(&self) -> Arc<ThreadState> {
        self.lot().enter();
        self.record.threads.add_main()
    }

    /// A thread for a worker of a runtime: in the table, and not in the lot yet.
    pub(crate) fn add_worker(&self) -> Option<Arc<ThreadState>> {
        self.record.threads.add_within(self.record.limits.threads())
    }

    /// A worker of a runtime leaves for good, or could not be started.
    pub(crate) fn remove_worker(&self, thread: &ThreadState) {
        self.record.threads.remove(thread, None);
        self.record.threads.keep_counters(thread);
    }

    /// A thread ended with an error.
    pub(crate) fn thread_failed(self: &Arc<Self>, thread: &ThreadState, error: &wasmtime::Error) {
        match self.cause_of(error, thread) {
            Some(cause) => self.end(cause),
            None => self.thread_stopped(thread, error),
        }
    }

    /// A thread was stopped because the process is ending.
    pub(crate) fn thread_stopped(&self, thread: &ThreadState, error: &wasmtime::Error) {
        if self.record.ending.is_deadlock()
            && let Some(address) = thread.address()
        {
            let trace = error.downcast_ref::<WasmBacktrace>();
            self.record.ending.report(Sleeper {
                thread: thread.id,
                address,
                backtrace: trace.map_or_else(Backtrace::default, |t| self.code.backtrace(t)),
            });
        }
    }

    /// A thread is not in the guest any more. The pooled instance that ran it, if it is to
    /// run others, is idle; true if it may stay for that.
    pub(crate) fn thread_ended(
        &self,
        thread: &ThreadState,
        instance: Option<&Arc<InstanceSlot>>,
    ) -> bool {
        let is_idle = self.record.threads.remove(thread, instance);
        self.arena.leave();
        self.record.threads.keep_counters(thread);
        is_idle
    }

    /// The cause that an error of a guest thread is for its process; `None` if the
    /// process had ended before.
    pub(crate) fn cause_of(&self, error: &wasmtime::Error, thread: &ThreadState) -> Option<Cause> {
        if let Some(Exit(code)) = error.downcast_ref() {
            return Some(Cause::Exited(*code));
        }
        if error.is::<Ended>() || self.is_ending() {
            return None;
        }
        let trace = error.downcast_ref::<WasmBacktrace>();
        let trap = Trap {
            thread: thread.id,
            panic: PanicMessage::find(&thread.take_complaint()).map(Box::new),
            reason: match trace.is_some_and(|trace| self.code.is_stack_overflow(trace)) {
                true => stack_overflow(error.downcast_ref(), thread.id),
                false => reason(error, &self.code),
            },
            backtrace: trace
                .map(|trace| self.code.backtrace(trace))
                .unwrap_or_default(),
        };
        let limit = thread.take_limit();
        Some(Cause::Trapped(
            trap,
            limit.filter(|_| can_follow_refusal(error)),
        ))
    }

    /// A limit refuses a thread something. To be said before it is told no.
    pub(super) fn refuse(&self, thread: &ThreadState, limit: Limit) {
        thread.meet_limit(limit);
        events::refused(self.id(), thread.id, limit);
    }

    /// `memory.grow` of a shared memory: the pages it had before.
    pub(super) fn grow(&self, thread: &ThreadState, memory: &Memory, pages: u64) -> Option<u64> {
        let grow = || self.arena.grow(memory, pages);
        let grown = match &thread.track {
            Some(track) => track.grow(pages, grow),
            None => grow(),
        };
        match grown {
            Ok(_) => thread.granted(|limit| matches!(limit, Limit::Memory(_))),
            Err(NotGrown::Limit(limit)) => self.refuse(thread, Limit::Memory(limit)),
            Err(NotGrown::Maximum | NotGrown::System) => {}
        }
        grown.ok()
    }

    // ---- Stopping ----

    /// Runs `body` so that a signal can stop the guest code in it, called by `thread`.
    pub(crate) fn stoppable<R>(&self, thread: &ThreadState, body: impl FnOnce() -> R) -> R {
        let reasons = thread.reasons(self.record.ending.flag());
        stoppable(&self.code.map, &reasons, body)
    }

    /// Sends a thread that was cancelled the signal that stops it, if one does. The program
    /// is visited soon, to send again.
    pub(crate) fn interrupt(&self, thread: &ThreadState) {
        if let Some(signal) = self.machine.signal() {
            self.visit_at(thread.interrupt(signal));
        }
    }

    /// Sends all threads that live the signal that stops them, if one does, until they are
    /// gone.
    fn interrupt_all(&self) {
        if let Some(signal) = self.machine.signal()
            && let Some(next) = self.record.threads.interrupt(signal)
        {
            self.visit_at(next);
        }
    }

    fn visit_at(&self, time: Instant) {
        if let Some(this) = self.this.upgrade() {
            self.machine.watchdog().schedule(&this, time);
        }
    }

    // ---- The end ----

    pub(crate) fn is_ending(&self) -> bool {
        self.record.ending.is_ending()
    }

    /// Fails if the process is ending: called where a host call is about to block
    /// or has been woken.
    pub(crate) fn check_running(&self) -> wasmtime::Result<()> {
        match self.is_ending() {
            true => Err(self.ended()),
            false => Ok(()),
        }
    }

    /// The error that ends a host call and its guest, because the process or the task ends.
    pub(super) fn ended(&self) -> wasmtime::Error {
        self.machine.without_frames(wasmtime::Error::new(Ended))
    }

    /// As [`ended`](Self::ended), for a thread that waited: with its frames if the report of
    /// a deadlock may show them.
    pub(super) fn wait_ended(&self, ended: Ended) -> wasmtime::Error {
        match self.record.ending.shows_frames() {
            true => wasmtime::Error::new(ended),
            false => self.ended(),
        }
    }

    /// Ends the process, unless something else has already.
    pub(crate) fn end(&self, cause: Cause) {
        if self.record.ending.begin(cause) {
            self.close();
        }
    }

    /// The cause of its end was recorded: tells everybody.
    fn close(&self) {
        self.lot().close();
        self.record.threads.close();
        self.wasi.wake();
        if let Some(page) = &self.poll_page {
            page.close();
        }
        self.interrupt_all();
        self.program.close(self);
    }

    /// One more worker will hold a store. The caller keeps the process from ending
    /// meanwhile, by holding one itself.
    pub(crate) fn acquire_store(&self) {
        self.record.ending.acquire_store();
    }

    /// A worker holds its store no more.
    pub(crate) fn release_store(&self) {
        if self.record.ending.release_store() {
            self.finish();
        }
    }

    /// The last store is gone: closes the files and publishes the status.
    fn finish(&self) {
        self.wasi.close();
        self.machine.watchdog().forget(self.id());
        self.record.stop(self.arena.len());
        if let Some(recorder) = &self.recorder {
            recorder.finish();
        }
        let status = self.record.ending.conclude();
        self.machine.processes().remove(self.id(), &status);
        events::ended(self.id(), &status, || self.record.stats());
        // First, so that whoever knows of the end has all results.
        self.program.finish(&status);
        self.record.ending.publish(status);
    }

    /// The process starts: the engine knows of it, and it is visited as its limits need.
    pub(crate) fn watch(self: &Arc<Self>) {
        let listed: Weak<Self> = Weak::clone(&self.this);
        self.machine.processes().add(self.id(), listed);
        events::started(self.id(), &self.name);
        if let Some(time) = self.record.limits.first_look(self.machine.parallelism()) {
            self.machine.watchdog().schedule(self, time);
        }
        if self.recorder.is_some() {
            self.machine
                .watchdog()
                .schedule(self, Instant::now() + INTERVAL);
        }
    }

    // ---- Reports ----

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            memory: self.arena.len(),
            ..self.record.stats()
        }
    }
}

impl Visited for State {
    fn id(&self) -> u64 {
        self.record.id()
    }

    fn visit(self: Arc<Self>, now: Instant) -> Option<Instant> {
        if self.is_ending() {
            return self.record.threads.interrupt(self.machine.signal()?);
        }
        let parallelism = self.machine.parallelism();
        let cpu_time = || self.record.threads.cpu_time();
        match self.record.limits.look(now, cpu_time, parallelism) {
            Err(limit) => {
                self.end(Cause::Limit(limit));
                None
            }
            Ok(next) => {
                let collection = self.recorder.as_ref().map(|recorder| {
                    recorder.collect_soon();
                    Instant::now() + INTERVAL
                });
                [next, self.program.visit(&self, now), collection]
                    .into_iter()
                    .flatten()
                    .min()
            }
        }
    }
}

impl Listed for State {
    fn info(&self) -> ProcessInfo {
        ProcessInfo {
            id: self.id(),
            name: self.name.clone(),
            is_ending: self.is_ending(),
            stats: self.stats(),
        }
    }

    fn kill(&self, reason: Option<String>) {
        self.end(Cause::Killed(reason));
    }
}

impl Owner for State {
    fn is_relieved(self: Arc<Self>) -> bool {
        if Arc::clone(&self.program).relieve(&self) {
            return true;
        }
        let begin = || self.record.ending.begin(Cause::Deadlock);
        let begun = self.arena.unless_present(begin);
        if begun == Some(true) {
            self.close();
        }
        // A host that has come meanwhile may wake them.
        begun.is_none()
    }
}

/// Whether a program that was refused something could fail so: it aborts, it uses what it
/// did not get as an address, or its instance could not be made. It does not divide by zero
/// for that.
fn can_follow_refusal(error: &wasmtime::Error) -> bool {
    use wasmtime::Trap;
    match error.downcast_ref() {
        None => true,
        Some(trap) => matches!(
            trap,
            Trap::UnreachableCodeReached | Trap::MemoryOutOfBounds | Trap::TableOutOfBounds
        ),
    }
}

/// What has happened, with the size, where that is known, and what to do.
fn stack_overflow(size: Option<&StackOverflow>, thread: u32) -> String {
    let remedy = match thread {
        0 => "link the program with a larger one (-z stack-size)",
        _ => {
            "start the thread with a larger one (thread::Builder::stack_size, RUST_MIN_STACK, \
             pthread_attr_setstacksize; for a runtime's workers RuntimeConfig::stack_size)"
        }
    };
    match size {
        Some(StackOverflow(size)) => {
            format!("the thread's stack of {size} bytes in linear memory is used up: {remedy}")
        }
        None => format!("the thread's stack in linear memory is used up: {remedy}"),
    }
}

/// The root of an error, without Wasmtime's own printing of the backtrace.
fn reason(error: &wasmtime::Error, code: &Code) -> String {
    match error.downcast_ref::<wasmtime::Trap>() {
        Some(wasmtime::Trap::StackOverflow) => format!(
            "stack overflow: its calls need more than the {} bytes of native stack that each \
             thread has, whatever stack the program asks for: raise that \
             (EngineBuilder::max_wasm_stack, threadwork run --stack)",
            code.max_wasm_stack
        ),
        Some(trap) => trap.to_string().replace("wasm trap: ", ""),
        None => one_line(&wasmtime::Error::msg(error.root_cause().to_string())),
    }
}
