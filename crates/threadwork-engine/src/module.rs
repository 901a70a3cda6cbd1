//! [`Module`]: a program, checked, rewritten and compiled.

use crate::backtrace::{Symbols, Told, demangle};
use crate::cache::{self, Entry};
use crate::code::{Code, OwnSize, ThreadData};
use crate::compile_limits::elements_in;
use crate::engine::{Engine, Stopping};
use crate::error::{Error, one_line};
use crate::events;
use crate::machine::CodeMap;
use crate::precompiled;
use crate::process::{ThreadContext, define_sync_imports};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use threadwork_rewrite::{
    Instrument, MAX_MODULE_SIZE, OffsetMap, Options, Rewritten, SharedMemoryImport, Site,
    SyncImport, SyncOp, instrument, rewrite_with,
};
use wasmtime::{ExternType, Linker, ValType};

/// A WebAssembly program that processes can be made from. Cheap to clone.
///
/// Any module that speaks WASI preview 1 with or without wasi-threads will do, as
/// will one that imports nothing. See [`ProcessBuilder`](crate::ProcessBuilder).
#[derive(Clone)]
pub struct Module(Arc<Inner>);

/// What a module that was [instrumented](Module::instrumented) tells its hooks by number.
#[derive(Clone, Debug)]
pub struct Sites {
    /// The places, by their numbers.
    pub list: Vec<Site>,
    /// Whether the module has names of functions, by which they are classified.
    pub has_names: bool,
}

struct Inner {
    engine: Engine,
    code: Arc<Code>,
    /// The engine's host functions and those that the rewriter made the module
    /// import; without its memories, which are made for each process.
    linker: Linker<ThreadContext>,
}

/// What the cache, and a precompiled module, keeps beside the compiled code.
#[derive(Serialize, Deserialize)]
struct Cached {
    memories: Vec<CachedMemory>,
    wasi_memory: Option<u32>,
    sync: Vec<CachedSync>,
    has_reset: bool,
    has_poll: bool,
    stop_function: Option<u32>,
    stack_overflow: Option<u32>,
    offsets: Vec<u8>,
    own: OwnSize,
    thread_data: ThreadData,
    told: Told,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "SharedMemoryImport")]
struct MemoryForm {
    index: u32,
    module: String,
    name: String,
    minimum: u64,
    maximum: Option<u64>,
    memory64: bool,
}

