//! Compiled modules on disk.
//!
//! An entry is one file, named after everything that its contents depend on: the
//! module's bytes, Wasmtime's settings and version, this crate's version and the rewriter's
//! sources. It begins with the machine code, which is run where the file is mapped, and
//! ends with a checksum, so that a file that was cut short or damaged is compiled again. A
//! cache never makes a load fail: whatever goes wrong, the module is compiled.
//!
//! Invariant: entries appear whole, by a rename. The directory is made for its
//! owner only, because what is in it is run.

use crate::engine::Engine;
use crate::machine::{Mapped, run_apart};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Entries beyond this many bytes are removed, those that were written first.
const MAX_BYTES: u64 = 512 << 20;

const CHECKSUM: usize = blake3::OUT_LEN;

/// Bytes of stack of the thread that writes.
const STACK: usize = 256 << 10;

/// To be raised whenever what is kept has another form.
const FORMAT: u32 = 10;

/// The file of a module in `dir`.
pub(crate) fn entry(dir: &Path, wasm: &[u8], engine: &Engine) -> PathBuf {
    let mut name = identity(engine);
    name.update(wasm);
    dir.join(format!("{}.twc", name.finalize().to_hex()))
}

/// What machine code depends on, beside the module that it was made of.
pub(crate) fn identity(engine: &Engine) -> blake3::Hasher {
    let mut settings = Settings::default();
    std::hash::Hash::hash(
        &engine.machine().wasmtime().precompile_compatibility_hash(),
        &mut settings,
    );
    let mut identity = blake3::Hasher::new();
    identity.update(env!("CARGO_PKG_VERSION").as_bytes());
    identity.update(threadwork_rewrite::FINGERPRINT.as_bytes());
    identity.update(&FORMAT.to_le_bytes());
    identity.update(&settings.0);
    identity.update(&[engine.stopping() as u8, u8::from(engine.checks_stacks())]);
    identity
}

/// Collects what is hashed, since the standard hashers promise no stable result.
#[derive(Default)]
struct Settings(Vec<u8>);

impl std::hash::Hasher for Settings {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

/// An entry that is whole.
pub(crate) struct Entry {
    file: Mapped,
    code: usize,
    end: usize,
}

impl Entry {
    /// The entry at `path`, if it is there and whole.
    pub(crate) fn load(path: &Path) -> Option<Self> {
        // SAFETY: entries appear whole, in a directory that only its owner may write to, who
        // does not change them: `EngineBuilder::cache_dir` asks for it.
        let file = unsafe { Mapped::open(path) }.ok()?;
        let (body, sum) = file.split_last_chunk::<CHECKSUM>()?;
        if blake3::hash(body) != *sum {
            return None;
        }
        let (body, code) = body.split_last_chunk()?;
        let code = usize::try_from(u64::from_le_bytes(*code)).ok()?;
        let end = body.len();
        (code <= end).then_some(Self { file, code, end })
    }

    /// Machine code.
    pub(crate) fn code(&self) -> &[u8] {
        &self.file[..self.code]
    }

    /// The whole, which begins with machine code, to be mapped; `None` if the system cannot.
    pub(crate) fn file(&self) -> Option<fs::File> {
        self.file.file()
    }

    /// What is known of the module beside its code.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.file[self.code..self.end]
    }
}

/// Writes an entry; failures are ignored.
///
/// Not on the calling thread, which is the embedder's: a file that becomes larger than the
/// program may make it (`ulimit -f`) is an error on ours, and a signal that ends the program
/// on others.
pub(crate) fn store(entry: PathBuf, code: Vec<u8>, rest: Vec<u8>) {
    let _ = run_apart("threadwork-file", STACK, move || {
        let length = (code.len() as u64).to_le_bytes();
        try_store(&entry, &[&code, &rest, &length])
    });
}

fn try_store(entry: &Path, parts: &[&[u8]]) -> std::io::Result<()> {
    let dir = entry.parent().unwrap_or(Path::new("."));
    create_private(dir)?;
    let mut unique = [0; 8];
    getrandom::fill(&mut unique)?;
    let temporary = dir.join(format!("{:016x}.tmp", u64::from_le_bytes(unique)));
    let written = fs::File::create_new(&temporary).and_then(|mut file| {
        let mut sum = blake3::Hasher::new();
        for part in parts {
            sum.update(part);
            file.write_all(part)?;
        }
        file.write_all(sum.finalize().as_bytes())?;
        fs::rename(&temporary, entry)
    });
    if written.is_err() {
        fs::remove_file(&temporary)?;
    }
    prune(dir)?;
    written
}

fn create_private(dir: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Removes the oldest entries until the rest fits, and what crashes left behind.
fn prune(dir: &Path) -> std::io::Result<()> {
    let mut entries = Vec::new();
    for file in fs::read_dir(dir)? {
        let file = file?;
        let path = file.path();
        let ours = path.extension().is_some_and(|e| e == "twc" || e == "tmp");
        if ours && let Ok(data) = file.metadata() {
            entries.push((
                data.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                data.len(),
                path,
            ));
        }
    }
    entries.sort();
    let mut total: u64 = entries.iter().map(|(_, length, _)| length).sum();
    for (_, length, path) in entries {
        if total <= MAX_BYTES {
            break;
        }
        let _ = fs::remove_file(path);
        total -= length;
    }
    Ok(())
}
