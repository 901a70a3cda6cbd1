//! Picks what runs the program; and runs it, where that is its `_start` on the engine.

use anyhow::bail;
use threadwork_engine::{
    Engine, Error, ExitStatus, Module, Process, ProcessBuilder, Profile, ProfileOptions, Writing,
};

use super::{Host, RunArgs, invoke, node, prepare, prepare_with};
use crate::program::cannot_run;
use crate::{report, signals};

/// Runs the program, prints what its threads did, and returns the code to exit with.
pub(crate) fn profile(args: &RunArgs) -> anyhow::Result<i32> {
    if args.host == Host::Node {
        bail!("--host node makes no profiles: leave it out");
    }
    if args.invoke.is_some() {
        bail!("--invoke makes no profiles: profile a program that has a `_start`");
    }
    run_here(args, true)
}

/// Runs the program and returns the code to exit with.
pub(crate) fn run(args: &RunArgs) -> anyhow::Result<i32> {
    if args.compile_time().is_some() {
        report::hurry();
    }
    if args.host == Host::Node {
        if args.profile.is_some() || args.perf_map {
            bail!("--host node makes no profiles: leave out --profile and --perf-map");
        }
        return node::run(args);
    }
    if let Some(entry) = &args.invoke {
        return invoke::run(args, entry);
    }
    run_here(args, false)
}

/// Runs the program on the engine. With `summary`, what its threads did is printed.
fn run_here(args: &RunArgs, summary: bool) -> anyhow::Result<i32> {
    let is_profiled = summary || args.profile.is_some();
    let interrupt = match is_profiled {
        true => signals::Interrupt::of_any_kind()?,
        false => signals::Interrupt::new()?,
    };
    if let Some(directory) = &args.profile {
        Profile::prepare(directory).map_err(no_profile)?;
    }
    let process = start(args, is_profiled)?;
    interrupt.ends(process.killer());
    let status = process.wait();
    report::ending(&status);
    if args.stats {
        report::stats(&process.stats());
    }
    if let Some(profile) = process.profile() {
        if summary {
            report::profile(&profile.summary());
        }
        if let Some(directory) = &args.profile {
            profile.write_to(directory).map_err(no_profile)?;
        }
    }
    Ok(status.code())
}

/// Runs the program as a tool has it: `load` makes its module, `watch` has the last word about
/// its process. Returns how it ended.
pub(crate) fn run_for_tool(
    args: &RunArgs,
    tool: &str,
    load: impl FnOnce(&Engine, &[u8]) -> Result<Module, Error>,
    watch: impl FnOnce(ProcessBuilder) -> ProcessBuilder,
) -> anyhow::Result<ExitStatus> {
    if args.host == Host::Node || args.invoke.is_some() || args.allow_precompiled {
        bail!(
            "{tool} runs a program's `_start`, from its .wasm or .wat file, on the engine: leave \
             out --host, --invoke and --allow-precompiled"
        );
    }
    if args.profile.is_some() || args.perf_map {
        bail!("{tool} makes no profiles: leave out --profile and --perf-map");
    }
    let interrupt = signals::Interrupt::new()?;
    let (file, guest_args) = args.program()?;
    let builder = watch(prepare_with(args, file, load)?.args(guest_args));
    let process = builder.spawn().map_err(|error| cannot_run(file, error))?;
    interrupt.ends(process.killer());
    let status = process.wait();
    report::ending(&status);
    if args.stats {
        report::stats(&process.stats());
    }
    Ok(status)
}

fn no_profile(error: Writing) -> anyhow::Error {
    report::explain("the profile is lost", error)
}

fn start(args: &RunArgs, is_profiled: bool) -> anyhow::Result<Process> {
    let (file, guest_args) = args.program()?;
    let mut builder = prepare(args, file)?.args(guest_args);
    if is_profiled {
        builder = builder.profile(ProfileOptions::default());
    }
    let process = builder.spawn();
    process.map_err(|error| cannot_run(file, error))
}
