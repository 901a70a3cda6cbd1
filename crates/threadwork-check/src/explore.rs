//! The search: one schedule after the other, until one fails.
//!
//! Invariant: which schedules are tried, and in which order, is decided by the seed and the
//! settings; only where the search stops may depend on time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::execution::{Execution, Inputs, PATIENCE, TICK, execute};
use crate::failure::{Failure, FailureKind};
use crate::minimize::{self, minimize};
use crate::program::Program;
use crate::random::Random;
use crate::replay::{NO_STRATEGY, Replay};
use crate::strategy::{Bounded, Strategy};
use crate::world::End;

/// Every so many schedules one is run again, to see that it does the same.
const CHECK_EVERY: u64 = 100;

/// Executions that compute for ever, each of which takes long, and the search ends.
const MOST_STUCK: u64 = 3;

/// Ways to search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StrategyKind {
    /// Switches at random, with probabilities from 1/2 to 1/64.
    Random,
    /// Probabilistic concurrency testing: random priorities, and up to two changes of them.
    Pct,
    /// Partial-order sampling: random priorities of operations that conflict.
    Pos,
    /// Every schedule with no preemption, then every one with one, and so on.
    Bounded,
}

impl StrategyKind {
    /// All, in the order in which a search takes turns with them.
    pub const ALL: [Self; 4] = [Self::Random, Self::Pct, Self::Pos, Self::Bounded];

    /// The one of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Its name in replay files and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Pct => "pct",
            Self::Pos => "pos",
            Self::Bounded => "bounded",
        }
    }
}

/// A search for a schedule that breaks a program. See the [crate] for an example.
#[derive(Clone, Debug)]
pub struct Explorer {
    program: Program,
    inputs: Inputs,
    schedules: u64,
    time: Option<Duration>,
    strategies: Vec<StrategyKind>,
    expected: Option<Vec<u8>>,
}

/// What a search has found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Report {
    /// Schedules that were tried.
    pub schedules: u64,
    /// Scheduling points in all of them.
    pub steps: u64,
    /// Schedules that took more steps than [`Explorer::steps`] and were given up.
    pub unfinished: u64,
    /// Schedules that were given up since a thread computed for ten seconds of real time without a
    /// scheduling point. After three the search ends.
    pub stuck: u64,
    /// Whether the last schedule was given up since the time of [`Explorer::time`] was over.
    pub is_cut: bool,
    /// Whether there are no other schedules.
    pub is_complete: bool,
    /// Each schedule with at most so many preemptions was tried, and none was given up,
    /// but perhaps a last one with more.
    pub bound: Option<u32>,
    /// How long it took.
    pub time: Duration,
    /// The first failure, if there was one.
    pub failure: Option<Failure>,
}

impl Report {
    /// Schedules that were tried to their end: at which the program fails or does not.
    #[must_use]
    pub fn finished(&self) -> u64 {
        let given_up = self.unfinished + self.stuck + u64::from(self.is_cut);
        self.schedules.saturating_sub(given_up)
    }
}

impl Explorer {
    /// A search of 10,000 schedules, with seed 0, of a program without arguments but its name.
    #[must_use]
    pub fn new(program: &Program) -> Self {
        Self {
            program: program.clone(),
            inputs: Inputs {
                args: vec!["program".to_owned()],
                most_steps: 1_000_000,
                ..Inputs::default()
            },
            schedules: 10_000,
            time: None,
            strategies: StrategyKind::ALL.to_vec(),
            expected: None,
        }
    }

