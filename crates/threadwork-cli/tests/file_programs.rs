//! Random programs of file calls. Those with one thread run natively and on each host in equal
//! folders: each call must return the same, and the same files must be left. Of those with
//! several threads there must be an order of their calls in which Linux itself returns the same
//! and leaves the same. Wrong calls of WASI itself, of which natively there are none, must fail alike
//! on both hosts.
//!
//! `FILE_PROGRAMS=A..B` runs these seeds, `THREADWORK_FULL=1` a hundred thousand, or ten
//! thousand with threads. A failure names the seed, and the fewest calls that show it or, with
//! threads, all of them.

#![cfg(target_os = "linux")]

use std::env;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::Command;

#[path = "cli/support.rs"]
#[expect(dead_code, reason = "the other tests use the rest")]
mod support;

#[path = "cli/guests.rs"]
mod guests;

use guests::Guests;
use support::{finish, temporary_folder, threadwork};

const GUEST: &str = "file-programs";

/// How many programs run one after another in one folder.
const BATCH: u64 = 500;

/// Seeds of an ordinary run and of a long one.
type Lengths = [Range<u64>; 2];

const ALONE: Lengths = [0..300, 0..100_000];
const TOGETHER: Lengths = [0..100, 0..10_000];
const WRONG: Lengths = [0..100, 0..10_000];

/// What differs on both hosts, for a reason: the call, what Linux says natively (any of
/// these; of none it is whatever it says), and what a host says.
struct Difference {
    call: &'static str,
    native: &'static [&'static str],
    host: &'static str,
}

const KNOWN: &[Difference] = &[
    // Before it opens anything, the guests' libc asks what the directory's descriptor may do.
    Difference {
        call: "Open",
        native: &["ENOENT", "ENAMETOOLONG"],
        host: "EBADF",
    },
    Difference {
        call: "List",
        native: &["ENOENT", "ENAMETOOLONG"],
        host: "EBADF",
    },
    // A directory has no position, as the official tests of WASI have it.
    Difference {
        call: "Seek",
        native: &[],
        host: "EBADF",
    },
    // Linux looks at what is read from only if there is something to read, and after the
    // position, which a directory has there: see above.
    Difference {
        call: "Read",
        native: &["0 bytes:", "EINVAL"],
        host: "EISDIR",
    },
];

#[test]
fn the_engine_does_what_linux_does() {
    compare(&["run"]);
}

#[test]
fn node_does_what_linux_does() {
    compare(&["run", "--host", "node"]);
}

/// A write at an offset to a file that is written at its end left the position behind what it wrote.
#[test]
fn programs_that_differed_once() {
    for host in [&["run"][..], &["run", "--host", "node"]] {
        for seed in [10_126, 15_939, 19_355] {
            let differs = difference(host, &[&format!("{seed}..{}", seed + 1)]);
            assert_eq!(differs, None, "{host:?}");
        }
    }
}

#[test]
fn threads_on_the_engine_do_what_one_could_in_some_order() {
    explain(&["run"], &[]);
}

#[test]
fn threads_in_node_do_what_one_could_in_some_order() {
    // Node has no `fallocate`: what stands for it is two calls, and another thread's may come
    // between them.
    explain(&["run", "--host", "node"], &["--no-allocate"]);
}

/// Which of several errors is found first is Linux', where it has such a call.
#[test]
fn wrong_calls_fail_alike_on_both_hosts() {
    for seeds in batches(WRONG) {
        let [engine, node] = [&["run"][..], &["run", "--host", "node"]].map(|host| {
            let folder = temporary_folder();
            let mut command = threadwork();
            command.args(host).args(["--dir", "."]);
            command.arg(Guests::build().wasm(GUEST));
            command.args(["--wrong", &seeds]).current_dir(folder.path());
            finish(&mut command).expect_code(0).stdout
        });
        let mut program = "";
        for (line, other) in engine.lines().zip(node.lines()) {
            if line.starts_with("program ") {
                program = line;
            }
            assert_eq!(line, other, "the engine and Node, {program}");
        }
        assert_eq!(engine.lines().count(), node.lines().count(), "{seeds}");
    }
}

fn compare(host: &[&str]) {
    for seeds in batches(ALONE) {
        if let Some((seed, _)) = difference(host, &[&seeds]) {
            panic!("{}", shrunk(host, seed));
        }
    }
}

