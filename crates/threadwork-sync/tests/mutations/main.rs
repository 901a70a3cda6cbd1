//! Seeded bugs: each changes one place of the sources, and the model that it names
//! must fail. So no model is a test that cannot fail.
//!
//! One file for each primitive lists its bugs. The crate is copied into a workspace of
//! its own, changed, built with loom, and its model run. A bug whose text is no longer
//! in the source, or that no longer compiles, fails the test: the lists are kept.
//!
//! A part of them is tried by default, a different one each day. `THREADWORK_FULL=1`
//! tries all, `MUTATIONS=latch::` those whose model's name has that in it.

#![cfg(not(any(loom, miri, target_family = "wasm")))]
// In helpers as in tests, an `unwrap` is an assertion.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

mod barrier;
mod channel;
mod condvar;
mod latch;
mod mutex;
mod once;
mod parker;
mod priority_mutex;
mod rwlock;
mod semaphore;
mod wait_group;

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
    /// The model of `tests/loom` that must fail.
    caught_by: &'static str,
}

const LISTS: &[&[Mutation]] = &[
    barrier::MUTATIONS,
    channel::MUTATIONS,
    condvar::MUTATIONS,
    latch::MUTATIONS,
    mutex::MUTATIONS,
    once::MUTATIONS,
    parker::MUTATIONS,
    priority_mutex::MUTATIONS,
    rwlock::MUTATIONS,
    semaphore::MUTATIONS,
    wait_group::MUTATIONS,
];

/// How many are tried by default.
const SAMPLE: usize = 6;

#[test]
fn each_seeded_bug_is_caught() {
    let workshop = Workshop::set_up();
    let mut chosen: Vec<&Mutation> = LISTS.iter().copied().flatten().collect();
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
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutations");
        let _ = fs::remove_dir_all(root.join("crates"));
        for name in ["threadwork-sync", "wasm-futex"] {
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
            .join("crates/threadwork-sync/src")
            .join(mutation.file);
        let source = fs::read_to_string(&path).unwrap();
        let found = source.matches(mutation.from).count();
        if found != 1 {
            return Some(format!(
                "its text occurs {found} times in the source, not once"
            ));
        }
        fs::write(&path, source.replace(mutation.from, mutation.to)).unwrap();
        let built = self.cargo_test(&[], &["--no-run"]);
        // Far more than any model takes: one that never ends is no verdict.
        let ran = self.cargo_test(&["timeout", "120"], &["--", "--exact", mutation.caught_by]);
        fs::write(&path, source).unwrap();
        if !built.status.success() {
            return Some(String::from_utf8_lossy(&built.stderr).into_owned());
        }
        let output = String::from_utf8_lossy(&ran.stdout);
        match ran.status.code() {
            _ if output.contains("running 0 tests") => {
                Some(format!("there is no model {}", mutation.caught_by))
            }
            Some(0) => Some("escaped".to_string()),
            Some(124) => Some("the model did not end".to_string()),
            _ => None,
        }
    }

    fn cargo_test(&self, before: &[&str], arguments: &[&str]) -> Output {
        let words: Vec<&str> = before.iter().copied().chain([env!("CARGO")]).collect();
        Command::new(words[0])
            .args(&words[1..])
            .args(["test", "--quiet", "-p", "threadwork-sync", "--test", "loom"])
            .args(arguments)
            .current_dir(&self.root)
            .env("RUSTFLAGS", "--cfg loom")
            .env("CARGO_TARGET_DIR", self.root.join("target"))
            .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_DEV_DEBUG", "false")
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
