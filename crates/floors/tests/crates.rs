//! The crates of this workspace that have a floor plan.

use std::io;
use std::path::Path;

#[test]
fn each_module_knows_only_those_below_it() -> io::Result<()> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for name in [
        "threadwork-sync",
        "threadwork-alloc",
        "threadwork-engine",
        "threadwork-cli",
        "threadwork-bench",
    ] {
        let complaints = floors::complaints(&crates.join(name).join("src"))?;
        assert!(complaints.is_empty(), "{name}:\n{}", complaints.join("\n"));
    }
    Ok(())
}
