//! What stands behind a rewritten module: its host functions, and a process with a parking
//! lot. Memories, instances and threads are the tests' own.

use crate::engine::Engine;
use crate::error::Error;
use crate::limits::Limits;
use crate::linear_memory::{Arena, Memory};
use crate::module::Module;
use crate::process::{Find, Parts, Program, State, ThreadContext, define_sync_import};
use crate::thread::ThreadState;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use threadwork_rewrite::SyncImport;
use threadwork_wasi::WasiBuilder;
use wasmtime::{Linker, SharedMemory, Store};

/// A process without a program, of which the test itself is the main thread: it
/// lives, so the others may all sleep without being a deadlock.
#[derive(Debug, Clone)]
pub(super) struct Host(Arc<Inner>);

struct Inner {
    state: Arc<State>,
    next_id: AtomicU32,
}

/// The test itself is what runs.
struct Nothing;

impl Program for Nothing {
    fn close(&self, _: &State) {}
}

impl Host {
    /// A process that runs.
    pub(super) fn new(engine: &Engine) -> Result<Self, Error> {
        let wasi = WasiBuilder::new().build();
        let wasi = wasi.map_err(|error| Error::Configuration(error.into()))?;
        let nothing = Module::new(engine, b"(module)")?;
        let machine = Arc::clone(engine.machine());
        let arena = Arena::new(Vec::new(), Arc::clone(machine.cores()), Arc::default(), 0);
        let state = State::new(Parts {
            machine,
            code: Arc::clone(nothing.code()),
            arena: Arc::new(arena),
            poll_page: None,
            limits: Limits::default(),
            wasi,
            program: Arc::new(Nothing),
            recorder: None,
            name: String::new(),
        });
        state.lot().enter();
        Ok(Self(Arc::new(Inner {
            state,
            next_id: AtomicU32::new(1),
        })))
    }

    /// Defines what the rewriter made a module import. `memories` are the shared
    /// ones that its instance will have, with their indices in the rewritten module.
    pub(super) fn define(
        &self,
        linker: &mut Linker<ThreadContext>,
        imports: &[SyncImport],
        memories: &[(u32, SharedMemory)],
    ) -> wasmtime::Result<()> {
        for import in imports {
            let (_, memory) = memories
                .iter()
                .find(|(index, _)| *index == import.memory)
                .ok_or_else(|| wasmtime::Error::msg("a shared memory is missing"))?;
            define_sync_import(linker, import, Memory::new(memory.clone()))?;
        }
        Ok(())
    }

    /// A new thread of the process, to be run by the test.
    pub(super) fn thread(&self) -> Thread {
        let state = &self.0.state;
        state.lot().enter();
        // Ordering: Relaxed; only distinctness matters.
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        let context = ThreadContext::new(state, &Arc::new(ThreadState::new(id, None)));
        let store = Store::new(state.machine().wasmtime(), context);
        Thread {
            store,
            host: self.clone(),
        }
    }

    /// The number of threads that sleep without a timeout.
    pub(super) fn asleep(&self) -> u32 {
        self.0.state.lot().census().asleep
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Every other thread has a handle on us.
        self.state.lot().leave(|| false);
        self.state.release_store();
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.state.lot().fmt(f)
    }
}

impl Find for Memory {
    fn memory<'a>(&'a self, _: &'a ThreadContext) -> &'a Memory {
        self
    }
}

/// A thread of a [`Host`]. It lives until it is dropped.
#[derive(Debug)]
pub(super) struct Thread {
    store: Store<ThreadContext>,
    host: Host,
}

impl Thread {
    /// Its store, for everything that runs no guest code.
    pub(super) fn store(&mut self) -> &mut Store<ThreadContext> {
        &mut self.store
    }

    /// Runs guest code.
    pub(super) fn run<R>(&mut self, body: impl FnOnce(&mut Store<ThreadContext>) -> R) -> R {
        let cores = Arc::clone(self.host.0.state.machine().cores());
        cores.acquire();
        let result = body(&mut self.store);
        cores.release();
        result
    }

    /// How many waits, and how many notifies, were well-formed and in bounds.
    pub(super) fn counts(&self) -> (u64, u64) {
        let counters = &self.store.data().thread.counters;
        (counters.waits.get(), counters.notifies.get())
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.host.0.state.lot().leave(|| false);
    }
}
