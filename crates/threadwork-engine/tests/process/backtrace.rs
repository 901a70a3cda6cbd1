//! Backtraces speak of the user's own files.

use crate::support::{
    Watch, engine, guest, output, repository, run, scrubbed, start, text, trap, wasm_guests,
};
use std::path::PathBuf;
use threadwork_engine::{ExitStatus, Module, ProcessBuilder, Trap};

/// The guest `endings`, trapping in a thread.
fn trapping(module: &Module) -> Trap {
    trap(run(
        ProcessBuilder::new(module).args(["thread", "trap", "wait"])
    ))
}

/// The line of a text in the source of `endings`, from 1.
fn line_of(text: &str) -> u32 {
    let source = repository().join("guests/conformance/src/bin/endings.rs");
    let source = std::fs::read_to_string(source).unwrap();
    let line = source
        .lines()
        .position(|line| line.contains(text))
        .expect("the line is there");
    line as u32 + 1
}

#[test]
fn with_debug_information_frames_have_files_and_lines() {
    let _watch = Watch::with(std::time::Duration::from_secs(300));
    let folder = tempfile::tempdir().unwrap();
    let module = with_debug_information(folder.path().to_owned());
    let trap = trapping(&module);
    let frames = trap.backtrace.frames();
    let at = |line: u32| {
        frames.iter().any(|frame| {
            frame.line == Some(line)
                && frame
                    .file
                    .as_deref()
                    .is_some_and(|f| f.ends_with("bin/endings.rs"))
        })
    };
    assert!(at(line_of("wasm32::unreachable()")), "{trap}");
    assert!(at(line_of("=> trap(),")), "{trap}");
    assert!(trap.to_string().contains("endings.rs:"), "{trap}");
    let name = frames.iter().filter_map(|frame| frame.function.as_deref());
    assert!(
        name.clone().any(|name| name == "endings::trap"),
        "{:?}",
        name.collect::<Vec<_>>()
    );

    // A deadlock has them, too. Only one module is compiled with them: `endings` whose
    // thread returns and is joined does not lock up, so look at a trap of main.
    let of_main = run(ProcessBuilder::new(&module).args(["main", "trap", "wait"]));
    assert!(of_main.to_string().contains("endings.rs:"), "{of_main}");
}

/// `endings`, compiled alone with `-C debuginfo=1`.
fn with_debug_information(folder: PathBuf) -> Module {
    let conformance = wasm_guests().join("libconformance.rlib");
    let compiled = folder.join("endings.wasm");
    let status = scrubbed("rustc")
        .current_dir(repository().join("guests/conformance"))
        .args([
            "--edition",
            "2024",
            "--target",
            "wasm32-wasip1-threads",
            "-C",
            "opt-level=2",
        ])
        .args(["-C", "debuginfo=1", "src/bin/endings.rs", "-o"])
        .arg(&compiled)
        .arg("--extern")
        .arg(format!("conformance={}", conformance.display()))
        .arg("-L")
        .arg(wasm_guests().join("deps"))
        .status();
    assert!(status.unwrap().success(), "the guest does not compile");
    Module::from_file(engine(), compiled).unwrap()
}

#[test]
fn without_debug_information_frames_have_names_and_offsets() {
    let trap = trapping(&guest("endings"));
    let frames = trap.backtrace.frames();
    let names: Vec<_> = frames
        .iter()
        .filter_map(|f| f.function.as_deref())
        .collect();
    assert!(
        names[0] == "endings::trap" && names.contains(&"endings::end"),
        "{names:?}"
    );
    assert!(
        names
            .iter()
            .all(|name| !name.starts_with("_ZN") && !name.starts_with("_R"))
    );

    // The offset of the innermost is that of an `unreachable` in the file.
    let file = std::fs::read(wasm_guests().join("endings.wasm")).unwrap();
    assert_eq!(file[frames[0].offset.unwrap()], 0x00, "{trap}");
    let code = |frame: &&threadwork_engine::Frame| frame.offset.unwrap() < file.len();
    assert!(
        frames
            .iter()
            .filter(|frame| frame.offset.is_some())
            .all(|frame| code(&frame))
    );
    assert!(
        trap.to_string()
            .contains(&format!("@ {:#x}", frames[0].offset.unwrap()))
    );
}

