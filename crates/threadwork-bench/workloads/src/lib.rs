//! The programs that Threadwork's benchmarks run.
//!
//! One source is the native contestant and the wasm guest: what differs between
//! two rows of a result is the thread runtime, never the program. There are no
//! dependencies, so that nothing but std and the runtime is measured.
//!
//! Every workload follows the same three rules:
//!
//! - It performs `iterations` operations in all, divided over `threads` threads.
//! - Its figure is the wall time from the moment when the first thread starts to
//!   work to the moment when the last one is done, divided by `iterations`.
//!   Threads are started before that, behind a gate, except where starting them
//!   is what is measured.
//! - Its answer is counted by the work itself, and does not depend on timing: two
//!   runtimes that disagree about it do not run the same program.

use std::fmt;
use std::io::{self, BufRead, Write};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

mod blocked;
mod compute;
pub mod contest;
mod files;
#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod futex;
mod ping_pong;
mod spawn;
mod sync;

pub use blocked::block;

/// What one run of a workload gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Wall time for each operation, in nanoseconds.
    pub ns_per_op: f64,
    /// What the work computed.
    pub answer: u64,
}

impl Measured {
    /// So many operations took so long.
    pub fn new(elapsed: Duration, iterations: u64, answer: u64) -> Self {
        Measured {
            ns_per_op: elapsed.as_nanos() as f64 / iterations as f64,
            answer,
        }
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ns_per_op={:.3} answer={}", self.ns_per_op, self.answer)
    }
}

/// A workload: threads and iterations in, a measurement out.
pub type Workload = fn(u32, u64) -> Measured;

/// All workloads, by name.
const WORKLOADS: &[(&str, Workload)] = &[
    ("hello", |_, _| Measured {
        ns_per_op: 0.0,
        answer: 0,
    }),
    ("spawn-join", spawn::spawn_join),
    #[cfg(all(
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    ))]
    ("wait-notify", ping_pong::wait_notify),
    ("park", ping_pong::park),
    ("mutex", sync::mutex),
    ("barrier", sync::barrier),
    ("condvar", sync::condvar),
    ("pi", compute::pi),
    ("sort", compute::sort),
    ("queens", compute::queens),
    ("file-read", files::read),
    ("file-read-bytes", files::read_bytes),
    ("pipe-write", files::write_pipe),
    ("file-list", files::list),
    ("file-list-paths", files::list_paths),
    ("file-open", files::open),
    ("clock", files::clock),
    ("random", files::random),
];

/// The names of the workloads that this target has.
pub fn names() -> impl Iterator<Item = &'static str> {
    WORKLOADS.iter().map(|(name, _)| *name)
}

/// Runs the workload `name`.
///
/// # Errors
///
/// If there is no such workload on this target, or a number is zero.
///
/// # Panics
///
/// If the platform cannot start so many threads.
pub fn run(name: &str, threads: u32, iterations: u64) -> Result<Measured, String> {
    let Some((_, workload)) = WORKLOADS.iter().find(|(known, _)| *known == name) else {
        return Err(format!("no workload {name} on this target"));
    };
    if threads == 0 || iterations == 0 {
        return Err("threads and iterations must not be zero".to_string());
    }
    Ok(workload(threads, iterations))
}

/// Runs a line `<name> <threads> <iterations>` of the workloads of this crate.
///
/// # Errors
///
/// If the line is not of that form, or as for [`run`].
pub fn run_line(line: &str) -> Result<Measured, String> {
    let (name, threads, iterations) = parse_line(line)?;
    run(name, threads, iterations)
}

/// Takes a line `<name> <threads> <iterations>` apart.
///
/// # Errors
///
/// If the line is not of that form.
pub fn parse_line(line: &str) -> Result<(&str, u32, u64), String> {
    let form = || format!("want `<name> <threads> <iterations>`, got `{line}`");
    let mut words = line.split_whitespace();
    let (Some(name), Some(threads), Some(iterations), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(form());
    };
    let threads = threads.parse().map_err(|_| form())?;
    let iterations = iterations.parse().map_err(|_| form())?;
    Ok((name, threads, iterations))
}

