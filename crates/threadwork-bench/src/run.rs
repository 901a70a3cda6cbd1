//! How a case is measured: rounds, in each of which every contestant gives one
//! sample, in an order that changes.

use std::time::Instant;

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::case::{Bound, Case, Checker, Contestant, Goal, Sample, Unit};
use crate::cpu;
use crate::statistics::{Summary, ratios};

/// How long, and in which order.
#[derive(Clone, Debug, Serialize)]
pub struct Options {
    /// Rounds that count.
    pub rounds: u32,
    /// Rounds before them, whose values are thrown away. Their answers are checked.
    pub warm_up: u32,
    /// Of the order.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            rounds: 20,
            warm_up: 2,
            seed: 20_261_122,
        }
    }
}

impl Options {
    /// For a smoke test.
    pub fn quick() -> Self {
        Options {
            rounds: 3,
            warm_up: 1,
            ..Options::default()
        }
    }
}

/// What came out of a case.
#[derive(Clone, Debug, Serialize)]
pub struct CaseReport {
    /// The name of the case.
    pub name: String,
    /// What the values are.
    pub unit: Unit,
    /// Against whom the ratios are.
    pub baseline: String,
    /// Why there is no result, if there is none.
    pub failure: Option<String>,
    /// In the order of the case.
    pub contestants: Vec<ContestantReport>,
    /// In the order of the case.
    pub goals: Vec<GoalReport>,
}

/// What one contestant did.
#[derive(Clone, Debug, Serialize)]
pub struct ContestantReport {
    /// Its name.
    pub name: String,
    /// Why it did not take part.
    pub unavailable: Option<String>,
    /// Of the values, if the case has a result.
    pub value: Option<Summary>,
    /// Of the ratios to the baseline, round by round.
    pub ratio: Option<Summary>,
    /// CPU time of a sample in nanoseconds, if the case asks for it.
    pub cpu_ns: Option<Summary>,
    /// All samples, one for each round.
    pub samples: Vec<Measurement>,
}

impl ContestantReport {
    fn values(&self) -> Vec<f64> {
        self.samples.iter().map(|sample| sample.value).collect()
    }
}

/// A sample, with what the harness measured around it.
#[derive(Clone, Debug, Serialize)]
pub struct Measurement {
    /// The cost, in the unit of the case.
    pub value: f64,
    /// What the work computed.
    pub answer: Option<String>,
    /// Wall time of the whole sample in nanoseconds.
    pub wall_ns: u64,
    /// CPU time of the whole sample in nanoseconds, if the case asks for it.
    pub cpu_ns: Option<u64>,
}

/// A goal, and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct GoalReport {
    /// The goal.
    #[serde(flatten)]
    pub goal: Goal,
    /// The median of what the goal bounds: a ratio, a difference or a value.
    pub measured: Option<f64>,
    /// `None` if somebody whom it takes did not take part, or the case failed.
    pub reached: Option<bool>,
}

/// Measures a case. `progress` is called before each round, with its number; the
/// warm-up counts.
pub fn case(case: Case, options: &Options, progress: &mut dyn FnMut(u32)) -> CaseReport {
    let mut report = CaseReport {
        name: case.name.clone(),
        unit: case.unit,
        baseline: case.baseline_name(),
        failure: None,
        contestants: Vec::new(),
        goals: Vec::new(),
    };
    let mut ready: Vec<(usize, Box<dyn Contestant>)> = Vec::new();
    let mut answers = Answers {
        first: None,
        checker: case.checker,
    };
    for (index, (name, setup)) in case.contestants.into_iter().enumerate() {
        let contestant = setup();
        let unavailable = contestant.as_ref().err().map(|error| format!("{error:#}"));
        ready.extend(contestant.ok().map(|contestant| (index, contestant)));
        report.contestants.push(ContestantReport {
            name,
            unavailable,
            value: None,
            ratio: None,
            cpu_ns: None,
            samples: Vec::new(),
        });
    }
    'rounds: for round in 0..options.warm_up + options.rounds {
        progress(round);
        for position in order(options.seed, round, ready.len()) {
            let (index, contestant) = &mut ready[position];
            let entry = &mut report.contestants[*index];
            let measured = measure(contestant.as_mut(), case.cpu_time)
                .and_then(|measured| answers.check(&entry.name, &measured).map(|()| measured));
            match measured {
                Ok(measured) if round >= options.warm_up => entry.samples.push(measured),
                Ok(_) => {}
                Err(error) => {
                    report.failure = Some(format!("{}: {error:#}", entry.name));
                    break 'rounds;
                }
            }
        }
    }
    summarize(&mut report);
    report.goals = case
        .goals
        .into_iter()
        .map(|goal| judge(&report, goal))
        .collect();
    report
}

