//! A program that is ready to be explored: checked, instrumented, rewritten, compiled.
//!
//! Invariant: everything that its executions share is immutable; all that one changes is its own.

use std::sync::{Arc, Mutex};

use threadwork_engine::Symbols;
use threadwork_rewrite::{Class, Instrument, Options, Site, SyncImport};
use wasmtime::{
    Config, Engine, InstancePre, Linker, MemoryType, Module, SharedMemory, Store,
    UnknownImportError, ValType,
};

use crate::error::{Error, line};
use crate::execution::{Data, Inputs};
use crate::guest_memory::GuestMemory;
use crate::operation::Kind;
use crate::strategy::Strategy;
use crate::world::World;
use crate::{imports, races, wasi};

/// Native stack of a guest's thread: address space, of which what is used is touched.
const STACK: usize = 2 << 20;

/// What of it WebAssembly may use; the rest is the host's functions'.
const WASM_STACK: usize = 1 << 20;

/// A threaded program, compiled for exploring. Clones share it.
#[derive(Clone)]
pub struct Program(Arc<Inner>);

struct Inner {
    engine: Engine,
    module: Module,
    linker: Linker<Data>,
    memory: (String, String, MemoryType),
    has_enter: bool,
    symbols: Arc<Symbols>,
    hash: blake3::Hash,
    is_test: bool,
    /// If races are looked for.
    races: Option<threadwork_race::Sites>,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").finish_non_exhaustive()
    }
}

impl Program {
    /// Prepares a module, in the binary or the text format. Blocks while it compiles.
    ///
    /// # Errors
    ///
    /// If it is no module, has no shared memory, or imports what is not provided.
    pub fn new(code: &[u8]) -> Result<Self, Error> {
        Self::with(code, false)
    }

