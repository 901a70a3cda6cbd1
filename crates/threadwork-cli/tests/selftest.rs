//! `threadwork selftest`, and what stands behind it: the 35 acceptance tests by name, the
//! validation and its seeded bugs, and the hundred programs.
//!
//! `THREADWORK_FULL=1` runs the validation in full numbers.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

#[path = "cli/support.rs"]
#[expect(dead_code, reason = "the other tests use the rest")]
mod support;

use support::{Outcome, finish, threadwork};

/// The specification's names, in its order: the first is number 1.
const TESTS: [&str; 35] = [
    "creation",
    "initialization",
    "multi_thread_access",
    "bounds_checking",
    "growth",
    "isolation",
    "fence",
    "visibility",
    "load_store_i32",
    "load_store_i64",
    "add",
    "sub",
    "bitwise",
    "exchange",
    "compare_exchange",
    "concurrent_increment",
    "wait_notify",
    "atomic_cost",
    "spawn",
    "join",
    "thread_local_storage",
    "thread_pooling",
    "maximum_thread_limits",
    "creation_overhead",
    "cleanup_on_error",
    "resource_management",
    "mutex",
    "condvar",
    "barrier",
    "rwlock",
    "deadlock_detection",
    "priority_inversion",
    "parallel_correctness",
    "scalability",
    "monte_carlo_pi",
];

fn selftest(args: &[&str]) -> Outcome {
    finish(threadwork().arg("selftest").args(args))
}

/// The rows of the table: number, name, and a cell for each host.
fn rows(outcome: &Outcome) -> Vec<Vec<&str>> {
    let words = outcome
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let is_row = |row: &Vec<&str>| row.len() > 2 && row[0].parse::<u32>().is_ok();
    words.filter(is_row).collect()
}

#[test]
fn all_tests_pass_on_all_hosts() {
    let outcome = selftest(&[]).expect_code(0);
    for host in ["native", "engine", "api"] {
        assert!(
            outcome
                .stdout
                .lines()
                .any(|line| line.split_whitespace().any(|word| word == host))
        );
    }
    let rows = rows(&outcome);
    let named: Vec<(String, &str)> = rows.iter().map(|row| (row[0].to_owned(), row[1])).collect();
    let expected: Vec<(String, &str)> = (1..)
        .zip(TESTS)
        .map(|(number, name)| (number.to_string(), name))
        .collect();
    assert_eq!(named, expected, "{outcome:#?}");
    for row in rows {
        let passed = row.iter().filter(|cell| **cell == "✓").count();
        assert_eq!(passed, 3, "{row:?}");
    }
}

#[test]
fn hosts_and_tests_can_be_chosen() {
    let outcome = selftest(&["--host", "engine", "--filter", "barrier"]).expect_code(0);
    assert_eq!(rows(&outcome), [["29", "barrier", "✓"]]);
    assert!(
        outcome.stdout.contains("All 1 tests passed (engine)."),
        "{outcome:#?}"
    );
    let outcome = selftest(&["--host", "native", "--filter", "fence", "-v"]).expect_code(0);
    assert!(
        outcome.stdout.contains("✓ 0."),
        "with its time: {outcome:#?}"
    );
}

/// Every test on a host that not every machine has.
fn all_tests_pass_on(host: &str, commands: &[&str]) {
    let folders = env::var_os("PATH").unwrap_or_default();
    let has = |name: &&str| env::split_paths(&folders).any(|folder| folder.join(name).is_file());
    if !commands.iter().any(has) {
        println!("skipped: there is no {host} here");
        return;
    }
    let outcome = selftest(&["--host", host]).expect_code(0);
    let rows = rows(&outcome);
    let passed: Vec<&str> = rows
        .iter()
        .filter(|row| row[2] == "✓")
        .map(|row| row[1])
        .collect();
    assert_eq!(passed, TESTS, "{outcome:#?}");
}

#[test]
fn all_tests_pass_on_node() {
    all_tests_pass_on("node", &["node"]);
}

#[test]
fn all_tests_pass_in_chromium() {
    let commands = ["chromium", "chromium-browser", "google-chrome"];
    all_tests_pass_on("chromium", &commands);
}

#[test]
fn all_tests_pass_in_firefox() {
    all_tests_pass_on("firefox", &["firefox-esr", "firefox"]);
}

#[test]
fn a_host_that_is_not_installed_is_named() {
    for (host, command) in [
        ("node", "node"),
        ("chromium", "chromium"),
        ("firefox", "firefox-esr"),
    ] {
        let mut command_line = threadwork();
        command_line.args(["selftest", "--host", host]);
        let outcome = finish(command_line.env("PATH", "")).expect_code(125);
        let outcome = outcome.expect_stderr(&[command, "install", "--host"]);
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:#?}");
    }
}

