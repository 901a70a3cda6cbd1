//! A random case, and what a property is.

use std::fmt::Display;
use std::hint;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;

/// What a case returns: nothing, or what is wrong.
pub(crate) type Check = Result<(), String>;

/// Something that holds in every case.
pub(crate) struct Property {
    pub(crate) name: &'static str,
    /// What holds, in a few words.
    pub(crate) claim: &'static str,
    pub(crate) check: fn(&mut Case<'_>) -> Check,
    /// What can be planted, so that it holds no longer.
    pub(crate) bugs: &'static [&'static str],
}

/// Ends the case, unless the condition holds, with what is wrong.
macro_rules! check {
    ($condition:expr, $($reason:tt)+) => {{
        let holds: bool = $condition;
        if !holds {
            return Err(format!("{}:{}: {}", file!(), line!(), format_args!($($reason)+)));
        }
    }};
}

/// Ends the case unless both are equal.
macro_rules! check_eq {
    ($actual:expr, $expected:expr) => {
        match (&$actual, &$expected) {
            (actual, expected) => {
                check!(
                    actual == expected,
                    "{} is {actual:?}, not {expected:?}",
                    stringify!($actual)
                )
            }
        }
    };
}

/// Makes any error the reason for which a case fails.
pub(crate) trait OrFail<T> {
    /// The value, or the error with what could not be done.
    fn or_fail(self, what: &str) -> Result<T, String>;
}

impl<T, E: Display> OrFail<T> for Result<T, E> {
    fn or_fail(self, what: &str) -> Result<T, String> {
        self.map_err(|error| format!("{what}: {error}"))
    }
}

/// The random choices of one case, and the bug that is planted.
pub(crate) struct Case<'a> {
    random: Random,
    bug: Option<&'a str>,
}

impl<'a> Case<'a> {
    pub(crate) fn new(seed: u64, bug: Option<&'a str>) -> Self {
        Self { random: Random(mix(seed)), bug }
    }

    /// Whether the thing under test is to have this bug.
    pub(crate) fn has_bug(&self, bug: &str) -> bool {
        self.bug == Some(bug)
    }

    /// Runs `work(0)` to `work(threads - 1)`, each on a thread of its own with a
    /// generator of its own, which all begin together. The first failure is that of all.
    pub(crate) fn on_threads(
        &mut self,
        threads: u32,
        work: impl Fn(u32, &mut Random) -> Check + Sync,
    ) -> Check {
        let ready = AtomicU32::new(0);
        thread::scope(|scope| {
            let handles: Vec<_> = (0..threads)
                .map(|index| {
                    let (mut random, ready, work) = (self.fork(), &ready, &work);
                    scope.spawn(move || {
                        ready.fetch_add(1, SeqCst);
                        // Soon: the others are being started. Not for ever: there may be
                        // fewer cores than threads.
                        for _ in 0..10_000 {
                            if ready.load(SeqCst) == threads {
                                break;
                            }
                            hint::spin_loop();
                        }
                        work(index, &mut random)
                    })
                })
                .collect();
            let outcomes: Vec<Check> = handles
                .into_iter()
                .map(|handle| handle.join().unwrap_or_else(|_| Err("a thread panicked".into())))
                .collect();
            outcomes.into_iter().collect()
        })
    }
}

impl std::ops::Deref for Case<'_> {
    type Target = Random;

    fn deref(&self) -> &Random {
        &self.random
    }
}

impl std::ops::DerefMut for Case<'_> {
    fn deref_mut(&mut self) -> &mut Random {
        &mut self.random
    }
}

/// A SplitMix64 generator.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A generator for somebody else.
    pub(crate) fn fork(&mut self) -> Random {
        Random(self.next())
    }

    /// Less than `end`, which is not 0.
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        // The bias of a 32-bit range in 64 bits cannot be seen.
        (self.next() % u64::from(end)) as u32
    }

    /// At least `low`, at most `high`.
    pub(crate) fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high - low + 1)
    }

    /// Once in `n` times.
    pub(crate) fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }

    /// One of several.
    pub(crate) fn pick<'t, T>(&mut self, choices: &'t [T]) -> &'t T {
        &choices[self.below(choices.len() as u32) as usize]
    }

    /// Puts them in a random order.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end as u32 + 1) as usize);
        }
    }

    /// Lets others run for a moment, or not, or for longer.
    pub(crate) fn pause(&mut self) {
        match self.below(8) {
            0 => thread::yield_now(),
            1..4 => {
                for _ in 0..self.below(200) {
                    hint::black_box(());
                    hint::spin_loop();
                }
            }
            _ => {}
        }
    }
}

/// The finalizer of SplitMix64: every input bit changes every output bit.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
