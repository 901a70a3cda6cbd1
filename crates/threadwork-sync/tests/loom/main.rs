//! The primitives under loom: every interleaving with a bounded number of preemptions.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test --release -p threadwork-sync --test loom`.
//! Each model is seen to fail by the seeded bugs of `tests/seeded_bugs`.
//!
//! Loom's threads sleep in a futex made of its own mutex and condition variable
//! (`src/system.rs`). A wait with a timeout may time out at any moment; `LOSSES` is 1, so
//! that starvation is within reach.

#![cfg(loom)]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]
#![expect(
    clippy::undocumented_unsafe_blocks,
    reason = "loom checks what they promise"
)]

mod barrier;
mod channel;
mod condvar;
mod latch;
mod mutex;
mod once;
mod parker;
mod priority_mutex;
mod rwlock;
mod select;
mod semaphore;
mod wait_group;

/// Explores `body` with at most `preemptions` switches away from a thread that could
/// have gone on. Two find nearly all known bugs of this kind; more are for small models.
fn model(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.max_branches = 20_000;
    model.check(body);
}
