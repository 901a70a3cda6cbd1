//! Seeded bugs: each changes one place of the sources, and the test that it names must
//! fail. So no test is one that cannot fail.
//!
//! One file for each part of the crate lists its bugs. The crate is copied into a workspace
//! of its own, changed, built, and its test run: a model under loom, or a test natively, or
//! under Miri where only a memory model that is weaker than the machine's shows the bug. A
//! bug whose text is no longer in the source, or that no longer compiles, fails the test:
//! the lists are kept.
//!
//! A part of them is tried by default, a different one each day. `THREADWORK_FULL=1`
//! tries all, `MUTATIONS=litmus::` those whose test's name has that in it. Those that need
//! Miri are left out where there is none.

#![cfg(not(any(loom, miri, target_family = "wasm")))]
// In helpers as in tests, an `unwrap` is an assertion.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

mod fork_join;
mod memory;
mod pool;
mod threads;

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
    /// The test that must fail.
    caught_by: &'static str,
}

const fn mutation(
    name: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
    caught_by: &'static str,
) -> Mutation {
    Mutation {
        name,
        file,
        from,
        to,
        caught_by,
    }
}

/// How the test that must fail is run, and the target that it is in.
#[derive(Clone, Copy, PartialEq)]
enum Run {
    Loom(&'static str),
    Native(&'static str),
    Miri(&'static str),
}

const LISTS: &[(Run, &[Mutation])] = &[
    (Run::Loom("loom"), pool::MUTATIONS),
    (Run::Loom("loom"), fork_join::LOOM),
    (Run::Native("fork_join"), fork_join::NATIVE),
    (Run::Native("memory"), memory::NATIVE),
    (Run::Miri("memory"), memory::MIRI),
    (Run::Native("threads"), threads::NATIVE),
    (Run::Miri("threads"), threads::MIRI),
];

/// How many are tried by default.
const SAMPLE: usize = 4;

#[test]
fn each_seeded_bug_is_caught() {
    let workshop = Workshop::set_up();
    let has_miri = workshop.cargo(&["+nightly", "miri", "--version"], None);
    let all = LISTS.iter().flat_map(|(run, mutations)| {
        let each = mutations.iter();
        each.map(move |mutation| (*run, mutation))
    });
    let mut chosen: Vec<_> = all
        .filter(|(run, _)| !matches!(run, Run::Miri(_)) || has_miri.status.success())
        .collect();
    if let Ok(part) = std::env::var("MUTATIONS") {
        chosen.retain(|(_, mutation)| mutation.caught_by.contains(&part));
    } else if std::env::var_os("THREADWORK_FULL").is_none() {
        chosen = sample(&chosen);
    }
    let escaped: Vec<String> = chosen
        .into_iter()
        .filter_map(|(run, mutation)| {
            let verdict = workshop.try_out(run, mutation);
            let line = format!("{}: {}", mutation.file, mutation.name);
            println!("{line}: {}", verdict.as_deref().unwrap_or("caught"));
            verdict.map(|verdict| format!("{line}: {verdict}"))
        })
        .collect();
    assert!(escaped.is_empty(), "{}", escaped.join("\n"));
}

fn sample<T: Copy>(all: &[T]) -> Vec<T> {
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
        for name in [
            "threadwork",
            "threadwork-alloc",
            "threadwork-sync",
            "wasm-futex",
        ] {
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
    fn try_out(&self, run: Run, mutation: &Mutation) -> Option<String> {
        let path = self.root.join("crates/threadwork/src").join(mutation.file);
        let Ok(source) = fs::read_to_string(&path) else {
            return Some("there is no such file".to_owned());
        };
        let found = source.matches(mutation.from).count();
        if found != 1 {
            return Some(format!(
                "its text occurs {found} times in the source, not once"
            ));
        }
        fs::write(&path, source.replace(mutation.from, mutation.to)).unwrap();
        let (built, ran) = self.build_and_run(run, mutation);
        fs::write(&path, source).unwrap();
        if !built.status.success() {
            return Some(String::from_utf8_lossy(&built.stderr).into_owned());
        }
        let output = String::from_utf8_lossy(&ran.stdout);
        if output.contains("running 0 tests") || output.contains("1 ignored") {
            return Some(format!("there is no test {}", mutation.caught_by));
        }
        // To hang is to fail, too.
        (ran.status.code() == Some(0)).then(|| "escaped".to_string())
    }

    fn build_and_run(&self, run: Run, mutation: &Mutation) -> (Output, Output) {
        let (tool, target, flags): (&[&str], _, _) = match run {
            Run::Loom(target) => (&["test"], target, Some("--cfg loom")),
            Run::Native(target) => (&["test", "--release"], target, None),
            Run::Miri(target) => (&["+nightly", "miri", "test"], target, None),
        };
        let test = [tool, &["--quiet", "-p", "threadwork", "--test", target]].concat();
        let built = self.cargo(&[&test[..], &["--no-run"]].concat(), flags);
        let exact = ["--", "--exact", mutation.caught_by];
        (built, self.cargo(&[&test[..], &exact].concat(), flags))
    }

    /// Cargo in the workshop, for three minutes at most: far more than any test takes.
    fn cargo(&self, arguments: &[&str], flags: Option<&str>) -> Output {
        let mut command = Command::new("timeout");
        command
            .args(["180", "cargo"])
            .args(arguments)
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", self.root.join("target"))
            .env(
                "MIRIFLAGS",
                "-Zmiri-disable-isolation -Zmiri-many-seeds=0..8",
            )
            .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_DEV_DEBUG", "false")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
            .env("CARGO_PROFILE_RELEASE_INCREMENTAL", "true");
        if let Some(flags) = flags {
            command.env("RUSTFLAGS", flags);
        }
        command.output().unwrap()
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
