//! [`PooledInstance`]: a store and an instance, ready to run guest threads of one process
//! on one worker, one after another.
//!
//! An instance whose state the rewriter can set back (`threadwork:reset`) is used
//! again; else the next one is made as soon as a thread has ended, before there is
//! work for it. A spawn that comes meanwhile waits for that one rather than make
//! another, on a worker that has to be woken.
//!
//! Invariant: a pooled instance on which a thread is run behaves like a fresh one, and one
//! that is offered for the next thread is there: no thread is promised an instance that
//! then cannot be made.

use super::state::{State, ThreadContext};
use super::threads::InstanceSlot;
use crate::machine::{Exits, Taken, Worker, shorten_in};
use crate::thread::{Ended, StackOverflow, ThreadState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use threadwork_rewrite::{ENTER, RESET, STACK_SIZE};
use wasmtime::{Instance, Store, TypedFunc, Val, WasmBacktrace};

/// How long a worker keeps an instance without work.
const KEEP: Duration = Duration::from_secs(1);

/// See the module's documentation.
pub(crate) struct PooledInstance {
    pub(crate) store: Store<ThreadContext>,
    pub(crate) instance: Instance,
    enter: Option<TypedFunc<i32, ()>>,
    reset: Option<TypedFunc<(), ()>>,
    thread_start: Option<TypedFunc<(i32, i32), ()>>,
    /// Where the guest's frames are found while it is in the host, if that is looked at.
    exits: Option<Exits>,
    /// Given back after the store.
    _mappings: Taken,
}

impl PooledInstance {
    /// Makes an instance of the process's module for `thread`. Nothing of the
    /// guest's runs yet.
    pub(crate) fn new(process: &Arc<State>, thread: &Arc<ThreadState>) -> wasmtime::Result<Self> {
        Self::with(process, thread, |store| process.instantiate(store))
    }

    /// As [`new`](Self::new), with an instance that the caller makes.
    pub(crate) fn with(
        process: &Arc<State>,
        thread: &Arc<ThreadState>,
        instantiate: impl FnOnce(&mut Store<ThreadContext>) -> wasmtime::Result<Instance>,
    ) -> wasmtime::Result<Self> {
        let code = process.code();
        let mappings = process.machine().mappings().take(code.own_memories)?;
        let mut context = ThreadContext::new(process, thread);
        context.take(code.own.rest)?;
        let mut store = Store::new(process.machine().wasmtime(), context);
        store.limiter(|context| context);
        let frames = process.machine().max_frames();
        shorten_in(&mut store, Arc::clone(&code.map), frames);
        let instance = instantiate(&mut store)?;
        let exits = process
            .is_profiled()
            .then(|| exits(&mut store, instance))
            .flatten();
        let mut function = |name| instance.get_func(&mut store, name);
        let [enter, reset, start] = [ENTER, RESET, "wasi_thread_start"].map(&mut function);
        let reset = reset.filter(|_| code.is_reusable);
        let start = start.filter(|_| code.spawns);
        Ok(Self {
            enter: enter.map(|f| f.typed(&store)).transpose()?,
            reset: reset.map(|f| f.typed(&store)).transpose()?,
            thread_start: start.map(|f| f.typed(&store)).transpose()?,
            store,
            instance,
            exits,
            _mappings: mappings,
        })
    }

    /// Runs what has to run before the first export of an instance is called.
    pub(crate) fn enter(&mut self, first: bool) -> wasmtime::Result<()> {
        match &self.enter {
            Some(enter) => enter.call(&mut self.store, i32::from(first)),
            None => Ok(()),
        }
    }

    /// Runs a thread to its end. True if it ended well, and its process goes on.
    fn run(&mut self, thread: &Arc<ThreadState>, argument: i32) -> bool {
        self.store.data_mut().thread = Arc::clone(thread);
        let result = self.on_thread(|instance| {
            instance.enter(false)?;
            let Some(start) = &instance.thread_start else {
                return Ok(());
            };
            // Ids are below 2^29.
            start.call(&mut instance.store, (thread.id as i32, argument))
        });
        let process = &self.store.data().process;
        match result {
            Ok(()) => !process.is_ending(),
            Err(error) => {
                process.thread_failed(thread, &error);
                false
            }
        }
    }

    /// Runs `body` as the store's thread: counted, timed, and not at all if the
    /// process is ending.
    pub(crate) fn on_thread<R>(
        &mut self,
        body: impl FnOnce(&mut Self) -> wasmtime::Result<R>,
    ) -> wasmtime::Result<R> {
        let process = Arc::clone(&self.store.data().process);
        let thread = Arc::clone(&self.store.data().thread);
        thread.attach(process.machine().signal());
        if process.is_ending() {
            return Err(wasmtime::Error::new(Ended));
        }
        let cores = Arc::clone(process.machine().cores());
        cores.acquire();
        let exits = self.exits;
        let run = || process.stoppable(&thread, || catch_panic(|| body(self)));
        let result = match &thread.track {
            Some(track) => track.run(&process.code().map, exits, run),
            None => run(),
        };
        cores.release();
        result.map_err(|error| self.with_stack(error))
    }

    /// Adds how large the stack was to an error that says it is used up.
    fn with_stack(&mut self, error: wasmtime::Error) -> wasmtime::Error {
        let code = self.store.data().process.code();
        let trace = error.downcast_ref::<WasmBacktrace>();
        if !trace.is_some_and(|trace| code.is_stack_overflow(trace)) {
            return error;
        }
        let size = self.instance.get_global(&mut self.store, STACK_SIZE);
        match size.map(|size| size.get(&mut self.store)) {
            Some(Val::I32(size)) => error.context(StackOverflow(size.cast_unsigned().into())),
            Some(Val::I64(size)) => error.context(StackOverflow(size.cast_unsigned())),
            _ => error,
        }
    }

    /// Sets the instance back. What the rewriter makes for it cannot trap: it only assigns
    /// globals.
    fn set_back(&mut self) {
        if let Some(reset) = &self.reset {
            // It fails only if the process is ending, and then runs no thread any more.
            let _ = reset.call(&mut self.store, ());
        }
    }
}

/// By the first function that it exports and has defined.
fn exits(store: &mut Store<ThreadContext>, instance: Instance) -> Option<Exits> {
    let exports = instance.exports(&mut *store);
    let functions: Vec<_> = exports.filter_map(wasmtime::Export::into_func).collect();
    let mut functions = functions.into_iter();
    functions.find_map(|function| Exits::of(&mut *store, function))
}

/// Makes a panic of an embedder's host function an error of the thread that called
/// it: a worker that unwinds would leave a process that never ends.
pub(crate) fn catch_panic<R>(body: impl FnOnce() -> wasmtime::Result<R>) -> wasmtime::Result<R> {
    // What the panic may have left half-done belongs to the process, which ends.
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let message = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
            (Some(message), _) => message,
            (_, Some(message)) => message.as_str(),
            _ => "without a message",
        };
        Err(wasmtime::Error::msg(format!(
            "a host function panicked: {message}"
        )))
    })
}

