//! What is the same on the engine and under Node.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::ioctl_fionread;
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::support::{Outcome, Running, file, finish, run_guest, temporary_folder};
use crate::support::{text_guest, threadwork};

const HOSTS: [&str; 2] = ["engine", "node"];

/// Its old path leads elsewhere now, out of what was granted.
#[test]
fn a_directory_that_was_moved_is_still_the_directory() {
    for host in HOSTS {
        let folder = temporary_folder();
        let granted = folder.path().join("granted");
        let outside = folder.path().join("outside");
        for path in [&granted, &outside] {
            fs::create_dir(path).expect("a folder");
        }
        file(&outside, "secret", "a secret");
        let option = format!("{}::/", granted.display());
        let options = ["--host", host, "--dir", &option];
        let outcome = finish(&mut run_guest(&options, &["moved-directory"])).expect_code(0);
        // ENOENT.
        assert_eq!(outcome.stdout, "44\n", "{host}");
        assert!(granted.join("a/b").is_symlink() && granted.join("c").is_dir());
    }
}

/// A lock of `parking_lot` that is contended, in a program that a stable compiler has built.
#[test]
fn the_trap_of_a_missing_parker_names_the_remedy() {
    let folder = temporary_folder();
    let park = "parking_lot_core::thread_parker::imp::ThreadParker::prepare_park";
    for (name, remedy) in [(park, true), ("core::panicking::panic_fmt", false)] {
        let program = format!(
            r#"(module (memory (export "memory") 1)
                (func $"{name}" unreachable)
                (func (export "_start") (call $"{name}")))"#
        );
        let program = file(folder.path(), "parker.wat", program);
        for host in HOSTS {
            let outcome = finish(threadwork().args(["run", "--host", host]).arg(&program))
                .expect_code(134)
                .expect_stderr(&["trapped"]);
            let names_it = outcome.stderr.contains("compat/parking_lot_core");
            assert_eq!(names_it, remedy, "{host}: {outcome:?}");
        }
    }
}

/// Of equal names the last counts, of others the longest that fits.
#[test]
fn directories_whose_names_overlap() {
    let folder = temporary_folder();
    for (name, contents) in [
        ("a/f", "a"),
        ("a/lib/m", "a/lib"),
        ("b/f", "b"),
        ("b/m", "b"),
    ] {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
        fs::write(path, contents).expect("a file");
    }
    let read = |host: &str, directories: [&str; 2], paths: [&str; 2]| {
        let mut options = vec!["--host".to_owned(), host.to_owned()];
        for directory in directories {
            options.push("--dir".to_owned());
            options.push(format!("{}/{directory}", folder.path().display()));
        }
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let mut command = run_guest(&options, &["read-each"]);
        finish(command.args(paths)).expect_code(0).stdout
    };
    for host in HOSTS {
        for (directories, paths, expected) in [
            (["a::/", "b::."], ["/f", "f"], ["b", "b"]),
            (["b::.", "a::/"], ["/f", "f"], ["a", "a"]),
            (["a::/x", "b::/x"], ["/x/f", "/x/m"], ["b", "b"]),
            (["b::/x", "a::/x"], ["/x/f", "/x/lib/m"], ["a", "a/lib"]),
            (["a::/", "b::/lib"], ["/lib/m", "lib/m"], ["b", "b"]),
            (["a::/x/", "b::y"], ["/x/f", "y/f"], ["a", "b"]),
        ] {
            let lines: Vec<_> = std::iter::zip(paths, expected)
                .map(|(path, text)| format!("{path}: {text}\n"))
                .collect();
            let found = read(host, directories, paths);
            assert_eq!(found, lines.concat(), "{host}: {directories:?}");
        }
    }
}

/// Nothing is changed, and each call says the same on both hosts.
#[test]
fn what_was_granted_for_reading_stays_as_it_is() {
    let said = HOSTS.map(|host| {
        let (only, all) = (temporary_folder(), temporary_folder());
        fs::create_dir(only.path().join("d")).expect("a folder");
        file(only.path(), "f", "contents");
        file(only.path(), "d/g", "more");
        for (target, name) in [("f", "l"), ("nowhere", "gone")] {
            symlink(target, only.path().join(name)).expect("a link");
        }
        let before = state(only.path());
        let options = [
            format!("{}::/only:ro", only.path().display()),
            format!("{}::/all", all.path().display()),
        ];
        let options = ["--host", host, "--dir", &options[0], "--dir", &options[1]];
        let outcome = finish(&mut run_guest(&options, &["change-everything"])).expect_code(0);
        assert_eq!(state(only.path()), before, "{host}");
        assert_eq!(fs::read_dir(all.path()).expect("a folder").count(), 0);
        outcome.stdout
    });
    let lines = said[0].lines().zip(said[1].lines());
    let others: Vec<_> = lines.filter(|(engine, node)| engine != node).collect();
    assert!(others.is_empty(), "{others:#?}");
    assert_eq!(said[0].lines().count(), said[1].lines().count());
}