/// Reads lines until the end of standard input, and answers each with what `run`
/// says of it: `ns_per_op=<f64> answer=<u64>`, or `error=<text>`.
///
/// # Errors
///
/// If standard input or output fails.
pub fn serve(run: impl Fn(&str) -> Result<Measured, String>) -> io::Result<()> {
    let mut output = io::stdout();
    for line in io::stdin().lock().lines() {
        match run(&line?) {
            Ok(measured) => writeln!(output, "{measured}")?,
            Err(error) => writeln!(output, "error={error}")?,
        }
        output.flush()?;
    }
    Ok(())
}

/// How many of `iterations` fall to thread `index` of `threads`.
pub fn share(iterations: u64, threads: u32, index: u32) -> u64 {
    let threads = u64::from(threads);
    iterations / threads + u64::from(u64::from(index) < iterations % threads)
}

/// Runs `work(index)` on `threads` threads at once, and gives the time from the
/// first start to the last end, with the sum of what they returned.
///
/// # Panics
///
/// If a thread does, or the platform cannot start so many.
pub fn timed(threads: u32, work: impl Fn(u32) -> u64 + Sync) -> (Duration, u64) {
    let gate = Barrier::new(threads as usize);
    let awake = AtomicU32::new(0);
    let runs: Vec<(Instant, Instant, u64)> = thread::scope(|scope| {
        let (gate, awake, work) = (&gate, &awake, &work);
        let handles: Vec<_> = (0..threads)
            .map(|index| {
                scope.spawn(move || {
                    gate.wait();
                    // The gate wakes one after the other: without this, the first one has
                    // done its share before the last one is there to compete with it.
                    // Ordering: nothing is published by this count.
                    awake.fetch_add(1, Ordering::Relaxed);
                    while awake.load(Ordering::Relaxed) < threads {
                        thread::yield_now();
                    }
                    let start = Instant::now();
                    let answer = work(index);
                    (start, Instant::now(), answer)
                })
            })
            .collect();
        handles
            .into_iter()
            .map(|handle| handle.join().expect("no workload panics"))
            .collect()
    });
    let start = runs.iter().map(|run| run.0).min();
    let end = runs.iter().map(|run| run.1).max();
    let elapsed = start
        .zip(end)
        .map_or(Duration::ZERO, |(start, end)| end - start);
    (elapsed, runs.iter().map(|run| run.2).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up() {
        for (iterations, threads) in [(10, 3), (2, 5), (64, 64), (1, 1)] {
            assert_eq!(
                (0..threads)
                    .map(|i| share(iterations, threads, i))
                    .sum::<u64>(),
                iterations
            );
        }
    }

    #[test]
    fn answers_do_not_depend_on_the_number_of_threads() {
        for name in names() {
            let one = run(name, 2, 1_000).unwrap();
            let many = run(name, 8, 1_000).unwrap();
            assert_eq!(one.answer, many.answer, "{name}");
        }
    }

    #[test]
    fn answers_are_exact() {
        for name in ["spawn-join", "park", "mutex", "barrier", "condvar"] {
            assert_eq!(run(name, 4, 101).unwrap().answer, 101, "{name}");
        }
        assert_eq!(run("queens", 4, 10).unwrap().answer, 400);
        let pi = run("pi", 2, 1_000_000).unwrap().answer as f64 * 4.0 / 1e6;
        assert!((pi - std::f64::consts::PI).abs() < 0.01, "{pi}");
    }

    #[test]
    fn lines_are_checked() {
        assert!(run_line("mutex 2 100").is_ok());
        for line in [
            "",
            "mutex",
            "mutex 2",
            "mutex two 100",
            "mutex 2 100 1",
            "mutex 0 1",
            "none 1 1",
        ] {
            assert!(run_line(line).is_err(), "{line}");
        }
    }
}
