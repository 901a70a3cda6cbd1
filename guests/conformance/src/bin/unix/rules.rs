//! The rules; see the program's documentation.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use conformance::wasi::{self, Subscription, errno};

pub(crate) fn run() {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let directory = Path::new(args.get(1).map_or("/", String::as_str));
    match args.first().map(String::as_str) {
        Some("names") => open_files_are_not_their_names(directory),
        Some("times") => times_are_kept(directory),
        Some("lowest") => the_lowest_number_is_taken(directory),
        Some("listing") => what_is_not_removed_is_listed(directory),
        Some("positions") => listings_go_on_where_c_says(directory),
        Some("append") => positions_after_appending(directory),
        Some("table") => nothing_is_read_that_was_not_open(directory),
        Some("streams") => streams(),
        Some("polls") => polls(),
        Some("clocks") => clocks(),
        Some("yields") => yields(),
        _ => panic!("usage: unix RULE DIRECTORY"),
    }
    println!("ok unix");
}

/// The name of an open file is another one's, or nobody's.
fn open_files_are_not_their_names(directory: &Path) {
    let (path, inner) = (directory.join("file"), directory.join("inner"));
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
    file.write_all(b"four").unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 4);
    fs::write(&path, "another one").unwrap();
    let theirs = fs::metadata(&path).unwrap().modified().unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(7)).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 4);
    assert_eq!(file.metadata().unwrap().modified().unwrap(), UNIX_EPOCH + Duration::from_secs(7));
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), theirs);
    file.set_len(2).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"another one");
    fs::remove_file(&path).unwrap();

    // The same of a directory that is moved away while another one takes its name.
    fs::create_dir(&inner).unwrap();
    let open = File::open(&inner).unwrap();
    fs::rename(&inner, directory.join("moved")).unwrap();
    fs::create_dir(&inner).unwrap();
    fs::write(inner.join("file"), "").unwrap();
    assert_eq!(wasi::open(open.as_raw_fd(), wasi::FOLLOW, b"file", 0), Err(errno::NOENT));
    let made = wasi::open(open.as_raw_fd(), wasi::FOLLOW, b"made", wasi::CREATE).unwrap();
    assert_eq!(wasi::close(made), 0);
    fs::remove_file(directory.join("moved/made")).unwrap();
    fs::remove_file(inner.join("file")).unwrap();
    for name in ["inner", "moved"] {
        fs::remove_dir(directory.join(name)).unwrap();
    }
}

fn times_are_kept(directory: &Path) {
    let path = directory.join("file");
    let file = File::create(&path).unwrap();
    let accessed = file.metadata().unwrap().accessed().unwrap();
    for nanoseconds in [0, 1, 123_456_789, 500_000_000, 999_999_999] {
        let time = UNIX_EPOCH + Duration::new(1_700_000_000, nanoseconds);
        file.set_modified(time).unwrap();
        let metadata = file.metadata().unwrap();
        assert_eq!(metadata.modified().unwrap(), time);
        assert_eq!(metadata.accessed().unwrap(), accessed, "only one of both was set");
    }
    fs::remove_file(path).unwrap();
}

fn the_lowest_number_is_taken(directory: &Path) {
    let paths = ["a", "b", "c", "d"].map(|name| directory.join(name));
    let files = paths.each_ref().map(|path| File::create(path).unwrap());
    let numbers = files.each_ref().map(File::as_raw_fd);
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
    let [a, _b, c, _d] = files;
    drop((c, a));
    let again = [&paths[0], &paths[2]].map(|path| File::open(path).unwrap());
    assert_eq!(again.each_ref().map(File::as_raw_fd), [numbers[0], numbers[2]]);
    // As a daemon does it: another file in the place of standard input.
    // SAFETY: nobody else has it.
    drop(unsafe { File::from_raw_fd(0) });
    let input = File::open(&paths[0]).unwrap();
    assert_eq!(input.as_raw_fd(), 0);
    assert_eq!(wasi::read_once(0, Some(&mut [0; 4])), Ok(0));
    for path in paths {
        fs::remove_file(path).unwrap();
    }
}

