//! Whether spinning has paid lately, for each thread, and so for how long to try.
//!
//! Nobody tells a thread how busy the machine is, nor where the system runs the one that
//! it waits for: two that share a core never answer within a spin. So each thread
//! remembers how its last spins ended. One whose spins have failed goes to sleep at once,
//! but for a trial now and then, ever more rarely.
//!
//! A trial is longer than a spin: if both sides sleep, each answer takes as long as
//! a wake-up across cores, 25 to 50 microseconds on the machines we measured. Only
//! who waits longer than that finds out that the other side could be quick, and
//! once both are awake, both are.
//!
//! A trial by one side helps only if the other one looks up, too, before it falls asleep.
//! Where whoever wakes a sleeper can say on which core it ran ([`woken`]), two refinements
//! follow. A thread whose spins fail, but whose partner has a core of its own, looks
//! briefly each time, so that one side's trial wakes both. And two that share a core, as systems
//! in virtual machines are apt to place them, can be told apart from two that are slow:
//! [`wants_move`]. Where there are more threads than cores spinning seldom pays, and trials
//! become rarer still.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread_local;
use std::time::Duration;

/// How long a wake-up across cores takes, until one has been measured, and the bounds of
/// what is believed.
const WAKE_UP: Duration = Duration::from_micros(20);
const SHORTEST_WAKE_UP: Duration = Duration::from_micros(10);
const LONGEST_WAKE_UP: Duration = Duration::from_micros(100);

/// How long a thread looks whose spins fail, but whose partner runs on another core: a small part
/// of the sleep that follows, and long enough to meet one that is awake.
const BRIEF: Duration = Duration::from_micros(5);

/// The best score; a fresh thread starts there.
const BEST: i8 = 6;

/// What a spin that succeeds is worth.
const GAIN: i8 = 2;

/// What a spin that fails costs: a few of them in a row end the spinning.
const LOSS: i8 = 2;

/// Waits without a spin before the first trial, and at most before any.
const FIRST_PAUSE: u16 = 2;
const LONGEST_PAUSE: u16 = 64;
const LONGEST_PAUSE_IN_CROWD: u16 = 1024;

/// Trials in a row after a move: the other side has to wake up once before it can answer
/// quickly.
const TRIALS_AFTER_MOVE: u8 = 3;

