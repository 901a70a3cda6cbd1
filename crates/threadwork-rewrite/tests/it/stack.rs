//! The end of the stack in linear memory is seen, where it is, and nowhere else.

use crate::{interpreter::Running, rustc_module::compile_fixture};
use threadwork_rewrite::{
    FEATURES, Options, RED_ZONE, Rewritten, STACK_LOW, STACK_SIZE, rewrite, rewrite_with,
};
use wasmi::{TrapCode, Val};
use wasmparser::Validator;

fn checked(wasm: &[u8]) -> Rewritten {
    let options = Options {
        stack_check: true,
        ..Options::default()
    };
    let new = rewrite_with(wasm, options).unwrap();
    Validator::new_with_features(FEATURES)
        .validate_all(&new.wasm)
        .unwrap();
    new
}

fn checked_text(text: &str) -> Rewritten {
    checked(&wat::parse_str(text).unwrap())
}

/// How deep the fixture comes until it traps, and how.
fn deepest(program: &mut Running) -> (i32, TrapCode) {
    let mut depth = 0;
    loop {
        match program.results("descend", &[Val::I32(depth)]) {
            Ok([Val::I32(sum)]) => {
                let right = (1..=depth).map(|n| n & 0xff).sum::<i32>();
                assert_eq!(sum, right, "at {depth}");
            }
            Ok(other) => panic!("{other:?}"),
            Err(trap) => return (depth, trap),
        }
        depth += 1;
    }
}

/// Where the fixture's static data is.
fn place_of_data(program: &mut Running) -> usize {
    let [place] = program.results("data", &[]).unwrap();
    place.i32().unwrap() as usize
}

fn data(program: &Running, place: usize) -> &[u8] {
    &program.memories[0].data(&program.store)[place..place + 4096]
}

#[test]
fn rust_programs_stop_at_the_end_of_their_stack() {
    let target = "--target=wasm32-unknown-unknown";
    let size = "-Clink-arg=-zstack-size=65536";
    for (name, optimize, layout, strip) in [
        ("deep-first.wasm", "-O", "--stack-first", "none"),
        ("deep-last.wasm", "-O", "--no-stack-first", "none"),
        (
            "deep-debug.wasm",
            "-Copt-level=0",
            "--no-stack-first",
            "none",
        ),
        (
            "deep-stripped.wasm",
            "-O",
            "--export=__stack_pointer",
            "symbols",
        ),
    ] {
        let options = [
            target,
            size,
            optimize,
            "--crate-type=cdylib",
            "-Cpanic=abort",
            &format!("-Clink-arg={layout}"),
            &format!("-Cstrip={strip}"),
        ];
        let wasm = compile_fixture("deep.rs", name, &options);
        let new = checked(&wasm);
        assert!(new.stack_overflow.is_some(), "{name}");
        let mut program = Running::new(&new.wasm, &[]);
        let place = place_of_data(&mut program);
        let (depth, trap) = deepest(&mut program);
        println!("{name}: {depth} deep");
        assert_eq!(trap, TrapCode::UnreachableCodeReached, "{name}");
        // A frame and a bit each, of 64 KiB.
        assert!((55..=64).contains(&depth), "{name}: {depth}");
        assert!(
            data(&program, place).iter().all(|&byte| byte == 7),
            "{name}"
        );
    }
}

/// The module of [`rust_programs_stop_at_the_end_of_their_stack`] without the check: that
/// it does harm.
#[test]
fn without_the_check_other_data_is_overwritten() {
    let options = [
        "--target=wasm32-unknown-unknown",
        "-Clink-arg=-zstack-size=65536",
        "-O",
        "--crate-type=cdylib",
        "-Cpanic=abort",
        "-Clink-arg=--no-stack-first",
    ];
    let wasm = compile_fixture("deep.rs", "deep-unchecked.wasm", &options);
    let mut program = Running::new(&rewrite(&wasm).unwrap().wasm, &[]);
    let place = place_of_data(&mut program);
    program.results::<1>("descend", &[Val::I32(67)]).unwrap();
    assert!(!data(&program, place).iter().all(|&byte| byte == 7));
}

/// A frame of any size, up to 2 GiB, and past address 0.
#[test]
fn one_frame_of_any_size() {
    let new = checked_text(
        r#"(module
            (memory 2)
            (global $__stack_pointer (mut i32) (i32.const 66560))
            (data (i32.const 1000) "0123456789abcdef0123456789")
            (func (export "lower") (param i32)
                (local $before i32)
                (local.set $before (global.get $__stack_pointer))
                (global.set $__stack_pointer
                    (i32.sub (global.get $__stack_pointer) (local.get 0)))
                (global.set $__stack_pointer
                    (i32.add (global.get $__stack_pointer) (i32.const 16)))
                (global.set $__stack_pointer (local.get $before))))"#,
    );
    // The data's end.
    let end = 1026 + RED_ZONE as i32;
    for (size, fits) in [
        (0, true),
        (16, true),
        (66560 - end, true),
        (66560 - end + 1, false),
        (66560, false),
        (66561, false),
        (i32::MAX, false),
    ] {
        let mut program = Running::new(&new.wasm, &[]);
        assert_eq!(program.global(STACK_LOW).i32(), Some(end));
        assert_eq!(program.global(STACK_SIZE).i32(), Some(66560 - 1026));
        let result = program.call("lower", &[Val::I32(size)]);
        let overflow = Err(TrapCode::UnreachableCodeReached);
        assert_eq!(result, if fits { Ok(()) } else { overflow }, "{size}");
    }
}