    /// As [`new`](Self::new), for a search that takes a data race, a use after free and a double
    /// free for failures, too. All are found by what the threads' operations say about their
    /// order, and not by what comes of it. Each schedule takes several times as long.
    ///
    /// ```
    /// use threadwork_check::{Explorer, FailureKind, Program};
    ///
    /// // The main thread reads what the other one writes, if it comes late enough to see the flag.
    /// let program = Program::with_races(br#"
    ///     (module
    ///       (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
    ///       (import "env" "memory" (memory 1 1 shared))
    ///       (func (export "wasi_thread_start") (param i32 i32)
    ///         (i32.atomic.store (i32.const 0) (i32.const 1))
    ///         (i32.store (i32.const 64) (i32.const 7)))
    ///       (func (export "_start")
    ///         (drop (call $spawn (i32.const 0)))
    ///         (if (i32.atomic.load (i32.const 0))
    ///           (then (drop (i32.load (i32.const 64)))))))
    /// "#)?;
    /// let report = Explorer::new(&program).schedules(100).run()?;
    /// let failure = report.failure.expect("nothing orders the two");
    /// assert!(matches!(failure.kind(), FailureKind::Race { .. }));
    /// println!("{failure}");
    /// # Ok::<(), threadwork_check::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_races(code: &[u8]) -> Result<Self, Error> {
        Self::with(code, true)
    }

    fn with(code: &[u8], races: bool) -> Result<Self, Error> {
        let compile = |error| Error::Compile {
            message: line(&error),
        };
        // What is no text at all is told of by those who read the binary format.
        let is_text = !code.starts_with(b"\0asm") && std::str::from_utf8(code).is_ok();
        let original = match !is_text {
            true => code.to_vec(),
            false => wat::parse_bytes(code)
                .map_err(|error| Error::Text {
                    message: error
                        .to_string()
                        .split_whitespace()
                        .collect::<Vec<_>>()
                        .join(" "),
                })?
                .into_owned(),
        };
        let watched = match races {
            true => threadwork_race::INSTRUMENT,
            false => Instrument::default(),
        };
        // The scheduling points are the same with and without races, so schedules are, too. A table
        // of what was told would be made for each thread of each schedule, most of which end soon.
        let choice = Instrument {
            atomics: true,
            runtime: true,
            yielding: true,
            once: false,
            ..watched
        };
        let instrumented = threadwork_rewrite::instrument(&original, &choice)?;
        let options = Options {
            stack_check: true,
            ..Options::default()
        };
        let rewritten = threadwork_rewrite::rewrite_with(&instrumented.wasm, options)?;
        let [memory] = &rewritten.memories[..] else {
            return Err(match rewritten.memories.is_empty() {
                true => Error::NotThreaded,
                false => Error::Unsupported {
                    what: "more than one shared memory",
                },
            });
        };
        if memory.memory64 {
            return Err(Error::Unsupported {
                what: "a memory with addresses of 64 bits",
            });
        }
        let clamp = |pages: u64| u32::try_from(pages).unwrap_or(u32::MAX);
        let memory_type = MemoryType::shared(
            clamp(memory.minimum),
            clamp(memory.maximum.unwrap_or(memory.minimum)),
        );
        let engine = Engine::new(&config()).map_err(compile)?;
        let module = Module::new(&engine, &rewritten.wasm).map_err(compile)?;
        check_exports(&module)?;
        let functions = names(&original);
        let points = points(&instrumented.sites, &functions);
        let symbols = Symbols::of(rewritten.offsets.through(&instrumented.offsets), &original);
        let linker = linker(&engine, &module, &rewritten.sync, points, &symbols)?;
        let memory_name = (memory.module.clone(), memory.name.clone(), memory_type);
        let program = Self(Arc::new(Inner {
            memory: memory_name,
            has_enter: rewritten.has_enter,
            hash: blake3::hash(&original),
            is_test: functions
                .iter()
                .any(|(_, name)| name.contains("test_main_static")),
            symbols,
            races: races.then(|| threadwork_race::Sites::new(instrumented.sites)),
            engine,
            module,
            linker,
        }));
        program.check_imports()?;
        Ok(program)
    }

    /// Refuses a module that wants what nobody provides.
    fn check_imports(&self) -> Result<(), Error> {
        let world = self.world(Strategy::guided(&[]), 0, &Inputs::default(), false)?;
        match self.link(&Arc::new(Mutex::new(world))) {
            Ok(_) => Ok(()),
            Err(error) => Err(match error.downcast_ref::<UnknownImportError>() {
                Some(unknown) => Error::MissingImport {
                    name: format!("{}.{}", unknown.module(), unknown.name()),
                },
                None => Error::Compile {
                    message: line(&error),
                },
            }),
        }
    }

    /// A world for one execution.
    pub(crate) fn world(
        &self,
        strategy: Strategy,
        seed: u64,
        inputs: &Inputs,
        trace: bool,
    ) -> Result<World, Error> {
        let memory = SharedMemory::new(&self.0.engine, self.0.memory.2.clone());
        let memory = memory.map_err(|error| Error::Start {
            message: line(&error),
        })?;
        let memory = GuestMemory::new(memory);
        Ok(World::new(memory, strategy, seed, inputs, trace))
    }

    /// Whether this is what Rust's `cargo test` builds: a program that knows its tests and runs
    /// those that its arguments name. Found by the names of functions, so false without them.
    #[must_use]
    pub fn is_rust_test(&self) -> bool {
        self.0.is_test
    }

    /// The sites at which races are looked for, if they are.
    pub(crate) fn races(&self) -> Option<&threadwork_race::Sites> {
        self.0.races.as_ref()
    }

    /// A hash of the module as it was given.
    pub(crate) fn hash(&self) -> blake3::Hash {
        self.0.hash
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(crate) fn has_enter(&self) -> bool {
        self.0.has_enter
    }

    pub(crate) fn symbols(&self) -> &Arc<Symbols> {
        &self.0.symbols
    }

    /// What makes instances that share the memory of `world`.
    pub(crate) fn link(&self, world: &Arc<Mutex<World>>) -> wasmtime::Result<InstancePre<Data>> {
        let (module, name, _) = &self.0.memory;
        let mut linker = self.0.linker.clone();
        let data = Data {
            world: Arc::clone(world),
            inputs: Arc::default(),
            tid: 0,
            until: None,
            races: None,
        };
        let memory = data.world().memory.shared().clone();
        // A linker wants a store for what belongs to one, which a shared memory does not.
        linker.define(&Store::new(&self.0.engine, data), module, name, memory)?;
        linker.instantiate_pre(&self.0.module)
    }
}

