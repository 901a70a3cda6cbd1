//! [`Code`]: a module, checked, rewritten and compiled, as its processes see it.

use crate::backtrace::{Backtrace, Symbols};
use crate::machine::CodeMap;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use threadwork_rewrite::SharedMemoryImport;
use wasmtime::WasmBacktrace;

/// See the module's documentation.
pub(crate) struct Code {
    /// What Wasmtime made of the rewritten module.
    pub(crate) wasmtime: wasmtime::Module,
    /// The shared memories that it imports.
    pub(crate) memories: Vec<SharedMemoryImport>,
    /// Which of them WASI works on; `None` if that is a memory of each instance, or none.
    pub(crate) shared_wasi_memory: Option<usize>,
    /// Whether it can make the first of them larger.
    pub(crate) grows_memory: bool,
    /// How many memories each instance has for itself.
    pub(crate) own_memories: u32,
    /// What these and its tables have when it is made.
    pub(crate) own: OwnSize,
    /// Whether an instance can be set back and used again.
    pub(crate) is_reusable: bool,
    /// Whether it looks at a poll page.
    pub(crate) has_poll: bool,
    /// Native stack that its threads have.
    pub(crate) max_wasm_stack: usize,
    /// Where its functions lie.
    pub(crate) map: Arc<CodeMap>,
    /// The function that a thread calls when its stack in linear memory is used up; `None`
    /// if that is not looked at.
    pub(crate) stack_overflow: Option<u32>,
    /// Whether it starts threads.
    pub(crate) spawns: bool,
    pub(crate) thread_data: ThreadData,
    pub(crate) symbols: Arc<Symbols>,
}

/// What each instance of a module has for itself, when it is made.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct OwnSize {
    /// Pages of its memories that are not shared, all together.
    pub(crate) pages: u64,
    /// Elements of its tables, all together.
    pub(crate) elements: u64,
    /// Bytes of the host for its globals, functions and passive segments of elements, beyond
    /// what each may have.
    pub(crate) rest: u64,
}

/// What a module has for each thread, by the names that its linker has left in it,
/// whether it exports that or not. Who makes an instance for a thread needs exports to set
/// it up.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ThreadData {
    /// The module has a stack in linear memory.
    pub(crate) stack: bool,
    /// It has thread-local data.
    pub(crate) tls: bool,
}

impl Code {
    /// Whether the trap with this backtrace is that a stack in linear memory is used up.
    pub(crate) fn is_stack_overflow(&self, trace: &WasmBacktrace) -> bool {
        let top = trace.frames().first().map(|frame| frame.func_index());
        top.is_some() && top == self.stack_overflow
    }

    /// In the terms of the user's own file.
    pub(crate) fn backtrace(&self, trace: &WasmBacktrace) -> Backtrace {
        Backtrace::new(trace, Arc::clone(&self.symbols))
    }
}
