//! What a program gets that is linked with this crate: modules are built, looked into, and
//! run by Node.
#![cfg(all(not(target_family = "wasm"), not(miri)))]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use wasmparser::{KnownCustom, Name, Operator, Parser, Payload};

#[test]
fn each_call_is_its_instruction_and_nothing_else() {
    let module = Contents::of(&build(&[], "wasm32-wasip1-threads", ""));
    let expected = [
        ("wait32", "MemoryAtomicWait32", 3),
        ("wait64", "MemoryAtomicWait64", 3),
        ("notify", "MemoryAtomicNotify", 2),
    ];
    for (name, instruction, parameters) in expected {
        let symbol = format!("__wasm_futex_{name}_v");
        let mut found = module
            .functions
            .iter()
            .filter(|f| f.name.starts_with(&symbol));
        let function = found
            .next()
            .unwrap_or_else(|| panic!("no function {symbol}*"));
        assert!(found.next().is_none(), "more than one {symbol}*");

        let (operands, rest) = function.body.split_at(parameters);
        for (index, operand) in operands.iter().enumerate() {
            assert_eq!(operand, &format!("LocalGet {{ local_index: {index} }}"));
        }
        let [atomic, end] = rest else {
            panic!("{symbol}*: {:?}", function.body);
        };
        assert!(atomic.starts_with(instruction), "{atomic}");
        assert!(atomic.contains(" offset: 0,"), "{atomic}");
        assert_eq!(end, "End");
    }

    for (from, name) in &module.imports {
        let known = from == "wasi_snapshot_preview1"
            || (from == "wasi" && name == "thread-spawn")
            || (from == "env" && name == "memory");
        assert!(known, "an import of {from}.{name}");
    }
    for name in &module.exports {
        assert!(!name.contains("wasm_futex"), "an export of {name}");
    }
}

#[test]
fn without_threads_there_are_no_such_instructions() {
    let path = build(&[], "wasm32-wasip1", "");
    let module = Contents::of(&path);
    for function in &module.functions {
        assert!(!function.name.contains("wasm_futex_"), "{}", function.name);
        for operator in &function.body {
            assert!(
                !operator.contains("Atomic"),
                "{}: {operator}",
                function.name
            );
        }
    }

    let Some(output) = run_in_node("single.mjs", &path) else {
        return;
    };
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("this wait would never end"), "{message}");
    assert!(
        message.contains("build it for wasm32-wasip1-threads"),
        "{message}"
    );
}

#[test]
fn threads_of_javascript_wait_and_notify() {
    if !has_nightly_sources() {
        println!("skipped: needs rustup's nightly toolchain with the component rust-src");
        return;
    }
    let flags = "-C target-feature=+atomics,+bulk-memory,+mutable-globals \
        -C link-arg=--shared-memory -C link-arg=--import-memory \
        -C link-arg=--max-memory=67108864 -C link-arg=--export=__stack_pointer \
        -C link-arg=--export=__wasm_init_tls -C link-arg=--export=__tls_size";
    let nightly = ["+nightly", "-Zbuild-std=std,panic_abort"];
    let path = build(&nightly, "wasm32-unknown-unknown", flags);
    run_in_node("threads.mjs", &path);
}

// Building

/// The fixture, built for `target` by stable Rust or as `options` say.
fn build(options: &[&str], target: &str, flags: &str) -> PathBuf {
    let directory = match env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => PathBuf::from(directory).join("guests"),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guests"),
    };
    // A toolchain is named before the command, everything else after it.
    let (toolchain, options): (Vec<&str>, Vec<&str>) =
        options.iter().partition(|option| option.starts_with('+'));
    let mut cargo = scrubbed("cargo");
    if !toolchain.is_empty() {
        cargo.env_remove("RUSTUP_TOOLCHAIN");
    }
    let output = cargo
        .args(toolchain)
        .args(["build", "--release", "--quiet", "--target", target])
        .args(options)
        .arg("--target-dir")
        .arg(&directory)
        .arg("--manifest-path")
        .arg(fixtures().join("exports/Cargo.toml"))
        .env("RUSTFLAGS", flags)
        .output()
        .expect("cargo runs, as it has built this test");
    assert!(
        output.status.success(),
        "the fixture does not build; if its target is missing: rustup target add {target}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    directory.join(target).join("release/exports.wasm")
}

/// A command without what the `cargo` around us has set for its own children.
fn scrubbed(program: &str) -> Command {
    const KEEP: [&str; 4] = [
        "CARGO_HOME",
        "CARGO_NET_OFFLINE",
        "RUSTUP_HOME",
        "RUSTUP_TOOLCHAIN",
    ];
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if (text.starts_with("CARGO") || text.starts_with("RUST")) && !KEEP.contains(&&*text) {
            command.env_remove(&name);
        }
    }
    command
}

fn has_nightly_sources() -> bool {
    let sysroot = scrubbed("rustc")
        .env_remove("RUSTUP_TOOLCHAIN")
        .args(["+nightly", "--print", "sysroot"])
        .stderr(Stdio::null())
        .output();
    sysroot.is_ok_and(|output| {
        let root = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        output.status.success() && root.join("lib/rustlib/src/rust/library").is_dir()
    })
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

// Running

/// Runs a script with a module. `None` if there is no Node.
fn run_in_node(script: &str, module: &Path) -> Option<Output> {
    // Node 20's baseline compiler overwrites locals across waits.
    let output = Command::new("node")
        .arg("--no-liftoff")
        .arg(fixtures().join(script))
        .arg(module)
        .output();
    let Ok(output) = output else {
        println!("skipped: needs node");
        return None;
    };
    assert!(
        output.status.success() && output.stdout == b"passed\n",
        "{script}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    Some(output)
}

// Looking inside

/// What the tests look at in a module.
#[derive(Default)]
struct Contents {
    imports: Vec<(String, String)>,
    exports: Vec<String>,
    functions: Vec<Function>,
}

struct Function {
    name: String,
    /// As `wasmparser` prints its operators.
    body: Vec<String>,
}

impl Contents {
    fn of(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap();
        let mut contents = Self::default();
        let mut names = HashMap::new();
        let mut bodies = Vec::new();
        for payload in Parser::new(0).parse_all(&bytes) {
            match payload.unwrap() {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import.unwrap();
                        let pair = (import.module.to_owned(), import.name.to_owned());
                        contents.imports.push(pair);
                    }
                }
                Payload::ExportSection(section) => {
                    let exports = section.into_iter();
                    contents
                        .exports
                        .extend(exports.map(|export| export.unwrap().name.to_owned()));
                }
                Payload::CodeSectionEntry(body) => {
                    let operators = body.get_operators_reader().unwrap().into_iter();
                    let print = |operator: wasmparser::Result<Operator<'_>>| {
                        format!("{:?}", operator.unwrap())
                    };
                    bodies.push(operators.map(print).collect());
                }
                Payload::CustomSection(section) => {
                    if let KnownCustom::Name(subsections) = section.as_known() {
                        for subsection in subsections {
                            if let Name::Function(map) = subsection.unwrap() {
                                names.extend(map.into_iter().map(|naming| {
                                    let naming = naming.unwrap();
                                    (naming.index as usize, naming.name.to_owned())
                                }));
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        // Imported functions are numbered first, and every function has a name.
        let imported = names.len() - bodies.len();
        contents.functions = (imported..)
            .zip(bodies)
            .map(|(index, body)| Function {
                name: names[&index].clone(),
                body,
            })
            .collect();
        contents
    }
}
