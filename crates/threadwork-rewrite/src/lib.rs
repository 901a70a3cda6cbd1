//! Prepares a threaded WebAssembly module for a host: wasm in, wasm out.
//!
//! A thread is an instance that shares a memory with its siblings. An engine can
//! run such a module as it is, but then a thread that waits is the engine's: the
//! host cannot wake it to end it, count it, name it in a deadlock report or decide
//! when it runs. So the host takes a few things into its own hands, and
//! [`rewrite`] is how: it moves them out of the module, and keeps the program's
//! meaning to the letter.
//!
//! ```text
//!   the module as compiled                     the module as the host runs it
//!   ──────────────────────                     ─────────────────────────────────────
//!   memory.atomic.wait32 offset=8     ──►      i64.const 8
//!                                              call  threadwork."wait32:0"
//!   (memory 1 2 shared)               ──►      import threadwork."memory:0"
//!   (data (i32.const 0) "...")        ──►      (data "...")        ┐ now done by the
//!   (start $main)                     ──►                          ┘ export ENTER
//!   (global (mut i32) (i32.const 7))  ──►      the same, set back by the export RESET
//!   (memory 1)  ;; not shared         ──►      the same, exported as MEMORY
//!
//!   with Stopping::BySignal or ByPoll:
//!   memory.fill                       ──►      call $threadwork:fill:0
//!   table.copy                        ──►      table.copy, and a poll
//!   call $of_the_embedder             ──►      the same, and a poll
//!   ref.func $of_the_embedder         ──►      ref.func $threadwork:call:0
//!                                              (func (export STOP) unreachable)
//!   with Stopping::ByPoll:
//!   loop                              ──►      loop, and a poll
//!   with Stopping::ByWord:
//!   (memory 2 2 shared)               ──►      (memory 3 3 shared)
//!   loop                              ──►      loop, and a look at the last page of these
//!   with Options::stack_check:
//!   global.set $__stack_pointer       ──►      the same, and if it is below STACK_LOW
//!                                              call $threadwork:stack-overflow
//!   with Options::locked_barriers:
//!   i32.atomic.store                  ──►      i32.atomic.rmw.xchg, drop
//!   atomic.fence                      ──►      i32.atomic.rmw8.add_u of 0 on the stack, drop
//! ```
//!
//! # What is rewritten
//!
//! * **`wait32`, `wait64`, `notify` and `memory.grow` on shared memories** become
//!   calls of host functions, listed in [`Rewritten::sync`]; [`SyncOp`] has their
//!   signatures. On a memory that is not shared, wait always traps and notify
//!   finds nobody: these never sleep, and stay.
//! * **Shared memories that the module defines** become imports of
//!   [`HOST_MODULE`], so that the host makes every one of them;
//!   [`Rewritten::memories`] lists all, those that were imports before too.
//! * **The start function** moves into [`ENTER`], so that making an instance runs
//!   nothing of the program's; and so do **the active data segments**, if the module
//!   has a shared memory. `ENTER(first)` does, in the order of the
//!   specification, what instantiation did; but it writes shared memory only when
//!   `first` is not zero, so that data is written once for each process and not
//!   once for each thread. An instance is not ready before `ENTER` was called.
//! * **[`RESET`]** sets every mutable global back to its initial value, and every
//!   dropped data segment back to not dropped. It exists if that is all the state
//!   that an instance has: if the module has a shared memory and no other, imports
//!   no table and no mutable global, and never changes a table. Call `ENTER` after
//!   it, as on a new instance.
//! * **The memory that WASI works on, if it is not shared,** is exported as [`MEMORY`],
//!   so that the host finds it: the one that the module exports as `memory`, or else
//!   memory 0.
//! * **Code that a host could not stop**, if the host asks for it with
//!   [`Options::stopping`]: [`Stopping`] says what is added where. `memory.fill`,
//!   `memory.copy`, and large segments are written a mebibyte at a time. They trap
//!   before they write anything, if they trap, as the operators do; only a thread that
//!   is stopped leaves them half done.
//! * **Where the stack in linear memory grows**, if the host asks for it with
//!   [`Options::stack_check`]: functions that lower the stack pointer trap in
//!   [`STACK_OVERFLOW`] if they lower it below [`STACK_LOW`].
//! * **Atomic operators that are slow barriers**, if the host asks for it with
//!   [`Options::locked_barriers`]: they become others that mean the same.
//! * **Custom sections** are kept as they are, and the `name` section under its
//!   new indices, with names for what was added. Left out are `.debug_*`,
//!   `reloc.*` and `metadata.code.*`: they speak of offsets that have moved. A host
//!   that wants DWARF keeps the original, and asks [`Rewritten::offsets`] where in
//!   it a trap or a frame is.
//!
//! A module for which nothing of this has to change comes back byte for byte.
//!
//! # What is refused
//!
//! What is not a valid core module with the [`FEATURES`] listed, and a module that
//! uses the names that belong to the rewriter. Every refusal says why and what to
//! do: see [`RewriteError`]. No input makes this crate panic.
//!
//! # How it works
//!
//! Two passes. `scan` validates the module and notes the offsets of the operators
//! that may have to change. `plan` then decides everything that is added, and
//! its index. Then `module` writes the sections, and `code` copies the code
//! and edits it at the noted offsets only.
//!
//! | module       | holds                                                   |
//! |--------------|---------------------------------------------------------|
//! | `scan`       | what the module has, validated                          |
//! | `plan`       | what is added, and under which index                    |
//! | `module`     | the sections of the result, custom ones too             |
//! | `code`       | the edits of code                                       |
//! | `sync_ops`   | the four operators and the calls that stand for them    |
//! | `enter`      | what instantiation did, as a function                   |
//! | `polls`      | where polls go                                          |
//! | `pieces`     | operators on many bytes, cut into pieces                |
//! | `wrapper`    | functions of the host that tables and references lead to |
//! | `reset`      | what undoes an instance's state, and flags for segments |
//! | `names`      | the `name` section                                      |
//! | `stack`      | the check of the stack in linear memory                 |
//! | `barriers`   | atomic operators that compilers make slow barriers of   |
//! | `options`    | what a host may ask for                                 |
//! | `offset_map` | where each instruction came from                        |
//! | `instrument` | calls of a tool's hooks, before all of this             |
//! | `error`      | the refusals                                            |
//! | `limits`     | how large a module may be                               |

