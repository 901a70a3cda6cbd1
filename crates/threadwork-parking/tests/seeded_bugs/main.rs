//! The models catch these seeded bugs. See the crate `seeded-bugs`.

#![cfg(not(loom))]

use std::path::Path;

use seeded_bugs::{Run, Suite};

mod list;

#[test]
fn each_is_caught() {
    Suite {
        package: "threadwork-parking",
        needs: &["threadwork-sync", "wasm-futex"],
        lists: &[(Run::Loom("loom"), list::LOOM)],
        sample: 2,
    }
    .check(Path::new(env!("CARGO_TARGET_TMPDIR")));
}
