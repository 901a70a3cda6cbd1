//! What a failure looks like: which thread was interrupted where, and what everybody did.
//!
//! Invariant: symbols are looked up only here, for executions that somebody is to read about.

use std::fmt::{self, Write};
use std::sync::Arc;

use threadwork_engine::{Backtrace, Frame, Symbols};
use threadwork_race::ReportKind;
use wasmtime::WasmBacktrace;

use crate::choices::{Choice, Tid};
use crate::execution::Execution;
use crate::operation::{Kind, Operation};
use crate::program::Program;
use crate::replay::Replay;
use crate::trace::Event;
use crate::world::State;

/// How a program has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureKind {
    /// A thread trapped; a panic of Rust's does, too.
    Trap {
        /// The thread: 0 is the main one.
        thread: u32,
        /// What the trap says.
        message: String,
    },
    /// The program exited with a code that is not 0.
    Exit(i32),
    /// All threads wait for ever.
    Deadlock,
    /// All threads wait, but for some that looked again and again at the same values, for half of
    /// the steps that an execution may have and up to the last: see [`Explorer::steps`].
    ///
    /// [`Explorer::steps`]: crate::Explorer::steps
    Livelock,
    /// The output is not the expected one.
    Output,
    /// Nothing orders two accesses, or a block is used or freed after it was freed. Only of a
    /// program that was made [with races](crate::Program::with_races).
    Race {
        /// Which of them it is.
        kind: ReportKind,
        /// The places of the two, by numbers that are this program's: to tell whether two failures
        /// are the same.
        sites: [u32; 2],
    },
}

impl FailureKind {
    /// Every [`name`](Self::name).
    pub(crate) const NAMES: [&'static str; 6] =
        ["trap", "exit", "deadlock", "livelock", "output", Self::RACE];

    /// That of all races.
    pub(crate) const RACE: &'static str = "race";

    /// One word for it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Trap { .. } => "trap",
            Self::Exit(_) => "exit",
            Self::Deadlock => "deadlock",
            Self::Livelock => "livelock",
            Self::Output => "output",
            Self::Race { .. } => Self::RACE,
        }
    }

    /// Whether it is the same failure, as far as can be told.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Trap { message, .. }, Self::Trap { message: other, .. }) => message == other,
            (one, other) => one == other,
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trap { thread, message } => write!(f, "{} trapped: {message}", named(*thread)),
            Self::Exit(code) => write!(f, "the program exited with {code}"),
            Self::Deadlock => write!(f, "deadlock: every thread waits for ever"),
            Self::Livelock => write!(
                f,
                "livelock: up to the last step that it may have, no thread does anything but look \
                 again and again at the same values (--steps gives it more)"
            ),
            Self::Output => write!(f, "the output is not the expected one"),
            Self::Race { kind, .. } => write!(f, "{kind}"),
        }
    }
}

/// A schedule that fails. Printed, it is a report of several lines: what happened, which
/// preemptions it needs, the threads as columns, and what each did at the end.
#[derive(Clone, Debug)]
pub struct Failure {
    kind: FailureKind,
    preemptions: u32,
    text: String,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    replay: Replay,
}

impl Failure {
    pub(crate) fn new(
        program: &Program,
        execution: &Execution,
        kind: FailureKind,
        replay: Replay,
    ) -> Self {
        let teller = Teller {
            symbols: Arc::clone(program.symbols()),
            execution,
        };
        Self {
            text: teller.tell(&kind),
            kind,
            preemptions: execution.left.preemptions,
            stdout: execution.stdout.clone(),
            stderr: execution.stderr.clone(),
            replay,
        }
    }

    /// What has failed.
    #[must_use]
    pub fn kind(&self) -> &FailureKind {
        &self.kind
    }

    /// How many preemptions the schedule has: times when a thread that could have gone on had to
    /// let another one pass. A sleep that ends early is one, too.
    #[must_use]
    pub fn preemptions(&self) -> u32 {
        self.preemptions
    }

    /// How to repeat it.
    #[must_use]
    pub fn replay(&self) -> &Replay {
        &self.replay
    }

    /// The number of the schedule that failed, from 0: so many were tried before it.
    #[must_use]
    pub fn schedule(&self) -> u64 {
        self.replay.schedule
    }

