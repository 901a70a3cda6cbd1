//! `workload <name> <threads> <iterations>`: warms up, runs one workload, and
//! prints `ns_per_op=<f64> answer=<u64>`.
//!
//! `workload serve`: reads lines `<name> <threads> <iterations>` until the end of
//! its input, and answers each with such a line, or with `error=<text>`. Whoever
//! asks does the warming up.
//!
//! `workload block <threads>`: starts threads that sleep for ever, prints `ready`,
//! and stays until the end of its input.

use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["serve"] => threadwork_workloads::serve(threadwork_workloads::run_line),
        ["block", threads] => match threads.parse() {
            Ok(threads) => threadwork_workloads::block(threads),
            Err(_) => Err(io::Error::other("the number of threads is not a number")),
        },
        [name, threads, iterations] => once(name, threads, iterations),
        _ => Err(io::Error::other(format!(
            "usage: workload <name> <threads> <iterations> | serve | block <threads>\nnames: {}",
            threadwork_workloads::names().collect::<Vec<_>>().join(" "),
        ))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn once(name: &str, threads: &str, iterations: &str) -> io::Result<()> {
    let line = |iterations: u64| format!("{name} {threads} {iterations}");
    let iterations: u64 = iterations.parse().map_err(io::Error::other)?;
    threadwork_workloads::run_line(&line((iterations / 10).max(1))).map_err(io::Error::other)?;
    println!(
        "{}",
        threadwork_workloads::run_line(&line(iterations)).map_err(io::Error::other)?
    );
    Ok(())
}
