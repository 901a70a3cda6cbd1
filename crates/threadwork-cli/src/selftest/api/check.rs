//! How a test says what is wrong.

use std::fmt::Display;

/// What a test returns: what it has measured, if it is a benchmark, or what is wrong.
pub(super) type Check = Result<Option<String>, String>;

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
pub(super) trait OrFail<T> {
    /// The value, or the error with what could not be done.
    fn or_fail(self, what: &str) -> Result<T, String>;
}

impl<T, E: Display> OrFail<T> for Result<T, E> {
    fn or_fail(self, what: &str) -> Result<T, String> {
        self.map_err(|error| format!("{what}: {error}"))
    }
}
