//! Backtraces speak of the user's own files.

use crate::support::{
    Watch, engine, guest, output, repository, run, scrubbed, start, text, trap, wasm_guests,
};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use threadwork_engine::{Engine, ExitStatus, Module, ProcessBuilder, Trap};

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

/// Debug information of a function that traps, in DWARF 4.
struct Dwarf {
    info: Vec<u8>,
    abbreviations: Vec<u8>,
    lines: Vec<u8>,
    strings: Vec<u8>,
    ranges: Vec<u8>,
}

/// Bytes of all functions of the module, and more.
const CODE: u32 = 200;

impl Dwarf {
    /// The kinds of entries are 1, a unit; 2, a function; 3, an inlined function whose
    /// ranges are a list; 4, an inlined function in one place.
    fn new(files: usize) -> Self {
        let mut abbreviations = vec![1, 0x11, 1, 0x11, 1, 0x12, 6, 0x10, 0x17, 0x1b, 0x0e, 0, 0];
        abbreviations.extend([2, 0x2e, 1, 0x11, 1, 0x12, 6, 0, 0]);
        abbreviations.extend([3, 0x1d, 0, 0x55, 0x17, 0, 0]);
        abbreviations.extend([4, 0x1d, 1, 0x11, 1, 0x12, 6, 0, 0, 0]);
        let mut header = vec![1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0];
        for _ in 0..files {
            header.extend(b"a\x1b[2J.c\0\0\0\0");
        }
        header.push(0);
        let mut lines = vec![4, 0];
        lines.extend((header.len() as u32).to_le_bytes());
        lines.extend(header);
        // From 0, line 1, and 200 bytes on is the end.
        lines.extend([0, 5, 2, 0, 0, 0, 0, 1, 2, 200, 1, 0, 1, 1]);
        Self {
            info: Vec::new(),
            abbreviations,
            lines: sized(lines),
            strings: b"/folder\0".to_vec(),
            ranges: Vec::new(),
        }
    }

    /// Adds a unit with a function in which there are these entries.
    fn unit(mut self, entries: &[u8]) -> Self {
        let mut unit = vec![4, 0, 0, 0, 0, 0, 4, 1];
        unit.extend([0, CODE, 0, 0].map(u32::to_le_bytes).as_flattened());
        unit.push(2);
        unit.extend([0, CODE].map(u32::to_le_bytes).as_flattened());
        unit.extend(entries);
        unit.extend([0, 0]);
        self.info.extend(sized(unit));
        self
    }

    /// How a module with it traps.
    fn trap(&self) -> Trap {
        let mut binary =
            wat::parse_str("(module (memory 1 1 shared) (func (export \"_start\") unreachable))")
                .unwrap();
        let sections = [
            (".debug_info", &self.info),
            (".debug_abbrev", &self.abbreviations),
            (".debug_line", &self.lines),
            (".debug_str", &self.strings),
            (".debug_ranges", &self.ranges),
        ];
        for (name, data) in sections {
            wasm_encoder::Section::append_to(
                &wasm_encoder::CustomSection {
                    name: name.into(),
                    data: data.into(),
                },
                &mut binary,
            );
        }
        trap(run(ProcessBuilder::new(
            &Module::new(engine(), &binary).unwrap(),
        )))
    }

    /// That it is not read, and the trap is reported nevertheless.
    fn assert_refused(&self) {
        let trap = self.trap();
        let frames = trap.backtrace.frames();
        assert_eq!(frames.len(), 1, "{trap}");
        assert_eq!((&frames[0].file, frames[0].line), (&None, None), "{trap}");
        assert!(trap.to_string().contains("<function 0> @ 0x"), "{trap}");
    }

    /// Frames that are told of the place, if it is read.
    fn lines(&self) -> usize {
        let trap = self.trap();
        assert!(trap.to_string().contains("at /folder/a"), "{trap}");
        trap.backtrace.frames().len()
    }
}

/// With its length before it.
fn sized(data: Vec<u8>) -> Vec<u8> {
    let mut sized = (data.len() as u32).to_le_bytes().to_vec();
    sized.extend(data);
    sized
}

/// Functions that are inlined into each other.
fn inlined(depth: usize) -> Vec<u8> {
    let mut one = vec![4];
    one.extend([0, CODE].map(u32::to_le_bytes).as_flattened());
    let mut entries = one.repeat(depth);
    entries.resize(entries.len() + depth, 0);
    entries
}

