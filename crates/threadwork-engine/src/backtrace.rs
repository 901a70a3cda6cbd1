//! Backtraces in the terms of the user's own file.
//!
//! Wasmtime sees the rewritten module; what is reported here are offsets of the
//! original one and, where it carries DWARF, source lines. Symbols are looked up
//! only when somebody reads a backtrace: ending ten thousand processes must not
//! parse debug information ten thousand times.

mod bounds;

use cpp_demangle::DemangleOptions;
use gimli::LittleEndian;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};
use threadwork_rewrite::OffsetMap;
use wasmtime::WasmBacktrace;

/// Where the frames of a module's backtraces are looked up. For `threadwork-check`, which runs
/// modules in its own way and tells of them as this crate does.
#[doc(hidden)]
pub struct Symbols {
    offsets: OffsetMap,
    told: Told,
    /// The original module if it has debug information, else empty.
    original: Vec<u8>,
    dwarf: OnceLock<Option<Dwarf>>,
}

/// What a module tells of itself, in its custom sections.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Told {
    /// That some of it was written in Rust.
    has_rust: bool,
    /// From which lines it was made.
    has_lines: bool,
}

impl Told {
    pub(crate) fn of(original: &[u8]) -> Self {
        let is_rust = |(name, data): (&str, &[u8])| {
            name == "producers" && data.windows(RUST.len()).any(|bytes| bytes == RUST)
        };
        Self {
            has_rust: sections(original).any(is_rust),
            has_lines: sections(original).any(|(name, _)| name == ".debug_line"),
        }
    }
}

/// How compilers name the language in a module's section `producers`.
const RUST: &[u8] = b"Rust";

/// The line table of a module, behind a lock: `addr2line` fills its caches as it is asked.
type Dwarf = std::sync::Mutex<addr2line::Context<gimli::EndianArcSlice<LittleEndian>>>;

impl Symbols {
    pub(crate) fn new(offsets: OffsetMap, told: Told, original: Cow<'_, [u8]>) -> Self {
        Self {
            offsets,
            told,
            original: if told.has_lines {
                original.into_owned()
            } else {
                Vec::new()
            },
            dwarf: OnceLock::new(),
        }
    }

    /// The symbols of a module whose offsets have moved like this.
    #[must_use]
    pub fn of(offsets: OffsetMap, original: &[u8]) -> Arc<Self> {
        let told = Told::of(original);
        Arc::new(Self::new(offsets, told, Cow::Borrowed(original)))
    }

    /// The source lines of an offset of the original file, innermost inlined
    /// function first.
    fn lines(&self, offset: usize) -> Vec<Line> {
        let Some(code) = code_section(&self.original) else {
            return Vec::new();
        };
        let dwarf = self.dwarf.get_or_init(|| load_dwarf(&self.original));
        let (Some(dwarf), Some(probe)) = (dwarf, offset.checked_sub(code)) else {
            return Vec::new();
        };
        let dwarf = dwarf
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut lines = Vec::new();
        let Ok(mut frames) = dwarf.find_frames(probe as u64).skip_all_loads() else {
            return lines;
        };
        while lines.len() < MOST_LINES
            && let Ok(Some(frame)) = frames.next()
        {
            let function = frame.function.as_ref().and_then(|f| f.raw_name().ok());
            let location = frame.location.as_ref();
            lines.push(Line {
                function: function.map(|name: Cow<'_, str>| demangle(&name)),
                file: location
                    .and_then(|l| l.file)
                    .map(|file| printable(format_args!("{file}"))),
                line: location.and_then(|l| l.line),
                column: location.and_then(|l| l.column),
            });
        }
        lines
    }
}

impl Symbols {
    /// The frames of an instruction, the innermost inlined function first: of the function with
    /// this index and name, at this offset of the rewritten module. There is one at least.
    pub(crate) fn frames(
        &self,
        index: u32,
        name: Option<&str>,
        offset: Option<usize>,
    ) -> Vec<Frame> {
        let raw = RawFrame {
            index,
            name: name.map(Box::from),
            offset: offset.and_then(|offset| self.offsets.original(offset)),
        };
        raw.resolve(Some(self))
    }
}

impl fmt::Debug for Symbols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Symbols").finish_non_exhaustive()
    }
}

/// Custom sections of a module, as far as it parses.
fn sections(wasm: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    wasmparser::Parser::new(0)
        .parse_all(wasm)
        .map_while(Result::ok)
        .filter_map(|payload| match payload {
            wasmparser::Payload::CustomSection(section) => Some((section.name(), section.data())),
            _ => None,
        })
}

/// Where the code section's contents begin: DWARF counts addresses from there.
fn code_section(wasm: &[u8]) -> Option<usize> {
    wasmparser::Parser::new(0)
        .parse_all(wasm)
        .map_while(Result::ok)
        .find_map(|payload| match payload {
            wasmparser::Payload::CodeSectionStart { range, .. } => Some(range.start),
            _ => None,
        })
}

