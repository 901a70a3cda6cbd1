//! WASI preview 1, as far as it can be the same each time: arguments, variables, a virtual clock,
//! seeded random numbers, sleep, standard streams. There are no files and no sockets.
//!
//! Invariant: what a guest is told depends on its inputs and on the schedule, and nothing else.

use wasmtime::{Caller, ExternType, Linker, Module, Result, Val, ValType};

use crate::execution::{Data, Exited, block, point};
use crate::guest_memory::{GuestMemory, OutOfBounds};
use crate::operation::{Kind, Operation};
use crate::world::State;

/// The import module.
const WASI: &str = "wasi_snapshot_preview1";

const SUCCESS: i32 = 0;
const BADF: i32 = 8;
const FAULT: i32 = 21;
const INVAL: i32 = 28;
const NOSYS: i32 = 52;
const SPIPE: i32 = 70;

/// Nanoseconds since 1970 when each program begins: 2026-01-01.
const BEGINNING: u64 = 1_767_225_600_000_000_000;

/// Bytes of output that are kept of one execution.
const MOST_OUTPUT: usize = 16 << 20;

/// Bytes that one call writes at most: no host memory for lengths that a guest makes up.
const MOST_BYTES: usize = 1 << 20;

/// Events of one `poll_oneoff`.
const MOST_EVENTS: u32 = 1 << 12;

impl From<OutOfBounds> for Errno {
    fn from(_: OutOfBounds) -> Self {
        Self(FAULT)
    }
}

/// An error of WASI.
struct Errno(i32);

fn answer(result: Result<(), Errno>) -> i32 {
    match result {
        Ok(()) => SUCCESS,
        Err(Errno(number)) => number,
    }
}

fn memory(caller: &Caller<'_, Data>) -> GuestMemory {
    caller.data().world().memory.clone()
}

/// An address of the guest's.
fn at(address: i32) -> u64 {
    u64::from(address as u32)
}

/// Adds the functions that do something.
pub(crate) fn add(linker: &mut Linker<Data>) -> Result<()> {
    add_texts(linker)?;
    add_time(linker)?;
    add_streams(linker)?;
    linker.func_wrap(
        WASI,
        "random_get",
        |caller: Caller<'_, Data>, buffer: i32, length: i32| {
            answer(random(&caller, at(buffer), length as u32))
        },
    )?;
    linker.func_wrap_async(WASI, "sched_yield", |caller: Caller<'_, Data>, ()| {
        Box::new(async move {
            point(&caller, Operation::new(Kind::Yield)).await;
            SUCCESS
        })
    })?;
    linker.func_wrap_async(
        WASI,
        "proc_exit",
        |caller: Caller<'_, Data>, (code,): (i32,)| {
            Box::new(async move {
                point(&caller, Operation::new(Kind::Host)).await;
                Err::<(), _>(wasmtime::Error::new(Exited(code)))
            })
        },
    )?;
    Ok(())
}

/// Lets all other functions of WASI that the module imports fail.
pub(crate) fn refuse_the_rest(linker: &mut Linker<Data>, module: &Module) -> Result<()> {
    for import in module.imports().filter(|import| import.module() == WASI) {
        let ExternType::Func(ty) = import.ty() else {
            continue;
        };
        let is_errno =
            ty.results().len() == 1 && ty.results().all(|result| matches!(result, ValType::I32));
        // Descriptors are 0 to 2, and these do not do it; the rest is not there at all.
        let has_descriptor = ["fd_", "path_", "sock_"]
            .iter()
            .any(|prefix| import.name().starts_with(prefix));
        let errno = if has_descriptor { BADF } else { NOSYS };
        if is_errno {
            let refuse = move |_: Caller<'_, Data>, _: &[Val], results: &mut [Val]| {
                results.fill(Val::I32(errno));
                Ok(())
            };
            // An error says that it is there already.
            let _ = linker.func_new(WASI, import.name(), ty, refuse);
        }
    }
    Ok(())
}

fn random(caller: &Caller<'_, Data>, buffer: u64, length: u32) -> Result<(), Errno> {
    let memory = memory(caller);
    let mut world = caller.data().world();
    for place in 0..u64::from(length) {
        let byte = world.guest_random.next() as u8;
        memory.write(buffer + place, &[byte])?;
    }
    Ok(())
}

