//! Which thread goes on: the strategies of a search, and the two that repeat a schedule.
//!
//! Invariant: a strategy sees only what depends on the schedule so far, and draws from the one
//! generator of its execution; so a seed decides everything that it does.

use std::collections::BTreeMap;

use crate::choices::{Choice, Choices, Tid};
use crate::operation::{Kind, Operation};
use crate::random::Random;

/// What a strategy chooses from. `ready` has at least one thread.
pub(crate) struct Situation<'a> {
    /// The thread that has come to a scheduling point, or that has just blocked or ended.
    pub(crate) current: Tid,
    /// Whether it could go on.
    pub(crate) can_stay: bool,
    /// Which of its own choices this is, from 1.
    pub(crate) nth: u64,
    /// Which of all choices this is.
    pub(crate) step: u64,
    /// The threads that can go on, ascending.
    pub(crate) ready: &'a [Tid],
    /// The threads whose sleep may be made to end.
    pub(crate) timed: &'a [Tid],
    /// What each thread does next.
    pub(crate) next: &'a [Operation],
}

impl Situation<'_> {
    /// The choice that is no preemption: the same thread, unless it cannot go on or yields.
    pub(crate) fn ordinary(&self) -> Tid {
        let yields = self.operation(self.current).kind == Kind::Yield;
        if self.can_stay && !yields {
            return self.current;
        }
        let after = self.ready.iter().find(|tid| **tid > self.current);
        after
            .or(self.ready.first())
            .copied()
            .unwrap_or(self.current)
    }

    /// Whether to choose `choice` is a preemption: what a schedule without them would not do.
    pub(crate) fn is_preemption(&self, choice: Choice) -> bool {
        let yields = self.operation(self.current).kind == Kind::Yield;
        match choice {
            Choice::Run(tid) => self.can_stay && !yields && tid != self.current,
            Choice::Timeout(_) => true,
        }
    }

    fn operation(&self, tid: Tid) -> Operation {
        self.next.get(tid as usize).copied().unwrap_or_default()
    }
}

/// A way to choose.
#[derive(Clone, Debug)]
pub(crate) enum Strategy {
    /// Never preempts but where `deviations` say so: at so many choices of a thread.
    Guided {
        deviations: BTreeMap<(Tid, u64), Vec<Choice>>,
        /// How many of this choice's deviations have been taken.
        taken: (Tid, u64, usize),
    },
    /// Does what was recorded.
    Exact {
        choices: Choices,
        run: usize,
        used: u64,
    },
    /// Switches at random, with a probability of 2^-`bits`.
    Random { bits: u32 },
    /// Probabilistic concurrency testing: random priorities, and some changes of them.
    Pct {
        priorities: Vec<u64>,
        /// The steps at which the running thread's priority becomes the lowest, descending.
        changes: Vec<u64>,
        lowest: u64,
    },
    /// Partial-order sampling: a random priority for each operation, and a new one for each that
    /// a conflicting operation has passed.
    Pos { priorities: Vec<u64> },
    /// All schedules with at most so many preemptions, one after the other.
    Bounded(Box<Bounded>),
}

/// Sleeps that are made to end early, of all choices where one could: one in 2^6.
const TIMEOUT_BITS: u32 = 6;

/// The priority of the threads that PCT has demoted is below this.
const DEMOTED: u64 = 1 << 32;

impl Strategy {
    /// PCT with `depth` - 1 changes within `length` steps.
    pub(crate) fn pct(depth: u32, length: u64, random: &mut Random) -> Self {
        let changes = (1..depth).map(|_| 1 + random.below(length));
        let mut changes: Vec<u64> = changes.collect();
        changes.sort_unstable_by(|a, b| b.cmp(a));
        Self::Pct {
            priorities: Vec::new(),
            changes,
            lowest: DEMOTED,
        }
    }

    /// A schedule of no preemptions but these.
    pub(crate) fn guided(deviations: &[Deviation]) -> Self {
        let mut at: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for deviation in deviations {
            let place = (deviation.thread, deviation.nth);
            at.entry(place).or_default().push(deviation.choice);
        }
        Self::Guided {
            deviations: at,
            taken: (0, 0, 0),
        }
    }

    pub(crate) fn exact(choices: Choices) -> Self {
        Self::Exact {
            choices,
            run: 0,
            used: 0,
        }
    }