#[derive(Serialize, Deserialize)]
struct CachedMemory(#[serde(with = "MemoryForm")] SharedMemoryImport);

#[derive(Serialize, Deserialize)]
struct CachedSync {
    op: u8,
    memory: u32,
    memory64: bool,
    name: String,
}

/// The operations in the order of their numbers in the cache.
const OPS: [SyncOp; 4] = [SyncOp::Wait32, SyncOp::Wait64, SyncOp::Notify, SyncOp::Grow];

impl Module {
    /// Checks, rewrites and compiles a module in the binary or the text format.
    /// Compiles on all cores, or not at all if the engine's cache has it.
    ///
    /// # Errors
    ///
    /// If the bytes are not a module that can run here; the message says why, and
    /// what to do.
    pub fn new(engine: &Engine, bytes: &[u8]) -> Result<Self, Error> {
        Self::load(engine, binary(Cow::Borrowed(bytes))?)
    }

    /// A module in the binary format.
    fn load(engine: &Engine, wasm: Cow<'_, [u8]>) -> Result<Self, Error> {
        let begun = Instant::now();
        let loaded = |from_cache| {
            let time = begun.elapsed();
            engine.machine().processes().compiled(time, from_cache);
            events::compiled(wasm.len(), time, from_cache);
        };
        let Some(dir) = engine.cache() else {
            let (code, program) = build(engine, &wasm)?;
            loaded(false);
            return Self::assemble(engine, wasm, code, program);
        };
        let entry = cache::entry(dir, &wasm, engine);
        if let Some((code, program)) = Entry::load(&entry).and_then(|e| thaw_entry(engine, &e)) {
            loaded(true);
            return Self::assemble(engine, wasm, code, program);
        }
        let (code, program) = build(engine, &wasm)?;
        loaded(false);
        if let Some((code, rest)) = freeze(&code, &program) {
            cache::store(entry, code, rest);
        }
        Self::assemble(engine, wasm, code, program)
    }

    /// Like [`new`](Self::new), with the contents of a file.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new), and if the file cannot be read.
    pub fn from_file(engine: &Engine, path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let read = || {
            let file = File::open(path)?;
            // A device may have no end. What is longer than this is refused.
            let most = MAX_MODULE_SIZE as u64 + 1;
            let length = file.metadata()?.len().min(most);
            let mut bytes = Vec::new();
            bytes.try_reserve_exact(usize::try_from(length).unwrap_or(0) + 1)?;
            file.take(most).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::load(engine, binary(Cow::Owned(bytes))?)
    }

    /// Like [`new`](Self::new), for a tool: the module calls the tool's functions, *hooks*, at
    /// the places that `choice` names. [`ProcessBuilder::linker`](crate::ProcessBuilder::linker)
    /// defines them, and backtraces are those of `bytes`, with their source lines.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    /// use threadwork_engine::{CHECK_MODULE, Caller, Engine, Instrument, Module};
    /// use threadwork_engine::{ProcessBuilder, ThreadContext};
    ///
    /// # fn main() -> Result<(), threadwork_engine::Error> {
    /// let engine = Engine::new()?;
    /// let choice = Instrument { accesses: true, ..Instrument::default() };
    /// let (module, sites) = Module::instrumented(&engine, br#"
    ///     (module
    ///       (memory (export "memory") 1 1 shared)
    ///       (func (export "_start") (i32.store (i32.const 64) (i32.const 1))))
    /// "#, &choice)?;
    /// assert_eq!(sites.list.len(), 1);
    ///
    /// let stores = Arc::new(AtomicU32::new(0));
    /// let counter = Arc::clone(&stores);
    /// let process = ProcessBuilder::new(&module).linker(move |linker| {
    ///     linker.func_wrap(CHECK_MODULE, "access",
    ///         move |_: Caller<'_, ThreadContext>, _site: i32, address: i64, _context: i32| {
    ///             assert_eq!(address, 64);
    ///             counter.fetch_add(1, Ordering::Relaxed);
    ///         })?;
    ///     linker.func_wrap(CHECK_MODULE, "range", |_: i32, _: i64, _: i64, _: i32| {})?;
    ///     Ok(())
    /// });
    /// assert!(process.run()?.success());
    /// assert_eq!(stores.load(Ordering::Relaxed), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn instrumented(
        engine: &Engine,
        bytes: &[u8],
        choice: &Instrument,
    ) -> Result<(Self, Sites), Error> {
        let wasm = binary(Cow::Borrowed(bytes))?;
        let begun = Instant::now();
        engine.compile_limits().check(&wasm)?;
        let first = instrument(&wasm, choice)?;
        let mut rewritten = prepare(engine, &first.wasm)?;
        rewritten.offsets = rewritten.offsets.through(&first.offsets);
        let code = compile(engine, &rewritten)?;
        let time = begun.elapsed();
        engine.machine().processes().compiled(time, false);
        events::compiled(wasm.len(), time, false);
        let program = Program::new(rewritten, &wasm);
        let sites = Sites {
            list: first.sites,
            has_names: first.has_names,
        };
        Ok((Self::assemble(engine, wasm, code, program)?, sites))
    }

    /// A module in the binary or the text format as other hosts of Threadwork run it, such
    /// as a web page: checked and rewritten, so that its waits can be seen and a stack in
    /// linear memory that is used up traps, not compiled.
    ///
    /// # Errors
    ///
    /// If the bytes are not a WebAssembly module, with what they are instead.
    ///
    /// ```
    /// use threadwork_engine::Module;
    ///
    /// let wasm = Module::rewrite(b"(module)")?;
    /// assert!(wasm.starts_with(b"\0asm"));
    /// assert!(Module::rewrite(b"Dear diary,").is_err());
    /// # Ok::<(), threadwork_engine::Error>(())
    /// ```
    pub fn rewrite(bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let options = Options {
            stack_check: true,
            ..Options::default()
        };
        Ok(rewrite_with(&binary(Cow::Borrowed(bytes))?, options)?.wasm)
    }

    /// Machine code of a module in the binary or the text format, to be shipped: for
    /// [`deserialize`](Self::deserialize), which needs no compiler. It holds the module, too,
    /// for backtraces.
    ///
    /// It is for engines of this very version with the same settings, on a processor that has
    /// what this one has.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), but for what only shows when the module is linked.
    ///
    /// ```
    /// use threadwork_engine::{Engine, Module, ProcessBuilder};
    ///
    /// # fn main() -> Result<(), threadwork_engine::Error> {
    /// let engine = Engine::new()?;
    /// let code = Module::precompile(&engine, br#"(module (func (export "_start")))"#)?;
    /// // SAFETY: it has not been anywhere.
    /// let module = unsafe { Module::deserialize(&engine, &code)? };
    /// assert!(ProcessBuilder::new(&module).run()?.success());
    /// # Ok(())
    /// # }
    /// ```
    pub fn precompile(engine: &Engine, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let wasm = binary(Cow::Borrowed(bytes))?;
        let (code, program) = build(engine, &wasm)?;
        let frozen = freeze(&code, &program);
        let (code, rest) = frozen.ok_or_else(|| Error::Compile {
            message: "its machine code cannot be written".to_owned(),
        })?;
        Ok(precompiled::pack(engine, &wasm, &code, &rest))
    }

    /// The module of what [`precompile`](Self::precompile) has returned.
    ///
    /// # Errors
    ///
    /// [`Error::NotPrecompiled`] if it is something else, or was changed by accident;
    /// [`Error::PrecompiledElsewhere`] if it is for another engine. Otherwise as
    /// [`new`](Self::new).
    ///
    /// # Safety
    ///
    /// Machine code is run as it is: nothing checks what it does, and a guest may then do
    /// whatever the host program may. The bytes must come from `precompile`, by a way on
    /// which nobody could change them whom you would not let write your own program.
    pub unsafe fn deserialize(engine: &Engine, bytes: &[u8]) -> Result<Self, Error> {
        let parts = precompiled::unpack(engine, bytes)?;
        let program = thaw(parts.rest);
        // SAFETY: our caller promises that they are of `precompile`.
        let code =
            unsafe { wasmtime::Module::deserialize(engine.machine().wasmtime(), parts.code) };
        // The same settings, but for the processor.
        let (Some(program), Ok(code)) = (program, code) else {
            return Err(Error::PrecompiledElsewhere);
        };
        Self::assemble(engine, Cow::Borrowed(parts.wasm), code, program)
    }

    /// Whether these bytes begin as what [`precompile`](Self::precompile) returns.
    ///
    /// ```
    /// use threadwork_engine::{Engine, Module};
    ///
    /// # fn main() -> Result<(), threadwork_engine::Error> {
    /// let code = Module::precompile(&Engine::new()?, b"(module)")?;
    /// assert!(Module::is_precompiled(&code) && !Module::is_precompiled(b"(module)"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_precompiled(bytes: &[u8]) -> bool {
        bytes.starts_with(precompiled::MAGIC)
    }

    fn assemble(
        engine: &Engine,
        original: Cow<'_, [u8]>,
        wasmtime: wasmtime::Module,
        program: Program,
    ) -> Result<Self, Error> {
        let spawns = wasmtime
            .imports()
            .any(|import| (import.module(), import.name()) == ("wasi", "thread-spawn"));
        if spawns {
            check_thread_start(&wasmtime, &program)?;
        }
        let map = CodeMap::new(&wasmtime, program.stop_function);
        let map = map.ok_or_else(|| Error::Compile {
            message: "the compiler made no trap where the rewriter asked for one".to_owned(),
        })?;
        tell_perf(engine, &wasmtime)?;
        let mut linker = engine.linker().clone();
        define_sync_imports(&mut linker, &program.memories, &program.sync).map_err(|error| {
            Error::Linker {
                message: one_line(&error),
            }
        })?;
        Ok(Self(Arc::new(Inner {
            engine: engine.clone(),
            code: Arc::new(Code {
                own: program.own,
                own_memories: wasmtime.resources_required().num_memories,
                wasmtime,
                max_wasm_stack: engine.max_wasm_stack(),
                grows_memory: program.grows_memory(),
                shared_wasi_memory: program.shared_wasi_memory(),
                memories: program.memories,
                is_reusable: program.has_reset,
                has_poll: program.has_poll,
                map: Arc::new(map),
                stack_overflow: program.stack_overflow,
                spawns,
                thread_data: program.thread_data,
                symbols: Arc::new(Symbols::new(program.offsets, program.told, original)),
            }),
            linker,
        })))
    }

    /// The engine that it was made for.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// Whether it is a command, which exports `_start`; else it is a reactor.
    #[must_use]
    pub fn is_command(&self) -> bool {
        self.0.code.wasmtime.get_export("_start").is_some()
    }

    /// Whether it starts threads.
    #[must_use]
    pub fn spawns(&self) -> bool {
        self.0.code.spawns
    }

    /// What processes see of it.
    pub(crate) fn code(&self) -> &Arc<Code> {
        &self.0.code
    }

    pub(crate) fn linker(&self) -> &Linker<ThreadContext> {
        &self.0.linker
    }
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module")
            .field("spawns", &self.0.code.spawns)
            .finish_non_exhaustive()
    }
}

