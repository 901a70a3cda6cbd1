//! Files and directories.

use crate::support::*;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use threadwork_wasi::{Limit, Limits, WasiBuilder};

#[test]
fn a_new_descriptor_is_the_lowest_that_is_free() {
    let (_folder, mut guest) = with_folder();
    let all: Vec<_> = (0..4).map(|n| guest.open(&format!("f{n}"))).collect();
    assert_eq!(all, [4, 5, 6, 7]);
    for fd in [6, 0, 4] {
        assert_eq!(guest.call("fd_close", &[fd]), 0);
        assert_eq!(guest.call("fd_close", &[fd]), BADF);
    }
    let again: Vec<_> = (0..4).map(|n| guest.open(&format!("g{n}"))).collect();
    assert_eq!(again, [0, 4, 6, 8]);
    assert_eq!(guest.call("fd_renumber", &[8, 5]), 0);
    assert_eq!(guest.call("fd_renumber", &[5, 8]), BADF);
    assert_eq!(guest.write_to(5, b"x"), Ok(1));
}

#[test]
fn an_open_file_is_the_file_and_not_its_name() {
    let (folder, mut guest) = with_folder();
    let file = guest.open("f");
    guest.write_to(file, b"four").unwrap();
    assert_eq!(guest.path("path_unlink_file", b"f"), 0);
    fs::write(folder.path().join("f"), "a longer one").unwrap();
    let stat = guest.room(64);
    assert_eq!(
        guest.call("fd_filestat_get", &[file.into(), stat.0.into()]),
        0
    );
    assert_eq!(guest.long(At(stat.0 + 32)), 4);
    assert_eq!(
        guest.call("fd_filestat_set_times", &[file.into(), 5, 5, 5]),
        0
    );
    let other = fs::metadata(folder.path().join("f")).unwrap();
    assert!(other.modified().unwrap() > std::time::UNIX_EPOCH + std::time::Duration::from_secs(1));
}

#[test]
fn vectors_are_read_and_written_whole() {
    let (folder, mut guest) = with_folder();
    let file = guest.open("f");
    let (a, b) = (guest.put(b"hello, "), guest.put(b"world"));
    let vectors = guest.vectors(&[(a, 7), (At(0), 0), (b, 5)]);
    let result = guest.room(4);
    let file_and =
        |vectors: At, count, result: At| [file.into(), vectors.0.into(), count, result.0.into()];
    assert_eq!(guest.call("fd_write", &file_and(vectors, 3, result)), 0);
    assert_eq!(guest.number(result), 12);
    assert_eq!(fs::read(folder.path().join("f")).unwrap(), b"hello, world");
    // Into places that overlap, at an odd address, and told at one.
    let room = guest.room(32);
    let odd = At(guest.room(64).0 + 1);
    let pair = [room.0, 4, room.0 + 2, 100].map(u32::to_le_bytes).concat();
    guest.write(odd, &pair);
    let result = At(guest.room(8).0 + 3);
    let arguments = [file.into(), odd.0.into(), 2, 0, result.0.into()];
    assert_eq!(guest.call("fd_pread", &arguments), 0);
    assert_eq!(guest.number(result), 12);
    assert_eq!(guest.bytes(room, 10), b"heo, world");
}

#[test]
fn bad_places_are_faults_and_change_nothing() {
    let (folder, mut guest) = with_folder();
    let file = guest.open("f");
    let end = 32 * 65536 - 4;
    let good = guest.put(b"good");
    let vectors = guest.vectors(&[(good, 4), (At(end), 5)]);
    let result = guest.room(4);
    let arguments = [file.into(), vectors.0.into(), 2, result.0.into()];
    assert_eq!(guest.call("fd_write", &arguments), FAULT);
    assert_eq!(fs::read(folder.path().join("f")).unwrap(), b"");
    let arguments = [
        file.into(),
        vectors.0.into(),
        u32::MAX.into(),
        result.0.into(),
    ];
    assert_eq!(guest.call("fd_write", &arguments), INVAL);
    assert_eq!(guest.call("clock_time_get", &[0, 0, u64::from(end)]), FAULT);
    assert_eq!(guest.call("random_get", &[8, u32::MAX.into()]), FAULT);
    let name = guest.put(b"new");
    let arguments = [3, 0, name.0.into(), 3, 1, READ, 0, 0, u64::from(end) + 2];
    assert_eq!(guest.call("path_open", &arguments), FAULT);
    assert!(!folder.path().join("new").exists());
}

