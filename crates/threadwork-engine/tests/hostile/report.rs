//! The parent: starts children, follows what they say, and reports.

use crate::case::Case;
use crate::child::ORDER;
use crate::numbers::seeds;
use std::collections::BTreeSet;
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What children said.
#[derive(Default)]
struct Report {
    took: Vec<Took>,
    /// Rounds in which the program had ended by itself, or could not be started.
    missed: usize,
    failures: u64,
}

/// How long an end took, in which way, and of what.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Took {
    time: Duration,
    way: String,
    seed: u64,
    what: String,
}

/// The steps of a child so far.
#[derive(Default)]
struct Last {
    seed: u64,
    what: String,
    step: String,
    done: bool,
}

/// Runs all seeds on the engine of a mode.
pub(crate) fn all_end(mode: &str) {
    // Figures are of a machine that does nothing else.
    static ONE_MODE: Mutex<()> = Mutex::new(());
    let _one_mode = ONE_MODE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut left = wanted();
    let most = number("HOSTILE_FAILURES").unwrap_or(5);
    let mut report = Report::default();
    while !left.is_empty() && report.failures < most {
        left.start = report.follow(mode, left.clone());
    }
    println!("{mode}: {report}");
    let failures = report.failures;
    assert!(failures == 0, "{mode}: {failures} failures, see above");
    // A test of programs that end by themselves is none.
    let (stopped, missed) = (report.took.len(), report.missed);
    let few = stopped + missed < 100;
    assert!(
        few || missed < stopped / 2,
        "{mode}: {missed} beside {stopped}"
    );
}

fn wanted() -> Range<u64> {
    if let Some(seed) = number("HOSTILE_SEED") {
        return seed..seed + 1;
    }
    match std::env::var("HOSTILE_SEEDS") {
        Ok(range) => {
            let (first, end) = range.split_once("..").unwrap();
            first.parse().unwrap()..end.parse().unwrap()
        }
        Err(_) => seeds(300, 10_000),
    }
}

/// A number of the environment.
pub(crate) fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

impl Report {
    /// Runs seeds in a child until it ends; returns the first that it did not come to.
    fn follow(&mut self, mode: &str, seeds: Range<u64>) -> u64 {
        let mut child = start(mode, &seeds);
        let mut stderr = child.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || {
            let mut text = Vec::new();
            stderr.read_to_end(&mut text).unwrap();
            String::from_utf8_lossy(&text).into_owned()
        });
        let last = self.listen(child.stdout.take().unwrap(), seeds.start);
        let status = child.wait().unwrap();
        let stderr = stderr.join().unwrap();
        if last.done && status.success() {
            return seeds.end;
        }
        println!(
            "{mode}: seed {} ({}; {status}) at `{}`: {}\n    {}",
            last.seed,
            last.what,
            last.step,
            stderr.trim().replace('\n', "\n    "),
            keep(last.seed),
        );
        self.failures += 1;
        last.seed + 1
    }

    fn listen(&mut self, stdout: ChildStdout, first: u64) -> Last {
        let mut last = Last {
            seed: first,
            ..Last::default()
        };
        for line in BufReader::new(stdout).lines() {
            let line = line.unwrap();
            let Some(line) = line.strip_prefix("hostile ") else {
                continue;
            };
            let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
            match verb {
                "case" => {
                    let (seed, what) = rest.split_once(' ').unwrap();
                    (last.seed, last.what) = (seed.parse().unwrap(), what.to_owned());
                }
                "took" => {
                    let (nanos, way) = rest.split_once(' ').unwrap();
                    self.took.push(Took {
                        time: Duration::from_nanos(nanos.parse().unwrap()),
                        way: way.to_owned(),
                        seed: last.seed,
                        what: last.what.clone(),
                    });
                }
                "missed" => self.missed += 1,
                "done" => last.done = true,
                _ => {}
            }
            last.step = line.chars().take(100).collect();
        }
        last
    }
}

/// Starts the test program again, for `child`'s only test.
fn start(mode: &str, seeds: &Range<u64>) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child::all", "--ignored", "--nocapture"])
        .env(ORDER, format!("{mode} {} {}", seeds.start, seeds.end))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Writes the module of a seed where it can be looked at.
fn keep(seed: u64) -> String {
    let case = Case::new(seed);
    let form = match case.module.starts_with(b"\0asm") {
        true => "wasm",
        false => "wat",
    };
    let path = std::env::temp_dir().join(format!("hostile-{seed}.{form}"));
    std::fs::write(&path, case.module).unwrap();
    format!(
        "HOSTILE_SEED={seed} repeats it; its module is {}",
        path.display()
    )
}

/// How many, and how long they took. They are sorted.
fn spread(times: Vec<Duration>) -> String {
    let at = |hundredths: usize| {
        let index = (times.len() * hundredths).div_ceil(100).max(1) - 1;
        times.get(index).copied().unwrap_or_default()
    };
    let (p50, p99, max) = (at(50), at(99), at(100));
    format!("{}: p50 {p50:.1?} p99 {p99:.1?} max {max:.1?}", times.len())
}

/// How long ends took, and the slowest.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut took: Vec<_> = self.took.iter().collect();
        took.sort();
        let times = took.iter().map(|took| took.time).collect();
        writeln!(
            f,
            "stopped {}; {} not running then",
            spread(times),
            self.missed
        )?;
        let ways: BTreeSet<_> = took.iter().map(|took| &took.way).collect();
        for way in ways {
            let those = took.iter().filter(|took| took.way == *way);
            writeln!(
                f,
                "  {way} {}",
                spread(those.map(|took| took.time).collect())
            )?;
        }
        for Took {
            time,
            way,
            seed,
            what,
        } in took.iter().rev().take(5)
        {
            writeln!(f, "  {time:.1?}: {way} of seed {seed} ({what})")?;
        }
        write!(f, "{} failures", self.failures)
    }
}
