//! The 35 acceptance tests: what the thread runtime promises, one test each.
//!
//! ```text
//! acceptance                    runs all
//! acceptance fence barrier      runs those
//! acceptance --list             prints number, name and group of each
//! acceptance --end NAME         ends the process in a way that its host must report
//! ```
//!
//! The same program runs natively and as WebAssembly on every host; it knows of none.
//! Each test prints one line when it is done, and the program exits with 1 if one failed:
//!
//! ```text
//! test fence ok 0.012
//! test atomic_cost ok 0.104: 5.9 ns
//! test mutex FAILED 0.007: src/synchronization.rs:31: total is 39998, not 40000
//! ```
//!
//! In WebAssembly a panic ends the process, so a test returns what is wrong instead of
//! panicking, and `threadwork selftest` runs each as a process of its own.

#[macro_use]
mod check;

mod atomics;
mod endings;
mod integration;
mod shared_memory;
mod synchronization;
mod thread_management;

use std::env;
use std::io::{self, Write};
use std::panic;
use std::process::ExitCode;
use std::time::Instant;

use check::{Check, Figure};

/// How a test is run.
enum Test {
    Checks(fn() -> Check),
    /// A benchmark: only its answers can fail, and it tells a figure.
    Measures(fn() -> Figure),
}
use Test::{Checks, Measures};

/// The tests in their order: the first is number 1.
const GROUPS: [(&str, &[(&str, Test)]); 5] = [
    (
        "Shared memory",
        &[
            ("creation", Checks(shared_memory::creation)),
            ("initialization", Checks(shared_memory::initialization)),
            ("multi_thread_access", Checks(shared_memory::multi_thread_access)),
            ("bounds_checking", Checks(shared_memory::bounds_checking)),
            ("growth", Checks(shared_memory::growth)),
            ("isolation", Checks(shared_memory::isolation)),
            ("fence", Checks(shared_memory::fence)),
            ("visibility", Checks(shared_memory::visibility)),
        ],
    ),
    (
        "Atomics",
        &[
            ("load_store_i32", Checks(atomics::load_store_i32)),
            ("load_store_i64", Checks(atomics::load_store_i64)),
            ("add", Checks(atomics::add)),
            ("sub", Checks(atomics::sub)),
            ("bitwise", Checks(atomics::bitwise)),
            ("exchange", Checks(atomics::exchange)),
            ("compare_exchange", Checks(atomics::compare_exchange)),
            ("concurrent_increment", Checks(atomics::concurrent_increment)),
            ("wait_notify", Checks(atomics::wait_notify)),
            ("atomic_cost", Measures(atomics::atomic_cost)),
        ],
    ),
    (
        "Thread management",
        &[
            ("spawn", Checks(thread_management::spawn)),
            ("join", Checks(thread_management::join)),
            ("thread_local_storage", Checks(thread_management::thread_local_storage)),
            ("thread_pooling", Checks(thread_management::thread_pooling)),
            ("maximum_thread_limits", Checks(thread_management::maximum_thread_limits)),
            ("creation_overhead", Measures(thread_management::creation_overhead)),
            ("cleanup_on_error", Checks(thread_management::cleanup_on_error)),
            ("resource_management", Checks(thread_management::resource_management)),
        ],
    ),
    (
        "Synchronization",
        &[
            ("mutex", Checks(synchronization::mutex)),
            ("condvar", Checks(synchronization::condvar)),
            ("barrier", Checks(synchronization::barrier)),
            ("rwlock", Checks(synchronization::rwlock)),
            ("deadlock_detection", Checks(synchronization::deadlock_detection)),
            ("priority_inversion", Checks(synchronization::priority_inversion)),
        ],
    ),
    (
        "Integration",
        &[
            ("parallel_correctness", Checks(integration::parallel_correctness)),
            ("scalability", Measures(integration::scalability)),
            ("monte_carlo_pi", Measures(integration::monte_carlo_pi)),
        ],
    ),
];

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--list"] => list(),
        ["--end", name] => endings::end(name),
        names => return run(names),
    }
    ExitCode::SUCCESS
}

fn tests() -> impl Iterator<Item = (&'static str, &'static str, &'static Test)> {
    GROUPS
        .iter()
        .flat_map(|(group, tests)| tests.iter().map(move |(name, test)| (*group, *name, test)))
}

fn list() {
    for (number, (group, name, _)) in (1..).zip(tests()) {
        println!("{number} {name} {group}");
    }
}

/// Runs the tests with these names, or all.
fn run(names: &[&str]) -> ExitCode {
    if let Some(unknown) = names.iter().find(|name| !tests().any(|(_, known, _)| known == **name)) {
        eprintln!("error: there is no test {unknown}; --list prints all");
        return ExitCode::from(2);
    }
    let chosen = tests().filter(|(_, name, _)| names.is_empty() || names.contains(name));
    // Not lazily: a failure is no reason to leave the others out.
    let failed = chosen.map(|(_, name, test)| passes(name, test)).filter(|passed| !passed).count();
    ExitCode::from(u8::from(failed > 0))
}

fn passes(name: &str, test: &Test) -> bool {
    let start = Instant::now();
    let run = || match test {
        Checks(check) => check().map(|()| String::new()),
        Measures(measure) => measure(),
    };
    let outcome = panic::catch_unwind(run).unwrap_or_else(|_| Err("it panicked".into()));
    let seconds = start.elapsed().as_secs_f64();
    let line = match &outcome {
        Ok(figure) if figure.is_empty() => format!("test {name} ok {seconds:.6}"),
        Ok(figure) => format!("test {name} ok {seconds:.6}: {figure}"),
        Err(reason) => format!("test {name} FAILED {seconds:.6}: {}", reason.replace('\n', "; ")),
    };
    println!("{line}");
    // A later test may end the process.
    let _ = io::stdout().flush();
    outcome.is_ok()
}
