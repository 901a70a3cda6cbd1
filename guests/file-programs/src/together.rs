//! Programs of several threads: some calls that make things, threads that make calls at the
//! same time, and calls after all threads have ended.
//!
//! Only calls are made together that Linux itself makes as if one came after the other, so
//! that there must be an order of all calls which explains every outcome ([`crate::order`]).
//! What is not among them, and why:
//!
//! - Links are not followed, and paths lead through directories that nobody renames or
//!   removes: a path is walked name by name, also by Linux.
//! - Only names that stay are linked: the file is looked up before the directories are locked.
//! - Where files are read while they are written, one byte is: more are not moved as one.
//!   Sizes are not asked for while pages are filled.
//! - Flags are changed while nobody writes: a write looks at them before it has its turn.
//! - Numbers of descriptors are not told: Linux reserves one for an open that will fail.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crate::calls::Calls;
use crate::program::{Access, Call, Open, Place, Whence};
use crate::random::Random;
use crate::tree;

/// See the module's documentation.
pub(crate) struct Program {
    pub(crate) theme: Theme,
    /// Made by the main thread, before and after the others.
    pub(crate) first: Vec<Call>,
    pub(crate) last: Vec<Call>,
    pub(crate) threads: Vec<Vec<Call>>,
}

/// What the threads of a program contend for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Theme {
    /// Names in directories.
    Names,
    /// The end of files that are appended to, by one descriptor or several.
    Ends,
    /// The position of one descriptor, byte by byte.
    Position,
    /// The size of a file.
    Size,
    /// The flags of a descriptor.
    Flags,
}

/// Descriptors that all threads share are in the first places, a thread's own in the others.
pub(crate) const SHARED: usize = 3;
const OWN: [Place; 3] = [3, 4, 5];

/// Calls of all threads.
const CALLS: usize = 24;

/// One call as it was made: when it began and ended, of all calls, and what it returned.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) begin: u32,
    pub(crate) end: u32,
    pub(crate) outcome: String,
}

/// What a program did.
pub(crate) struct Record {
    pub(crate) threads: Vec<Vec<Made>>,
    pub(crate) last: Vec<String>,
    pub(crate) tree: Vec<String>,
}

pub(crate) fn of_seed(seed: u64, allocates: bool) -> Program {
    let mut random = Random::new(seed ^ 0x7_0067_E7E4);
    let theme = random.pick(&[
        Theme::Names,
        Theme::Names,
        Theme::Ends,
        Theme::Position,
        Theme::Size,
        Theme::Flags,
    ]);
    let threads = 1 + random.below(8) as usize;
    let calls = (CALLS / threads).max(3);
    let first = random.before(theme);
    let mut call = || match random.together(theme) {
        Call::Allocate { fd, .. } if !allocates => Call::Stat { fd },
        call => call,
    };
    let mut thread = || (0..calls).map(|_| call()).collect();
    let threads = (0..threads).map(|_| thread()).collect();
    Program { theme, first, threads, last: random.after(theme) }
}

impl Random {
    fn before(&mut self, theme: Theme) -> Vec<Call> {
        let file = |to, path: &str, append| Call::Open {
            to,
            at: None,
            path: path.to_owned(),
            how: Open { access: Access::Both, create: true, append, ..Open::default() },
        };
        let fill = |fd| Call::Write { fd, parts: vec![30; 3], byte: b'k' };
        match theme {
            Theme::Names => {
                let mut calls = Vec::new();
                for dir in 0..SHARED {
                    let path = format!("s{dir}");
                    calls.push(Call::CreateDir { at: None, path: path.clone() });
                    let how = Open { directory: true, ..Open::default() };
                    calls.push(Call::Open { to: dir, at: None, path, how });
                    calls.push(Call::CreateDir { at: Some(dir), path: "s-dir".to_owned() });
                    calls.push(Call::Symlink {
                        target: "a".to_owned(),
                        at: Some(dir),
                        path: "s-link".to_owned(),
                    });
                    calls.push(file(OWN[0], &format!("s{dir}/s-file"), false));
                    calls.push(Call::Close { fd: OWN[0] });
                }
                calls
            }
            // Two descriptors of one file, and one of another.
            Theme::Ends => vec![file(0, "e", true), file(1, "e", true), file(2, "f", true)],
            Theme::Position => {
                let mut calls: Vec<_> =
                    (0..SHARED).map(|n| file(n, &n.to_string(), false)).collect();
                calls.extend((0..SHARED).map(fill));
                let start = |fd| Call::Seek { fd, offset: 0, whence: Whence::Start };
                calls.extend((0..SHARED).map(start));
                calls
            }
            Theme::Size | Theme::Flags => {
                let mut calls: Vec<_> =
                    (0..SHARED).map(|n| file(n, &n.to_string(), n == 0)).collect();
                calls.extend((0..SHARED).map(fill));
                calls
            }
        }
    }

