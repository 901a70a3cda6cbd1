//! Where each byte of the rewritten code came from.
//!
//! An [`OffsetMap`] is a sorted list of *runs*. A run begins at an offset of the
//! rewritten file and holds until the next one:
//!
//! | kind       | an offset `o` inside it came from      | used for                     |
//! |------------|----------------------------------------|------------------------------|
//! | `Copied`   | `original + (o - start)`               | code that only moved         |
//! | `Replaced` | `original`, whatever `o` is            | what stands for one operator |
//! | `Added`    | nowhere                                | everything else              |
//!
//! Invariant: starts increase strictly, and no run says what the run before it
//! says already. A module whose indices keep their width needs three runs.

/// Maps offsets in the rewritten file to offsets in the original.
///
/// Offsets count from the start of the file, as engines report them in traps and
/// backtraces. Every instruction of every function of the original is mapped;
/// code that the rewriter added, and everything outside code, is not.
///
/// ```
/// let wasm = wat::parse_str(r#"
///     (module
///       (memory (import "env" "memory") 1 1 shared)
///       (func (export "wake") (result i32)
///         (memory.atomic.notify offset=8 (i32.const 16) (i32.const 1))))
/// "#)?;
/// let new = threadwork_rewrite::rewrite(&wasm)?;
///
/// // The operator was `fe 00`; it is a constant and a call now.
/// let old_at = wasm.windows(2).rposition(|w| w == [0xfe, 0x00]).unwrap();
/// let new_at = new.wasm.windows(2).rposition(|w| w == [0x42, 8]).unwrap();
/// assert_eq!(new.offsets.original(new_at), Some(old_at));
/// assert_eq!(new.offsets.original(new_at + 2), Some(old_at)); // the call
/// assert_eq!(new.offsets.original(0), None);                  // not code
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetMap {
    runs: Vec<Run>,
}

/// 32 bits are enough: a module's sections have 32-bit sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    start: u32,
    from: Source,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Copied(u32),
    Replaced(u32),
    Added,
}

/// First bytes of the stored form; the last one is its version.
const MAGIC: [u8; 4] = *b"two\x01";

impl OffsetMap {
    /// The offset in the original file of the instruction that is, or became,
    /// the one at `rewritten`; `None` when the rewriter added it, or when the
    /// offset is not in code.
    pub fn original(&self, rewritten: usize) -> Option<usize> {
        let rewritten = u32::try_from(rewritten).ok()?;
        let after = self.runs.partition_point(|run| run.start <= rewritten);
        let run = self.runs.get(after.checked_sub(1)?)?;
        match run.from {
            Source::Copied(original) => {
                // `rewritten >= run.start`, by the search above.
                (original as usize).checked_add((rewritten - run.start) as usize)
            }
            Source::Replaced(original) => Some(original as usize),
            Source::Added => None,
        }
    }

    /// Whether every offset is its own original: the module was left alone.
    ///
    /// ```
    /// let untouched = threadwork_rewrite::rewrite(b"\0asm\x01\0\0\0")?;
    /// assert!(untouched.offsets.is_identity());
    /// # Ok::<(), threadwork_rewrite::RewriteError>(())
    /// ```
    pub fn is_identity(&self) -> bool {
        matches!(
            self.runs.as_slice(),
            [
                Run {
                    start: 0,
                    from: Source::Copied(0)
                },
                Run {
                    from: Source::Added,
                    ..
                }
            ]
        )
    }

