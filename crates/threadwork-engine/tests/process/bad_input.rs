//! Bad input is one clear line, and never a panic.

use crate::support::{engine, plot_text, repository, text};
use std::panic::catch_unwind;
use threadwork_engine::{Error, Module, ProcessBuilder};

/// The message of a module that cannot be loaded.
#[track_caller]
fn refusal(bytes: &[u8]) -> String {
    one_line(Module::new(engine(), bytes).expect_err("a refusal"))
}

/// The message of a module that cannot be started.
#[track_caller]
fn no_start(text: &str) -> String {
    let module = crate::support::text(text);
    one_line(ProcessBuilder::new(&module).spawn().expect_err("a refusal"))
}

#[track_caller]
fn one_line(error: Error) -> String {
    let message = error.to_string();
    assert_eq!(message.lines().count(), 1, "{message}");
    message
}

#[test]
fn what_is_not_wasm() {
    assert_eq!(
        refusal(b""),
        "not a WebAssembly binary: the file is empty; build it again"
    );
    assert_eq!(
        refusal(b"#!/bin/sh\n"),
        "not a WebAssembly binary: it does not begin with the bytes `\\0asm`; \
         check the path, and that the download or the build finished"
    );
    let native = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    assert_eq!(
        refusal(&native),
        "not a WebAssembly binary: this is an ELF program for Linux or the like; \
         build with `--target wasm32-wasip1-threads`"
    );
}

#[test]
fn text_with_a_mistake_names_the_place() {
    let message = refusal(b"(module\n  (func $f (oops)))");
    assert_eq!(
        message,
        "the text does not parse as WebAssembly: unknown operator or unexpected token at 2:13: `oops`"
    );
}

#[test]
fn a_file_that_is_not_there() {
    let error = Module::from_file(engine(), "/no/such/file.wasm").unwrap_err();
    assert_eq!(
        one_line(error),
        "cannot read /no/such/file.wasm: No such file or directory (os error 2)"
    );
}

#[test]
fn a_component() {
    assert_eq!(
        refusal(b"\0asm\x0d\0\x01\0"),
        "this is a WebAssembly component, and threads need a core module; \
         build for `wasm32-wasip1-threads`, or take the module out with \
         `wasm-tools component unbundle`"
    );
    assert!(refusal(b"(component)").starts_with("this is a WebAssembly component"));
}

#[test]
fn a_relocatable_object() {
    let object = b"\0asm\x01\0\0\0\0\x09\x07linking\x02";
    assert_eq!(
        refusal(object),
        "this is a relocatable object file (it has a `linking` section), not a \
         finished module; link it first, for example with `wasm-ld`"
    );
}

const SPAWN: &str = r#"(import "wasi" "thread-spawn" (func (param i32) (result i32)))"#;
const SHARED: &str = r#"(import "env" "memory" (memory 1 2 shared))"#;

#[test]
fn threads_without_a_shared_memory() {
    for memory in ["", "(memory 1)", "(memory (export \"memory\") 1 2)"] {
        let text = format!(
            r#"(module {SPAWN} {memory} (func (export "wasi_thread_start") (param i32 i32))
                 (func (export "_start")))"#
        );
        assert_eq!(
            refusal(text.as_bytes()),
            "the module imports wasi.thread-spawn, but it has no shared memory: \
             link it with --shared-memory --import-memory --max-memory=BYTES"
        );
    }
}

#[test]
fn threads_without_an_entry() {
    for other in [
        "",
        r#"(global (export "wasi_thread_start") i32 (i32.const 0))"#,
    ] {
        let text = format!(r#"(module {SPAWN} {SHARED} {other} (func (export "_start")))"#);
        assert_eq!(
            refusal(text.as_bytes()),
            "the module imports wasi.thread-spawn, but does not export \
             wasi_thread_start (param i32 i32): link it for wasm32-wasip1-threads"
        );
    }
}

#[test]
fn threads_with_an_entry_of_another_type() {
    let text = format!(
        r#"(module {SPAWN} {SHARED} (func (export "_start"))
             (func (export "wasi_thread_start") (param i32 i64)))"#
    );
    assert_eq!(
        refusal(text.as_bytes()),
        "the exported function `wasi_thread_start` has the type (type (func (param i32 i64))), \
         not (func (param i32 i32))"
    );
}

