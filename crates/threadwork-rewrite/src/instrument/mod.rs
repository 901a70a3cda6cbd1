//! Calls of a tool's functions, *hooks*, where a program's threads meet: for schedulers that
//! choose who goes on, and for detectors of races.
//!
//! [`instrument`] comes first, and [`rewrite_with`](crate::rewrite_with) works on what comes
//! out; [`OffsetMap::through`] then leads from the host's module to the original file, so that
//! its debug information holds.
//!
//! # Hooks
//!
//! All are imported from [`CHECK_MODULE`], each only if the choice may have it called. `site` is an index into
//! [`Instrumented::sites`]; addresses are effective ones, and may be out of bounds: then the
//! operator is about to trap.
//!
//! | hook | parameters | called |
//! |---|---|---|
//! | `point` | site i32, address i64 | before an operator on which threads meet; returns i32 with [`Instrument::yielding`] |
//! | `switch` | site i32, address i64 | if `point` has returned anything but 0, before the operator |
//! | `done` | site i32, address i64, wrote i32, value i64, context i32 | after an operator that had a point; `value` is its result, without a sign, or 0; `wrote` is 0 for loads and failed exchanges |
//! | `access` | site i32, address i64, context i32 | before a plain access (with [`Instrument::once`], unless that was told already; returns i32), and before the point of a wait; after a load of a [`Class::Runtime`] function |
//! | `range` | site i32, address i64, length i64, context i32 | after an access to many bytes, so that one that traps has none |
//! | `alloc_begin` | site i32, old i64, context i32 | before an allocator's function; `old` is the block that it takes, or 0; returns i64 with [`Instrument::once`] |
//! | `alloc_end` | site i32, new i64, length i64, context i32 | after it; `new` is the block that it gives, or 0 |
//! | `thread_start` | id i32, argument i32 | when `wasi_thread_start` begins |
//!
//! The `address` of a fence and of a host call is 0, of a spawn its argument, of a
//! `memory.grow` the number of pages.
//!
//! # What has no hooks
//!
//! Operators on memories that are not shared; the start function, which writes the data before
//! there are threads; bodies of [`Class::Allocator`], since blocks change hands in there; the lock of
//! the C library's list of threads; and what `wasi_thread_start` does before it calls anything.
//!
//! # Invariant
//!
//! If hooks do nothing and `point` returns 0, the program does what it did: hooks take copies of
//! operands that are put back, and each operator stays, in its order.

mod body;
mod classes;
mod module;
mod once;
mod operators;
mod wrapper;

use crate::{OffsetMap, RewriteError};

pub use classes::Class;

/// The import module of all hooks.
pub const CHECK_MODULE: &str = "threadwork:check";

/// Which operators call hooks: none by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Instrument {
    /// Points before atomic loads, stores, read-modify-writes and exchanges.
    pub atomics: bool,
    /// Points before `memory.atomic.wait32`, `wait64` and `notify`.
    pub waits: bool,
    /// Points before `atomic.fence`.
    pub fences: bool,
    /// Points before `memory.grow`.
    pub grows: bool,
    /// Points before calls, by name, of `wasi.thread-spawn`.
    pub spawns: bool,
    /// Points before calls, by name, of other imported functions.
    pub host_calls: bool,
    /// Points for atomics, fences, and growing in functions of [`Class::Runtime`] and
    /// [`Class::Threads`], too; those for the others are there anyway.
    pub runtime: bool,
    /// `access` and `range` for plain accesses, for what WASI's reads and writes have done to their
    /// buffers, and, with `waits`, for the words of waits.
    pub accesses: bool,
    /// `alloc_begin` and `alloc_end` around the allocator's functions.
    pub allocations: bool,
    /// `thread_start`.
    pub threads: bool,
    /// `done` after each operator that has a point.
    pub results: bool,
    /// `point` returns whether `switch` is to be called.
    pub yielding: bool,
    /// Hooks are given a hash of the chain of calls, else 0. Chains that differ have the same
    /// one rarely.
    pub contexts: bool,
    /// `access` returns an i32: whether the thread need not tell as much of these bytes again in
    /// this turn. Then plain loads and stores of [`Class::Ordinary`] functions in memories of
    /// 32-bit addresses do not. A turn ends with a point, but for those of atomic loads and
    /// waits; with `thread_start`; and with a store in a function of [`Class::Runtime`]. What is
    /// told to be written need not be told to be read.
    ///
    /// `alloc_begin` returns an i64: how many bytes the block has that is taken, or 0. They are to
    /// be told again, as are those of a block that is given.
    ///
    /// An instance has 2 MiB of memory for it, as far as it is touched.
    pub once: bool,
}

