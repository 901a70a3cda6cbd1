//! The real thing: a program with threads, as rustc makes it.

use std::{path::Path, process::Command, time::Instant};

use crate::check::check;
use threadwork_rewrite::{OffsetMap, Options, SyncOp, rewrite, rewrite_with};
use wasm_encoder::reencode::{self, Reencode};

/// Compiles the program with threads, with options.
fn compile(name: &str, options: &[&str]) -> Vec<u8> {
    let target = ["--target=wasm32-wasip1-threads"];
    compile_fixture("threads.rs", name, &[&target, options].concat())
}

/// Compiles a fixture into the file `name`, with options, one of which is the target.
pub(crate) fn compile_fixture(source: &str, name: &str, options: &[&str]) -> Vec<u8> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(source);
    let module = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    let output = Command::new(rustc)
        .arg("--edition=2024")
        .args(options)
        .arg(&source)
        .arg("-o")
        .arg(&module)
        .output()
        .expect("cannot start rustc");
    assert!(
        output.status.success(),
        "cannot compile {name}; if a target is missing, \
         `rustup target add wasm32-wasip1-threads wasm32-unknown-unknown`\n{}",
        String::from_utf8_lossy(&output.stderr),
    );
    std::fs::read(module).unwrap()
}

#[test]
fn programs_with_threads_are_rewritten() {
    for (name, options) in [
        ("threads-debug.wasm", ["-Copt-level=0", "-Cdebuginfo=2"]),
        ("threads-release.wasm", ["-Copt-level=3", "-Cstrip=none"]),
        (
            "threads-stripped.wasm",
            ["-Copt-level=s", "-Cstrip=symbols"],
        ),
    ] {
        let wasm = compile(name, &options);
        let new = rewrite(&wasm).unwrap();
        check(&wasm, &new);

        assert!(new.has_enter, "{name}: the start function writes the data");
        assert!(new.has_reset, "{name}: workers use instances again");
        let [memory] = new.memories.as_slice() else {
            panic!("{name}: {:?}", new.memories);
        };
        assert_eq!(
            (memory.module.as_str(), memory.name.as_str()),
            ("env", "memory")
        );
        let ops: Vec<_> = new.sync.iter().map(|sync| sync.op).collect();
        for op in [SyncOp::Wait32, SyncOp::Notify, SyncOp::Grow] {
            assert!(ops.contains(&op), "{name}: {ops:?}");
        }

        // The stack is known, by its name or by wasi-libc's `wasi_thread_start`.
        let options = Options {
            stack_check: true,
            ..Options::default()
        };
        let overflow = rewrite_with(&wasm, options).unwrap().stack_overflow;
        assert!(overflow.is_some(), "{name}");

        let stored = new.offsets.to_bytes();
        assert_eq!(OffsetMap::from_bytes(&stored).as_ref(), Some(&new.offsets));
        println!(
            "{name}: {} bytes, {} after; map: {} runs, {} bytes",
            wasm.len(),
            new.wasm.len(),
            new.offsets.len(),
            stored.len(),
        );
        // DWARF stays with the original, and everything else stays.
        let has = |wasm: &[u8], what: &[u8]| wasm.windows(what.len()).any(|w| w == what);
        assert!(!has(&new.wasm, b"\x0b.debug_info"));
        if name != "threads-stripped.wasm" {
            assert!(has(&wasm, b"\x0b.debug_info"));
            assert!(has(&new.wasm, b"target_features"));
        }
    }
}

/// The code of the fixture, over and over until it is 2 MB.
#[test]
fn a_large_program_takes_milliseconds() {
    let wasm = repeat_code(&compile(
        "threads-large.wasm",
        &["-Copt-level=s", "-Cstrip=symbols"],
    ));
    let start = Instant::now();
    let new = rewrite(&wasm).unwrap();
    let time = start.elapsed();
    check(&wasm, &new);
    println!("{} bytes: {time:?}, {} runs", wasm.len(), new.offsets.len());
    // An order of magnitude more than it takes, for a busy machine, without
    // optimisation two.
    let most = if cfg!(debug_assertions) { 5_000 } else { 500 };
    assert!(time.as_millis() < most, "{time:?}");
}

/// Repeats every function: the copies do what the originals do.
fn repeat_code(wasm: &[u8]) -> Vec<u8> {
    struct Repeat {
        times: usize,
    }

    impl Reencode for Repeat {
        type Error = std::convert::Infallible;

        fn parse_function_section(
            &mut self,
            functions: &mut wasm_encoder::FunctionSection,
            section: wasmparser::FunctionSectionReader<'_>,
        ) -> Result<(), reencode::Error> {
            for _ in 0..self.times {
                reencode::utils::parse_function_section(self, functions, section.clone())?;
            }
            Ok(())
        }

        fn parse_code_section(
            &mut self,
            code: &mut wasm_encoder::CodeSection,
            section: wasmparser::CodeSectionReader<'_>,
        ) -> Result<(), reencode::Error> {
            for _ in 0..self.times {
                reencode::utils::parse_code_section(self, code, section.clone())?;
            }
            Ok(())
        }
    }

    let times = 2_000_000 / wasm.len() + 1;
    let mut module = wasm_encoder::Module::new();
    Repeat { times }
        .parse_core_module(&mut module, wasmparser::Parser::new(0), wasm)
        .unwrap();
    module.finish()
}
