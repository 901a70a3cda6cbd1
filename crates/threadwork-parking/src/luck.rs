//! Whether spinning has paid lately, for each thread.
//!
//! The count of runnable threads in [`Cores`](crate::Cores) knows nothing of other
//! programs on the machine, nor of a program whose threads never answer within a
//! spin. So each thread remembers how its last spins ended. A thread out of luck
//! goes to sleep at once, but for a trial now and then.

use std::cell::Cell;
use std::thread_local;

/// The best score; a fresh thread starts there.
const BEST: i8 = 6;

/// What a spin that failed costs: a few of them in a row end the spinning.
const LOSS: i8 = 2;

/// While out of luck, one spin in so many is a trial.
const TRIAL: u8 = 16;

#[derive(Clone, Copy)]
struct Luck {
    score: i8,
    skipped: u8,
}

thread_local! {
    static LUCK: Cell<Luck> = const { Cell::new(Luck { score: BEST, skipped: 0 }) };
}

/// Whether the calling thread should spin now.
pub(crate) fn try_it() -> bool {
    LUCK.with(|luck| {
        let Luck { score, skipped } = luck.get();
        let trial = skipped >= TRIAL;
        let skipped = if score > 0 || trial { 0 } else { skipped + 1 };
        luck.set(Luck { score, skipped });
        score > 0 || trial
    })
}

/// How the spin ended.
pub(crate) fn record(success: bool) {
    LUCK.with(|luck| {
        let Luck { score, skipped } = luck.get();
        let score = match success {
            true => (score + 1).min(BEST),
            false => (score - LOSS).max(0),
        };
        luck.set(Luck { score, skipped });
    });
}
