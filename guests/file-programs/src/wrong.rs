//! Calls of WASI themselves, with arguments several of which may be wrong: which error is found first shall be
//! the same on every host.
//!
//! Here, too, a program is decided by its seed alone. Descriptors are the program's folder, what it opens, and
//! numbers of none. What calls write goes to a place of its own, so that none changes the program itself.

use std::ffi::CString;

use crate::random::Random;

macro_rules! functions {
    ($($name:ident($($arg:ident: $type:ty),*);)*) => {
        #[link(wasm_import_module = "wasi_snapshot_preview1")]
        unsafe extern "C" {
            $(fn $name($($arg: $type),*) -> i32;)*
        }

        /// Makes a call; its error.
        ///
        /// # Safety
        ///
        /// What the call writes to is not used otherwise.
        unsafe fn call(name: &str, args: &[u64]) -> i32 {
            let mut args = args.iter().copied();
            match name {
                $(stringify!($name) => {
                    $(let $arg = args.next().expect("one for each") as $type;)*
                    // SAFETY: as the caller says; the host looks at all the rest.
                    unsafe { $name($($arg),*) }
                })*
                _ => unreachable!("{name} is no function of the table"),
            }
        }
    };
}

functions! {
    fd_advise(a: i32, b: i64, c: i64, d: i32);
    fd_allocate(a: i32, b: i64, c: i64);
    fd_close(a: i32);
    fd_datasync(a: i32);
    fd_fdstat_get(a: i32, b: i32);
    fd_fdstat_set_flags(a: i32, b: i32);
    fd_filestat_get(a: i32, b: i32);
    fd_filestat_set_size(a: i32, b: i64);
    fd_filestat_set_times(a: i32, b: i64, c: i64, d: i32);
    fd_pread(a: i32, b: i32, c: i32, d: i64, e: i32);
    fd_prestat_dir_name(a: i32, b: i32, c: i32);
    fd_prestat_get(a: i32, b: i32);
    fd_pwrite(a: i32, b: i32, c: i32, d: i64, e: i32);
    fd_read(a: i32, b: i32, c: i32, d: i32);
    fd_readdir(a: i32, b: i32, c: i32, d: i64, e: i32);
    fd_renumber(a: i32, b: i32);
    fd_seek(a: i32, b: i64, c: i32, d: i32);
    fd_sync(a: i32);
    fd_tell(a: i32, b: i32);
    fd_write(a: i32, b: i32, c: i32, d: i32);
    path_create_directory(a: i32, b: i32, c: i32);
    path_filestat_get(a: i32, b: i32, c: i32, d: i32, e: i32);
    path_filestat_set_times(a: i32, b: i32, c: i32, d: i32, e: i64, f: i64, g: i32);
    path_link(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32, g: i32);
    path_open(a: i32, b: i32, c: i32, d: i32, e: i32, f: i64, g: i64, h: i32, i: i32);
    path_readlink(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32);
    path_remove_directory(a: i32, b: i32, c: i32);
    path_rename(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32);
    path_symlink(a: i32, b: i32, c: i32, d: i32, e: i32);
    path_unlink_file(a: i32, b: i32, c: i32);
    sock_accept(a: i32, b: i32, c: i32);
    sock_recv(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32);
    sock_send(a: i32, b: i32, c: i32, d: i32, e: i32);
    sock_shutdown(a: i32, b: i32);
}

