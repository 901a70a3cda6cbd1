//! The host functions that stand for `memory.atomic.wait32`, `wait64`, `notify` and
//! `memory.grow` on shared memories.

use super::state::{State, ThreadContext};
use crate::linear_memory::{Memory, Owner};
use crate::recorder::WaitRecord;
use crate::thread::{Ended, ThreadState};
use std::sync::Arc;
use std::time::{Duration, Instant};
use threadwork_parking::WaitResult;
use threadwork_rewrite::{HOST_MODULE, SharedMemoryImport, SyncImport, SyncOp};
use wasmtime::{Caller, Error, Linker, Result, Trap};

/// Defines what the rewriter made a module import, for any process of it.
pub(crate) fn define_sync_imports(
    linker: &mut Linker<ThreadContext>,
    memories: &[SharedMemoryImport],
    imports: &[SyncImport],
) -> Result<()> {
    for import in imports {
        let position = memories
            .iter()
            .position(|memory| memory.index == import.memory)
            .ok_or_else(|| Error::msg("the rewriter named a memory that is not shared"))?;
        define_sync_import(linker, import, Position(position))?;
    }
    Ok(())
}

/// Defines one of them, on the memory that `find` finds.
pub(crate) fn define_sync_import(
    linker: &mut Linker<ThreadContext>,
    import: &SyncImport,
    find: impl Find,
) -> Result<()> {
    match import.memory64 {
        false => define::<i32>(linker, import, find),
        true => define::<i64>(linker, import, find),
    }
}

/// Where a host function finds the memory that it works on.
pub(crate) trait Find: Clone + Send + Sync + 'static {
    fn memory<'a>(&'a self, context: &'a ThreadContext) -> &'a Memory;
}

/// A position among the shared memories of the caller's process.
#[derive(Clone)]
struct Position(usize);

impl Find for Position {
    fn memory<'a>(&'a self, context: &'a ThreadContext) -> &'a Memory {
        &context.process.memories()[self.0]
    }
}

/// An address, or a number of pages, as the guest passes it.
trait Address: wasmtime::WasmTy + wasmtime::WasmRet + Copy + 'static {
    fn unsigned(self) -> u64;
    /// The effective address. One that the type does not have is out of bounds, and
    /// neither aligned nor unaligned.
    fn plus(self, offset: i64) -> Result<u64, Trap>;
    fn from_pages(pages: Option<u64>) -> Self;
}

impl Address for i32 {
    fn unsigned(self) -> u64 {
        u64::from(self.cast_unsigned())
    }

    fn plus(self, offset: i64) -> Result<u64, Trap> {
        let address = self.unsigned().checked_add(offset.cast_unsigned());
        let fits = |address: &u64| *address <= u64::from(u32::MAX);
        address.filter(fits).ok_or(Trap::MemoryOutOfBounds)
    }

    fn from_pages(pages: Option<u64>) -> Self {
        // At most 2^16 pages.
        pages.map_or(-1, |pages| pages as i32)
    }
}

impl Address for i64 {
    fn unsigned(self) -> u64 {
        self.cast_unsigned()
    }

    fn plus(self, offset: i64) -> Result<u64, Trap> {
        let address = self.unsigned().checked_add(offset.cast_unsigned());
        address.ok_or(Trap::MemoryOutOfBounds)
    }

    fn from_pages(pages: Option<u64>) -> Self {
        // At most 2^48 pages.
        pages.map_or(-1, |pages| pages as i64)
    }
}

