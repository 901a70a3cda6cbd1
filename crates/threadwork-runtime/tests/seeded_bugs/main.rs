//! The tests catch these seeded bugs: a file of them for each part of the crate. See the
//! crate `seeded-bugs`.

#![cfg(not(any(miri, target_family = "wasm")))]

use std::path::Path;

use seeded_bugs::{Run, Suite};

mod memory;
mod threads;

#[test]
fn each_is_caught() {
    Suite {
        package: "threadwork-runtime",
        needs: &[
            "threadwork",
            "threadwork-alloc",
            "threadwork-sync",
            "wasm-futex",
        ],
        lists: &[
            (Run::Native("memory"), memory::NATIVE),
            (Run::Miri("memory"), memory::MIRI),
            (Run::Native("threads"), threads::NATIVE),
        ],
        sample: 2,
    }
    .check(Path::new(env!("CARGO_TARGET_TMPDIR")));
}
