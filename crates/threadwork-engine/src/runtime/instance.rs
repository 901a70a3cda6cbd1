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
//! Invariant: the blocks of two worker slots never overlap. One stays with its slot for the
//! next worker, so there are never more of them than there were workers at one time.

use super::config::RuntimeConfig;
use crate::error::Error;
use crate::linear_memory::Arena;
use crate::lock::lock;
use crate::module::Module;
use crate::poll_page::PollPage;
use crate::process::{PooledInstance, State, catch_panic};
use crate::thread::{Ended, ThreadState};
use std::sync::{Arc, Mutex};
use threadwork_rewrite::{HOST_MODULE, POLL, RED_ZONE, STACK_LOW, STACK_SIZE};
use wasmtime::{ExternType, Mutability, Val, ValType};

/// What a stack is aligned to by the tools' convention.
const STACK_ALIGNMENT: u64 = 16;

/// The largest stack, and the most thread-local data: what a memory of 32 bits can have.
pub(super) const LARGEST: u64 = 1 << 32;

/// See the module's documentation.
pub(crate) struct Instances {
    shape: Shape,
    /// By worker slot.
    blocks: Mutex<Vec<Block>>,
    /// The first instance, once it is initialized and until the process has ended.
    first: Mutex<Option<PooledInstance>>,
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

/// Memory of a worker slot's own: thread-local data below, the stack above.
#[derive(Clone, Copy)]
struct Block {
    tls: u64,
    stack_top: u64,
}

impl Instances {
    /// Looks at what the module exports.
    pub(super) fn new(module: &Module, config: &RuntimeConfig) -> Result<Self, Error> {
        let exports = |name: &str| module.code().wasmtime.get_export(name);
        let mutable = |name: &str| {
            let found = exports(name);
            matches!(&found, Some(ExternType::Global(ty)) if ty.mutability() == Mutability::Var)
        };
        let initializes_tls = matches!(exports("__wasm_init_tls"), Some(ExternType::Func(_)));
        let has = module.code().thread_data;
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
    pub(super) fn initialize(&self, mut instance: PooledInstance) -> wasmtime::Result<()> {
        instance.on_thread(|instance| {
            instance.enter(true)?;
            // Without the first, linkers count on the second being called.
            for name in ["_initialize", "__wasm_call_ctors"] {
                if let Some(function) = instance.instance.get_func(&mut instance.store, name) {
                    return function
                        .typed::<(), ()>(&instance.store)?
                        .call(&mut instance.store, ());
                }
            }
            Ok(())
        })?;
        *lock(&self.first) = Some(instance);
        Ok(())
    }

    /// Makes an instance for the worker in `slot`.
    pub(super) fn make(
        &self,
        process: &Arc<State>,
        thread: &Arc<ThreadState>,
        slot: usize,
        page: Option<&PollPage>,
    ) -> wasmtime::Result<PooledInstance> {
        let block = self.block(process, slot)?;
        let mut instance = match page {
            None => PooledInstance::new(process, thread)?,
            Some(page) => {
                let linked = process.linked()?;
                let mut linker = linked.linker.clone();
                PooledInstance::with(process, thread, |store| {
                    linker.define(&store, HOST_MODULE, POLL, page.memory().clone())?;
                    linker.instantiate(store, &process.code().wasmtime)
                })?
            }
        };
        instance.on_thread(|instance| self.set_up(instance, process.arena(), block))?;
        Ok(instance)
    }

    /// Gives an instance its block, and starts it.
    fn set_up(
        &self,
        instance: &mut PooledInstance,
        arena: &Arena,
        block: Block,
    ) -> wasmtime::Result<()> {
        if self.shape.stack > 0 {
            set_global(instance, "__stack_pointer", block.stack_top)?;
            if instance
                .store
                .data()
                .process
                .code()
                .stack_overflow
                .is_some()
            {
                let low = block.stack_top - self.shape.stack + RED_ZONE;
                set_global(instance, STACK_LOW, low)?;
                set_global(instance, STACK_SIZE, self.shape.stack)?;
            }
        }
        instance.enter(false)?;
        let (tls, _) = self.tls(instance)?;
        if tls > 0 {
            arena.memories()[0].fill(block.tls, tls, 0)?;
        }
        if self.shape.initializes_tls {
            call(instance, "__wasm_init_tls", &[block.tls])?;
        } else if tls > 0 {
            set_global(instance, "__tls_base", block.tls)?;
        }
        // wasi-libc keeps what it knows of a thread in thread-local data.
        let prepares_thread = instance
            .instance
            .get_func(&mut instance.store, "__wasi_init_tp");
        if let Some(function) = prepares_thread.filter(|_| self.shape.initializes_tls) {
            function
                .typed::<(), ()>(&instance.store)?
                .call(&mut instance.store, ())?;
        }
        Ok(())
    }

    /// The size and alignment of thread-local data.
    fn tls(&self, instance: &mut PooledInstance) -> wasmtime::Result<(u64, u64)> {
        if !self.shape.initializes_tls {
            return Ok((self.shape.tls, self.shape.tls_alignment));
        }
        let size = get_global(instance, "__tls_size").ok_or_else(|| {
            wasmtime::Error::msg(
                "the module exports __wasm_init_tls, but no global __tls_size: link it with \
                 --export=__tls_size",
            )
        })?;
        let alignment = get_global(instance, "__tls_align").unwrap_or(STACK_ALIGNMENT);
        if size.max(alignment) > LARGEST {
            return Err(no_room(size));
        }
        Ok((size, alignment))
    }

    /// The block of a worker slot, made when there is none yet.
    fn block(&self, process: &Arc<State>, slot: usize) -> wasmtime::Result<Block> {
        let mut blocks = lock(&self.blocks);
        while blocks.len() <= slot {
            let mut first = lock(&self.first);
            let instance = first.as_mut().ok_or_else(|| wasmtime::Error::new(Ended))?;
            blocks.push(self.make_block(process, instance)?);
        }
        Ok(blocks[slot])
    }

    fn make_block(
        &self,
        process: &Arc<State>,
        instance: &mut PooledInstance,
    ) -> wasmtime::Result<Block> {
        let (tls, alignment) = self.tls(instance)?;
        let alignment = alignment.max(STACK_ALIGNMENT);
        let tls = tls.next_multiple_of(alignment);
        let size = tls + self.shape.stack;
        if size == 0 {
            let (tls, stack_top) = (0, 0);
            return Ok(Block { tls, stack_top });
        }
        let start = self.allocate(process, instance, size, alignment)?;
        Ok(Block {
            tls: start,
            stack_top: start + size,
        })
    }

    fn allocate(
        &self,
        process: &Arc<State>,
        instance: &mut PooledInstance,
        size: u64,
        alignment: u64,
    ) -> wasmtime::Result<u64> {
        let size = size.next_multiple_of(alignment);
        let over = size + alignment - 1;
        let start = match self.shape.allocator {
            Allocator::Aligned => {
                self.call_allocator(process, instance, "aligned_alloc", &[alignment, size])?
            }
            Allocator::Malloc => self.call_allocator(process, instance, "malloc", &[over])?,
            Allocator::Bindgen => {
                self.call_allocator(process, instance, "__wbindgen_malloc", &[size, alignment])?
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
        instance: &mut PooledInstance,
        name: &str,
        arguments: &[u64],
    ) -> wasmtime::Result<u64> {
        process.check_running()?;
        // It may have to wait for its lock.
        process.lot().enter();
        let thread = Arc::clone(&instance.store.data().thread);
        let start = process.stoppable(&thread, || catch_panic(|| call(instance, name, arguments)));
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
         raise RuntimeConfig::memory_size, the module's maximum (--max-memory) or its \
         limit, or lower RuntimeConfig::stack_size"
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
fn call(instance: &mut PooledInstance, name: &str, arguments: &[u64]) -> wasmtime::Result<u64> {
    let missing = || wasmtime::Error::msg(format!("the module does not export `{name}`"));
    let function = instance
        .instance
        .get_func(&mut instance.store, name)
        .ok_or_else(missing)?;
    let ty = function.ty(&instance.store);
    let arguments: Vec<_> = ty
        .params()
        .zip(arguments)
        .map(|(ty, value)| number(&ty, *value))
        .collect();
    let mut results = vec![Val::I32(0); ty.results().len()];
    function.call(&mut instance.store, &arguments, &mut results)?;
    Ok(results.first().map_or(0, unsigned))
}

fn set_global(instance: &mut PooledInstance, name: &str, value: u64) -> wasmtime::Result<()> {
    match instance.instance.get_global(&mut instance.store, name) {
        Some(global) => {
            let ty = global.ty(&instance.store).content().clone();
            global.set(&mut instance.store, number(&ty, value))
        }
        None => Ok(()),
    }
}

fn get_global(instance: &mut PooledInstance, name: &str) -> Option<u64> {
    let global = instance.instance.get_global(&mut instance.store, name)?;
    Some(unsigned(&global.get(&mut instance.store)))
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