/// What wasi-libc makes of a thread's block, and its `wasi_thread_start`.
#[test]
fn a_thread_of_wasi_libc_has_a_stack_of_its_own() {
    let new = checked_text(
        r#"(module
            (memory (import "env" "a") 4 4 shared)
            (global $sp (mut i32) (i32.const 65536))
            (global $tls (mut i32) (i32.const 0))
            (func (export "set") (param i32 i32) (i32.store (local.get 0) (local.get 1)))
            (func (export "wasi_thread_start") (param i32 i32)
                (global.set $sp (i32.load (local.get 1)))
                (global.set $tls (i32.load offset=4 (local.get 1)))
                (call $lower (i32.load offset=8 (local.get 1))))
            (func $lower (param i32)
                (global.set $sp (i32.sub (global.get $sp) (local.get 0)))))"#,
    );
    const MAP: i32 = 0x20000;
    const LIMIT: i32 = MAP + 16;
    const ARGUMENTS: i32 = MAP + 0x4000;
    const TOP: i32 = ARGUMENTS - 16;
    const TLS: i32 = ARGUMENTS + 0x100;
    let most = TOP - LIMIT - RED_ZONE as i32;
    for pthread in [TLS, TLS + 60, TLS + 0x8000] {
        let block = [
            (ARGUMENTS, TOP),
            (ARGUMENTS + 4, TLS),
            (pthread, pthread),
            (pthread + 40, MAP),
            (pthread + 48, TOP),
            (pthread + 52, ARGUMENTS - LIMIT),
        ];
        let start = |frame: i32, block: &[(i32, i32)]| {
            let mut thread = Running::new(&new.wasm, &[4]);
            for &(place, word) in [(ARGUMENTS + 8, frame)].iter().chain(block) {
                let operands = [place, word].map(Val::I32);
                thread.call("set", &operands).unwrap();
            }
            let operands = [1, ARGUMENTS].map(Val::I32);
            let result = thread.call("wasi_thread_start", &operands);
            assert!(result.is_ok() || thread.global(STACK_SIZE).i32() == Some(TOP - LIMIT));
            (result, thread.global(STACK_LOW).i32().unwrap())
        };
        let low = LIMIT + RED_ZONE as i32;
        assert_eq!(start(most, &block), (Ok(()), low));
        let overflow = Err(TrapCode::UnreachableCodeReached);
        assert_eq!(start(most + 1, &block), (overflow, low));
        assert_eq!(start(TOP + 1, &block), (overflow, low));

        // What is not as libc makes it is no bound, and harms nobody.
        let no_bound = TOP.wrapping_sub(i32::MAX);
        for wrong in 2..6 {
            let mut block = block;
            block[wrong].1 = 0x7fff_0000;
            assert_eq!(start(most + 1, &block), (Ok(()), no_bound), "{wrong}");
        }
    }
}

/// Where it is not known, or not one: no check, and nothing else either.
#[test]
fn modules_that_are_not_checked() {
    let switches = |function: &str| {
        format!(
            "(module (memory 2)
                (global $__stack_pointer (mut i32) (i32.const 66560))
                (func (global.set $__stack_pointer
                    (i32.sub (global.get $__stack_pointer) (i32.const 16))))
                {function})"
        )
    };
    for text in [
        // Another name.
        switches("").replace("__stack_pointer", "sp"),
        // It is set to what may be anywhere.
        switches("(func (param i32) (global.set $__stack_pointer (local.get 0)))"),
        switches("(func (global.set $__stack_pointer (i32.load (i32.const 0))))"),
        switches("(func $f (result i32) (global.set $__stack_pointer (call $f)) (call $f))"),
        switches(
            "(func $f (result i32)
                (global.set $__stack_pointer (i32.add (call $f) (i32.const 65536)))
                (call $f))",
        ),
        // No code lowers it.
        switches("").replace("sub", "add"),
        // Threads start in an unusual way.
        switches("(func (export \"wasi_thread_start\") (param i32 i32))"),
        // Its first value is not known here.
        switches("")
            .replace(
                "(mut i32) (i32.const 66560)",
                "(import \"a\" \"b\") (mut i32)",
            )
            .replace("(memory 2)", "")
            .replace("(module", "(module (memory (import \"a\" \"m\") 2)"),
    ] {
        let wasm = wat::parse_str(&text).unwrap();
        let new = checked(&wasm);
        assert_eq!(new.stack_overflow, None, "{text}");
        assert_eq!(new, rewrite(&wasm).unwrap(), "{text}");
    }
    for text in [
        switches(""),
        // A parameter that was set is a local.
        switches(
            "(func (param i32) (local.set 0 (i32.const 9)) (global.set $__stack_pointer (local.get 0)))",
        ),
        // A frame with an alignment of its own.
        switches(
            "(func (global.set $__stack_pointer
                (i32.and (i32.sub (global.get $__stack_pointer) (i32.const 99)) (i32.const -64))))",
        ),
    ] {
        assert!(checked_text(&text).stack_overflow.is_some(), "{text}");
    }
}
