//! Picks what runs the program; and runs it, where that is its `_start` on the engine.

use threadwork_engine::Process;

use super::{Host, RunArgs, invoke, node, prepare};
use crate::program::cannot_run;
use crate::{report, signals};

/// Runs the program and returns the code to exit with.
pub(crate) fn run(args: &RunArgs) -> anyhow::Result<i32> {
    if args.compile_time().is_some() {
        report::hurry();
    }
    if args.host == Host::Node {
        return node::run(args);
    }
    if let Some(entry) = &args.invoke {
        return invoke::run(args, entry);
    }
    let interrupt = signals::Interrupt::new()?;
    let process = start(args)?;
    interrupt.ends(process.killer());
    let status = process.wait();
    report::ending(&status);
    if args.stats {
        report::stats(&process.stats());
    }
    Ok(status.code())
}

fn start(args: &RunArgs) -> anyhow::Result<Process> {
    let (file, guest_args) = args.program()?;
    let process = prepare(args, file)?.args(guest_args).spawn();
    process.map_err(|error| cannot_run(file, error))
}
