//! What the chapters share: one engine, the guests, and what they do.

pub(crate) use crate::watch::{PATIENCE, Watch, until};
use std::collections::HashMap;
use std::io::Read;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use threadwork_engine::{
    Engine, ExitStatus, LimitExceeded, Module, Output, Process, ProcessBuilder, Trap,
};

// ---- Engines and modules ----

/// The engine that most tests share.
pub(crate) fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::new().unwrap())
}

/// A module of the text format.
#[track_caller]
pub(crate) fn text(wat: &str) -> Module {
    Module::new(engine(), wat.as_bytes()).unwrap()
}

/// A Rust guest of the repository, compiled once in a test run.
pub(crate) fn guest(name: &str) -> Module {
    static MODULES: Mutex<Option<HashMap<String, Module>>> = Mutex::new(None);
    let mut modules = MODULES.lock().unwrap();
    let known = modules.get_or_insert_default();
    if let Some(module) = known.get(name) {
        return module.clone();
    }
    let module = Module::from_file(engine(), wasm_guests().join(name).with_extension("wasm"));
    known
        .entry(name.to_owned())
        .or_insert(module.unwrap())
        .clone()
}

/// A guest of guests/wat.
pub(crate) fn text_guest(name: &str) -> Module {
    Module::from_file(engine(), repository().join("guests/wat").join(name)).unwrap()
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Where the guests are built: beside what the tests themselves are built into.
pub(crate) fn guest_target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => PathBuf::from(dir).join("guests"),
        None => repository().join("target/guests"),
    }
}

/// The folder of the Rust guests as WebAssembly, built when first asked for.
pub(crate) fn wasm_guests() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        build_guests(&["--target", "wasm32-wasip1-threads"]);
        guest_target().join("wasm32-wasip1-threads/release")
    })
}

/// The folder of the examples as native programs, built when first asked for.
pub(crate) fn native_examples() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        build_guests(&[
            "-p",
            "pi",
            "-p",
            "merge-sort",
            "-p",
            "pipeline",
            "-p",
            "mandelbrot",
        ]);
        guest_target().join("release")
    })
}

fn build_guests(options: &[&str]) {
    let _watch = Watch::with(Duration::from_secs(900));
    let status = scrubbed("cargo")
        .current_dir(repository().join("guests"))
        .args(["build", "--release", "--quiet", "--target-dir"])
        .arg(guest_target())
        .args(options)
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "the guests do not build (see above); if their target is missing: \
         rustup target add wasm32-wasip1-threads"
    );
}