#[test]
fn appending_begins_and_ends_when_it_is_said() {
    let (folder, mut guest) = with_folder();
    let file = guest.open("f");
    guest.write_to(file, b"0123456789").unwrap();
    let file = u64::from(file);
    let position = guest.room(8).0.into();
    assert_eq!(guest.call("fd_seek", &[file, 0, 0, position]), 0);
    assert_eq!(guest.call("fd_fdstat_set_flags", &[file, APPEND.into()]), 0);
    guest.write_to(file as u32, b"end").unwrap();
    assert_eq!(guest.call("fd_fdstat_set_flags", &[file, 0]), 0);
    assert_eq!(guest.call("fd_seek", &[file, 0, 0, position]), 0);
    guest.write_to(file as u32, b"begin").unwrap();
    assert_eq!(fs::read(folder.path().join("f")).unwrap(), b"begin56789end");
    assert_eq!(guest.call("fd_fdstat_set_flags", &[file, 2]), INVAL);
    assert_eq!(guest.call("fd_fdstat_set_flags", &[file, 32]), INVAL);
}

#[test]
fn paths_lead_nowhere_else() {
    let outside = tempfile::tempdir().unwrap();
    let granted = outside.path().join("granted");
    fs::create_dir_all(granted.join("a/b")).unwrap();
    fs::write(outside.path().join("secret"), "s").unwrap();
    for (target, link) in [
        ("../secret", "up"),
        ("/etc/passwd", "root"),
        ("up", "twice"),
    ] {
        std::os::unix::fs::symlink(target, granted.join(link)).unwrap();
    }
    let mut guest = Guest::new(WasiBuilder::new().preopen_dir(&granted, "/"));
    let mut open = |dir, path: &str| guest.open_with(dir, path, [1, 0, READ, 0]);
    for path in [
        "../secret",
        "up",
        "root",
        "twice",
        "/etc/passwd",
        "a/../../secret",
        "..",
        "./..",
    ] {
        assert_eq!(open(3, path), Err(PERM), "{path}");
    }
    // A directory that was moved, with a link where it was.
    let inner = open(3, "a/b").unwrap();
    fs::rename(granted.join("a/b"), granted.join("c")).unwrap();
    std::os::unix::fs::symlink("../..", granted.join("a/b")).unwrap();
    assert_eq!(open(inner, "secret"), Err(NOENT));
    assert_eq!(open(inner, "../secret"), Err(PERM));
    for (path, errno) in [("", NOENT), ("f\0g", INVAL), ("a/", 0)] {
        assert_eq!(open(3, path).err().unwrap_or(0), errno, "{path:?}");
    }
    assert_eq!(guest.path("path_create_directory", b"\xff"), ILSEQ);
    assert_eq!(
        guest.path("path_create_directory", &[b'x'; 5000]),
        NAMETOOLONG
    );
    let arguments = [3, 64, u32::MAX.into()];
    assert_eq!(guest.call("path_create_directory", &arguments), NAMETOOLONG);
}

/// A process with a directory in which `p` is a FIFO.
fn with_fifo() -> (tempfile::TempDir, Guest) {
    let (folder, guest) = with_folder();
    let made = std::process::Command::new("mkfifo")
        .arg(folder.path().join("p"))
        .status();
    assert!(made.unwrap().success());
    (folder, guest)
}

#[test]
fn who_reads_a_fifo_waits_for_its_writers() {
    let (folder, mut guest) = with_fifo();
    let reader = guest.open_with(3, "p", [0, 0, READ, 0]).unwrap();
    let reading = guest.asleep(move |guest| guest.read_from(reader, 100));
    let path = folder.path().join("p");
    fs::write(&path, "first").unwrap();
    assert_eq!(reading.join().unwrap(), Ok(b"first".to_vec()));
    // Whoever wrote has gone; another may come.
    assert_eq!(guest.read_from(reader, 100), Ok(Vec::new()));
    let writer = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let reading = guest.asleep(move |guest| guest.read_from(reader, 100));
    std::io::Write::write_all(&mut &writer, b"second").unwrap();
    assert_eq!(reading.join().unwrap(), Ok(b"second".to_vec()));

    // Who does not want to wait is told that nobody writes.
    let impatient = guest.open_with(3, "p", [0, 0, READ, NONBLOCK.into()]);
    drop(writer);
    assert_eq!(guest.read_from(impatient.unwrap(), 1), Ok(Vec::new()));
}