/// Runs programs with threads, and looks for the orders.
fn explain(host: &[&str], options: &[&str]) {
    for seeds in batches(TOGETHER) {
        let (folder, another) = (temporary_folder(), temporary_folder());
        let mut command = threadwork();
        command.args(host).args(["--dir", "."]);
        command.arg(Guests::build().wasm(GUEST));
        command.args(["--together", &seeds]).args(options);
        let done = finish(command.current_dir(folder.path())).expect_code(0);
        let output = folder.path().join("output");
        fs::write(&output, done.stdout).expect("the folder can be written to");
        let mut native = Guests::build().native(GUEST);
        native.stdin(fs::File::open(&output).expect("it was written"));
        native.arg("--explain").args(options);
        native.current_dir(another.path());
        let explained = finish(&mut native);
        assert_eq!(explained.code(), Some(0), "{host:?}: {}", explained.stdout);
    }
}

/// The seeds to run, some at a time.
fn batches([sample, full]: Lengths) -> impl Iterator<Item = String> {
    let Range { start, end } = match env::var("FILE_PROGRAMS") {
        Ok(range) => {
            let (from, to) = range.split_once("..").expect("FILE_PROGRAMS=A..B");
            let number = |text: &str| text.parse().expect("a seed is a number");
            number(from)..number(to)
        }
        Err(_) if env::var_os("THREADWORK_FULL").is_some() => full,
        Err(_) => sample,
    };
    let starts = (start..end).step_by(BATCH as usize);
    starts.map(move |from| format!("{from}..{}", end.min(from + BATCH)))
}

/// The first program that is not the same on the host, and what is not.
fn difference(host: &[&str], args: &[&str]) -> Option<(u64, String)> {
    let (here, there) = (temporary_folder(), temporary_folder());
    let guests = Guests::build();
    let native = finish(guests.native(GUEST).args(args).current_dir(here.path()));
    let mut command = threadwork();
    command.args(host).args(["--dir", "."]);
    command.arg(guests.wasm(GUEST)).args(args);
    let hosted = finish(command.current_dir(there.path()));
    let (native, hosted) = (native.expect_code(0), hosted.expect_code(0));
    let mut seed = 0;
    for (ours, theirs) in native.stdout.lines().zip(hosted.stdout.lines()) {
        if let Some(number) = ours.strip_prefix("program ") {
            seed = number.parse().expect("the number of a program");
        }
        if ours != theirs && !is_known(ours, theirs) {
            return Some((seed, format!("native: {ours}\nhost:   {theirs}")));
        }
    }
    let lines = |outcome: &support::Outcome| outcome.stdout.lines().count();
    assert_eq!(lines(&native), lines(&hosted), "of {args:?} on {host:?}");
    let (ours, theirs) = (tree(here.path()), tree(there.path()));
    let mut files = ours.lines().zip(theirs.lines());
    files
        .find(|(ours, theirs)| ours != theirs)
        .map(|(ours, theirs)| {
            let seed = ours.split('/').nth(1).and_then(|seed| seed.parse().ok());
            let seed = seed.expect("each file is in the folder of a program");
            (seed, format!("native: {ours}\nhost:   {theirs}"))
        })
}

fn tree(folder: &Path) -> String {
    let mut tree = Guests::build().native(GUEST);
    finish(tree.arg("--tree").current_dir(folder))
        .expect_code(0)
        .stdout
}

/// Whether the two lines differ as the table has it.
fn is_known(native: &str, host: &str) -> bool {
    let parts = |line: &str| {
        let (call, outcome) = line.rsplit_once(" -> ")?;
        let name = call.split(' ').nth(1)?;
        Some((name.to_owned(), outcome.to_owned()))
    };
    let (Some((call, native)), Some((_, host))) = (parts(native), parts(host)) else {
        return false;
    };
    let is_native = |known: &Difference| {
        known.native.is_empty() || known.native.iter().any(|outcome| *outcome == native)
    };
    let is_it = |known: &Difference| known.call == call && known.host == host && is_native(known);
    KNOWN.iter().any(is_it)
}

/// The program with as few calls as still differ.
fn shrunk(host: &[&str], seed: u64) -> String {
    let seeds = format!("{seed}..{}", seed + 1);
    let differs = |calls: &[String]| {
        let only = calls.join(",");
        difference(host, &[&seeds, "--only", &only]).map(|(_, what)| what)
    };
    let mut calls: Vec<String> = (0..60).map(|number: u32| number.to_string()).collect();
    let mut what = differs(&calls).unwrap_or_else(|| "only after other programs".to_owned());
    for number in (0..calls.len()).rev() {
        let mut fewer = calls.clone();
        fewer.remove(number);
        if let Some(difference) = differs(&fewer) {
            (calls, what) = (fewer, difference);
        }
    }
    let only = calls.join(",");
    let folder = temporary_folder();
    let mut native: Command = Guests::build().native(GUEST);
    let native = native
        .args([&seeds, "--only", &only])
        .current_dir(folder.path());
    let steps = finish(native).stdout;
    let _ = fs::remove_dir_all(folder.path());
    format!("program {seed} differs on {host:?}:\n{what}\n{GUEST} {seeds} --only {only}\n{steps}")
}
