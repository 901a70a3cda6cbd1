//! Programs of the folder guests/, built for this machine and for WebAssembly.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Where they are.
pub(crate) struct Guests {
    target: PathBuf,
    host: String,
}

impl Guests {
    /// Builds those that tests of the command line run, once, where `threadwork selftest`
    /// builds, too.
    pub(crate) fn build() -> &'static Self {
        static GUESTS: OnceLock<Guests> = OnceLock::new();
        GUESTS.get_or_init(|| {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
            let target = env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
            let guests = Guests {
                target: std::path::absolute(target).expect("a path").join("guests"),
                host: host(),
            };
            // One by one: together they would share their features.
            for package in ["validation", "programs", "file-programs", "http-server"] {
                let status = Command::new(env!("CARGO"))
                    .current_dir(root.join("guests"))
                    .args(["build", "--release", "--package", package, "--target-dir"])
                    .arg(&guests.target)
                    .args([
                        "--target",
                        "wasm32-wasip1-threads",
                        "--target",
                        &guests.host,
                    ])
                    .status();
                assert!(
                    status.expect("cargo starts").success(),
                    "{package} does not build"
                );
            }
            guests
        })
    }

    /// The native program.
    pub(crate) fn native(&self, name: &str) -> Command {
        let mut native = Command::new(self.target.join(&self.host).join("release").join(name));
        native
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        native
    }

    /// The program as WebAssembly.
    pub(crate) fn wasm(&self, name: &str) -> PathBuf {
        let folder = self.target.join("wasm32-wasip1-threads/release");
        folder.join(name).with_extension("wasm")
    }
}

/// What this machine's target is called.
fn host() -> String {
    let version = Command::new("rustc")
        .arg("-vV")
        .output()
        .expect("rustc starts");
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.expect("rustc names its host").to_owned()
}