/// Everything about what is there but when it was read last: a change of anything changes the
/// time of the last change.
fn state(folder: &Path) -> Vec<String> {
    let stat = fs::symlink_metadata(folder).expect("it is there");
    let times = [
        stat.mtime(),
        stat.mtime_nsec(),
        stat.ctime(),
        stat.ctime_nsec(),
    ];
    let contents = stat.is_file().then(|| fs::read(folder).expect("readable"));
    let rest = (stat.mode(), stat.nlink(), stat.len(), contents);
    let mut all = vec![format!("{} {times:?} {rest:?}", folder.display())];
    if stat.is_dir() {
        let entries = fs::read_dir(folder).expect("readable");
        let mut paths: Vec<_> = entries
            .map(|entry| entry.expect("readable").path())
            .collect();
        paths.sort();
        all.extend(paths.iter().flat_map(|path| state(path)));
    }
    all
}

/// Standard input is a pipe into which nobody writes, as long as the program runs.
#[test]
fn standard_input_can_be_asked_without_waiting() {
    for host in HOSTS {
        let mut command = run_guest(&["--host", host], &["try-read"]);
        let outcome = finish(command.stdin(Stdio::piped())).expect_code(0);
        // EAGAIN.
        assert_eq!(outcome.stdout, "[0, 6]\n", "{host}");
    }
}

/// All output arrives though its reader is slow and nothing can be opened to wait for it; or one
/// line says what is missing.
#[test]
fn few_descriptors_lose_no_output() {
    const THREADS: u64 = 8;
    let threads = THREADS.to_string();
    let of_eight = ["--threads", &threads];
    for (host, descriptors, options, is_enough) in [
        ("engine", 40, &[][..], true),
        ("node", 30, &[], false),
        ("node", 60, &[], false),
        ("node", 200, &[], false),
        ("node", 90, &of_eight, false),
        ("node", 120, &of_eight, true),
        ("node", 350, &[], true),
    ] {
        let options = [&["--host", host], options].concat();
        let mut command = run_guest(&options, &["write-together", &threads]);
        let mut running = Running::start(limited(&mut command, Resource::Nofile, descriptors));
        // Until the pipe is full, or it has ended.
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(200) {
            let stdout = running.child.stdout.as_ref().expect("it is a pipe");
            let waiting = ioctl_fionread(stdout).expect("it is a pipe");
            let ended = running.child.try_wait().expect("it can be asked").is_some();
            if waiting >= 65_536 || ended {
                break;
            }
            thread::sleep(Duration::from_millis(2));
        }
        let outcome = running.finish();
        if is_enough {
            assert_eq!(outcome.code(), Some(0), "{host}: {}", outcome.stderr);
            assert_eq!(outcome.stderr, "errors: []\n");
            assert_eq!(outcome.stdout.len() as u64, THREADS * 20 * 4096);
        } else {
            refused(outcome, "ulimit -n");
        }
    }
}

/// Less than a memory takes.
#[test]
fn little_address_space_is_said_to_be_that() {
    for host in HOSTS {
        let mut command = threadwork();
        command.args(["run", "--host", host]);
        command.arg(text_guest("hello-threads"));
        let outcome = finish(limited(&mut command, Resource::As, 4 << 30));
        refused(outcome, "ulimit -v");
    }
}

/// One line says what to do, and nothing has run.
#[track_caller]
fn refused(outcome: Outcome, remedy: &str) {
    let outcome = outcome.expect_code(125);
    assert_eq!(outcome.stdout, "");
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    outcome.expect_stderr(&["threadwork: error: ", remedy]);
}

fn limited(command: &mut Command, which: Resource, limit: u64) -> &mut Command {
    let lower = move || {
        let limit = Some(limit);
        let limits = Rlimit {
            current: limit,
            maximum: limit,
        };
        Ok(setrlimit(which, limits)?)
    };
    // SAFETY: it is one system call.
    unsafe { command.pre_exec(lower) }
}