fn add_texts(linker: &mut Linker<Data>) -> Result<()> {
    let args = |caller: &Caller<'_, Data>| caller.data().inputs.args.clone();
    let variables = |caller: &Caller<'_, Data>| {
        let env = caller.data().inputs.env.iter();
        env.map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
    };
    linker.func_wrap(
        WASI,
        "args_sizes_get",
        move |caller: Caller<'_, Data>, count: i32, bytes: i32| {
            answer(sizes(
                &memory(&caller),
                &args(&caller),
                at(count),
                at(bytes),
            ))
        },
    )?;
    linker.func_wrap(
        WASI,
        "args_get",
        move |caller: Caller<'_, Data>, list: i32, bytes: i32| {
            answer(texts(&memory(&caller), &args(&caller), at(list), at(bytes)))
        },
    )?;
    linker.func_wrap(
        WASI,
        "environ_sizes_get",
        move |caller: Caller<'_, Data>, count: i32, bytes: i32| {
            answer(sizes(
                &memory(&caller),
                &variables(&caller),
                at(count),
                at(bytes),
            ))
        },
    )?;
    linker.func_wrap(
        WASI,
        "environ_get",
        move |caller: Caller<'_, Data>, list: i32, bytes: i32| {
            answer(texts(
                &memory(&caller),
                &variables(&caller),
                at(list),
                at(bytes),
            ))
        },
    )?;
    Ok(())
}

fn sizes(memory: &GuestMemory, texts: &[String], count: u64, bytes: u64) -> Result<(), Errno> {
    let total: usize = texts.iter().map(|text| text.len() + 1).sum();
    memory.write(count, &(texts.len() as u32).to_le_bytes())?;
    memory.write(bytes, &(total as u32).to_le_bytes())?;
    Ok(())
}

fn texts(memory: &GuestMemory, texts: &[String], list: u64, bytes: u64) -> Result<(), Errno> {
    let mut place = bytes;
    for (entry, text) in (0..).step_by(4).zip(texts) {
        memory.write(list + entry, &(place as u32).to_le_bytes())?;
        memory.write(place, text.as_bytes())?;
        memory.write(place + text.len() as u64, &[0])?;
        place += text.len() as u64 + 1;
    }
    Ok(())
}

/// What a clock shows, if there is such a clock.
fn clock(caller: &Caller<'_, Data>, id: i32) -> Result<u64, Errno> {
    let passed = caller.data().world().clock();
    match id {
        0 => Ok(BEGINNING.saturating_add(passed)),
        // Not from 0: some subtract from it what they waited for.
        1..=3 => Ok(passed.saturating_add(1_000_000_000_000)),
        _ => Err(Errno(INVAL)),
    }
}

fn add_time(linker: &mut Linker<Data>) -> Result<()> {
    linker.func_wrap(
        WASI,
        "clock_res_get",
        |caller: Caller<'_, Data>, _id: i32, to: i32| {
            let written = memory(&caller).write(at(to), &1_000_u64.to_le_bytes());
            answer(written.map_err(Errno::from))
        },
    )?;
    linker.func_wrap_async(
        WASI,
        "clock_time_get",
        |caller: Caller<'_, Data>, (id, _precision, to): (i32, i64, i32)| {
            Box::new(async move {
                point(&caller, Operation::new(Kind::Host)).await;
                let now = clock(&caller, id);
                let write = |now: u64| Ok(memory(&caller).write(at(to), &now.to_le_bytes())?);
                answer(now.and_then(write))
            })
        },
    )?;
    linker.func_wrap_async(
        WASI,
        "poll_oneoff",
        |caller: Caller<'_, Data>, (from, to, count, happened): (i32, i32, i32, i32)| {
            Box::new(async move {
                point(&caller, Operation::new(Kind::Host)).await;
                answer(poll(&caller, at(from), at(to), count as u32, at(happened)).await)
            })
        },
    )?;
    Ok(())
}

/// What a guest waits for.
struct Subscription {
    userdata: u64,
    kind: u8,
    /// When it happens, on the virtual clock.
    when: u64,
}

fn subscription(caller: &Caller<'_, Data>, place: u64) -> Result<Subscription, Errno> {
    const CLOCK: u8 = 0;
    const ABSOLUTE: u64 = 1;
    let memory = memory(caller);
    let userdata = memory.word64(place)?;
    let kind = memory.word(place + 8, 1) as u8;
    let now = caller.data().world().clock();
    let when = match kind {
        CLOCK => {
            let id = memory.word32(place + 16)?;
            let time = memory.word64(place + 24)?;
            match memory.word(place + 40, 2) & ABSOLUTE {
                0 => now.saturating_add(time),
                _ => now.saturating_add(time.saturating_sub(clock(caller, id as i32)?)),
            }
        }
        // Streams never make a guest wait.
        _ => now,
    };
    Ok(Subscription {
        userdata,
        kind,
        when,
    })
}

