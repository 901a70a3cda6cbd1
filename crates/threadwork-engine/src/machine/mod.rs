//! [`Machine`]: what all processes of an engine share of the machine: its cores, its
//! operating-system threads, and its clocks.
//!
//! | module | holds |
//! |---|---|
//! | `cpu_clock` | the processor time of one operating-system thread |
//! | `code_map` | where a module's functions lie in the host's memory |
//! | `os_thread` | operating-system threads that guests can run on |
//! | `stop_signal` | stops a thread in the middle of guest code |
//! | `frames` | what it costs to end a guest that is deep in a recursion |
//! | `mapped` | a file's contents, where it is mapped |
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
mod mapped;
mod os_thread;
mod stop_signal;
mod system_limits;
mod watchdog;
mod worker;

pub(crate) use code_map::CodeMap;
pub use compile_process::CompilerProcess;
pub(crate) use compiler::{Compiler, config};
pub(crate) use cpu_clock::{CpuClock, SUPPORTED as HAS_CPU_CLOCKS};
use frames::NoFrames;
pub(crate) use frames::shorten_in;
pub(crate) use mapped::Mapped;
pub(crate) use os_thread::{run_apart, spawn as spawn_apart, with_traps};
pub(crate) use stop_signal::{
    Reasons, Receiver, SUPPORTED as CAN_SIGNAL, install as install_signal, stoppable,
};
pub(crate) use system_limits::{Mappings, Taken, workers as workers_of_system};
pub(crate) use watchdog::{Visited, Watchdog};
pub(crate) use worker::{Worker, Workers, withdraw};

use crate::processes::Processes;
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
    processes: Processes,
}

impl Machine {
    /// With `most` workers, that have so many bytes of stack, and are stopped by `signal`;
    /// of the threads, `parallelism` can run at the same time.
    pub(crate) fn new(
        wasmtime: wasmtime::Engine,
        compiler: Compiler,
        signal: Option<i32>,
        stack_size: usize,
        most: u32,
        parallelism: u32,
    ) -> Self {
        let cores = Arc::new(Cores::new(parallelism));
        Self {
            no_frames: NoFrames::new(&wasmtime),
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

    pub(crate) fn watchdog(&self) -> &Watchdog {
        &self.watchdog
    }

    /// The processes that run on it.
    pub(crate) fn processes(&self) -> &Processes {
        &self.processes
    }
}
