//! Clocks: without the lock of the files, because they are read often.

use super::host::{Errno, Host, MODULE, with_memory};
use std::time::{Duration, SystemTime};
use wasmtime::{Caller, Linker, Result};
use wasmtime_wasi::p1::types::Clockid;
use wiggle::GuestPtr;

pub(super) fn add_to_linker<H: Host>(linker: &mut Linker<H>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        "clock_time_get",
        |mut caller: Caller<'_, H>, id: i32, _precision: i64, result: i32| {
            with_memory(&mut caller, |host, memory| {
                let Ok(time) = now(host, id) else {
                    return Ok(Err(Errno::Inval));
                };
                let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
                memory.write(GuestPtr::new(result.cast_unsigned()), nanos)?;
                Ok(Ok(()))
            })
        },
    )?;
    linker.func_wrap(
        MODULE,
        "clock_res_get",
        |mut caller: Caller<'_, H>, id: i32, result: i32| {
            with_memory(&mut caller, |_, memory| {
                if Clockid::try_from(id).is_err() {
                    return Ok(Err(Errno::Inval));
                }
                memory.write(GuestPtr::new(result.cast_unsigned()), 1_u64)?;
                Ok(Ok(()))
            })
        },
    )?;
    Ok(())
}

fn now(host: &impl Host, id: i32) -> Result<Duration, Errno> {
    Ok(match Clockid::try_from(id).map_err(|_| Errno::Inval)? {
        Clockid::Monotonic => host.wasi().monotonic(),
        Clockid::Realtime => realtime(),
        Clockid::ProcessCputimeId => host.process_cpu_time(),
        Clockid::ThreadCputimeId => host.thread().cpu_time().unwrap_or_default(),
    })
}

/// Time since 1970.
pub(super) fn realtime() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}