    /// Chooses.
    pub(crate) fn choose(&mut self, situation: &Situation<'_>, random: &mut Random) -> Choice {
        let is_random = matches!(
            self,
            Self::Random { .. } | Self::Pct { .. } | Self::Pos { .. }
        );
        if is_random && !situation.timed.is_empty() && random.one_in_power(TIMEOUT_BITS) {
            let place = random.below(situation.timed.len() as u64);
            if let Some(tid) = situation.timed.get(place as usize) {
                return Choice::Timeout(*tid);
            }
        }
        match self {
            Self::Guided { deviations, taken } => {
                let place = (situation.current, situation.nth);
                if (taken.0, taken.1) != place {
                    *taken = (place.0, place.1, 0);
                }
                let planned = deviations.get(&place).and_then(|list| list.get(taken.2));
                taken.2 += 1;
                planned
                    .copied()
                    .unwrap_or_else(|| Choice::Run(situation.ordinary()))
            }
            Self::Exact { choices, run, used } => {
                let recorded = choices.runs().get(*run).copied();
                let Some((choice, count)) =
                    recorded.filter(|(choice, _)| possible(*choice, situation))
                else {
                    return Choice::Run(situation.ordinary());
                };
                *used += 1;
                if *used >= count {
                    (*run, *used) = (*run + 1, 0);
                }
                choice
            }
            Self::Random { bits } => Choice::Run(at_random(*bits, situation, random)),
            Self::Pct {
                priorities,
                changes,
                lowest,
            } => {
                while priorities.len() < situation.next.len() {
                    priorities.push(DEMOTED + (random.next() >> 1));
                }
                let change = changes.pop_if(|step| *step <= situation.step).is_some();
                let yields = situation.operation(situation.current).kind == Kind::Yield;
                if (change || yields)
                    && let Some(priority) = priorities.get_mut(situation.current as usize)
                {
                    *lowest = lowest.saturating_sub(1);
                    *priority = *lowest;
                }
                Choice::Run(highest(priorities, situation))
            }
            Self::Pos { priorities } => {
                while priorities.len() < situation.next.len() {
                    priorities.push(random.next());
                }
                if let Some(own) = priorities.get_mut(situation.current as usize) {
                    *own = random.next();
                }
                let chosen = highest(priorities, situation);
                let operation = situation.operation(chosen);
                for tid in situation.ready.iter().filter(|tid| **tid != chosen) {
                    if operation.conflicts(&situation.operation(*tid))
                        && let Some(priority) = priorities.get_mut(*tid as usize)
                    {
                        *priority = random.next();
                    }
                }
                Choice::Run(chosen)
            }
            Self::Bounded(search) => search.choose(situation),
        }
    }
}

fn possible(choice: Choice, situation: &Situation<'_>) -> bool {
    match choice {
        Choice::Run(tid) => situation.ready.contains(&tid),
        Choice::Timeout(tid) => situation.timed.contains(&tid),
    }
}

fn highest(priorities: &[u64], situation: &Situation<'_>) -> Tid {
    let priority = |tid: &&Tid| priorities.get(**tid as usize).copied().unwrap_or(0);
    let best = situation.ready.iter().max_by_key(priority);
    best.copied().unwrap_or(situation.current)
}

fn at_random(bits: u32, situation: &Situation<'_>, random: &mut Random) -> Tid {
    let stays = situation.ordinary() == situation.current;
    if stays && (situation.ready.len() < 2 || !random.one_in_power(bits)) {
        return situation.current;
    }
    let others = situation
        .ready
        .iter()
        .filter(|tid| **tid != situation.current);
    let count = situation.ready.len() as u64 - u64::from(situation.can_stay);
    let chosen = others.copied().nth(random.below(count) as usize);
    chosen.unwrap_or(situation.current)
}

/// A choice that a schedule without preemptions would not have made, and where: at the
/// `nth` choice of thread `thread`. It is the same place when an earlier one is left out, as
/// long as the thread itself does the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deviation {
    pub(crate) thread: Tid,
    pub(crate) nth: u64,
    pub(crate) choice: Choice,
}

/// A depth-first search through all schedules with at most `bound` preemptions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bounded {
    bound: u32,
    path: Vec<Node>,
    depth: usize,
    /// Whether a schedule was left out since it has too many preemptions.
    cut: bool,
    /// Preemptions on the way to where the execution is.
    preemptions: u32,
}

/// A choice with alternatives, on the path of the search.
#[derive(Clone, Debug)]
struct Node {
    options: Vec<(Choice, u32)>,
    taken: usize,
    before: u32,
}

impl Bounded {
    fn choose(&mut self, situation: &Situation<'_>) -> Choice {
        let ordinary = Choice::Run(situation.ordinary());
        if situation.ready.len() + situation.timed.len() < 2 {
            return ordinary;
        }
        if let Some(node) = self.path.get(self.depth) {
            self.depth += 1;
            let (choice, cost) = node
                .options
                .get(node.taken)
                .copied()
                .unwrap_or((ordinary, 0));
            self.preemptions = node.before + cost;
            return choice;
        }
        let runs = situation.ready.iter().map(|tid| Choice::Run(*tid));
        let timeouts = situation.timed.iter().map(|tid| Choice::Timeout(*tid));
        let others = runs.chain(timeouts).filter(|choice| *choice != ordinary);
        let mut options = vec![(ordinary, 0)];
        for choice in others {
            let cost = u32::from(situation.is_preemption(choice));
            match self.preemptions + cost <= self.bound {
                true => options.push((choice, cost)),
                false => self.cut = true,
            }
        }
        // Where nothing is left to try, nothing has to be remembered: but the place has to count.
        self.path.push(Node {
            options,
            taken: 0,
            before: self.preemptions,
        });
        self.depth += 1;
        ordinary
    }

    /// Goes on to the next schedule. False if there is none, with any number of preemptions.
    pub(crate) fn advance(&mut self) -> bool {
        (self.depth, self.preemptions) = (0, 0);
        while let Some(node) = self.path.last_mut() {
            node.taken += 1;
            if node.taken < node.options.len() {
                return true;
            }
            self.path.pop();
        }
        self.bound += 1;
        std::mem::take(&mut self.cut)
    }

    /// How many preemptions the schedules have at most that it tries now.
    pub(crate) fn bound(&self) -> u32 {
        self.bound
    }
}
