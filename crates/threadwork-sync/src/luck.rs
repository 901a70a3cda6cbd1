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
//!
//! A trial by one side helps only if the other one looks up, too, before it falls asleep.
//! Where whoever wakes a sleeper can say on which core it ran ([`woken`]), two refinements
//! follow. A thread out of luck whose partner has a core of its own looks [briefly](BRIEF)
//! each time, so that one side's trial wakes both. And two that share a core, as systems
//! in virtual machines are apt to place them, can be told apart from two that are slow:
//! [`wants_move`]. Where there are more threads than cores spinning seldom pays, and trials
//! become rarer still.

use std::cell::Cell;
use std::thread_local;
use std::time::Duration;

/// How long a thread in luck spins: about as long as a sleep and a wake-up cost, and
/// so at most twice the best possible.
const SPIN: Duration = Duration::from_micros(20);

/// How long a trial takes.
const TRIAL: Duration = Duration::from_micros(100);

/// How long a thread out of luck looks whose partner runs on another core: a small part
/// of the sleep that follows, and long enough to meet one that is awake.
const BRIEF: Duration = Duration::from_micros(5);

/// The best score; a fresh thread starts there.
const BEST: i8 = 6;

/// What a spin that succeeds is worth.
const GAIN: i8 = 2;

/// What a spin that fails costs: a few of them in a row end the spinning.
const LOSS: i8 = 2;

/// Waits without a spin before the first trial, and at most before any.
const FIRST_PAUSE: u16 = 8;
const LONGEST_PAUSE: u16 = 64;
const LONGEST_PAUSE_IN_CROWD: u16 = 1024;

/// Trials in a row after a move: the other side has to wake up once before it can answer
/// quickly.
const TRIALS_AFTER_MOVE: u8 = 3;

#[derive(Clone, Copy)]
struct Luck {
    score: i8,
    /// Waits without a spin before the next trial.
    left: u16,
    /// The pause after that trial.
    pause: u16,
    /// Where the last sleep's waker ran, if it said so.
    waker: Option<Waker>,
    /// Trials that the last move still grants.
    trials: u8,
    /// It has moved, and not met its partner since.
    moved: bool,
}

/// Where the thread ran that ended a sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waker {
    /// The one on which the woken thread runs now.
    OnThisCore,
    /// Another one.
    OnAnotherCore,
    /// Wherever; there are more threads with work than cores.
    InCrowd,
}

impl Luck {
    /// Before a trial.
    fn longest_pause(&self) -> u16 {
        match self.waker {
            Some(Waker::InCrowd) => LONGEST_PAUSE_IN_CROWD,
            _ => LONGEST_PAUSE,
        }
    }
}

thread_local! {
    static LUCK: Cell<Luck> = const {
        Cell::new(Luck {
            score: BEST,
            left: FIRST_PAUSE,
            pause: FIRST_PAUSE,
            waker: None,
            trials: 0,
            moved: false,
        })
    };
}

/// Changes the calling thread's luck.
fn update<R>(change: impl FnOnce(&mut Luck) -> R) -> R {
    LUCK.with(|cell| {
        let mut luck = cell.get();
        let result = change(&mut luck);
        cell.set(luck);
        result
    })
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
    update(|luck| {
        if luck.score > 0 {
            Some(SPIN)
        } else if luck.trials > 0 {
            luck.trials -= 1;
            Some(TRIAL)
        } else if luck.left > 0 {
            luck.left -= 1;
            (luck.waker == Some(Waker::OnAnotherCore)).then_some(BRIEF)
        } else {
            luck.left = luck.pause;
            luck.pause = (luck.pause * 2).min(luck.longest_pause());
            Some(TRIAL)
        }
    })
}

/// How the spin ended that [`budget`] allowed. True if it shows that a [move](moved) has
/// paid: once for each.
pub fn record(success: bool) -> bool {
    update(|luck| {
        if success {
            luck.score = (luck.score + GAIN).min(BEST);
            luck.pause = FIRST_PAUSE;
            return std::mem::take(&mut luck.moved);
        }
        luck.score = (luck.score - LOSS).max(0);
        luck.moved &= luck.trials > 0;
        false
    })
}

/// Where the thread ran that has just ended a sleep of the calling thread. Optional: who
/// cannot tell does not call it.
pub fn woken(by: Waker) {
    update(|luck| {
        luck.waker = Some(by);
        luck.left = luck.left.min(luck.longest_pause());
    });
}

/// Whether the calling thread is about to make a trial that cannot succeed, because its
/// waker ran on the very core that it runs on now. If there are cores to spare it should
/// go to another one first, and say so with [`moved`].
#[must_use]
pub fn wants_move() -> bool {
    let luck = LUCK.with(Cell::get);
    let on_trial = luck.score == 0 && luck.trials == 0 && luck.left == 0;
    on_trial && luck.waker == Some(Waker::OnThisCore)
}

/// The calling thread has gone to another core, as [`wants_move`] asked.
pub fn moved() {
    update(|luck| {
        luck.waker = Some(Waker::OnAnotherCore);
        luck.trials = TRIALS_AFTER_MOVE;
        luck.moved = true;
        luck.left = luck.pause;
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets so many spins fail.
    fn fail(spins: u32) {
        for _ in 0..spins {
            assert!(budget().is_some());
            record(false);
        }
    }

    /// On a thread, and so with a luck, of its own.
    fn with_fresh_luck(test: impl FnOnce() + Send) {
        std::thread::scope(|scope| {
            scope.spawn(test);
        });
    }

    fn out_of_luck() {
        fail(3);
        assert_eq!(budget(), None);
    }

    #[test]
    fn who_is_out_of_luck_tries_ever_more_rarely() {
        with_fresh_luck(|| {
            out_of_luck();
            let mut sleeps = 1;
            for expected in [8, 8, 16, 32, 64, 64] {
                while budget().is_none() {
                    sleeps += 1;
                }
                record(false);
                assert_eq!(sleeps, expected);
                sleeps = 0;
            }
        });
    }

    #[test]
    fn a_partner_on_another_core_is_looked_for_each_time() {
        with_fresh_luck(|| {
            out_of_luck();
            woken(Waker::OnAnotherCore);
            assert_eq!(budget(), Some(BRIEF));
            record(true);
            assert_eq!(budget(), Some(SPIN));
        });
    }

    #[test]
    fn a_trial_on_the_waker_s_core_asks_for_a_move() {
        with_fresh_luck(|| {
            out_of_luck();
            woken(Waker::OnThisCore);
            let mut sleeps = 1;
            while !wants_move() {
                assert_eq!(budget(), None);
                sleeps += 1;
            }
            assert_eq!(sleeps, 8);
            moved();
            assert!(!wants_move());
            for _ in 0..TRIALS_AFTER_MOVE {
                assert_eq!(budget(), Some(TRIAL));
                record(false);
            }
            assert_eq!(budget(), Some(BRIEF));
            assert!(!record(true), "too late to be the merit of the move");
        });
    }

    #[test]
    fn a_move_pays_once() {
        with_fresh_luck(|| {
            out_of_luck();
            moved();
            assert_eq!(budget(), Some(TRIAL));
            assert!(!record(false));
            assert_eq!(budget(), Some(TRIAL));
            assert!(record(true));
            assert!(!record(true));
        });
    }
}
