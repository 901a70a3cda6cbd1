//! The tests catch these seeded bugs. See the crate `seeded-bugs`.

#![cfg(not(any(loom, miri, target_family = "wasm")))]

use std::path::Path;

use seeded_bugs::{Run, Suite};

mod list;

#[test]
fn each_is_caught() {
    Suite {
        package: "threadwork-alloc",
        needs: &["threadwork-sync", "wasm-futex"],
        lists: &[
            (Run::Loom("loom"), list::LOOM),
            (Run::Native("alloc"), list::NATIVE),
            (Run::Native("global"), list::GLOBAL),
            (Run::Library, list::LIBRARY),
        ],
        sample: 3,
    }
    .check(Path::new(env!("CARGO_TARGET_TMPDIR")));
}
