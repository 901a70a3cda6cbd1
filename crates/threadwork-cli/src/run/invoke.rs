//! `threadwork run --invoke`: calls of an exported function, on workers.
//!
//! One call, or one on each of `--workers N`, all at the same time, with the worker's
//! number in front of the arguments. The first failure is the failure of the whole, and
//! ends the others.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use threadwork_engine::{
    Error, ExecuteError, ExitStatus, FuncType, RuntimeBuilder, RuntimeConfig, Task, TaskError,
    ThreadRuntime, Val, ValType,
};

use super::{RunArgs, prepare};
use crate::program::cannot_run;
use crate::{report, signals};

/// Makes the calls, prints what they return, and returns the code to exit with.
pub(super) fn run(args: &RunArgs, entry: &str) -> anyhow::Result<i32> {
    let interrupt = signals::Interrupt::new()?;
    let runtime = match start(args)? {
        Ok(runtime) => runtime,
        Err(status) => {
            report::ending(&status);
            return Ok(status.code());
        }
    };
    interrupt.ends(runtime.process().killer());
    let status = match call(args, entry, &runtime)? {
        Ok(()) => runtime.shutdown(),
        Err(status) => {
            runtime.shutdown_now();
            status
        }
    };
    report::ending(&status);
    if args.stats {
        report::stats(&runtime.process().stats());
    }
    Ok(status.code())
}

/// The runtime, or how the module ended while it was started.
fn start(args: &RunArgs) -> anyhow::Result<Result<ThreadRuntime, ExitStatus>> {
    let (file, _) = args.program()?;
    let pool_size = args.workers.unwrap_or(1);
    let default = RuntimeConfig::default();
    let max_threads = args.threads.unwrap_or(default.max_threads.max(pool_size));
    if max_threads < pool_size {
        bail!("--threads {max_threads} allows fewer threads than --workers {pool_size} needs");
    }
    let builder = RuntimeBuilder::from(prepare(args, file)?).config(RuntimeConfig {
        pool_size,
        max_threads,
        ..default
    });
    match builder.build() {
        Ok(runtime) => Ok(Ok(runtime)),
        Err(Error::Start { status }) => Ok(Err(*status)),
        Err(error) => Err(cannot_run(file, error)),
    }
}

/// Calls the function on each worker, and prints the results in their order; `Err` if a
/// call has failed.
fn call(
    args: &RunArgs,
    entry: &str,
    runtime: &ThreadRuntime,
) -> anyhow::Result<Result<(), ExitStatus>> {
    let ty = runtime.signature(entry)?;
    let (_, texts) = args.program()?;
    let calls = match args.workers {
        None => vec![values(entry, &ty, texts)?],
        Some(workers) => {
            let numbered = |number: u32| {
                let number = number.to_string();
                let texts: Vec<_> = [&number].into_iter().chain(texts).cloned().collect();
                values(entry, &ty, &texts)
                    .map_err(|error| anyhow!("{error}; --workers puts the worker's number first"))
            };
            (0..workers).map(numbered).collect::<anyhow::Result<_>>()?
        }
    };
    let mut tasks = Vec::with_capacity(calls.len());
    for args in calls {
        match runtime.execute(Task::new(entry, args)) {
            Ok(task) => tasks.push(task),
            // A limit, or Ctrl-C, was faster.
            Err(ExecuteError::ShutDown) => return Ok(Err(runtime.process().wait())),
            Err(error) => return Err(error.into()),
        }
    }
    for task in tasks {
        match task.wait() {
            Ok(results) => match wait_for_reader(runtime) {
                Ok(()) => print(&results)?,
                Err(status) => return Ok(Err(status)),
            },
            Err(error) => return Ok(Err(status_of(error)?)),
        }
    }
    Ok(Ok(()))
}

/// Waits until there is room for a line on standard output, or a limit has ended the runtime.
fn wait_for_reader(runtime: &ThreadRuntime) -> Result<(), ExitStatus> {
    const LOOK: Duration = Duration::from_millis(50);
    while !report::has_room(rustix::stdio::stdout(), LOOK) {
        if let Some(status) = runtime.process().try_wait() {
            return Err(status);
        }
    }
    Ok(())
}