    /// The strategy that found it; `none` if it takes no preemption.
    #[must_use]
    pub fn strategy(&self) -> &str {
        &self.replay.strategy
    }

    /// What the program has written to its standard output.
    #[must_use]
    pub fn stdout(&self) -> &[u8] {
        &self.stdout
    }

    /// What the program has written to its standard error.
    #[must_use]
    pub fn stderr(&self) -> &[u8] {
        &self.stderr
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn named(tid: Tid) -> String {
    match tid {
        0 => "the main thread".to_owned(),
        _ => format!("thread {tid}"),
    }
}

/// Width of a thread's column.
const COLUMN: usize = 40;

/// With more threads, a line says whose it is, instead of a column.
const MOST_COLUMNS: usize = 4;

/// Steps of a thread that are shown after it was switched to, and before it is switched from.
const AFTER: usize = 2;
const BEFORE: usize = 3;

/// Lines of the schedule, at most: the last ones.
const MOST_LINES: usize = 60;

/// Frames of a stack, at most.
const MOST_FRAMES: usize = 10;

/// Lines of what the program wrote to its standard error: the last ones.
const MOST_ERRORS: usize = 12;

/// Makes the report.
struct Teller<'a> {
    symbols: Arc<Symbols>,
    execution: &'a Execution,
}

/// A line of the schedule.
struct Row {
    thread: Tid,
    text: String,
    /// How often the thread has done just this in a row: it spins.
    times: u32,
    /// Whether it is about a switch, and has to be shown.
    is_switch: bool,
}

impl Row {
    fn text(&self) -> String {
        match self.times {
            1 => self.text.clone(),
            times => format!("{times}x {}", self.text),
        }
    }
}

impl Teller<'_> {
    fn tell(&self, kind: &FailureKind) -> String {
        let race = match kind {
            FailureKind::Race { .. } => self.execution.race.as_ref(),
            _ => None,
        };
        let mut text = match race {
            Some(found) => format!("{}\n", found.report),
            None => format!("{kind}\n"),
        };
        self.errors(&mut text);
        let trapped = self.execution.trapped.as_ref();
        if let Some(stack) = trapped.and_then(|trapped| trapped.stack.as_ref()) {
            self.stack(&mut text, stack);
        }
        let rows = self.rows();
        self.preemptions(&mut text);
        self.columns(&mut text, &rows);
        if matches!(kind, FailureKind::Deadlock | FailureKind::Livelock) {
            self.sleepers(&mut text);
        }
        text
    }

    fn backtrace(&self, stack: &WasmBacktrace) -> Backtrace {
        Backtrace::new(stack, Arc::clone(&self.symbols))
    }

    /// Where in the program's own source a stack is, and where in a library below that.
    fn place(&self, stack: &WasmBacktrace) -> (Option<Frame>, Option<Frame>) {
        let frames = self.backtrace(stack).abridged();
        let library = frames.iter().find(|frame| is_beyond_std(frame));
        let own = frames.iter().find(|frame| is_own(frame));
        let own = own.or(library).or(frames.first());
        let library = library.filter(|frame| !is_own(frame) && Some(*frame) != own);
        (own.cloned(), library.cloned())
    }

    /// What is done, to which word, and where.
    fn operation(&self, operation: Operation, value: Option<u64>, stack: &WasmBacktrace) -> String {
        let what = match operation.kind {
            Kind::Start => "start",
            Kind::Load => "load",
            Kind::Store => "store",
            Kind::Modify => "modify",
            Kind::Exchange => "compare-exchange",
            Kind::Wait => "wait",
            Kind::Notify => "notify",
            Kind::Spawn => "spawn",
            Kind::Host => "call of the host",
            Kind::Yield => "yield",
        };
        let mut text = what.to_owned();
        if operation.width > 0 {
            let _ = write!(text, " {:x}", operation.address);
            if let Some(value) = value {
                let _ = write!(text, "={value}");
            }
        }
        if let (Some(frame), _) = self.place(stack) {
            let _ = write!(text, " {}", short(&frame));
        }
        text
    }

