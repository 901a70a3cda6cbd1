//! Arguments, environment, clocks, random numbers, and what does nothing.

use super::Call;
use crate::errno::{Errno, Result};
use crate::host::Host;
use crate::wasi::{Texts, clock};
use rustix::time::ClockId;
use std::time::Duration;

pub(crate) fn args_get<H: Host>(call: &Call<'_, H>, pointers: u32, bytes: u32) -> Result {
    texts(call, call.host.wasi().args(), pointers, bytes)
}

pub(crate) fn args_sizes_get<H: Host>(call: &Call<'_, H>, count: u32, size: u32) -> Result {
    sizes(call, call.host.wasi().args(), count, size)
}

pub(crate) fn environ_get<H: Host>(call: &Call<'_, H>, pointers: u32, bytes: u32) -> Result {
    texts(call, call.host.wasi().env(), pointers, bytes)
}

pub(crate) fn environ_sizes_get<H: Host>(call: &Call<'_, H>, count: u32, size: u32) -> Result {
    sizes(call, call.host.wasi().env(), count, size)
}

fn texts<H: Host>(call: &Call<'_, H>, texts: &Texts, pointers: u32, bytes: u32) -> Result {
    let there = |start: &u32| bytes.wrapping_add(*start).to_le_bytes();
    let list: Vec<u8> = texts.starts.iter().flat_map(there).collect();
    // Both, or nothing.
    call.memory.locate(bytes, texts.bytes.len())?;
    call.memory.write(pointers, &list)?;
    call.memory.write(bytes, &texts.bytes)?;
    Ok(())
}

fn sizes<H: Host>(call: &Call<'_, H>, texts: &Texts, count: u32, size: u32) -> Result {
    // Both are below 4 GiB.
    call.memory.write_u32(count, texts.starts.len() as u32)?;
    call.memory.write_u32(size, texts.bytes.len() as u32)?;
    Ok(())
}

/// The clocks of preview 1.
#[derive(Clone, Copy)]
pub(super) enum Clock {
    Realtime,
    Monotonic,
    Process,
    Thread,
}

impl Clock {
    pub(super) fn new(id: u32) -> Result<Self> {
        Ok(match id {
            0 => Self::Realtime,
            1 => Self::Monotonic,
            2 => Self::Process,
            3 => Self::Thread,
            _ => return Err(Errno::INVAL.into()),
        })
    }

    /// Its time, in nanoseconds.
    pub(super) fn now(self, host: &impl Host) -> u64 {
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        match self {
            Self::Realtime => clock(ClockId::Realtime),
            Self::Monotonic => host.wasi().monotonic(),
            Self::Process => nanoseconds(host.process_cpu_time()),
            Self::Thread => nanoseconds(host.thread_cpu_time()),
        }
    }
}

pub(crate) fn clock_res_get<H: Host>(call: &Call<'_, H>, id: u32, result: u32) -> Result {
    Clock::new(id)?;
    Ok(call.memory.write_u64(result, 1)?)
}

pub(crate) fn clock_time_get<H: Host>(
    call: &Call<'_, H>,
    id: u32,
    _precision: u64,
    result: u32,
) -> Result {
    let now = Clock::new(id)?.now(call.host);
    Ok(call.memory.write_u64(result, now)?)
}

pub(crate) fn random_get<H: Host>(call: &Call<'_, H>, mut at: u32, length: u32) -> Result {
    call.memory.locate(at, length as usize)?;
    let mut left = length as usize;
    let mut chunk = [0; 4096];
    while left > 0 {
        call.host.check_running()?;
        let part = &mut chunk[..left.min(4096)];
        getrandom::fill(part).map_err(|_| Errno::IO)?;
        call.memory.write(at, part)?;
        left -= part.len();
        // Past the end only when nothing is left.
        at = at.wrapping_add(part.len() as u32);
    }
    Ok(())
}

pub(crate) fn sched_yield<H: Host>(_: &Call<'_, H>) -> Result {
    std::thread::yield_now();
    Ok(())
}

pub(crate) fn proc_raise<H: Host>(_: &Call<'_, H>, _signal: u32) -> Result {
    Err(Errno::NOTSUP.into())
}
