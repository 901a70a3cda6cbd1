//! `threadwork new NAME`: a Rust program with threads to begin with, which `cargo run` builds and runs.
//!
//! Cargo itself makes the package, so that names, workspaces and version control are as always. We add
//! the target, the runner, and a program whose threads have something to do. Nothing of it needs a package
//! that is not in Rust: what Threadwork has besides stands in comments.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use crate::{children, report, toolchain};

/// The command line of `threadwork new`.
#[derive(Args)]
pub(crate) struct NewArgs {
    /// The folder, which is made, and named as the program is
    #[arg(value_name = "NAME")]
    folder: PathBuf,
}

const MAIN: &str = include_str!("new/main.rs.txt");
const MANIFEST: &str = include_str!("new/Cargo.toml.txt");
const CONFIG: &str = include_str!("new/config.toml.txt");
const TOOLCHAIN: &str = include_str!("new/rust-toolchain.toml.txt");

/// Makes it, and returns the code to exit with.
pub(crate) fn new(args: &NewArgs) -> anyhow::Result<i32> {
    let folder = &args.folder;
    let mut cargo = toolchain::cargo(Path::new("."));
    cargo
        .args(["new", "--quiet", "--bin", "--color", "never", "--"])
        .arg(folder);
    let made = children::output(&mut cargo)
        .context("cannot run cargo; is Rust installed? See https://rustup.rs")?;
    if !made.status.success() {
        let complaint = String::from_utf8_lossy(&made.stderr);
        bail!("{}", complaint.trim_start_matches("error: "));
    }
    let manifest = folder.join("Cargo.toml");
    let cannot = |error| report::explain(format_args!("cannot write {}", folder.display()), error);
    let mut text = fs::read_to_string(&manifest).map_err(cannot)?;
    text += MANIFEST;
    let files = [
        (".cargo/config.toml", CONFIG),
        ("rust-toolchain.toml", TOOLCHAIN),
        ("src/main.rs", MAIN),
        ("Cargo.toml", &text),
    ];
    fs::create_dir_all(folder.join(".cargo")).map_err(cannot)?;
    for (name, text) in files {
        fs::write(folder.join(name), text).map_err(cannot)?;
    }
    report::tell(format_args!(
        "made {0}: cd {0} && cargo run --release",
        folder.display()
    ));
    Ok(0)
}
