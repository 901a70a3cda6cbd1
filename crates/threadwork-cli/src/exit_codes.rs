//! What the exit code of `threadwork` says.

use threadwork_engine::Error;

/// `threadwork` could not run the program at all.
pub(crate) const CANNOT_RUN: i32 = 125;

/// A limit of time has passed, as [`threadwork_engine::ExitStatus::code`] has it.
const TIME_IS_OVER: i32 = 124;

/// What the command exits with that could not do what it was asked for.
pub(crate) fn of_error(error: &anyhow::Error) -> i32 {
    match error.downcast_ref() {
        Some(Error::CompileTime { .. }) => TIME_IS_OVER,
        _ => CANNOT_RUN,
    }
}

/// The code of being ended by a signal, as shells have it.
pub(crate) fn of_signal(signal: i32) -> i32 {
    128 + signal
}

/// `threadwork cc` and `threadwork c++`: nothing to compile, which is an error of Clang's.
pub(crate) const NO_INPUT: i32 = 1;

/// `threadwork demo`: an answer differs between two runs of one program.
pub(crate) const WRONG_ANSWER: i32 = 1;

/// `threadwork selftest`: a test failed.
pub(crate) const TEST_FAILED: i32 = 1;

/// `threadwork explore` and `threadwork replay`: the program fails in some schedule.
pub(crate) const SCHEDULE_FAILS: i32 = 1;

/// `threadwork race`: it has something to report.
pub(crate) const RACES: i32 = 119;

/// Every code that `threadwork run` exits with when it is not the program's own.
/// [`threadwork_engine::ExitStatus::code`] gives those of a program that started.
pub(crate) const TABLE: [(i32, &str); 16] = [
    (2, "the command line of threadwork is wrong"),
    (RACES, "threadwork race has found something"),
    (120, "deadlock: every thread waits for ever"),
    (121, "the program failed at the limit of --threads"),
    (122, "the program failed at the limit of --max-open-files"),
    (123, "the program wrote more than --max-output"),
    (
        TIME_IS_OVER,
        "the time of --timeout, or of --max-compile, is over",
    ),
    (
        CANNOT_RUN,
        "threadwork cannot run it: bad module, bad option value",
    ),
    (129, "the terminal was closed (128 + SIGHUP)"),
    (130, "interrupted by Ctrl-C (128 + SIGINT)"),
    (134, "the program trapped (128 + SIGABRT)"),
    (137, "the program failed at the limit of --max-memory"),
    (143, "ended at once by SIGTERM (128 + SIGTERM)"),
    (152, "the CPU time of --max-cpu is used up"),
    (153, "the program failed at the limit of --max-file-bytes"),
    (
        255,
        "the program's own code is not one of 0 to 255 (a line says which)",
    ),
];

/// The table as it stands at the end of `--help`.
pub(crate) fn help() -> String {
    let rows = TABLE.map(|(code, meaning)| format!("  {code:>3}  {meaning}\n"));
    format!(
        "Exit codes of `threadwork run`, besides the program's own:\n{}",
        rows.concat()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_unique() {
        assert!(TABLE.is_sorted_by(|(a, _), (b, _)| a < b));
    }

    #[test]
    fn help_has_a_line_for_each_code() {
        assert_eq!(help().lines().count(), TABLE.len() + 1);
    }
}
