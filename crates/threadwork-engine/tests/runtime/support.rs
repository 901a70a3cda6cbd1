//! What the chapters share: one engine, the guests, and what they do.

pub(crate) use crate::watch::{Watch, until};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;
use threadwork_engine::{
    Engine, Module, RuntimeBuilder, RuntimeConfig, SharedMemory, Task, TaskHandle, ThreadRuntime,
};

/// Whether the long versions were asked for.
pub(crate) fn is_full() -> bool {
    std::env::var("THREADWORK_FULL").as_deref() == Ok("1")
}

/// The engine that most tests share.
pub(crate) fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::new().unwrap())
}

/// A memory of the host's own.
pub(crate) fn memory(pages: u64, most: u64) -> SharedMemory {
    SharedMemory::new(engine(), pages, most).unwrap()
}

/// A module around `body`, with a memory of four pages that can grow to 64, and these
/// functions:
///
/// ```text
///   $wait      sleeps at 0, which nobody in the module notifies
///   $compute   runs for ever
///   $count     adds one at 256, and tells those that wait for it
///   $until n   waits until the count is at least n
/// ```
#[track_caller]
pub(crate) fn module(body: &str) -> Module {
    let text = format!("(module {PRELUDE} {body})");
    Module::new(engine(), text.as_bytes()).unwrap()
}

const PRELUDE: &str = r#"
  (memory (export "memory") 4 64 shared)
  (func $compute (loop (br 0)))
  (func $wait (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))
  (func $count
    (drop (i32.atomic.rmw.add (i32.const 256) (i32.const 1)))
    (drop (memory.atomic.notify (i32.const 256) (i32.const -1))))
  (func $until (param $n i32) (local $now i32)
    (loop $again
      (local.set $now (i32.atomic.load (i32.const 256)))
      (if (i32.lt_u (local.get $now) (local.get $n)) (then
        (drop (memory.atomic.wait32 (i32.const 256) (local.get $now) (i64.const -1)))
        (br $again)))))
"#;

/// Where [`PRELUDE`] counts.
pub(crate) const COUNT: u64 = 256;

/// A runtime with so many workers, and no more.
#[track_caller]
pub(crate) fn runtime(module: &Module, workers: u32) -> ThreadRuntime {
    workers_of(module, workers, workers).build().unwrap()
}

pub(crate) fn workers_of(module: &Module, workers: u32, most: u32) -> RuntimeBuilder {
    ThreadRuntime::builder(module).config(RuntimeConfig {
        memory_size: 0,
        pool_size: workers,
        max_threads: most,
        ..RuntimeConfig::default()
    })
}

/// Executes a function of 32-bit numbers.
#[track_caller]
pub(crate) fn execute<const N: usize>(
    runtime: &ThreadRuntime,
    entry: &str,
    args: [i32; N],
) -> TaskHandle {
    runtime.execute(Task::new(entry, args)).unwrap()
}

/// Executes it, and waits for its result.
#[track_caller]
pub(crate) fn call<const N: usize>(runtime: &ThreadRuntime, entry: &str, args: [i32; N]) -> i32 {
    execute(runtime, entry, args).wait_as().unwrap()
}

// ---- Guests that are built ----

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Where guests are built: beside what the tests themselves are built into.
fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => PathBuf::from(dir).join("guests"),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guests"),
    }
}

/// The library in Rust, with std and the primitives.
pub(crate) fn rust_library() -> &'static Module {
    static MODULE: OnceLock<Module> = OnceLock::new();
    MODULE.get_or_init(|| {
        let mut cargo = scrubbed("cargo");
        cargo
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guests"))
            .args(["build", "--release", "--quiet", "--package", "library"])
            .args(["--target", "wasm32-wasip1-threads", "--target-dir"])
            .arg(target());
        run(&mut cargo);
        let file = target().join("wasm32-wasip1-threads/release/library.wasm");
        Module::from_file(engine(), file).unwrap()
    })
}

/// What the linker is to export for the workers.
const EXPORTS: [&str; 5] = [
    "__stack_pointer",
    "__tls_base",
    "__tls_size",
    "__tls_align",
    "__wasm_init_tls",
];

/// The library in Rust without std, with these exports for the workers.
pub(crate) fn rust_without_std(exports: &[&str]) -> Vec<u8> {
    let file = scratch(&format!("no_wasi{}.wasm", exports.len()));
    let mut rustc = scrubbed("rustc");
    rustc
        .args([
            "--edition",
            "2024",
            "--target",
            "wasm32-wasip1-threads",
            "-O",
        ])
        .args(["--crate-type", "cdylib", "-o"])
        .arg(&file)
        .arg(fixtures().join("no_wasi.rs"));
    for export in exports {
        rustc.arg(format!("-Clink-arg=--export={export}"));
    }
    run(&mut rustc);
    std::fs::read(file).unwrap()
}

/// The library in C, with the exports for the workers or without.
pub(crate) fn c_library(exports: bool) -> Vec<u8> {
    let file = scratch(&format!("library-{exports}.wasm"));
    let mut zig = scrubbed("python3");
    zig.args(["-m", "ziglang", "cc", "--target=wasm32-freestanding"])
        .args(["-mcpu=generic+atomics+bulk_memory+mutable_globals"])
        .args(["-pthread", "-O1", "-nostdlib", "-Wl,--no-entry"])
        .args(["-Wl,--import-memory", "-Wl,--shared-memory"])
        .args(["-Wl,--max-memory=16777216", "-o"])
        .arg(&file)
        .arg(fixtures().join("library.c"));
    if exports {
        zig.args(EXPORTS.map(|export| format!("-Wl,--export={export}")));
    }
    run(&mut zig);
    std::fs::read(file).unwrap()
}

/// All that the workers want.
pub(crate) fn all_exports() -> &'static [&'static str] {
    &EXPORTS
}

fn scratch(name: &str) -> PathBuf {
    let folder = target().join("runtime-fixtures");
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

fn run(command: &mut Command) {
    let _watch = Watch::with(Duration::from_secs(600));
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{text}");
}

/// A command without what the `cargo` around us has set for its own children.
fn scrubbed(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let keep = [
            "CARGO_HOME",
            "CARGO_NET_OFFLINE",
            "RUSTUP_HOME",
            "RUSTUP_TOOLCHAIN",
        ];
        if (text.starts_with("CARGO") || text.starts_with("RUST")) && !keep.contains(&&*text) {
            command.env_remove(&name);
        }
    }
    command
}
