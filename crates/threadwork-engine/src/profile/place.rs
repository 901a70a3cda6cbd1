//! What of a stack is worth a line of text: where the program's own code is, and by which
//! function of a library it got to where it is.

use super::resolve::Site;
use crate::backtrace::Frame;
use std::fmt;
use std::sync::Arc;

/// See the module's documentation.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    /// The innermost function that is the program's own, or the innermost of all.
    function: String,
    /// File and line there, if they are known.
    line: Option<String>,
    /// By which function it came to where it is: the innermost one of a library, else what it
    /// has called itself.
    via: Option<String>,
}

impl Place {
    /// Of a stack, innermost first.
    pub(super) fn of(stack: &[Arc<Site>]) -> Self {
        let frames = || {
            stack
                .iter()
                .flat_map(|site| site.frames.iter().map(move |f| (site, f)))
        };
        let first = |of: fn(Owner) -> bool| frames().position(|(_, frame)| of(Owner::of(frame)));
        let own = first(|owner| owner == Owner::Program);
        let at = own.or_else(|| first(|owner| owner != Owner::Language));
        let at = at.unwrap_or(0);
        let name = |(site, frame): (&Arc<Site>, &Frame)| {
            frame
                .function
                .clone()
                .unwrap_or_else(|| site.function.to_string())
        };
        let Some((site, frame)) = frames().nth(at) else {
            let label = stack.first().map(|site| site.function.to_string());
            return Self {
                function: label.unwrap_or_else(|| "[unknown]".to_owned()),
                line: None,
                via: None,
            };
        };
        let function = name((site, frame));
        if own.is_none() && THREAD_ENDS.contains(&&*function) {
            return Self {
                function: "the end of a thread".to_owned(),
                line: None,
                via: None,
            };
        }
        let library = frames()
            .take(at)
            .find(|(_, frame)| Owner::of(frame) == Owner::Library);
        let called = || frames().take(at).last();
        Self {
            function,
            line: line(frame),
            via: library.or_else(called).map(name),
        }
    }
}

/// By these functions wasi-libc ends threads, and wakes whoever joins them.
const THREAD_ENDS: [&str; 2] = ["__wasi_thread_start_C", "wasi_thread_start"];

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.function)?;
        if let Some(line) = &self.line {
            write!(f, " ({line})")?;
        }
        if let Some(via) = &self.via {
            write!(f, ", in {via}")?;
        }
        Ok(())
    }
}

/// File and line, without the directories that all files of a program are in.
pub(super) fn line(frame: &Frame) -> Option<String> {
    let (file, line) = (frame.file.as_ref()?, frame.line?);
    let parts: Vec<_> = file.rsplit('/').take(3).collect();
    let shown: Vec<_> = parts.into_iter().rev().collect();
    Some(format!("{}:{line}", shown.join("/")))
}

/// Whose code a frame is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// How each thread begins, and the standard libraries of languages.
    Language,
    /// A library by which programs share work.
    Library,
    Program,
}

impl Owner {
    fn of(frame: &Frame) -> Self {
        const LANGUAGE_FILES: [&str; 4] =
            ["/rustc/", "/library/std/", "/library/core/", "wasi-libc"];
        const LIBRARY_FILES: [&str; 1] = ["/registry/src/"];
        const LANGUAGE: [&str; 18] = [
            "std::",
            "core::",
            "alloc::",
            "<std::",
            "<core::",
            "<alloc::",
            "__",
            "_start",
            "wasi_thread_start",
            "pthread_",
            "cnd_",
            "mtx_",
            "sem_",
            "poll",
            "nanosleep",
            "clock_nanosleep",
            "thrd_",
            "threadwork:",
        ];
        const LIBRARIES: [&str; 9] = [
            "rayon",
            "<rayon",
            "crossbeam",
            "<crossbeam",
            "parking_lot",
            "<parking_lot",
            "threadwork",
            "<threadwork",
            "wasm_futex",
        ];
        let name = frame.function.as_deref().unwrap_or_default();
        let file = frame.file.as_deref().unwrap_or_default();
        let begins = |starts: &[&str]| starts.iter().any(|start| name.starts_with(start));
        let lies = |parts: &[&str]| parts.iter().any(|part| file.contains(part));
        if begins(&LANGUAGE) || lies(&LANGUAGE_FILES) {
            Self::Language
        } else if begins(&LIBRARIES) || lies(&LIBRARY_FILES) {
            Self::Library
        } else {
            Self::Program
        }
    }
}