/// What an argument, or two that belong together, may be.
enum Arg {
    /// The program's folder, something opened, or nothing.
    Fd,
    /// The same, but the folder, which stays.
    Opened,
    /// Where a text is, and how long.
    Path,
    /// Where buffers are listed, and how many.
    Vectors,
    /// Where there is room, and how much.
    Buffer,
    /// Where a result goes.
    Out,
    Offset,
    Time,
    /// One of these.
    Of(&'static [u64]),
}
use Arg::{Buffer, Fd, Of, Offset, Opened, Out, Path, Time, Vectors};

const FLAGS: Arg = Of(&[0, 1, 2, 4, 5, 8, 16, 32]);
const FOLLOW: Arg = Of(&[0, 1, 1, 2]);
const TIMES: Arg = Of(&[0, 1, 2, 3, 4, 5, 8, 10, 12, 15, 16]);
/// To read, to write, both, all, none, and one that there is not.
const RIGHTS: Arg = Of(&[2, 64, 66, u64::MAX, 0, 1 << 40]);

const CALLS: &[(&str, &[Arg])] = &[
    (
        "path_open",
        &[
            Fd,
            FOLLOW,
            Path,
            Of(&[0, 0, 0, 1, 2, 3, 4, 5, 8, 9, 10, 16]),
            RIGHTS,
            RIGHTS,
            FLAGS,
            Out,
        ],
    ),
    ("fd_advise", &[Fd, Offset, Offset, Of(&[0, 1, 5, 6])]),
    ("fd_allocate", &[Fd, Offset, Offset]),
    ("fd_close", &[Opened]),
    ("fd_datasync", &[Fd]),
    ("fd_fdstat_get", &[Fd, Out]),
    ("fd_fdstat_set_flags", &[Fd, FLAGS]),
    ("fd_filestat_get", &[Fd, Out]),
    ("fd_filestat_set_size", &[Fd, Offset]),
    ("fd_filestat_set_times", &[Fd, Time, Time, TIMES]),
    ("fd_pread", &[Fd, Vectors, Offset, Out]),
    ("fd_prestat_dir_name", &[Fd, Buffer]),
    ("fd_prestat_get", &[Fd, Out]),
    ("fd_pwrite", &[Fd, Vectors, Offset, Out]),
    ("fd_read", &[Fd, Vectors, Out]),
    ("fd_readdir", &[Fd, Buffer, Of(&[0, 0, 1, 2, 7, 1000, u64::MAX]), Out]),
    ("fd_renumber", &[Opened, Opened]),
    ("fd_seek", &[Fd, Offset, Of(&[0, 1, 2, 3]), Out]),
    ("fd_sync", &[Fd]),
    ("fd_tell", &[Fd, Out]),
    ("fd_write", &[Fd, Vectors, Out]),
    ("path_create_directory", &[Fd, Path]),
    ("path_filestat_get", &[Fd, FOLLOW, Path, Out]),
    ("path_filestat_set_times", &[Fd, FOLLOW, Path, Time, Time, TIMES]),
    ("path_link", &[Fd, Of(&[0, 0, 0, 1, 2]), Path, Fd, Path]),
    ("path_readlink", &[Fd, Path, Buffer, Out]),
    ("path_remove_directory", &[Fd, Path]),
    ("path_rename", &[Fd, Path, Fd, Path]),
    ("path_symlink", &[Path, Fd, Path]),
    ("path_unlink_file", &[Fd, Path]),
    ("sock_accept", &[Fd, FLAGS, Out]),
    ("sock_recv", &[Fd, Vectors, Of(&[0, 1, 2, 3, 4]), Out, Out]),
    ("sock_send", &[Fd, Vectors, Of(&[0, 1]), Out]),
    ("sock_shutdown", &[Fd, Of(&[0, 1, 2, 3, 4])]),
];

/// So many of the calls open something, so that there is something open.
const OPENS: u64 = 4;

const PATHS: &[&[u8]] = &[
    b"file",
    b"dir",
    b"dir/file",
    b"link",
    b"out",
    b"..",
    b".",
    b"/etc",
    b"dir/../file",
    b"new",
    b"",
    b"dir/new",
    b"dangling",
    b"loop",
    b"dlink",
    b"dlink/file",
    b"file/",
    b"dir/",
    b"new/",
    b"dlink/",
    b"link/",
    b"./file",
    b"dir//file",
    b"nodir/x",
    b"file/x",
    &[b'x'; 255],
    &[b'x'; 256],
    b"dir/up/file",
    b"a\0b",
    b"\xff",
    &[b'a'; 5000],
];

/// Beyond every memory.
const NOWHERE: u64 = 0xffff_fff0;

/// Runs a program in a folder of its own.
pub(crate) fn run(seed: u64, calls: usize) {
    let folder = seed.to_string();
    make(&folder);
    let folder = CString::new(folder).expect("a number");
    // SAFETY: the name ends in a null byte.
    let root = unsafe { libc::open(folder.as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY) };
    assert!(root >= 0, "the folder can be opened");
    let mut program = Program { random: Random::new(seed), root: root as u64, room: Room::new() };
    let mut text = format!("program {seed}\n");
    for number in 0..calls {
        text += &format!("{number} {}\n", program.step());
    }
    print!("{text}");
    for fd in root..root + 10 {
        // SAFETY: nobody else has opened any of them.
        unsafe { libc::close(fd) };
    }
}

/// What is in the folder at first.
fn make(folder: &str) {
    std::fs::create_dir_all(format!("{folder}/dir")).expect("the folder can be made");
    for name in ["file", "dir/file"] {
        std::fs::write(format!("{folder}/{name}"), "some bytes of a file").expect("so can a file");
    }
    for (target, name) in [
        ("file", "link"),
        ("../..", "out"),
        ("nothing", "dangling"),
        ("loop", "loop"),
        ("dir", "dlink"),
        ("..", "dir/up"),
    ] {
        let [target, name] = [target.to_owned(), format!("{folder}/{name}")]
            .map(|text| CString::new(text).expect("no null byte"));
        // SAFETY: both end in a null byte.
        assert_eq!(unsafe { libc::symlink(target.as_ptr(), name.as_ptr()) }, 0, "and a link");
    }
}

struct Program {
    random: Random,
    /// The number of the folder.
    root: u64,
    room: Room,
}

/// What calls write to, and buffers are listed in.
struct Room {
    bytes: Vec<u8>,
    vectors: [[u32; 4]; 4],
}

impl Room {
    /// Two buffers, none that has room, one that is nowhere, one that is nowhere and empty.
    fn new() -> Self {
        let bytes = vec![0; 2000];
        let at = bytes.as_ptr() as u32;
        let nowhere = NOWHERE as u32;
        let vectors =
            [[at, 16, at + 16, 5], [at, 0, at, 0], [at, 16, nowhere, 100], [nowhere, 0, at, 5]];
        Self { bytes, vectors }
    }
}

impl Program {
    fn step(&mut self) -> String {
        let opens = self.random.one_in(OPENS);
        let (name, args) =
            if opens { &CALLS[0] } else { &CALLS[self.random.below(CALLS.len() as u64) as usize] };
        let (mut values, mut text) = (Vec::new(), format!("{name}("));
        for arg in *args {
            text += &self.add(arg, &mut values);
        }
        // SAFETY: results go to the room, which is there for nothing else.
        let errno = unsafe { call(name, &values) };
        format!("{text}) -> {errno}")
    }

