//! The file of a program: its bytes, its name, and why it cannot be run.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::bail;
use threadwork_engine::{Error, MAX_MODULE_SIZE};

use crate::report;

/// Bytes of the largest module.
const LARGEST: u64 = MAX_MODULE_SIZE as u64;

/// The bytes of the file.
pub(crate) fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let name = file.display();
    if file.is_dir() {
        bail!("{name} is a directory: give the .wasm or .wat file in it");
    }
    let mut code = Vec::new();
    // A device may have no end.
    File::open(file)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut code))
        .map_err(|error| report::explain(format_args!("cannot read {name}"), error))?;
    if code.len() as u64 > LARGEST {
        bail!("{name} has more than {LARGEST} bytes, as no WebAssembly module may have");
    }
    if code.is_empty() {
        bail!("{name} is empty: did the build that writes it fail?");
    }
    Ok(code)
}

/// What the program sees as its own name: not where on the host it lies.
pub(crate) fn name(file: &Path) -> String {
    file.file_name()
        .unwrap_or(file.as_os_str())
        .to_string_lossy()
        .into_owned()
}

/// Why the file could not be run, or compiled.
pub(crate) fn cannot_compile(what: &str, file: &Path, error: Error) -> anyhow::Error {
    let file = file.display();
    match error {
        Error::CompileTime { limit } => anyhow::Error::new(error).context(format!(
            "cannot {what} {file}: compiling it takes longer than {limit:?}: raise --max-compile, \
             or make the program smaller (optimize, strip, split)"
        )),
        error => report::explain(format_args!("cannot {what} {file}"), error),
    }
}

/// Why the file could not be run.
pub(crate) fn cannot_run(file: &Path, error: Error) -> anyhow::Error {
    cannot_compile("run", file, error)
}
