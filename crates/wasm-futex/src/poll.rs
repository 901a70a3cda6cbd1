//! Waiting without blocking.
//!
//! A thread that may not block watches the word. Nobody sees it wait: no notify counts
//! or wakes it. It ends when the word changes or the time is over.

use core::time::Duration;

use crate::{WaitResult, now};

/// Watches until `changed` or until the timeout.
#[cold]
pub(crate) fn wait(changed: impl Fn() -> bool, timeout: Option<Duration>) -> WaitResult {
    let mut limit = Limit::new(timeout);
    let mut round = 0;
    loop {
        if changed() {
            return WaitResult::NotEqual;
        }
        if limit.is_reached() {
            return WaitResult::TimedOut;
        }
        pause(round);
        round += 1;
    }
}

/// When to give up.
enum Limit {
    Never,
    At(Duration),
    /// Without a clock: how many more polls to make.
    Polls(u64),
}

/// What a poll is taken to last where there is no clock, in nanoseconds. On x86 it lasts
/// several times as long, and fences are cheaper elsewhere: a timeout is rather late than
/// early.
const POLL_NANOSECONDS: u128 = 50;

impl Limit {
    fn new(timeout: Option<Duration>) -> Self {
        let Some(timeout) = timeout else {
            return Self::Never;
        };
        match now() {
            Some(now) => now.checked_add(timeout).map_or(Self::Never, Self::At),
            None => u64::try_from(timeout.as_nanos().div_ceil(POLL_NANOSECONDS))
                .map_or(Self::Never, Self::Polls),
        }
    }

    fn is_reached(&mut self) -> bool {
        match self {
            Self::Never => false,
            Self::At(deadline) => now().is_some_and(|now| now >= *deadline),
            Self::Polls(0) => true,
            Self::Polls(left) => {
                *left -= 1;
                false
            }
        }
    }
}

/// Leaves the word alone for a while.
#[cfg(target_family = "wasm")]
fn pause(_round: u32) {
    // `spin_loop` compiles to nothing on WebAssembly. A fence is an instruction that takes
    // 20 to 30 ns on x86 and touches no memory that another thread needs.
    for turn in 0..16 {
        // Ordering: it orders nothing that matters; it is there for the time it takes.
        core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
        // Keeps the compiler from merging the fences.
        core::hint::black_box(turn);
    }
}

/// Leaves the word alone for a while: longer each time, then gives the processor away.
#[cfg(not(target_family = "wasm"))]
fn pause(round: u32) {
    const SPINS: u32 = 6;
    if round < SPINS {
        for _ in 0..1 << round {
            core::hint::spin_loop();
        }
    } else {
        std::thread::yield_now();
    }
}
