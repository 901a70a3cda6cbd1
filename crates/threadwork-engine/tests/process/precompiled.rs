//! Machine code is shipped whole, and for the engine that it was made for.

use threadwork_engine::{Engine, Error, Module, ProcessBuilder, Stopping};

const PROGRAM: &[u8] = br#"(module
    (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
    (import "env" "memory" (memory 1 1 shared))
    (func $fails (unreachable))
    (func (export "wasi_thread_start") (param i32 i32) (call $fails))
    (func (export "_start")
      (drop (call $spawn (i32.const 0)))
      (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))))"#;

fn load(engine: &Engine, code: &[u8]) -> Result<Module, Error> {
    // SAFETY: it was precompiled by this test; what was changed in it has another checksum.
    unsafe { Module::deserialize(engine, code) }
}

#[test]
fn it_does_what_the_module_does() {
    let engine = Engine::new().unwrap();
    let code = Module::precompile(&engine, PROGRAM).unwrap();
    let run = |module: &Module| ProcessBuilder::new(module).run().unwrap().to_string();
    // Threads, the reports of their traps and all.
    let expected = run(&Module::new(&engine, PROGRAM).unwrap());
    assert!(expected.contains("thread 1 trapped"), "{expected}");
    assert!(expected.contains("fails"), "{expected}");
    assert_eq!(run(&load(&engine, &code).unwrap()), expected);
    // Another engine of the same kind will do.
    let other = Engine::new().unwrap();
    assert_eq!(run(&load(&other, &code).unwrap()), expected);
}

#[test]
fn engines_with_other_settings_refuse_it() {
    let code = Module::precompile(&Engine::new().unwrap(), PROGRAM).unwrap();
    for other in [
        Engine::builder().stopping(Stopping::Poll),
        Engine::builder().stopping(Stopping::Never),
        Engine::builder().check_stacks(false),
    ] {
        let refused = load(&other.build().unwrap(), &code).unwrap_err();
        assert!(matches!(refused, Error::PrecompiledElsewhere), "{refused}");
    }
}

#[test]
fn what_is_not_whole_is_refused() {
    let engine = Engine::new().unwrap();
    let code = Module::precompile(&engine, PROGRAM).unwrap();
    let refused = |code: &[u8]| {
        let refused = load(&engine, code).unwrap_err();
        assert!(matches!(refused, Error::NotPrecompiled { .. }), "{refused}");
    };
    for length in (0..code.len()).step_by(97).chain(0..200) {
        refused(&code[..length]);
    }
    for at in (0..code.len()).step_by(211).chain(0..100) {
        let mut changed = code.clone();
        changed[at] ^= 1;
        refused(&changed);
    }
    refused(PROGRAM);
    refused(&[code.as_slice(), b"more"].concat());
}

#[test]
fn what_does_not_compile_is_refused_as_ever() {
    let engine = Engine::new().unwrap();
    let expected = Module::new(&engine, b"(module (func (nonsense)))").unwrap_err();
    let refused = Module::precompile(&engine, b"(module (func (nonsense)))").unwrap_err();
    assert_eq!(refused.to_string(), expected.to_string());
}