    /// A call that may be made at the same time as others of its theme.
    fn together(&mut self, theme: Theme) -> Call {
        match theme {
            Theme::Names => self.on_names(),
            Theme::Ends => match self.below(8) {
                // The descriptor's own position is where the last write ended.
                0 => Call::Seek { fd: self.shared(), offset: 0, whence: Whence::Current },
                _ => {
                    let parts = self.pick(&[&[1][..], &[10], &[3, 4, 5], &[5000], &[70_000, 9]]);
                    Call::Write { fd: self.shared(), parts: parts.to_vec(), byte: self.byte() }
                }
            },
            Theme::Position => {
                let (fd, offset) = (self.shared(), self.pick(&[0, 1, 3, 88, 89, 90]));
                match self.below(10) {
                    0..4 => Call::Read { fd, parts: vec![1] },
                    4..6 => Call::Write { fd, parts: vec![1], byte: self.byte() },
                    6 => Call::ReadAt { fd, length: 1, offset },
                    7 => Call::WriteAt { fd, length: 1, offset, byte: self.byte() },
                    8 => Call::Seek { fd, offset: 0, whence: Whence::Current },
                    _ => Call::Seek { fd, offset, whence: Whence::Start },
                }
            }
            Theme::Size => {
                let (fd, length) = (self.shared(), self.pick(&[0, 1, 40, 90, 100, 5000]));
                match self.below(6) {
                    0..2 => Call::Truncate { fd, length },
                    2 => Call::Allocate { fd, offset: length, length: 7 },
                    3 => Call::Seek { fd, offset: 0, whence: Whence::End },
                    _ => Call::Stat { fd },
                }
            }
            Theme::Flags => {
                let fd = self.shared();
                match self.below(2) {
                    0 => Call::SetFlags { fd, append: self.one_in(2), nonblock: self.one_in(2) },
                    _ => Call::Flags { fd },
                }
            }
        }
    }

    fn on_names(&mut self) -> Call {
        let (at, path) = self.contended();
        match self.below(16) {
            0..4 => {
                let how = Open {
                    access: Access::Both,
                    create: self.one_in(2),
                    exclusive: self.one_in(2),
                    no_follow: true,
                    ..Open::default()
                };
                Call::Open { to: self.pick(&OWN), at, path, how }
            }
            4 => Call::Close { fd: self.pick(&OWN) },
            5 => Call::Stat { fd: self.pick(&OWN) },
            6 => Call::StatAt { at, path, follow: false },
            7 => Call::CreateDir { at, path },
            8..10 => Call::Remove { at, path, directory: self.one_in(3) },
            10..12 => {
                let (new_at, new_path) = self.contended();
                Call::Rename { at, path, new_at, new_path }
            }
            12 => {
                let dir = self.below(SHARED as u64) as usize;
                let stays = self.pick(&["s-file", "s-link", "s-dir"]).to_owned();
                Call::Link { at: Some(dir), path: stays, new_at: at, new_path: path }
            }
            13 => Call::Symlink { target: self.pick(&["x", "yy"]).to_owned(), at, path },
            14 => Call::ReadLink { at, path, room: 100 },
            _ => Call::List { at: None, path: format!("s{}", self.below(SHARED as u64)) },
        }
    }

    /// A name that threads fight for, by one of its paths.
    fn contended(&mut self) -> (Option<Place>, String) {
        let (dir, name) = (self.shared(), self.pick(&["a", "b", "c"]));
        match self.below(3) {
            0 => (None, format!("s{dir}/{name}")),
            1 => (Some(dir), format!("./{name}")),
            _ => (Some(dir), name.to_owned()),
        }
    }

    /// Most of them are for the same descriptor.
    fn shared(&mut self) -> Place {
        self.pick(&[0, 0, 0, 1, 2])
    }

    /// Shows what the descriptors are like.
    fn after(&mut self, theme: Theme) -> Vec<Call> {
        if theme == Theme::Names {
            return Vec::new();
        }
        let mut calls = Vec::new();
        for fd in 0..SHARED {
            calls.push(Call::Seek { fd, offset: 0, whence: Whence::Current });
            calls.push(Call::Flags { fd });
            calls.push(Call::Seek { fd, offset: 2, whence: Whence::Start });
            calls.push(Call::Write { fd, parts: vec![1], byte: b'!' });
        }
        calls
    }
}

impl Program {
    /// The program and what it did, for people.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn with(&self, record: &Record) -> String {
        let mut text = format!("{:?}\n", self.theme);
        let mut all: Vec<_> = record.threads.iter().zip(&self.threads).enumerate().collect();
        let mut lines = Vec::new();
        for (number, (made, calls)) in all.drain(..) {
            for (Made { begin, end, outcome }, call) in made.iter().zip(calls) {
                lines.push((
                    *begin,
                    format!("{begin}..{end} thread {number}: {call:?} -> {outcome}\n"),
                ));
            }
        }
        lines.sort();
        text.extend(lines.into_iter().map(|(_, line)| line));
        for (outcome, call) in record.last.iter().zip(&self.last) {
            text += &format!("at last {call:?} -> {outcome}\n");
        }
        text + &record.tree.join("\n")
    }
}

