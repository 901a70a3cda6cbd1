//! How a test says what is wrong.

use std::fmt::Display;

use threadwork::sync::Barrier;
use threadwork::thread;

/// What a test returns: nothing, or what is wrong.
pub(crate) type Check = Result<(), String>;

/// What a benchmark returns: what it has measured, or what is wrong.
pub(crate) type Figure = Result<String, String>;

/// Ends the test, unless the condition holds, with what is wrong.
macro_rules! check {
    ($condition:expr, $($reason:tt)+) => {{
        let holds: bool = $condition;
        if !holds {
            return Err(format!("{}:{}: {}", file!(), line!(), format_args!($($reason)+)));
        }
    }};
}

/// Ends the test unless both are equal.
macro_rules! check_eq {
    ($actual:expr, $expected:expr) => {
        match (&$actual, &$expected) {
            (actual, expected) => {
                check!(
                    actual == expected,
                    "{} is {actual:?}, not {expected:?}",
                    stringify!($actual)
                )
            }
        }
    };
}

/// Makes any error the reason for which a test fails.
pub(crate) trait OrFail<T> {
    /// The value, or the error with what could not be done.
    fn or_fail(self, what: &str) -> Result<T, String>;
}

impl<T, E: Display> OrFail<T> for Result<T, E> {
    fn or_fail(self, what: &str) -> Result<T, String> {
        self.map_err(|error| format!("{what}: {error}"))
    }
}

/// Runs `work(0)` to `work(threads - 1)`, each on a thread of its own, which all begin
/// together. The first failure is the failure of all.
pub(crate) fn on_threads(threads: u32, work: impl Fn(u32) -> Check + Sync) -> Check {
    let start = Barrier::new(threads);
    thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|index| {
                let (start, work) = (&start, &work);
                scope.spawn(move || {
                    start.wait();
                    work(index)
                })
            })
            .collect();
        let outcomes: Vec<Check> = handles
            .into_iter()
            .map(|handle| handle.join().unwrap_or_else(|_| Err("a thread panicked".into())))
            .collect();
        outcomes.into_iter().collect()
    })
}

/// Waits for something that another thread is about to do.
#[track_caller]
pub(crate) fn until(mut condition: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !condition() {
        assert!(began.elapsed().as_secs() < 60, "this has not come in a minute");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}
