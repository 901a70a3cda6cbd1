//! What a program consists of, and how it is made of a seed.

use crate::random::Random;

/// Descriptors are kept in so many places.
pub(crate) const PLACES: usize = 6;

/// One of the places, which may be empty.
pub(crate) type Place = usize;

/// A directory to start from: the folder itself, or what a place has.
pub(crate) type At = Option<Place>;

/// How a file is opened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Open {
    pub(crate) access: Access,
    pub(crate) create: bool,
    pub(crate) exclusive: bool,
    pub(crate) truncate: bool,
    pub(crate) append: bool,
    pub(crate) directory: bool,
    pub(crate) no_follow: bool,
    pub(crate) nonblock: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Access {
    #[default]
    Read,
    Write,
    Both,
}

/// What a seek starts from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whence {
    Start,
    Current,
    End,
}

/// A time that is set: not, now, or so many seconds and nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Time {
    Omit,
    Now,
    At(i64, i64),
}

/// One call.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Open { to: Place, at: At, path: String, how: Open },
    Close { fd: Place },
    Read { fd: Place, parts: Vec<usize> },
    Write { fd: Place, parts: Vec<usize>, byte: u8 },
    ReadAt { fd: Place, length: usize, offset: i64 },
    WriteAt { fd: Place, length: usize, offset: i64, byte: u8 },
    Seek { fd: Place, offset: i64, whence: Whence },
    Truncate { fd: Place, length: i64 },
    TruncatePath { path: String, length: i64 },
    Allocate { fd: Place, offset: i64, length: i64 },
    Sync { fd: Place, data: bool },
    Flags { fd: Place },
    SetFlags { fd: Place, append: bool, nonblock: bool },
    Poll { fd: Place },
    Stat { fd: Place },
    StatAt { at: At, path: String, follow: bool },
    Times { fd: Place, access: Time, modified: Time },
    TimesAt { at: At, path: String, access: Time, modified: Time, follow: bool },
    Access { at: At, path: String },
    CreateDir { at: At, path: String },
    Remove { at: At, path: String, directory: bool },
    Rename { at: At, path: String, new_at: At, new_path: String },
    Link { at: At, path: String, new_at: At, new_path: String },
    Symlink { target: String, at: At, path: String },
    ReadLink { at: At, path: String, room: usize },
    List { at: At, path: String },
}

/// The calls of a program.
pub(crate) fn of_seed(seed: u64, steps: usize) -> Vec<Call> {
    let mut random = Random::new(seed);
    let calls = (0..steps).map(|number| match number {
        0..FIRST => random.first_call(number),
        _ => random.call(),
    });
    calls.collect()
}

/// So many calls make things that the others can find.
const FIRST: usize = 10;

impl Random {
    fn first_call(&mut self, number: usize) -> Call {
        let (at, path) = (None, self.name().to_owned());
        match self.below(6) {
            0..3 => {
                let how = Open { access: Access::Both, create: true, ..Open::default() };
                Call::Open { to: number % PLACES, at, path, how }
            }
            3..5 => Call::CreateDir { at, path },
            _ => Call::Symlink { target: self.target(), at, path },
        }
    }