/// The sections that hold functions and lines. Others are not needed to find them:
/// `.debug_aranges` repeats what the units say.
const READ: [gimli::SectionId; 9] = [
    gimli::SectionId::DebugAbbrev,
    gimli::SectionId::DebugAddr,
    gimli::SectionId::DebugInfo,
    gimli::SectionId::DebugLine,
    gimli::SectionId::DebugLineStr,
    gimli::SectionId::DebugRanges,
    gimli::SectionId::DebugRngLists,
    gimli::SectionId::DebugStr,
    gimli::SectionId::DebugStrOffsets,
];

/// The debug information of a module, unless it is malformed or beyond all bounds.
fn load_dwarf(wasm: &[u8]) -> Option<Dwarf> {
    let section = |id: gimli::SectionId| -> &[u8] {
        sections(wasm)
            .find(|(name, _)| READ.contains(&id) && *name == id.name())
            .map_or(&[], |(_, data)| data)
    };
    if READ.map(|id| section(id).len()).iter().sum::<usize>() > bounds::MOST_BYTES {
        return None;
    }
    let borrowed = |id| Ok::<_, gimli::Error>(gimli::EndianSlice::new(section(id), LittleEndian));
    bounds::check(gimli::Dwarf::load(borrowed).ok()?).ok()?;
    let shared =
        |id| Ok::<_, gimli::Error>(gimli::EndianArcSlice::new(section(id).into(), LittleEndian));
    let mut dwarf = gimli::Dwarf::load(shared).ok()?;
    // Else each unit would have its own copy of a table that they share.
    dwarf.populate_abbreviations_cache(gimli::AbbreviationsCacheStrategy::Duplicates);
    let context = addr2line::Context::from_dwarf(dwarf).ok()?;
    Some(std::sync::Mutex::new(context))
}

/// Characters that are kept of a name: it is the guest's, and may have any length.
const LONGEST_NAME: usize = 256;

/// Lines that are told of one frame: as many functions may have been inlined into it.
const MOST_LINES: usize = 64;

/// The name as its author wrote it, in Rust or in C++.
pub(crate) fn demangle(name: &str) -> String {
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        return printable(format_args!("{rust:#}"));
    }
    let symbol = cpp_demangle::Symbol::new(name);
    match symbol.ok().filter(|_| name.starts_with("_Z")) {
        Some(symbol) => cut(|kept| symbol.structured_demangle(kept, &DemangleOptions::new())),
        None => printable(format_args!("{name}")),
    }
}

/// A text of the guest's that may be kept and printed: cut, and without what a terminal
/// would act on.
fn printable(text: fmt::Arguments<'_>) -> String {
    cut(|kept| fmt::write(kept, text))
}

fn cut(write: impl FnOnce(&mut Printable) -> fmt::Result) -> String {
    let mut kept = Printable {
        text: String::new(),
        left: LONGEST_NAME,
    };
    // It fails where it cuts.
    if write(&mut kept).is_err() {
        kept.text.push('\u{2026}');
    }
    kept.text
}

struct Printable {
    text: String,
    left: usize,
}

impl fmt::Write for Printable {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for character in part.chars() {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            self.text.push(match character.is_control() {
                true => '\u{fffd}',
                false => character,
            });
        }
        Ok(())
    }
}

/// A source line.
struct Line {
    function: Option<String>,
    file: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
}

/// One frame of a [`Backtrace`]. An inlined function has a frame of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Frame {
    /// The demangled name, if the module has names or debug information; of a very long
    /// one the first 256 characters.
    pub function: Option<String>,
    /// The index of the function in the rewritten module.
    pub function_index: u32,
    /// The offset of the instruction in the original file.
    pub offset: Option<usize>,
    /// Source file, if the module has debug information.
    pub file: Option<String>,
    /// Line in it, from 1.
    pub line: Option<u32>,
    /// Column in it, from 1.
    pub column: Option<u32>,
}

/// The call stack of a guest thread, innermost frame first. Printed, it leaves out
/// the frames that Rust's runtime marks as its own, unless hardly any would be left;
/// [`frames`](Self::frames) has all.
#[derive(Clone, Default)]
pub struct Backtrace {
    frames: Vec<RawFrame>,
    symbols: Option<Arc<Symbols>>,
}

#[derive(Clone)]
struct RawFrame {
    index: u32,
    /// As it stands in the module: few backtraces are ever read.
    name: Option<Box<str>>,
    offset: Option<usize>,
}

