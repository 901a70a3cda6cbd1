//! No data races under a mutex.

use std::time::Duration;

use threadwork::sync::{Mutex, Priority, PriorityMutex, RwLock};

use super::words::Words;
use crate::case::{Case, Check, Property, Random};

pub(crate) const PROPERTY: Property = Property {
    name: "mutual_exclusion",
    claim: "what a lock protects is changed by one thread at a time",
    check,
    bugs: &["no-exclusion", "gives-up"],
};

/// A lock, however it is taken.
trait Lock: Sync {
    /// Runs `work` while the lock is held.
    fn with(&self, random: &mut Random, work: &dyn Fn(&mut Random) -> Check) -> Check;
}

fn check(case: &mut Case<'_>) -> Check {
    let lock: Box<dyn Lock> = match case.below(3) {
        _ if case.has_bug("no-exclusion") => Box::new(NoExclusion),
        _ if case.has_bug("gives-up") => Box::new(GivesUp(Mutex::new(()))),
        0 => Box::new(Mutex::new(())),
        1 => Box::new(PriorityMutex::new(())),
        _ => Box::new(RwLock::new(())),
    };
    let words = Words::new(case.between(1, 6));
    let (threads, rounds) = (case.between(2, 6), case.between(1, 60));
    case.on_threads(threads, |_, random| {
        (0..rounds).try_for_each(|_| {
            random.pause();
            lock.with(random, &|random| words.write(random))
        })
    })?;
    words.expect(threads * rounds)
}

/// Soon enough to give up and come back.
const SOON: Duration = Duration::from_micros(20);

/// Takes the lock as `how` says: waits, tries until it gets it, or waits in bits.
fn take<G>(how: u32, lock: impl Fn() -> G, attempt: impl Fn() -> Option<G>) -> G {
    match how {
        0 => lock(),
        _ => (0..100).find_map(|_| attempt()).unwrap_or_else(lock),
    }
}

impl Lock for Mutex<()> {
    fn with(&self, random: &mut Random, work: &dyn Fn(&mut Random) -> Check) -> Check {
        let waits = random.one_in(2);
        let _guard = take(
            random.below(2),
            || self.lock(),
            || if waits { self.lock_timeout(SOON) } else { self.try_lock() },
        );
        work(random)
    }
}

impl Lock for PriorityMutex<()> {
    fn with(&self, random: &mut Random, work: &dyn Fn(&mut Random) -> Check) -> Check {
        let class = *random.pick(&[Priority::Low, Priority::Normal, Priority::High]);
        let waits = random.one_in(2);
        let _guard = take(
            random.below(2),
            || self.lock_as(class),
            || if waits { self.lock_timeout_as(class, SOON) } else { self.try_lock() },
        );
        work(random)
    }
}

impl Lock for RwLock<()> {
    fn with(&self, random: &mut Random, work: &dyn Fn(&mut Random) -> Check) -> Check {
        let waits = random.one_in(2);
        let _guard = take(
            random.below(2),
            || self.write(),
            || if waits { self.write_timeout(SOON) } else { self.try_write() },
        );
        work(random)
    }
}

/// The bug: everybody comes in.
struct NoExclusion;

impl Lock for NoExclusion {
    fn with(&self, random: &mut Random, work: &dyn Fn(&mut Random) -> Check) -> Check {
        work(random)
    }
}

/// The bug: a wait that gave up counts as one that got the lock.
struct GivesUp(Mutex<()>);

impl Lock for GivesUp {
    fn with(&self, random: &mut Random, work: &dyn Fn(&mut Random) -> Check) -> Check {
        let _guard = self.0.try_lock();
        work(random)
    }
}
