//! How much slower a program is when it is watched for races: `slowdown ROUNDS FILE [ARGS]`.
//!
//! The program is run and watched in turn, and of each the median of processor time and of
//! time is told, in seconds. Neither has the compilation in it. On a machine that does other things,
//! too, only the first says something.

use std::error::Error;
use std::time::Duration;

use threadwork_engine::{Engine, Module, Output, ProcessBuilder, Stats};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(rounds), Some(file)) = (args.next(), args.next()) else {
        return Err("usage: slowdown ROUNDS FILE [ARGS]".into());
    };
    let args: Vec<String> = args.collect();
    let wasm = std::fs::read(file)?;
    let engine = Engine::new()?;
    let plain = Module::new(&engine, &wasm)?;
    let (watched, race) = threadwork_race::load(&engine, &wasm)?;

    let stats = |builder: ProcessBuilder| -> Result<Stats, Box<dyn Error>> {
        let builder = builder
            .stdout(Output::Null)
            .args(args.iter().map(String::as_str));
        let process = builder.spawn()?;
        let status = process.wait();
        match status.success() {
            true => Ok(process.stats()),
            false => Err(status.to_string().into()),
        }
    };
    let mut runs = [Vec::new(), Vec::new()];
    for _ in 0..rounds.parse()? {
        let race = race.fresh();
        runs[0].push(stats(ProcessBuilder::new(&plain))?);
        runs[1].push(stats(race.watch(ProcessBuilder::new(&watched)))?);
    }
    for (what, time) in [
        (
            "processor time",
            (|stats| stats.cpu_time) as fn(&Stats) -> Duration,
        ),
        ("time", |stats| stats.wall_time),
    ] {
        let [run, race] = runs.each_ref().map(|stats| {
            let mut times: Vec<f64> = stats.iter().map(|s| time(s).as_secs_f64()).collect();
            times.sort_by(f64::total_cmp);
            times.get(times.len() / 2).copied().unwrap_or_default()
        });
        println!(
            "{what}: {run:.3} run, {race:.3} watched, {:.1} times",
            race / run
        );
    }
    Ok(())
}