#[derive(Clone, Copy)]
struct SpinHistory {
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

impl SpinHistory {
    /// Before a trial.
    fn longest_pause(&self) -> u16 {
        match self.waker {
            Some(Waker::InCrowd) => LONGEST_PAUSE_IN_CROWD,
            _ => LONGEST_PAUSE,
        }
    }
}

/// How long wake-ups across cores take here, in nanoseconds: an average of late ones.
static WAKE_UP_NANOS: AtomicU32 = AtomicU32::new(WAKE_UP.as_nanos() as u32);

/// How long a thread spins whose spins succeed: as long as a wake-up takes, and so at most twice the
/// best possible.
fn spin() -> Duration {
    // Ordering: Relaxed, here and below; a hint.
    Duration::from_nanos(WAKE_UP_NANOS.load(Ordering::Relaxed).into())
}

/// How long a trial takes: until a partner has been woken, and has answered.
fn trial() -> Duration {
    (3 * spin()).max(Duration::from_micros(100))
}

thread_local! {
    static HISTORY: Cell<SpinHistory> = const {
        Cell::new(SpinHistory {
            score: BEST,
            left: FIRST_PAUSE,
            pause: FIRST_PAUSE,
            waker: None,
            trials: 0,
            moved: false,
        })
    };
}

/// Changes the calling thread's history.
fn update<R>(change: impl FnOnce(&mut SpinHistory) -> R) -> R {
    HISTORY.with(|cell| {
        let mut history = cell.get();
        let result = change(&mut history);
        cell.set(history);
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
/// use threadwork_sync::spin_history;
///
/// fn spin_for(done: impl Fn() -> bool) -> bool {
///     let Some(budget) = spin_history::budget() else {
///         return done();
///     };
///     let start = Instant::now();
///     while !done() && start.elapsed() < budget {
///         std::hint::spin_loop();
///     }
///     spin_history::record(done());
///     done()
/// }
/// assert!(spin_for(|| true));
/// ```
pub fn budget() -> Option<Duration> {
    update(|history| {
        if history.score > 0 {
            Some(spin())
        } else if history.trials > 0 {
            history.trials -= 1;
            Some(trial())
        } else if history.left > 0 {
            history.left -= 1;
            (history.waker == Some(Waker::OnAnotherCore)).then_some(BRIEF)
        } else {
            history.left = history.pause;
            history.pause = (history.pause * 2).min(history.longest_pause());
            Some(trial())
        }
    })
}

/// How the spin ended that [`budget`] allowed. True if it shows that a [move](moved) has
/// paid: once for each.
pub fn record(success: bool) -> bool {
    update(|history| {
        if success {
            history.score = (history.score + GAIN).min(BEST);
            history.pause = FIRST_PAUSE;
            return std::mem::take(&mut history.moved);
        }
        history.score = (history.score - LOSS).max(0);
        history.moved &= history.trials > 0;
        false
    })
}

/// Where the thread ran that has just ended a sleep of the calling thread, and how long ago
/// it did. Optional: who cannot tell does not call it.
pub fn woken(by: Waker, ago: Duration) {
    if by == Waker::OnAnotherCore {
        let ago = ago.clamp(SHORTEST_WAKE_UP, LONGEST_WAKE_UP).as_nanos() as u32;
        let average = WAKE_UP_NANOS.load(Ordering::Relaxed);
        WAKE_UP_NANOS.store(average - average / 8 + ago / 8, Ordering::Relaxed);
    }
    update(|history| {
        history.waker = Some(by);
        history.left = history.left.min(history.longest_pause());
    });
}

/// Whether the calling thread is about to make a trial that cannot succeed, because its
/// waker ran on the very core that it runs on now. If there are cores to spare it should
/// go to another one first, and say so with [`moved`].
#[must_use]
pub fn wants_move() -> bool {
    let history = HISTORY.with(Cell::get);
    let on_trial = history.score == 0 && history.trials == 0 && history.left == 0;
    on_trial && history.waker == Some(Waker::OnThisCore)
}

/// The calling thread has gone to another core, as [`wants_move`] asked.
pub fn moved() {
    update(|history| {
        history.waker = Some(Waker::OnAnotherCore);
        history.trials = TRIALS_AFTER_MOVE;
        history.moved = true;
        history.left = history.pause;
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a thread, and so with a history, of its own.
    fn on_a_fresh_thread(test: impl FnOnce() + Send) {
        std::thread::scope(|scope| {
            scope.spawn(test);
        });
    }

    fn fail() {
        assert!(budget().is_some_and(|budget| budget > BRIEF));
        assert!(!record(false));
    }

    fn spins_fail() {
        (0..3).for_each(|_| fail());
    }

    /// Waits without a spin until there is one again.
    fn sleeps() -> u16 {
        let mut sleeps = 0;
        while budget().is_none() {
            sleeps += 1;
        }
        sleeps
    }

    #[test]
    fn whose_spins_fail_tries_ever_more_rarely() {
        on_a_fresh_thread(|| {
            spins_fail();
            for expected in [2, 2, 4, 8, 16, 32, 64, 64] {
                assert_eq!(sleeps(), expected);
                record(false);
            }
        });
    }

    #[test]
    fn and_more_rarely_still_in_a_crowd() {
        on_a_fresh_thread(|| {
            spins_fail();
            woken(Waker::InCrowd, Duration::ZERO);
            for expected in [2, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024] {
                assert_eq!(sleeps(), expected);
                record(false);
            }
            assert_eq!(budget(), None);
            woken(Waker::OnThisCore, Duration::ZERO);
            assert_eq!(sleeps(), 64, "the crowd has gone");
        });
    }

    #[test]
    fn a_partner_on_another_core_is_looked_for_each_time() {
        on_a_fresh_thread(|| {
            spins_fail();
            woken(Waker::OnAnotherCore, Duration::ZERO);
            assert_eq!(budget(), Some(BRIEF));
            record(true);
            fail();
        });
    }

    #[test]
    fn a_trial_on_the_waker_s_core_asks_for_a_move() {
        on_a_fresh_thread(|| {
            spins_fail();
            woken(Waker::OnThisCore, Duration::ZERO);
            let mut sleeps = 0;
            while !wants_move() {
                assert_eq!(budget(), None);
                sleeps += 1;
            }
            assert_eq!(sleeps, 2);
            moved();
            assert!(!wants_move());
            (0..TRIALS_AFTER_MOVE).for_each(|_| fail());
            assert_eq!(budget(), Some(BRIEF));
            assert!(!record(true), "too late to be the merit of the move");
        });
    }

    #[test]
    fn a_move_pays_once() {
        on_a_fresh_thread(|| {
            spins_fail();
            moved();
            fail();
            assert!(budget().is_some());
            assert!(record(true));
            assert!(!record(true));
        });
    }

    #[test]
    fn spins_last_as_long_as_wake_ups() {
        on_a_fresh_thread(|| {
            (0..100).for_each(|_| woken(Waker::OnAnotherCore, Duration::from_secs(1)));
            assert!(spin() > LONGEST_WAKE_UP / 2);
            assert!(spin() <= LONGEST_WAKE_UP);
            assert!(trial() >= 2 * spin());
        });
    }
}
