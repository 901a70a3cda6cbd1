//! [`Machine`]: what all processes of an engine share of the machine: its cores, its
//! operating-system threads, and its clocks.
//!
//! | module | holds |
//! |---|---|
//! | `cpu_clock` | the processor time of one operating-system thread |
//! | `code_map` | where a module's functions lie in the host's memory |
//! | `os_thread` | operating-system threads that guests can run on |
//! | `stop_signal` | stops a thread in the middle of guest code |
//! | `signal_handler` | handlers of signals, beside those of the program |
//! | `guest_stack` | the frames of a guest, from wherever its thread is |
//! | `sampler` | looks at a thread's stack at each millisecond of its processor time |
//! | `frames` | what it costs to end a guest that is deep in a recursion |
//! | `mapped` | a file's contents, where it is mapped |
//! | `perf_map` | tells Linux' `perf` the names of functions |
//! | `compiler` | compiles, on threads that live as long as the compile |
//! | `compile_process` | compiles in a process of its own |
//! | `system_limits` | how many threads and mappings the system has for an engine |
//! | `worker` | operating-system threads that run closures, and are used again |
//! | `watchdog` | one thread that looks after limits of time |

mod code_map;
mod compile_process;
mod compiler;
mod cpu_clock;
mod frames;
mod guest_stack;
mod mapped;
mod os_thread;
mod perf_map;
mod sampler;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod signal_handler;
mod stop_signal;
mod system_limits;
mod watchdog;
mod worker;

pub(crate) use code_map::CodeMap;
pub use compile_process::CompilerProcess;
pub use compiler::language;
pub(crate) use compiler::{Compiler, config};
pub(crate) use cpu_clock::{CpuClock, SUPPORTED as HAS_CPU_CLOCKS};
use frames::NoFrames;
pub(crate) use frames::{USUAL_FRAMES, shorten_in};
pub(crate) use guest_stack::{CUT, Exits, LOST, Stack};
pub(crate) use mapped::Mapped;
pub(crate) use os_thread::{run_apart, spawn as spawn_apart, with_traps};
pub(crate) use perf_map::{PerfMap, SUPPORTED as HAS_PERF};
pub(crate) use sampler::{
    Doing, Ring, SUPPORTED as CAN_SAMPLE, Sampling, WasDoing, current_stack, doing,
    install as install_sampler, now,
};
pub(crate) use stop_signal::{
    Reasons, Receiver, SUPPORTED as CAN_SIGNAL, install as install_signal, stoppable,
};
pub(crate) use system_limits::{Mappings, Taken, workers as workers_of_system};
pub(crate) use watchdog::{Visited, Watchdog};
pub(crate) use worker::{Worker, Workers, withdraw};

use crate::processes::Processes;
use std::num::NonZeroUsize;
use std::sync::Arc;
use threadwork_parking::Cores;

/// See the module's documentation. Dropping it ends the idle workers and the watchdog.
pub(crate) struct Machine {
    wasmtime: wasmtime::Engine,
    compiler: Compiler,
    signal: Option<i32>,
    cores: Arc<Cores>,
    parallelism: u32,
    workers: Workers,
    mappings: Arc<Mappings>,
    watchdog: Watchdog,
    no_frames: NoFrames,
    max_frames: NonZeroUsize,
    processes: Processes,
}

impl Machine {
    /// With `most` workers, that have so many bytes of stack, and are stopped by `signal`, for
    /// guests whose backtraces have `max_frames`; of the threads, `parallelism` can run at the
    /// same time.
    pub(crate) fn new(
        wasmtime: wasmtime::Engine,
        compiler: Compiler,
        signal: Option<i32>,
        stack_size: usize,
        most: u32,
        max_frames: NonZeroUsize,
        parallelism: u32,
    ) -> Self {
        let cores = Arc::new(Cores::new(parallelism));
        Self {
            no_frames: NoFrames::new(&wasmtime),
            max_frames,
            wasmtime,
            compiler,
            signal,
            parallelism,
            workers: Workers::new(stack_size, most, Arc::clone(&cores)),
            mappings: Arc::new(Mappings::new()),
            watchdog: Watchdog::default(),
            processes: Processes::default(),
            cores,
        }
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.wasmtime
    }

    pub(crate) fn compiler(&self) -> &Compiler {
        &self.compiler
    }

    /// The signal that stops threads, if one does.
    pub(crate) fn signal(&self) -> Option<i32> {
        self.signal
    }

    pub(crate) fn cores(&self) -> &Arc<Cores> {
        &self.cores
    }

    /// The number of threads that can run at the same time.
    pub(crate) fn parallelism(&self) -> u32 {
        self.parallelism
    }

    pub(crate) fn workers(&self) -> &Workers {
        &self.workers
    }

    /// What instances take for memories of their own.
    pub(crate) fn mappings(&self) -> &Arc<Mappings> {
        &self.mappings
    }

    /// The error, by which a host call ends its guest, without the guest's frames.
    pub(crate) fn without_frames(&self, error: wasmtime::Error) -> wasmtime::Error {
        self.no_frames.mark(error)
    }

    /// How many frames a backtrace has at most.
    pub(crate) fn max_frames(&self) -> NonZeroUsize {
        self.max_frames
    }

    pub(crate) fn watchdog(&self) -> &Watchdog {
        &self.watchdog
    }

    /// The processes that run on it.
    pub(crate) fn processes(&self) -> &Processes {
        &self.processes
    }
}
