//! Two threads that wake each other in turn: the price of a sleep and a wake-up.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, Thread};

use crate::{Measured, share, timed};

/// A word on a cache line of its own: whose turn it is, 0 or 1.
#[derive(Default)]
#[repr(align(128))]
struct Turn(AtomicU32);

/// One operation: a round trip of one pair on a bare futex word. There are
/// `threads / 2` pairs. As wasm this is `ping-pong.wat`: stable Rust has no wait
/// and notify there.
#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
pub(crate) fn wait_notify(threads: u32, iterations: u64) -> Measured {
    use crate::futex;
    let sleep = |turn: &AtomicU32, _pair: usize, _side: u32, other: u32| futex::wait(turn, other);
    let wake = |turn: &AtomicU32, _pair: usize, _other: u32| futex::wake_one(turn);
    ping_pong(threads, iterations, |_, _| {}, sleep, wake)
}

/// One operation: a round trip of one pair with `thread::park` and `unpark`. There
/// are `threads / 2` pairs.
pub(crate) fn park(threads: u32, iterations: u64) -> Measured {
    let players: Vec<[OnceLock<Thread>; 2]> = (0..threads.div_ceil(2))
        .map(|_| Default::default())
        .collect();
    let enter = |pair: usize, side: u32| {
        players[pair][side as usize].get_or_init(thread::current);
    };
    let sleep = |_: &AtomicU32, _: usize, _: u32, _: u32| thread::park();
    // The other one enters before its first turn, but perhaps later than we do.
    let wake =
        |_: &AtomicU32, pair: usize, other: u32| players[pair][other as usize].wait().unpark();
    ping_pong(threads, iterations, enter, sleep, wake)
}

/// The game: side 0 serves, side 1 returns, each sleeping while it is the other's
/// turn. `sleep` may return too early; `wake` comes after the turn was passed.
fn ping_pong(
    threads: u32,
    iterations: u64,
    enter: impl Fn(usize, u32) + Sync,
    sleep: impl Fn(&AtomicU32, usize, u32, u32) + Sync,
    wake: impl Fn(&AtomicU32, usize, u32) + Sync,
) -> Measured {
    let pairs = (threads / 2).max(1);
    let turns: Vec<Turn> = (0..pairs).map(|_| Turn::default()).collect();
    let (elapsed, answer) = timed(2 * pairs, |index| {
        let (pair, side) = ((index / 2) as usize, index % 2);
        let (turn, other) = (&turns[pair].0, 1 - side);
        enter(pair, side);
        let mut returned = 0;
        for _ in 0..share(iterations, pairs, index / 2) {
            // Ordering: acquires what the other's store of the turn released.
            while turn.load(Ordering::Acquire) != side {
                sleep(turn, pair, side, other);
            }
            returned += u64::from(side);
            // Ordering: pairs with the load above, on the other side.
            turn.store(other, Ordering::Release);
            wake(turn, pair, other);
        }
        returned
    });
    Measured::new(elapsed, iterations, answer)
}