    /// In which function a stack is.
    fn function(&self, stack: &WasmBacktrace) -> String {
        let (own, library) = self.place(stack);
        let mut text = String::new();
        if let Some(name) = own.and_then(|frame| frame.function) {
            let _ = write!(text, " in {name}");
        }
        if let Some(frame) = library {
            let _ = write!(text, " ({}", short(&frame));
            if let Some(name) = &frame.function {
                let _ = write!(text, " in {name}");
            }
            text.push(')');
        }
        text
    }

    fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        let mut pending: Vec<Option<(Operation, &WasmBacktrace)>> =
            vec![None; self.execution.states.len()];
        // Where the last row of each thread is.
        let mut last = vec![usize::MAX; self.execution.states.len()];
        for event in self.events() {
            match event {
                Event::Point {
                    thread,
                    operation,
                    stack,
                } => {
                    if let Some(place) = pending.get_mut(*thread as usize) {
                        *place = Some((*operation, stack));
                    }
                }
                Event::Resumed { thread, value } => {
                    let place = pending.get_mut(*thread as usize).and_then(Option::take);
                    if let Some((operation, stack)) = place
                        && let Some(last) = last.get_mut(*thread as usize)
                    {
                        let text = self.operation(operation, Some(*value), stack);
                        match rows.get_mut(*last) {
                            Some(row) if row.text == text => row.times += 1,
                            _ => {
                                *last = rows.len();
                                rows.push(Row {
                                    thread: *thread,
                                    text,
                                    times: 1,
                                    is_switch: false,
                                });
                            }
                        }
                    }
                }
                Event::Preemption { thread, choice } => rows.push(Row {
                    thread: *thread,
                    text: match choice {
                        Choice::Run(next) => format!("-- preempted: {} --", named(*next)),
                        Choice::Timeout(tid) => {
                            format!("-- the time of {} is over --", named(*tid))
                        }
                    },
                    times: 1,
                    is_switch: true,
                }),
            }
        }
        rows
    }

    fn events(&self) -> impl Iterator<Item = &Event> {
        let trace = self.execution.left.trace.iter();
        trace.flat_map(|trace| &trace.events)
    }

    /// Which preemptions it takes, and where they are.
    fn preemptions(&self, text: &mut String) {
        let count = self.execution.left.preemptions;
        let _ = match count {
            0 => writeln!(
                text,
                "\nneeds no preemption: it fails when threads switch only where they wait"
            ),
            1 => writeln!(text, "\nneeds 1 preemption:"),
            _ => writeln!(text, "\nneeds {count} preemptions:"),
        };
        let mut last: Vec<Option<(Operation, &WasmBacktrace)>> =
            vec![None; self.execution.states.len()];
        let mut number = 0;
        for event in self.events() {
            match event {
                Event::Point {
                    thread,
                    operation,
                    stack,
                } => {
                    if let Some(place) = last.get_mut(*thread as usize) {
                        *place = Some((*operation, stack));
                    }
                }
                Event::Preemption { thread, choice } => {
                    number += 1;
                    let place = last.get(*thread as usize).copied().flatten();
                    let before = match place {
                        Some((operation, stack)) => {
                            self.operation(operation, None, stack) + &self.function(stack)
                        }
                        None => "its first operation".to_owned(),
                    };
                    let _ = match choice {
                        Choice::Run(next) => writeln!(
                            text,
                            "  {number}. before {before}, {} lets {} run",
                            named(*thread),
                            named(*next)
                        ),
                        Choice::Timeout(tid) => writeln!(
                            text,
                            "  {number}. the sleep of {} ends, while {} is before {before}",
                            named(*tid),
                            named(*thread)
                        ),
                    };
                }
                Event::Resumed { .. } => {}
            }
        }
    }

    /// The schedule, with a column for each thread.
    fn columns(&self, text: &mut String, rows: &[Row]) {
        let threads = self.execution.states.len();
        let has_columns = threads <= MOST_COLUMNS;
        text.push('\n');
        if has_columns {
            let heads = (0..threads).map(|tid| format!("{:COLUMN$}", named(tid as Tid)));
            let _ = writeln!(text, "  {}", heads.collect::<String>().trim_end());
        }
        let mut lines = Vec::new();
        let mut start = 0;
        for turn in rows.chunk_by(|one, next| one.thread == next.thread) {
            let last = start + turn.len() == rows.len();
            start += turn.len();
            let line = |row: &Row| match has_columns {
                true => {
                    let indent = COLUMN * row.thread as usize;
                    format!("  {:indent$}{}", "", fit(&row.text()))
                }
                false => format!("  {:>3}  {}", row.thread, row.text()),
            };
            let is_shown = |place: usize| {
                let near_end = place + BEFORE + usize::from(last) * BEFORE >= turn.len();
                place < AFTER || near_end
            };
            let mut left_out = 0;
            for (place, row) in turn.iter().enumerate() {
                if !is_shown(place) && !row.is_switch {
                    left_out += 1;
                    continue;
                }
                if std::mem::take(&mut left_out) > 0 {
                    let dots = Row {
                        thread: row.thread,
                        text: "...".to_owned(),
                        times: 1,
                        is_switch: false,
                    };
                    lines.push(line(&dots));
                }
                lines.push(line(row));
            }
        }
        if let Some(too_many) = lines.len().checked_sub(MOST_LINES).filter(|many| *many > 0) {
            let _ = writeln!(text, "  ({too_many} lines before)");
            lines.drain(..too_many);
        }
        for line in lines {
            let _ = writeln!(text, "{line}");
        }
    }

    /// Who waits for what, and where.
    fn sleepers(&self, text: &mut String) {
        text.push('\n');
        for (tid, state) in self.execution.states.iter().enumerate() {
            let what = match state {
                State::Waiting { address, .. } => format!("waits for the word at {address:x}"),
                State::Spinning => "looks again and again at the same values".to_owned(),
                State::Sleeping { .. } => "sleeps".to_owned(),
                State::Ready => "can run".to_owned(),
                State::Done => continue,
            };
            let _ = writeln!(text, "{} {what}", named(tid as Tid));
            let stack = self.events().filter_map(|event| match event {
                Event::Point { thread, stack, .. } if *thread as usize == tid => Some(stack),
                _ => None,
            });
            if let Some(stack) = stack.last() {
                self.stack(text, stack);
            }
        }
    }

    /// The frames of a stack that are not of Rust's or C's standard library, if there are such.
    fn stack(&self, text: &mut String, stack: &WasmBacktrace) {
        let frames = self.backtrace(stack).abridged();
        let has_named = frames.iter().any(is_beyond_std);
        let shown = frames
            .iter()
            .filter(|frame| is_beyond_std(frame) || !has_named);
        for frame in shown.take(MOST_FRAMES) {
            let _ = writeln!(text, "    in {frame}");
        }
    }

    /// What the program itself said.
    fn errors(&self, text: &mut String) {
        let errors = String::from_utf8_lossy(&self.execution.stderr);
        let lines: Vec<&str> = errors.lines().collect();
        let skipped = lines.len().saturating_sub(MOST_ERRORS);
        for line in lines.iter().skip(skipped) {
            let _ = writeln!(text, "  | {line}");
        }
    }
}

