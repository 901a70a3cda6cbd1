//! The guest programs of the repository: where they are, and how they are built for
//! WebAssembly and for this machine.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, anyhow};

use crate::children;
use crate::toolchain::{self, WASM_TARGET};

/// Where guests are built and run.
pub(crate) struct Workshop {
    sources: PathBuf,
    /// Where cargo puts what it builds, and the guests what they write.
    target: PathBuf,
    /// The target triple of this machine.
    host: String,
}

impl Workshop {
    /// Finds the sources, and where what is built of them goes.
    pub(crate) fn open() -> anyhow::Result<Self> {
        let sources = find_sources(&places())?;
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(target) => std::path::absolute(target)?,
            None => sources.with_file_name("target"),
        };
        let host = toolchain::host_target(&sources)?;
        Ok(Self {
            target: target.join("guests"),
            host,
            sources,
        })
    }

    /// Adds the WebAssembly target to the toolchain if it is missing; says so first.
    pub(crate) fn ensure_wasm_target(&self, announce: impl FnOnce(&str)) -> anyhow::Result<()> {
        toolchain::ensure_wasm_target(&self.sources, || announce(WASM_TARGET))
    }

    /// Builds guests, for WebAssembly and for this machine, and tells `progress` how
    /// far that is.
    pub(crate) fn build<'a>(
        &self,
        guests: impl IntoIterator<Item = &'a str>,
        progress: impl Fn(&str),
    ) -> anyhow::Result<()> {
        let mut cargo = toolchain::cargo(&self.sources);
        cargo.args(["build", "--release", "--color", "never"]);
        cargo.arg("--target-dir").arg(&self.target);
        cargo.args(["--target", WASM_TARGET, "--target", &self.host]);
        cargo.args(guests.into_iter().flat_map(|guest| ["--package", guest]));
        let log = follow(&mut cargo, progress)?;
        log.map_err(|log| {
            anyhow!(log).context("the guest programs do not build; add -v to see what cargo says")
        })
    }

    /// A folder for what guests write.
    pub(crate) fn folder(&self) -> &Path {
        &self.target
    }

    /// The WebAssembly of a guest that was built.
    pub(crate) fn wasm(&self, guest: &str) -> PathBuf {
        self.built(WASM_TARGET, guest).with_extension("wasm")
    }

    /// The program for this machine of a guest that was built.
    pub(crate) fn native(&self, guest: &str) -> PathBuf {
        self.built(&self.host, guest)
            .with_extension(env::consts::EXE_EXTENSION)
    }

    fn built(&self, target: &str, guest: &str) -> PathBuf {
        self.target.join(target).join("release").join(guest)
    }
}

/// Where the sources of the guests may be: where this program was built, and here.
fn places() -> [PathBuf; 2] {
    [
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guests"),
        PathBuf::from("guests"),
    ]
}

fn find_sources(places: &[PathBuf]) -> anyhow::Result<PathBuf> {
    let mut folders = places.iter();
    let folder = folders.find(|folder| folder.join("Cargo.toml").is_file());
    let folder = folder.context(
        "this builds programs of the Threadwork repository, which is not here: \
         get it, and run this in its root",
    )?;
    folder
        .canonicalize()
        .with_context(|| format!("cannot open {}", folder.display()))
}

/// Runs cargo to its end and tells `progress` what it does. The inner error is
/// all that cargo said.
fn follow(cargo: &mut Command, progress: impl Fn(&str)) -> anyhow::Result<Result<(), String>> {
    let mut child = children::spawn(cargo.stderr(Stdio::piped())).context("cannot run cargo")?;
    let stderr = child.stderr().context("cargo has no standard error")?;
    let mut log = String::new();
    for line in BufReader::new(stderr).lines() {
        let line = line.context("cannot read what cargo says")?;
        let status = line.trim_start();
        if status.starts_with("Blocking") {
            progress("waiting for another cargo to finish");
        } else if let Some(krate) = status.strip_prefix("Compiling ") {
            progress(&format!("building {krate}"));
        }
        log = log + &line + "\n";
    }
    let success = child.wait().context("cannot wait for cargo")?.success();
    Ok(if success { Ok(()) } else { Err(log) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_sources_one_line_says_what_is_missing() {
        assert!(find_sources(&places()).is_ok());
        let error = find_sources(&["no-such-folder".into()]).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains("repository"), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}
