//! Compiles a module: a large one on all cores, by threads that live as long as the compile.
//!
//! Wasmtime shares its work with rayon's threads. Those of rayon's global pool are started
//! by whoever comes first, and the program panics where the system has none left; here that
//! is a pool of our own, and a compile on the calling thread where there is none to be had.
//!
//! Invariant: compiling ends no program that is short of threads, and leaves none behind.

use super::os_thread;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use wasmtime::{Config, Engine, Error, Module, Result, WasmBacktraceDetails};

/// Below so many bytes, a compile takes less than a millisecond or two: the threads would
/// come too late.
const LARGE: usize = 32 << 10;

/// What Cranelift needs on deeply nested code.
const STACK: usize = 8 << 20;

/// What Wasmtime is told to compile, and how, for guests with so much native stack, whose
/// backtraces have so many frames.
pub(crate) fn config(max_wasm_stack: usize, frames: NonZeroUsize) -> Config {
    let mut config = language();
    config
        .max_wasm_stack(max_wasm_stack)
        // Of fibers, which there are none of; Wasmtime wants it to be no less.
        .async_stack_size(max_wasm_stack)
        .wasm_backtrace_max_frames(Some(frames));
    config
}

/// Which modules there may be. For `threadwork-check`, too, which runs the same ones in its own
/// way.
#[doc(hidden)]
#[must_use]
pub fn language() -> Config {
    let mut config = Config::new();
    config
        .shared_memory(true)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_tail_call(true)
        .wasm_multi_memory(true)
        .wasm_memory64(true)
        .wasm_relaxed_simd(true)
        .wasm_extended_const(true)
        .wasm_exceptions(true)
        .wasm_gc(false)
        .wasm_function_references(false)
        .concurrency_support(false);
    config
}

/// Compiles on one core or on all.
pub(crate) struct Compiler {
    /// Makes the same code as the engine, on the calling thread.
    serial: Engine,
}

impl Compiler {
    /// A compiler for engines with this configuration.
    pub(crate) fn new(mut config: Config) -> Result<Self> {
        config.parallel_compilation(false);
        Ok(Self {
            serial: Engine::new(&config)?,
        })
    }

    /// Compiles `wasm` for `engine`.
    pub(crate) fn compile(&self, engine: &Engine, wasm: &[u8]) -> Result<Module> {
        let pool = (wasm.len() >= LARGE).then(pool).flatten();
        match pool {
            Some(pool) => guarded(|| pool.install(|| Module::from_binary(engine, wasm))),
            None => {
                let code = self.precompile_here(wasm)?;
                // SAFETY: the code was just made, by the same compiler with the same settings
                // but for how many threads it uses.
                unsafe { Module::deserialize(engine, code) }
            }
        }
    }

    /// The machine code of `wasm` for engines like `engine`, which has to be deserialized.
    pub(crate) fn precompile(&self, engine: &Engine, wasm: &[u8]) -> Result<Vec<u8>> {
        match (wasm.len() >= LARGE).then(pool).flatten() {
            Some(pool) => guarded(|| pool.install(|| engine.precompile_module(wasm))),
            None => self.precompile_here(wasm),
        }
    }

    /// As [`precompile`](Self::precompile), on the calling thread.
    fn precompile_here(&self, wasm: &[u8]) -> Result<Vec<u8>> {
        guarded(|| self.serial.precompile_module(wasm))
    }
}

/// Makes a panic of the compiler an error: a module of a stranger's ends no host program.
fn guarded<R>(compile: impl FnOnce() -> Result<R>) -> Result<R> {
    // What a panic has left half done was the compile's own.
    catch_unwind(AssertUnwindSafe(compile))
        .unwrap_or_else(|_| Err(Error::msg("the compiler panicked")))
}

/// Threads for all cores, if they are to be had.
fn pool() -> Option<ThreadPool> {
    let spawn = |thread: rayon::ThreadBuilder| {
        os_thread::spawn("threadwork-comp", STACK, move || thread.run())
    };
    ThreadPoolBuilder::new().spawn_handler(spawn).build().ok()
}
