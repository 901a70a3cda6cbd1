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

/// What Cargo complains of, and of which cause, in a line; without its advice, which is of Cargo's own options.
fn reason(complaint: &str) -> String {
    let mut lines = complaint.lines();
    let error = lines.find_map(|line| line.strip_prefix("error: "));
    let mut reason = error.unwrap_or(complaint).to_owned();
    while lines.any(|line| line == "Caused by:") {
        for cause in lines.by_ref().take_while(|line| line.starts_with("  ")) {
            reason.push_str(": ");
            reason.push_str(cause.trim());
        }
    }
    reason
}

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
        bail!("{}", reason(&complaint));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_left_out_and_causes_are_not() {
        let exists = "error: destination `a` already exists\n\nUse `cargo init` to initialize the directory\n";
        assert_eq!(reason(exists), "destination `a` already exists");
        let name = "warning: old\nerror: invalid package name\nnote: of a\nhelp: pass `--name <pkgname>`\n";
        assert_eq!(reason(name), "invalid package name");
        let causes = "error: failed\n\nCaused by:\n  one\n\nCaused by:\n  No such file\n";
        assert_eq!(reason(causes), "failed: one: No such file");
        assert_eq!(reason("killed"), "killed");
    }
}
