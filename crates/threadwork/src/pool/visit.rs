//! Waits for a task of another pool.
//!
//! A worker that waits keeps a thread of its own pool blocked, on which the task that it waits for
//! may depend in turn; once all threads that a pool may have are blocked, a task that is queued
//! there runs only if one of them goes on, and each may be waiting for that very task. So a worker
//! of another pool that finds a pool like that runs the task itself, which is a *visit*. *No chain
//! hangs:* the last wait of a chain finds a pool that has a thread for its task, or none, and visits.
//! It looks again now and then, since a thread may block after it has looked.
//!
//! Nothing waits for itself on a visit, since the handle by which a task is waited for is the only one.
//!
//! Invariant: what a task cannot do in its own pool, it cannot on a visit. To wait for its pool to
//! be quiet is an error there, too, and to shut that down does not wait; and who else does so waits for
//! the visit. So the visits of a thread are a list on its stack.

use std::time::Duration;

use threadwork_sync::block;

use super::shared::Shared;
use super::task::{Claimed, Finish, TaskRef};
use super::worker::{Substituted, Worker};
use crate::boundary::discard;

/// How long a worker waits before it looks again whether there is a thread: as often as one that
/// waits for a job looks around.
const FIRST_NAP: Duration = Duration::from_micros(500);
const LONGEST_NAP: Duration = Duration::from_millis(10);

/// A task of another pool runs on this thread.
pub(super) struct Visit {
    pool: u32,
    /// The visit within which this one is; null if there is none.
    outer: *const Visit,
}

impl Worker {
    /// Waits for a task of another pool.
    pub(super) fn wait_abroad(&self, task: &TaskRef) {
        // Where there is no pool any more nothing is queued.
        if let Some(pool) = Shared::find(task.label().pool) {
            self.wait_or_visit(task, &pool);
            // With what its hooks hold, if nobody else has it.
            discard(pool);
        }
        block(&Substituted(self), Finish::of(task), None);
    }

    /// Waits until a worker has begun, or does it itself.
    fn wait_or_visit(&self, task: &TaskRef, pool: &Shared) {
        let blocked = self.block();
        let mut nap = FIRST_NAP;
        while !task.is_claimed() {
            if !pool.thread_counts.has_active()
                && let Some(claimed) = task.claim_for_visit()
            {
                drop(blocked);
                return self.visit(task, claimed, pool);
            }
            block(&Substituted(self), Finish::of(task), Some(nap));
            nap = (nap * 2).min(LONGEST_NAP);
        }
    }

    fn visit(&self, task: &TaskRef, claimed: Claimed<'_>, pool: &Shared) {
        let outer = self.visits.get();
        let visit = Visit {
            pool: pool.number,
            outer,
        };
        self.visits.set(&raw const visit);
        self.run_within(task, claimed, pool);
        self.visits.set(outer);
    }

    /// Whether it is of that pool, or runs a task of it.
    pub(super) fn is_within(&self, pool: u32) -> bool {
        let mut next = self.visits.get();
        // SAFETY: null, or what `visit` has further down on this stack.
        while let Some(visit) = unsafe { next.as_ref() } {
            if visit.pool == pool {
                return true;
            }
            next = visit.outer;
        }
        self.is_of(pool)
    }
}
