//! No way leads out of a granted directory. The guest tries those that can be written down; a
//! thread here makes new ones while the guest looks. `web/test/cases/sandbox.js` has the same.

use crate::support::{guest, output};
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use threadwork_engine::ProcessBuilder;

/// A folder with the directories `granted` and `outside`, which has a file `secret`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["granted", "outside"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    fs::write(folder.path().join("outside/secret"), "outside").unwrap();
    folder
}

/// Runs the guest in `granted`. Afterwards, `outside` is as it was.
fn attack(folder: &Path, args: &[&str]) {
    let builder = ProcessBuilder::new(&guest("sandbox")).args(args.iter().copied());
    output(builder.preopen_dir(folder.join("granted"), "/")).expect_line("ok sandbox");
    let outside: Vec<_> = fs::read_dir(folder.join("outside")).unwrap().collect();
    assert_eq!(outside.len(), 1);
    assert_eq!(fs::read(folder.join("outside/secret")).unwrap(), b"outside");
}

#[test]
fn no_path_leads_out() {
    let folder = folder();
    let (outside, outer) = (
        folder.path().join("outside"),
        folder.path().join("granted/outer"),
    );
    fs::create_dir(&outer).unwrap();
    symlink(&outside, outer.join("absolute")).unwrap();
    symlink("../../outside", outer.join("up")).unwrap();
    symlink("/proc/self/root", outer.join("proc")).unwrap();
    fs::hard_link(outside.join("secret"), outer.join("hard")).unwrap();
    let made = Command::new("mkfifo")
        .arg(outer.join("fifo"))
        .status()
        .unwrap();
    assert!(made.success());
    let _listener = UnixListener::bind(outer.join("socket")).unwrap();
    attack(folder.path(), &["attack", "host"]);
}

#[test]
fn a_directory_that_is_swapped_for_a_link_all_the_time_lets_nobody_out() {
    let rounds = if std::env::var_os("THREADWORK_FULL").is_some() {
        "100000"
    } else {
        "2000"
    };
    let folder = folder();
    let granted = folder.path().join("granted");
    let (swapped, hidden) = (granted.join("swapped"), granted.join("hidden"));
    let make = || {
        fs::create_dir(&swapped)?;
        fs::write(swapped.join("secret"), "inside")
    };
    make().unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let swap = || {
                fs::rename(&swapped, &hidden)?;
                symlink("../outside", &swapped)?;
                fs::remove_file(&swapped)?;
                fs::rename(&hidden, &swapped)
            };
            while !is_over.load(Ordering::Relaxed) {
                if swap().is_err() {
                    // Whatever the guest has done there meanwhile.
                    let _ = fs::remove_file(&swapped);
                    let _ = fs::remove_dir_all(&swapped);
                    let _ = fs::remove_dir_all(&hidden);
                    let _ = make();
                }
            }
        });
        attack(folder.path(), &["race", rounds]);
        is_over.store(true, Ordering::Relaxed);
    });
}