#[test]
fn what_there_is_not_is_refused() {
    selftest(&["--host", "nowhere"]).expect_code(2);
    selftest(&["--filter", "nothing"])
        .expect_code(125)
        .expect_stderr(&["nothing", "--filter"]);
}

/// Programs of the folder guests/, built for both hosts.
struct Guests {
    target: PathBuf,
    host: String,
}

impl Guests {
    /// Where `threadwork selftest` builds, too.
    fn build() -> &'static Self {
        static GUESTS: OnceLock<Guests> = OnceLock::new();
        GUESTS.get_or_init(|| {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
            let target = env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
            let version = Command::new("rustc")
                .arg("-vV")
                .output()
                .expect("rustc starts");
            let version = String::from_utf8_lossy(&version.stdout).into_owned();
            let host = version.lines().find_map(|line| line.strip_prefix("host: "));
            let guests = Guests {
                target: std::path::absolute(target).expect("a path").join("guests"),
                host: host.expect("rustc names its host").to_owned(),
            };
            // One by one: together they would share their features.
            for package in ["validation", "programs"] {
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

    /// Runs a guest natively and on the engine, and checks both.
    fn run(&self, name: &str, args: &[&str], check: impl Fn(&str, Outcome)) {
        let mut native = Command::new(self.target.join(&self.host).join("release").join(name));
        native
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        check("native", finish(native.args(args)));
        let wasm = self
            .target
            .join("wasm32-wasip1-threads/release")
            .join(name)
            .with_extension("wasm");
        check(
            "engine",
            finish(threadwork().arg("run").arg(wasm).args(args)),
        );
    }

    /// The properties, and for each the bugs that it must find.
    fn properties(&self) -> Vec<(String, Vec<String>)> {
        let mut properties: Vec<(String, Vec<String>)> = Vec::new();
        let program = self.target.join(&self.host).join("release/validation");
        let list = Command::new(program)
            .arg("--list")
            .output()
            .expect("the program starts");
        for line in String::from_utf8_lossy(&list.stdout).lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match (words[0], properties.last_mut()) {
                ("property", _) => properties.push((words[1].to_owned(), Vec::new())),
                ("bug", Some((_, bugs))) => bugs.push(words[2].to_owned()),
                _ => panic!("a strange line: {line}"),
            }
        }
        properties
    }
}

#[test]
fn properties_hold() {
    let full = env::var_os("THREADWORK_FULL").is_some();
    let args: &[&str] = if full {
        &["--full"]
    } else {
        &["--cases", "40"]
    };
    Guests::build().run("validation", args, |host, outcome| {
        let outcome = outcome.expect_code(0);
        let passed = outcome
            .stdout
            .lines()
            .filter(|line| line.contains(" ok "))
            .count();
        assert_eq!(
            passed, 15,
            "ten properties and five families on {host}: {outcome:#?}"
        );
    });
}

/// Else the test above could not fail.
#[test]
fn properties_find_their_bugs() {
    let guests = Guests::build();
    let properties = guests.properties();
    assert_eq!(properties.len(), 15);
    for (property, bugs) in &properties {
        assert!(!bugs.is_empty(), "{property} has no bug to find");
        for bug in bugs {
            let args = ["--property", property, "--seed-bug", bug];
            guests.run("validation", &args, |host, outcome| {
                let outcome = outcome.expect_code(1);
                let failed = format!("property {property} FAILED");
                assert!(
                    outcome.stdout.contains(&failed),
                    "{bug} on {host}: {outcome:#?}"
                );
            });
        }
    }
}

/// A failure is a seed, and the seed is the failure.
#[test]
fn a_failure_can_be_replayed() {
    let args = [
        "--property",
        "lock_order",
        "--seed-bug",
        "unwatched",
        "--seed",
        "7",
    ];
    Guests::build().run("validation", &args, |_, outcome| {
        let failure = |outcome: &Outcome| {
            let line = outcome.stdout.lines().find(|line| line.contains("FAILED"));
            line.and_then(|line| line.split_once(".rs:"))
                .map(|(_, reason)| reason.to_owned())
        };
        let outcome = outcome.expect_code(1);
        let again = outcome
            .stdout
            .lines()
            .find_map(|line| line.strip_prefix("again: "));
        let args: Vec<&str> = again.expect("how to replay it").split(' ').collect();
        Guests::build().run("validation", &args, |_, replayed| {
            assert!(failure(&outcome).is_some(), "{outcome:#?}");
            assert_eq!(failure(&replayed.expect_code(1)), failure(&outcome));
        });
    });
}

#[test]
fn programs_give_their_answers() {
    Guests::build().run("programs", &["--check", "all"], |host, outcome| {
        let outcome = outcome.expect_code(0);
        let right = outcome
            .stdout
            .lines()
            .filter(|line| line.starts_with("ok "))
            .count();
        assert_eq!(
            right, 100,
            "five families of twenty on {host}: {outcome:#?}"
        );
    });
}