/// The order of a round, as a permutation of `0..count`.
///
/// In every block of `count` rounds each contestant has each position once (the
/// rows of a Latin square); each block starts from another shuffle, so that the
/// predecessors change too.
pub fn order(seed: u64, round: u32, count: usize) -> Vec<usize> {
    if count == 0 {
        return Vec::new();
    }
    let (block, turn) = (round as usize / count, round as usize % count);
    // splitmix64, on a stream of its own for each block
    let mut state = seed ^ (block as u64).wrapping_mul(0xd134_2543_de82_ef95);
    let mut random = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, (random() % (last as u64 + 1)) as usize);
    }
    order.rotate_left(turn);
    order
}

fn measure(contestant: &mut dyn Contestant, cpu_time: bool) -> Result<Measurement> {
    let process = contestant.process();
    let cpu_before = if cpu_time { cpu::time(process) } else { None };
    let start = Instant::now();
    let Sample { value, answer } = contestant.sample()?;
    let wall = start.elapsed();
    let cpu = cpu_before.and_then(|before| Some(cpu::time(process)?.saturating_sub(before)));
    ensure!(
        value.is_finite() && value > 0.0,
        "measured {value}, which is not a cost"
    );
    Ok(Measurement {
        value,
        answer,
        wall_ns: wall.as_nanos() as u64,
        cpu_ns: cpu.map(|cpu| cpu.as_nanos() as u64),
    })
}

/// Who said what first, if no checker says what is right.
struct Answers {
    first: Option<(String, String)>,
    checker: Option<Checker>,
}

impl Answers {
    fn check(&mut self, name: &str, measured: &Measurement) -> Result<()> {
        let Some(answer) = &measured.answer else {
            return Ok(());
        };
        if let Some(checker) = &self.checker {
            return checker(answer)
                .map_err(|wrong| anyhow::anyhow!("wrong answer {answer}: {wrong}"));
        }
        let (first, expected) = self
            .first
            .get_or_insert_with(|| (name.to_string(), answer.clone()));
        ensure!(
            answer == expected,
            "answer {answer}, but {first} answered {expected}"
        );
        Ok(())
    }
}

fn summarize(report: &mut CaseReport) {
    if report.failure.is_some() {
        return;
    }
    let baseline = report
        .contestants
        .iter()
        .find(|entry| entry.name == report.baseline);
    let baseline = baseline.map(ContestantReport::values).unwrap_or_default();
    for entry in &mut report.contestants {
        let values = entry.values();
        entry.ratio = Summary::of(ratios(&values, &baseline));
        entry.value = Summary::of(values);
        entry.cpu_ns = Summary::of(
            entry
                .samples
                .iter()
                .filter_map(|s| s.cpu_ns)
                .map(|ns| ns as f64),
        );
    }
}