/// What is known of a module, beside its code.
struct Program {
    memories: Vec<SharedMemoryImport>,
    wasi_memory: Option<u32>,
    sync: Vec<SyncImport>,
    has_reset: bool,
    has_poll: bool,
    stop_function: Option<u32>,
    stack_overflow: Option<u32>,
    offsets: OffsetMap,
    own: OwnSize,
    thread_data: ThreadData,
    told: Told,
}

impl Program {
    /// What the rewriter, and the `original` itself, say of a module.
    fn new(rewritten: Rewritten, original: &[u8]) -> Self {
        Self {
            memories: rewritten.memories,
            wasi_memory: rewritten.wasi_memory,
            sync: rewritten.sync,
            has_reset: rewritten.has_reset,
            has_poll: rewritten.has_poll,
            stop_function: rewritten.stop_function,
            stack_overflow: rewritten.stack_overflow,
            offsets: rewritten.offsets,
            own: own_size(original),
            thread_data: thread_data(original),
            told: Told::of(original),
        }
    }

    /// Whether it can make the first of the shared memories larger.
    fn grows_memory(&self) -> bool {
        let first = self.memories.first().map(|memory| memory.index);
        let mut grow = self.sync.iter().filter(|import| import.op == SyncOp::Grow);
        grow.any(|import| Some(import.memory) == first)
    }

