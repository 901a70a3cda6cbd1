//! Where the programs that are measured lie, and what is made of them.

use std::path::{Path, PathBuf};

/// Where hosts keep what they compiled.
pub(super) fn cache_folder() -> PathBuf {
    folder().join("target").join("cache")
}

/// Where the workloads are.
pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads")
}