#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod barriers;
mod code;
mod enter;
mod error;
mod instrument;
mod limits;
mod module;
mod names;
mod offset_map;
mod options;
mod pieces;
mod plan;
mod polls;
mod reset;
mod scan;
mod stack;
mod sync_ops;
mod wrapper;

pub use error::{NotWasm, RewriteError};
pub use instrument::{CHECK_MODULE, Class, Instrument, Instrumented, Site, SiteKind, instrument};
pub use limits::MAX_MODULE_SIZE;
pub use offset_map::OffsetMap;
pub use options::{Options, Stopping};
pub use sync_ops::{SyncImport, SyncOp};

use plan::Plan;
use scan::Scan;
use wasmparser::WasmFeatures;

/// Another one whenever the sources of this crate are others, so that what was made by one
/// is not taken for what another would make.
pub const FINGERPRINT: &str = env!("SOURCES");

/// The import module of everything that the rewriter adds.
pub const HOST_MODULE: &str = "threadwork";

/// How the names of all exports begin that the rewriter adds.
pub const RESERVED: &str = "threadwork:";

/// The export `(func (param i32))` to call when a thread starts, before anything
/// else: not zero for the first thread of a process, zero for the others.
pub const ENTER: &str = "threadwork:enter";

/// The export `(func)` that makes an instance as good as new.
pub const RESET: &str = "threadwork:reset";

