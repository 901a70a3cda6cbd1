//! [`PanicMessage`]: what Rust's standard library prints of a panic, taken apart.

use serde::Serialize;

/// The message of a panic, as the guest has printed it to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PanicMessage {
    /// The thread's name, such as `main` or `<unnamed>`.
    pub thread: String,
    /// File, line and column.
    pub location: String,
    /// What the program says; of a long message the beginning.
    pub message: String,
}

impl PanicMessage {
    /// The last one in `text`, which is what one thread has printed. Its forms are those of
    /// Rust 1.73 and later: `thread 'NAME' (ID) panicked at FILE:LINE:COLUMN:`, the id since
    /// 1.91, and the message from the next line on.
    pub(crate) fn find(text: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(text);
        let (before, after) = text.rsplit_once(" panicked at ")?;
        let (_, thread) = before.rsplit_once("thread '")?;
        let (thread, id) = thread.rsplit_once('\'')?;
        let is_id = |id: &str| {
            let id = id.strip_prefix(" (").and_then(|id| id.strip_suffix(')'));
            id.is_some_and(|id| id.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let (location, message) = after.split_once(":\n")?;
        let is_line = !location.contains('\n') && (id.is_empty() || is_id(id));
        // What the library says itself comes after the message.
        let message = message
            .rsplit_once("\nnote: ")
            .map_or(message, |(own, _)| own);
        is_line.then(|| Self {
            thread: thread.to_owned(),
            location: location.to_owned(),
            message: message.trim_end_matches('\n').to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str) -> Option<[String; 3]> {
        let found = PanicMessage::find(text.as_bytes())?;
        Some([found.thread, found.location, found.message])
    }

    #[test]
    fn messages_are_taken_apart() {
        let now = "\nthread 'main' (1) panicked at src/main.rs:3:5:\nno luck\n\
                   note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n";
        assert_eq!(find(now).unwrap(), ["main", "src/main.rs:3:5", "no luck"]);
        let before = "hello\nthread 'it's me' panicked at src/lib.rs:10:1:\nleft: 1\nright: 2\n";
        let expected = ["it's me", "src/lib.rs:10:1", "left: 1\nright: 2"];
        assert_eq!(find(before).unwrap(), expected);
    }

    #[test]
    fn the_last_counts() {
        let two =
            "thread 'a' (2) panicked at x:1:1:\none\nthread 'b' (3) panicked at y:2:2:\ntwo\n";
        assert_eq!(find(two).unwrap(), ["b", "y:2:2", "two"]);
    }

    #[test]
    fn what_is_none_is_none() {
        for text in [
            "",
            "all is well",
            "thread 'a' panicked at ",
            "thread 'a' (x) panicked at y:1:1:\nno",
            "somebody panicked at x:1:1:\nno",
            "thread 'a' panicked at x\ny:\nno",
        ] {
            assert_eq!(find(text), None, "{text}");
        }
    }
}