fn judge(report: &CaseReport, goal: Goal) -> GoalReport {
    let values = |name: &str| {
        let entry = report.contestants.iter().find(|entry| entry.name == name);
        entry
            .filter(|_| report.failure.is_none())
            .map(ContestantReport::values)
            .unwrap_or_default()
    };
    let own = values(&goal.contestant);
    let (measured, at_most) = match &goal.bound {
        Bound::Ratio { at_most, against } => (ratios(&own, &values(against)), *at_most),
        Bound::Difference { at_most, against } => {
            let other = values(against);
            let differences = own.iter().zip(&other).map(|(own, other)| own - other);
            (differences.collect(), *at_most)
        }
        Bound::Value { at_most } => (own, *at_most),
    };
    let measured = Summary::of(measured).map(|summary| summary.median);
    GoalReport {
        reached: measured.map(|measured| measured <= at_most),
        measured,
        goal,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use anyhow::bail;

    use super::*;

    fn constant(value: f64, answer: u64) -> Result<Box<dyn Contestant>> {
        Ok(Box::new(move || Ok(Sample::new(value).answer(answer))))
    }

    fn run(case: Case) -> CaseReport {
        super::case(case, &Options::default(), &mut |_| ())
    }

    #[test]
    fn each_contestant_has_each_position_equally_often() {
        let mut seen = [[0; 3]; 3];
        for round in 0..30 {
            for (position, who) in order(1, round, 3).into_iter().enumerate() {
                seen[who][position] += 1;
            }
        }
        assert_eq!(seen, [[10; 3]; 3]);
    }

    #[test]
    fn the_order_is_fixed_by_the_seed_and_changes_between_blocks() {
        let rounds = |seed| {
            (0..60)
                .map(|round| order(seed, round, 4))
                .collect::<Vec<_>>()
        };
        assert_eq!(rounds(1), rounds(1));
        assert_ne!(rounds(1), rounds(2));
        let cycles: std::collections::HashSet<_> =
            (0..15).map(|block| order(1, block * 4, 4)).collect();
        assert!(cycles.len() > 5, "{cycles:?}");
    }

    #[test]
    fn contestants_are_interleaved() {
        let log = Rc::new(RefCell::new(Vec::new()));
        let mut case = Case::new("case", Unit::Nanoseconds);
        for index in 0..3_usize {
            let log = log.clone();
            case = case.contestant(index.to_string(), move || {
                Ok(Box::new(move || {
                    log.borrow_mut().push(index);
                    Ok(Sample::new(1.0))
                }))
            });
        }
        let options = Options {
            rounds: 4,
            warm_up: 2,
            seed: 7,
        };
        let report = super::case(case, &options, &mut |_| ());
        let expected: Vec<usize> = (0..6).flat_map(|round| order(7, round, 3)).collect();
        assert_eq!(*log.borrow(), expected);
        assert!(
            report
                .contestants
                .iter()
                .all(|entry| entry.samples.len() == 4)
        );
    }

    #[test]
    fn goals_are_judged_by_the_ratio() {
        let report = run(Case::new("case", Unit::Nanoseconds)
            .contestant("native", || constant(100.0, 1))
            .contestant("wasm", || constant(20.0, 1))
            .contestant("absent", || bail!("not here"))
            .goal(Goal::better("wasm", 5.0, "native"))
            .goal(Goal::better("wasm", 6.0, "native"))
            .goal(Goal::at_most("native", 5.0, "wasm"))
            .goal(Goal::at_most("absent", 5.0, "wasm"))
            .goal(Goal::under("wasm", 20.0))
            .goal(Goal::under("wasm", 19.0))
            .goal(Goal::within("native", 80.0, "wasm"))
            .goal(Goal::within("native", 79.0, "wasm")));
        let reached: Vec<_> = report.goals.iter().map(|goal| goal.reached).collect();
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(reached, [yes, no, yes, None, yes, no, yes, no]);
        assert_eq!(report.contestants[1].ratio.unwrap().median, 0.2);
    }

    #[test]
    fn an_unavailable_contestant_is_reported_and_the_others_run() {
        let report = run(Case::new("case", Unit::Nanoseconds)
            .contestant("native", || constant(1.0, 1))
            .contestant("absent", || bail!("no such runtime")));
        assert_eq!(report.failure, None);
        assert_eq!(
            report.contestants[1].unavailable.as_deref(),
            Some("no such runtime")
        );
        assert_eq!(report.contestants[0].samples.len(), 20);
    }

    #[test]
    fn without_a_baseline_there_are_values_but_no_ratios() {
        let report = run(Case::new("case", Unit::Nanoseconds)
            .contestant("native", || bail!("no native"))
            .contestant("wasm", || constant(1.0, 1)));
        assert!(report.contestants[1].value.is_some());
        assert_eq!(report.contestants[1].ratio, None);
    }

    #[test]
    fn different_answers_fail_the_case() {
        let report = run(Case::new("case", Unit::Nanoseconds)
            .contestant("native", || constant(1.0, 1))
            .contestant("wasm", || constant(1.0, 2))
            .goal(Goal::at_most("wasm", 2.0, "native")));
        let failure = report.failure.unwrap();
        assert!(failure.contains("answered"), "{failure}");
        assert_eq!(report.contestants[0].value, None);
        assert_eq!(report.goals[0].reached, None);
    }

    #[test]
    fn a_checker_decides_instead_of_equality() {
        let even = |answer: &str| match answer.parse::<u64>() {
            Ok(n) if n % 2 == 0 => Ok(()),
            _ => Err("want an even number".to_string()),
        };
        let case = |second| {
            Case::new("case", Unit::Nanoseconds)
                .contestant("native", || constant(1.0, 2))
                .contestant("wasm", move || constant(1.0, second))
                .check(even)
        };
        assert_eq!(run(case(4)).failure, None);
        assert_eq!(
            run(case(5)).failure.unwrap(),
            "wasm: wrong answer 5: want an even number"
        );
    }

    #[test]
    fn an_error_or_a_value_that_is_no_cost_fails_the_case() {
        for value in [0.0, -1.0, f64::NAN] {
            let report =
                run(Case::new("case", Unit::Nanoseconds)
                    .contestant("a", move || constant(value, 1)));
            assert!(report.failure.unwrap().contains("not a cost"));
        }
        let report = run(Case::new("case", Unit::Nanoseconds)
            .contestant("a", || Ok(Box::new(|| bail!("it broke")))));
        assert_eq!(report.failure.unwrap(), "a: it broke");
    }

    #[test]
    fn cpu_time_is_kept_where_asked() {
        let busy = || -> Result<Box<dyn Contestant>> {
            Ok(Box::new(|| {
                let start = Instant::now();
                while start.elapsed().as_millis() < 5 {}
                Ok(Sample::new(1.0))
            }))
        };
        let case = || Case::new("case", Unit::Nanoseconds).contestant("busy", busy);
        let options = Options::quick();
        let with = super::case(case().cpu_time(), &options, &mut |_| ());
        let without = super::case(case(), &options, &mut |_| ());
        if cfg!(target_os = "linux") {
            assert!(with.contestants[0].cpu_ns.unwrap().maximum > 1e6);
        }
        assert_eq!(without.contestants[0].cpu_ns, None);
    }
}