    /// Which of the shared memories WASI works on, if it is one of them.
    fn shared_wasi_memory(&self) -> Option<usize> {
        let is_it = |memory: &SharedMemoryImport| Some(memory.index) == self.wasi_memory;
        self.memories.iter().position(is_it)
    }
}

/// The binary format of `bytes`, which may be text.
fn binary(bytes: Cow<'_, [u8]>) -> Result<Cow<'_, [u8]>, Error> {
    let text = bytes.trim_ascii_start();
    if !text.starts_with(b"(") && !text.starts_with(b";;") {
        return Ok(bytes);
    }
    let parsed = wat::parse_bytes(&bytes).map(Cow::into_owned);
    parsed.map(Cow::Owned).map_err(|error| Error::Text {
        message: text_message(&error.to_string(), &bytes),
    })
}

/// What and where, in one line, of a message that draws a picture of `text`.
fn text_message(picture: &str, text: &[u8]) -> String {
    const PLACE: &str = "<anon>:";
    let what = picture.lines().next().unwrap_or_default();
    let place = picture
        .split_whitespace()
        .find_map(|word| word.strip_prefix(PLACE));
    match place {
        Some(place) => format!("{what} at {place}: `{}`", word_at(place, text)),
        None => what.to_owned(),
    }
}

/// The word at `line:column`, both from 1; empty if there is none.
fn word_at(place: &str, text: &[u8]) -> String {
    let word = || {
        let (line, column) = place.split_once(':')?;
        let (line, column) = (line.parse::<usize>().ok()?, column.parse::<usize>().ok()?);
        let line = text
            .split(|byte| *byte == b'\n')
            .nth(line.checked_sub(1)?)?;
        let rest = String::from_utf8_lossy(line.get(column.checked_sub(1)?..)?).into_owned();
        let end = |c: char| c.is_whitespace() || "()".contains(c);
        rest.split(end).next().map(str::to_owned)
    };
    word().unwrap_or_default()
}

/// Checks, rewrites and compiles.
fn build(engine: &Engine, wasm: &[u8]) -> Result<(wasmtime::Module, Program), Error> {
    let rewritten = prepare(engine, wasm)?;
    let code = compile(engine, &rewritten)?;
    Ok((code, Program::new(rewritten, wasm)))
}

fn prepare(engine: &Engine, wasm: &[u8]) -> Result<Rewritten, Error> {
    engine.compile_limits().check(wasm)?;
    let stopping = match engine.stopping() {
        Stopping::Signal => threadwork_rewrite::Stopping::BySignal,
        Stopping::Poll => threadwork_rewrite::Stopping::ByPoll,
        Stopping::Never => threadwork_rewrite::Stopping::None,
    };
    let options = Options {
        stopping,
        stack_check: engine.checks_stacks(),
        locked_barriers: cfg!(target_arch = "x86_64"),
    };
    Ok(rewrite_with(wasm, options)?)
}

fn compile(engine: &Engine, rewritten: &Rewritten) -> Result<wasmtime::Module, Error> {
    check_globals(&rewritten.wasm)?;
    let machine = engine.machine();
    let compiled = match engine.compiler_process() {
        None => machine
            .compiler()
            .compile(machine.wasmtime(), &rewritten.wasm),
        Some(process) => {
            let code = process.compile(engine.max_wasm_stack(), &rewritten.wasm)?;
            // SAFETY: it is the answer of the embedder's own program, on a socket that nobody
            // else has; `CompilerProcess` asks for one that is trusted.
            unsafe { wasmtime::Module::deserialize(machine.wasmtime(), code) }
        }
    };
    compiled.map_err(|error| Error::Compile {
        message: one_line(&error),
    })
}

/// Cranelift tells apart what it loads from at most 65,535 places, and panics beyond. Each
/// global is one.
fn check_globals(wasm: &[u8]) -> Result<(), Error> {
    const MOST: u32 = 60_000;
    let mut sections = wasmparser::Parser::new(0).parse_all(wasm);
    let globals = sections.find_map(|section| match section {
        Ok(wasmparser::Payload::GlobalSection(globals)) => Some(globals.count()),
        _ => None,
    });
    match globals {
        Some(count) if count > MOST => Err(Error::Compile {
            message: format!(
                "it has {count} globals, more than the {MOST} that the compiler can handle"
            ),
        }),
        _ => Ok(()),
    }
}

fn check_thread_start(module: &wasmtime::Module, program: &Program) -> Result<(), Error> {
    if program.memories.is_empty() {
        return Err(Error::MemoryNotShared);
    }
    let name = "wasi_thread_start";
    match module.get_export(name) {
        Some(ExternType::Func(ty)) => {
            let fits = ty.results().len() == 0
                && ty.params().len() == 2
                && ty.params().all(|param| matches!(param, ValType::I32));
            let entry_type = || Error::EntryType {
                name: name.to_owned(),
                found: ty.to_string(),
                expected: "(func (param i32 i32))",
            };
            fits.then_some(()).ok_or_else(entry_type)
        }
        _ => Err(Error::NoThreadStart),
    }
}

/// What an instance has for itself.
fn own_size(wasm: &[u8]) -> OwnSize {
    use wasmparser::{ElementKind, Payload};

    /// Bytes of the host for a global, and for an entry of a segment.
    const VALUE: u64 = 16;
    /// Bytes of the host for a function that others can refer to.
    const FUNCTION: u64 = 32;
    /// Programs have less, if they are not made for it.
    const NOT_COUNTED: u64 = 256 << 10;

    let mut own = OwnSize::default();
    let mut rest = 0_u64;
    for payload in wasmparser::Parser::new(0)
        .parse_all(wasm)
        .map_while(Result::ok)
    {
        match payload {
            Payload::MemorySection(memories) => {
                let memories = memories.into_iter().map_while(Result::ok);
                for memory in memories.filter(|memory| !memory.shared) {
                    own.pages = own.pages.saturating_add(memory.initial);
                }
            }
            Payload::TableSection(tables) => {
                for table in tables.into_iter().map_while(Result::ok) {
                    own.elements = own.elements.saturating_add(table.ty.initial);
                }
            }
            Payload::GlobalSection(globals) => rest += VALUE * u64::from(globals.count()),
            Payload::FunctionSection(functions) => rest += FUNCTION * u64::from(functions.count()),
            Payload::ElementSection(segments) => {
                let segments = segments.into_iter().map_while(Result::ok);
                // The others are used up when the instance is made.
                let kept = segments.filter(|segment| matches!(segment.kind, ElementKind::Passive));
                rest += kept
                    .map(|segment| VALUE * elements_in(&segment))
                    .sum::<u64>();
            }
            _ => {}
        }
    }
    own.rest = rest.saturating_sub(NOT_COUNTED);
    own
}

/// What the name section says of a stack and of thread-local data.
fn thread_data(wasm: &[u8]) -> ThreadData {
    use wasmparser::{KnownCustom, Name, Payload};

    let mut found = ThreadData::default();
    let sections = wasmparser::Parser::new(0)
        .parse_all(wasm)
        .map_while(Result::ok);
    let names = sections.filter_map(|payload| match payload {
        Payload::CustomSection(section) => match section.as_known() {
            KnownCustom::Name(names) => Some(names),
            _ => None,
        },
        _ => None,
    });
    for name in names.flatten().map_while(Result::ok) {
        let has = |names: wasmparser::NameMap<'_>, wanted: &str| {
            let mut names = names.into_iter().map_while(Result::ok);
            names.any(|naming| naming.name == wanted)
        };
        match name {
            Name::Global(names) => found.stack |= has(names, "__stack_pointer"),
            Name::Data(names) => found.tls |= has(names, ".tdata"),
            _ => {}
        }
    }
    found
}