/// One thread begins a listing, another goes on, and what was listed is removed.
fn what_is_not_removed_is_listed(directory: &Path) {
    const FILES: usize = 500;
    for n in 0..FILES {
        fs::write(directory.join(format!("file-{n:03}")), "").unwrap();
    }
    let mut listing = fs::read_dir(directory).unwrap();
    let remove = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        fs::remove_file(&path).unwrap();
        path
    };
    let mut removed: BTreeSet<_> = listing.by_ref().take(FILES / 2).map(remove).collect();
    let rest = thread::spawn(move || listing.map(remove).collect::<Vec<_>>());
    removed.extend(rest.join().unwrap());
    assert_eq!(removed.len(), FILES);
    assert_eq!(fs::read_dir(directory).unwrap().count(), 0);
}

/// A position in a listing is a `long` for C.
fn listings_go_on_where_c_says(directory: &Path) {
    const FILES: usize = 20;
    let path = |n| directory.join(format!("file-{n}"));
    (0..FILES).for_each(|n| fs::write(path(n), "").unwrap());
    let folder = CString::new(directory.as_os_str().as_encoded_bytes()).unwrap();
    let counts = wasi::entries_behind_positions(&folder).unwrap();
    // `.` and `..` come with them.
    assert_eq!(counts, (0..=FILES + 2).rev().collect::<Vec<_>>());
    (0..FILES).for_each(|n| fs::remove_file(path(n)).unwrap());
}

fn positions_after_appending(directory: &Path) {
    const APPEND: i32 = 1;
    let path = directory.join("log");
    fs::write(&path, "0123456789").unwrap();
    let mut file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let fd = file.as_raw_fd();
    let mut byte = [0];
    file.read_exact(&mut byte).unwrap();
    assert_eq!(wasi::set_flags(fd, APPEND), 0);
    file.write_all(b"ab").unwrap();
    // What is read next is at the end.
    assert_eq!(file.read(&mut byte).unwrap(), 0);
    assert_eq!(wasi::set_flags(fd, 0), 0);
    file.write_all(b"cd").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"0123456789abcd");
    drop(file);
    let mut file = OpenOptions::new().read(true).append(true).open(&path).unwrap();
    file.read_exact(&mut byte).unwrap();
    assert_eq!(byte, *b"0");
    file.write_all(b"e").unwrap();
    assert_eq!(wasi::set_flags(file.as_raw_fd(), 0), 0);
    file.write_all(b"f").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"0123456789abcdef");
    fs::remove_file(path).unwrap();
}

/// Threads open, renumber and close while others read: each read is of one file.
fn nothing_is_read_that_was_not_open(directory: &Path) {
    const FILES: usize = 4;
    const ROUNDS: usize = 300;
    const BYTES: usize = 16 << 10;
    let path = |n: usize| directory.join(format!("file-{n}"));
    for n in 0..FILES {
        fs::write(path(n), vec![n as u8; BYTES]).unwrap();
    }
    let first = AtomicI32::new(i32::MAX);
    let (is_over, reads) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let readers = [(); 2].map(|()| {
            scope.spawn(|| {
                let mut bytes = vec![0xff; BYTES];
                while !is_over.load(SeqCst) {
                    for fd in 4..12 {
                        match wasi::pread(fd, &mut bytes, 0) {
                            Ok(used) => {
                                assert_eq!(used, BYTES);
                                assert!(bytes.iter().all(|byte| *byte == bytes[0]));
                                assert!(usize::from(bytes[0]) < FILES);
                                reads.fetch_add(1, SeqCst);
                            }
                            Err(error) => assert_eq!(error, errno::BADF),
                        }
                    }
                }
            })
        });
        let openers = [0, 1].map(|me| {
            let (path, first) = (&path, &first);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let one = File::open(path((round + me) % FILES)).unwrap();
                    let two = File::open(path((round + me + 1) % FILES)).unwrap();
                    first.fetch_min(one.as_raw_fd(), SeqCst);
                    let two = std::os::fd::IntoRawFd::into_raw_fd(two);
                    assert_eq!(wasi::renumber(two, one.as_raw_fd()), 0);
                    let mut byte = [0xff];
                    assert_eq!(wasi::pread(one.as_raw_fd(), &mut byte, 7), Ok(1));
                    assert_eq!(usize::from(byte[0]), (round + me + 1) % FILES);
                }
            })
        });
        openers.into_iter().for_each(|opener| opener.join().unwrap());
        is_over.store(true, SeqCst);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
    assert!((4..12).contains(&first.load(SeqCst)), "the readers have read elsewhere");
    println!("{} reads", reads.load(SeqCst));
    (0..FILES).for_each(|n| fs::remove_file(path(n)).unwrap());
}