#[test]
fn entries_that_cannot_be_run() {
    assert_eq!(
        no_start("(module)"),
        "the module exports no function `_start`: it may be a reactor, which only a host \
         program can use (ProcessBuilder::load)"
    );
    assert_eq!(
        no_start(r#"(module (func (export "_start") (param i32)))"#),
        "the exported function `_start` has the type (type (func (param i32))), not (func)"
    );
    let module = text(r#"(module (func (export "_initialize") (result i32) (i32.const 0)))"#);
    assert_eq!(
        one_line(ProcessBuilder::new(&module).load().unwrap_err()),
        "the exported function `_initialize` has the type (type (func (result i32))), not (func)"
    );
}

#[test]
fn imports_that_nobody_provides_are_named_with_a_remedy() {
    let missing =
        |imports: &str| no_start(&format!(r#"(module {imports} (func (export "_start")))"#));
    for (module, name, remedy) in [
        (
            "env",
            "curl_easy_init",
            "a C function may be undefined, or the program was built for a browser; link \
             what it lacks, build it for wasm32-wasip1-threads, or run it in a host program \
             that defines it (ProcessBuilder::linker)",
        ),
        (
            "wbg",
            "__wbg_log_1",
            "the program was built with wasm-bindgen for a browser; build it for \
             wasm32-wasip1-threads without",
        ),
        (
            "__wbindgen_placeholder__",
            "x",
            "the program was built with wasm-bindgen for a browser; build it for \
             wasm32-wasip1-threads without",
        ),
        (
            "wasi:io/poll@0.2.0",
            "poll",
            "the program was built for the component model; build it for wasm32-wasip1-threads",
        ),
        (
            "gojs",
            "runtime.wasmExit",
            "the program was built for Go's JavaScript host; set GOOS=wasip1",
        ),
        (
            "wasi_unstable",
            "fd_write",
            "the program was built for an old WASI; build it for wasm32-wasip1-threads",
        ),
        (
            "wasix_32v1",
            "thread_spawn_v2",
            "the program was built for WASIX; build it for wasm32-wasip1-threads",
        ),
        (
            "wasi_snapshot_preview1",
            "fd_fly",
            "this is no function of WASI preview 1",
        ),
        (
            "wasi",
            "thread-join",
            "of wasi-threads there is only wasi.thread-spawn",
        ),
        (
            "plugin",
            "f",
            "build the program without, or run it in a host program that defines it \
             (ProcessBuilder::linker)",
        ),
    ] {
        assert_eq!(
            missing(&format!(r#"(import "{module}" "{name}" (func))"#)),
            format!("nothing provides the import {module}.{name}: {remedy}")
        );
    }
}

#[test]
fn all_missing_imports_are_in_one_message_and_many_are_counted() {
    let import = |n: usize| format!(r#"(import "env" "f{n}" (func))"#);
    let imports: String = (0..2).map(import).collect();
    let message = no_start(&format!(r#"(module {imports} (func (export "_start")))"#));
    assert!(
        message.starts_with("nothing provides the imports env.f0, env.f1: "),
        "{message}"
    );
    let imports: String = (0..30).map(import).collect();
    let message = no_start(&format!(r#"(module {imports} (func (export "_start")))"#));
    assert!(
        message.contains("env.f6, env.f7 and 22 more: "),
        "{message}"
    );
}

#[test]
fn a_memory_to_import_that_is_not_shared_is_named() {
    let message =
        no_start(r#"(module (import "env" "memory" (memory 1)) (func (export "_start")))"#);
    assert_eq!(
        message,
        "nothing provides the import env.memory: a memory that is not shared belongs to the \
         module; link it without --import-memory"
    );
}

#[test]
fn imports_of_another_type_are_named() {
    let message = no_start(
        r#"(module (import "wasi_snapshot_preview1" "fd_write" (func (param i64)))
             (func (export "_start")))"#,
    );
    assert!(
        message.starts_with("an import does not fit: ")
            && message.contains("wasi_snapshot_preview1")
            && message.contains("fd_write"),
        "{message}"
    );
    // The embedder's own memory under the name of the module's.
    let module = text(
        r#"(module (import "wasi" "thread-spawn" (func (param i64) (result i32)))
             (import "env" "memory" (memory 1 2 shared))
             (func (export "wasi_thread_start") (param i32 i32))
             (func (export "_start")))"#,
    );
    let message = one_line(ProcessBuilder::new(&module).spawn().unwrap_err());
    assert!(message.contains("thread-spawn"), "{message}");
}

#[test]
fn a_memory_larger_than_any_machine() {
    let module = text(
        r#"(module (memory i64 0x10000000000 0x10000000000 shared) (func (export "_start")))"#,
    );
    let message = one_line(ProcessBuilder::new(&module).spawn().unwrap_err());
    assert!(
        message
            .starts_with("the module's memory of at least 72057594037927936 bytes cannot be had"),
        "{message}"
    );
}

/// What fails while an instance is made is not called a lack of memory.
#[test]
fn a_table_segment_that_does_not_fit_is_said_to_be_that() {
    for memory in [SHARED, "(memory 1)"] {
        let text = format!(
            r#"(module {memory} (table 1 funcref) (elem (i32.const 5) $f) (func $f)
                 (func (export "_start")))"#
        );
        let result = ProcessBuilder::new(&crate::support::text(&text)).spawn();
        let message = match result {
            Err(error) => one_line(error),
            Ok(process) => process.wait().to_string(),
        };
        assert!(message.contains("table access"), "{message}");
        assert!(!message.contains("cannot be had"), "{message}");
    }
}

/// Data of a shared memory is written by the first thread, other data when the instance is
/// made: before the program starts.
#[test]
fn data_that_does_not_fit_is_a_trap_or_an_error_of_the_start() {
    let module = |more: &str| {
        let data = r#"(data (i32.const 65535) "ab") (func (export "_start"))"#;
        crate::support::text(&format!("(module {more} {data})"))
    };
    let status = crate::support::run(ProcessBuilder::new(&module(SHARED)));
    let trap = crate::support::trap(status);
    assert!(
        trap.reason.contains("out of bounds memory access"),
        "{trap}"
    );
    for more in ["(memory 1)", "(memory 1) (func $f) (start $f)"] {
        let error = ProcessBuilder::new(&module(more)).spawn();
        let message = one_line(error.unwrap_err());
        assert!(
            message.starts_with("the module cannot be instantiated: ")
                && message.contains("out of bounds memory access"),
            "{message}"
        );
    }
}

#[test]
fn names_of_the_runtime_are_refused() {
    let message = refusal(br#"(module (import "threadwork" "wait32:0" (func)))"#);
    assert!(message.contains("belongs to the runtime"), "{message}");
    let message = refusal(br#"(module (func (export "threadwork:reset")))"#);
    assert!(message.contains("belong to the runtime"), "{message}");
}

#[test]
fn a_folder_that_cannot_be_granted() {
    let module = text(r#"(module (func (export "_start")))"#);
    let builder = ProcessBuilder::new(&module).preopen_dir("/no/such/folder", "/");
    let message = one_line(builder.spawn().unwrap_err());
    assert!(
        message
            .starts_with("cannot open the directory /no/such/folder for the guest: No such file"),
        "{message}"
    );
}

#[test]
fn host_functions_that_cannot_be_defined() {
    let module = text(r#"(module (func (export "_start")))"#);
    let builder = ProcessBuilder::new(&module).linker(|linker| {
        linker
            .func_wrap("a", "b", || {})?
            .func_wrap("a", "b", || {})?;
        Ok(())
    });
    let message = one_line(builder.spawn().unwrap_err());
    assert!(
        message.starts_with("the host functions cannot be defined: "),
        "{message}"
    );
}

// ---- Damage ----

/// Loads, and if that works starts and kills: whatever happens, no panic and no hang.
fn survives(bytes: &[u8]) -> bool {
    let result = catch_unwind(|| match Module::new(engine(), bytes) {
        Ok(module) => {
            let builder = ProcessBuilder::new(&module).linker(|linker| {
                linker.func_wrap("stage", "say", |_: i32| {})?;
                linker.func_wrap("stage", "open", || 1)?;
                Ok(())
            });
            match builder.spawn() {
                Ok(process) => {
                    process.kill();
                    let _ = process.wait();
                }
                Err(error) => drop(one_line(error)),
            }
        }
        Err(error) => drop(one_line(error)),
    });
    result.is_ok()
}

fn small_module() -> Vec<u8> {
    wat::parse_str(plot_text(
        r#"(table 2 funcref) (elem (i32.const 0) $f) (global $g (mut i32) (i32.const 3))
           (data $passive "abc")
           (func $f (export "f") (memory.init $passive (i32.const 0) (i32.const 0) (i32.const 1))
             (data.drop $passive) (global.set $g (i32.const 1)))
           (func (export "wasi_thread_start") (param i32 i32) (call $count))
           (func (export "_start")
             (drop (call $spawn (i32.const 0)))
             (call $until_counted (i32.const 1))
             (call_indirect (i32.const 0)))"#,
    ))
    .unwrap()
}

#[test]
fn a_module_cut_short_at_every_byte() {
    let _watch = crate::support::Watch::start();
    let whole = small_module();
    assert!(Module::new(engine(), &whole).is_ok());
    for length in 0..whole.len() {
        assert!(survives(&whole[..length]), "cut to {length} bytes");
    }
    // Text, too.
    let text = std::fs::read(repository().join("guests/wat/single.wat")).unwrap();
    for length in 0..text.len() {
        assert!(survives(&text[..length]), "cut to {length} bytes");
    }
}

#[test]
fn two_thousand_damaged_modules() {
    let _watch = crate::support::Watch::start();
    let whole = small_module();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |end: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % end as u64) as usize
    };
    for round in 0..2000 {
        let mut damaged = whole.clone();
        for _ in 0..=random(3) {
            let at = random(damaged.len());
            match random(3) {
                0 => damaged[at] ^= 1 << random(8),
                1 => damaged[at] = random(256) as u8,
                _ => drop(damaged.remove(at)),
            }
        }
        assert!(survives(&damaged), "round {round}: {damaged:?}");
    }
}

#[test]
fn texts_that_the_program_would_read_as_others() {
    let module = crate::support::text(r#"(module (func (export "_start")))"#);
    let folder = tempfile::tempdir().unwrap();
    let new = || ProcessBuilder::new(&module);
    for (builder, message) in [
        (
            new().arg("a\0b"),
            "the argument \"a\\0b\" cannot be given to the program: it has a NUL character",
        ),
        (
            new().arg0("\0"),
            "the argument \"\\0\" cannot be given to the program: it has a NUL character",
        ),
        (
            new().env("A\0", "1"),
            "the variable \"A\\0\" cannot be given to the program: it has a NUL character",
        ),
        (
            new().env("A", "1\0z"),
            "the value \"1\\0z\" cannot be given to the program: it has a NUL character",
        ),
        (
            new().env("A=B", "1"),
            "the variable \"A=B\" cannot be given to the program: a name cannot have a `=`",
        ),
        (
            new().env("", "1"),
            "the variable \"\" cannot be given to the program: a name cannot be empty",
        ),
        (
            new().preopen_dir(folder.path(), "/\0"),
            "the directory's name \"/\\0\" cannot be given to the program: \
             it has a NUL character",
        ),
    ] {
        assert_eq!(one_line(builder.spawn().unwrap_err()), message);
    }
    let all_right = new().arg("").arg("a=b").env("A", "").env("B", "=");
    assert!(all_right.inherit_env().run().unwrap().success());
}