/// The export of the memory that WASI works on, if that is not shared.
pub const MEMORY: &str = "threadwork:memory";

/// The export `(func)` that traps as `unreachable` does: where a signal's handler moves
/// a thread that is to stop. See [`Stopping::BySignal`].
pub const STOP: &str = "threadwork:stop";

/// The export `(global (mut A))`, with `A` the type of addresses: the least that the
/// stack pointer of this instance's thread may be.
///
/// It is right for the main thread from the start, and set for a thread of wasi-libc when
/// `wasi_thread_start` is called. A host that sets `__stack_pointer` itself sets this too:
/// to the lowest address of the stack, plus [`RED_ZONE`].
pub const STACK_LOW: &str = "threadwork:stack-low";

/// The export `(global (mut A))`, with `A` the type of addresses: how many bytes the stack of
/// this instance's thread has, for whoever reports that they are used up.
///
/// It is right where [`STACK_LOW`] is, and set by whoever sets that.
pub const STACK_SIZE: &str = "threadwork:stack-size";

/// The export `(global (mut A))`, with `A` the type of addresses: where the byte is that stops
/// this instance's thread, if the byte that stops all is not zero either. See [`Stopping::ByWord`].
///
/// At first it is the address of that byte: a host that sets it for no instance stops all threads.
pub const STOP_AT: &str = "threadwork:stop-at";

/// The export `(func)` that a thread calls when its stack is used up. It traps as
/// `unreachable` does, and is known by its place at the top of the backtrace.
pub const STACK_OVERFLOW: &str = "threadwork:stack-overflow";

/// Bytes below the stack pointer that a function may use without lowering it.
pub const RED_ZONE: u64 = 128;

/// The field name, under [`HOST_MODULE`], of the shared memory of one page that polls
/// read: see [`Stopping`].
pub const POLL: &str = "poll";

/// The field name, under [`HOST_MODULE`], of the one function that modules import
/// themselves: a host may provide it, and the rewriter lets it be.
pub const ATOMIC_BATCH: &str = "atomic_batch";

/// The features of WebAssembly that a module may use.
///
/// WebAssembly 2.0 without `externref`, and threads, tail calls, several memories,
/// 64-bit memories, relaxed SIMD, extended constants, and exceptions as in WebAssembly
/// 3.0 (`try_table` and `exnref`; not those before it, with `try` and `catch`). An
/// engine that accepts less refuses some modules that pass here; one that accepts more
/// gains nothing by it.
pub const FEATURES: WasmFeatures = WasmFeatures::WASM2
    .difference(WasmFeatures::GC_TYPES)
    .union(WasmFeatures::THREADS)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::MEMORY64)
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::EXCEPTIONS);

/// A module that is ready for the host, and what the host must know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// The module.
    pub wasm: Vec<u8>,
    /// Where its code came from.
    pub offsets: OffsetMap,
    /// Every shared memory; all of them are imports now.
    pub memories: Vec<SharedMemoryImport>,
    /// The index, in the rewritten module, of the memory that WASI works on: of the one
    /// that the module exports as `memory`, or else of its first. `None` if it has none.
    pub wasi_memory: Option<u32>,
    /// The host functions that the module imports now.
    pub sync: Vec<SyncImport>,
    /// Whether there is an [`ENTER`] to call on every new instance.
    pub has_enter: bool,
    /// Whether there is a [`RESET`]: after it, an instance can be used again.
    pub has_reset: bool,
    /// Whether the module imports [`POLL`].
    pub has_poll: bool,
    /// The index of [`STOP`]: there with [`Stopping::BySignal`], unless the module
    /// defines no function.
    pub stop_function: Option<u32>,
    /// The address, in the first of `memories`, of the byte that stops all threads: see
    /// [`Stopping::ByWord`].
    pub stop_byte: Option<u64>,
    /// The index of [`STACK_OVERFLOW`], which is there if the stack is checked: the host
    /// asked for it, and it is known which global is the stack pointer and where the
    /// stack of the main thread ends.
    ///
    /// The pointer is the global `__stack_pointer`, by the name section or its export, or
    /// what wasi-libc's `wasi_thread_start` sets. The main thread's stack ends where the
    /// static data below it ends, or at address 0. Where a thread's stack ends, wasi-libc
    /// knows; a thread of which it does not is not checked. A module that switches
    /// between stacks of its own is not checked at all.
    pub stack_overflow: Option<u32>,
}

