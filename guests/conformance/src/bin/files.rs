//! Files under the threads: the open files belong to the process, not to the
//! thread that opened them. `files DIRECTORY` works in a directory of its own
//! inside `DIRECTORY`, and removes it at the end.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use conformance::mix;

const THREADS: usize = 8;
const BLOCK: usize = 1 << 12;

fn main() {
    let root = std::env::args().nth(1).expect("usage: files DIRECTORY");
    let directory = PathBuf::from(root).join("threadwork-files");
    fs::create_dir(&directory).expect("the directory must be writable, and nobody else's");

    opened_here_read_there(&directory);
    opened_there_used_here(&directory);
    one_file_written_by_many(&directory);
    a_file_for_each_thread(&directory);
    one_name_for_many(&directory);
    seek_and_overwrite(&directory);
    append_loses_no_line(&directory);
    metadata_tells_the_truth(&directory);
    missing_files_are_errors(&directory);

    fs::remove_dir(&directory).expect("every part removed its files");
    println!("ok files");
}

/// A block whose bytes depend on `seed`.
fn block(seed: usize) -> Vec<u8> {
    (0..BLOCK / 8).flat_map(|n| mix((seed * BLOCK + n) as u64).to_le_bytes()).collect()
}

fn opened_here_read_there(directory: &Path) {
    let path = directory.join("here");
    fs::write(&path, block(1)).unwrap();
    let mut file = File::open(&path).unwrap();
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    });
    assert_eq!(reader.join().unwrap(), block(1));
    fs::remove_file(path).unwrap();
}

fn opened_there_used_here(directory: &Path) {
    let path = directory.join("there");
    let opener = {
        let path = path.clone();
        thread::spawn(move || File::create_new(path).unwrap())
    };
    // The thread that opened the file is gone; the file is still open.
    let mut file = opener.join().unwrap();
    file.write_all(&block(2)).unwrap();
    let writer = thread::spawn(move || file.write_all(&block(3)).unwrap());
    writer.join().unwrap();
    assert_eq!(fs::read(&path).unwrap(), [block(2), block(3)].concat());
    fs::remove_file(path).unwrap();
}

