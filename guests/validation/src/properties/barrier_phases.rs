//! A barrier keeps phases apart.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;

use threadwork::sync::Barrier;

use crate::case::{Case, Check, Property};

pub(crate) const PROPERTY: Property = Property {
    name: "barrier_phases",
    claim: "nobody is a phase ahead, and each phase has one leader",
    check,
    bugs: &["one-generation", "one-short", "all-lead"],
};

/// Something to meet at.
trait Meet: Sync {
    /// Waits for all others; whether this one leads. `phase` counts from 0.
    fn meet(&self, phase: u32) -> bool;
}

fn check(case: &mut Case<'_>) -> Check {
    let (threads, phases) = (case.between(2, 16), case.between(1, 12));
    let barrier: Box<dyn Meet> = match () {
        () if case.has_bug("one-generation") => Box::new(OneGeneration(Barrier::new(threads))),
        () if case.has_bug("one-short") => {
            Box::new(OneShort { threads, arrived: AtomicU32::new(0) })
        }
        () if case.has_bug("all-lead") => Box::new(AllLead(Barrier::new(threads))),
        () => Box::new(Barrier::new(threads)),
    };
    // In which phase each thread is.
    let progress: Vec<AtomicU32> = (0..threads).map(|_| AtomicU32::new(0)).collect();
    let leaders: Vec<AtomicU32> = (0..phases).map(|_| AtomicU32::new(0)).collect();
    case.on_threads(threads, |index, random| {
        let mut outcome = Ok(());
        for (phase, leaders) in (0..).zip(&leaders) {
            random.pause();
            progress[index as usize].store(phase + 1, SeqCst);
            if barrier.meet(phase) {
                leaders.fetch_add(1, SeqCst);
            }
            // Who is wrong goes on: the others would wait for it for ever.
            outcome = outcome.and_then(|()| all_are_there(&progress, phase + 1));
        }
        outcome
    })?;
    for (phase, leaders) in leaders.iter().enumerate() {
        let leaders = leaders.load(SeqCst);
        check!(leaders == 1, "phase {phase} has {leaders} leaders");
    }
    Ok(())
}

/// All have come, and none has left the next meeting without the caller.
fn all_are_there(progress: &[AtomicU32], phase: u32) -> Check {
    for (thread, progress) in progress.iter().enumerate() {
        let there = progress.load(SeqCst);
        check!(
            there == phase || there == phase + 1,
            "thread {thread} is in phase {there}, and this one is through {phase}"
        );
    }
    Ok(())
}

impl Meet for Barrier {
    fn meet(&self, _phase: u32) -> bool {
        self.wait().is_leader()
    }
}

/// The bug: it opens once and stays open.
struct OneGeneration(Barrier);

impl Meet for OneGeneration {
    fn meet(&self, phase: u32) -> bool {
        if phase == 0 { self.0.meet(phase) } else { false }
    }
}

/// The bug: it opens when one is still missing.
struct OneShort {
    threads: u32,
    arrived: AtomicU32,
}

impl Meet for OneShort {
    fn meet(&self, phase: u32) -> bool {
        let number = self.arrived.fetch_add(1, SeqCst) + 1;
        let wanted = (phase + 1) * self.threads - 1;
        while self.arrived.load(SeqCst) < wanted {
            thread::yield_now();
        }
        number == wanted
    }
}

/// The bug: everybody is told to be the leader.
struct AllLead(Barrier);

impl Meet for AllLead {
    fn meet(&self, _phase: u32) -> bool {
        self.0.wait();
        true
    }
}
