//! The instances of a runtime's workers: one module, one memory, and for each a stack
//! and a block of thread-local data of its own.
//!
//! Linkers make modules for threads (`--shared-memory`) that leave three things to
//! whoever makes an instance for one: a stack, whose top the global `__stack_pointer`
//! holds; a block of memory for thread-local data, that `__wasm_init_tls` fills; and one
//! initialization for the whole program (`_initialize`). That is done here, as far as
//! the module exports them. A module without them has none of it: nothing to be done.
//!
//! The first instance runs what runs once for a program. It runs no tasks: it keeps the
//! program's own stack and thread-local data, and is there to call the program's
//! allocator.
//!
//! Invariant: the blocks of two places never overlap. One stays with its place for the
//! next worker, so there are never more of them than there were workers at one time.

use super::RuntimeConfig;
use crate::arena::Arena;
use crate::poll_page::PollPage;
use crate::process::State;
use crate::seat::{Seat, catch_panic};
use crate::thread::ThreadState;
use crate::worker::lock;
use crate::{Error, Module};
use std::sync::{Arc, Mutex};
use threadwork_rewrite::{HOST_MODULE, POLL, RED_ZONE, STACK_LOW};
use wasmtime::{ExternType, Mutability, Val, ValType};

/// What a stack is aligned to by the tools' convention.
const STACK_ALIGNMENT: u64 = 16;

/// The largest stack, and the most thread-local data: what a memory of 32 bits can have.
pub(super) const LARGEST: u64 = 1 << 32;

/// See the module's documentation.
pub(crate) struct Instances {
    shape: Shape,
    /// By place.
    blocks: Mutex<Vec<Block>>,
    /// The first instance, once it is initialized and until the process has ended.
    first: Mutex<Option<Seat>>,
}

/// What the module wants for a thread.
struct Shape {
    /// Bytes of a stack; 0 if the module has none to be set.
    stack: u64,
    /// Bytes of thread-local data, and what they are aligned to.
    tls: u64,
    tls_alignment: u64,
    /// Whether the module fills the thread-local data itself.
    initializes_tls: bool,
    allocator: Allocator,
}

/// Where blocks come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Allocator {
    /// `aligned_alloc(alignment, size)`.
    Aligned,
    /// `malloc(size)`.
    Malloc,
    /// `__wbindgen_malloc(size, alignment)`.
    Bindgen,
    /// The host's own.
    Host,
}

/// Memory of a place's own: thread-local data below, the stack above.
#[derive(Clone, Copy)]
struct Block {
    tls: u64,
    stack_top: u64,
}

impl Instances {
    /// Looks at what the module exports.
    pub(super) fn new(module: &Module, config: &RuntimeConfig) -> Result<Self, Error> {
        let exports = |name: &str| module.wasmtime().get_export(name);
        let mutable = |name: &str| {
            let found = exports(name);
            matches!(&found, Some(ExternType::Global(ty)) if ty.mutability() == Mutability::Var)
        };
        let initializes_tls = matches!(exports("__wasm_init_tls"), Some(ExternType::Func(_)));
        let has = module.thread_data();
        // A single worker may have the program's own stack.
        if has.stack && config.max_threads > 1 && !mutable("__stack_pointer") {
            return Err(Error::Unexported {
                name: "__stack_pointer",
                what: "a stack",
            });
        }
        if has.tls && !initializes_tls {
            return Err(Error::Unexported {
                name: "__wasm_init_tls",
                what: "thread-local data",
            });
        }
        let allocator = [
            ("aligned_alloc", 2, Allocator::Aligned),
            ("malloc", 1, Allocator::Malloc),
            ("__wbindgen_malloc", 2, Allocator::Bindgen),
        ];
        let allocator = allocator
            .into_iter()
            .find(|(name, params, _)| is_allocator(exports(name), *params));
        Ok(Self {
            shape: Shape {
                stack: match mutable("__stack_pointer") {
                    true => config.stack_size.next_multiple_of(STACK_ALIGNMENT),
                    false => 0,
                },
                // What it says is read from an instance; see `initialize`.
                tls: match mutable("__tls_base") && !initializes_tls {
                    true => u64::from(config.tls_slot_size),
                    false => 0,
                },
                tls_alignment: STACK_ALIGNMENT,
                initializes_tls,
                allocator: allocator.map_or(Allocator::Host, |(_, _, kind)| kind),
            },
            blocks: Mutex::default(),
            first: Mutex::new(None),
        })
    }