#[test]
fn who_writes_to_a_fifo_waits_for_a_reader() {
    let (folder, mut guest) = with_fifo();
    let nobody = guest.open_with(3, "p", [0, 0, WRITE, NONBLOCK.into()]);
    assert_eq!(nobody, Err(NXIO));
    let opening = guest.asleep(|guest| guest.open_with(3, "p", [0, 0, WRITE, 0]));
    // It does not wait for a writer.
    let options = fs::OpenOptions::new().read(true).clone();
    let path = folder.path().join("p");
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        let mut file = options.open(path).unwrap();
        std::io::Read::read_to_string(&mut file, &mut text).unwrap();
        text
    });
    let writer = opening.join().unwrap().unwrap();
    assert_eq!(guest.write_to(writer, b"hello"), Ok(5));
    assert_eq!(guest.call("fd_close", &[writer.into()]), 0);
    assert_eq!(reading.join().unwrap(), "hello");

    // Both at once wait for nobody.
    let both = guest.open_with(3, "p", [0, 0, READ | WRITE, 0]).unwrap();
    assert_eq!(guest.write_to(both, b"self"), Ok(4));
    assert_eq!(guest.read_from(both, 100), Ok(b"self".to_vec()));
}

#[test]
fn who_waits_in_a_fifo_ends_with_the_process() {
    let (_folder, guest) = with_fifo();
    let opening = guest.asleep(|guest| {
        let (name, result) = (guest.put(b"p"), guest.room(4));
        let arguments = [3, 0, name.0.into(), 1, 0, WRITE, WRITE, 0, result.0.into()];
        guest.try_call("path_open", &arguments).is_none()
    });
    guest.end(&[&opening]);
    assert!(opening.join().unwrap());

    let (_folder, mut guest) = with_fifo();
    let reader = guest.open_with(3, "p", [0, 0, READ, 0]).unwrap();
    let reading = guest.asleep(move |guest| guest.try_read(reader, 1).is_none());
    guest.end(&[&reading]);
    assert!(reading.join().unwrap());
}

#[test]
fn a_fifo_has_times_without_being_opened() {
    let (folder, mut guest) = with_fifo();
    let name = u64::from(guest.put(b"p").0);
    let arguments = [3, 1, name, 1, 1_000_000_000, 2_000_000_000, 5];
    assert_eq!(guest.call("path_filestat_set_times", &arguments), 0);
    let modified = fs::metadata(folder.path().join("p"))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(
        modified
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs(),
        2
    );
}

#[test]
fn a_bad_name_spoils_only_itself() {
    let (folder, mut guest) = with_folder();
    fs::write(folder.path().join("good"), "").unwrap();
    fs::create_dir(folder.path().join("dir")).unwrap();
    std::os::unix::fs::symlink("good", folder.path().join("link")).unwrap();
    let bad = folder.path().join(std::ffi::OsStr::from_bytes(b"b\xffd"));
    fs::write(bad, "").unwrap();
    let names: BTreeSet<_> = guest
        .list(3, 4096)
        .into_iter()
        .map(|(name, kind, _)| (name, kind))
        .collect();
    let expected: [(&[u8], u8); 6] = [
        (b".", 3),
        (b"..", 3),
        (b"good", 4),
        (b"dir", 3),
        (b"link", 7),
        (b"b\xffd", 4),
    ];
    let expected = expected.map(|(name, kind)| (name.to_vec(), kind));
    assert_eq!(names, BTreeSet::from(expected));
}

#[test]
fn a_directory_is_listed_while_it_is_emptied() {
    let (folder, mut guest) = with_folder();
    for n in 0..2000 {
        fs::write(folder.path().join(format!("file-{n:04}")), "").unwrap();
    }
    let all = guest.list(3, 200);
    assert_eq!(all.len(), 2002);
    let (name, _, inode) = &all[1000];
    let stat = guest.room(64);
    let at = guest.put(name);
    let arguments = [3, 0, at.0.into(), name.len() as u64, stat.0.into()];
    assert_eq!(guest.call("path_filestat_get", &arguments), 0);
    assert_eq!(guest.long(At(stat.0 + 8)), *inode);
}