/// Standard input is a pipe that is open, and nobody writes.
fn streams() {
    const NONBLOCK: i32 = 4;
    let start = Instant::now();
    assert_eq!(wasi::read_once(0, None), Ok(0));
    assert_eq!(wasi::read_once(0, Some(&mut [])), Ok(0));
    assert_eq!(wasi::write_once(1, &[]), Ok(0));
    assert_eq!(wasi::set_flags(0, NONBLOCK), 0);
    assert_eq!(wasi::read_once(0, Some(&mut [0; 16])), Err(errno::AGAIN));
    assert_eq!(wasi::set_flags(0, 0), 0);
    assert_eq!(wasi::set_flags(0, 2), errno::INVAL);
    // Far below what a wait for input would have taken: for ever.
    assert!(start.elapsed() < Duration::from_secs(20));
    let mut line = vec![b'x'; 200_000];
    line.push(b'\n');
    assert_eq!(wasi::write_once(1, &line), Ok(line.len()));
}

/// As `streams`.
fn polls() {
    const MS: u64 = 1_000_000;
    let clock =
        |userdata, id, timeout| Subscription { userdata, id, timeout, ..Subscription::default() };
    let of = |userdata, kind, id| Subscription { userdata, kind, id, ..Subscription::default() };
    for wrong in [
        clock(1, 99, MS),
        Subscription { flags: 1, ..clock(1, 99, MS) },
        Subscription { flags: 2, ..clock(1, 1, MS) },
        clock(1, 2, MS),
        of(1, 7, 0),
    ] {
        assert_eq!(wasi::poll(&[wrong]).err(), Some(errno::INVAL));
    }
    assert_eq!(wasi::poll(&[]).err(), Some(errno::INVAL));
    let told = |subscriptions: &[Subscription]| -> Vec<_> {
        let events = wasi::poll(subscriptions).unwrap();
        events.iter().map(|event| (event.userdata, event.errno)).collect()
    };
    let never = clock(1, 1, 3_600_000 * MS);
    assert_eq!(told(&[never, clock(2, 1, 20 * MS)]), [(2, 0)]);
    assert_eq!(told(&[never, of(3, 1, 77)]), [(3, errno::BADF)]);
    // What is not open for that never is, as a pipe on Linux.
    assert_eq!(told(&[of(3, 2, 0), of(4, 1, 1), clock(2, 1, 20 * MS)]), [(2, 0)]);
    assert_eq!(told(&[of(3, 2, 0), of(4, 1, 1), of(6, 2, 1)]), [(6, 0)]);
    assert_eq!(told(&[of(5, 1, 0), of(6, 2, 1)]), [(6, 0)]);
    assert_eq!(told(&[of(5, 1, 0), clock(2, 1, 20 * MS)]), [(2, 0)]);
}

/// CPU time passes while a thread computes, and not while it sleeps; or nobody tells it.
fn clocks() {
    const PROCESS: i32 = 2;
    const THREAD: i32 = 3;
    let (Ok(process), Ok(thread)) = (wasi::clock(PROCESS), wasi::clock(THREAD)) else {
        println!("no CPU clocks");
        return;
    };
    let start = Instant::now();
    thread::sleep(Duration::from_secs(1));
    assert!(u128::from(wasi::clock(THREAD).unwrap() - thread) < start.elapsed().as_nanos() / 4);
    let before = wasi::clock(THREAD).unwrap();
    while wasi::clock(THREAD).unwrap() - before < 20_000_000 {
        black_box((0..100_000_u64).sum::<u64>());
    }
    assert!(wasi::clock(PROCESS).unwrap() > process);
    // Finer than the milliseconds that hosts tell of the time of day.
    let times: BTreeSet<_> = (0..100).map(|_| wasi::clock(0).unwrap() % 1_000_000).collect();
    assert!(times.len() > 2, "{times:?}");
}

/// More threads than there are cores wait for their turn, and yield.
fn yields() {
    const THREADS: usize = 6;
    const TURNS: usize = 300;
    let turn = AtomicUsize::new(0);
    thread::scope(|scope| {
        for me in 0..THREADS {
            let turn = &turn;
            scope.spawn(move || {
                for round in 0..TURNS / THREADS {
                    while turn.load(SeqCst) != round * THREADS + me {
                        thread::yield_now();
                    }
                    turn.fetch_add(1, SeqCst);
                }
            });
        }
    });
    assert_eq!(turn.load(SeqCst), TURNS);
}
