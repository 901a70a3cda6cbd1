//! What is in a folder.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// All that is in the folder, in order, with its contents.
pub(crate) fn of(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    visit(folder, &mut lines);
    lines
}

fn in_order(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn visit(path: &Path, lines: &mut Vec<String>) {
    let name = path.display();
    let Ok(metadata) = fs::symlink_metadata(path) else {
        lines.push(format!("{name}: gone"));
        return;
    };
    if metadata.is_dir() {
        lines.push(format!("{name}/"));
        in_order(path).iter().for_each(|path| visit(path, lines));
    } else if metadata.is_symlink() {
        let target = fs::read_link(path).unwrap_or_default();
        lines.push(format!("{name} -> {}", target.display()));
    } else {
        lines.push(format!("{name}:{}", runs(&fs::read(path).unwrap_or_default())));
    }
}

/// The numbers of all files that are in the folder, in the same order.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn inodes(folder: &Path) -> Vec<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut all = Vec::new();
    let Ok(metadata) = fs::symlink_metadata(folder) else {
        return all;
    };
    all.push(metadata.ino());
    if metadata.is_dir() {
        in_order(folder).iter().for_each(|path| all.extend(inodes(path)));
    }
    all
}

/// Bytes in short: how many times each follows itself.
pub(crate) fn runs(bytes: &[u8]) -> String {
    let mut text = String::new();
    for run in bytes.chunk_by(|a, b| a == b) {
        let _ = write!(text, " {}*{}", run.len(), run[0].escape_ascii());
    }
    text
}

/// Whether bytes begin with others, both as [`runs`] has them.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn begins_with(whole: &str, part: &str) -> bool {
    let run = |run: &str| {
        let (count, byte) = run.split_once('*')?;
        Some((count.parse::<usize>().ok()?, byte.to_owned()))
    };
    let runs = |text: &str| text.split_whitespace().filter_map(run).collect::<Vec<_>>();
    let (whole, part) = (runs(whole), runs(part));
    let Some(((count, byte), before)) = part.split_last() else {
        return true;
    };
    let last = whole.get(before.len());
    whole.starts_with(before) && last.is_some_and(|(most, it)| it == byte && count <= most)
}
