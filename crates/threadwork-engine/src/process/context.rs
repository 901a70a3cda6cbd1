//! What the data of a store does for whoever finds it there: the guest's WASI calls,
//! Wasmtime, and the host functions of embedders.

use super::ending::Cause;
use super::state::{State, ThreadContext};
use crate::backtrace::Backtrace;
use crate::limits::Limit;
use crate::linear_memory::Reserved;
use crate::thread::{ThreadState, Wake};
use std::sync::Arc;
use std::time::Duration;
use threadwork_rewrite::MEMORY;
use threadwork_wasi::{Host, Wasi};
use wasmtime::{ResourceLimiter, SharedMemory};

/// Bytes of the host that an element of a table counts for: a pointer, and as much again,
/// since a table that grows is a vector, which may have room for twice what is in it.
pub(crate) const ELEMENT: usize = 2 * size_of::<usize>();

/// Elements of the largest table, as in browsers.
const MOST_ELEMENTS: usize = 10_000_000;

impl ThreadContext {
    /// Of a store of the process whose first thread is this one.
    pub(crate) fn new(process: &Arc<State>, thread: &Arc<ThreadState>) -> Self {
        Self {
            process: Arc::clone(process),
            thread: Arc::clone(thread),
            reserved: Reserved::new(process.arena().totals()),
        }
    }

    /// Counts what an instance has for itself beside memories and tables.
    ///
    /// # Errors
    ///
    /// If the limit of memory is met.
    pub(super) fn take(&mut self, bytes: u64) -> wasmtime::Result<()> {
        self.reserved.add(bytes).map_err(|limit| {
            self.process.refuse(&self.thread, Limit::Memory(limit));
            wasmtime::Error::msg("there is no memory for its globals and segments of elements")
        })
    }

    /// The number of the process, unique in this host program.
    #[must_use]
    pub fn process_id(&self) -> u64 {
        self.process.id()
    }

    /// The id of the calling thread; 0 is the main thread.
    #[must_use]
    pub fn thread_id(&self) -> u32 {
        self.thread.id
    }

    /// The stack of the guest thread that calls a host function, of which `caller` is the
    /// caller. It costs microseconds, and more for a deep stack.
    ///
    /// ```
    /// use threadwork_engine::{Caller, Engine, Module, ProcessBuilder, ThreadContext};
    ///
    /// # fn main() -> Result<(), threadwork_engine::Error> {
    /// # let engine = Engine::new()?;
    /// let module = Module::new(&engine, br#"
    ///     (module (import "host" "look" (func $look))
    ///       (func $main (export "_start") (call $look)))
    /// "#)?;
    /// let process = ProcessBuilder::new(&module).linker(|linker| {
    ///     linker.func_wrap("host", "look", |caller: Caller<'_, ThreadContext>| {
    ///         let frames = ThreadContext::backtrace(&caller).frames();
    ///         assert_eq!(frames[0].function.as_deref(), Some("main"));
    ///     })?;
    ///     Ok(())
    /// });
    /// assert!(process.run()?.success());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn backtrace(caller: &wasmtime::Caller<'_, Self>) -> Backtrace {
        let trace = wasmtime::WasmBacktrace::force_capture(caller);
        caller.data().process.code().backtrace(&trace)
    }

    /// Whether the calling thread is to end, because its process or its task does. A host
    /// function that computes for long looks at it now and then.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.thread.is_cancelled() || self.process.is_ending()
    }

    /// Runs `body`, which may block or take long, in a host function: the thread is shown as
    /// [`Activity::InHostCall`](crate::Activity::InHostCall), its core is free for others, and
    /// `wake` is called as soon as the process or the task is to end, whatever the reason
    /// (a kill, a limit, the exit of another thread, a cancelled task), so that `body` returns.
    ///
    /// `wake` is called once at most, by the thread that ends the process, perhaps before
    /// `body` has begun: it should leave a sign that stays, such as a message in the channel
    /// that `body` receives from, or a flag under the lock of its condition variable. It must
    /// not block. If it panics, that ends nothing.
    ///
    /// A thread in here does not count as asleep: while it blocks, no deadlock is found. To wait
    /// for the guest's own threads, use [`memory`](Self::memory).
    ///
    /// # Errors
    ///
    /// That the process or the task ends, which the host function should pass on; what `body`
    /// returned is dropped then.
    ///
    /// ```
    /// use std::sync::mpsc::channel;
    /// use threadwork_engine::{Engine, ExitStatus, Module, ProcessBuilder, ThreadContext};
    /// use wasmtime::Caller;
    ///
    /// # fn main() -> Result<(), threadwork_engine::Error> {
    /// # let engine = Engine::new()?;
    /// let module = Module::new(&engine, br#"
    ///     (module (import "host" "next" (func $next (result i32)))
    ///       (func (export "_start") (drop (call $next))))
    /// "#)?;
    /// let process = ProcessBuilder::new(&module).linker(|linker| {
    ///     linker.func_wrap("host", "next", |caller: Caller<'_, ThreadContext>| {
    ///         // Nobody ever sends a number.
    ///         let (numbers, next) = channel();
    ///         let wake = move || drop(numbers.send(None));
    ///         caller.data().blocking(wake, || next.recv().ok().flatten().unwrap_or(0))
    ///     })?;
    ///     Ok(())
    /// });
    /// let process = process.spawn()?;
    /// process.kill();
    /// assert!(matches!(process.wait(), ExitStatus::Killed { .. }));
    /// # Ok(())
    /// # }
    /// ```
    pub fn blocking<R>(
        &self,
        wake: impl FnOnce() + Send + 'static,
        body: impl FnOnce() -> R,
    ) -> wasmtime::Result<R> {
        /// However `body` ends. Of this thread, with what wakes it out of what is around.
        struct Leave<'a>(&'a ThreadContext, Option<Wake>);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                let Self(context, around) = self;
                drop(context.thread.wake_with(around.take()));
                if context.is_ending() {
                    context.thread.wake();
                }
                context.sleep_ends();
                context.long_call_ends();
            }
        }
        let around = self.thread.wake_with(Some(Box::new(wake)));
        self.long_call_begins();
        self.sleep_begins();
        let leave = Leave(self, around);
        // Whoever ends it from now on finds what wakes it.
        self.check_running()?;
        let result = body();
        drop(leave);
        self.check_running()?;
        Ok(result)
    }

    /// Fails if the process is ending or the thread's task was cancelled.
    pub(super) fn check_running(&self) -> wasmtime::Result<()> {
        match self.is_ending() {
            true => Err(self.process.ended()),
            false => Ok(()),
        }
    }
}

