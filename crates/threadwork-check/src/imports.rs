//! The functions that the rewriter and the instrumenting layer make a module import: waits,
//! notifies, growth, scheduling points; and `wasi.thread-spawn`.

use std::sync::Arc;

use threadwork_engine::Symbols;
use threadwork_rewrite::{CHECK_MODULE, HOST_MODULE, SyncImport, SyncOp};
use wasmtime::{Caller, Linker, Result, Trap};

use crate::execution::{Data, block, point, reach, stop};
use crate::guest_memory::OutOfBounds;
use crate::operation::{Kind, Operation};
use crate::races;
use crate::world::State;

/// What `memory.atomic.wait` returns.
const WOKEN: i32 = 0;
const NOT_EQUAL: i32 = 1;
const TIMED_OUT: i32 = 2;

/// What `wasi.thread-spawn` returns where there are too many threads.
const REFUSED: i32 = -6;

/// Threads at one time.
const MOST_THREADS: usize = 1_000;

/// Adds all of them.
pub(crate) fn add(
    linker: &mut Linker<Data>,
    sync: &[SyncImport],
    points: Vec<Option<(Kind, u8)>>,
    symbols: &Arc<Symbols>,
) -> Result<()> {
    for import in sync {
        match import.op {
            SyncOp::Wait32 => add_wait(linker, &import.name, 4)?,
            SyncOp::Wait64 => add_wait(linker, &import.name, 8)?,
            SyncOp::Notify => add_notify(linker, &import.name)?,
            SyncOp::Grow => add_grow(linker, &import.name)?,
        }
    }
    add_points(linker, points, Arc::clone(symbols))?;
    add_spawn(linker)
}

fn add_points(
    linker: &mut Linker<Data>,
    points: Vec<Option<(Kind, u8)>>,
    symbols: Arc<Symbols>,
) -> Result<()> {
    linker.func_wrap(
        CHECK_MODULE,
        "point",
        move |caller: Caller<'_, Data>, site: i32, address: i64| -> i32 {
            races::point(&caller, &symbols, site, address);
            let Some((kind, width)) = points.get(site as u32 as usize).copied().flatten() else {
                return 0;
            };
            let operation = Operation {
                kind,
                site: site as u32,
                address: address as u64,
                width,
            };
            i32::from(reach(&caller, operation))
        },
    )?;
    linker.func_wrap_async(
        CHECK_MODULE,
        "switch",
        |caller: Caller<'_, Data>, (_site, _address): (i32, i64)| {
            Box::new(async move { stop(caller.data()).await })
        },
    )?;
    Ok(())
}

/// The effective address of an operator on an aligned word.
fn address(caller: &Caller<'_, Data>, address: i32, offset: i64, width: u8) -> Result<u64> {
    let address = u64::from(address as u32).wrapping_add(offset as u64);
    let mut word = [0; 8];
    let memory = caller.data().world().memory.clone();
    memory
        .read(address, &mut word[..usize::from(width)])
        .map_err(|OutOfBounds| Trap::MemoryOutOfBounds)?;
    match address.is_multiple_of(u64::from(width)) {
        true => Ok(address),
        false => Err(Trap::HeapMisaligned.into()),
    }
}

fn add_wait(linker: &mut Linker<Data>, name: &str, width: u8) -> Result<()> {
    if width == 4 {
        linker.func_wrap_async(
            HOST_MODULE,
            name,
            |caller: Caller<'_, Data>, (at, expected, timeout, offset): (i32, i32, i64, i64)| {
                let expected = u64::from(expected as u32);
                Box::new(wait(caller, at, expected, timeout, offset, 4))
            },
        )?;
    } else {
        linker.func_wrap_async(
            HOST_MODULE,
            name,
            |caller: Caller<'_, Data>, (at, expected, timeout, offset): (i32, i64, i64, i64)| {
                Box::new(wait(caller, at, expected as u64, timeout, offset, 8))
            },
        )?;
    }
    Ok(())
}

async fn wait(
    caller: Caller<'_, Data>,
    at: i32,
    expected: u64,
    timeout: i64,
    offset: i64,
    width: u8,
) -> Result<i32> {
    let address = address(&caller, at, offset, width)?;
    let operation = Operation {
        kind: Kind::Wait,
        site: 0,
        address,
        width,
    };
    point(&caller, operation).await;
    let data = caller.data();
    let deadline = {
        let world = data.world();
        if world.memory.word(address, width) != expected {
            return Ok(NOT_EQUAL);
        }
        u64::try_from(timeout)
            .ok()
            .map(|nanoseconds| world.clock().saturating_add(nanoseconds))
    };
    if timeout == 0 {
        return Ok(TIMED_OUT);
    }
    block(data, State::Waiting { address, deadline }).await;
    let timed_out = data.world().threads[data.tid as usize].timed_out;
    Ok(if timed_out { TIMED_OUT } else { WOKEN })
}

fn add_notify(linker: &mut Linker<Data>, name: &str) -> Result<()> {
    linker.func_wrap_async(
        HOST_MODULE,
        name,
        |caller: Caller<'_, Data>, (at, count, offset): (i32, i32, i64)| {
            Box::new(async move {
                let address = address(&caller, at, offset, 4)?;
                let operation = Operation {
                    kind: Kind::Notify,
                    site: 0,
                    address,
                    width: 4,
                };
                point(&caller, operation).await;
                let data = caller.data();
                let woken = data.world().notify(data.tid, address, count as u32);
                Ok(woken as i32)
            })
        },
    )?;
    Ok(())
}

/// No scheduling point: allocators grow memory while they hold their lock.
fn add_grow(linker: &mut Linker<Data>, name: &str) -> Result<()> {
    linker.func_wrap(
        HOST_MODULE,
        name,
        |caller: Caller<'_, Data>, pages: i32| -> i32 {
            let memory = caller.data().world().memory.clone();
            let before = memory.shared().grow(u64::from(pages as u32));
            before.map_or(-1, |pages| pages as i32)
        },
    )?;
    Ok(())
}

fn add_spawn(linker: &mut Linker<Data>) -> Result<()> {
    linker.func_wrap_async(
        "wasi",
        "thread-spawn",
        |caller: Caller<'_, Data>, (argument,): (i32,)| {
            Box::new(async move {
                point(&caller, Operation::new(Kind::Spawn)).await;
                let data = caller.data();
                let mut world = data.world();
                if world.living() >= MOST_THREADS {
                    return REFUSED;
                }
                world.spawn(data.tid, argument) as i32
            })
        },
    )?;
    Ok(())
}
