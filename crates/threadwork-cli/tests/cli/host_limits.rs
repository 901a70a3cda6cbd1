//! The system gives `threadwork` next to nothing: a program that starts has all that it needs,
//! and one that does not has run nothing and says why in one line.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, geteuid, setrlimit};

use crate::support::{Outcome, file, finish, temporary_folder, threadwork};

const FULL: &str = "THREADWORK_FULL";

/// Says "hi" from `_start`, with what the start function left in a global.
const HELLO: &str = r#"(import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (global $buffers (mut i32) (i32.const 0))
  (data (i32.const 16) "\20\00\00\00\03\00\00\00")
  (data (i32.const 32) "hi\n")
  (func $begin (global.set $buffers (i32.const 16)))
  (start $begin)
  (func $hello
    (drop (call $write (i32.const 1) (global.get $buffers) (i32.const 1) (i32.const 64))))"#;

/// A memory of the instance's own, and one that is shared; and a thread, which says it, unless
/// there is none to be had.
fn programs() -> [String; 3] {
    let start = r#"(func (export "_start") (call $hello))"#;
    let with = |memory: &str, rest: &str| format!("(module {HELLO} {memory} {rest})");
    let spawns = r#"
      (func (export "wasi_thread_start") (param i32 i32)
        (call $hello)
        (i32.atomic.store (i32.const 0) (i32.const 1))
        (drop (memory.atomic.notify (i32.const 0) (i32.const 1))))
      (func (export "_start")
        (if (i32.lt_s (call $spawn (i32.const 0)) (i32.const 0))
          (then (call $hello) (return)))
        (loop
          (if (i32.eqz (i32.atomic.load (i32.const 0))) (then
            (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))
            (br 1)))))"#;
    let spawn = r#"(module (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))"#;
    [
        with(r#"(memory (export "memory") 2 2)"#, start),
        with(r#"(memory (export "memory") 2 2 shared)"#, start),
        with(r#"(memory (export "memory") 2 2 shared)"#, spawns).replacen("(module", spawn, 1),
    ]
}

/// Runs the programs, each with every one of these limits.
fn sweep(which: Resource, limits: impl IntoIterator<Item = u64> + Clone) -> Vec<bool> {
    let folder = temporary_folder();
    let programs = programs().map(|text| file(folder.path(), &name(&text), text));
    let each = |program: &PathBuf| {
        let limits = limits.clone().into_iter();
        limits
            .map(|limit| fits(program, which, limit))
            .collect::<Vec<_>>()
    };
    programs.iter().flat_map(each).collect()
}

fn name(text: &str) -> String {
    format!("{}.wat", text.len())
}

/// Whether the program ran; else it was refused as it should be.
fn fits(program: &Path, which: Resource, limit: u64) -> bool {
    let mut command = threadwork();
    command.args(["run", "--no-cache"]).arg(program);
    if which == Resource::Nproc {
        // It does not bind root.
        command.uid(65534);
    }
    let lower = move || {
        let limit = Rlimit {
            current: Some(limit),
            maximum: Some(limit),
        };
        Ok(setrlimit(which, limit)?)
    };
    // SAFETY: it is one system call.
    unsafe { command.pre_exec(lower) };
    let outcome = finish(&mut command);
    let said = format!("{which:?} of {limit}: {}", program.display());
    if outcome.code() == Some(0) {
        assert_eq!((&*outcome.stdout, &*outcome.stderr), ("hi\n", ""), "{said}");
        return true;
    }
    let Outcome { stdout, stderr, .. } = &outcome;
    let is_refusal = outcome.code() == Some(125)
        && stdout.is_empty()
        && stderr.lines().count() == 1
        && stderr.starts_with("threadwork: error: ");
    // What the system's loader says, before there is anything of ours.
    let is_loaders = outcome.code() == Some(127) && stderr.contains("shared libraries");
    assert!(is_refusal || is_loaders, "{said}: {outcome:#?}");
    false
}

/// Some of a range in an ordinary run, else all of it.
fn some_of(range: impl Iterator<Item = u64>, each: usize) -> Vec<u64> {
    let is_full = std::env::var(FULL).as_deref() == Ok("1");
    range.step_by(if is_full { 1 } else { each }).collect()
}

#[test]
fn address_space() {
    // Memories and their guards take 4 GiB each.
    let small = some_of((40..400).step_by(4), 20);
    let large = some_of((500..20_000).step_by(100), 30);
    let bytes = small
        .into_iter()
        .chain(large)
        .map(|mebibytes| mebibytes << 20);
    let ran = sweep(Resource::As, bytes.collect::<Vec<_>>());
    assert!(ran.contains(&true) && ran.contains(&false));
}

#[test]
fn open_files() {
    let ran = sweep(Resource::Nofile, some_of(3..24, 2));
    assert!(ran.contains(&true) && ran.contains(&false));
}

/// Nothing of it is the program's: all of them run.
#[test]
fn stack() {
    let ran = sweep(
        Resource::Stack,
        some_of((64 << 10..2 << 20).step_by(64 << 10), 8),
    );
    assert!(!ran.contains(&false), "{ran:?}");
}

#[test]
fn processes() {
    let binary = Path::new(env!("CARGO_BIN_EXE_threadwork"));
    let for_all = |path: &Path| {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o1 != 0)
    };
    if !geteuid().is_root() || !binary.ancestors().all(for_all) {
        println!("skipped: only root can run it as a user for whom the limit holds");
        return;
    }
    let ran = sweep(Resource::Nproc, some_of(1..16, 3));
    assert!(ran.contains(&true) && ran.contains(&false));
}