/// A module with hooks, and what its host must know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instrumented {
    /// The module.
    pub wasm: Vec<u8>,
    /// Where its code came from.
    pub offsets: OffsetMap,
    /// What hooks are told by number.
    pub sites: Vec<Site>,
    /// Whether functions could be classified: the module has names.
    pub has_names: bool,
}

/// A place in the original module that calls a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// The index of the function in the original module.
    pub function: u32,
    /// The offset of the operator in the original file.
    pub offset: usize,
    /// What it does.
    pub kind: SiteKind,
    /// Bytes that it reaches; 0 if that is a hook's parameter, or nothing.
    pub width: u8,
    /// The memory that it reaches.
    pub memory: u32,
    /// The class of the function; what the host reads or writes for it is ordinary.
    pub class: Class,
}

/// What a program does at a [`Site`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SiteKind {
    /// A plain load.
    Load,
    /// A plain store.
    Store,
    /// An atomic load.
    AtomicLoad,
    /// An atomic store.
    AtomicStore,
    /// An atomic read-modify-write, or an exchange without a condition.
    AtomicRmw,
    /// A compare-and-exchange.
    AtomicCmpxchg,
    /// `memory.atomic.wait32` or `wait64`.
    Wait,
    /// `memory.atomic.notify`.
    Notify,
    /// `atomic.fence`.
    Fence,
    /// A call of `wasi.thread-spawn`.
    Spawn,
    /// `memory.grow`.
    Grow,
    /// A call of another imported function.
    HostCall,
    /// What `memory.copy` reads, and what WASI writes to a file.
    RangeRead,
    /// What `memory.copy`, `memory.fill` and `memory.init` write, and what WASI reads from a
    /// file.
    RangeWrite,
    /// `malloc` and the like.
    Allocate,
    /// `realloc` and the like.
    Reallocate,
    /// `free` and the like.
    Free,
}

impl SiteKind {
    /// Whether it may write memory of the program's.
    #[must_use]
    pub fn writes(self) -> bool {
        matches!(
            self,
            Self::Store
                | Self::AtomicStore
                | Self::AtomicRmw
                | Self::AtomicCmpxchg
                | Self::RangeWrite
        )
    }

    /// Whether it is an atomic access.
    #[must_use]
    pub fn is_atomic(self) -> bool {
        matches!(
            self,
            Self::AtomicLoad | Self::AtomicStore | Self::AtomicRmw | Self::AtomicCmpxchg
        )
    }
}

/// Adds calls of hooks to a module, which need not have been rewritten.
///
/// # Errors
///
/// If `wasm` is not a valid module, or becomes larger than engines accept.
///
/// # Example
///
/// ```
/// use threadwork_rewrite::{Instrument, SiteKind, instrument};
///
/// let wasm = wat::parse_str(r#"
///     (module
///       (memory (import "env" "memory") 1 1 shared)
///       (func (export "count") (result i32)
///         (i32.atomic.rmw.add (i32.const 64) (i32.const 1))))
/// "#)?;
/// let choice = Instrument { atomics: true, ..Instrument::default() };
/// let new = instrument(&wasm, &choice)?;
/// assert_eq!(new.sites[0].kind, SiteKind::AtomicRmw);
/// assert_eq!((new.sites[0].function, new.sites[0].width), (0, 4));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn instrument(wasm: &[u8], choice: &Instrument) -> Result<Instrumented, RewriteError> {
    crate::error::check_kind(wasm)?;
    module::write(wasm, choice)
}