/// What of a call's outcome does not depend on more than one moment.
pub(crate) fn seen(theme: Theme, call: &Call, outcome: String) -> String {
    let parts = |wanted: &[usize]| {
        let parts = outcome.split(", ").enumerate();
        let parts = parts.filter(|(place, _)| wanted.contains(place)).map(|(_, part)| part);
        parts.collect::<Vec<_>>().join(", ")
    };
    match (call, theme) {
        (Call::Open { .. }, _) if outcome.starts_with("descriptor") => "open".to_owned(),
        // What a file is, and how many links it has, or how long it is.
        (Call::Stat { .. }, Theme::Names) => parts(&[0, 1]),
        (Call::Stat { .. }, _) => parts(&[0, 2]),
        (Call::StatAt { .. }, _) => parts(&[0]),
        // Names that come and go are there or not; the others are there once.
        (Call::List { .. }, _) => {
            let stays = outcome.split(' ').filter(|name| name.starts_with('s'));
            stays.collect::<Vec<_>>().join(" ")
        }
        _ => outcome,
    }
}

/// Runs the program in a folder, and prints what happened.
pub(crate) fn run(seed: u64, allocates: bool) {
    let program = of_seed(seed, allocates);
    let name = seed.to_string();
    println!("program {seed}");
    let mut main = Calls::in_folder(&name);
    for call in &program.first {
        main.make(call);
    }
    let (clock, meeting) = (AtomicU32::new(0), Meeting::new(program.threads.len()));
    let threads = std::thread::scope(|scope| {
        let begin = |calls: &Vec<Call>| {
            let calls = calls.clone();
            let (own, theme, clock, meeting) = (main.shared(), program.theme, &clock, &meeting);
            scope.spawn(move || take_part(theme, &calls, own, clock, meeting))
        };
        let threads: Vec<_> = program.threads.iter().map(begin).collect();
        let ended = threads.into_iter().map(|thread| thread.join().expect("the thread ends"));
        ended.collect()
    });
    let last = program.last.iter();
    let last = last.map(|call| seen(program.theme, call, main.make(call))).collect();
    main.end();
    print!("{}", Record { threads, last, tree: tree::of(name.as_ref()) });
}

/// Where threads meet before each round of calls.
struct Meeting {
    threads: usize,
    arrivals: AtomicUsize,
}

impl Meeting {
    fn new(threads: usize) -> Self {
        Self { threads, arrivals: AtomicUsize::new(0) }
    }

    /// Waits for the others, awake: who sleeps comes late to its call.
    fn wait(&self) {
        let arrival = self.arrivals.fetch_add(1, Ordering::SeqCst);
        let all = (arrival / self.threads + 1) * self.threads;
        let mut looks = 0;
        while self.arrivals.load(Ordering::SeqCst) < all {
            looks += 1;
            match looks {
                0..1000 => std::hint::spin_loop(),
                _ => std::thread::yield_now(),
            }
        }
    }
}

/// Makes the calls of one thread, each when all others make theirs.
fn take_part(
    theme: Theme,
    calls: &[Call],
    mut own: Calls,
    clock: &AtomicU32,
    meeting: &Meeting,
) -> Vec<Made> {
    let make = |call| {
        meeting.wait();
        let begin = clock.fetch_add(1, Ordering::SeqCst);
        let outcome = own.make(call);
        let end = clock.fetch_add(1, Ordering::SeqCst);
        Made { begin, end, outcome: seen(theme, call, outcome) }
    };
    let made = calls.iter().map(make).collect();
    own.close_own(SHARED);
    made
}

/// One line for each call, as [`Record::parse`] reads it.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, thread) in self.threads.iter().enumerate() {
            for Made { begin, end, outcome } in thread {
                writeln!(f, "thread {number} {begin} {end} {outcome}")?;
            }
        }
        for outcome in &self.last {
            writeln!(f, "last {outcome}")?;
        }
        for line in &self.tree {
            writeln!(f, "tree {line}")?;
        }
        Ok(())
    }
}

impl Record {
    /// Reads what [`run`] has printed of one program, but for its first line.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn parse(lines: &[&str]) -> Option<Self> {
        let mut record = Self { threads: Vec::new(), last: Vec::new(), tree: Vec::new() };
        for line in lines {
            let (kind, rest) = line.split_once(' ')?;
            match kind {
                "thread" => {
                    let mut parts = rest.splitn(4, ' ');
                    let thread: usize = parts.next()?.parse().ok()?;
                    record.threads.resize_with(record.threads.len().max(thread + 1), Vec::new);
                    record.threads[thread].push(Made {
                        begin: parts.next()?.parse().ok()?,
                        end: parts.next()?.parse().ok()?,
                        outcome: parts.next()?.to_owned(),
                    });
                }
                "last" => record.last.push(rest.to_owned()),
                "tree" => record.tree.push(rest.to_owned()),
                _ => return None,
            }
        }
        Some(record)
    }
}