    /// The map of two steps: from what this one maps to what `earlier` maps to, which is of
    /// the file that this one's step began with.
    ///
    /// ```
    /// use threadwork_rewrite::{Instrument, instrument, rewrite};
    ///
    /// let wasm = wat::parse_str(r#"
    ///     (module
    ///       (memory (import "env" "memory") 1 1 shared)
    ///       (func (export "trap") (i32.atomic.store (i32.const 1) (i32.const 1)) unreachable))
    /// "#)?;
    /// let choice = Instrument { atomics: true, ..Instrument::default() };
    /// let first = instrument(&wasm, &choice)?;
    /// let second = rewrite(&first.wasm)?;
    /// let both = second.offsets.through(&first.offsets);
    ///
    /// let unreachable = |wasm: &[u8]| wasm.windows(2).position(|w| w == [0x00, 0x0b]).unwrap();
    /// assert_eq!(both.original(unreachable(&second.wasm)), Some(unreachable(&wasm)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn through(&self, earlier: &Self) -> Self {
        let mut both = Self::default();
        for (place, run) in self.runs.iter().enumerate() {
            let next = self.runs.get(place + 1);
            match run.from {
                Source::Added => both.push_run(run.start, Source::Added),
                Source::Replaced(middle) => {
                    let from = match earlier.original(middle as usize) {
                        Some(original) => Source::Replaced(narrow(original)),
                        None => Source::Added,
                    };
                    both.push_run(run.start, from);
                }
                Source::Copied(middle) => {
                    let length = next.map_or(u32::MAX - run.start, |next| next.start - run.start);
                    both.copied_through(run.start, middle, length, earlier);
                }
            }
        }
        both
    }

    /// Adds the runs of `length` bytes from `start` on, which are copied from `middle` on.
    fn copied_through(&mut self, start: u32, middle: u32, length: u32, earlier: &Self) {
        let after = earlier.runs.partition_point(|run| run.start <= middle);
        let first = after.saturating_sub(1);
        if after == 0 {
            self.push_run(start, Source::Added);
        }
        for run in earlier.runs.get(first..).unwrap_or_default() {
            let begin = run.start.max(middle);
            let step = begin - middle;
            if step >= length {
                break;
            }
            let from = match run.from {
                Source::Copied(original) => {
                    Source::Copied(original.saturating_add(begin - run.start))
                }
                other => other,
            };
            self.push_run(start.saturating_add(step), from);
        }
    }

    fn push_run(&mut self, start: u32, from: Source) {
        self.push(start as usize, from);
    }

    /// How many runs the map has: what it costs to keep.
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// Whether the map maps nothing.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The map in a compact form for a file on disk.
    ///
    /// ```
    /// # use threadwork_rewrite::{OffsetMap, rewrite};
    /// let map = rewrite(b"\0asm\x01\0\0\0")?.offsets;
    /// assert_eq!(OffsetMap::from_bytes(&map.to_bytes()), Some(map));
    /// # Ok::<(), threadwork_rewrite::RewriteError>(())
    /// ```
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(MAGIC.len() + 4 * self.runs.len());
        bytes.extend(MAGIC);
        let mut last = Run {
            start: 0,
            from: Source::Added,
        };
        let mut last_original = 0;
        for &run in &self.runs {
            // Only differences are stored, so that most numbers take a byte or
            // two. The kind rides in the low two bits of the first.
            let step = u64::from(run.start - last.start);
            let (kind, original) = match run.from {
                Source::Copied(original) => (0, original),
                Source::Replaced(original) => (1, original),
                Source::Added => (2, last_original),
            };
            write_leb(&mut bytes, step << 2 | kind);
            if kind != 2 {
                write_leb(
                    &mut bytes,
                    zigzag(i64::from(original) - i64::from(last_original)),
                );
            }
            last = run;
            last_original = original;
        }
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote; `None` for anything else.
    ///
    /// ```
    /// assert_eq!(threadwork_rewrite::OffsetMap::from_bytes(b"garbage"), None);
    /// ```
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(&MAGIC)?;
        let mut runs: Vec<Run> = Vec::with_capacity(rest.len() / 3);
        let mut last_original = 0u32;
        while !rest.is_empty() {
            let head = read_leb(&mut rest)?;
            let step = u32::try_from(head >> 2).ok()?;
            let start = match runs.last() {
                None => step,
                Some(_) if step == 0 => return None,
                Some(last) => last.start.checked_add(step)?,
            };
            let kind = head & 3;
            if kind != 2 {
                let difference = unzigzag(read_leb(&mut rest)?);
                let original = i64::from(last_original).checked_add(difference)?;
                last_original = u32::try_from(original).ok()?;
            }
            let from = match kind {
                0 => Source::Copied(last_original),
                1 => Source::Replaced(last_original),
                2 => Source::Added,
                _ => return None,
            };
            runs.push(Run { start, from });
        }
        Some(Self { runs })
    }

    /// The map of a file of `len` bytes that was left alone.
    pub(crate) fn identity(len: usize) -> Self {
        let mut map = Self::default();
        map.copied(0, 0);
        map.added(len);
        map
    }

    /// From `start` on, bytes were copied from `original` on.
    pub(crate) fn copied(&mut self, start: usize, original: usize) {
        self.push(start, Source::Copied(narrow(original)));
    }

    /// From `start` on, bytes stand for the one operator at `original`.
    pub(crate) fn replaced(&mut self, start: usize, original: usize) {
        self.push(start, Source::Replaced(narrow(original)));
    }

    /// From `start` on, bytes come from nowhere.
    pub(crate) fn added(&mut self, start: usize) {
        self.push(start, Source::Added);
    }

    /// Moves every run by `by`: runs are made before the place of the code
    /// section in the file is known.
    pub(crate) fn shift(&mut self, by: usize) {
        for run in &mut self.runs {
            run.start = run.start.saturating_add(narrow(by));
        }
    }

    fn push(&mut self, start: usize, from: Source) {
        let start = narrow(start);
        if let Some(last) = self.runs.last_mut() {
            debug_assert!(last.start <= start, "runs are made in order");
            let continued = match (last.from, from) {
                (Source::Copied(a), Source::Copied(b)) => {
                    b.checked_sub(a) == Some(start - last.start)
                }
                (a, b) => a == b,
            };
            if continued {
                return;
            }
            if last.start == start {
                // The run before turned out to be empty; the one before that
                // may go on where it stopped.
                self.runs.pop();
                return self.push(start as usize, from);
            }
        }
        self.runs.push(Run { start, from });
    }
}

/// Offsets are below 2^32: [`rewrite`](crate::rewrite) refuses files over
/// 1 GiB, and stops at a function that makes the result longer.
fn narrow(offset: usize) -> u32 {
    debug_assert!(u32::try_from(offset).is_ok());
    u32::try_from(offset).unwrap_or(u32::MAX)
}

fn zigzag(n: i64) -> u64 {
    (n << 1 ^ n >> 63).cast_unsigned()
}

fn unzigzag(n: u64) -> i64 {
    (n >> 1).cast_signed() ^ -(n & 1).cast_signed()
}

fn write_leb(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn read_leb(rest: &mut &[u8]) -> Option<u64> {
    let mut n = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit only.
        if bits << shift >> shift != bits {
            return None;
        }
        n |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}