    /// Runs what runs once for a program, on the first instance, and keeps that.
    pub(super) fn initialize(&self, mut seat: Seat) -> wasmtime::Result<()> {
        seat.on_thread(|seat| {
            seat.enter(true)?;
            // Without the first, linkers count on the second being called.
            for name in ["_initialize", "__wasm_call_ctors"] {
                if let Some(function) = seat.instance.get_func(&mut seat.store, name) {
                    return function
                        .typed::<(), ()>(&seat.store)?
                        .call(&mut seat.store, ());
                }
            }
            Ok(())
        })?;
        *lock(&self.first) = Some(seat);
        Ok(())
    }

    /// Makes an instance for the worker at `place`.
    pub(super) fn seat(
        &self,
        process: &Arc<State>,
        thread: &Arc<ThreadState>,
        place: usize,
        page: Option<&PollPage>,
    ) -> wasmtime::Result<Seat> {
        let block = self.block(process, place)?;
        let mut seat = match page {
            None => Seat::new(process, thread)?,
            Some(page) => {
                let linked = process.linked()?;
                let mut linker = linked.linker.clone();
                Seat::with(process, thread, |store| {
                    linker.define(&store, HOST_MODULE, POLL, page.memory().clone())?;
                    linker.instantiate(store, process.module().wasmtime())
                })?
            }
        };
        seat.on_thread(|seat| self.furnish(seat, process.arena(), block))?;
        Ok(seat)
    }

    /// Gives an instance its block, and starts it.
    fn furnish(&self, seat: &mut Seat, arena: &Arena, block: Block) -> wasmtime::Result<()> {
        if self.shape.stack > 0 {
            set_global(seat, "__stack_pointer", block.stack_top)?;
            // In modules that check their stack.
            let low = block.stack_top - self.shape.stack + RED_ZONE;
            set_global(seat, STACK_LOW, low)?;
        }
        seat.enter(false)?;
        let (tls, _) = self.tls(seat)?;
        if tls > 0 {
            arena.memories()[0].fill(block.tls, tls, 0)?;
        }
        if self.shape.initializes_tls {
            call(seat, "__wasm_init_tls", &[block.tls])?;
        } else if tls > 0 {
            set_global(seat, "__tls_base", block.tls)?;
        }
        // wasi-libc keeps what it knows of a thread in thread-local data.
        let prepares_thread = seat.instance.get_func(&mut seat.store, "__wasi_init_tp");
        if let Some(function) = prepares_thread.filter(|_| self.shape.initializes_tls) {
            function
                .typed::<(), ()>(&seat.store)?
                .call(&mut seat.store, ())?;
        }
        Ok(())
    }

    /// The size and alignment of thread-local data.
    fn tls(&self, seat: &mut Seat) -> wasmtime::Result<(u64, u64)> {
        if !self.shape.initializes_tls {
            return Ok((self.shape.tls, self.shape.tls_alignment));
        }
        let size = get_global(seat, "__tls_size").ok_or_else(|| {
            wasmtime::Error::msg(
                "the module exports __wasm_init_tls, but no global __tls_size: link it with \
                 --export=__tls_size",
            )
        })?;
        let alignment = get_global(seat, "__tls_align").unwrap_or(STACK_ALIGNMENT);
        if size.max(alignment) > LARGEST {
            return Err(no_room(size));
        }
        Ok((size, alignment))
    }

    /// The block of a place, made when there is none yet.
    fn block(&self, process: &Arc<State>, place: usize) -> wasmtime::Result<Block> {
        let mut blocks = lock(&self.blocks);
        while blocks.len() <= place {
            let mut first = lock(&self.first);
            let seat = first
                .as_mut()
                .ok_or_else(|| wasmtime::Error::new(crate::seat::Ended))?;
            blocks.push(self.make_block(process, seat)?);
        }
        Ok(blocks[place])
    }

    fn make_block(&self, process: &Arc<State>, seat: &mut Seat) -> wasmtime::Result<Block> {
        let (tls, alignment) = self.tls(seat)?;
        let alignment = alignment.max(STACK_ALIGNMENT);
        let tls = tls.next_multiple_of(alignment);
        let size = tls + self.shape.stack;
        if size == 0 {
            let (tls, stack_top) = (0, 0);
            return Ok(Block { tls, stack_top });
        }
        let start = self.allocate(process, seat, size, alignment)?;
        Ok(Block {
            tls: start,
            stack_top: start + size,
        })
    }