#[test]
fn functions_inlined_deeper_than_the_stack_cost_the_lines_only() {
    assert_eq!(Dwarf::new(1).unit(&inlined(40)).lines(), 41);
    Dwarf::new(1).unit(&inlined(20_000)).assert_refused();
}

#[test]
fn units_that_share_what_is_long_cost_the_lines_only() {
    let shared = |units| (0..units).fold(Dwarf::new(1), |dwarf, _| dwarf.unit(&[]));
    assert_eq!(shared(2).lines(), 1);
    shared(200).assert_refused();
}

#[test]
fn a_list_of_ranges_that_all_refer_to_costs_the_lines_only() {
    let with = |functions: usize| {
        let mut dwarf = Dwarf::new(1).unit(&[3, 0, 0, 0, 0].repeat(functions));
        let ranges = [[1, 2]; 5000].map(|range| range.map(u32::to_le_bytes));
        dwarf.ranges = ranges.as_flattened().as_flattened().to_vec();
        dwarf.ranges.extend([0; 8]);
        dwarf
    };
    assert_eq!(with(2).lines(), 1);
    with(1000).assert_refused();
}

#[test]
fn a_folder_that_all_files_are_in_costs_the_lines_only() {
    let with = |files| {
        let mut dwarf = Dwarf::new(files).unit(&[]);
        dwarf.strings = [b"/folder/a".repeat(5000), vec![0]].concat();
        dwarf
    };
    assert_eq!(with(2).lines(), 1);
    with(2000).assert_refused();
}

#[test]
fn tables_of_abbreviations_that_overlap_cost_the_lines_only() {
    // Each unit has its own lines. Its table is what is left of a long one.
    let with = |units: usize| {
        let mut dwarf = (0..units).fold(Dwarf::new(1), |dwarf, _| dwarf.unit(&[]));
        let (unit, lines) = (dwarf.info.len() / units, dwarf.lines.len());
        for (number, unit) in dwarf.info.chunks_exact_mut(unit).enumerate() {
            unit[6..10].copy_from_slice(&(8 * number as u32).to_le_bytes());
            unit[20..24].copy_from_slice(&((lines * number) as u32).to_le_bytes());
        }
        dwarf.lines = dwarf.lines.repeat(units);
        let unused = (0..5000_u32).flat_map(|code| {
            let code = [code & 0x7f, code >> 7].map(|byte| byte as u8 | 0x80);
            [code[0], code[1], 0x81, 1, 0x11, 0, 0, 0]
        });
        dwarf.abbreviations.splice(..0, unused);
        dwarf
    };
    assert_eq!(with(2).lines(), 1);
    with(1000).assert_refused();
}

#[test]
fn file_names_do_not_reach_the_terminal_as_commands() {
    let trap = Dwarf::new(1).unit(&[]).trap();
    assert!(
        trap.to_string().contains("at /folder/a\u{fffd}[2J.c:1"),
        "{trap}"
    );
}

#[test]
fn a_backtrace_has_as_many_frames_as_the_embedder_wants() {
    let deep = |bottom: &str| {
        format!(
            r#"(module
                 (memory 1 1 shared)
                 (func $deep (param i32)
                   (if (i32.eqz (local.get 0)) (then {bottom}))
                   (call $deep (i32.sub (local.get 0) (i32.const 1))))
                 (func (export "_start") (call $deep (i32.const 200))))"#
        )
    };
    let waits = "(drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))";
    for (wanted, frames) in [(1, 1), (3, 3), (50, 50), (1000, 202)] {
        let count = NonZeroUsize::new(wanted).unwrap();
        let engine = Engine::builder().max_backtrace_frames(count).build();
        let engine = engine.unwrap();
        let ended = |bottom: &str| {
            let module = Module::new(&engine, deep(bottom).as_bytes()).unwrap();
            run(ProcessBuilder::new(&module))
        };
        let trap = trap(ended("unreachable"));
        assert_eq!(trap.backtrace.frames().len(), frames, "{trap}");
        let ExitStatus::Deadlock(report) = ended(waits) else {
            panic!("a thread that waits for itself");
        };
        assert_eq!(report.threads[0].backtrace.frames().len(), frames);
    }
}