fn define<A: Address>(
    linker: &mut Linker<ThreadContext>,
    import: &SyncImport,
    find: impl Find,
) -> Result<()>
where
    Result<A>: wasmtime::WasmRet,
{
    type Call<'a> = Caller<'a, ThreadContext>;
    let name = &import.name;
    match import.op {
        SyncOp::Wait32 => linker.func_wrap(
            HOST_MODULE,
            name,
            move |call: Call<'_>, address: A, expected: i32, timeout: i64, offset: i64| {
                let address = address.plus(offset)?;
                let word = find.memory(call.data()).word32(address)?;
                let expected = expected.cast_unsigned().into();
                let load = || word.load();
                wait(&call, address, word.key(), timeout, expected, load)
            },
        )?,
        SyncOp::Wait64 => linker.func_wrap(
            HOST_MODULE,
            name,
            move |call: Call<'_>, address: A, expected: i64, timeout: i64, offset: i64| {
                let address = address.plus(offset)?;
                let word = find.memory(call.data()).word64(address)?;
                let expected = expected.cast_unsigned();
                let load = || word.load();
                wait(&call, address, word.key(), timeout, expected, load)
            },
        )?,
        SyncOp::Notify => linker.func_wrap(
            HOST_MODULE,
            name,
            move |call: Call<'_>, address: A, count: i32, offset: i64| -> Result<i32> {
                let address = address.plus(offset)?;
                let word = find.memory(call.data()).word32(address)?;
                let context = call.data();
                context.check_running()?;
                let (lot, count) = (context.process.lot(), count.cast_unsigned());
                let woken = match &context.thread.track {
                    Some(track) => {
                        track.notify(address, |mark| lot.notify_as(word.key(), count, mark))
                    }
                    None => lot.notify(word.key(), count),
                };
                context.thread.counters.notifies.add(1);
                context.thread.counters.woken.add(u64::from(woken));
                Ok(woken.cast_signed())
            },
        )?,
        SyncOp::Grow => linker.func_wrap(
            HOST_MODULE,
            name,
            move |call: Call<'_>, pages: A| -> Result<A> {
                let context = call.data();
                context.check_running()?;
                let memory = find.memory(context);
                let grown = context
                    .process
                    .grow(&context.thread, memory, pages.unsigned());
                Ok(A::from_pages(grown))
            },
        )?,
    };
    Ok(())
}

/// Waits, and returns what the instruction does: 0 woken, 1 not equal, 2 timed out.
fn wait(
    call: &Caller<'_, ThreadContext>,
    address: u64,
    key: usize,
    timeout: i64,
    expected: u64,
    load: impl Fn() -> u64,
) -> Result<i32> {
    let ThreadContext {
        process, thread, ..
    } = call.data();
    // A negative timeout is none.
    let timeout = u64::try_from(timeout).ok().map(Duration::from_nanos);
    let result = process.wait_on_word(thread, address, key, timeout, expected, load);
    Ok(match result.map_err(|ended| process.wait_ended(ended))? {
        WaitResult::NotEqual => 1,
        WaitResult::TimedOut => 2,
        _ => 0,
    })
}

impl State {
    /// A guest thread sleeps on the word at `address`, which has this key. Only called by
    /// the thread itself.
    pub(crate) fn wait_on_word(
        self: &Arc<Self>,
        thread: &ThreadState,
        address: u64,
        key: usize,
        timeout: Option<Duration>,
        expected: u64,
        load: impl Fn() -> u64,
    ) -> Result<WaitResult, Ended> {
        thread.counters.waits.add(1);
        // One past the end of time is as good as none.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        thread.wait_begins(address);
        // To a thread that is to end the word is always another one.
        let load = || match thread.is_cancelled() {
            true => !expected,
            false => load(),
        };
        let is_relieved = || Arc::clone(self).is_relieved();
        let lot = self.lot();
        let mut record = WaitRecord::begin(thread.track.as_deref(), address);
        let result = lot.wait_observed(
            thread.id,
            key,
            deadline,
            expected,
            load,
            is_relieved,
            &mut record,
        );
        record.end(result);
        let stopped = matches!(result, WaitResult::Cancelled | WaitResult::Deadlock);
        if stopped || thread.is_cancelled() || self.is_ending() {
            return Err(Ended);
        }
        thread.wait_ends();
        if result == WaitResult::NotEqual {
            thread.counters.waits_not_equal.add(1);
        }
        Ok(result)
    }
}
