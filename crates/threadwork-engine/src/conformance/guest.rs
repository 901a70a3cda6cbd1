//! Modules made ready, rewritten or not, and instances of them on threads.

use super::host::{Host, Thread};
use crate::engine::Engine;
use crate::process::ThreadContext;
use std::fmt;
use std::io::Write;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;
use std::time::Duration;
use threadwork_rewrite::{ENTER, HOST_MODULE, Rewritten, rewrite};
use wasmtime::{
    Extern, ExternType, Func, Global, Instance, Linker, Memory, Module, Ref, RefType, SharedMemory,
    Store, Table, Trap, Val, WasmBacktrace,
};

/// One for all tests; it has the settings that users get.
pub(super) static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new().unwrap());

/// For what should not take long at all: past it, a test fails.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// Fails the whole run if it is not dropped in time: threads of a guest that are not
/// woken can be neither joined nor ended.
pub(super) struct Alarm {
    _off: Sender<()>,
}

impl Alarm {
    pub(super) fn new(name: impl Into<String>, time: Duration) -> Self {
        let (off, is_off) = channel();
        let name = name.into();
        thread::spawn(move || {
            if is_off.recv_timeout(time) == Err(RecvTimeoutError::Timeout) {
                // Not `eprintln!`, which the test harness would keep for itself.
                let _ = writeln!(
                    std::io::stderr(),
                    "{name} has not ended after {time:?}: some thread was not woken"
                );
                std::process::exit(101);
            }
        });
        Self { _off: off }
    }
}

/// A module and the shared memories of its process.
pub(super) struct Program {
    pub(super) host: Host,
    module: Module,
    /// `None` if the module runs as it is, with Wasmtime's own waits and notifies.
    pub(super) rewritten: Option<Rewritten>,
    /// Those that the module imports, with their indices.
    memories: Vec<(u32, SharedMemory)>,
}

/// An instance on a thread of its own.
pub(super) struct Guest {
    pub(super) thread: Thread,
    pub(super) instance: Instance,
    pub(super) calls: CallLog,
}

/// The imported functions that were called, with their arguments.
pub(super) type CallLog = Arc<Mutex<Vec<(usize, Vec<Value>)>>>;

/// How a call, or an instantiation, ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    Returned(Vec<Value>),
    /// And where: the offsets of its frames in the module, innermost first.
    Trapped(Trap, Vec<usize>),
    Failed(String),
}

/// A [`Val`] that can be compared: by its bits.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Value {
    I32(i32),
    I64(i64),
    F32(u32),
    F64(u64),
    V128(u128),
    /// Whether it is null.
    Ref(bool),
}

impl Program {
    /// The module, rewritten, on the engine's host functions.
    pub(super) fn rewritten(wat: impl AsRef<[u8]>) -> Self {
        let new = rewrite(&wat::parse_bytes(wat.as_ref()).unwrap()).unwrap();
        Self::new(&new.wasm.clone(), Some(new))
    }

    /// The module as it is, on Wasmtime's own waits and notifies.
    pub(super) fn original(wat: impl AsRef<[u8]>) -> Self {
        Self::new(&wat::parse_bytes(wat.as_ref()).unwrap(), None)
    }

    fn new(wasm: &[u8], rewritten: Option<Rewritten>) -> Self {
        let engine = ENGINE.machine().wasmtime();
        let module = Module::new(engine, wasm).unwrap();
        let types = module
            .imports()
            .filter_map(|import| import.ty().memory().cloned());
        let memories = (0..).zip(types).filter(|(_, ty)| ty.is_shared());
        let memories = memories
            .map(|(index, ty)| (index, SharedMemory::new(engine, ty).unwrap()))
            .collect();
        Self {
            host: Host::new(&ENGINE).unwrap(),
            module,
            rewritten,
            memories,
        }
    }

    /// The first instance: it writes the module's data into shared memory.
    pub(super) fn first(&self) -> Guest {
        let (guest, outcome) = self.instantiate(true);
        assert_eq!(outcome, Outcome::Returned(Vec::new()));
        guest.unwrap()
    }

    /// The instance of another thread.
    pub(super) fn next(&self) -> Guest {
        let (guest, outcome) = self.instantiate(false);
        assert_eq!(outcome, Outcome::Returned(Vec::new()));
        guest.unwrap()
    }

    /// An instance, if there is one, and how its instantiation ended. Imports other
    /// than ours are dummies.
    pub(super) fn instantiate(&self, first: bool) -> (Option<Guest>, Outcome) {
        let mut thread = self.host.thread();
        let calls = CallLog::default();
        let imports = self.imports(thread.store(), &calls);
        let instance = thread.run(|store| Instance::new(store, &self.module, &imports));
        let instance = match instance {
            Ok(instance) => instance,
            Err(error) => return (None, self.outcome_of(&error)),
        };
        let mut guest = Guest {
            thread,
            instance,
            calls,
        };
        let outcome = match &self.rewritten {
            Some(new) if new.has_enter => {
                self.call(&mut guest, ENTER, &[Val::I32(i32::from(first))])
            }
            _ => Outcome::Returned(Vec::new()),
        };
        (Some(guest), outcome)
    }