/// Whether a frame is of known source, and not of a standard library.
fn is_beyond_std(frame: &Frame) -> bool {
    const STANDARD: [&str; 4] = ["/rustc/", "library/std/", "/wasi-libc/", "/.rustup/"];
    let file = frame.file.as_deref();
    file.is_some_and(|file| !STANDARD.iter().any(|part| file.contains(part)))
}

/// Whether a frame is of the program's own source, and not of a library's.
fn is_own(frame: &Frame) -> bool {
    let file = frame.file.as_deref();
    is_beyond_std(frame) && file.is_some_and(|file| !file.contains("/registry/src/"))
}

/// A frame in a few characters: the last part of its file and the line, or its function.
fn short(frame: &Frame) -> String {
    let file = frame
        .file
        .as_deref()
        .and_then(|file| file.rsplit('/').next());
    match (file, frame.line, &frame.function) {
        (Some(file), Some(line), _) => format!("{file}:{line}"),
        (_, _, Some(function)) => function.clone(),
        _ => format!("<function {}>", frame.function_index),
    }
}

/// The text, cut to a column.
fn fit(text: &str) -> String {
    match text.chars().count() > COLUMN - 2 {
        true => text.chars().take(COLUMN - 3).chain(['\u{2026}']).collect(),
        false => text.to_owned(),
    }
}