/// How a program would have ended that failed like the task.
fn status_of(error: TaskError) -> anyhow::Result<ExitStatus> {
    Ok(match error {
        TaskError::Trapped(trap) => ExitStatus::Trapped(trap),
        TaskError::LimitExceeded(exceeded) => ExitStatus::LimitExceeded(exceeded),
        TaskError::Ended(status) => *status,
        other => return Err(other.into()),
    })
}

/// One line, empty for a function without results.
fn print(results: &[Val]) -> anyhow::Result<()> {
    let texts: Vec<_> = results.iter().map(text).collect();
    writeln!(io::stdout(), "{}", texts.join(" ")).context("cannot print the results")
}

fn text(value: &Val) -> String {
    match value {
        Val::I32(number) => number.to_string(),
        Val::I64(number) => number.to_string(),
        Val::F32(bits) => f32::from_bits(*bits).to_string(),
        Val::F64(bits) => f64::from_bits(*bits).to_string(),
        Val::V128(bits) => format!("{:#034x}", bits.as_u128()),
        // Tasks return no references.
        _ => String::new(),
    }
}

/// The arguments of a function of this type.
fn values(entry: &str, ty: &FuncType, texts: &[String]) -> anyhow::Result<Vec<Val>> {
    let params: Vec<_> = ty.params().collect();
    if params.len() != texts.len() {
        let types: Vec<_> = params.iter().map(ToString::to_string).collect();
        bail!(
            "`{entry}` takes {} arguments ({}), not {}",
            params.len(),
            types.join(" "),
            texts.len()
        );
    }
    let value = |(ty, text): (&ValType, &String)| {
        parse(ty, text).with_context(|| format!("'{text}' is no {ty}, which `{entry}` takes there"))
    };
    params.iter().zip(texts).map(value).collect()
}

/// A number as the user writes it: decimal, or hexadecimal with `0x`; integers with or
/// without a sign.
fn parse(ty: &ValType, text: &str) -> Option<Val> {
    Some(match ty {
        ValType::I32 => {
            let number = integer(text)?;
            let unsigned = u32::try_from(number).map(u32::cast_signed);
            Val::I32(unsigned.or(i32::try_from(number)).ok()?)
        }
        ValType::I64 => {
            let number = integer(text)?;
            let unsigned = u64::try_from(number).map(u64::cast_signed);
            Val::I64(unsigned.or(i64::try_from(number)).ok()?)
        }
        ValType::F32 => Val::from(text.parse::<f32>().ok()?),
        ValType::F64 => Val::from(text.parse::<f64>().ok()?),
        ValType::V128 => Val::V128(
            u128::from_str_radix(text.strip_prefix("0x")?, 16)
                .ok()?
                .into(),
        ),
        ValType::Ref(_) => return None,
    })
}

fn integer(text: &str) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    // No second sign.
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let number = match digits.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => digits.parse::<u64>(),
    };
    Some(sign * i128::from(number.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a text becomes, printed again.
    fn again(ty: ValType, argument: &str) -> Option<String> {
        parse(&ty, argument).map(|value| text(&value))
    }

    #[test]
    fn numbers_come_back_as_they_were() {
        for number in ["0", "-1", "2147483647", "-2147483648"] {
            assert_eq!(again(ValType::I32, number).as_deref(), Some(number));
            assert_eq!(again(ValType::I64, number).as_deref(), Some(number));
        }
        for number in ["1.5", "-0.1", "NaN", "inf", "0"] {
            assert_eq!(again(ValType::F32, number).as_deref(), Some(number));
            assert_eq!(again(ValType::F64, number).as_deref(), Some(number));
        }
        assert_eq!(again(ValType::I32, "4294967295").as_deref(), Some("-1"));
        assert_eq!(again(ValType::I32, "0xff").as_deref(), Some("255"));
        assert_eq!(again(ValType::I64, "-0x10").as_deref(), Some("-16"));
        let largest = "18446744073709551615";
        assert_eq!(again(ValType::I64, largest).as_deref(), Some("-1"));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in [
            "",
            "-",
            "--1",
            "+1",
            "1.5",
            "one",
            "0x",
            "0x-1",
            "4294967296",
            "-2147483649",
        ] {
            assert!(parse(&ValType::I32, text).is_none(), "{text}");
        }
        for text in ["18446744073709551616", "-9223372036854775809"] {
            assert!(parse(&ValType::I64, text).is_none(), "{text}");
        }
        assert!(parse(&ValType::F64, "1,5").is_none());
    }
}
