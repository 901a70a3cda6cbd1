//! Ordered locks never deadlock, and unordered ones are detected.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use threadwork::sync::{Mutex, RawMutex, System, lock_order};

use crate::case::{Case, Check, Property, Random};

pub(crate) const PROPERTY: Property = Property {
    name: "lock_order",
    claim: "locks taken in one order never deadlock; two orders are reported",
    check,
    bugs: &["unordered", "unwatched"],
};

/// How many pairs of orders were reported. One for all cases, which run one by one.
static REPORTS: AtomicU32 = AtomicU32::new(0);

fn check(case: &mut Case<'_>) -> Check {
    lock_order::set_handler(|_| {
        REPORTS.fetch_add(1, SeqCst);
    });
    if case.one_in(2) || case.has_bug("unordered") {
        ordered_locks_do_not_deadlock(case)
    } else {
        unordered_locks_are_detected(case)
    }
}

/// Threads take random sets of locks, each in ascending order.
fn ordered_locks_do_not_deadlock(case: &mut Case<'_>) -> Check {
    let locks: Vec<Mutex<u32>> = (0..case.between(2, 6)).map(|_| Mutex::new(0)).collect();
    let (threads, rounds) = (case.between(2, 6), case.between(1, 40));
    let unordered = case.has_bug("unordered");
    // Only a deadlock can last as long; a planted one need not be watched for minutes.
    let patience = Duration::from_millis(if unordered { 200 } else { 60_000 });
    REPORTS.store(0, SeqCst);
    case.on_threads(threads, |_, random| {
        for _ in 0..rounds {
            let mut wanted: Vec<usize> = (0..locks.len()).filter(|_| random.one_in(2)).collect();
            if unordered {
                random.shuffle(&mut wanted);
            }
            let mut guards = Vec::new();
            for index in wanted {
                let guard = locks[index].lock_timeout(patience);
                guards.push(guard.ok_or("no lock for a long time: a deadlock")?);
                random.pause();
            }
            guards.iter_mut().for_each(|guard| **guard += 1);
        }
        Ok(())
    })?;
    check_eq!(REPORTS.load(SeqCst), 0);
    Ok(())
}

/// One thread takes random pairs of locks. Nothing hangs, and a report must come exactly
/// if the pairs have a cycle.
fn unordered_locks_are_detected(case: &mut Case<'_>) -> Check {
    let count = case.between(2, 5) as usize;
    let locks: Vec<Mutex<()>> = (0..count).map(|_| Mutex::new(())).collect();
    let raw: Vec<RawMutex> = (0..count).map(|_| RawMutex::new()).collect();
    let unwatched = case.has_bug("unwatched");
    let pairs: Vec<(usize, usize)> = (0..case.between(1, 8)).map(|_| pair(case, count)).collect();
    REPORTS.store(0, SeqCst);
    for &(first, second) in &pairs {
        if unwatched {
            raw[first].lock_with(&System);
            raw[second].lock_with(&System);
            // SAFETY: this thread has just locked it.
            unsafe { raw[second].unlock_with(&System) };
            // SAFETY: as above.
            unsafe { raw[first].unlock_with(&System) };
        } else {
            let _first = locks[first].lock();
            let _second = locks[second].lock();
        }
    }
    let reported = REPORTS.load(SeqCst) > 0;
    let expected = has_cycle(&pairs, count);
    check!(reported == expected, "{pairs:?}: reported {reported}, a cycle {expected}");
    Ok(())
}

/// Two different locks.
fn pair(random: &mut Random, count: usize) -> (usize, usize) {
    let first = random.below(count as u32) as usize;
    let other = random.below(count as u32 - 1) as usize;
    (first, if other < first { other } else { other + 1 })
}

/// Whether the graph of these edges has a cycle: its transitive closure has a loop.
fn has_cycle(edges: &[(usize, usize)], nodes: usize) -> bool {
    let mut reaches = vec![vec![false; nodes]; nodes];
    edges.iter().for_each(|&(from, to)| reaches[from][to] = true);
    for over in 0..nodes {
        for from in 0..nodes {
            for to in 0..nodes {
                reaches[from][to] |= reaches[from][over] && reaches[over][to];
            }
        }
    }
    (0..nodes).any(|node| reaches[node][node])
}
