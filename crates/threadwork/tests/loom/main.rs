//! The pool and the fork-join scheduler under loom: every interleaving with a bounded number of preemptions.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test --release -p threadwork --test loom`.
//! Each model is seen to fail by the seeded bugs of `tests/seeded_bugs`. `THREADWORK_FULL=1`
//! explores the largest ones to their full bound.
//!
//! The models run the code that ships, those of fork-join with smaller numbers: a steal
//! queue has one place, so that it is used again; a search is one look; nobody naps, but for
//! the watch, whose nap may end at any moment.

#![cfg(loom)]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]
#![expect(
    clippy::undocumented_unsafe_blocks,
    reason = "loom checks what they promise"
)]

mod join;
mod latch;
mod pool_queue;
mod pool_task;
mod pool_thread_counts;
mod sleep;
mod steal_queue;

/// Explores `body` with at most `preemptions` switches away from a thread that could
/// have gone on.
fn model(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.max_branches = 20_000;
    model.check(body);
}

/// The bound of a model that takes many minutes with it: one less, unless all is asked for.
fn large(preemptions: usize) -> usize {
    let is_full = std::env::var_os("THREADWORK_FULL").is_some();
    preemptions - usize::from(!is_full)
}