#[test]
fn rights_that_are_given_up_are_gone() {
    let (_folder, mut guest) = with_folder();
    let file = u64::from(guest.open("f"));
    let stat = guest.room(24);
    assert_eq!(guest.call("fd_fdstat_get", &[file, stat.0.into()]), 0);
    let (base, inheriting) = (guest.long(At(stat.0 + 8)), guest.long(At(stat.0 + 16)));
    let set = |guest: &mut Guest, base, inheriting| {
        guest.call("fd_fdstat_set_rights", &[file, base, inheriting])
    };
    assert_eq!(set(&mut guest, base, inheriting), 0);
    assert_eq!(set(&mut guest, base & !WRITE, inheriting), 0);
    assert_eq!(guest.write_to(file as u32, b"x"), Err(NOTCAPABLE));
    assert_eq!(guest.read_from(file as u32, 1), Ok(Vec::new()));
    assert_eq!(set(&mut guest, base, inheriting), NOTCAPABLE);
    // What a directory gives up it gives up for what it opens.
    assert_eq!(guest.call("fd_fdstat_get", &[3, stat.0.into()]), 0);
    let (base, inheriting) = (guest.long(At(stat.0 + 8)), guest.long(At(stat.0 + 16)));
    assert_eq!(
        guest.call("fd_fdstat_set_rights", &[3, base, inheriting & !WRITE]),
        0
    );
    assert_eq!(guest.open_with(3, "f", [0, 0, WRITE, 0]), Err(NOTCAPABLE));
    assert!(guest.open_with(3, "f", [0, 0, READ, 0]).is_ok());
}

#[test]
fn directories_are_no_files() {
    let (_folder, mut guest) = with_folder();
    assert_eq!(guest.read_from(3, 1), Err(ISDIR));
    assert_eq!(guest.write_to(3, b"x"), Err(BADF));
    let room = guest.room(8).0.into();
    assert_eq!(guest.call("fd_tell", &[3, room]), BADF);
    assert_eq!(guest.call("fd_tell", &[0, room]), SPIPE);
    let file = guest.open("f");
    assert_eq!(guest.open_with(file, "x", [0, 0, READ, 0]), Err(NOTDIR));
    assert_eq!(
        guest.open_with(3, "f", [0, DIRECTORY.into(), READ, 0]),
        Err(NOTDIR)
    );
    assert_eq!(
        guest.open_with(3, ".", [0, DIRECTORY.into(), READ | WRITE, 0]),
        Err(ISDIR)
    );
    assert_eq!(guest.call("sock_shutdown", &[1, 1]), NOTSOCK);
    assert_eq!(guest.call("sock_shutdown", &[77, 1]), BADF);
}

#[test]
fn limits_of_files_hold_and_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits {
        open_files: Some(2),
        file_bytes: Some(10),
        output: None,
    };
    let builder = WasiBuilder::new()
        .preopen_dir(folder.path(), "/")
        .limits(limits);
    let mut guest = Guest::new(builder);
    let (one, two) = (guest.open("1"), guest.open("2"));
    assert_eq!(
        guest.open_with(3, "3", [0, CREAT.into(), READ, 0]),
        Err(MFILE)
    );
    assert!(!folder.path().join("3").exists());
    assert_eq!(guest.call("fd_close", &[two.into()]), 0);
    let two = guest.open("2");
    assert_eq!(guest.write_to(one, b"123456"), Ok(6));
    assert_eq!(guest.write_to(two, b"123456"), Ok(4));
    assert_eq!(guest.write_to(two, b"1"), Err(DQUOT));
    assert_eq!(guest.write_to(two, b""), Ok(0));
    assert_eq!(guest.call("fd_filestat_set_size", &[two.into(), 5]), DQUOT);
    assert_eq!(guest.call("fd_filestat_set_size", &[two.into(), 1]), 0);
    assert_eq!(guest.call("fd_allocate", &[two.into(), 0, 2]), DQUOT);
    let refusals = guest.process.refusals.lock().unwrap().clone();
    assert_eq!(refusals[0], Limit::OpenFiles(2));
    assert_eq!(refusals[1..], [Limit::FileBytes(10); 3]);
}

/// Threads read and write one file by one descriptor: each byte once.
#[test]
fn threads_share_the_position_of_a_descriptor() {
    let (folder, mut guest) = with_folder();
    let file = guest.open("f");
    let threads: Vec<_> = (0..4_u8)
        .map(|letter| {
            let process = guest.process.clone();
            std::thread::spawn(move || {
                let mut guest = Guest::of(process);
                for _ in 0..200 {
                    assert_eq!(guest.write_to(file, &[b'a' + letter; 10]), Ok(10));
                }
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    let bytes = fs::read(folder.path().join("f")).unwrap();
    assert_eq!(bytes.len(), 4 * 200 * 10);
    assert!(
        bytes
            .chunks(10)
            .all(|piece| piece.iter().all(|byte| *byte == piece[0]))
    );
}