/// A command without what the `cargo` around us has set for its own children.
pub(crate) fn scrubbed(program: &str) -> Command {
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

// ---- Running ----

/// A process under watch.
pub(crate) struct Running {
    process: Process,
    _watch: Watch,
}

impl Deref for Running {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

/// Starts a process, under watch.
#[track_caller]
pub(crate) fn start(builder: ProcessBuilder) -> Running {
    let watch = Watch::start();
    Running {
        process: builder.spawn().unwrap(),
        _watch: watch,
    }
}

/// Runs a process to its end, under watch.
#[track_caller]
pub(crate) fn run(builder: ProcessBuilder) -> ExitStatus {
    start(builder).wait()
}

/// What a process that ended has printed.
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a process to its end and keeps what it prints.
#[track_caller]
pub(crate) fn output(builder: ProcessBuilder) -> Finished {
    let process = start(builder.stdout(Output::Buffer).stderr(Output::Buffer));
    let status = process.wait();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Finished {
        status,
        stdout: text(process.stdout_buffer()),
        stderr: text(process.stderr_buffer()),
    }
}

impl Finished {
    /// Checks that the program exited with 0 and that its output contains `line`.
    #[track_caller]
    pub(crate) fn expect_line(&self, line: &str) {
        assert!(
            self.status.success() && self.stdout.lines().any(|other| other == line),
            "expected `{line}`; {}\nstdout: {}\nstderr: {}",
            self.status,
            self.stdout,
            self.stderr
        );
    }
}

/// Reads a line from a pipe, and not a byte more.
#[track_caller]
pub(crate) fn read_line(pipe: &mut impl Read) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while byte != *b"\n" {
        pipe.read_exact(&mut byte)
            .expect("the guest closed its output");
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap()
}

#[track_caller]
pub(crate) fn trap(status: ExitStatus) -> Trap {
    match status {
        ExitStatus::Trapped(trap) => trap,
        other => panic!("expected a trap: {other}"),
    }
}

#[track_caller]
pub(crate) fn exceeded(status: ExitStatus) -> LimitExceeded {
    match status {
        ExitStatus::LimitExceeded(exceeded) => exceeded,
        other => panic!("expected a limit: {other}"),
    }
}

// ---- Plots: short texts ----

/// What a plot's guest says to the test, and what the test lets it do.
pub(crate) struct Stage {
    said: Receiver<i32>,
    open: Arc<Mutex<bool>>,
}

impl Stage {
    /// The next number that the guest says.
    #[track_caller]
    pub(crate) fn hear(&self) -> i32 {
        let said = self.said.recv_timeout(PATIENCE);
        said.expect("the guest says nothing more")
    }

    /// All that it has said and nobody heard.
    pub(crate) fn heard(&self) -> Vec<i32> {
        self.said.try_iter().collect()
    }

    /// `$is_open` is true from now on.
    pub(crate) fn open(&self) {
        *self.open.lock().unwrap() = true;
    }
}

/// A program around `body`, which may call what [`PRELUDE`] imports and defines.
#[track_caller]
pub(crate) fn plot(body: &str) -> Module {
    text(&plot_text(body))
}

pub(crate) fn plot_text(body: &str) -> String {
    format!("(module {PRELUDE} {body})")
}

/// For a plot that starts no threads.
pub(crate) const NO_THREADS: &str = r#"(func (export "wasi_thread_start") (param i32 i32))"#;

/// A process of a plot, and the stage that it plays on.
pub(crate) fn on_stage(module: &Module) -> (ProcessBuilder, Stage) {
    let (say, said) = channel();
    let open = Arc::new(Mutex::new(false));
    let is_open = Arc::clone(&open);
    let builder = ProcessBuilder::new(module).linker(move |linker| {
        linker.func_wrap("stage", "say", move |number: i32| {
            // The test may have heard enough.
            let _ = say.send(number);
        })?;
        linker.func_wrap("stage", "open", move || i32::from(*is_open.lock().unwrap()))?;
        Ok(())
    });
    (builder, Stage { said, open })
}

/// Runs a plot to its end; what was said, and the status.
#[track_caller]
pub(crate) fn play(module: &Module) -> (Vec<i32>, ExitStatus) {
    let (builder, stage) = on_stage(module);
    let status = run(builder);
    (stage.heard(), status)
}

/// Memory below 512 and from 4096 to 8192 belongs to it:
///
/// ```text
///   0  never notified, always 0
///   64 a subscription to the clock, in an hour
///  128 its event
///  192 a buffer (address, length) of 4 KiB at 4096, and the count of bytes
///  256 counter of `$count`
/// ```
const PRELUDE: &str = r#"
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "stage" "say" (func $say (param i32)))
  (import "stage" "open" (func $is_open (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read"
    (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "wasi_snapshot_preview1" "clock_time_get"
    (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open" (func $path_open
    (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_pwrite"
    (func $fd_pwrite (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_filestat_set_size"
    (func $set_size (param i32 i64) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_renumber"
    (func $fd_renumber (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_fdstat_get"
    (func $fd_fdstat_get (param i32 i32) (result i32)))
  (import "env" "memory" (memory 2 64 shared))

  (data (i32.const 64)
    "\07\00\00\00\00\00\00\00" "\00\00\00\00\00\00\00\00" "\01\00\00\00\00\00\00\00"
    "\00\a0\b8\30\46\03\00\00" "\00\00\00\00\00\00\00\00" "\00\00\00\00\00\00\00\00")
  (data (i32.const 192) "\00\10\00\00" "\00\10\00\00")

  (func $compute (loop (br 0)))
  (func $wait (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))
  (func $wait_an_hour
    (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const 3600000000000))))
  (func $sleep
    (if (call $poll (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 160))
      (then unreachable)))
  (func $read
    (loop
      (drop (call $fd_read (i32.const 0) (i32.const 192) (i32.const 1) (i32.const 200)))
      (br_if 0 (i32.load (i32.const 200)))))
  (func $write
    (loop
      (br_if 0 (i32.eqz
        (call $fd_write (i32.const 1) (i32.const 192) (i32.const 1) (i32.const 200))))))
  (func $storm
    (loop
      (drop (call $spawn (i32.const 7)))
      (br 0)))
  (func $nothing)
  (func $until_open
    (loop
      (if (i32.eqz (call $is_open)) (then (drop (call $yield)) (br 1)))))

  ;; What threads do, by number; others return at once.
  (func $do (param $what i32)
    (block (block (block (block (block (block (block
      (br_table 6 0 1 2 3 4 5 6 (local.get $what)))
      (return (call $compute))) (return (call $wait))) (return (call $sleep)))
      (return (call $read))) (return (call $write))) (return (call $storm))))

  ;; Adds one, and tells those that wait for it.
  (func $count
    (drop (i32.atomic.rmw.add (i32.const 256) (i32.const 1)))
    (drop (memory.atomic.notify (i32.const 256) (i32.const -1))))
  (func $until_counted (param $n i32) (local $now i32)
    (loop $again
      (local.set $now (i32.atomic.load (i32.const 256)))
      (if (i32.lt_u (local.get $now) (local.get $n)) (then
        (drop (memory.atomic.wait32 (i32.const 256) (local.get $now) (i64.const -1)))
        (br $again)))))
"#;

/// The numbers of `$do`, with their names.
pub(crate) const COMPUTE: i32 = 1;
pub(crate) const WAIT: i32 = 2;
pub(crate) const SLEEP: i32 = 3;
pub(crate) const READ: i32 = 4;
pub(crate) const WRITE: i32 = 5;
pub(crate) const STORM: i32 = 6;
pub(crate) const RETURN: i32 = 7;
