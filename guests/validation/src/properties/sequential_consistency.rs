//! Sequential consistency, as litmus tests.
//!
//! | test | threads | what no order of single steps can give |
//! |---|---|---|
//! | store buffering | `x=1; a=y` and `y=1; b=x` | `a=0 b=0` |
//! | message passing | `x=1; y=1` and `a=y; b=x` | `a=1 b=0` |
//! | load buffering | `a=x; y=1` and `b=y; x=1` | `a=1 b=1` |
//! | IRIW | `x=1`, `y=1`, `a=x; b=y` and `c=y; d=x` | `a=1 b=0 c=1 d=0` |
//!
//! Source: Alglave, Maranget and Tautschnig, "Herding cats" (2014), for the tests and
//! their names.

use threadwork::sync::Barrier;
use threadwork_runtime::SharedMemory;

use crate::case::{Case, Check, OrFail, Property, Random};

pub(crate) const PROPERTY: Property = Property {
    name: "sequential_consistency",
    claim: "store buffering, message passing, load buffering and IRIW show one order of steps",
    check,
    bugs: &["store-buffer", "reordered"],
};

#[derive(Clone, Copy)]
enum Variable {
    X,
    Y,
}
use Variable::{X, Y};

#[derive(Clone, Copy)]
enum Step {
    /// Stores 1.
    Write(Variable),
    /// Loads into the next register of the test.
    Read(Variable),
}
use Step::{Read, Write};

/// Threads of one or two steps each, which all run at once.
struct Litmus {
    name: &'static str,
    threads: &'static [&'static [Step]],
    /// What the reads must not see together, in the order in which they are written here.
    forbidden: &'static [u32],
}

const TESTS: [Litmus; 4] = [
    Litmus {
        name: "store buffering",
        threads: &[&[Write(X), Read(Y)], &[Write(Y), Read(X)]],
        forbidden: &[0, 0],
    },
    Litmus {
        name: "message passing",
        threads: &[&[Write(X), Write(Y)], &[Read(Y), Read(X)]],
        forbidden: &[1, 0],
    },
    Litmus {
        name: "load buffering",
        threads: &[&[Read(X), Write(Y)], &[Read(Y), Write(X)]],
        forbidden: &[1, 1],
    },
    Litmus {
        name: "IRIW",
        threads: &[&[Write(X)], &[Write(Y)], &[Read(X), Read(Y)], &[Read(Y), Read(X)]],
        forbidden: &[1, 0, 1, 0],
    },
];

/// Where the variables and the registers are, and what is wrong with the accesses.
struct Subject {
    memory: SharedMemory,
    x: usize,
    y: usize,
    store_buffer: bool,
    reordered: bool,
}

/// The first register. Each has a cache line.
const REGISTERS: usize = 16_384;
const LINE: usize = 128;

fn check(case: &mut Case<'_>) -> Check {
    let subject = Subject {
        memory: SharedMemory::new(1, 1).or_fail("a memory")?,
        x: 4 * case.below(1_000) as usize,
        y: 4 * case.between(1_000, 2_000) as usize,
        store_buffer: case.has_bug("store-buffer"),
        reordered: case.has_bug("reordered"),
    };
    let test = case.pick(&TESTS);
    let rounds = case.between(1, 100);
    let together = Barrier::new(test.threads.len() as u32);
    case.on_threads(test.threads.len() as u32, |index, random| {
        let mut outcome = Ok(());
        for _ in 0..rounds {
            if together.wait().is_leader() {
                subject.reset(test)?;
            }
            together.wait();
            subject.run(test, index as usize, random)?;
            if together.wait().is_leader() {
                // Who is wrong goes on: the others would wait for it for ever.
                outcome = outcome.and_then(|()| subject.judge(test));
            }
        }
        outcome
    })
}

impl Subject {
    fn reset(&self, test: &Litmus) -> Check {
        for offset in [self.x, self.y] {
            self.memory.store(offset, 0_u32).or_fail("reset")?;
        }
        for register in 0..test.forbidden.len() {
            self.memory.store(REGISTERS + LINE * register, 9_u32).or_fail("reset")?;
        }
        Ok(())
    }

    /// Runs one thread of the test.
    fn run(&self, test: &Litmus, thread: usize, random: &mut Random) -> Check {
        let reads = |steps: &&[Step]| steps.iter().filter(|step| matches!(step, Read(_))).count();
        let first: usize = test.threads[..thread].iter().map(reads).sum();
        let mut registers = first..;
        let mut steps: Vec<(Step, usize)> = test.threads[thread]
            .iter()
            .map(|step| match step {
                Read(_) => (*step, registers.next().unwrap_or(0)),
                Write(_) => (*step, 0),
            })
            .collect();
        if self.reordered {
            steps.reverse();
        }
        if self.store_buffer {
            // Stable: the writes come out last, in their order.
            steps.sort_by_key(|(step, _)| matches!(step, Write(_)));
        }
        random.pause();
        for (step, register) in steps {
            match step {
                Write(variable) => self.memory.store(self.at(variable), 1_u32).or_fail("store")?,
                Read(variable) => {
                    let value = self.memory.load::<u32>(self.at(variable)).or_fail("load")?;
                    self.memory.write(REGISTERS + LINE * register, value).or_fail("note")?;
                }
            }
        }
        Ok(())
    }

    fn at(&self, variable: Variable) -> usize {
        match variable {
            X => self.x,
            Y => self.y,
        }
    }

    fn judge(&self, test: &Litmus) -> Check {
        let mut seen = Vec::new();
        for register in 0..test.forbidden.len() {
            seen.push(self.memory.read::<u32>(REGISTERS + LINE * register).or_fail("look")?);
        }
        check!(seen != test.forbidden, "{}: the reads have seen {seen:?}", test.name);
        check!(seen.iter().all(|value| *value < 2), "{}: nobody wrote {seen:?}", test.name);
        Ok(())
    }
}
