//! `threadwork selftest`, and what stands behind it: the 35 acceptance tests by name, the
//! validation and its seeded bugs, and the hundred programs.
//!
//! `THREADWORK_FULL=1` runs the validation in full numbers.

use std::env;

#[path = "cli/support.rs"]
#[expect(dead_code, reason = "the other tests use the rest")]
mod support;

#[path = "cli/guests.rs"]
mod guests;

use guests::Guests;
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
fn all_tests_pass_in_webkit() {
    all_tests_pass_on("webkit", &["WebKitWebDriver"]);
}

#[test]
fn all_tests_pass_on_deno() {
    all_tests_pass_on("deno", &["deno"]);
}

#[test]
fn all_tests_pass_on_bun() {
    all_tests_pass_on("bun", &["bun"]);
}

#[test]
fn a_host_that_is_not_installed_is_named() {
    for (host, command) in [
        ("node", "node"),
        ("chromium", "chromium"),
        ("firefox", "firefox-esr"),
        ("webkit", "xvfb-run"),
        ("deno", "deno"),
        ("bun", "bun"),
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

/// Runs a guest natively and on the engine, and checks both.
fn on_both(guest: &str, args: &[&str], check: impl Fn(&str, Outcome)) {
    let guests = Guests::build();
    check("native", finish(guests.native(guest).args(args)));
    let wasm = guests.wasm(guest);
    let mut engine = threadwork();
    check("engine", finish(engine.arg("run").arg(wasm).args(args)));
}

/// The properties, and for each the bugs that it must find.
fn properties() -> Vec<(String, Vec<String>)> {
    let mut properties: Vec<(String, Vec<String>)> = Vec::new();
    let list = finish(Guests::build().native("validation").arg("--list"));
    for line in list.expect_code(0).stdout.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match (words[0], properties.last_mut()) {
            ("property", _) => properties.push((words[1].to_owned(), Vec::new())),
            ("bug", Some((_, bugs))) => bugs.push(words[2].to_owned()),
            _ => panic!("a strange line: {line}"),
        }
    }
    properties
}

#[test]
fn properties_hold() {
    let full = env::var_os("THREADWORK_FULL").is_some();
    let args: &[&str] = if full {
        &["--full"]
    } else {
        &["--cases", "40"]
    };
    on_both("validation", args, |host, outcome| {
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
    let properties = properties();
    assert_eq!(properties.len(), 15);
    for (property, bugs) in &properties {
        assert!(!bugs.is_empty(), "{property} has no bug to find");
        for bug in bugs {
            let args = ["--property", property, "--seed-bug", bug];
            on_both("validation", &args, |host, outcome| {
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
    on_both("validation", &args, |_, outcome| {
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
        on_both("validation", &args, |_, replayed| {
            assert!(failure(&outcome).is_some(), "{outcome:#?}");
            assert_eq!(failure(&replayed.expect_code(1)), failure(&outcome));
        });
    });
}

#[test]
fn programs_give_their_answers() {
    on_both("programs", &["--check", "all"], |host, outcome| {
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