fn one_file_written_by_many(directory: &Path) {
    let path = directory.join("shared");
    let file = Arc::new(Mutex::new(
        OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap(),
    ));
    let writers: Vec<_> = (0..THREADS)
        .map(|me| {
            let file = Arc::clone(&file);
            thread::spawn(move || {
                let mut file = file.lock().unwrap();
                file.seek(SeekFrom::Start((me * BLOCK) as u64)).unwrap();
                file.write_all(&block(me)).unwrap();
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());

    let mut file = file.lock().unwrap();
    file.rewind().unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    assert!(bytes.chunks(BLOCK).eq((0..THREADS).map(block)));
    fs::remove_file(path).unwrap();
}

fn a_file_for_each_thread(directory: &Path) {
    let names: BTreeSet<_> = (0..THREADS).map(|me| format!("final-{me}")).collect();
    thread::scope(|scope| {
        for me in 0..THREADS {
            scope.spawn(move || {
                for round in 0..20 {
                    let (draft, last) = (
                        directory.join(format!("draft-{me}")),
                        directory.join(format!("final-{me}")),
                    );
                    fs::write(&draft, block(me + round)).unwrap();
                    fs::rename(&draft, &last).unwrap();
                    assert!(!draft.exists());
                    assert_eq!(fs::read(&last).unwrap(), block(me + round));
                }
            });
        }
    });
    assert_eq!(listing(directory), names);
    thread::scope(|scope| {
        for name in &names {
            scope.spawn(move || fs::remove_file(directory.join(name)).unwrap());
        }
    });
    assert!(listing(directory).is_empty());
}

/// Who makes the name has it until it gives it away; nobody else can take it, and what was
/// given away can be read until it is closed.
fn one_name_for_many(directory: &Path) {
    const ROUNDS: usize = 20;
    let (crown, folder) = (directory.join("crown"), directory.join("folder"));
    thread::scope(|scope| {
        for me in 0..THREADS {
            let (crown, folder) = (&crown, &folder);
            scope.spawn(move || {
                let (own, twin) =
                    (directory.join(format!("own-{me}")), folder.join(format!("twin-{me}")));
                for round in 0..ROUNDS {
                    // Whoever comes first makes it, whoever leaves last removes it.
                    let _ = fs::create_dir(folder);
                    let Ok(mut made) = File::create_new(crown) else { continue };
                    made.write_all(&block(me * ROUNDS + round)).unwrap();
                    fs::rename(crown, &own).unwrap();
                    if fs::hard_link(&own, &twin).is_ok() {
                        assert_eq!(fs::read(&twin).unwrap(), block(me * ROUNDS + round));
                        fs::remove_file(&twin).unwrap();
                    }
                    let mut file = File::open(&own).unwrap();
                    fs::remove_file(&own).unwrap();
                    let mut bytes = Vec::new();
                    file.read_to_end(&mut bytes).unwrap();
                    assert_eq!(bytes, block(me * ROUNDS + round));
                    let _ = fs::remove_dir(folder);
                }
            });
        }
    });
    let _ = fs::remove_dir(folder);
    assert!(listing(directory).is_empty());
}

fn listing(directory: &Path) -> BTreeSet<String> {
    fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn seek_and_overwrite(directory: &Path) {
    let path = directory.join("seek");
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
    file.write_all(b"0123456789").unwrap();
    file.seek(SeekFrom::Start(3)).unwrap();
    file.write_all(b"DEF").unwrap();
    assert_eq!(file.seek(SeekFrom::Current(1)).unwrap(), 7);
    assert_eq!(file.seek(SeekFrom::End(-2)).unwrap(), 8);
    let mut tail = String::new();
    file.read_to_string(&mut tail).unwrap();
    assert_eq!(tail, "89");
    file.set_len(8).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "012DEF67");
    fs::remove_file(path).unwrap();
}

fn append_loses_no_line(directory: &Path) {
    const LINES: usize = 100;
    let path = directory.join("log");
    File::create_new(&path).unwrap();
    thread::scope(|scope| {
        for me in 0..THREADS {
            let path = &path;
            scope.spawn(move || {
                let mut log = OpenOptions::new().append(true).open(path).unwrap();
                // One write for each line: appending is atomic.
                (0..LINES).for_each(|n| log.write_all(format!("{me} {n}\n").as_bytes()).unwrap());
            });
        }
    });
    let mut next = [0; THREADS];
    for line in BufReader::new(File::open(&path).unwrap()).lines() {
        let line = line.unwrap();
        let (me, n) = line.split_once(' ').expect("a whole line");
        let me: usize = me.parse().unwrap();
        assert_eq!(n.parse(), Ok(next[me]), "the lines of one thread stay in order");
        next[me] += 1;
    }
    assert_eq!(next, [LINES; THREADS]);
    fs::remove_file(path).unwrap();
}

fn metadata_tells_the_truth(directory: &Path) {
    let (path, inner) = (directory.join("data"), directory.join("inner"));
    fs::write(&path, block(9)).unwrap();
    fs::create_dir(&inner).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let metadata = fs::metadata(&path).unwrap();
            assert!(metadata.is_file());
            assert_eq!(metadata.len(), BLOCK as u64);
            assert!(metadata.modified().is_ok());
        });
        scope.spawn(|| assert!(fs::metadata(&inner).unwrap().is_dir()));
    });
    fs::remove_dir(inner).unwrap();
    fs::remove_file(path).unwrap();
}

fn missing_files_are_errors(directory: &Path) {
    let path = directory.join("missing");
    assert_eq!(File::open(&path).unwrap_err().kind(), ErrorKind::NotFound);
    fs::write(&path, "").unwrap();
    assert_eq!(File::create_new(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
    // `std` has no kind for this error on WASI.
    assert!(fs::remove_dir(directory).is_err(), "the directory is not empty");
    fs::remove_file(&path).unwrap();
    assert_eq!(fs::remove_file(&path).unwrap_err().kind(), ErrorKind::NotFound);
}