/// Adds the functions to the map for `perf`, if there is one.
fn tell_perf(engine: &Engine, module: &wasmtime::Module) -> Result<(), Error> {
    let Some(map) = engine.perf_map() else {
        return Ok(());
    };
    let base = module.text().as_ptr().addr();
    let functions = module.functions().map(|function| {
        let name = function.name.as_deref().map(demangle);
        let name = name.unwrap_or_else(|| format!("<function {}>", function.index.as_u32()));
        (base + function.offset, function.len, name)
    });
    map.add(functions)
        .map_err(|error| Error::Configuration(Box::new(error)))
}

/// Machine code and the rest, to be written.
fn freeze(code: &wasmtime::Module, program: &Program) -> Option<(Vec<u8>, Vec<u8>)> {
    let sync = program.sync.iter().map(|import| {
        let op = OPS.iter().position(|op| *op == import.op)?;
        Some(CachedSync {
            op: op as u8,
            memory: import.memory,
            memory64: import.memory64,
            name: import.name.clone(),
        })
    });
    let cached = Cached {
        memories: program.memories.iter().cloned().map(CachedMemory).collect(),
        wasi_memory: program.wasi_memory,
        sync: sync.collect::<Option<_>>()?,
        has_reset: program.has_reset,
        has_poll: program.has_poll,
        stop_function: program.stop_function,
        stack_overflow: program.stack_overflow,
        offsets: program.offsets.to_bytes(),
        own: program.own,
        thread_data: program.thread_data,
        told: program.told,
    };
    Some((code.serialize().ok()?, postcard::to_stdvec(&cached).ok()?))
}

