//! The Rust toolchain that builds the guests.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, anyhow, bail};

use crate::children;

/// What the guests are compiled for.
pub(crate) const WASM_TARGET: &str = "wasm32-wasip1-threads";

/// A call of the cargo that runs us, or else of the one on the path, in `folder`.
pub(crate) fn cargo(folder: &Path) -> Command {
    tool("CARGO", "cargo", folder)
}

/// The target triple of this machine, as `rustc` calls it.
pub(crate) fn host_target(folder: &Path) -> anyhow::Result<String> {
    let version = output(rustc(folder).arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` does not name a host")?.to_owned())
}

/// Adds the WebAssembly target to the toolchain if it is missing, after a call
/// of `announce`.
pub(crate) fn ensure_wasm_target(folder: &Path, announce: impl FnOnce()) -> anyhow::Result<()> {
    if has_wasm_target(folder)? {
        return Ok(());
    }
    announce();
    let mut rustup = tool("RUSTUP", "rustup", folder);
    output(rustup.args(["target", "add", WASM_TARGET])).map_err(|error| {
        anyhow!("`rustup target add {WASM_TARGET}`, which this needs, failed: {error:#}")
    })?;
    Ok(())
}

/// Asks `rustc` where the target's standard library is, which also finds one
/// that did not come from rustup.
fn has_wasm_target(folder: &Path) -> anyhow::Result<bool> {
    let libraries =
        output(rustc(folder).args(["--print", "target-libdir", "--target", WASM_TARGET]))?;
    Ok(Path::new(libraries.trim_end()).is_dir())
}

/// Where the target's libraries are; an error that says how to get them if there are none.
pub(crate) fn wasm_libraries() -> anyhow::Result<PathBuf> {
    let arguments = ["--print", "target-libdir", "--target", WASM_TARGET];
    let libraries = PathBuf::from(output(rustc(Path::new(".")).args(arguments))?.trim_end());
    if !libraries.join("self-contained/libc.a").is_file() {
        bail!("this needs Rust's C library with threads: rustup target add {WASM_TARGET}");
    }
    Ok(libraries)
}

/// What compiled code calls for operations that are no instructions, of the target's libraries.
pub(crate) fn builtins(libraries: &Path) -> anyhow::Result<PathBuf> {
    let mut files = fs::read_dir(libraries)?.filter_map(|entry| Some(entry.ok()?.path()));
    let is_it = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("libcompiler_builtins-") && name.ends_with(".rlib")
    };
    let found = files.find(is_it);
    found.with_context(|| {
        format!(
            "there is no libcompiler_builtins in {}",
            libraries.display()
        )
    })
}

/// The linker for WebAssembly that rustup's toolchains have.
pub(crate) fn linker() -> anyhow::Result<PathBuf> {
    let libraries = output(rustc(Path::new(".")).args(["--print", "target-libdir"]))?;
    let linker = Path::new(libraries.trim_end()).join("../bin/gcc-ld/wasm-ld");
    let found = linker.canonicalize();
    found.context("this needs the linker of a toolchain of rustup's: https://rustup.rs")
}

fn rustc(folder: &Path) -> Command {
    tool("RUSTC", "rustc", folder)
}

fn tool(variable: &str, name: &str, folder: &Path) -> Command {
    let mut command = Command::new(env::var_os(variable).unwrap_or(OsString::from(name)));
    command.current_dir(folder).stdin(Stdio::null());
    command
}

/// What a tool prints, or an error that says why there is nothing.
fn output(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let Output {
        status,
        stdout,
        stderr,
    } = children::output(command)
        .with_context(|| format!("cannot run {name}; is Rust installed? See https://rustup.rs"))?;
    if !status.success() {
        bail!(
            "{name} failed ({status}): {}",
            String::from_utf8_lossy(&stderr).trim_end()
        );
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}
