//! Seeded bugs: each changes one place of the sources, and the test that it names must
//! fail. So no test is one that cannot fail.
//!
//! The crate is copied into a workspace of its own, changed, built, and the test run. A
//! bug whose text is no longer in the source, or that no longer compiles, fails: the list
//! is kept.
//!
//! A part of them is tried by default, a different one each day. `THREADWORK_FULL=1`
//! tries all, `MUTATIONS=loom::` those whose test's name has that in it.

#![cfg(not(any(loom, miri, target_family = "wasm")))]
// In helpers as in tests, an `unwrap` is an assertion.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

mod list;

/// A bug, and who must find it.
struct Mutation {
    /// What is wrong, in words.
    name: &'static str,
    /// The source file, from `src/`.
    file: &'static str,
    /// A text that occurs there once.
    from: &'static str,
    /// What stands there instead.
    to: &'static str,
    /// The test that must fail: `lib::`, `alloc::` or `loom::`, and its name there.
    caught_by: &'static str,
}

/// How many are tried by default.
const SAMPLE: usize = 5;

#[test]
fn each_seeded_bug_is_caught() {
    let workshop = Workshop::set_up();
    let mut chosen: Vec<&Mutation> = list::MUTATIONS.iter().collect();
    if let Ok(part) = std::env::var("MUTATIONS") {
        chosen.retain(|mutation| mutation.caught_by.contains(&part));
    } else if std::env::var_os("THREADWORK_FULL").is_none() {
        chosen = sample(&chosen);
    }
    let escaped: Vec<String> = chosen
        .into_iter()
        .filter_map(|mutation| {
            let verdict = workshop.try_out(mutation);
            let line = format!("{}: {}", mutation.file, mutation.name);
            println!("{line}: {}", verdict.as_deref().unwrap_or("caught"));
            verdict.map(|verdict| format!("{line}: {verdict}"))
        })
        .collect();
    assert!(escaped.is_empty(), "{}", escaped.join("\n"));
}

fn sample<'a>(all: &[&'a Mutation]) -> Vec<&'a Mutation> {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let day = since.as_secs() as usize / 86_400;
    let stride = all.len().div_ceil(SAMPLE);
    all.iter()
        .skip(day % stride)
        .step_by(stride)
        .copied()
        .collect()
}

/// A copy of the crate that can be spoilt.
struct Workshop {
    root: PathBuf,
}

impl Workshop {
    fn set_up() -> Self {
        let own = Path::new(env!("CARGO_MANIFEST_DIR"));
        let repository = own.ancestors().nth(2).unwrap();
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("alloc-mutations");
        let _ = fs::remove_dir_all(root.join("crates"));
        for name in ["threadwork-alloc", "threadwork-sync", "wasm-futex"] {
            copy(
                &repository.join("crates").join(name),
                &root.join("crates").join(name),
            );
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
        Workshop { root }
    }

    /// Why the mutation was not caught, if it was not.
    fn try_out(&self, mutation: &Mutation) -> Option<String> {
        let path = self
            .root
            .join("crates/threadwork-alloc/src")
            .join(mutation.file);
        let source = fs::read_to_string(&path).unwrap();
        let found = source.matches(mutation.from).count();
        if found != 1 {
            return Some(format!(
                "its text occurs {found} times in the source, not once"
            ));
        }
        let (kind, test) = mutation.caught_by.split_once("::").unwrap();
        fs::write(&path, source.replace(mutation.from, mutation.to)).unwrap();
        let built = self.cargo_test(kind, &[], &["--no-run"]);
        // Far more than any test takes: one that never ends is no verdict.
        let ran = self.cargo_test(kind, &["timeout", "120"], &["--", "--exact", test]);
        fs::write(&path, source).unwrap();
        if !built.status.success() {
            return Some(String::from_utf8_lossy(&built.stderr).into_owned());
        }
        let output = String::from_utf8_lossy(&ran.stdout);
        match ran.status.code() {
            _ if output.contains("running 0 tests") => Some(format!("there is no test {test}")),
            Some(0) => Some("escaped".to_string()),
            Some(124) => Some("the test did not end".to_string()),
            _ => None,
        }
    }

    fn cargo_test(&self, kind: &str, before: &[&str], arguments: &[&str]) -> Output {
        let words: Vec<&str> = before.iter().copied().chain([env!("CARGO")]).collect();
        let which: &[&str] = match kind {
            "lib" => &["--lib"],
            kind => &["--test", kind],
        };
        // Each set of flags has a folder of its own, lest everything is built anew.
        let (folder, flags) = match kind {
            "loom" => ("target/loom", "--cfg loom"),
            _ => ("target/plain", ""),
        };
        Command::new(words[0])
            .args(&words[1..])
            .args(["test", "--quiet", "-p", "threadwork-alloc"])
            .args(which)
            .args(arguments)
            .current_dir(&self.root)
            .env("RUSTFLAGS", flags)
            .env("CARGO_TARGET_DIR", self.root.join(folder))
            .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_DEV_DEBUG", "false")
            // As it ships.
            .env("CARGO_PROFILE_DEV_DEBUG_ASSERTIONS", "false")
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