async fn poll(
    caller: &Caller<'_, Data>,
    from: u64,
    to: u64,
    count: u32,
    happened: u64,
) -> Result<(), Errno> {
    const SUBSCRIPTION: u64 = 48;
    const EVENT: u64 = 32;
    if count == 0 || count > MOST_EVENTS {
        return Err(Errno(INVAL));
    }
    let subscriptions =
        (0..u64::from(count)).map(|number| subscription(caller, from + number * SUBSCRIPTION));
    let subscriptions = subscriptions.collect::<Result<Vec<_>, _>>()?;
    let first = subscriptions
        .iter()
        .map(|subscription| subscription.when)
        .min();
    let deadline = first.unwrap_or(0);
    let data = caller.data();
    if deadline > data.world().clock() {
        block(data, State::Sleeping { deadline }).await;
    }
    let memory = memory(caller);
    let mut events = 0_u32;
    for subscription in subscriptions
        .iter()
        .filter(|subscription| subscription.when <= deadline)
    {
        let mut event = [0; EVENT as usize];
        event[..8].copy_from_slice(&subscription.userdata.to_le_bytes());
        event[10] = subscription.kind;
        memory.write(to + u64::from(events) * EVENT, &event)?;
        events += 1;
    }
    memory.write(happened, &events.to_le_bytes())?;
    Ok(())
}

fn add_streams(linker: &mut Linker<Data>) -> Result<()> {
    linker.func_wrap_async(
        WASI,
        "fd_write",
        |caller: Caller<'_, Data>, (fd, vectors, count, written): (i32, i32, i32, i32)| {
            Box::new(async move {
                point(&caller, Operation::new(Kind::Host)).await;
                answer(write(&caller, fd, at(vectors), count as u32, at(written)))
            })
        },
    )?;
    linker.func_wrap_async(
        WASI,
        "fd_read",
        |caller: Caller<'_, Data>, (fd, vectors, count, read): (i32, i32, i32, i32)| {
            Box::new(async move {
                point(&caller, Operation::new(Kind::Host)).await;
                answer(self::read(&caller, fd, at(vectors), count as u32, at(read)))
            })
        },
    )?;
    linker.func_wrap(
        WASI,
        "fd_fdstat_get",
        |caller: Caller<'_, Data>, fd: i32, to: i32| {
            let mut stat = [0; 24];
            // All rights; of no known type, as a pipe's.
            stat[8..16].fill(0xff);
            match fd {
                0..=2 => answer(memory(&caller).write(at(to), &stat).map_err(Errno::from)),
                _ => BADF,
            }
        },
    )?;
    linker.func_wrap(
        WASI,
        "fd_filestat_get",
        |caller: Caller<'_, Data>, fd: i32, to: i32| match fd {
            0..=2 => answer(memory(&caller).write(at(to), &[0; 64]).map_err(Errno::from)),
            _ => BADF,
        },
    )?;
    linker.func_wrap(
        WASI,
        "fd_seek",
        |_: Caller<'_, Data>, fd: i32, _offset: i64, _whence: i32, _to: i32| match fd {
            0..=2 => SPIPE,
            _ => BADF,
        },
    )?;
    Ok(())
}

/// The parts of memory that a list of vectors names.
fn vectors(memory: &GuestMemory, list: u64, count: u32) -> Result<Vec<(u64, u32)>, Errno> {
    const MOST: u32 = 1024;
    if count > MOST {
        return Err(Errno(INVAL));
    }
    let vector = |number: u64| {
        let place = list + 8 * number;
        Ok((u64::from(memory.word32(place)?), memory.word32(place + 4)?))
    };
    (0..u64::from(count)).map(vector).collect()
}

fn write(
    caller: &Caller<'_, Data>,
    fd: i32,
    list: u64,
    count: u32,
    written: u64,
) -> Result<(), Errno> {
    if !(1..=2).contains(&fd) {
        return Err(Errno(BADF));
    }
    let memory = memory(caller);
    let mut bytes = Vec::new();
    for (address, length) in vectors(&memory, list, count)? {
        let start = bytes.len();
        let room = MOST_BYTES.saturating_sub(start);
        bytes.resize(start + room.min(length as usize), 0);
        memory.read(address, &mut bytes[start..])?;
    }
    memory.write(written, &(bytes.len() as u32).to_le_bytes())?;
    let data = caller.data();
    let mut world = data.world();
    world.progress(data.tid);
    let world = &mut *world;
    let kept = match fd {
        1 => &mut world.stdout,
        _ => &mut world.stderr,
    };
    let room = MOST_OUTPUT.saturating_sub(kept.len());
    kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    Ok(())
}

fn read(caller: &Caller<'_, Data>, fd: i32, list: u64, count: u32, read: u64) -> Result<(), Errno> {
    if fd != 0 {
        return Err(Errno(BADF));
    }
    let memory = memory(caller);
    let data = caller.data();
    let mut total = 0_u32;
    for (address, length) in vectors(&memory, list, count)? {
        let mut world = data.world();
        let left = data
            .inputs
            .stdin
            .get(world.stdin_read..)
            .unwrap_or_default();
        let part = &left[..left.len().min(length as usize)];
        memory.write(address, part)?;
        world.stdin_read += part.len();
        total += part.len() as u32;
    }
    memory.write(read, &total.to_le_bytes())?;
    Ok(())
}
