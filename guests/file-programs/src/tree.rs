//! Prints what programs have left.

use std::fs;
use std::path::Path;

/// All that is below the working directory, in order.
pub(crate) fn print() {
    visit(Path::new("."));
}

fn visit(path: &Path) {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        println!("{}: gone", path.display());
        return;
    };
    if metadata.is_dir() {
        println!("{}/", path.display());
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        paths.iter().for_each(|path| visit(path));
    } else if metadata.is_symlink() {
        let target = fs::read_link(path).unwrap_or_default();
        println!("{} -> {}", path.display(), target.display());
    } else {
        let bytes = fs::read(path).unwrap_or_default();
        // FNV-1a: enough to tell contents apart.
        let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
        });
        println!("{}: {} bytes, {hash:016x}", path.display(), bytes.len());
    }
}
