//! A compile in a process of its own ends when its time, or its memory, is used up.

use crate::support::{Watch, run};
use std::time::{Duration, Instant};
use threadwork_engine::{CompilerProcess, Engine, Error, Module, ProcessBuilder};

/// No test: what this program is when an engine starts it as its compiler.
#[test]
#[ignore = "it is started by the other tests"]
fn compiler() {
    CompilerProcess::serve().unwrap();
}

fn this_program() -> CompilerProcess {
    CompilerProcess::new(std::env::current_exe().unwrap())
        .arg("--exact")
        .arg("compile_process::compiler")
        .arg("--ignored")
        .time(Duration::MAX)
}

fn load(process: CompilerProcess, text: &str) -> Result<Module, Error> {
    let engine = Engine::builder().compiler_process(process).build().unwrap();
    Module::new(&engine, text.as_bytes())
}

/// One function of 100 KB, which takes minutes and gigabytes.
fn slow() -> String {
    let (values, calls) = ("i64 ".repeat(100), "call 0 ".repeat(50_000));
    let zeros = "i64.const 0 ".repeat(100);
    format!("(module (func (param {values}) (result {values}) {zeros} {calls}))")
}

#[test]
fn its_code_runs() {
    let _watch = Watch::start();
    let small = r#"(module (func (export "_start")))"#.to_owned();
    // More than fits into a socket at one time, in both directions.
    let function = "(func (drop (i32.add (i32.const 1) (i32.const 70000))))".repeat(40_000);
    let large = format!("(module {function} (func (export \"_start\")))");
    for text in [small, large] {
        let module = load(this_program(), &text).unwrap();
        assert!(run(ProcessBuilder::new(&module)).success());
    }
}

#[test]
fn time_is_bounded() {
    let _watch = Watch::start();
    let limit = Duration::from_millis(500);
    let begin = Instant::now();
    let error = load(this_program().time(limit), &slow()).unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(20));
    assert!(
        matches!(error, Error::CompileTime { limit: found } if found == limit),
        "{error}"
    );
    // Nor does one wait for a program that never reads.
    let sleeper = CompilerProcess::new("sleep").arg("1000").time(limit);
    let error = load(sleeper, &slow()).unwrap_err();
    assert!(matches!(error, Error::CompileTime { .. }), "{error}");
    assert!(error.to_string().contains("500ms"), "{error}");
}

#[test]
fn memory_is_bounded() {
    let _watch = Watch::start();
    let error = load(this_program().memory(64 << 20), &slow()).unwrap_err();
    assert!(
        matches!(error, Error::CompileMemory { limit } if limit == 64 << 20),
        "{error}"
    );
    assert!(error.to_string().contains("67108864 bytes"), "{error}");
}

#[test]
fn a_program_that_is_no_compiler_is_told_so() {
    let _watch = Watch::start();
    for program in ["/there/is/none", "true", "cat"] {
        let error = load(CompilerProcess::new(program), &slow()).unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, Error::CompilerProcess { .. }), "{message}");
        assert!(message.contains(program), "{message}");
    }
}
