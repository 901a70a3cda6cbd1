//! Seeded bugs: each changes one place of a crate's sources, and the test that it names
//! must fail. So no test is one that cannot fail.
//!
//! The crate is copied into a workspace of its own, changed, built, and its test run: a
//! model under loom, or a test natively, or under Miri where only a memory model that is
//! weaker than the machine's shows the bug. A bug whose text is no longer in the source,
//! or that no longer compiles, fails the test: the lists are kept.
//!
//! The text of each must be there. A part of the bugs is tried by default, a different one
//! each day. `THREADWORK_FULL=1` tries all, each with the ordinary form of its test;
//! `SEEDED_BUGS=latch::` those whose test's name has that in it. Those that need Miri are left out
//! where there is none.
//!
//! ```no_run
//! use std::path::Path;
//! use seeded_bugs::{Bug, Run, Suite, bug};
//!
//! const LATCH: &[Bug] = &[bug(
//!     "it opens too early",
//!     "latch.rs",
//!     "count == 0",
//!     "count <= 1",
//!     "latch::all_must_come",
//! )];
//!
//! Suite {
//!     package: "threadwork-sync",
//!     needs: &["wasm-futex"],
//!     lists: &[(Run::Loom("loom"), LATCH)],
//!     sample: 6,
//! }
//! .check(Path::new("target/tmp"));
//! ```

// A helper of tests: here, too, an `unwrap` is an assertion.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Instant, SystemTime};

/// A bug, and who must find it.
#[derive(Debug)]
pub struct Bug {
    /// What is wrong, in words.
    pub name: &'static str,
    /// The source file, from `src/`.
    pub file: &'static str,
    /// A text that occurs there once.
    pub from: &'static str,
    /// What stands there instead.
    pub to: &'static str,
    /// The test that must fail.
    pub caught_by: &'static str,
}

/// A bug: its name, the file, what stands there, what should, and the test.
pub const fn bug(
    name: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
    caught_by: &'static str,
) -> Bug {
    Bug {
        name,
        file,
        from,
        to,
        caught_by,
    }
}

/// How the test that must fail is run, and which file of `tests/` it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// With `--cfg loom`.
    Loom(&'static str),
    /// As it ships.
    Native(&'static str),
    /// As it ships, in the library's own tests.
    Library,
    /// With eight seeds.
    Miri(&'static str),
}

/// The seeded bugs of a package.
#[derive(Debug)]
pub struct Suite {
    /// The package, and the name of its folder.
    pub package: &'static str,
    /// The other packages of the workspace that it needs.
    pub needs: &'static [&'static str],
    /// The bugs, by how they are found.
    pub lists: &'static [(Run, &'static [Bug])],
    /// How many are tried by default.
    pub sample: usize,
}

impl Suite {
    /// Tries the bugs, in a folder of its own within `scratch`.
    ///
    /// # Panics
    ///
    /// If one is not caught, with all of those.
    pub fn check(&self, scratch: &Path) {
        let workshop = Workshop::set_up(self, scratch);
        let lost: Vec<String> = self
            .all()
            .filter_map(|(_, bug)| workshop.misses(bug))
            .collect();
        assert!(lost.is_empty(), "{}", lost.join("\n"));
        let escaped: Vec<String> = self
            .chosen(&workshop)
            .into_iter()
            .filter_map(|(run, bug)| {
                let since = Instant::now();
                let verdict = workshop.try_out(run, bug);
                let line = format!("{}: {}", bug.file, bug.name);
                let seconds = since.elapsed().as_secs();
                let found = match &verdict {
                    Ok(how) => how,
                    Err(why) => why.as_str(),
                };
                println!("{line}: {found} ({seconds} s)");
                verdict.err().map(|why| format!("{line}: {why}"))
            })
            .collect();
        assert!(escaped.is_empty(), "{}", escaped.join("\n"));
    }

    fn all(&self) -> impl Iterator<Item = (Run, &'static Bug)> {
        let lists = self.lists.iter();
        lists.flat_map(|(run, bugs)| bugs.iter().map(move |bug| (*run, bug)))
    }

    fn chosen(&self, workshop: &Workshop) -> Vec<(Run, &'static Bug)> {
        let has_miri = workshop.has_miri();
        let mut chosen: Vec<_> = self
            .all()
            .filter(|(run, _)| !matches!(run, Run::Miri(_)) || has_miri)
            .collect();
        if let Ok(part) = std::env::var("SEEDED_BUGS") {
            chosen.retain(|(_, bug)| bug.caught_by.contains(&part));
            assert!(!chosen.is_empty(), "no bug is caught by a test like {part}");
        } else if std::env::var_os("THREADWORK_FULL").is_none() {
            chosen = sample(&chosen, self.sample);
        }
        chosen
    }
}

fn sample<T: Copy>(all: &[T], size: usize) -> Vec<T> {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let day = since.as_secs() as usize / 86_400;
    let stride = all.len().div_ceil(size);
    all.iter()
        .skip(day % stride)
        .step_by(stride)
        .copied()
        .collect()
}

