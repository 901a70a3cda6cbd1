//! The models of `tests/loom` catch these seeded bugs, and some the tests of
//! `tests/primitives`: a file of them for each primitive.
//! See the crate `seeded-bugs`.

#![cfg(not(any(loom, miri, target_family = "wasm")))]

use std::path::Path;

use seeded_bugs::{Run, Suite};

mod barrier;
mod channel;
mod condvar;
mod futures;
mod generated;
mod latch;
mod mutex;
mod once;
mod parker;
mod priority_mutex;
mod rwlock;
mod semaphore;
mod wait_group;

#[test]
fn each_is_caught() {
    Suite {
        package: "threadwork-sync",
        needs: &["wasm-futex"],
        lists: &[
            (Run::Loom("loom"), barrier::BUGS),
            (Run::Loom("loom"), channel::BUGS),
            (Run::Native("primitives"), channel::NATIVE),
            (Run::Loom("loom"), condvar::BUGS),
            (Run::Native("primitives"), futures::BUGS),
            (Run::Native("primitives"), generated::BUGS),
            (Run::Loom("loom"), latch::BUGS),
            (Run::Loom("loom"), mutex::BUGS),
            (Run::Loom("loom"), once::BUGS),
            (Run::Loom("loom"), parker::BUGS),
            (Run::Loom("loom"), priority_mutex::BUGS),
            (Run::Loom("loom"), rwlock::BUGS),
            (Run::Loom("loom"), semaphore::BUGS),
            (Run::Native("primitives"), semaphore::FAIRNESS),
            (Run::Loom("loom"), wait_group::BUGS),
        ],
        sample: 4,
    }
    .check(Path::new(env!("CARGO_TARGET_TMPDIR")));
}