    /// Calls an export.
    pub(super) fn call(&self, guest: &mut Guest, export: &str, args: &[Val]) -> Outcome {
        match guest.call(export, args) {
            Ok(values) => Outcome::Returned(values),
            Err(error) => self.outcome_of(&error),
        }
    }

    fn outcome_of(&self, error: &wasmtime::Error) -> Outcome {
        let Some(trap) = error.downcast_ref() else {
            return Outcome::Failed(format!("{error:#}"));
        };
        let frames = error
            .downcast_ref::<WasmBacktrace>()
            .map(|trace| trace.frames());
        let offsets = frames
            .unwrap_or_default()
            .iter()
            .filter_map(|frame| frame.module_offset());
        // Offsets in the module as it was; code that the rewriter added has none.
        let original = |offset| match &self.rewritten {
            Some(new) => new.offsets.original(offset),
            None => Some(offset),
        };
        Outcome::Trapped(*trap, offsets.filter_map(original).collect())
    }

    /// What to give an instance, in the order of the module's imports.
    fn imports(&self, store: &mut Store<ThreadContext>, calls: &CallLog) -> Vec<Extern> {
        let mut ours = Linker::new(store.engine());
        if let Some(new) = &self.rewritten {
            self.host
                .define(&mut ours, &new.sync, &self.memories)
                .unwrap();
        }
        let mut shared = self.memories.iter().map(|(_, memory)| memory.clone());
        let mut functions = 0..;
        let provide = |import: wasmtime::ImportType<'_>| match import.ty() {
            ExternType::Memory(ty) if ty.is_shared() => shared.next().unwrap().into(),
            ExternType::Func(_) if import.module() == HOST_MODULE => ours
                .get(&mut *store, import.module(), import.name())
                .unwrap(),
            ExternType::Func(ty) => {
                let number = functions.next().unwrap();
                let calls = Arc::clone(calls);
                let defaults: Vec<_> = ty.results().map(|ty| default(&ty)).collect();
                let function =
                    move |_: wasmtime::Caller<'_, _>, args: &[Val], results: &mut [Val]| {
                        calls
                            .lock()
                            .unwrap()
                            .push((number, args.iter().map(Value::from).collect()));
                        results.clone_from_slice(&defaults);
                        Ok(())
                    };
                Func::new(&mut *store, ty, function).into()
            }
            ExternType::Global(ty) => {
                let value = default(ty.content());
                Global::new(&mut *store, ty, value).unwrap().into()
            }
            ExternType::Table(ty) => {
                let null = Ref::null(ty.element().heap_type());
                Table::new(&mut *store, ty, null).unwrap().into()
            }
            ExternType::Memory(ty) => Memory::new(&mut *store, ty).unwrap().into(),
            ExternType::Tag(_) => unreachable!("exceptions are not enabled"),
        };
        self.module.imports().map(provide).collect()
    }
}

impl Guest {
    /// Calls an export.
    pub(super) fn call(&mut self, export: &str, args: &[Val]) -> wasmtime::Result<Vec<Value>> {
        let function = self.instance.get_func(self.thread.store(), export).unwrap();
        let ty = function.ty(self.thread.store());
        let mut results: Vec<_> = ty.results().map(|ty| default(&ty)).collect();
        self.thread
            .run(|store| function.call(store, args, &mut results))?;
        Ok(results.iter().map(Value::from).collect())
    }

    /// Calls an export that returns one `i32`.
    pub(super) fn i32(&mut self, export: &str, args: &[Val]) -> i32 {
        match self.call(export, args).unwrap()[..] {
            [Value::I32(value)] => value,
            ref values => panic!("`{export}` returned {values:?}"),
        }
    }
}

fn default(ty: &wasmtime::ValType) -> Val {
    Val::default_for_ty(ty).unwrap_or_else(|| Val::null_ref(RefType::FUNCREF.heap_type()))
}

impl From<&Val> for Value {
    fn from(value: &Val) -> Self {
        match *value {
            Val::I32(value) => Self::I32(value),
            Val::I64(value) => Self::I64(value),
            Val::F32(bits) => Self::F32(bits),
            Val::F64(bits) => Self::F64(bits),
            Val::V128(value) => Self::V128(value.as_u128()),
            ref other => Self::Ref(other.ref_().is_none_or(|r| r.is_null())),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::I32(value) => write!(f, "{value}i32"),
            Self::I64(value) => write!(f, "{value}i64"),
            Self::F32(bits) => write!(f, "{bits:#x}f32"),
            Self::F64(bits) => write!(f, "{bits:#x}f64"),
            Self::V128(bits) => write!(f, "{bits:#x}v128"),
            Self::Ref(is_null) => write!(f, "{}", if *is_null { "null" } else { "ref" }),
        }
    }
}