/// The work of a worker that got an instance and a guest thread: runs the thread, and then
/// those that the process hands it, until it has none for a while.
pub(super) fn serve(
    process: &Arc<State>,
    worker: &Arc<Worker>,
    mut instance: PooledInstance,
    mut thread: Arc<ThreadState>,
    mut argument: i32,
) {
    let slot = Arc::new(InstanceSlot::new(worker));
    loop {
        let ended_well = instance.run(&thread, argument);
        // The guest may know already that the thread has ended, and be about to start the
        // next: so this worker, which is awake, is offered first of all, if its instance
        // can be set back.
        let is_reusable = instance.reset.is_some();
        let renewal = (ended_well && !is_reusable).then(|| process.threads().renew());
        let offered = (ended_well && is_reusable).then_some(&slot);
        if process.thread_ended(&thread, offered) {
            instance.set_back();
        } else if let Some(renewal) = renewal {
            let ended = thread.cpu_time();
            // Before the next one is made, because what it has counts.
            drop(instance);
            process.threads().instance_gone();
            let made = PooledInstance::new(process, &thread);
            // The thread's time was counted when it ended.
            let now = thread.cpu_time();
            let making = now
                .unwrap_or_default()
                .saturating_sub(ended.unwrap_or_default());
            process.threads().charge(making);
            match made {
                Ok(made) if process.threads().offer(&slot) => instance = made,
                _ => return,
            }
            drop(renewal);
        } else {
            return;
        }
        match next(process, &slot) {
            Some(next) => (thread, argument) = next,
            None => return,
        }
    }
}

/// The next thread, which an idle instance waits for; `None` if it is to go.
fn next(process: &State, slot: &Arc<InstanceSlot>) -> Option<(Arc<ThreadState>, i32)> {
    // Where it cannot be withdrawn, somebody took it just now, and is about to wake us.
    let woken = slot.sleep(Some(KEEP)) || (!process.threads().withdraw(slot) && slot.sleep(None));
    woken.then(|| slot.take()).flatten()
}