/// What WASI must know of whoever calls.
impl Host for ThreadContext {
    fn wasi(&self) -> &Wasi {
        self.process.wasi()
    }

    fn check_running(&self) -> wasmtime::Result<()> {
        self.check_running()
    }

    fn exit(&self, code: i32) -> wasmtime::Error {
        let exit = wasmtime::Error::new(threadwork_wasi::Exit(code));
        self.process.machine().without_frames(exit)
    }

    fn shared_memory(&self) -> Option<&SharedMemory> {
        let position = self.process.code().shared_wasi_memory?;
        let memory = self.process.memories().get(position)?;
        memory.shared()
    }

    fn memory_name(&self) -> &'static str {
        MEMORY
    }

    fn process_cpu_time(&self) -> Duration {
        self.process.threads().cpu_time()
    }

    fn thread_cpu_time(&self) -> Duration {
        self.thread.cpu_time().unwrap_or_default()
    }

    fn long_call_begins(&self) {
        self.thread.host_call_begins();
    }

    fn long_call_ends(&self) {
        self.thread.host_call_ends();
    }

    fn sleep_begins(&self) {
        self.process.machine().cores().release();
    }

    fn sleep_ends(&self) {
        self.process.machine().cores().acquire();
    }

    fn refused(&self, limit: threadwork_wasi::Limit) {
        if let Some(limit) = named(limit) {
            self.process.refuse(&self.thread, limit);
        }
    }

    fn end_by(&self, limit: threadwork_wasi::Limit) -> wasmtime::Error {
        if let Some(limit) = named(limit) {
            self.process.end(Cause::Limit(limit));
        }
        self.process.ended()
    }

    fn complains(&self, text: &[u8]) {
        self.thread.complains(text);
    }

    fn granted(&self, limit: threadwork_wasi::Limit) {
        if let Some(limit) = named(limit) {
            self.thread
                .granted(|met| std::mem::discriminant(met) == std::mem::discriminant(&limit));
        }
    }
}

/// The limit of a process that is one of its files.
fn named(limit: threadwork_wasi::Limit) -> Option<Limit> {
    match limit {
        threadwork_wasi::Limit::OpenFiles(count) => Some(Limit::OpenFiles(count)),
        threadwork_wasi::Limit::FileBytes(bytes) => Some(Limit::FileBytes(bytes)),
        threadwork_wasi::Limit::Output(bytes) => Some(Limit::Output(bytes)),
        // What is kept of its output is memory.
        threadwork_wasi::Limit::Sink(bytes) => Some(Limit::Memory(bytes)),
        _ => None,
    }
}

impl std::fmt::Debug for ThreadContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ThreadContext")
            .field("process", &self.process.id())
            .field("thread", &self.thread.id)
            .finish()
    }
}

/// Counts what belongs to one instance: memories that are not shared, and tables.
///
/// What Wasmtime fails to get afterwards, because the system has no more, stays counted
/// until the store is gone: nothing here could tell that failure from others.
impl ResourceLimiter for ThreadContext {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired, maximum, 1))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // Nothing stops the thread while they are filled.
        Ok(desired <= MOST_ELEMENTS && self.grow(current, desired, maximum, ELEMENT))
    }
}

impl ThreadContext {
    /// Whether something of so many units may grow, which count for so many bytes each.
    fn grow(&mut self, now: usize, then: usize, maximum: Option<usize>, unit: usize) -> bool {
        // The module's own maximum is no limit of ours.
        if maximum.is_some_and(|maximum| then > maximum) {
            return false;
        }
        let bytes = then.saturating_sub(now).saturating_mul(unit);
        match self.reserved.add(bytes as u64) {
            Ok(()) => {
                self.thread
                    .granted(|limit| matches!(limit, Limit::Memory(_)));
                true
            }
            Err(limit) => {
                self.process.refuse(&self.thread, Limit::Memory(limit));
                false
            }
        }
    }
}