    /// Adds an argument; what it is, without addresses.
    fn add(&mut self, arg: &Arg, values: &mut Vec<u64>) -> String {
        let at = self.room.bytes.as_ptr() as u64;
        let wrong = self.random.one_in(8);
        let value = match arg {
            Fd | Opened => {
                let place = self.random.below(8);
                let fd = match (arg, place) {
                    (_, 0) => self.random.pick(&[77, u64::from(u32::MAX)]),
                    (Fd, 1..5) => self.root,
                    _ => self.root + 1 + place % 4,
                };
                values.push(fd);
                return format!(" fd {}", fd.wrapping_sub(self.root) as i32);
            }
            Path => {
                let path = self.random.pick(PATHS);
                values.extend([
                    if wrong { NOWHERE } else { path.as_ptr() as u64 },
                    path.len() as u64,
                ]);
                let text = &path[..path.len().min(20)];
                return format!(
                    " {}'{}'",
                    if wrong { "nowhere " } else { "" },
                    text.escape_ascii()
                );
            }
            Vectors => {
                let which = self.random.below(4);
                let listed = self.room.vectors[which as usize].as_ptr() as u64;
                let count = self.random.pick(&[0, 1, 2, 2, 2, 1025]);
                // More than there are would be whatever comes after them.
                let wrong = wrong || count > 2;
                values.extend([if wrong { NOWHERE } else { listed }, count]);
                return format!(
                    " {}{count} of vectors {which}",
                    if wrong { "nowhere " } else { "" }
                );
            }
            Buffer => {
                let room = self.random.pick(&[0, 1, 24, 100, 1000]);
                values.extend([if wrong { NOWHERE } else { at }, room]);
                return format!(" {}{room} bytes", if wrong { "nowhere " } else { "" });
            }
            Out => {
                values.push(if wrong { NOWHERE } else { at + 1000 });
                return if wrong { " nowhere".to_owned() } else { " result".to_owned() };
            }
            Offset => self.random.pick(&[0, 1, 5, 100, 4096, 1 << 63, u64::MAX]),
            Time => self.random.pick(&[0, 1_000, 1_000_000_000_000_000_000]),
            Of(values) => self.random.pick(values),
        };
        values.push(value);
        format!(" {}", value as i64)
    }
}