    fn call(&mut self) -> Call {
        match self.below(44) {
            0..7 => {
                Call::Open { to: self.place(), at: self.at(), path: self.path(), how: self.how() }
            }
            7..9 => Call::Close { fd: self.place() },
            9..11 => Call::Read { fd: self.place(), parts: self.parts() },
            11..14 => Call::Write { fd: self.place(), parts: self.parts(), byte: self.byte() },
            14 => Call::ReadAt { fd: self.place(), length: self.length(), offset: self.offset() },
            15 => Call::WriteAt {
                fd: self.place(),
                length: self.length(),
                offset: self.offset(),
                byte: self.byte(),
            },
            16 => {
                let whence = self.pick(&[Whence::Start, Whence::Current, Whence::End]);
                Call::Seek { fd: self.place(), offset: self.offset(), whence }
            }
            17 => Call::Truncate { fd: self.place(), length: self.offset() },
            18 => Call::TruncatePath { path: self.path(), length: self.offset() },
            19 => {
                let fd = self.place();
                // What is negative some libraries refuse before they look at the descriptor.
                Call::Allocate { fd, offset: self.offset().max(0), length: self.offset().max(0) }
            }
            20 => Call::Sync { fd: self.place(), data: self.one_in(2) },
            21 => Call::Flags { fd: self.place() },
            22 => {
                let fd = self.place();
                Call::SetFlags { fd, append: self.one_in(2), nonblock: self.one_in(2) }
            }
            23 => Call::Poll { fd: self.place() },
            24..26 => Call::Stat { fd: self.place() },
            26..28 => Call::StatAt { at: self.at(), path: self.path(), follow: self.one_in(2) },
            28 => Call::Times { fd: self.place(), access: self.time(), modified: self.time() },
            29 => Call::TimesAt {
                at: self.at(),
                path: self.path(),
                access: self.time(),
                modified: self.time(),
                follow: self.one_in(2),
            },
            30 => Call::Access { at: self.at(), path: self.path() },
            31..34 => Call::CreateDir { at: self.at(), path: self.path() },
            34..36 => Call::Remove { at: self.at(), path: self.path(), directory: self.one_in(2) },
            36..38 => {
                let (at, path) = (self.at(), self.path());
                Call::Rename { at, path, new_at: self.at(), new_path: self.path() }
            }
            38 => {
                let (at, path) = (self.at(), self.path());
                Call::Link { at, path, new_at: self.at(), new_path: self.path() }
            }
            39..41 => Call::Symlink { target: self.target(), at: self.at(), path: self.path() },
            41 => {
                let room = self.pick(&[1, 2, 100]);
                Call::ReadLink { at: self.at(), path: self.path(), room }
            }
            _ => Call::List { at: self.at(), path: self.path() },
        }
    }

    fn place(&mut self) -> Place {
        self.below(PLACES as u64) as usize
    }

    /// The folder itself, mostly.
    fn at(&mut self) -> At {
        self.one_in(4).then(|| self.place())
    }

    pub(crate) fn byte(&mut self) -> u8 {
        b'a' + self.below(26) as u8
    }

    fn length(&mut self) -> usize {
        self.pick(&[0, 1, 3, 10, 100, 5000])
    }

    fn parts(&mut self) -> Vec<usize> {
        (0..=self.below(3)).map(|_| self.length()).collect()
    }

    fn offset(&mut self) -> i64 {
        self.pick(&[0, 0, 1, 2, 7, 50, 5000, 100_000, -1, -3, i64::MIN])
    }

    fn time(&mut self) -> Time {
        match self.below(6) {
            0 => Time::Omit,
            1 => Time::Now,
            2 => Time::At(0, 0),
            3 => Time::At(1, 999_999_000),
            4 => Time::At(self.below(1_000_000_000) as i64, 123_456_000),
            _ => {
                let seconds = self.below(1_000_000_000) as i64;
                // Whole microseconds mostly: what is finer costs Node a process each.
                Time::At(
                    seconds,
                    match self.below(1_000_000_000) as i64 {
                        fine if fine % 16 == 0 => fine,
                        coarse => coarse / 1000 * 1000,
                    },
                )
            }
        }
    }

    fn how(&mut self) -> Open {
        Open {
            access: self.pick(&[Access::Read, Access::Write, Access::Both, Access::Both]),
            create: self.one_in(2),
            exclusive: self.one_in(8),
            truncate: self.one_in(8),
            append: self.one_in(8),
            directory: self.one_in(6),
            no_follow: self.one_in(6),
            nonblock: self.one_in(10),
        }
    }

    fn name(&mut self) -> &'static str {
        self.pick(&["a", "b", "c", "d", "é", "a b"])
    }

    fn path(&mut self) -> String {
        let mut path = match self.below(60) {
            0 => return String::new(),
            1 => return ".".to_owned(),
            2 => return "./.".to_owned(),
            3 => return "x".repeat(256),
            4 => return "x".repeat(255),
            5 => return "a/".repeat(2500),
            6 => format!("./{}", self.name()),
            7..11 => format!("{}/../{}", self.name(), self.name()),
            11 => format!("{}//{}", self.name(), self.name()),
            12 => format!("{}/.", self.name()),
            13 => format!("{}/..", self.name()),
            14..30 => format!("{}/{}", self.name(), self.name()),
            30..33 => format!("{}/{}/{}", self.name(), self.name(), self.name()),
            _ => self.name().to_owned(),
        };
        if self.one_in(12) {
            path.push('/');
        }
        path
    }

    fn target(&mut self) -> String {
        match self.below(12) {
            0 => format!("{}/", self.name()),
            1..4 => format!("{}/{}", self.name(), self.name()),
            4 => format!("./{}", self.name()),
            _ => self.name().to_owned(),
        }
    }
}
