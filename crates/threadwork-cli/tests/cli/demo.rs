//! The demo: builds the examples, runs them both ways, compares.

use crate::support::{finish, threadwork};

#[test]
fn demo_shows_every_example_with_the_same_answer() {
    let mut command = threadwork();
    let outcome = finish(command.args(["demo", "--quick", "--threads", "2"])).expect_code(0);
    for example in ["pi", "merge-sort", "pipeline", "mandelbrot"] {
        let line = outcome
            .stdout
            .lines()
            .find(|line| line.starts_with(&format!("{example}  ")));
        assert!(
            line.is_some_and(|line| line.ends_with('✓')),
            "{example}: {outcome:#?}"
        );
    }
    assert!(outcome.stdout.contains("2 threads"), "{outcome:#?}");
    assert!(
        !outcome.stdout.contains('\x1b'),
        "no colours without a terminal: {outcome:#?}"
    );
    let picture = outcome
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("Picture: "));
    let picture = std::fs::read(picture.expect("the demo names its picture")).expect("readable");
    assert!(picture.starts_with(b"\x89PNG"));
}
