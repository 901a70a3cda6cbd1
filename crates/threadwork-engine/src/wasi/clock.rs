//! Clocks: without the lock of the files, because they are read often.

use super::{Errno, MODULE, Wasi, with_memory};
use crate::thread::ThreadContext;
use std::time::{Duration, SystemTime};
use wasmtime::{Caller, Linker, Result};
use wasmtime_wasi::p1::types::Clockid;
use wiggle::GuestPtr;

pub(super) fn add_to_linker(linker: &mut Linker<ThreadContext>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        "clock_time_get",
        |mut caller: Caller<'_, ThreadContext>, id: i32, _precision: i64, result: i32| {
            with_memory(&mut caller, |context, memory| {
                let Ok(time) = now(context, id) else {
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
        |mut caller: Caller<'_, ThreadContext>, id: i32, result: i32| {
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

fn now(context: &ThreadContext, id: i32) -> Result<Duration, Errno> {
    Ok(match Clockid::try_from(id).map_err(|_| Errno::Inval)? {
        Clockid::Monotonic => context.process.wasi().monotonic(),
        Clockid::Realtime => realtime(),
        Clockid::ProcessCputimeId => context.process.stats().cpu_time,
        Clockid::ThreadCputimeId => context.thread.cpu_time().unwrap_or_default(),
    })
}

/// Time since 1970.
pub(super) fn realtime() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

impl Wasi {
    /// The guest's monotonic clock: time since the process started.
    pub(super) fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}
