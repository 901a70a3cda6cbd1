//! Every race of a list is found, and its twin, which has none, is found to have none.

// In helpers as in tests, an `unwrap` is an assertion.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use threadwork_engine::{Engine, Module, Output, ProcessBuilder};
use threadwork_race::{Race, Report, ReportKind, Suppressions};

/// Compiles a fixture, with options.
fn compile(name: &str, options: &[&str]) -> Vec<u8> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/races.rs");
    let module = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    let output = Command::new(rustc)
        .args(["--edition=2024", "--target=wasm32-wasip1-threads"])
        .args(["-Copt-level=2", "-Ctarget-feature=+simd128"])
        .args(options)
        .arg(&source)
        .arg("-o")
        .arg(&module)
        .output()
        .expect("rustc starts");
    assert!(
        output.status.success(),
        "if the target is missing, `rustup target add wasm32-wasip1-threads`\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::read(module).unwrap()
}

/// Runs the program; what it reports, and what it prints.
fn run(module: &Module, race: &Race, args: &[&str]) -> (Vec<Report>, String) {
    let race = race.fresh();
    let builder = ProcessBuilder::new(module).args(args.iter().copied());
    let builder = builder.stdout(Output::Buffer).stderr(Output::Buffer);
    let process = race.watch(builder).spawn().unwrap();
    let status = process.wait();
    // The allocator itself traps on some double frees.
    assert!(
        status.success() || args == ["double_free", "racy"],
        "{args:?}: {status}"
    );
    let printed = String::from_utf8(process.stdout_buffer()).unwrap();
    (race.reports(), printed)
}

#[test]
fn seeded_races_are_found_and_their_twins_are_clean() {
    let engine = Engine::new().unwrap();
    let wasm = compile("races.wasm", &["-Cdebuginfo=1"]);
    let (module, race) = threadwork_race::load(&engine, &wasm).unwrap();
    assert!(race.has_names());
    let (nothing, names) = run(&module, &race, &[]);
    assert!(nothing.is_empty(), "{}", nothing[0]);
    let names: Vec<_> = names.lines().collect();
    assert!(names.len() >= 40, "{}", names.len());
    let mut wrong = Vec::new();
    for name in names {
        let (found, _) = run(&module, &race, &[name, "racy"]);
        if found.is_empty() {
            wrong.push(format!("{name}: nothing found"));
        }
        for report in &found {
            let expected = match name {
                "freed_memory" | "used_after_realloc" => ReportKind::UseAfterFree,
                "double_free" => ReportKind::DoubleFree,
                // Which of them comes first is chance.
                "freed_by_another" => report.kind,
                _ => ReportKind::Race,
            };
            let text = report.to_string();
            // Both stacks, with the lines of the program.
            let lines = text.matches("races.rs:").count();
            if report.kind != expected || lines < 2 {
                wrong.push(format!("{name}: {text}"));
            }
            assert!(!Suppressions::default().suppress(report), "{text}");
        }
        let (found, _) = run(&module, &race, &[name, "right"]);
        wrong.extend(
            found
                .iter()
                .map(|report| format!("{name}, right: {report}")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