/// The rest of what [`freeze`] made.
fn thaw(rest: &[u8]) -> Option<Program> {
    let cached: Cached = postcard::from_bytes(rest).ok()?;
    let sync = cached.sync.into_iter().map(|import| {
        Some(SyncImport {
            op: *OPS.get(usize::from(import.op))?,
            memory: import.memory,
            memory64: import.memory64,
            name: import.name,
        })
    });
    Some(Program {
        memories: cached.memories.into_iter().map(|memory| memory.0).collect(),
        wasi_memory: cached.wasi_memory,
        sync: sync.collect::<Option<_>>()?,
        has_reset: cached.has_reset,
        has_poll: cached.has_poll,
        stop_function: cached.stop_function,
        stack_overflow: cached.stack_overflow,
        offsets: OffsetMap::from_bytes(&cached.offsets)?,
        own: cached.own,
        thread_data: cached.thread_data,
        told: cached.told,
    })
}

/// A module of the cache. Its code is used where the file is mapped, if the system lets it.
fn thaw_entry(engine: &Engine, entry: &Entry) -> Option<(wasmtime::Module, Program)> {
    let wasmtime = engine.machine().wasmtime();
    // What is mapped from a file has its names there, to `perf`.
    let file = entry.file().filter(|_| engine.perf_map().is_none());
    let mapped = file.and_then(|file| {
        // SAFETY: the entry's name and checksum say that this very engine wrote it, in a
        // directory that only its owner may write to, who does not change entries: both is
        // what `EngineBuilder::cache_dir` asks the embedder for.
        unsafe { wasmtime::Module::deserialize_open_file(wasmtime, file) }.ok()
    });
    // SAFETY: as above. A file system may forbid to run what is mapped from it.
    let copied = || unsafe { wasmtime::Module::deserialize(wasmtime, entry.code()) }.ok();
    Some((mapped.or_else(copied)?, thaw(entry.rest())?))
}
