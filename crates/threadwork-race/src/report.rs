//! What was found, in words that say what to do next.

use std::fmt;

use threadwork_engine::{Backtrace, Frame};

/// Something that the program must not do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// What it is.
    pub kind: ReportKind,
    /// The first byte that both accesses reach.
    pub address: u64,
    /// The access, or the call of `free`, that was not to be.
    pub event: Event,
    /// What it must not meet.
    pub earlier: Event,
    /// The block of the heap with the address, if it is in one.
    pub block: Option<Block>,
    /// How the threads of both events were started, but for the main thread.
    pub threads: Vec<Started>,
}

/// Kinds of [`Report`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ReportKind {
    /// Two accesses with no order.
    Race,
    /// An access to memory that was freed.
    UseAfterFree,
    /// A block was freed twice.
    DoubleFree,
}

/// What a thread has done.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event {
    /// Which thread; 0 is the main thread.
    pub thread: u32,
    /// What it did.
    pub act: Act,
    /// Bytes that it reached; 0 if that is not known.
    pub width: u64,
    /// Where. Of an event that is long past it is the stack of the first event with the same
    /// place and, with all probability, the same chain of calls.
    pub stack: Backtrace,
}

/// What an [`Event`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Act {
    /// A plain load, or what WASI writes to a file.
    Read,
    /// A plain store, or what WASI reads from a file.
    Write,
    /// An atomic load.
    AtomicRead,
    /// Another atomic operation.
    AtomicWrite,
    /// A call of `free` or `realloc`.
    Free,
}

/// A block of the heap.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Block {
    /// Where it begins.
    pub address: u64,
    /// Bytes that were asked for.
    pub length: u64,
    /// Who has allocated it.
    pub thread: u32,
    /// Where.
    pub stack: Backtrace,
}

/// The start of a thread.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Started {
    /// The thread that was started.
    pub thread: u32,
    /// By whom.
    pub by: u32,
    /// Where.
    pub stack: Backtrace,
}

impl Report {
    /// The frames of both events.
    pub(crate) fn frames(&self) -> impl Iterator<Item = Frame> {
        let stacks = [&self.event.stack, &self.earlier.stack];
        stacks.into_iter().flat_map(|stack| stack.frames())
    }

    /// A text that is the same for two reports of the same two places, whichever came first.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let told = |frame: &Frame| match (&frame.file, frame.line) {
            (Some(file), Some(line)) => format!("{file}:{line}"),
            _ => format!("{:?}@{:?}", frame.function, frame.offset),
        };
        // Many accesses are in one and the same function of a standard library.
        let is_own = |frame: &&Frame| {
            let file = frame.file.as_deref();
            file.is_none_or(|file| !file.starts_with("/rustc/") && !file.contains("/include/c++/"))
        };
        let place = |event: &Event| {
            let frames = shown(&event.stack);
            let places = [frames.first(), frames.iter().find(is_own)];
            let places: Vec<_> = places.into_iter().flatten().map(told).collect();
            places.join(" ")
        };
        let mut places = [place(&self.event), place(&self.earlier)];
        places.sort();
        format!("{:?} {} {}", self.kind, places[0], places[1])
    }

    /// What to do about it.
    fn remedy(&self) -> &'static str {
        let acts = [self.event.act, self.earlier.act];
        match self.kind {
            ReportKind::Race if acts.contains(&Act::Free) => {
                "the block must not be freed before the other thread is done with it: join that \
                 thread first, or share the block by a count of references (Arc, shared_ptr)"
            }
            ReportKind::Race
                if acts.contains(&Act::AtomicRead) || acts.contains(&Act::AtomicWrite) =>
            {
                "one of the two is atomic and the other is not: make both atomic"
            }
            ReportKind::Race => {
                "let one happen before the other: hold the same lock around both, join the \
                 thread, send the value, or make both atomic"
            }
            ReportKind::UseAfterFree => {
                "the memory belongs to the allocator again: free it later, or share it by a count \
                 of references (Arc, shared_ptr)"
            }
            ReportKind::DoubleFree => {
                "two owners free one block: let one own it, or count references (Arc, shared_ptr)"
            }
        }
    }
}

/// The frames that are told of a stack: without the functions that are the instrumenting layer's
/// own, which are nowhere in the program.
fn shown(stack: &Backtrace) -> Vec<Frame> {
    let mut frames = stack.abridged();
    let own = frames.iter().take_while(|frame| frame.offset.is_none());
    let own = own.count();
    if own < frames.len() {
        frames.drain(..own);
    }
    frames
}

impl fmt::Display for ReportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Race => "data race",
            Self::UseAfterFree => "use after free",
            Self::DoubleFree => "double free",
        })
    }
}

/// The main thread has no number.
struct Thread(u32);

impl fmt::Display for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("the main thread"),
            id => write!(f, "thread {id}"),
        }
    }
}

fn write_stack(f: &mut fmt::Formatter<'_>, stack: &Backtrace) -> fmt::Result {
    let frames = shown(stack);
    if frames.is_empty() {
        return writeln!(f, "       (its stack was not kept)");
    }
    for (number, frame) in frames.iter().enumerate() {
        writeln!(f, "  {number:>4}: {frame}")?;
    }
    Ok(())
}

impl Event {
    fn write(&self, f: &mut fmt::Formatter<'_>, earlier: bool) -> fmt::Result {
        let act = match (self.act, earlier) {
            (Act::Read, false) => "reads",
            (Act::Read, true) => "has read",
            (Act::Write, false) => "writes",
            (Act::Write, true) => "has written",
            (Act::AtomicRead, false) => "reads atomically",
            (Act::AtomicRead, true) => "has read atomically",
            (Act::AtomicWrite, false) => "writes atomically",
            (Act::AtomicWrite, true) => "has written atomically",
            (Act::Free, false) => "frees it",
            (Act::Free, true) => "has freed it",
        };
        write!(f, "  {} {act}", Thread(self.thread))?;
        match self.width {
            0 => {}
            1 => write!(f, ", 1 byte")?,
            width => write!(f, ", {width} bytes")?,
        }
        writeln!(f, ":")?;
        write_stack(f, &self.stack)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} at address {:#x}", self.kind, self.address)?;
        self.event.write(f, false)?;
        self.earlier.write(f, true)?;
        if let Some(block) = &self.block {
            writeln!(
                f,
                "  it is byte {} of {} that {} has allocated:",
                self.address.saturating_sub(block.address),
                block.length,
                Thread(block.thread)
            )?;
            write_stack(f, &block.stack)?;
        }
        for started in &self.threads {
            let (thread, by) = (Thread(started.thread), Thread(started.by));
            writeln!(f, "  {thread} was started by {by}:")?;
            write_stack(f, &started.stack)?;
        }
        write!(f, "  what to do: {}", self.remedy())
    }
}