    fn allocate(
        &self,
        process: &Arc<State>,
        seat: &mut Seat,
        size: u64,
        alignment: u64,
    ) -> wasmtime::Result<u64> {
        let size = size.next_multiple_of(alignment);
        let over = size + alignment - 1;
        let start = match self.shape.allocator {
            Allocator::Aligned => {
                self.call_allocator(process, seat, "aligned_alloc", &[alignment, size])?
            }
            Allocator::Malloc => self.call_allocator(process, seat, "malloc", &[over])?,
            Allocator::Bindgen => {
                self.call_allocator(process, seat, "__wbindgen_malloc", &[size, alignment])?
            }
            Allocator::Host => process.arena().allocate(size, alignment).unwrap_or(0),
        };
        let start = start.next_multiple_of(alignment);
        let fits = start
            .checked_add(size)
            .is_some_and(|end| end <= process.memories()[0].len());
        if start == 0 || !fits {
            return Err(no_room(size));
        }
        Ok(start)
    }

    /// Calls the program's allocator, on the first instance's stack.
    fn call_allocator(
        &self,
        process: &Arc<State>,
        seat: &mut Seat,
        name: &str,
        arguments: &[u64],
    ) -> wasmtime::Result<u64> {
        process.check_running()?;
        // It may have to wait for its lock.
        process.lot().enter();
        let start = catch_panic(|| call(seat, name, arguments));
        process.arena().leave();
        start
    }

    /// The process has ended: lets go of the first instance.
    pub(super) fn close(&self) {
        drop(lock(&self.first).take());
    }
}

fn no_room(size: u64) -> wasmtime::Error {
    wasmtime::Error::msg(format!(
        "there is no room for the {size} bytes of a worker's stack and thread-local data: \
         raise the module's maximum (--max-memory) or its limit, or lower \
         RuntimeConfig::stack_size"
    ))
}

/// Whether an export takes so many sizes and returns an address, all of 32 bits.
fn is_allocator(export: Option<ExternType>, params: usize) -> bool {
    let is_i32 = |ty: ValType| matches!(ty, ValType::I32);
    match export {
        Some(ExternType::Func(ty)) => {
            ty.params().len() == params
                && ty.params().all(is_i32)
                && ty.results().len() == 1
                && ty.results().all(is_i32)
        }
        _ => false,
    }
}

/// Calls an export with addresses and sizes; returns the address it returns, or 0.
fn call(seat: &mut Seat, name: &str, arguments: &[u64]) -> wasmtime::Result<u64> {
    let missing = || wasmtime::Error::msg(format!("the module does not export `{name}`"));
    let function = seat
        .instance
        .get_func(&mut seat.store, name)
        .ok_or_else(missing)?;
    let ty = function.ty(&seat.store);
    let arguments: Vec<_> = ty
        .params()
        .zip(arguments)
        .map(|(ty, value)| number(&ty, *value))
        .collect();
    let mut results = vec![Val::I32(0); ty.results().len()];
    function.call(&mut seat.store, &arguments, &mut results)?;
    Ok(results.first().map_or(0, unsigned))
}

fn set_global(seat: &mut Seat, name: &str, value: u64) -> wasmtime::Result<()> {
    match seat.instance.get_global(&mut seat.store, name) {
        Some(global) => {
            let ty = global.ty(&seat.store).content().clone();
            global.set(&mut seat.store, number(&ty, value))
        }
        None => Ok(()),
    }
}

fn get_global(seat: &mut Seat, name: &str) -> Option<u64> {
    let global = seat.instance.get_global(&mut seat.store, name)?;
    Some(unsigned(&global.get(&mut seat.store)))
}

/// An address or size, of the width that is wanted.
fn number(ty: &ValType, value: u64) -> Val {
    match ty {
        ValType::I64 => Val::I64(value.cast_signed()),
        // Below 2^32, since it is in a memory whose addresses have as many bits.
        _ => Val::I32(value as i32),
    }
}

fn unsigned(value: &Val) -> u64 {
    match value {
        Val::I32(number) => u64::from(number.cast_unsigned()),
        Val::I64(number) => number.cast_unsigned(),
        _ => 0,
    }
}
