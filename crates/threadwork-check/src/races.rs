//! The hooks by which races are found: what the threads of an execution do, in the order in which
//! they do it.
//!
//! Invariant: none of them is a scheduling point. A search with them has the same schedules as one
//! without.

use std::sync::Arc;

use threadwork_engine::{Backtrace, Symbols};
use threadwork_race::Turns;
use threadwork_rewrite::CHECK_MODULE;
use wasmtime::{Caller, Linker, Result, WasmBacktrace};

use crate::execution::Data;

type Call<'a> = Caller<'a, Data>;

/// Adds the hooks that are nobody else's.
pub(crate) fn add(linker: &mut Linker<Data>, symbols: &Arc<Symbols>) -> Result<()> {
    let own = Arc::clone(symbols);
    linker.func_wrap(
        CHECK_MODULE,
        "access",
        move |caller: Call<'_>, site: i32, address: i64, context: i32| {
            let place = (site as u32, address as u64, None);
            with(&caller, &own, |turns, tid, stack| {
                turns.access(tid, place, context as u32, &stack);
            });
        },
    )?;
    let own = Arc::clone(symbols);
    linker.func_wrap(
        CHECK_MODULE,
        "range",
        move |caller: Call<'_>, site: i32, address: i64, length: i64, context: i32| {
            let place = (site as u32, address as u64, Some(length as u64));
            with(&caller, &own, |turns, tid, stack| {
                turns.access(tid, place, context as u32, &stack);
            });
        },
    )?;
    let own = Arc::clone(symbols);
    linker.func_wrap(
        CHECK_MODULE,
        "done",
        move |caller: Call<'_>, site: i32, address: i64, wrote: i32, value: i64, context: i32| {
            let place = (site as u32, address as u64);
            let outcome = (wrote != 0, value as u64);
            with(&caller, &own, |turns, tid, stack| {
                turns.done(tid, place, outcome, context as u32, &stack);
            });
        },
    )?;
    let own = Arc::clone(symbols);
    linker.func_wrap(
        CHECK_MODULE,
        "alloc_begin",
        move |caller: Call<'_>, site: i32, old: i64, context: i32| {
            let place = (site as u32, old as u64);
            with(&caller, &own, |turns, tid, stack| {
                turns.alloc_begin(tid, place, context as u32, &stack);
            });
        },
    )?;
    linker.func_wrap(
        CHECK_MODULE,
        "alloc_end",
        |caller: Call<'_>, site: i32, new: i64, length: i64, context: i32| {
            let data = caller.data();
            if let Some(mut turns) = data.races() {
                let place = (site as u32, new as u64, length as u64);
                turns.alloc_end(data.tid, place, context as u32);
            }
        },
    )?;
    linker.func_wrap(
        CHECK_MODULE,
        "thread_start",
        |caller: Call<'_>, _id: i32, argument: i32| {
            let data = caller.data();
            if let Some(mut turns) = data.races() {
                turns.start(data.tid, argument);
            }
        },
    )?;
    Ok(())
}

/// The hook that is a scheduling point's, too.
pub(crate) fn point(caller: &Call<'_>, symbols: &Arc<Symbols>, site: i32, address: i64) {
    with(caller, symbols, |turns, tid, stack| {
        turns.point(tid, (site as u32, address as u64), &stack);
    });
}

/// Calls `then` with the thread that calls, and what captures its stack: an empty one, unless the
/// execution is to be told about.
fn with(
    caller: &Call<'_>,
    symbols: &Arc<Symbols>,
    then: impl FnOnce(&mut Turns, u32, &dyn Fn() -> Backtrace),
) {
    let data = caller.data();
    let Some(mut turns) = data.races() else {
        return;
    };
    let is_told = data.world().trace.is_some();
    then(&mut turns, data.tid, &|| match is_told {
        true => Backtrace::new(&WasmBacktrace::force_capture(caller), Arc::clone(symbols)),
        false => Backtrace::default(),
    });
}
