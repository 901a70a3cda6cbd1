//! Machine code, made once on the machine and mapped into every container of a module.
//!
//! Each module has a folder, named after a hash of the module and the engine's file, with an
//! engine's cache of one entry. Containers see theirs, for reading, as a mount, and run the code
//! where its file is mapped: its pages are in memory once.
//!
//! Invariant: only the shim writes there, never a container; what is found is what the
//! compiler made of a module with these very bytes, since the engine names and checks entries.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::library::{self, Compiled, Library};

/// Where containers see the folder of their module.
pub(crate) const IN_CONTAINER: &str = "/dev/threadwork";

/// Names the folder of all, in the environment of containerd.
const VARIABLE: &str = "THREADWORK_CACHE_DIR";

/// The folder of all unless it is named.
const FOLDER: &str = "/var/cache/threadwork/containerd";

/// Bytes beyond which modules are removed, those first that were compiled first.
const MOST: u64 = 2 << 30;

/// The folder of a module, if there is one: its code is made there, unless it is there already.
/// There is none where it cannot be written, or where the module costs more to compile
/// than a stranger's may: such a one compiles in its container, within its limits.
///
/// To be called in a process of its own, which ends afterwards: compilers need much memory.
///
/// # Errors
///
/// If it is no module that runs here, or there is no engine.
pub(crate) fn prepare(code: &[u8]) -> Result<Option<PathBuf>, String> {
    let Ok(folder) = folder(code) else {
        return Ok(None);
    };
    if has_entry(&folder) {
        return Ok(Some(folder));
    }
    match Library::load()?.compile(&folder, code) {
        Compiled::Made => {}
        Compiled::TooDear => return Ok(None),
        Compiled::Refused(why) => return Err(why),
    }
    // Whatever cannot be removed is in use, or is tried again after the next compile.
    let _ = prune(folder.parent().unwrap_or(Path::new(FOLDER)), MOST);
    Ok(has_entry(&folder).then_some(folder))
}

fn folder(code: &[u8]) -> io::Result<PathBuf> {
    let root = std::env::var_os(VARIABLE).map_or_else(|| PathBuf::from(FOLDER), PathBuf::from);
    let engine = fs::metadata(library::path().map_err(io::Error::other)?)?;
    let mut name = blake3::Hasher::new();
    for number in [
        engine.len(),
        engine.mtime() as u64,
        engine.mtime_nsec() as u64,
    ] {
        name.update(&number.to_le_bytes());
    }
    name.update(code);
    let folder = root.join(name.finalize().to_hex().as_str());
    private(&root, 0o700)?;
    // Users of containers read it, who never see the folder above.
    private(&folder, 0o755)?;
    Ok(folder)
}

fn private(path: &Path, mode: u32) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
}

fn has_entry(folder: &Path) -> bool {
    let mut files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.any(|file| file.path().extension().is_some_and(|kind| kind == "twc"))
}

/// Removes the oldest folders until the rest has no more than `most` bytes.
fn prune(root: &Path, most: u64) -> io::Result<()> {
    let mut folders = Vec::new();
    for folder in fs::read_dir(root)?.flatten() {
        let files = fs::read_dir(folder.path()).into_iter().flatten().flatten();
        let bytes: u64 = files
            .filter_map(|file| Some(file.metadata().ok()?.len()))
            .sum();
        let made = folder.metadata().and_then(|data| data.modified());
        folders.push((made.unwrap_or(SystemTime::UNIX_EPOCH), bytes, folder.path()));
    }
    folders.sort();
    let mut total: u64 = folders.iter().map(|(_, bytes, _)| bytes).sum();
    for (_, bytes, folder) in folders {
        if total <= most {
            break;
        }
        fs::remove_dir_all(folder)?;
        total -= bytes;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_removed() {
        let root = tempfile::tempdir().unwrap();
        for (age, name) in ["old", "middle", "new"].iter().enumerate() {
            let folder = root.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("code.twc"), [0; 1000]).unwrap();
            let made = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(age as u64);
            fs::File::open(&folder).unwrap().set_modified(made).unwrap();
        }
        prune(root.path(), 2000).unwrap();
        let left = |name: &str| root.path().join(name).exists();
        assert_eq!(["old", "middle", "new"].map(left), [false, true, true]);
    }
}