    /// The program's arguments; the first is its name.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.inputs.args = args.into_iter().map(Into::into).collect();
        self
    }

    /// An environment variable; there are no others than are set here.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.inputs.env.push((name.into(), value.into()));
        self
    }

    /// What the program reads from its standard input.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.inputs.stdin = bytes.into();
        self
    }

    /// Decides which schedules are tried, and the program's own random numbers.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.inputs.seed = seed;
        self
    }

    /// Schedules to try at most.
    #[must_use]
    pub fn schedules(mut self, schedules: u64) -> Self {
        self.schedules = schedules;
        self
    }

    /// How long to search at most, in real time. An execution that is under way then is given up.
    /// A failure that was found is made shorter for up to half a minute more.
    #[must_use]
    pub fn time(mut self, time: Duration) -> Self {
        self.time = Some(time);
        self
    }

    /// Scheduling points that one execution may have: 1,000,000 unless set, and at least 1. One that
    /// has more is given up, and counted; but if it has done nothing for half of them, and up to the
    /// last, than let threads look again and again at the same values, it is taken for a livelock.
    #[must_use]
    pub fn steps(mut self, steps: u64) -> Self {
        self.inputs.most_steps = steps.max(1);
        self
    }

    /// The strategies to take turns with: all unless set.
    #[must_use]
    pub fn strategies(mut self, strategies: impl IntoIterator<Item = StrategyKind>) -> Self {
        self.strategies = strategies.into_iter().collect();
        self
    }

    /// What the program has to write to its standard output, whatever the schedule.
    #[must_use]
    pub fn expect_stdout(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.expected = Some(bytes.into());
        self
    }

    /// Searches. Blocks until a schedule fails, all have been tried, or time is over.
    ///
    /// # Errors
    ///
    /// If the program cannot be run like this: see [`Error`].
    pub fn run(&self) -> Result<Report, Error> {
        let _ticks = Ticks::start(&self.program);
        let begun = Instant::now();
        let until = self.time.and_then(|time| begun.checked_add(time));
        let inputs = Arc::new(self.inputs.clone());
        let mut report = Report {
            schedules: 0,
            steps: 0,
            unfinished: 0,
            stuck: 0,
            is_cut: false,
            is_complete: false,
            bound: None,
            time: Duration::ZERO,
            failure: None,
        };
        let mut bounded = Box::<Bounded>::default();
        // Until there is a first execution, nothing is known of how long they are.
        let mut longest = 1;
        for number in 0..self.schedules {
            let is_over = until.is_some_and(|until| Instant::now() >= until);
            if report.is_complete || is_over || report.stuck >= MOST_STUCK {
                break;
            }
            let (kind, round) = self.turn(number);
            let seed = Random::derive(self.inputs.seed, number);
            let strategy = match kind {
                None => Strategy::guided(&[]),
                Some(StrategyKind::Random) => Strategy::Random {
                    bits: 1 + (round % 6) as u32,
                },
                Some(StrategyKind::Pct) => {
                    let depth = 1 + (round % 3) as u32;
                    Strategy::pct(depth, longest, &mut Random::new(!seed))
                }
                Some(StrategyKind::Pos) => Strategy::Pos {
                    priorities: Vec::new(),
                },
                Some(StrategyKind::Bounded) => Strategy::Bounded(std::mem::take(&mut bounded)),
            };
            let mut execution = execute(&self.program, &inputs, strategy, seed, false, until)?;
            report.schedules += 1;
            report.steps += execution.left.steps;
            longest = longest.max(execution.left.steps);
            report.unfinished += u64::from(execution.end == End::StepLimit);
            report.stuck += u64::from(matches!(execution.end, End::Stuck(_)));
            report.is_cut = execution.end == End::OutOfTime;
            if report.is_cut {
                break;
            }
            if number.is_multiple_of(CHECK_EVERY) && !execution.is_cut() {
                self.check(&inputs, &execution, number, until)?;
            }
            if let Some(kind) = self.judge(&execution) {
                let strategy = self.turn(number).0.map_or(NO_STRATEGY, StrategyKind::name);
                report.failure = Some(self.tell(&inputs, &execution, kind, number, strategy)?);
                break;
            }
            if let Strategy::Bounded(search) = &mut execution.left.strategy {
                let before = search.bound();
                report.is_complete = !search.advance() && report.finished() == report.schedules;
                if search.bound() != before {
                    report.bound = Some(before);
                }
                bounded = std::mem::take(search);
            }
        }
        // One that was cut belongs to no bound that was said to be reached.
        if report.unfinished + report.stuck > 0 {
            report.bound = None;
        }
        report.time = begun.elapsed();
        Ok(report)
    }

    /// What the program writes to its standard output when threads switch only where they wait.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run), and if it computes without end.
    pub fn stdout(&self) -> Result<Vec<u8>, Error> {
        let _ticks = Ticks::start(&self.program);
        let inputs = Arc::new(self.inputs.clone());
        let strategy = Strategy::guided(&[]);
        let execution = execute(&self.program, &inputs, strategy, 0, false, None)?;
        stuck(&execution)?;
        Ok(execution.stdout)
    }

    /// Whose turn a schedule is, and how often it has been: the first has no preemptions at all.
    fn turn(&self, number: u64) -> (Option<StrategyKind>, u64) {
        let count = self.strategies.len() as u64;
        let Some(turn) = number.checked_sub(1).filter(|_| count > 0) else {
            return (None, 0);
        };
        let kind = self.strategies.get((turn % count) as usize).copied();
        (kind, turn / count)
    }

    /// Whether an execution is a failure.
    pub(crate) fn judge(&self, execution: &Execution) -> Option<FailureKind> {
        // What comes of a race comes after it.
        if let Some(found) = execution.race.as_ref().filter(|_| !execution.is_cut()) {
            return Some(FailureKind::Race {
                kind: found.kind,
                sites: found.sites,
            });
        }
        Some(match execution.end {
            End::Exit(0) => {
                let expected = self.expected.as_ref()?;
                if *expected == execution.stdout {
                    return None;
                }
                FailureKind::Output
            }
            End::Exit(code) => FailureKind::Exit(code),
            End::Trap(thread) => FailureKind::Trap {
                thread,
                message: execution
                    .trapped
                    .as_ref()
                    .map_or_else(String::new, |trapped| trapped.message.clone()),
            },
            End::Deadlock => FailureKind::Deadlock,
            End::Livelock => FailureKind::Livelock,
            End::StepLimit | End::Stuck(_) | End::OutOfTime => return None,
        })
    }

    /// Runs a schedule again, and compares.
    fn check(
        &self,
        inputs: &Arc<Inputs>,
        first: &Execution,
        number: u64,
        until: Option<Instant>,
    ) -> Result<(), Error> {
        let strategy = Strategy::exact(first.left.choices.clone());
        let second = execute(&self.program, inputs, strategy, 0, false, until)?;
        if second.is_cut() {
            return Ok(());
        }
        match first.end == second.end && first.hash() == second.hash() {
            true => Ok(()),
            false => Err(Error::NotDeterministic { schedule: number }),
        }
    }

    /// Reduces a failure to what it needs, and describes it.
    fn tell(
        &self,
        inputs: &Arc<Inputs>,
        execution: &Execution,
        kind: FailureKind,
        number: u64,
        strategy: &'static str,
    ) -> Result<Failure, Error> {
        let run = |deviations: &[_], trace, until| {
            let strategy = Strategy::guided(deviations);
            execute(&self.program, inputs, strategy, 0, trace, until)
        };
        let until = Instant::now().checked_add(minimize::TIME);
        let fails = |execution: &Execution| {
            self.judge(execution)
                .is_some_and(|other| other.is_like(&kind))
        };
        // Which of those who only spin has a turn makes no difference, but for the clock.
        let all = &execution.left.deviations[..];
        let first = all.get(..execution.left.effective).unwrap_or(all);
        let start = match first.len() < all.len() && fails(&run(first, false, until)?) {
            true => first,
            false => all,
        };
        let needed = minimize(start, |part| Ok(fails(&run(part, false, until)?)))?;
        let shortest = run(&needed, true, None)?;
        stuck(&shortest)?;
        let Some(kind) = self.judge(&shortest) else {
            return Err(Error::NotDeterministic { schedule: number });
        };
        let replay = Replay {
            module: self.program.hash(),
            program: None,
            inputs: self.inputs.clone(),
            expected: self.expected.clone(),
            strategies: self.strategies.clone(),
            strategy: strategy.to_owned(),
            schedule: number,
            failure: kind.name().to_owned(),
            choices: shortest.left.choices.clone(),
            result: shortest.hash(),
        };
        Ok(Failure::new(&self.program, &shortest, kind, replay))
    }

    /// A search with the settings of a replay file.
    pub(crate) fn of(program: &Program, replay: &Replay) -> Self {
        Self {
            inputs: replay.inputs.clone(),
            expected: replay.expected.clone(),
            strategies: replay.strategies.clone(),
            schedules: replay.schedule.saturating_add(1),
            ..Self::new(program)
        }
    }

    /// Runs the schedule of a replay file: the failure, if it is the same.
    pub(crate) fn repeat(&self, replay: &Replay) -> Result<Option<Failure>, Error> {
        let _ticks = Ticks::start(&self.program);
        let until = self.time.and_then(|time| Instant::now().checked_add(time));
        let inputs = Arc::new(self.inputs.clone());
        let run = |trace| {
            let strategy = Strategy::exact(replay.choices.clone());
            execute(&self.program, &inputs, strategy, 0, trace, until)
        };
        // Only what has an end is traced, which takes memory and time.
        if run(false)?.hash() != replay.result {
            return Ok(None);
        }
        let execution = run(true)?;
        let kind = self
            .judge(&execution)
            .filter(|_| execution.hash() == replay.result);
        Ok(kind.map(|kind| Failure::new(&self.program, &execution, kind, replay.clone())))
    }
}

/// Refuses what a thread has computed for too long for.
fn stuck(execution: &Execution) -> Result<(), Error> {
    match execution.end {
        End::Stuck(thread) => Err(Error::Stuck {
            thread,
            time: PATIENCE,
        }),
        _ => Ok(()),
    }
}

/// Has guests looked at from time to time, until it is dropped: see `execution::watch`.
struct Ticks(Arc<AtomicBool>, Option<thread::JoinHandle<()>>);

impl Ticks {
    fn start(program: &Program) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let engine = program.engine().clone();
        let seen = Arc::clone(&is_over);
        let ticks = move || {
            // Ordering: Relaxed; nothing else is handed over.
            while !seen.load(Ordering::Relaxed) {
                thread::park_timeout(TICK);
                engine.increment_epoch();
            }
        };
        // Without it, a guest that computes for ever is not found; all else works.
        Self(is_over, thread::Builder::new().spawn(ticks).ok())
    }
}

impl Drop for Ticks {
    fn drop(&mut self) {
        // Ordering: as above.
        self.0.store(true, Ordering::Relaxed);
        if let Some(thread) = self.1.take() {
            thread.thread().unpark();
            // It does not panic; and if it did, it would be gone, too.
            let _ = thread.join();
        }
    }
}