/// A shared memory that a rewritten module imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedMemoryImport {
    /// Its index in the rewritten module.
    pub index: u32,
    /// The import's module: as it was, or [`HOST_MODULE`] if the memory was defined.
    pub module: String,
    /// The import's field name; `memory:` and the index if the memory was defined.
    pub name: String,
    /// Pages that it must have at first.
    pub minimum: u64,
    /// Pages that it may have; always there in a valid module.
    pub maximum: Option<u64>,
    /// Whether its addresses are 64 bits wide.
    pub memory64: bool,
}

/// Prepares a module for the host.
///
/// # Errors
///
/// If `wasm` is not a module that can be prepared: [`RewriteError`] says why, and
/// what to do.
///
/// # Example
///
/// ```
/// let wasm = wat::parse_str(r#"
///     (module
///       (memory (export "memory") 1 1 shared)
///       (data (i32.const 0) "hello")
///       (func (export "sleep") (param i32) (result i32)
///         (memory.atomic.wait32 (local.get 0) (i32.const 0) (i64.const -1))))
/// "#)?;
/// let new = threadwork_rewrite::rewrite(&wasm)?;
///
/// // The host gives the memory, and carries out the wait.
/// assert_eq!(new.memories[0].module, "threadwork");
/// assert_eq!(new.memories[0].name, "memory:0");
/// assert_eq!(new.sync[0].name, "wait32:0");
/// // "hello" is written by the first thread's ENTER.
/// assert!(new.has_enter);
/// assert!(new.has_reset);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn rewrite(wasm: &[u8]) -> Result<Rewritten, RewriteError> {
    rewrite_with(wasm, Options::default())
}

/// Like [`rewrite`], with what else a host may ask for.
///
/// # Errors
///
/// As [`rewrite`].
///
/// # Example
///
/// ```
/// use threadwork_rewrite::{Options, Stopping, rewrite_with};
///
/// let wasm = wat::parse_str("(module (func (loop (br 0))))")?;
/// let polls = rewrite_with(&wasm, Options { stopping: Stopping::ByPoll, ..Options::default() })?;
/// assert!(polls.has_poll);
///
/// // Nothing is added to the loop; it is function 0, and STOP is function 1.
/// let signals = rewrite_with(&wasm, Options { stopping: Stopping::BySignal, ..Options::default() })?;
/// assert!(!signals.has_poll);
/// assert_eq!(signals.stop_function, Some(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn rewrite_with(wasm: &[u8], options: Options) -> Result<Rewritten, RewriteError> {
    error::check_kind(wasm)?;
    let scan = Scan::read(wasm, options)?;
    let plan = Plan::new(&scan)?;
    let (wasm, offsets) = if plan.changes_anything(&scan) {
        module::write(wasm, &scan, &plan)?
    } else {
        (wasm.to_vec(), OffsetMap::identity(wasm.len()))
    };
    Ok(Rewritten {
        wasm,
        offsets,
        has_enter: plan.has_enter,
        has_reset: plan.has_reset,
        has_poll: plan.poll_memory.is_some(),
        stop_function: plan.stop_function,
        stop_byte: plan.stop_look.map(|look| look.address),
        wasi_memory: plan.wasi_memory,
        stack_overflow: plan.stack.map(|stack| stack.overflow),
        memories: plan.memories,
        sync: plan.sync.into_iter().map(|(import, _)| import).collect(),
    })
}
