//! Files: read, opened, listed; and the calls that only ask the host.
//!
//! What they need they make below `target/files` in the working directory, and leave it there:
//! the next run of the same size has it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{Instant, SystemTime};

use crate::{Measured, share, timed};

/// As WebAssembly the working directory is granted as the root, and named from there: wasi-libc puts
/// relative paths of all threads together in one buffer, so that now and then a thread opens what
/// another has named.
const FOLDER: &str = match cfg!(target_family = "wasm") {
    true => "/target/files",
    false => "target/files",
};

/// Bytes of one piece that is read or written.
const PIECE: usize = 64 << 10;

/// One operation: 64 KiB are read. Each thread has a file of its own.
pub(crate) fn read(threads: u32, iterations: u64) -> Measured {
    let file = |index| large(index, share(iterations, threads, index));
    (0..threads).for_each(|index| drop(file(index)));
    let (elapsed, answer) = timed(threads, |index| {
        let (mut file, mut buffer) = (file(index), vec![0; PIECE]);
        let pieces = 0..share(iterations, threads, index);
        let read = pieces.filter(|_| file.read(&mut buffer).is_ok_and(|read| read == PIECE));
        read.count() as u64
    });
    Measured::new(elapsed, iterations, answer)
}

/// One operation: a byte is read.
pub(crate) fn read_bytes(threads: u32, iterations: u64) -> Measured {
    let file = |index| large(index, iterations.div_ceil(PIECE as u64));
    (0..threads).for_each(|index| drop(file(index)));
    let (elapsed, answer) = timed(threads, |index| {
        let (mut file, mut byte) = (file(index), [0]);
        let reads = 0..share(iterations, threads, index);
        reads
            .map(|_| file.read(&mut byte).unwrap_or(0) as u64)
            .sum()
    });
    Measured::new(elapsed, iterations, answer)
}

/// One operation: a line's worth of bytes is written to standard error, a pipe that the harness reads.
/// Each write is a call: standard error has no buffer. Spaces are no line of an error's text.
pub(crate) fn write_pipe(_: u32, iterations: u64) -> Measured {
    let (mut pipe, start) = (io::stderr(), Instant::now());
    let writes = (0..iterations).map(|_| pipe.write(&[b' '; 64]).unwrap_or(0) as u64);
    let answer = writes.sum();
    Measured::new(start.elapsed(), iterations, answer)
}

/// A file of so many pieces, open.
fn large(index: u32, pieces: u64) -> File {
    let path = format!("{FOLDER}/large-{pieces}-{index}");
    let make = || -> io::Result<File> {
        if fs::metadata(&path).map_or(0, |file| file.len()) < pieces * PIECE as u64 {
            fs::create_dir_all(FOLDER)?;
            let mut file = File::create(&path)?;
            for _ in 0..pieces {
                file.write_all(&[b'x'; PIECE])?;
            }
        }
        File::open(&path)
    };
    make().expect("a file can be made")
}

/// Makes so many small files, and says in which folder.
fn small(count: u64) -> String {
    let folder = format!("{FOLDER}/small-{count}");
    let path = |number: u64| format!("{folder}/file-{number:05}.txt");
    if !Path::new(&path(count - 1)).exists() {
        fs::create_dir_all(&folder).expect("a folder can be made");
        for number in 0..count {
            fs::write(path(number), "a few bytes").expect("a file can be made");
        }
    }
    folder
}

/// One operation: a file is found in its directory, and asked for its size.
pub(crate) fn list(_: u32, iterations: u64) -> Measured {
    let folder = small(iterations);
    let start = Instant::now();
    let entries = fs::read_dir(folder).expect("it was made").flatten();
    let answer = entries
        .map(|entry| entry.metadata().map_or(0, |file| file.len()))
        .sum();
    Measured::new(start.elapsed(), iterations, answer)
}

/// The same by the path of each file.
pub(crate) fn list_paths(_: u32, iterations: u64) -> Measured {
    let folder = small(iterations);
    let start = Instant::now();
    let entries = fs::read_dir(folder).expect("it was made").flatten();
    let answer = entries
        .map(|entry| fs::metadata(entry.path()).map_or(0, |file| file.len()))
        .sum();
    Measured::new(start.elapsed(), iterations, answer)
}

/// One operation: a small file is opened, read and closed.
pub(crate) fn open(threads: u32, iterations: u64) -> Measured {
    let folder = small(iterations);
    let (elapsed, answer) = timed(threads, |index| {
        let mut buffer = [0; 100];
        let mine = (0..iterations).filter(|number| number % u64::from(threads) == u64::from(index));
        mine.map(|number| {
            let file = File::open(format!("{folder}/file-{number:05}.txt"));
            file.and_then(|mut file| file.read(&mut buffer))
                .unwrap_or(0) as u64
        })
        .sum()
    });
    Measured::new(elapsed, iterations, answer)
}

/// One operation: the time of day.
pub(crate) fn clock(threads: u32, iterations: u64) -> Measured {
    let (elapsed, answer) = timed(threads, |index| {
        let calls = 0..share(iterations, threads, index);
        calls
            .filter(|_| SystemTime::now() > SystemTime::UNIX_EPOCH)
            .count() as u64
    });
    Measured::new(elapsed, iterations, answer)
}

/// One operation: 64 KiB of random numbers.
pub(crate) fn random(threads: u32, iterations: u64) -> Measured {
    let (elapsed, answer) = timed(threads, |index| {
        let mut bytes = vec![0; PIECE];
        let calls = 0..share(iterations, threads, index);
        calls.filter(|_| fill(&mut bytes)).count() as u64
    });
    Measured::new(elapsed, iterations, answer)
}

/// Fills all of it by the system.
fn fill(bytes: &mut [u8]) -> bool {
    #[cfg(target_os = "wasi")]
    {
        #[link(wasm_import_module = "wasi_snapshot_preview1")]
        unsafe extern "C" {
            fn random_get(at: *mut u8, length: usize) -> i32;
        }
        // SAFETY: there is room for so many bytes.
        unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) == 0 }
    }
    #[cfg(not(target_os = "wasi"))]
    {
        unsafe extern "C" {
            fn getrandom(at: *mut u8, length: usize, flags: u32) -> isize;
        }
        // SAFETY: as above.
        unsafe { getrandom(bytes.as_mut_ptr(), bytes.len(), 0) == bytes.len() as isize }
    }
}
