//! What was granted for reading stays as it is, whatever a guest tries: by every call, with
//! every flag, through directories and files that it opens there, and out of it into a
//! directory where it may write.

use crate::support::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use tempfile::TempDir;
use threadwork_wasi::WasiBuilder;

const EXIST: i32 = 20;
const ROFS: i32 = 69;

/// The granted directories: for reading, and for all.
const ONLY: u32 = 3;
const ALL: u32 = 4;

/// A directory with a file, a directory with another one, and a link; an empty one; and a
/// guest of both.
fn folders() -> (TempDir, TempDir, Guest) {
    let (only, all) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fs::write(only.path().join("f"), "contents").unwrap();
    fs::create_dir(only.path().join("d")).unwrap();
    fs::write(only.path().join("d/g"), "more").unwrap();
    symlink("f", only.path().join("l")).unwrap();
    let wasi = WasiBuilder::new()
        .preopen_dir_read_only(only.path(), "/only")
        .preopen_dir(all.path(), "/all");
    (only, all, Guest::new(wasi))
}

/// Everything about what is there but when it was read last: a change of anything changes the
/// time of the last change.
fn state(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let stat = fs::symlink_metadata(folder).unwrap();
    let times = (
        stat.mtime(),
        stat.mtime_nsec(),
        stat.ctime(),
        stat.ctime_nsec(),
    );
    let rest = (stat.mode(), stat.nlink(), stat.len());
    let contents = fs::read(folder).ok().filter(|_| stat.is_file());
    all.push(format!(
        "{} {times:?} {rest:?} {contents:?}",
        folder.display()
    ));
    if stat.is_dir() {
        let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(Result::unwrap).collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        all.extend(entries.iter().flat_map(|entry| state(&entry.path())));
    }
    all
}

/// All that changes what a descriptor stands for.
fn change(guest: &mut Guest, fd: u32) {
    let _ = guest.write_to(fd, b"changed");
    let fd = u64::from(fd);
    let bytes = guest.put(b"changed");
    let vectors = guest.vectors(&[(bytes, 7)]);
    let result = guest.room(4);
    guest.call("fd_pwrite", &[fd, vectors.0.into(), 1, 0, result.0.into()]);
    guest.call("fd_filestat_set_size", &[fd, 1]);
    guest.call("fd_allocate", &[fd, 0, 100]);
    guest.call("fd_filestat_set_times", &[fd, 1, 1, 5]);
    guest.call("fd_sync", &[fd]);
}

#[test]
fn no_call_changes_anything() {
    let (only, all, mut guest) = folders();
    let before = state(only.path());
    let inner = guest.open_with(ONLY, "d", [0, DIRECTORY.into(), READ, 0]);
    let inner = inner.unwrap();
    let mut opened = 0;
    for dir in [ONLY, inner] {
        for name in ["f", "new", "d", "d/g", "d/new", "l", "g", "."] {
            for flags in 0..16 {
                for rights in [0, READ, WRITE, READ | WRITE, u64::MAX >> 34] {
                    for descriptor in [0, APPEND, 1 << 4] {
                        let options = [1, flags, rights, descriptor.into()];
                        if let Ok(fd) = guest.open_with(dir, name, options) {
                            opened += 1;
                            change(&mut guest, fd);
                            guest.call("fd_close", &[fd.into()]);
                        }
                    }
                }
            }
        }
        change(&mut guest, dir);
        for name in ["f", "new", "d", "d/g", "l", "g", ".", "d/"] {
            let at = guest.put(name.as_bytes());
            let path = [u64::from(at.0), name.len() as u64];
            let own = u64::from(dir);
            for call in [
                "path_create_directory",
                "path_remove_directory",
                "path_unlink_file",
            ] {
                guest.call(call, &[own, path[0], path[1]]);
            }
            guest.call("path_symlink", &[path[0], path[1], own, path[0], path[1]]);
            guest.call(
                "path_filestat_set_times",
                &[own, 1, path[0], path[1], 1, 1, 5],
            );
            guest.call(
                "path_filestat_set_times",
                &[own, 0, path[0], path[1], 1, 1, 5],
            );
            for to in ["f", "other", "d", "g"] {
                let at = guest.put(to.as_bytes());
                let to = [u64::from(at.0), to.len() as u64];
                for (from, into) in [(own, own), (own, ALL.into()), (ALL.into(), own)] {
                    guest.call("path_rename", &[from, path[0], path[1], into, to[0], to[1]]);
                    for follow in [0, 1] {
                        let from = [from, follow, path[0], path[1]];
                        let into = [into, to[0], to[1]];
                        guest.call("path_link", &[&from[..], &into[..]].concat());
                    }
                }
            }
        }
    }
    assert!(opened > 100, "{opened}");
    assert_eq!(state(only.path()), before);
    assert_eq!(fs::read_dir(all.path()).unwrap().count(), 0);
}

#[test]
fn what_may_not_be_changed_can_be_read_and_the_rest_is_said() {
    let (_only, all, mut guest) = folders();
    let create = u64::from(CREAT);
    let exclusive = create | 1 << 2;
    let file = guest.open_with(ONLY, "f", [0, create, READ, 0]).unwrap();
    assert_eq!(guest.read_from(file, 20), Ok(b"contents".to_vec()));
    let refused = |guest: &mut Guest, name: &str, flags: u64, rights: u64| {
        guest
            .open_with(ONLY, name, [0, flags, rights, 0])
            .unwrap_err()
    };
    assert_eq!(refused(&mut guest, "new", create, READ), ROFS);
    assert_eq!(refused(&mut guest, "f", exclusive, READ), EXIST);
    assert_eq!(refused(&mut guest, "new", exclusive, READ), ROFS);
    assert_eq!(refused(&mut guest, "f", 0, WRITE), ROFS);
    assert_eq!(refused(&mut guest, "f", 1 << 3, READ), ROFS);
    assert_eq!(refused(&mut guest, "new", 0, READ), NOENT);
    assert_eq!(guest.path("path_create_directory", b"e"), ROFS);
    assert_eq!(guest.path("path_unlink_file", b"f"), ROFS);
    assert_eq!(guest.list(ONLY, 4096).len(), 5);
    // The other directory is one to write to.
    let mine = guest.open_with(ALL, "mine", [0, create, WRITE, 0]).unwrap();
    assert_eq!(guest.write_to(mine, b"x"), Ok(1));
    assert_eq!(fs::read(all.path().join("mine")).unwrap(), b"x");
}
