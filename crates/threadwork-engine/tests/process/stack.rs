//! A guest's stack that overflows is reported, and not a riddle.

use crate::support::{guest, output};
use threadwork_engine::{ExitStatus, ProcessBuilder};

fn run(place: &str) -> (ExitStatus, String) {
    let module = guest("stack-overflow");
    let done = output(ProcessBuilder::new(&module).arg(place));
    (done.status, done.stderr)
}

#[test]
fn an_overflow_names_the_thread() {
    for place in ["end", "now"] {
        let (status, stderr) = run(place);
        assert!(
            matches!(status, ExitStatus::Trapped(_)),
            "{place}: {status}"
        );
        let message = "thread 'deep' has overflowed its stack of 655";
        assert!(stderr.starts_with(message), "{place}: {stderr}");
    }
}

/// Below the main thread's stack there is nothing to overwrite.
#[test]
fn the_main_thread_traps() {
    let (status, stderr) = run("main");
    assert!(
        status.to_string().contains("out of bounds memory access"),
        "{status}"
    );
    assert_eq!(stderr, "");
}

#[test]
fn who_stops_in_time_goes_on() {
    let (status, stderr) = run("never");
    assert!(status.success(), "{status}");
    assert_eq!(stderr, "");
}
