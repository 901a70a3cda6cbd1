//! The second door: a host program that drives the exported functions of a module on a
//! pool of workers, over one shared memory.
//!
//! Any module with a shared memory will do: hand-written, from any compiler, with or
//! without WASI. Each worker has an instance of its own, with a stack and thread-local
//! data where the module has such things, and keeps it from task to task. Globals
//! belong to the worker's instance, memory to all.
//!
//! ```
//! use threadwork_engine::{Engine, Module, Task, ThreadRuntime};
//!
//! # fn main() -> anyhow::Result<()> {
//! let engine = Engine::new()?;
//! let module = Module::new(&engine, br#"
//!     (module
//!       (memory (export "memory") 1 1 shared)
//!       (func (export "add") (param $n i32) (result i32)
//!         (i32.atomic.rmw.add (i32.const 0) (local.get $n))))
//! "#)?;
//! let runtime = ThreadRuntime::new(&module)?;
//! let tasks = (1..=100).map(|n| runtime.execute(Task::new("add", [n])));
//! let tasks: Vec<_> = tasks.collect::<Result<_, _>>()?;
//! for task in &tasks {
//!     let before: i32 = task.wait_as()?;
//!     assert!(before < 5050);
//! }
//! assert_eq!(runtime.memory().load::<i32>(0)?, 5050);
//! # Ok(())
//! # }
//! ```
//!
//! A runtime is a process that has a pool instead of a main program: limits, host
//! functions, files, statistics and the end work as they do there.
//!
//! # What happens when something goes wrong
//!
//! - A task that *traps* has the trap as its result. Its worker gets a new instance, and
//!   the others do not notice; but what the task was in the middle of stays as it is: a
//!   lock that it held is never unlocked.
//! - A *deadlock* ends the runtime, and each task's result says so, with who waits where.
//!   It is when every worker that has a task, and every thread of the host that uses the
//!   runtime ([`RuntimeBuilder::host_threads`]), waits without a timeout.
//! - If all workers wait while tasks are queued, one more is started, up to
//!   [`RuntimeConfig::max_threads`]: the queued one may be what they wait for.
//! - A limit of time, a call of WASI's `proc_exit`, and a kill end the runtime.

//!
//! # Map
//!
//! | file | holds |
//! |---|---|
//! | `values.rs` | results as numbers of Rust's |
//! | `task.rs` | [`Task`], and what becomes of it |
//! | `config.rs` | the sizes of a runtime |
//! | `instance.rs` | an instance for each worker, with a stack and thread-local data |
//! | `pool.rs` | the queue of tasks and the workers that run them |
//! | `handle.rs` | [`TaskHandle`] |
//! | `thread_runtime.rs` | [`ThreadRuntime`] and its builder |

mod config;
mod handle;
mod instance;
mod pool;
mod task;
mod thread_runtime;
mod values;

pub use config::{RuntimeConfig, WorkerStatus};
pub use handle::TaskHandle;
pub use task::{ExecuteError, Priority, Task, TaskError, TaskId};
pub use thread_runtime::{RuntimeBuilder, ThreadRuntime};
pub use values::Results;
