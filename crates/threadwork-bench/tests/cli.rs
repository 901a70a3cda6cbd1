//! The harness as a user meets it: what it prints, what it writes, its exit code.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Result, bail};
use clap::Parser;
use threadwork_bench::table::Style;
use threadwork_bench::{Case, Contestant, Effort, Goal, Sample, Suite, SuiteEntry, Unit, cli};

fn constant(value: f64, answer: u64) -> Result<Box<dyn Contestant>> {
    Ok(Box::new(move || Ok(Sample::new(value).answer(answer))))
}

fn case(name: &str, value: f64, answer: u64) -> Case {
    Case::new(name, Unit::Nanoseconds)
        .contestant("native", || constant(100.0, 1))
        .contestant("wasm", move || constant(value, answer))
        .contestant("absent", || bail!("not on this machine"))
        .goal(Goal::better("wasm", 2.0, "native"))
}

fn good(_: Effort) -> Suite {
    Suite {
        cases: vec![
            case("one/threads=1", 10.0, 1),
            case("one/threads=2", 20.0, 1),
        ],
    }
}

fn wrong(_: Effort) -> Suite {
    Suite {
        cases: vec![case("wrong", 10.0, 2), case("right", 60.0, 1)],
    }
}

const SUITES: &[SuiteEntry] = &[
    SuiteEntry {
        name: "good",
        about: "all is well",
        build: good,
    },
    SuiteEntry {
        name: "wrong",
        about: "an answer differs",
        build: wrong,
    },
];

/// A fresh folder for the files of a test.
fn folder(test: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

/// Runs the command line with the suites above: the exit code, and what is printed.
fn run(args: &[&str], out: &Path) -> (u8, String) {
    let mut all = vec!["threadwork-bench", "--out", out.to_str().unwrap()];
    all.extend(args);
    let mut output = Vec::new();
    let code = cli::run(
        &cli::Cli::parse_from(all),
        SUITES,
        Style::default(),
        &mut output,
    )
    .unwrap();
    (code, String::from_utf8(output).unwrap())
}

#[test]
fn a_good_suite_ends_with_zero_and_writes_its_files() {
    let out = folder("good");
    let (code, text) = run(&["good", "--rounds", "4"], &out);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("at least 2x better than native: reached"),
        "{text}"
    );
    assert!(
        text.contains("absent  unavailable: not on this machine"),
        "{text}"
    );
    for file in ["good.json", "good.svg", "good-one.svg"] {
        assert!(out.join(file).exists(), "{file}");
    }
    let json = std::fs::read_to_string(out.join("good.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        json["cases"][0]["contestants"][1]["samples"]
            .as_array()
            .unwrap()
            .len(),
        4
    );
    assert!(json["machine"]["cores"].as_u64().unwrap() > 0);
}

#[test]
fn a_wrong_answer_ends_with_one_and_the_other_cases_still_run() {
    let (code, text) = run(&["wrong", "--quick"], &folder("wrong"));
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("FAILED"), "{text}");
    assert!(
        text.contains("at least 2x better than native: missed"),
        "{text}"
    );
}

#[test]
fn a_missed_goal_is_no_failure() {
    let (code, text) = run(
        &["wrong", "--quick", "--filter", "right"],
        &folder("missed"),
    );
    assert_eq!(code, 0, "{text}");
}

#[test]
fn the_list_runs_nothing() {
    let out = folder("list");
    let (code, text) = run(&["--list"], &out);
    assert_eq!(code, 0);
    assert!(
        text.contains("wrong: an answer differs\n  wrong "),
        "{text}"
    );
    assert!(!out.exists());
}

#[test]
fn what_does_not_exist_is_a_usage_error() {
    assert_eq!(run(&["none"], &folder("none")).0, 2);
    assert_eq!(run(&["good", "--filter", "none"], &folder("none")).0, 2);
}

fn binary(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_threadwork-bench"))
        .args(args)
        .output()
        .unwrap()
}

#[test]
fn the_engine_suite_runs_natively() {
    let out = folder("engine");
    let output = binary(&[
        "engine",
        "--quick",
        "--rounds",
        "1",
        "--out",
        out.to_str().unwrap(),
    ]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for name in [
        "spawn-join",
        "wait-notify/4-pairs",
        "mutex/threads=16",
        "pi/all-cores",
        "blocked-thread",
    ] {
        assert!(text.contains(name), "{name} is not in\n{text}");
    }
    let json = std::fs::read_to_string(out.join("engine.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    for case in json["cases"].as_array().unwrap() {
        assert_eq!(
            case["contestants"][0]["unavailable"],
            serde_json::Value::Null,
            "{case}"
        );
    }
    assert!(!text.contains('\x1b'), "not plain: {text:?}");
}

#[test]
fn an_unknown_host_says_so() {
    let output = binary(&["host", "none", "program"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "no host none\n");
}
