//! Whether spinning has paid lately, for each thread, and so for how long to try.
//!
//! Nobody tells a thread how busy the machine is, nor where the system runs the one that
//! it waits for: two that share a core never answer within a spin. So each thread
//! remembers how its last spins ended. One that is out of luck goes to sleep at once, but
//! for a trial now and then, ever more rarely.
//!
//! A trial is longer than a spin: if both sides sleep, each answer takes as long as
//! a wake-up across cores, 25 to 50 microseconds on the machines we measured. Only
//! who waits longer than that finds out that the other side could be quick, and
//! once both are awake, both are.

use std::cell::Cell;
use std::thread_local;
use std::time::Duration;

/// How long a thread in luck spins: about as long as a sleep and a wake-up cost, and
/// so at most twice the best possible.
const SPIN: Duration = Duration::from_micros(20);

/// How long a trial takes.
const TRIAL: Duration = Duration::from_micros(100);

/// The best score; a fresh thread starts there.
const BEST: i8 = 6;

/// What a spin that succeeds is worth.
const GAIN: i8 = 2;

/// What a spin that fails costs: a few of them in a row end the spinning.
const LOSS: i8 = 2;

/// Waits without a spin before the first trial, and at most before any.
const FIRST_PAUSE: u16 = 8;
const LONGEST_PAUSE: u16 = 64;

#[derive(Clone, Copy)]
struct Luck {
    score: i8,
    /// Waits without a spin before the next trial.
    left: u16,
    /// The pause after that trial.
    pause: u16,
}

thread_local! {
    static LUCK: Cell<Luck> = const {
        Cell::new(Luck { score: BEST, left: FIRST_PAUSE, pause: FIRST_PAUSE })
    };
}

/// For how long the calling thread should spin now, if at all. Who does says how it ended
/// with [`record`].
///
/// # Example
///
/// ```
/// use std::time::Instant;
/// use threadwork_sync::luck;
///
/// fn spin_for(done: impl Fn() -> bool) -> bool {
///     let Some(budget) = luck::budget() else {
///         return done();
///     };
///     let start = Instant::now();
///     while !done() && start.elapsed() < budget {
///         std::hint::spin_loop();
///     }
///     luck::record(done());
///     done()
/// }
/// assert!(spin_for(|| true));
/// ```
pub fn budget() -> Option<Duration> {
    LUCK.with(|cell| {
        let mut luck = cell.get();
        let budget = if luck.score > 0 {
            Some(SPIN)
        } else if luck.left > 0 {
            luck.left -= 1;
            None
        } else {
            luck.left = luck.pause;
            luck.pause = (luck.pause * 2).min(LONGEST_PAUSE);
            Some(TRIAL)
        };
        cell.set(luck);
        budget
    })
}

/// How the spin ended that [`budget`] allowed.
pub fn record(success: bool) {
    LUCK.with(|cell| {
        let mut luck = cell.get();
        if success {
            luck.score = (luck.score + GAIN).min(BEST);
            luck.pause = FIRST_PAUSE;
        } else {
            luck.score = (luck.score - LOSS).max(0);
        }
        cell.set(luck);
    });
}