/// Everything that the rewriter adds and moves, and the offsets are still the file's.
#[test]
fn offsets_point_into_the_file_as_it_was() {
    let wat = r#"(module
        (memory 1 1 shared)
        (data (i32.const 0) "abc") (data $late "def")
        (global (mut i32) (i32.const 5))
        (func $before (drop (memory.atomic.notify (i32.const 0) (i32.const 1))))
        (func $inner
          (drop (memory.atomic.wait32 (i32.const 4) (i32.const 1) (i64.const -1)))
          (memory.init $late (i32.const 8) (i32.const 0) (i32.const 3))
          (data.drop $late)
          (call $before)
          (i32.div_s (i32.const 1) (i32.load (i32.const 4)))
          drop)
        (func (export "_start") (call $before) (call $inner)))"#;
    let binary = wat::parse_str(wat).unwrap();
    for module in [text(wat), Module::new(engine(), &binary).unwrap()] {
        let trap = trap(run(ProcessBuilder::new(&module)));
        let frames = trap.backtrace.frames();
        assert_eq!(frames.len(), 2, "{trap}");
        assert_eq!(frames[0].function.as_deref(), Some("inner"));
        // i32.div_s, and a call.
        assert_eq!(binary[frames[0].offset.unwrap()], 0x6d, "{trap}");
        assert_eq!(binary[frames[1].offset.unwrap()], 0x10, "{trap}");
    }
}

/// A trap in what stands for an operator is at the operator.
#[test]
fn a_trap_of_a_wait_is_where_the_wait_was() {
    let wat = r#"(module
        (memory 1 1 shared)
        (func (export "_start")
          (drop (memory.atomic.wait32 (i32.const 2) (i32.const 0) (i64.const -1)))))"#;
    let binary = wat::parse_str(wat).unwrap();
    let trap = trap(run(ProcessBuilder::new(&text(wat))));
    assert_eq!(trap.reason, "unaligned atomic");
    let frame = &trap.backtrace.frames()[0];
    assert_eq!(binary[frame.offset.unwrap()..][..2], [0xfe, 0x01]);
}

#[test]
fn a_module_without_names_has_numbers() {
    let mut binary = wat::parse_str("(module (func (export \"_start\") unreachable))").unwrap();
    // The name section is last; there is none for a function without a name.
    assert!(!binary.windows(4).any(|bytes| bytes == b"name"));
    let trap = trap(run(ProcessBuilder::new(
        &Module::new(engine(), &binary).unwrap(),
    )));
    assert!(trap.to_string().contains("<function 0> @ 0x"), "{trap}");

    // Debug information that is nonsense costs the lines and nothing else.
    for name in [".debug_line", ".debug_info", ".debug_abbrev"] {
        binary.extend([0, name.len() as u8 + 1 + 40, name.len() as u8]);
        binary.extend(name.as_bytes());
        binary.extend([0xee; 40]);
    }
    let process = start(ProcessBuilder::new(
        &Module::new(engine(), &binary).unwrap(),
    ));
    match process.wait() {
        ExitStatus::Trapped(trap) => assert!(trap.to_string().contains("@ 0x"), "{trap}"),
        other => panic!("{other}"),
    }
}

/// Rust's standard library counts threads from 1, and its panics say so.
#[test]
fn a_report_has_the_number_that_a_panic_has() {
    let done = output(ProcessBuilder::new(&guest("endings")).args(["thread", "panic", "wait"]));
    let number = done.stderr.split(" panicked at").next().unwrap();
    let number = number.rsplit(' ').next().unwrap();
    assert!(number.starts_with('('), "{}", done.stderr);
    let number: u32 = number.trim_matches(['(', ')']).parse().unwrap();
    let name = format!(
        "thread {} ({number} in Rust's messages) trapped",
        number - 1
    );
    let report = done.status.to_string();
    assert!(report.starts_with(&name), "{report}\n{}", done.stderr);
}

/// Nobody else counts so.
#[test]
fn a_report_of_another_language_has_one_number() {
    let module = text(
        r#"(module (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
             (memory 1 1 shared)
             (func (export "wasi_thread_start") (param i32 i32) unreachable)
             (func (export "_start") (drop (call $spawn (i32.const 0)))
               (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))))"#,
    );
    let report = run(ProcessBuilder::new(&module)).to_string();
    assert!(report.starts_with("thread 1 trapped"), "{report}");
}