fn config() -> Config {
    let mut config = threadwork_engine::language();
    config
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(STACK)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true);
    config
}

fn check_exports(module: &Module) -> Result<(), Error> {
    let parameters = |name| match module.get_export(name) {
        Some(wasmtime::ExternType::Func(ty)) => Some((
            ty.params().all(|ty| matches!(ty, ValType::I32)) && ty.results().len() == 0,
            ty.params().len(),
        )),
        _ => None,
    };
    let is_function = |name| parameters(name).is_some();
    if !is_function("_start") {
        return Err(Error::NoEntry {
            name: "_start",
            remedy: "explore a program, or write a main function around the library",
        });
    }
    let spawns = module.imports().any(|import| import.module() == "wasi");
    if spawns && !is_function("wasi_thread_start") {
        return Err(Error::NoEntry {
            name: "wasi_thread_start",
            remedy: "link it for wasm32-wasip1-threads",
        });
    }
    for (name, count, wanted) in [
        ("_start", 0, "no parameters and no results"),
        (
            "wasi_thread_start",
            2,
            "two parameters of type i32 and no results",
        ),
    ] {
        if parameters(name).is_some_and(|is| is != (true, count)) {
            return Err(Error::EntryType { name, wanted });
        }
    }
    Ok(())
}

/// Names of functions, by their index.
fn names(wasm: &[u8]) -> Vec<(u32, String)> {
    let mut names = Vec::new();
    let payloads = wasmparser::Parser::new(0).parse_all(wasm);
    for payload in payloads.map_while(Result::ok) {
        let wasmparser::Payload::CustomSection(section) = payload else {
            continue;
        };
        let wasmparser::KnownCustom::Name(section) = section.as_known() else {
            continue;
        };
        for subsection in section.into_iter().map_while(Result::ok) {
            if let wasmparser::Name::Function(map) = subsection {
                let named = map.into_iter().map_while(Result::ok);
                names.extend(named.map(|naming| (naming.index, naming.name.to_owned())));
            }
        }
    }
    names
}

/// Functions of libc whose operations a program means when it calls them. What else libc does
/// between two of a program's steps nobody has to try in another order.
const SYNCHRONIZE: [&str; 6] = [
    "pthread_mutex_",
    "pthread_rwlock_",
    "pthread_cond_",
    "pthread_spin_",
    "pthread_once",
    "sem_",
];

/// What each site is: `None` if it is no scheduling point.
fn points(sites: &[Site], names: &[(u32, String)]) -> Vec<Option<(Kind, u8)>> {
    let synchronizes = |function: u32| {
        names.iter().any(|(index, name)| {
            let name = name.trim_start_matches('_');
            *index == function && SYNCHRONIZE.iter().any(|prefix| name.starts_with(prefix))
        })
    };
    let point = |site: &Site| {
        let is_scheduled = match site.class {
            Class::Ordinary => true,
            Class::Runtime => synchronizes(site.function),
            _ => false,
        };
        Some((Kind::of(site.kind)?, site.width)).filter(|_| is_scheduled)
    };
    sites.iter().map(point).collect()
}

fn linker(
    engine: &Engine,
    module: &Module,
    sync: &[SyncImport],
    points: Vec<Option<(Kind, u8)>>,
    symbols: &Arc<Symbols>,
) -> Result<Linker<Data>, Error> {
    let mut linker = Linker::new(engine);
    let added = imports::add(&mut linker, sync, points, symbols)
        .and_then(|()| races::add(&mut linker, symbols))
        .and_then(|()| wasi::add(&mut linker))
        .and_then(|()| wasi::refuse_the_rest(&mut linker, module));
    added.map_err(|error| Error::Compile {
        message: line(&error),
    })?;
    Ok(linker)
}
