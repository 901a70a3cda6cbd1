//! How much memory an allocator needs for what lives in it.

use std::sync::OnceLock;

use threadwork_workloads::Measured;

use crate::raw::{Rival, fill};

static BEFORE: OnceLock<u64> = OnceLock::new();

/// Remembers what the program weighs by itself.
pub(crate) fn start() {
    BEFORE.get_or_init(memory);
}

/// The size of the linear memory.
#[cfg(target_family = "wasm")]
fn memory() -> u64 {
    core::arch::wasm32::memory_size::<0>() as u64 * 65_536
}

/// Resident memory, where the system says so.
#[cfg(not(target_family = "wasm"))]
fn memory() -> u64 {
    let pages = || -> Option<u64> {
        let line = std::fs::read_to_string("/proc/self/statm").ok()?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    pages().unwrap_or_default() * 4_096
}

/// Memory that was added since the program began, for each byte that lives: linear
/// memory in WebAssembly, resident memory natively. (The blocks of one thread are live when
/// the next one starts, so that the threads' stacks are in it.)
pub(crate) fn footprint<R: Rival>(threads: u32, iterations: u64) -> Measured {
    start();
    let (now, live) = fill::<R>(threads, iterations, memory);
    let before = BEFORE.get().copied().unwrap_or_default();
    Measured {
        ns_per_op: now.saturating_sub(before).max(1) as f64 / live as f64,
        answer: live,
    }
}