/// Seconds for a test: far more than any takes.
const TEST: &str = "180";

/// Seconds for a build, on a machine that has other things to do.
const BUILD: &str = "1800";

/// A copy of the package that can be spoilt.
struct Workshop {
    root: PathBuf,
    package: &'static str,
}

impl Workshop {
    fn set_up(suite: &Suite, scratch: &Path) -> Self {
        let own = Path::new(env!("CARGO_MANIFEST_DIR"));
        let repository = own.ancestors().nth(2).unwrap();
        let root = std::path::absolute(scratch)
            .unwrap()
            .join(format!("{}-bugs", suite.package));
        let _ = fs::remove_dir_all(root.join("crates"));
        let packages = [suite.package, env!("CARGO_PKG_NAME")];
        for package in packages.iter().chain(suite.needs) {
            let folder = Path::new("crates").join(package);
            copy(&repository.join(&folder), &root.join(&folder));
        }
        let manifest = fs::read_to_string(repository.join("Cargo.toml")).unwrap();
        // What these lines name is not in the copy.
        let manifest: String = manifest
            .lines()
            .filter(|line| !line.starts_with("exclude") && !line.starts_with("default-members"))
            .map(|line| format!("{line}\n"))
            .collect();
        fs::write(root.join("Cargo.toml"), manifest).unwrap();
        fs::copy(repository.join("Cargo.lock"), root.join("Cargo.lock")).unwrap();
        Self {
            root,
            package: suite.package,
        }
    }

    fn has_miri(&self) -> bool {
        let mut cargo = Command::new("cargo");
        cargo.args(["+nightly", "miri", "--version"]);
        let output = cargo.current_dir(&self.root).output();
        output.is_ok_and(|output| output.status.success())
    }

    fn source(&self, bug: &Bug) -> PathBuf {
        let sources = self.root.join("crates").join(self.package).join("src");
        sources.join(bug.file)
    }

    /// Why the bug cannot be planted, if it cannot.
    fn misses(&self, bug: &Bug) -> Option<String> {
        let reason = match fs::read_to_string(self.source(bug)) {
            Err(_) => "there is no such file".to_owned(),
            Ok(source) => match source.matches(bug.from).count() {
                1 => return None,
                found => format!("its text occurs {found} times in the source, not once"),
            },
        };
        Some(format!("{}: {}: {reason}", bug.file, bug.name))
    }

    /// How the bug was caught, or why it was not.
    fn try_out(&self, run: Run, bug: &Bug) -> Result<&'static str, String> {
        let path = self.source(bug);
        let source = fs::read_to_string(&path).unwrap();
        fs::write(&path, source.replace(bug.from, bug.to)).unwrap();
        let built = self.cargo(run, BUILD, &["--no-run"]);
        let ran = self.cargo(run, TEST, &["--", "--exact", bug.caught_by]);
        fs::write(&path, source).unwrap();
        if built.status.code() == Some(124) {
            return Err("its build did not end".to_owned());
        }
        if !built.status.success() {
            return Err(String::from_utf8_lossy(&built.stderr).into_owned());
        }
        let output = String::from_utf8_lossy(&ran.stdout);
        match ran.status.code() {
            _ if output.contains("running 0 tests") || output.contains("1 ignored") => {
                Err(format!("there is no test {}", bug.caught_by))
            }
            Some(0) => Err("escaped".to_owned()),
            // Loom reports what waits for ever: a model that does not end is too large.
            Some(124) if matches!(run, Run::Loom(_)) => Err("the model did not end".to_owned()),
            // So may a test on a machine that has other things to do, with or without the bug.
            Some(124) => Ok("its test did not end"),
            _ => Ok("caught"),
        }
    }

    /// Runs cargo in the workshop, for so many seconds at most.
    fn cargo(&self, run: Run, limit: &str, arguments: &[&str]) -> Output {
        // Each set of flags has a folder of its own, lest everything is built anew.
        let (words, flags, folder): (&[&str], _, _) = match run {
            Run::Loom(file) => (&["test", "--test", file], "--cfg loom", "loom"),
            Run::Native(file) => (&["test", "--release", "--test", file], "", "plain"),
            Run::Library => (&["test", "--release", "--lib"], "", "plain"),
            Run::Miri(file) => (&["+nightly", "miri", "test", "--test", file], "", "miri"),
        };
        Command::new("timeout")
            .args([limit, "cargo"])
            .args(words)
            .args(["--quiet", "-p", self.package])
            .args(arguments)
            .current_dir(&self.root)
            // What takes long might not end in time without any bug.
            .env_remove("THREADWORK_FULL")
            .env("RUSTFLAGS", flags)
            .env("CARGO_TARGET_DIR", self.root.join("target").join(folder))
            .env(
                "MIRIFLAGS",
                "-Zmiri-disable-isolation -Zmiri-many-seeds=0..8",
            )
            .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_DEV_DEBUG", "false")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
            .env("CARGO_PROFILE_RELEASE_INCREMENTAL", "true")
            .output()
            .unwrap()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