impl Backtrace {
    /// The frames of `trace`, which are looked up when somebody asks.
    #[doc(hidden)]
    #[must_use]
    pub fn new(trace: &WasmBacktrace, symbols: Arc<Symbols>) -> Self {
        let frames = trace.frames().iter().map(|frame| RawFrame {
            index: frame.func_index(),
            name: frame.func_name().map(Box::from),
            offset: frame
                .module_offset()
                .and_then(|offset| symbols.offsets.original(offset)),
        });
        Self {
            frames: frames.collect(),
            symbols: Some(symbols),
        }
    }

    /// Whether it is of a module that was written in Rust, in part at least.
    pub(crate) fn is_of_rust(&self) -> bool {
        self.symbols
            .as_ref()
            .is_some_and(|symbols| symbols.told.has_rust)
    }

    /// Whether there is no frame: the thread was not in guest code.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The frames that are printed: without what Rust's runtime marks as its own, unless
    /// hardly any would be left.
    #[must_use]
    pub fn abridged(&self) -> Vec<Frame> {
        let frames = self.frames();
        short(&frames).to_vec()
    }

    /// The frames with their symbols. Slow on the first call for a module with
    /// debug information, which is parsed then.
    #[must_use]
    pub fn frames(&self) -> Vec<Frame> {
        self.frames
            .iter()
            .flat_map(|frame| frame.resolve(self.symbols.as_deref()))
            .collect()
    }
}

impl RawFrame {
    fn resolve(&self, symbols: Option<&Symbols>) -> Vec<Frame> {
        let lines = match (symbols, self.offset) {
            (Some(symbols), Some(offset)) => symbols.lines(offset),
            _ => Vec::new(),
        };
        let frame = |line: Line| Frame {
            function: line.function.or_else(|| self.name.as_deref().map(demangle)),
            function_index: self.index,
            offset: self.offset,
            file: line.file,
            line: line.line,
            column: line.column,
        };
        if lines.is_empty() {
            let nothing = Line {
                function: None,
                file: None,
                line: None,
                column: None,
            };
            return vec![frame(nothing)];
        }
        lines.into_iter().map(frame).collect()
    }
}

/// As a list of the frames that are printed.
impl Serialize for Backtrace {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.abridged().serialize(serializer)
    }
}

impl fmt::Display for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frames = self.frames();
        let shown = short(&frames);
        for (number, frame) in shown.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            write!(f, "{number:>4}: {frame}")?;
        }
        Ok(())
    }
}

/// Frames that are enough to say where a thread is.
const ENOUGH: usize = 2;

/// The frames between those that Rust's runtime marks as its own: without what a
/// panic does before it aborts, and what a thread does before its closure. All of
/// them if there are no marks. Where a closure has been inlined into the frame that is
/// marked, hardly any would be left: that frame and what called it are shown then, too.
fn short(frames: &[Frame]) -> &[Frame] {
    let marked = |mark: &'static str| {
        move |frame: &Frame| {
            frame
                .function
                .as_ref()
                .is_some_and(|name| name.contains(mark))
        }
    };
    let first = frames
        .iter()
        .rposition(marked("__rust_end_short_backtrace"));
    let frames = frames
        .get(first.map_or(0, |at| at + 1)..)
        .unwrap_or_default();
    let last = frames
        .iter()
        .position(marked("__rust_begin_short_backtrace"));
    match last {
        Some(last) if last >= ENOUGH => frames.get(..last).unwrap_or_default(),
        _ => frames,
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.function {
            Some(name) => write!(f, "{name}")?,
            None => write!(f, "<function {}>", self.function_index)?,
        }
        if let Some(file) = &self.file {
            write!(f, "\n        at {file}")?;
            for part in [self.line, self.column].into_iter().flatten() {
                write!(f, ":{part}")?;
            }
        } else if let Some(offset) = self.offset {
            write!(f, " @ {offset:#x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.frames()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_their_authors_wrote_them() {
        for (mangled, name) in [
            ("_RNvCs1234_7example4work", "example::work"),
            ("_ZN4core3ptr4read17h0123456789abcdefE", "core::ptr::read"),
            ("_Z5move_R7AccountS0_i", "move_(Account&, Account&, int)"),
            ("_Zzz", "_Zzz"),
            ("main", "main"),
            // What the parser of C++ takes for a type by itself.
            ("i", "i"),
        ] {
            assert_eq!(demangle(mangled), name);
        }
    }

    /// Each type is a pair of the one before: the name of the last would have billions of characters.
    #[test]
    fn a_name_that_grows_without_end_is_cut() {
        let mut name = String::from("_Z1fSt4pairIiiE");
        let digit = |n: u32| {
            char::from_digit(n, 36)
                .expect("a digit")
                .to_ascii_uppercase()
        };
        for n in 0..30 {
            name += &format!("St4pairIS{0}_S{0}_E", digit(n));
        }
        let begun = std::time::Instant::now();
        assert!(demangle(&name).chars().count() <= LONGEST_NAME + 1);
        assert!(begun.elapsed().as_secs() < 60);
    }
}
