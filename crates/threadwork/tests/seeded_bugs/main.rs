//! The tests catch these seeded bugs: a file of them for each part of the crate. See the
//! crate `seeded-bugs`.

#![cfg(not(any(loom, miri, target_family = "wasm")))]

use std::path::Path;

use seeded_bugs::{Run, Suite};

mod fork_join;
mod pool;
mod threads;

#[test]
fn each_is_caught() {
    Suite {
        package: "threadwork",
        needs: &["threadwork-alloc", "threadwork-sync", "wasm-futex"],
        lists: &[
            (Run::Loom("loom"), fork_join::LOOM),
            (Run::Native("fork_join"), fork_join::NATIVE),
            (Run::Library, fork_join::LIBRARY),
            (Run::Native("global_pool"), fork_join::GLOBAL),
            (Run::Loom("loom"), pool::BUGS),
            (Run::Native("pool"), pool::NATIVE),
            (Run::Native("threads"), threads::NATIVE),
            (Run::Miri("threads"), threads::MIRI),
        ],
        sample: 2,
    }
    .check(Path::new(env!("CARGO_TARGET_TMPDIR")));
}
