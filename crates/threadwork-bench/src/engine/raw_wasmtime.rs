//! Plain Wasmtime as a host of wasi-threads: what one gets without Threadwork.
//!
//! It does what the `wasmtime-wasi-threads` crate did until Wasmtime dropped it:
//! each `thread-spawn` starts an operating-system thread with a store and an
//! instance of its own, waits and notifies are Wasmtime's own, and a trap in any
//! thread ends the whole process. WASI is ours, on both sides: what is compared is the engine.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use anyhow::anyhow;
use threadwork_wasi::{Exit, Host, Input, Output, Wasi, WasiBuilder};
use wasmtime::{Caller, Config, Engine, InstancePre, Linker, Module, Result, SharedMemory, Store};

use super::place::cache_folder;

/// The exit code of a trap, as of the `wasmtime` command: 128 + SIGABRT.
const TRAPPED: i32 = 134;

/// Runs a program to its end, and returns its exit code.
pub(super) fn run(program: &Path, args: &[String]) -> anyhow::Result<u8> {
    let code = run_main(program, args).map_err(|error| anyhow!("{error:#}"))?;
    Ok(code.try_into().unwrap_or(1))
}

/// The data of a thread's store.
struct Guest(Arc<Program>);

/// What the threads share.
struct Program {
    wasi: Wasi,
    memory: OnceLock<SharedMemory>,
    instance: OnceLock<InstancePre<Guest>>,
    next_thread: AtomicI32,
}

impl Host for Guest {
    fn wasi(&self) -> &Wasi {
        &self.0.wasi
    }

    fn check_running(&self) -> Result<()> {
        Ok(())
    }

    fn shared_memory(&self) -> Option<&SharedMemory> {
        self.0.memory.get()
    }

    /// The workloads do not ask.
    fn process_cpu_time(&self) -> Duration {
        Duration::ZERO
    }

    fn thread_cpu_time(&self) -> Duration {
        Duration::ZERO
    }
}

fn run_main(path: &Path, args: &[String]) -> Result<i32> {
    let engine = Engine::new(Config::new().shared_memory(true))?;
    let module = load(&engine, path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let wasi = WasiBuilder::new()
        .args([name.into_owned()].into_iter().chain(args.iter().cloned()))
        .preopen_dir(".", "/")
        .stdin(Input::Inherit)
        .stdout(Output::Inherit)
        .stderr(Output::Inherit)
        .build()?;
    let program = Arc::new(Program {
        wasi,
        memory: OnceLock::new(),
        instance: OnceLock::new(),
        next_thread: AtomicI32::new(1),
    });
    let mut linker = Linker::new(&engine);
    threadwork_wasi::add_to_linker(&mut linker)?;
    linker.func_wrap("wasi", "thread-spawn", spawn)?;
    let mut store = Store::new(&engine, Guest(Arc::clone(&program)));
    for import in module.imports() {
        if let Some(ty) = import.ty().memory() {
            let memory = SharedMemory::new(&engine, ty.clone())?;
            let memory = program.memory.get_or_init(|| memory).clone();
            linker.define(&store, import.module(), import.name(), memory)?;
        }
    }
    let instance = linker.instantiate_pre(&module)?;
    let instance = program.instance.get_or_init(|| instance);
    let start = instance
        .instantiate(&mut store)?
        .get_typed_func::<(), ()>(&mut store, "_start")?;
    exit_code(start.call(&mut store, ()))
}

/// The program, compiled by an earlier run if there was one.
fn load(engine: &Engine, path: &Path) -> Result<Module> {
    let wasm = wat::parse_file(path)?;
    let mut hasher = DefaultHasher::new();
    wasm.hash(&mut hasher);
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let file = cache_folder().join(format!("wasmtime-{:016x}", hasher.finish()));
    if !file.exists() {
        let unfinished = file.with_extension(std::process::id().to_string());
        fs::create_dir_all(cache_folder())?;
        fs::write(&unfinished, engine.precompile_module(&wasm)?)?;
        fs::rename(&unfinished, &file)?;
    }
    // SAFETY: the lines above wrote the file, in this run or an earlier one.
    unsafe { Module::deserialize_file(engine, file) }
}

/// `wasi.thread-spawn`: the new thread's id, or -1.
fn spawn(caller: Caller<'_, Guest>, argument: i32) -> i32 {
    let program = Arc::clone(&caller.data().0);
    let engine = caller.engine().clone();
    // Ordering: nothing is published by this count.
    let id = program.next_thread.fetch_add(1, Ordering::Relaxed);
    let run = move || match run_thread(&engine, &program, id, argument) {
        Ok(None) => {}
        Ok(Some(code)) => std::process::exit(code),
        Err(error) => {
            eprintln!("thread {id}: {error:#}");
            std::process::exit(TRAPPED);
        }
    };
    let started = thread::Builder::new()
        .name(format!("wasi-thread-{id}"))
        .spawn(run);
    started.map_or(-1, |_| id)
}

/// Runs a thread to its end; gives the exit code if it ended the process.
fn run_thread(
    engine: &Engine,
    program: &Arc<Program>,
    id: i32,
    argument: i32,
) -> Result<Option<i32>> {
    let mut store = Store::new(engine, Guest(Arc::clone(program)));
    let instance = program.instance.get();
    let instance = instance.ok_or_else(|| wasmtime::Error::msg("spawned by a start function"))?;
    let start = instance
        .instantiate(&mut store)?
        .get_typed_func::<(i32, i32), ()>(&mut store, "wasi_thread_start")?;
    match start.call(&mut store, (id, argument)) {
        Ok(()) => Ok(None),
        error => exit_code(error).map(Some),
    }
}

/// The code with which a command ends that returned, or called `proc_exit`.
fn exit_code(result: Result<()>) -> Result<i32> {
    match result {
        Ok(()) => Ok(0),
        Err(error) => match error.downcast_ref::<Exit>() {
            Some(Exit(code)) => Ok(*code),
            None => Err(error),
        },
    }
}
